/* What the program can ask: device properties, memory, limits, kinds of pointers. */
#include "program.h"

#include <cstring>

__device__ int variable;

__global__ void
nothing()
{
}

static void
device()
{
	int devices, current, major, minor, driver, runtime;
	CUDA(cudaGetDeviceCount(&devices));
	EXPECT(devices >= 1);
	CUDA(cudaSetDevice(0));
	CUDA(cudaGetDevice(&current));
	EXPECT(current == 0);
	cudaDeviceProp p;
	CUDA(cudaGetDeviceProperties(&p, 0));
	CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
	CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
	EXPECT(p.major == major && p.minor == minor && major >= 7);
	EXPECT(strlen(p.name) > 0 && p.warpSize == 32 && p.maxThreadsPerBlock == 1024);
	EXPECT(p.multiProcessorCount >= 1 && p.totalGlobalMem >= 1 << 28);
	EXPECT(p.maxGridSize[0] == 2147483647 && p.maxThreadsDim[2] == 64);
	EXPECT(p.unifiedAddressing == 1);
	char bus[32];
	int by_bus;
	CUDA(cudaDeviceGetPCIBusId(bus, sizeof(bus), 0));
	CUDA(cudaDeviceGetByPCIBusId(&by_bus, bus));
	EXPECT(by_bus == 0);
	CUDA(cudaDriverGetVersion(&driver));
	CUDA(cudaRuntimeGetVersion(&runtime));
	EXPECT(driver >= 13000 && runtime >= 13000);
	cudaFuncAttributes attributes;
	CUDA(cudaFuncGetAttributes(&attributes, nothing));
	EXPECT(attributes.ptxVersion >= 70 && attributes.binaryVersion >= 70);
	printf("device\n");
}

static void
memory()
{
	size_t free_before, free_with, free_after, total;
	void *p;
	CUDA(cudaMemGetInfo(&free_before, &total));
	EXPECT(free_before > 0 && free_before <= total);
	/* Other processes may use the device as well: one of several tries is undisturbed. */
	bool less = false, again = false;
	for (int i = 0; i < 20 && !(less && again); i++) {
		CUDA(cudaMemGetInfo(&free_before, &total));
		CUDA(cudaMalloc(&p, 64 << 20));
		CUDA(cudaMemGetInfo(&free_with, &total));
		less |= free_with + (60 << 20) <= free_before;
		CUDA(cudaFree(p));
		CUDA(cudaMemGetInfo(&free_after, &total));
		again |= free_after >= free_with + (60 << 20);
	}
	EXPECT(less);
	EXPECT(again);
	printf("memory\n");
}

static void
limits()
{
	size_t stack;
	unsigned flags;
	CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 4096));
	CUDA(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
	EXPECT(stack >= 4096);
	CUDA(cudaDeviceSetLimit(cudaLimitPrintfFifoSize, 2 << 20));
	CUDA(cudaDeviceGetLimit(&stack, cudaLimitPrintfFifoSize));
	EXPECT(stack >= 2 << 20);
	CUDA(cudaSetDeviceFlags(cudaDeviceScheduleYield));
	CUDA(cudaGetDeviceFlags(&flags));
	EXPECT((flags & cudaDeviceScheduleMask) == cudaDeviceScheduleYield);
	printf("limits\n");
}

static void
pointers()
{
	cudaPointerAttributes a;
	char *device, *pinned, *plain = new char[1000], *own;
	CUDA(cudaMalloc(&device, 1000));
	CUDA(cudaMallocHost(&pinned, 1000));
	own = (char *)aligned_alloc(4096, 8192);
	CUDA(cudaHostRegister(own, 8192, cudaHostRegisterDefault));

	CUDA(cudaPointerGetAttributes(&a, device + 999));
	EXPECT(a.type == cudaMemoryTypeDevice && a.device == 0 && a.devicePointer == device + 999);
	CUDA(cudaPointerGetAttributes(&a, pinned + 10));
	EXPECT(a.type == cudaMemoryTypeHost && a.hostPointer == pinned + 10);
	CUDA(cudaPointerGetAttributes(&a, plain));
	EXPECT(a.type == cudaMemoryTypeUnregistered);
	CUDA(cudaPointerGetAttributes(&a, own + 5000));
	EXPECT(a.type == cudaMemoryTypeHost && a.hostPointer == own + 5000);
	void *address;
	CUDA(cudaGetSymbolAddress(&address, variable));
	CUDA(cudaPointerGetAttributes(&a, address));
	EXPECT(a.type == cudaMemoryTypeDevice);
	CUDA(cudaHostUnregister(own));
	CUDA(cudaPointerGetAttributes(&a, own));
	EXPECT(a.type == cudaMemoryTypeUnregistered);
	CUDA(cudaFree(device));
	CUDA(cudaPointerGetAttributes(&a, device));
	EXPECT(a.type == cudaMemoryTypeUnregistered);
	CUDA(cudaFreeHost(pinned));
	delete[] plain;
	free(own);
	printf("pointers\n");
}

int
main()
{
	device();
	memory();
	limits();
	pointers();
	return ok();
}
