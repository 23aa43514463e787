/*
 * The management library, what waits and what is sampled: sets of events, metrics of a GPU's units,
 * slices of a GPU, counters that newer drivers have. A device has them, or says that it has not.
 */
#include "program.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <thread>

/* As nvml.h has them; a CUDA toolkit need not contain that header. */
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct nvmlEventSet_st *nvmlEventSet_t;
typedef struct nvmlGpmSample_st *nvmlGpmSample_t;
typedef int nvmlReturn_t;
struct Event {
	nvmlDevice_t device;
	unsigned long long type, data;
	unsigned gpu_instance, compute_instance;
};
struct Memory {
	unsigned long long total, free, used;
};
struct Metric {
	unsigned id;
	nvmlReturn_t status;
	double value;
	const char *short_name, *long_name, *unit;
};
struct Metrics {
	unsigned version, count;
	nvmlGpmSample_t first, second;
	Metric metrics[477];
};
struct GpmSupport {
	unsigned version, supported;
};
constexpr nvmlReturn_t INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, TIMEOUT = 10,
		       FUNCTION_NOT_FOUND = 13;
constexpr unsigned SM_OCCUPANCY = 3, GRAPHICS_UTIL = 1;

static void *library;

/* Calls a function by its name and the types of its arguments. */
template <typename... A>
static nvmlReturn_t
call(const char *name, A... arguments)
{
	auto function = (nvmlReturn_t(*)(A...))dlsym(library, name);
	return function ? function(arguments...) : FUNCTION_NOT_FOUND;
}

#define NVML(name, ...)                                                                            \
	do {                                                                                       \
		nvmlReturn_t result_ = call(#name, ##__VA_ARGS__);                                 \
		if (result_) {                                                                     \
			printf("line %d: %s: %d\n", __LINE__, #name, result_);                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static double
seconds_since(std::chrono::steady_clock::time_point begin)
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

__global__ void
work(float *values)
{
	float x = (float)threadIdx.x;
	for (int i = 0; i < 1000; i++)
		x = x * 0.5f + 1;
	values[blockIdx.x * blockDim.x + threadIdx.x] = x;
}

/* Nothing happens, or another program's kernel has failed meanwhile. */
static void
wait(nvmlEventSet_t set, unsigned milliseconds)
{
	auto begin = std::chrono::steady_clock::now();
	Event event;
	nvmlReturn_t status = call("nvmlEventSetWait_v2", set, &event, milliseconds);
	EXPECT(status == 0 || status == TIMEOUT);
	if (status)
		EXPECT(seconds_since(begin) >= milliseconds / 1000.0 - 0.001);
}

/* Whoever waits holds up nobody. */
static void
events(nvmlDevice_t device)
{
	unsigned long long types = 0;
	nvmlEventSet_t set;
	NVML(nvmlDeviceGetSupportedEventTypes, device, &types);
	NVML(nvmlEventSetCreate, &set);
	/* of these only what ends a program (XID: 8), so that a change of clocks is no event */
	if (types & 8)
		NVML(nvmlDeviceRegisterEvents, device, 8ull, set);
	wait(set, 0);
	wait(set, 30);

	std::atomic<int> asked{0}, stop{0};
	std::thread waiting([&] {
		wait(set, 1500);
		stop = 1;
	});
	while (!stop) {
		Memory memory;
		NVML(nvmlDeviceGetMemoryInfo, device, &memory);
		CUDA(cudaDeviceSynchronize());
		asked++;
	}
	waiting.join();
	EXPECT(asked > 0);
	EXPECT(call("nvmlEventSetWait_v2", set, (Event *)nullptr, 0u) == INVALID_ARGUMENT);
	NVML(nvmlEventSetFree, set);
	printf("events\n");
}

static void
metrics(nvmlDevice_t device)
{
	GpmSupport support = {1, 0};
	nvmlReturn_t status = call("nvmlGpmQueryDeviceSupport", device, &support);
	EXPECT(!status || status == NOT_SUPPORTED);
	if (!status && support.supported) {
		auto get = std::make_unique<Metrics>();
		memset(get.get(), 0, sizeof(Metrics));
		float *values;
		CUDA(cudaMalloc(&values, 1024 * 256 * sizeof(float)));
		NVML(nvmlGpmSampleAlloc, &get->first);
		NVML(nvmlGpmSampleAlloc, &get->second);
		NVML(nvmlGpmSampleGet, device, get->first);
		auto begin = std::chrono::steady_clock::now();
		while (seconds_since(begin) < 0.5) {
			work<<<1024, 256>>>(values);
			CUDA(cudaDeviceSynchronize());
		}
		NVML(nvmlGpmSampleGet, device, get->second);
		get->version = 1;
		get->count = 2;
		get->metrics[0].id = GRAPHICS_UTIL;
		get->metrics[1].id = SM_OCCUPANCY;
		NVML(nvmlGpmMetricsGet, get.get());
		for (int i = 0; i < 2; i++) {
			const Metric &metric = get->metrics[i];
			EXPECT(!metric.status && metric.value > 0 && metric.value <= 100);
			EXPECT(metric.short_name && strlen(metric.short_name) > 0);
			EXPECT(metric.unit && strlen(metric.unit) > 0);
		}
		get->version = 77;
		EXPECT(call("nvmlGpmMetricsGet", get.get()) != 0);
		NVML(nvmlGpmSampleFree, get->first);
		NVML(nvmlGpmSampleFree, get->second);
		CUDA(cudaFree(values));
	}
	printf("metrics\n");
}

/* A device that is not divided. One that is would be another device for CUDA. */
static void
slices(nvmlDevice_t device)
{
	unsigned current = 0, pending = 0, count = 0, is_slice = 7;
	nvmlDevice_t slice = nullptr;
	nvmlReturn_t status = call("nvmlDeviceGetMigMode", device, &current, &pending);
	EXPECT(!status || status == NOT_SUPPORTED);
	NVML(nvmlDeviceGetMaxMigDeviceCount, device, &count);
	NVML(nvmlDeviceIsMigDeviceHandle, device, &is_slice);
	EXPECT(is_slice == 0);
	if (status || !current) {
		EXPECT(call("nvmlDeviceGetMigDeviceHandleByIndex", device, 0u, &slice) != 0);
		EXPECT(call("nvmlDeviceGetGpuInstanceById", device, 0u, &slice) != 0);
		EXPECT(call("nvmlDeviceGetGpuInstanceRemainingCapacity", device, 0u, &count) != 0);
	}
	EXPECT(call("nvmlDeviceGetMigMode", device, (unsigned *)nullptr, &pending) ==
	       INVALID_ARGUMENT);
	printf("slices\n");
}

/* A value, or one of the reasons that a program must expect. */
template <typename... A>
static void
newer(const char *name, A... arguments)
{
	nvmlReturn_t status = call(name, arguments...);
	if (status && status != NOT_SUPPORTED && status != FUNCTION_NOT_FOUND) {
		printf("%s: %d\n", name, status);
		exit(1);
	}
}

int
main()
{
	unsigned room[64] = {};
	nvmlDevice_t device;
	Event event;
	CUDA(cudaFree(nullptr));
	library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
	if (!library)
		skip("no libnvidia-ml.so.1");
	NVML(nvmlInit_v2);
	NVML(nvmlDeviceGetHandleByIndex_v2, 0u, &device);
	events(device);
	metrics(device);
	slices(device);
	newer("nvmlDeviceGetRemappedRows_v2", device, (void *)room);
	newer("nvmlDeviceGetUnrepairableMemoryFlag_v1", device, (void *)room);
	newer("nvmlDeviceGetBankRemapperStatus_v1", device, (void *)room);
	newer("nvmlDeviceGetGpuUptime_v1", device, (void *)room);
	newer("nvmlDeviceGetRemappedRows", device, room, room + 1, room + 2, room + 3);
	EXPECT(call("nvmlEventSetWait_v2", (nvmlEventSet_t) nullptr, &event, 0u) != 0);
	NVML(nvmlShutdown);
	return ok();
}
