/* A kernel compiled while the program runs, and launched through the driver API. */
#include "program.h"

#include <cuda.h>
#include <nvrtc.h>

#include <cstring>
#include <string>

static const char source[] = R"(
template <typename T> __global__ void axpy(T a, const T *x, T *y, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		y[i] = a * x[i] + y[i] * FACTOR;
}
)";

#define NVRTC(call)                                                                                \
	do {                                                                                       \
		nvrtcResult result_ = (call);                                                      \
		if (result_ != NVRTC_SUCCESS) {                                                    \
			printf("%s: %s\n", #call, nvrtcGetErrorString(result_));                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* The driver's functions as programs of the runtime find them. */
template <typename F>
static F
entry(const char *name)
{
	void *function = nullptr;
	cudaDriverEntryPointQueryResult found;
	CUDA(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found));
	EXPECT(found == cudaDriverEntryPointSuccess && function);
	return (F)function;
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* makes the context current */
	nvrtcProgram program;
	NVRTC(nvrtcCreateProgram(&program, source, "axpy.cu", 0, nullptr, nullptr));
	NVRTC(nvrtcAddNameExpression(program, "axpy<float>"));
	NVRTC(nvrtcAddNameExpression(program, "axpy<int>"));
	const char *options[] = {"--gpu-architecture=compute_75", "-DFACTOR=3"};
	NVRTC(nvrtcCompileProgram(program, 2, options));
	size_t size;
	NVRTC(nvrtcGetPTXSize(program, &size));
	std::vector<char> ptx(size);
	NVRTC(nvrtcGetPTX(program, ptx.data()));
	const char *float_name, *int_name;
	NVRTC(nvrtcGetLoweredName(program, "axpy<float>", &float_name));
	NVRTC(nvrtcGetLoweredName(program, "axpy<int>", &int_name));

	auto load = entry<decltype(&cuModuleLoadData)>("cuModuleLoadData");
	auto get = entry<decltype(&cuModuleGetFunction)>("cuModuleGetFunction");
	auto launch = entry<decltype(&cuLaunchKernel)>("cuLaunchKernel");
	CUmodule module;
	CUfunction for_float, for_int;
	EXPECT(load(&module, ptx.data()) == CUDA_SUCCESS);
	EXPECT(get(&for_float, module, float_name) == CUDA_SUCCESS);
	EXPECT(get(&for_int, module, int_name) == CUDA_SUCCESS);

	int count = 700;
	std::vector<int> x = random_ints(count, 1000, 111), y = random_ints(count, 1000, 112);
	int *device_x = to_device(x), *device_y = to_device(y), a = 7;
	void *args[] = {&a, &device_x, &device_y, &count};
	EXPECT(launch(for_int, 6, 1, 1, 128, 1, 1, 0, 0, args, nullptr) == CUDA_SUCCESS);
	std::vector<int> out = to_host(device_y, count);
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == 7 * x[i] + 3 * y[i]);
	print_checksum("int", out);

	std::vector<float> fx(count, 0.5f), fy(count, 2.0f);
	float *device_fx = to_device(fx), *device_fy = to_device(fy), fa = 4.0f;
	void *float_args[] = {&fa, &device_fx, &device_fy, &count};
	EXPECT(launch(for_float, 6, 1, 1, 128, 1, 1, 0, 0, float_args, nullptr) == CUDA_SUCCESS);
	EXPECT(to_host(device_fy, count)[count - 1] == 8.0f);
	NVRTC(nvrtcDestroyProgram(&program));
	CUDA(cudaFree(device_x));
	CUDA(cudaFree(device_y));
	CUDA(cudaFree(device_fx));
	CUDA(cudaFree(device_fy));
	return ok();
}
