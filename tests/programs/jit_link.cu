/* Compiling and linking at run time with the driver API: two PTX texts that need each other, the
 * logs and options of both ways, and what goes wrong. */
#include "driver.h"

#include <cstring>

static const char caller[] = R"(
.version 7.0
.target sm_52
.address_size 64
.extern .func (.param .b32 result) twice (.param .b32 value);
.extern .global .u32 bias;
.visible .entry run(.param .u64 out, .param .u32 n)
{
	.reg .b32 %r<8>;
	.reg .b64 %rd<5>;
	.reg .pred %p;
	ld.param.u64 %rd1, [out];
	ld.param.u32 %r1, [n];
	mov.u32 %r2, %tid.x;
	setp.ge.u32 %p, %r2, %r1;
	@%p ret;
	{
	.param .b32 in;
	.param .b32 back;
	st.param.b32 [in], %r2;
	call (back), twice, (in);
	ld.param.b32 %r3, [back];
	}
	ld.global.u32 %r4, [bias];
	add.u32 %r5, %r3, %r4;
	cvta.to.global.u64 %rd2, %rd1;
	mul.wide.u32 %rd3, %r2, 4;
	add.u64 %rd4, %rd2, %rd3;
	st.global.u32 [%rd4], %r5;
	ret;
}
)";

static const char callee[] = R"(
.version 7.0
.target sm_52
.address_size 64
.visible .global .u32 bias = 1000;
.visible .func (.param .b32 result) twice (.param .b32 value)
{
	.reg .b32 %r<3>;
	ld.param.b32 %r1, [value];
	add.u32 %r2, %r1, %r1;
	st.param.b32 [result], %r2;
	ret;
}
)";

static const char broken[] = R"(
.version 7.0
.target sm_52
.address_size 64
.visible .entry run()
{
	this is no instruction;
}
)";

struct Logs {
	char info[4096], error[4096];
	float time;
	CUjit_option options[6];
	void *values[6];

	Logs()
	{
		const CUjit_option names[] = {
			CU_JIT_INFO_LOG_BUFFER,  CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
			CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
			CU_JIT_LOG_VERBOSE,      CU_JIT_WALL_TIME};
		memcpy(options, names, sizeof(options));
		memset(info, 'x', sizeof(info));
		memset(error, 'x', sizeof(error));
		values[0] = info;
		values[1] = (void *)sizeof(info);
		values[2] = error;
		values[3] = (void *)sizeof(error);
		values[4] = (void *)1;
		values[5] = nullptr;
	}
	size_t error_length()
	{
		return (size_t)(unsigned)(uintptr_t)values[3];
	}
};

static void
run(CUmodule module, unsigned bias)
{
	constexpr unsigned n = 100;
	unsigned out[n], count = n;
	CUfunction function;
	CUdeviceptr memory, variable;
	size_t size;
	void *parameters[] = {&memory, &count};
	bool right = true;

	CU(DRIVER(cuModuleGetFunction)(&function, module, "run"));
	CU(DRIVER(cuModuleGetGlobal)(&variable, &size, module, "bias"));
	EXPECT(size == sizeof(unsigned));
	CU(DRIVER(cuMemcpyHtoD)(variable, &bias, sizeof(bias)));
	CU(DRIVER(cuMemAlloc)(&memory, sizeof(out)));
	CU(DRIVER(cuLaunchKernel)(function, 1, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
	CU(DRIVER(cuMemcpyDtoH)(out, memory, sizeof(out)));
	for (unsigned i = 0; i < n; i++)
		right = right && out[i] == 2 * i + bias;
	EXPECT(right);
	CU(DRIVER(cuMemFree)(memory));
}

static void
linking()
{
	CUlinkState state;
	CUmodule module;
	void *image;
	size_t size;
	Logs logs;

	CU(DRIVER(cuLinkCreate)(6, logs.options, logs.values, &state));
	CU(DRIVER(cuLinkAddData)(state, CU_JIT_INPUT_PTX, (void *)caller, sizeof(caller),
				 "caller.ptx", 0, nullptr, nullptr));
	CU(DRIVER(cuLinkAddData)(state, CU_JIT_INPUT_PTX, (void *)callee, sizeof(callee),
				 "callee.ptx", 0, nullptr, nullptr));
	CU(DRIVER(cuLinkComplete)(state, &image, &size));
	EXPECT(image && size > 0);
	EXPECT(logs.error_length() == 0);
	CU(DRIVER(cuModuleLoadData)(&module, image));
	CU(DRIVER(cuLinkDestroy)(state)); /* the module has its own copy */
	run(module, 7);
	CU(DRIVER(cuModuleUnload)(module));

	/* What is linked can be linked again. */
	CU(DRIVER(cuLinkCreate)(0, nullptr, nullptr, &state));
	EXPECT(DRIVER(cuLinkAddFile)(state, CU_JIT_INPUT_PTX, "/no/such/file.ptx", 0, nullptr,
				     nullptr) == CUDA_ERROR_FILE_NOT_FOUND);
	CU(DRIVER(cuLinkDestroy)(state));
}

static void
what_goes_wrong()
{
	CUlinkState state;
	CUresult status;
	CUmodule module;
	void *image;
	size_t size;
	Logs logs, load;

	/* Compilers may find it when it is added, or at the end. */
	CU(DRIVER(cuLinkCreate)(6, logs.options, logs.values, &state));
	status = DRIVER(cuLinkAddData)(state, CU_JIT_INPUT_PTX, (void *)broken, sizeof(broken),
				       "broken.ptx", 0, nullptr, nullptr);
	if (status == CUDA_SUCCESS)
		status = DRIVER(cuLinkComplete)(state, &image, &size);
	EXPECT(status == CUDA_ERROR_INVALID_PTX);
	EXPECT(strnlen(logs.error, sizeof(logs.error)) < sizeof(logs.error) && logs.error[0]);
	CU(DRIVER(cuLinkDestroy)(state));

	/* A name that nobody defines. */
	CU(DRIVER(cuLinkCreate)(0, nullptr, nullptr, &state));
	status = DRIVER(cuLinkAddData)(state, CU_JIT_INPUT_PTX, (void *)caller, sizeof(caller),
				       "caller.ptx", 0, nullptr, nullptr);
	if (status == CUDA_SUCCESS)
		status = DRIVER(cuLinkComplete)(state, &image, &size);
	EXPECT(status != CUDA_SUCCESS);
	CU(DRIVER(cuLinkDestroy)(state));

	EXPECT(DRIVER(cuModuleLoadDataEx)(&module, broken, 6, load.options, load.values) ==
	       CUDA_ERROR_INVALID_PTX);
	EXPECT(strnlen(load.error, sizeof(load.error)) < sizeof(load.error) && load.error[0]);
	EXPECT(load.error_length() > 0 && load.error_length() < sizeof(load.error));
}

static const char alone[] = R"(
.version 7.0
.target sm_52
.address_size 64
.visible .global .u32 bias = 1;
.visible .entry run(.param .u64 out, .param .u32 n)
{
	.reg .b32 %r<6>;
	.reg .b64 %rd<5>;
	.reg .pred %p;
	ld.param.u64 %rd1, [out];
	ld.param.u32 %r1, [n];
	mov.u32 %r2, %tid.x;
	setp.ge.u32 %p, %r2, %r1;
	@%p ret;
	ld.global.u32 %r3, [bias];
	add.u32 %r4, %r2, %r2;
	add.u32 %r4, %r4, %r3;
	cvta.to.global.u64 %rd2, %rd1;
	mul.wide.u32 %rd3, %r2, 4;
	add.u64 %rd4, %rd2, %rd3;
	st.global.u32 [%rd4], %r4;
	ret;
}
)";

static void
loading()
{
	CUjit_option limit[] = {CU_JIT_MAX_REGISTERS, CU_JIT_OPTIMIZATION_LEVEL};
	void *values[] = {(void *)32, (void *)2};
	CUmodule module;
	Logs logs;

	CU(DRIVER(cuModuleLoadDataEx)(&module, alone, 6, logs.options, logs.values));
	EXPECT(logs.error_length() == 0 && logs.error[0] == '\0');
	run(module, 5);
	CU(DRIVER(cuModuleUnload)(module));
	CU(DRIVER(cuModuleLoadDataEx)(&module, alone, 2, limit, values));
	run(module, 6);
	CU(DRIVER(cuModuleUnload)(module));
}

/* The same options where the code belongs to no context. */
static void
libraries()
{
	CUjit_option limit[] = {CU_JIT_MAX_REGISTERS, CU_JIT_OPTIMIZATION_LEVEL};
	void *values[] = {(void *)32, (void *)2};
	CUlibrary library;
	CUmodule module;
	CUkernel kernel;
	Logs logs, wrong;
	int registers;

	CU(DRIVER(cuLibraryLoadData)(&library, alone, logs.options, logs.values, 6, nullptr,
				     nullptr, 0));
	CU(DRIVER(cuLibraryGetModule)(&module, library)); /* loads it, if it was not */
	EXPECT(logs.error_length() == 0 && logs.error[0] == '\0');
	run(module, 7);
	CU(DRIVER(cuLibraryUnload)(library));
	CU(DRIVER(cuLibraryLoadData)(&library, alone, limit, values, 2, nullptr, nullptr, 0));
	CU(DRIVER(cuLibraryGetKernel)(&kernel, library, "run"));
	CU(DRIVER(cuKernelGetAttribute)(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, kernel, 0));
	EXPECT(registers > 0 && registers <= 32);
	CU(DRIVER(cuLibraryGetModule)(&module, library));
	run(module, 8);
	CU(DRIVER(cuLibraryUnload)(library));

	/* the log says what is wrong, the code comes when something of it is wanted */
	CU(DRIVER(cuLibraryLoadData)(&library, broken, wrong.options, wrong.values, 6, nullptr,
				     nullptr, 0));
	EXPECT(wrong.error_length() > 0 && strlen(wrong.error) > 0);
	EXPECT(DRIVER(cuLibraryGetKernel)(&kernel, library, "run") == CUDA_ERROR_INVALID_PTX);
	EXPECT(DRIVER(cuLibraryGetModule)(&module, library) == CUDA_ERROR_INVALID_PTX);
	CU(DRIVER(cuLibraryUnload)(library));
	CUjit_option none = (CUjit_option)1000;
	EXPECT(DRIVER(cuLibraryLoadData)(&library, alone, &none, values, 1, nullptr, nullptr, 0) ==
	       CUDA_ERROR_INVALID_VALUE);
	printf("libraries\n");
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* the runtime makes its context current */
	linking();
	loading();
	libraries();
	what_goes_wrong();
	return ok();
}
