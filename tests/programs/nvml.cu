/* The management library, found with dlopen as monitoring tools do: the same device as CUDA's. */
#include "program.h"

#include <cstring>
#include <dlfcn.h>

/* As nvml.h has them; a CUDA toolkit need not contain that header. */
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef int nvmlReturn_t;
struct Memory {
	unsigned long long total, free, used;
};
constexpr int NVML_UNINITIALIZED = 1, NVML_INVALID_ARGUMENT = 2, NVML_NOT_FOUND = 6,
	      NVML_INSUFFICIENT_SIZE = 7;

static void *library;

/* Calls a function by its name and the types of its arguments. */
template <typename... A>
static nvmlReturn_t
call(const char *name, A... arguments)
{
	auto function = (nvmlReturn_t(*)(A...))dlsym(library, name);
	if (!function) {
		printf("no %s\n", name);
		exit(1);
	}
	return function(arguments...);
}

#define NVML(name, ...)                                                                            \
	do {                                                                                       \
		nvmlReturn_t result_ = call(#name, ##__VA_ARGS__);                                 \
		if (result_) {                                                                     \
			printf("%s: %d\n", #name, result_);                                        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

int
main()
{
	library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
	EXPECT(library);
	unsigned count;
	EXPECT(call("nvmlDeviceGetCount_v2", &count) == NVML_UNINITIALIZED);
	NVML(nvmlInit_v2);
	NVML(nvmlDeviceGetCount_v2, &count);
	EXPECT(count >= 1);

	nvmlDevice_t device, same;
	char name[96], uuid[96], version[96];
	Memory memory;
	int major, minor, cuda_version;
	NVML(nvmlDeviceGetHandleByIndex_v2, 0u, &device);
	EXPECT(call("nvmlDeviceGetHandleByIndex_v2", count, &same) == NVML_INVALID_ARGUMENT);
	NVML(nvmlDeviceGetName, device, (char *)name, (unsigned)sizeof(name));
	EXPECT(call("nvmlDeviceGetName", device, (char *)name, 1u) == NVML_INSUFFICIENT_SIZE);
	NVML(nvmlDeviceGetName, device, (char *)name, (unsigned)sizeof(name));
	NVML(nvmlDeviceGetUUID, device, (char *)uuid, (unsigned)sizeof(uuid));
	NVML(nvmlDeviceGetHandleByUUID, (const char *)uuid, &same);
	EXPECT(same == device);
	NVML(nvmlDeviceGetMemoryInfo, device, &memory);
	EXPECT(memory.total > 0 && memory.used <= memory.total);
	NVML(nvmlDeviceGetCudaComputeCapability, device, &major, &minor);
	NVML(nvmlSystemGetDriverVersion, (char *)version, (unsigned)sizeof(version));
	NVML(nvmlSystemGetCudaDriverVersion_v2, &cuda_version);
	EXPECT(strlen(version) > 0);

	/* CUDA says the same of the device with that UUID. */
	int devices, driver_version;
	bool found = false;
	CUDA(cudaGetDeviceCount(&devices));
	CUDA(cudaDriverGetVersion(&driver_version));
	EXPECT(cuda_version == driver_version);
	for (int i = 0; i < devices; i++) {
		cudaDeviceProp p;
		char text[64];
		CUDA(cudaGetDeviceProperties(&p, i));
		int length = snprintf(text, sizeof(text), "GPU-");
		for (int k = 0; k < 16; k++)
			length += snprintf(text + length, sizeof(text) - length, "%s%02x",
					   k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "",
					   (unsigned char)p.uuid.bytes[k]);
		if (strcmp(text, uuid))
			continue;
		found = true;
		EXPECT(!strcmp(p.name, name));
		EXPECT(p.major == major && p.minor == minor);
	}
	EXPECT(found);
	auto describe = (const char *(*)(nvmlReturn_t))dlsym(library, "nvmlErrorString");
	EXPECT(describe && strlen(describe(NVML_NOT_FOUND)) > 0);
	NVML(nvmlShutdown);
	EXPECT(call("nvmlDeviceGetCount_v2", &count) == NVML_UNINITIALIZED);
	return ok();
}
