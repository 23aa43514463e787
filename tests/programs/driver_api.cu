/*
 * The driver API alone, found with dlopen and dlsym as interpreters and compilers do: context,
 * module from PTX text, memory, launches by both ways of passing parameters, events.
 */
#include <cuda.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "driver_api_ptx.h" /* static const char driver_api_ptx[] */

static void *driver;

template <typename F>
static F
find(const char *name)
{
	void *function = dlsym(driver, name);
	if (!function) {
		printf("no %s\n", name);
		exit(1);
	}
	return (F)function;
}

/* CALL(cuInit, 0): the header's name may stand for a versioned one; both are stringised. */
#define NAME_(name)    #name
#define NAME(name)     NAME_(name)
#define RAW(name, ...) (find<decltype(&name)>(NAME(name))(__VA_ARGS__))
#define CALL(name, ...)                                                                            \
	do {                                                                                       \
		CUresult result_ = RAW(name, __VA_ARGS__);                                         \
		if (result_ != CUDA_SUCCESS) {                                                     \
			printf("line %d: %s: %d\n", __LINE__, #name, (int)result_);                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("line %d: expected %s\n", __LINE__, #condition);                    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

int
main()
{
	driver = dlopen("libcuda.so.1", RTLD_NOW);
	if (!driver) {
		printf("%s\n", dlerror());
		return 1;
	}
	/* The one call that may come first. */
	int version, devices;
	CALL(cuDriverGetVersion, &version);
	EXPECT(version >= 12000);
	EXPECT(RAW(cuDeviceGetCount, &devices) == CUDA_ERROR_NOT_INITIALIZED);
	CALL(cuInit, 0);
	CALL(cuDeviceGetCount, &devices);
	EXPECT(devices >= 1);

	CUdevice device;
	CUcontext context, current;
	char name[64];
	size_t total;
	CALL(cuDeviceGet, &device, 0);
	memset(name, ' ', sizeof(name));
	CALL(cuDeviceGetName, name, sizeof(name), device);
	EXPECT(name[sizeof(name) - 1] == 0); /* zeros to the end */
	CALL(cuDeviceTotalMem, &total, device);
	EXPECT(strlen(name) > 0 && total > 0);
	CALL(cuDevicePrimaryCtxRetain, &context, device);
	CALL(cuCtxGetCurrent, &current);
	EXPECT(current == nullptr);
	CALL(cuCtxPushCurrent, context);
	CALL(cuCtxGetCurrent, &current);
	EXPECT(current == context);

	CUmodule module;
	CUfunction scale_add, shared_reverse, missing;
	char log[4096] = "";
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)sizeof(log)};
	CALL(cuModuleLoadDataEx, &module, driver_api_ptx, 2, options, values);
	CALL(cuModuleGetFunction, &scale_add, module, "scale_add");
	CALL(cuModuleGetFunction, &shared_reverse, module, "shared_reverse");
	EXPECT(RAW(cuModuleGetFunction, &missing, module, "missing") == CUDA_ERROR_NOT_FOUND);

	const int count = 1000;
	std::vector<float> x(count), y(count, 1.0f);
	for (int i = 0; i < count; i++)
		x[i] = (float)i;
	CUdeviceptr device_x, device_y, scale, launches;
	size_t size;
	CALL(cuMemAlloc, &device_x, count * sizeof(float));
	CALL(cuMemAlloc, &device_y, count * sizeof(float));
	CALL(cuMemcpyHtoD, device_x, x.data(), count * sizeof(float));
	CALL(cuMemcpyHtoD, device_y, y.data(), count * sizeof(float));
	CALL(cuModuleGetGlobal, &scale, &size, module, "scale");
	EXPECT(size == sizeof(float));
	CALL(cuModuleGetGlobal, &launches, nullptr, module, "launches");
	EXPECT(RAW(cuModuleGetGlobal, &scale, &size, module, "missing") == CUDA_ERROR_NOT_FOUND);

	CUstream stream;
	CUevent begin, end;
	CALL(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
	CALL(cuEventCreate, &begin, CU_EVENT_DEFAULT);
	CALL(cuEventCreate, &end, CU_EVENT_DEFAULT);
	CALL(cuEventRecord, begin, stream);
	int count_arg = count;
	void *params[] = {&device_x, &device_y, &count_arg};
	CALL(cuLaunchKernel, scale_add, 8, 1, 1, 128, 1, 1, 0, stream, params, nullptr);
	const float three = 3.0f;
	CALL(cuStreamSynchronize, stream);
	CALL(cuModuleGetGlobal, &scale, nullptr, module, "scale");
	CALL(cuMemcpyHtoD, scale, &three, sizeof(three));
	/* The same parameters as one buffer. */
	struct {
		CUdeviceptr x, y;
		int count;
	} packed = {device_x, device_y, count};
	size_t packed_size = 20;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
			 &packed_size, CU_LAUNCH_PARAM_END};
	CALL(cuLaunchKernel, scale_add, 8, 1, 1, 128, 1, 1, 0, stream, nullptr, extra);
	CALL(cuEventRecord, end, stream);
	CALL(cuMemcpyDtoHAsync, y.data(), device_y, count * sizeof(float), stream);
	CALL(cuStreamSynchronize, stream);
	float milliseconds;
	CALL(cuEventElapsedTime, &milliseconds, begin, end);
	EXPECT(milliseconds > 0.0f);
	for (int i = 0; i < count; i++)
		EXPECT(y[i] == 1.0f + 5.0f * (float)i);
	int host_launches;
	CALL(cuMemcpyDtoH, &host_launches, launches, sizeof(int));
	EXPECT(host_launches == 2);
	printf("two launches, last %.0f\n", y[count - 1]);

	/* Fills of every width, and a launch with shared memory. */
	CALL(cuMemsetD32, device_x, 0x01020304, 64);
	CALL(cuMemsetD16, device_x, 0x0506, 3);
	CALL(cuMemsetD8, device_x + 8, 9, 1);
	unsigned words[64];
	CALL(cuMemcpyDtoH, words, device_x, sizeof(words));
	EXPECT(words[0] == 0x05060506 && words[1] == 0x01020506 && words[2] == 0x01020309);
	void *reverse_params[] = {&device_x};
	for (unsigned i = 0; i < 64; i++)
		words[i] = i;
	CALL(cuMemcpyHtoD, device_x, words, sizeof(words));
	CALL(cuLaunchKernel, shared_reverse, 1, 1, 1, 64, 1, 1, 256, nullptr, reverse_params,
	     nullptr);
	CALL(cuMemcpyDtoH, words, device_x, sizeof(words));
	for (unsigned i = 0; i < 64; i++)
		EXPECT(words[i] == 63 - i);

	/* Function attributes and pointers. */
	int threads, shared;
	CALL(cuFuncGetAttribute, &threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, scale_add);
	CALL(cuFuncGetAttribute, &shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, scale_add);
	EXPECT(threads > 0 && shared == 0);
	size_t offset, param_size;
	CALL(cuFuncGetParamInfo, scale_add, 2, &offset, &param_size);
	EXPECT(offset == 16 && param_size == 4);
	EXPECT(RAW(cuFuncGetParamInfo, scale_add, 3, &offset, &param_size) ==
	       CUDA_ERROR_INVALID_VALUE);
	CUdeviceptr base;
	CALL(cuMemGetAddressRange, &base, &size, device_y + 100);
	EXPECT(base == device_y && size == count * sizeof(float));

	/* Text that is no PTX. */
	CUmodule bad;
	EXPECT(RAW(cuModuleLoadData, &bad, "this is no PTX\n") == CUDA_ERROR_INVALID_PTX ||
	       RAW(cuModuleLoadData, &bad, "this is no PTX\n") == CUDA_ERROR_INVALID_IMAGE);

	CALL(cuEventDestroy, begin);
	CALL(cuEventDestroy, end);
	CALL(cuStreamDestroy, stream);
	CALL(cuMemFree, device_x);
	CALL(cuMemFree, device_y);
	CALL(cuModuleUnload, module);
	CALL(cuCtxPopCurrent, &current);
	CALL(cuDevicePrimaryCtxRelease, device);
	/* A context of one's own. */
	CUcontext own;
	CUctxCreateParams *none = nullptr;
	CALL(cuCtxCreate_v4, &own, none, 0, device);
	CALL(cuMemAlloc, &device_x, 1000);
	CALL(cuMemFree, device_x);
	CALL(cuCtxDestroy, own);
	printf("ok\n");
	return 0;
}
