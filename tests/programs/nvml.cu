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
struct MemoryV2 {
	unsigned version;
	unsigned long long total, reserved, free, used;
};
struct Pci {
	char old_bus[16];
	unsigned domain, bus, device, id, subsystem;
	char bus_id[32];
};
struct Field {
	unsigned id, scope;
	long long time, latency;
	unsigned type;
	nvmlReturn_t status;
	unsigned long long value;
};
constexpr int NVML_UNINITIALIZED = 1, NVML_INVALID_ARGUMENT = 2, NVML_NOT_FOUND = 6,
	      NVML_INSUFFICIENT_SIZE = 7, NVML_NOT_SUPPORTED = 3;

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

/* A reading that not every device has: it works, or says that it is not supported. */
template <typename... A>
static bool
reading(const char *name, A... arguments)
{
	nvmlReturn_t status = call(name, arguments...);

	if (status && status != NVML_NOT_SUPPORTED)
		printf("%s: %d\n", name, status);
	return !status || status == NVML_NOT_SUPPORTED;
}

static void
readings(nvmlDevice_t device)
{
	unsigned long long number64 = 0;
	unsigned number = 0, other = 0;
	char text[128];

	EXPECT(reading("nvmlDeviceGetSerial", device, (char *)text, (unsigned)sizeof(text)));
	EXPECT(reading("nvmlDeviceGetBoardPartNumber", device, (char *)text,
		       (unsigned)sizeof(text)));
	EXPECT(reading("nvmlDeviceGetVbiosVersion", device, (char *)text, (unsigned)sizeof(text)));
	EXPECT(reading("nvmlDeviceGetInforomImageVersion", device, (char *)text,
		       (unsigned)sizeof(text)));
	EXPECT(reading("nvmlDeviceGetGspFirmwareVersion", device, (char *)text));
	EXPECT(reading("nvmlDeviceGetMigMode", device, &number, &other));
	EXPECT(reading("nvmlDeviceGetEccMode", device, &number, &other));
	EXPECT(reading("nvmlDeviceGetTotalEccErrors", device, 0, 0, &number64));
	EXPECT(reading("nvmlDeviceGetMemoryErrorCounter", device, 0, 0, 2, &number64));
	EXPECT(reading("nvmlDeviceGetPowerUsage", device, &number));
	EXPECT(reading("nvmlDeviceGetNumFans", device, &number));
	EXPECT(reading("nvmlDeviceGetPcieThroughput", device, 0, &number));
	EXPECT(reading("nvmlDeviceGetPcieReplayCounter", device, &number));
	EXPECT(reading("nvmlDeviceGetDisplayActive", device, &number));
	EXPECT(reading("nvmlDeviceGetPersistenceMode", device, &number));
	EXPECT(reading("nvmlDeviceGetCurrentClocksThrottleReasons", device, &number64));
	EXPECT(reading("nvmlDeviceGetRetiredPagesPendingStatus", device, &number));
	EXPECT(reading("nvmlDeviceGetNvLinkState", device, 0u, &number));
	EXPECT(reading("nvmlDeviceGetVirtualizationMode", device, &number));
	EXPECT(reading("nvmlDeviceGetEncoderStats", device, &number, &number, &number));

	/* Arrays that the caller counts. */
	unsigned clocks[512], count = 512;
	EXPECT(reading("nvmlDeviceGetSupportedMemoryClocks", device, &count, (unsigned *)clocks));
	unsigned count_of_none = 0;
	nvmlReturn_t status = call("nvmlDeviceGetSupportedMemoryClocks", device, &count_of_none,
				   (unsigned *)nullptr);
	EXPECT(status == NVML_INSUFFICIENT_SIZE ? count_of_none == count
						: status == NVML_NOT_SUPPORTED || !status);

	/* Fields have a status each: 1 is whether ECC is on, the other does not exist. */
	Field fields[2] = {};
	fields[0].id = 1;
	fields[1].id = 100000;
	if (call("nvmlDeviceGetFieldValues", device, 2, (Field *)fields) == 0)
		EXPECT(fields[1].status != 0);
}

/* Structs that begin with their size and version. */
static void
versioned(nvmlDevice_t device, const Memory &memory)
{
	MemoryV2 v2 = {};

	v2.version = sizeof(v2) | 2 << 24;
	NVML(nvmlDeviceGetMemoryInfo_v2, device, &v2);
	EXPECT(v2.total == memory.total && v2.version == (sizeof(v2) | 2 << 24));
	/* Refused; by which code depends on the release of the driver. */
	v2.version = sizeof(v2) | 77 << 24;
	EXPECT(call("nvmlDeviceGetMemoryInfo_v2", device, &v2) != 0);
	v2.version = 0;
	EXPECT(call("nvmlDeviceGetMemoryInfo_v2", device, &v2) != 0);
}

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

	Pci pci;
	unsigned long processors[16] = {};
	NVML(nvmlDeviceGetPciInfo_v3, device, &pci);
	NVML(nvmlDeviceGetHandleByPciBusId_v2, (const char *)pci.bus_id, &same);
	EXPECT(same == device);
	NVML(nvmlDeviceGetCpuAffinity, device, 16u, (unsigned long *)processors);
	bool any = false;
	for (unsigned long word : processors)
		any = any || word;
	EXPECT(any);
	readings(device);
	versioned(device, memory);
	/* No fan 99: refused whoever asks. */
	EXPECT(call("nvmlDeviceSetFanSpeed_v2", device, 99u, 50u) != 0);

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
		EXPECT(p.pciBusID == (int)pci.bus && p.pciDomainID == (int)pci.domain);
	}
	EXPECT(found);
	auto describe = (const char *(*)(nvmlReturn_t))dlsym(library, "nvmlErrorString");
	EXPECT(describe && strlen(describe(NVML_NOT_FOUND)) > 0);
	NVML(nvmlShutdown);
	EXPECT(call("nvmlDeviceGetCount_v2", &count) == NVML_UNINITIALIZED);
	return ok();
}
