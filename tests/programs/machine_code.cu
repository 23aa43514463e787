/*
 * Machine code made while the program runs, for the very device: by NVRTC and by nvJitLink, which
 * are opened with dlopen() as Python packages do it, and by ptxas, a program of its own.
 */
#include "program.h"

#include <cuda.h>
#include <dlfcn.h>
#include <nvJitLink.h>
#include <nvrtc.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

static const char kernel_source[] = R"(
extern "C" __device__ int helper(int);
extern "C" __global__ void run(int *data, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		data[i] = helper(data[i]);
}
)";
static const char helper_source[] = R"(
static __device__ int offset = 5;
extern "C" __device__ int helper(int x) { return 3 * x + offset; }
)";
/* As if from another compiler: an internal name that the other file has too. */
static const char helper_ptx[] = R"(
.version 7.0
.target sm_75
.address_size 64
.global .u32 offset = 11;
.visible .func (.param .b32 out) helper(.param .b32 x)
{
	.reg .b32 %r<4>;
	ld.param.u32 %r1, [x];
	ld.global.u32 %r2, [offset];
	mad.lo.s32 %r3, %r1, 2, %r2;
	st.param.b32 [out], %r3;
	ret;
}
)";

struct Library {
	void *handle;

	explicit Library(const char *name) : handle(dlopen(name, RTLD_LAZY | RTLD_LOCAL))
	{
		if (!handle)
			skip(name);
	}
	template <typename F> F get(const char *name) const
	{
		F function = (F)dlsym(handle, name);
		EXPECT(function);
		return function;
	}
};

#define OF(library, name) library.get<decltype(&name)>(#name)
#define DONE(call)        EXPECT((int)(call) == 0)

/* What @size and @data of a program or a link give. */
template <typename Handle, typename Size, typename Data>
static std::string
output(Handle handle, Size get_size, Data get_data)
{
	size_t size = 0;
	DONE(get_size(handle, &size));
	std::string out(size, '\0');
	DONE(get_data(handle, &out[0]));
	return out;
}

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

#define DRIVER(name) entry<decltype(&name)>(#name)

static std::string arch;

enum Form { CUBIN, PTX, LTOIR };

static std::string
compile(const Library &nvrtc, const std::string &source, Form form)
{
	nvrtcProgram program;
	std::string target = "--gpu-architecture=sm_" + arch;
	const char *options[] = {target.c_str(), form == LTOIR ? "-dlto" : "-rdc=true"};
	std::string out;

	DONE(OF(nvrtc, nvrtcCreateProgram)(&program, source.c_str(), "a.cu", 0, nullptr, nullptr));
	DONE(OF(nvrtc, nvrtcCompileProgram)(program, form == CUBIN ? 1 : 2, options));
	if (form == CUBIN)
		out = output(program, OF(nvrtc, nvrtcGetCUBINSize), OF(nvrtc, nvrtcGetCUBIN));
	else if (form == PTX)
		out = output(program, OF(nvrtc, nvrtcGetPTXSize), OF(nvrtc, nvrtcGetPTX));
	else
		out = output(program, OF(nvrtc, nvrtcGetLTOIRSize), OF(nvrtc, nvrtcGetLTOIR));
	DONE(OF(nvrtc, nvrtcDestroyProgram)(&program));
	return out;
}

/* Loads a cubin and runs its kernel; what it makes of 0, 1, 2… must be @factor * i + @offset. */
static void
try_cubin(const char *what, const std::string &cubin, int factor, int offset)
{
	int count = 1000;
	std::vector<int> in(count);
	for (int i = 0; i < count; i++)
		in[i] = i;
	EXPECT(!memcmp(cubin.data(), "\177ELF", 4));
	int *data = to_device(in);
	void *args[] = {&data, &count};
	CUmodule module;
	CUfunction function;
	int registers = 0;
	DONE(DRIVER(cuModuleLoadData)(&module, cubin.data()));
	DONE(DRIVER(cuModuleGetFunction)(&function, module, "run"));
	DONE(DRIVER(cuFuncGetAttribute)(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
	EXPECT(registers > 0);
	DONE(DRIVER(cuLaunchKernel)(function, 8, 1, 1, 128, 1, 1, 0, nullptr, args, nullptr));
	std::vector<int> out = to_host(data, count);
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == factor * i + offset);
	DONE(DRIVER(cuModuleUnload)(module));
	CUDA(cudaFree(data));
	printf("%s: %d\n", what, out[count - 1]);
}

struct Input {
	nvJitLinkInputType type;
	std::string data;
};

static std::string
link(const Library &jitlink, bool lto, const std::vector<Input> &inputs)
{
	nvJitLinkHandle handle;
	std::string target = "-arch=sm_" + arch;
	const char *options[] = {target.c_str(), "-lto"};
	/* by the names without a release, which no header declares */
	auto create = jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle *, uint32_t, const char **)>(
		"nvJitLinkCreate");
	auto add =
		jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle, nvJitLinkInputType, const void *,
						size_t, const char *)>("nvJitLinkAddData");
	auto complete = jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle)>("nvJitLinkComplete");
	auto size = jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle, size_t *)>(
		"nvJitLinkGetLinkedCubinSize");
	auto get = jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle, void *)>(
		"nvJitLinkGetLinkedCubin");
	auto destroy = jitlink.get<nvJitLinkResult (*)(nvJitLinkHandle *)>("nvJitLinkDestroy");

	DONE(create(&handle, lto ? 2 : 1, options));
	for (const Input &input : inputs)
		DONE(add(handle, input.type, input.data.data(), input.data.size(), "input"));
	DONE(complete(handle));
	std::string out = output(handle, size, get);
	DONE(destroy(&handle));
	return out;
}

static std::string
read_file(const std::string &path)
{
	std::ifstream file(path, std::ios::binary);
	return std::string(std::istreambuf_iterator<char>(file), {});
}

/* The cubin that ptxas makes; empty: there is no ptxas. */
static std::string
assemble(const std::string &text)
{
	char folder[] = "/tmp/genie-ptxas-XXXXXX";
	EXPECT(mkdtemp(folder));
	std::string input = std::string(folder) + "/a.ptx",
		    output = std::string(folder) + "/a.cubin";
	std::ofstream(input) << text.c_str();
	std::string command = "PATH=$PATH:/usr/local/cuda/bin; command -v ptxas > /dev/null && "
			      "exec ptxas -v --gpu-name=sm_" +
			      arch + " " + input + " -o " + output + " 2> /dev/null";
	int status = system(command.c_str());
	std::string cubin = status == 0 ? read_file(output) : "";
	unlink(input.c_str());
	unlink(output.c_str());
	rmdir(folder);
	return cubin;
}

int
main()
{
	int device = 0;
	cudaDeviceProp properties;
	CUDA(cudaGetDeviceProperties(&properties, device));
	CUDA(cudaFree(nullptr)); /* makes the context current */
	arch = std::to_string(properties.major * 10 + properties.minor);
	Library nvrtc("libnvrtc.so.13"), jitlink("libnvJitLink.so.13");

	std::string whole = std::string(helper_source) + kernel_source;
	try_cubin("NVRTC", compile(nvrtc, whole, CUBIN), 3, 5);

	std::string kernel = compile(nvrtc, kernel_source, PTX);
	try_cubin("nvJitLink, PTX",
		  link(jitlink, false,
		       {{NVJITLINK_INPUT_PTX, kernel},
			{NVJITLINK_INPUT_PTX, compile(nvrtc, helper_source, PTX)}}),
		  3, 5);
	try_cubin("nvJitLink, PTX by hand",
		  link(jitlink, false,
		       {{NVJITLINK_INPUT_PTX, kernel}, {NVJITLINK_INPUT_PTX, helper_ptx}}),
		  2, 11);
	try_cubin("nvJitLink, link-time optimisation",
		  link(jitlink, true,
		       {{NVJITLINK_INPUT_LTOIR, compile(nvrtc, kernel_source, LTOIR)},
			{NVJITLINK_INPUT_LTOIR, compile(nvrtc, helper_source, LTOIR)}}),
		  3, 5);

	std::string assembled = assemble(compile(nvrtc, whole, PTX));
	if (assembled.empty())
		printf("no ptxas\n");
	else
		try_cubin("ptxas", assembled, 3, 5);
	return ok();
}
