/* nvJitLink as cuSPARSE and cuda.compute have it: the program is linked with it, dlsym() is not
 * asked. Two texts that need each other become machine code, which is loaded and runs. */
#include "driver.h"

#include <nvJitLink.h>

#include <cstring>
#include <string>

static const char caller[] = R"(
.version 7.8
.target sm_75
.address_size 64
.extern .func (.param .b32 result) scaled (.param .b32 value);
.visible .entry run(.param .u64 out)
{
	.reg .b32 %r<4>;
	.reg .b64 %rd<4>;
	ld.param.u64 %rd1, [out];
	mov.u32 %r1, %tid.x;
	{
	.param .b32 in;
	.param .b32 back;
	st.param.b32 [in], %r1;
	call (back), scaled, (in);
	ld.param.b32 %r2, [back];
	}
	cvta.to.global.u64 %rd2, %rd1;
	mul.wide.u32 %rd3, %r1, 4;
	add.u64 %rd2, %rd2, %rd3;
	st.global.u32 [%rd2], %r2;
	ret;
}
)";

static const char callee[] = R"(
.version 7.8
.target sm_75
.address_size 64
.visible .global .u32 offset = 500;
.visible .func (.param .b32 result) scaled (.param .b32 value)
{
	.reg .b32 %r<4>;
	ld.param.b32 %r1, [value];
	ld.global.u32 %r2, [offset];
	mad.lo.u32 %r3, %r1, 3, %r2;
	st.param.b32 [result], %r3;
	ret;
}
)";

#define LINK(call)                                                                                 \
	do {                                                                                       \
		nvJitLinkResult result_ = (call);                                                  \
		if (result_ != NVJITLINK_SUCCESS) {                                                \
			printf("%s: %d\n", #call, (int)result_);                                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void
add(nvJitLinkHandle link, const char *text, const char *name)
{
	LINK(nvJitLinkAddData(link, NVJITLINK_INPUT_PTX, text, strlen(text) + 1, name));
}

static std::vector<char>
link_both(const char *arch)
{
	const char *options[] = {arch};
	nvJitLinkHandle link;
	LINK(nvJitLinkCreate(&link, 1, options));
	add(link, caller, "caller");
	add(link, callee, "callee");
	LINK(nvJitLinkComplete(link));
	size_t size;
	LINK(nvJitLinkGetLinkedCubinSize(link, &size));
	std::vector<char> cubin(size);
	LINK(nvJitLinkGetLinkedCubin(link, cubin.data()));
	LINK(nvJitLinkDestroy(&link));
	EXPECT(link == nullptr);
	return cubin;
}

int
main()
{
	cudaDeviceProp properties;
	CUDA(cudaGetDeviceProperties(&properties, 0));
	CUDA(cudaFree(nullptr)); /* makes the context current */
	std::string arch =
		"-arch=sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
	int *out;
	CUDA(cudaMalloc(&out, 32 * sizeof(int)));
	/* twice: links do not mix */
	for (int turn = 0; turn < 2; turn++) {
		std::vector<char> cubin = link_both(arch.c_str());
		EXPECT(cubin.size() > 4 && !memcmp(cubin.data(), "\177ELF", 4));
		CUmodule module;
		CUfunction run;
		CU(DRIVER(cuModuleLoadData)(&module, cubin.data()));
		CU(DRIVER(cuModuleGetFunction)(&run, module, "run"));
		CUDA(cudaMemset(out, 0, 32 * sizeof(int)));
		void *args[] = {&out};
		CU(DRIVER(cuLaunchKernel)(run, 1, 1, 1, 32, 1, 1, 0, nullptr, args, nullptr));
		std::vector<int> values = to_host(out, 32);
		for (int i = 0; i < 32; i++)
			EXPECT(values[i] == 3 * i + 500);
		CU(DRIVER(cuModuleUnload)(module));
	}
	/* what is missing is named by the vendor's linker */
	nvJitLinkHandle link;
	const char *options[] = {arch.c_str()};
	LINK(nvJitLinkCreate(&link, 1, options));
	add(link, caller, "caller");
	nvJitLinkResult result = nvJitLinkComplete(link);
	EXPECT(result != NVJITLINK_SUCCESS);
	size_t size = 0;
	LINK(nvJitLinkGetErrorLogSize(link, &size));
	std::vector<char> log(size + 1);
	LINK(nvJitLinkGetErrorLog(link, log.data()));
	EXPECT(strstr(log.data(), "scaled") != nullptr);
	LINK(nvJitLinkDestroy(&link));
	CUDA(cudaFree(out));
	return ok();
}
