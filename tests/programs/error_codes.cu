/* Errors of the runtime that are known at once: devices, memory, copies, symbols. */
#include "error_codes.h"

#define KIB ((size_t)1024)

__device__ int variable[4];
__constant__ int constant[4];

static int not_a_symbol;

static void
devices()
{
	int count, value, device;
	size_t size;
	cudaDeviceProp properties;
	char id[32];
	CUDA(cudaGetDeviceCount(&count));

	RT("set device: too large", cudaErrorInvalidDevice, cudaSetDevice(count));
	RT("set device: negative", cudaErrorInvalidDevice, cudaSetDevice(-1));
	RT("get device: null", cudaErrorInvalidValue, cudaGetDevice(nullptr));
	RT("device count: null", cudaErrorInvalidValue, cudaGetDeviceCount(nullptr));
	RT("properties: null", cudaErrorInvalidValue, cudaGetDeviceProperties(nullptr, 0));
	RT("properties: no such device", cudaErrorInvalidDevice,
	   cudaGetDeviceProperties(&properties, count));
	RT("attribute: unknown", cudaErrorInvalidValue,
	   cudaDeviceGetAttribute(&value, (cudaDeviceAttr)9999, 0));
	RT("attribute: null", cudaErrorInvalidValue,
	   cudaDeviceGetAttribute(nullptr, cudaDevAttrWarpSize, 0));
	RT("attribute: no such device", cudaErrorInvalidDevice,
	   cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, count));
	RT("pci id: null", cudaErrorInvalidValue, cudaDeviceGetPCIBusId(nullptr, 32, 0));
	RT("pci id: no room at all", cudaErrorInvalidValue, cudaDeviceGetPCIBusId(id, 0, 0));
	RT("pci id: no such device", cudaErrorInvalidDevice, cudaDeviceGetPCIBusId(id, 32, count));
	RT("by pci id: null", cudaErrorInvalidValue, cudaDeviceGetByPCIBusId(&device, nullptr));
	RT("by pci id: no id", cudaErrorInvalidValue, cudaDeviceGetByPCIBusId(&device, "nowhere"));
	RT("by pci id: nobody there", cudaErrorInvalidDevice,
	   cudaDeviceGetByPCIBusId(&device, "fffe:fe:1e.0"));
	RT("set limit: unknown", cudaErrorInvalidValue, cudaDeviceSetLimit((cudaLimit)99, 1));
	RT("get limit: unknown", cudaErrorInvalidValue, cudaDeviceGetLimit(&size, (cudaLimit)99));
	RT("get limit: null", cudaErrorInvalidValue,
	   cudaDeviceGetLimit(nullptr, cudaLimitStackSize));
	RT("priority range: null", cudaSuccess, cudaDeviceGetStreamPriorityRange(nullptr, nullptr));
	RT("peer: null", cudaErrorInvalidValue, cudaDeviceCanAccessPeer(nullptr, 0, 0));
	RT("peer: itself", cudaSuccess, cudaDeviceCanAccessPeer(&value, 0, 0));
	EXPECT(value == 0);
	RT("peer: no such device", cudaErrorInvalidDevice,
	   cudaDeviceCanAccessPeer(&value, 0, count));
	RT("enable peer: itself", cudaErrorPeerAccessUnsupported, cudaDeviceEnablePeerAccess(0, 0));
	RT("enable peer: no such device", cudaErrorInvalidDevice,
	   cudaDeviceEnablePeerAccess(count, 0));
	RT("disable peer: no such device", cudaErrorInvalidDevice,
	   cudaDeviceDisablePeerAccess(count));
	RT("device flags: unknown", cudaErrorInvalidValue, cudaSetDeviceFlags(0x1000));
	RT("device flags: null", cudaErrorInvalidValue, cudaGetDeviceFlags(nullptr));
	RT("init device: no such device", cudaErrorInvalidDevice, cudaInitDevice(count, 0, 0));
	RT("choose device: null", cudaErrorInvalidValue, cudaChooseDevice(nullptr, &properties));
	RT("driver version: null", cudaErrorInvalidValue, cudaDriverGetVersion(nullptr));
	RT("runtime version: null", cudaErrorInvalidValue, cudaRuntimeGetVersion(nullptr));
	RT("p2p attribute: itself", cudaErrorInvalidDevice,
	   cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrAccessSupported, 0, 0));
	RT("p2p attribute: null", cudaErrorInvalidValue,
	   cudaDeviceGetP2PAttribute(nullptr, cudaDevP2PAttrAccessSupported, 0, 0));
}

static void
allocation()
{
	int stack = 0;
	void *p, *q, *null = nullptr;
	size_t pitch;
	cudaPitchedPtr pitched;
	cudaPointerAttributes attributes;
	CUDA(cudaMalloc(&p, 1000));

	RT("malloc: null", cudaErrorInvalidValue, cudaMalloc((void **)nullptr, 10));
	RT("malloc: nothing", cudaSuccess, cudaMalloc(&null, 0));
	EXPECT(null == nullptr);
	RT("malloc: a petabyte", cudaErrorMemoryAllocation, cudaMalloc(&q, (size_t)1 << 50));
	RT("malloc: everything", cudaErrorMemoryAllocation, cudaMalloc(&q, SIZE_MAX));
	RT("malloc pitch: null", cudaErrorInvalidValue,
	   cudaMallocPitch((void **)nullptr, &pitch, 10, 10));
	RT("malloc pitch: everything", cudaErrorMemoryAllocation,
	   cudaMallocPitch(&q, &pitch, (size_t)1 << 30, (size_t)1 << 20));
	RT("malloc 3d: null", cudaErrorInvalidValue,
	   cudaMalloc3D(nullptr, make_cudaExtent(1, 1, 1)));
	RT("malloc 3d: everything", cudaErrorMemoryAllocation,
	   cudaMalloc3D(&pitched, make_cudaExtent(1 << 20, 1 << 20, 1 << 10)));
	RT("malloc managed: null", cudaErrorInvalidValue,
	   cudaMallocManaged((void **)nullptr, 16, cudaMemAttachGlobal));
	RT("malloc managed: nothing", cudaSuccess, cudaMallocManaged(&q, 0, cudaMemAttachGlobal));
	RT("malloc managed: no flag", cudaErrorInvalidValue, cudaMallocManaged(&q, 16, 0));
	RT("malloc managed: two flags", cudaErrorInvalidValue,
	   cudaMallocManaged(&q, 16, cudaMemAttachGlobal | cudaMemAttachHost));
	RT("free: null", cudaSuccess, cudaFree(nullptr));
	RT("free: inside", cudaErrorInvalidValue, cudaFree((char *)p + 4));
	RT("free: the stack", cudaErrorInvalidValue, cudaFree(&stack));
	RT("free: a small number", cudaErrorInvalidValue, cudaFree((void *)64));
	RT("pointer: null attributes", cudaErrorInvalidValue, cudaPointerGetAttributes(nullptr, p));
	RT("pointer: the stack", cudaSuccess, cudaPointerGetAttributes(&attributes, &stack));
	EXPECT(attributes.type == cudaMemoryTypeUnregistered);
	RT("pointer: null", cudaSuccess, cudaPointerGetAttributes(&attributes, nullptr));
	EXPECT(attributes.type == cudaMemoryTypeUnregistered);
	RT("free", cudaSuccess, cudaFree(p));
	RT("free: twice", cudaErrorInvalidValue, cudaFree(p));
	RT("prefetch: not managed", cudaErrorInvalidValue,
	   cudaMemPrefetchAsync(&stack, 4, {cudaMemLocationTypeDevice, 0}, 0, 0));
	RT("advise: unknown advice", cudaErrorInvalidValue,
	   cudaMemAdvise(&stack, 4, (cudaMemoryAdvise)99, {cudaMemLocationTypeDevice, 0}));
}

static void
host_memory()
{
	static char page[16 * KIB] __attribute__((aligned(4096)));
	int stack = 0;
	unsigned flags;
	void *p, *q, *device;
	CUDA(cudaMalloc(&device, 100));

	RT("malloc host: null", cudaErrorInvalidValue, cudaMallocHost((void **)nullptr, 10));
	RT("host alloc: unknown flag", cudaErrorInvalidValue, cudaHostAlloc(&q, 16, 0x1000));
	RT("host alloc: a petabyte", cudaErrorMemoryAllocation,
	   cudaHostAlloc(&q, (size_t)1 << 50, 0));
	RT("free host: null", cudaSuccess, cudaFreeHost(nullptr));
	RT("free host: the stack", cudaErrorInvalidValue, cudaFreeHost(&stack));
	RT("free host: device memory", cudaErrorInvalidValue, cudaFreeHost(device));
	CUDA(cudaMallocHost(&p, 100));
	RT("free host: inside", cudaErrorInvalidValue, cudaFreeHost((char *)p + 4));
	RT("free: pinned memory", cudaErrorInvalidValue, cudaFree(p));
	RT("device pointer: null", cudaErrorInvalidValue, cudaHostGetDevicePointer(nullptr, p, 0));
	RT("device pointer: flags", cudaErrorInvalidValue, cudaHostGetDevicePointer(&q, p, 1));
	RT("device pointer: the stack", cudaErrorInvalidValue,
	   cudaHostGetDevicePointer(&q, &stack, 0));
	RT("host flags: the stack", cudaErrorInvalidValue, cudaHostGetFlags(&flags, &stack));
	RT("host flags: null", cudaErrorInvalidValue, cudaHostGetFlags(nullptr, p));
	RT("unregister: allocated", cudaErrorInvalidValue, cudaHostUnregister(p));
	RT("free host", cudaSuccess, cudaFreeHost(p));
	RT("free host: twice", cudaErrorInvalidValue, cudaFreeHost(p));
	RT("register: null", cudaErrorInvalidValue, cudaHostRegister(nullptr, 16, 0));
	RT("register: nothing", cudaErrorInvalidValue, cudaHostRegister(page, 0, 0));
	RT("register: unknown flag", cudaErrorInvalidValue, cudaHostRegister(page, 4096, 0x1000));
	CUDA(cudaHostRegister(page, 2 * 4096, 0));
	RT("register: twice", cudaErrorHostMemoryAlreadyRegistered,
	   cudaHostRegister(page, 2 * 4096, 0));
	RT("register: a part", cudaErrorHostMemoryAlreadyRegistered,
	   cudaHostRegister(page + 4096, 4096, 0));
	RT("register: across the end", cudaErrorHostMemoryAlreadyRegistered,
	   cudaHostRegister(page + 4096, 2 * 4096, 0));
	RT("unregister: inside", cudaErrorInvalidValue, cudaHostUnregister(page + 4096));
	RT("free host: registered", cudaErrorInvalidValue, cudaFreeHost(page));
	RT("unregister", cudaSuccess, cudaHostUnregister(page));
	RT("unregister: twice", cudaErrorHostMemoryNotRegistered, cudaHostUnregister(page));
	RT("unregister: the stack", cudaErrorHostMemoryNotRegistered, cudaHostUnregister(&stack));
	CUDA(cudaFree(device));
}

static void
copies()
{
	char host[256] = {}, *p, *q;
	size_t pitch;
	CUDA(cudaMalloc(&p, 100));
	CUDA(cudaMallocPitch(&q, &pitch, 100, 4));

	RT("memcpy: unknown kind", cudaErrorInvalidMemcpyDirection,
	   cudaMemcpy(p, host, 4, (cudaMemcpyKind)77));
	RT("memcpy: beyond the end", cudaErrorInvalidValue,
	   cudaMemcpy(p, host, 101, cudaMemcpyHostToDevice));
	RT("memcpy: from beyond the end", cudaErrorInvalidValue,
	   cudaMemcpy(host, p + 50, 51, cudaMemcpyDeviceToHost));
	RT("memcpy: exactly to the end", cudaSuccess,
	   cudaMemcpy(p + 50, host, 50, cudaMemcpyHostToDevice));
	RT("memcpy: device to device beyond", cudaErrorInvalidValue,
	   cudaMemcpy(q, p, 200, cudaMemcpyDeviceToDevice));
	RT("memcpy: default kind beyond", cudaErrorInvalidValue,
	   cudaMemcpy(p, host, 200, cudaMemcpyDefault));
	RT("memcpy: to null", cudaErrorInvalidValue,
	   cudaMemcpy(nullptr, host, 4, cudaMemcpyHostToDevice));
	RT("memcpy: from null", cudaErrorInvalidValue,
	   cudaMemcpy(p, nullptr, 4, cudaMemcpyHostToDevice));
	RT("memcpy: null to host", cudaErrorInvalidValue,
	   cudaMemcpy(host, nullptr, 4, cudaMemcpyDeviceToHost));
	RT("memcpy: nothing", cudaSuccess, cudaMemcpy(p, host, 0, cudaMemcpyHostToDevice));
	RT("memcpy: nothing to null", cudaSuccess,
	   cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice));
	RT("memcpy async: beyond the end", cudaErrorInvalidValue,
	   cudaMemcpyAsync(p + 1, host, 100, cudaMemcpyHostToDevice, 0));
	RT("memcpy async: unknown kind", cudaErrorInvalidMemcpyDirection,
	   cudaMemcpyAsync(p, host, 4, (cudaMemcpyKind)-1, 0));
	RT("memcpy peer: no such device", cudaErrorInvalidDevice, cudaMemcpyPeer(p, 99, q, 0, 4));
	RT("memcpy 2d: pitch below width", cudaErrorInvalidPitchValue,
	   cudaMemcpy2D(q, 2, host, 4, 4, 2, cudaMemcpyHostToDevice));
	RT("memcpy 2d: source pitch below width", cudaErrorInvalidPitchValue,
	   cudaMemcpy2D(q, pitch, host, 2, 4, 2, cudaMemcpyHostToDevice));
	RT("memcpy 2d: one row too many", cudaErrorInvalidValue,
	   cudaMemcpy2D(p, 50, host, 50, 50, 3, cudaMemcpyHostToDevice));
	RT("memcpy 2d: last row short", cudaSuccess,
	   cudaMemcpy2D(p + 10, 50, host, 50, 40, 2, cudaMemcpyHostToDevice));
	RT("memcpy 2d: unknown kind", cudaErrorInvalidMemcpyDirection,
	   cudaMemcpy2D(q, pitch, host, 50, 50, 2, (cudaMemcpyKind)9));
	RT("memcpy 2d: no height", cudaSuccess,
	   cudaMemcpy2D(q, pitch, host, 50, 50, 0, cudaMemcpyHostToDevice));
	cudaMemcpy3DParms parms = {};
	RT("memcpy 3d: null", cudaErrorInvalidValue, cudaMemcpy3D(nullptr));
	parms.dstPtr = make_cudaPitchedPtr(q, pitch, 100, 4);
	parms.extent = make_cudaExtent(10, 2, 1);
	parms.kind = cudaMemcpyHostToDevice;
	RT("memcpy 3d: no source", cudaErrorInvalidValue, cudaMemcpy3D(&parms));
	parms.srcPtr = make_cudaPitchedPtr(host, 10, 10, 2);
	RT("memcpy 3d", cudaSuccess, cudaMemcpy3D(&parms));
	parms.extent = make_cudaExtent(10, 2, 3);
	parms.dstPtr.ysize = 2;
	RT("memcpy 3d: one slice too many", cudaErrorInvalidValue, cudaMemcpy3D(&parms));

	RT("memset: null", cudaErrorInvalidValue, cudaMemset(nullptr, 0, 4));
	RT("memset: a small number", cudaErrorInvalidValue, cudaMemset((void *)16, 0, 4));
	RT("memset: beyond the end", cudaErrorInvalidValue, cudaMemset(p, 0, 101));
	RT("memset: nothing", cudaSuccess, cudaMemset(p, 0, 0));
	RT("memset async: beyond the end", cudaErrorInvalidValue,
	   cudaMemsetAsync(p + 90, 0, 11, 0));
	RT("memset 2d: beyond the end", cudaErrorInvalidValue, cudaMemset2D(p, 50, 0, 50, 3));
	RT("memset 2d", cudaSuccess, cudaMemset2D(p, 50, 0, 50, 2));
	CUDA(cudaFree(p));
	CUDA(cudaFree(q));
}

static void
symbols()
{
	int values[8] = {};
	void *p;
	size_t size;

	RT("to symbol: beyond the end", cudaErrorInvalidValue,
	   cudaMemcpyToSymbol(variable, values, sizeof(int) * 5));
	RT("to symbol: offset beyond the end", cudaErrorInvalidValue,
	   cudaMemcpyToSymbol(constant, values, sizeof(int), sizeof(int) * 4));
	RT("to symbol: wrong kind", cudaErrorInvalidMemcpyDirection,
	   cudaMemcpyToSymbol(variable, values, sizeof(int), 0, cudaMemcpyDeviceToHost));
	RT("to symbol: unknown", cudaErrorInvalidSymbol,
	   cudaMemcpyToSymbol(not_a_symbol, values, sizeof(int)));
	RT("from symbol: beyond the end", cudaErrorInvalidValue,
	   cudaMemcpyFromSymbol(values, variable, sizeof(int) * 5));
	RT("from symbol: wrong kind", cudaErrorInvalidMemcpyDirection,
	   cudaMemcpyFromSymbol(values, variable, sizeof(int), 0, cudaMemcpyHostToDevice));
	RT("from symbol: unknown", cudaErrorInvalidSymbol,
	   cudaMemcpyFromSymbol(values, not_a_symbol, sizeof(int)));
	RT("symbol address: unknown", cudaErrorInvalidSymbol,
	   cudaGetSymbolAddress(&p, not_a_symbol));
	RT("symbol size: unknown", cudaErrorInvalidSymbol, cudaGetSymbolSize(&size, not_a_symbol));
	CUDA(cudaGetSymbolAddress(&p, variable));
	RT("free: a variable", cudaErrorInvalidValue, cudaFree(p));
	RT("memset: beyond a variable", cudaErrorInvalidValue, cudaMemset(p, 0, 17));
	RT("memset: a variable", cudaSuccess, cudaMemset(p, 0, 16));
}

int
main()
{
	devices();
	allocation();
	host_memory();
	copies();
	symbols();
	CUDA(cudaDeviceSynchronize());
	return ok();
}
