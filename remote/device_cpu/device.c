/* The device itself: what it is, and what it says of itself. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/error.h"
#include "remote/device_cpu/identity.h"

struct genie_cpu_device genie_cpu = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.run_lock = PTHREAD_MUTEX_INITIALIZER,
};

uint64_t
genie_cpu_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

unsigned long long
genie_cpu_new_id(void)
{
	return __atomic_add_fetch(&genie_cpu.next_id, 1, __ATOMIC_RELAXED);
}

CUresult
genie_cpu_check_device(CUdevice dev)
{
	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	return dev >= 0 && dev < genie_cpu.count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult
cpu_cuInit(unsigned int flags)
{
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	genie_cpu.initialized = true;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDriverGetVersion(int *version)
{
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = GENIE_CPU_DRIVER_VERSION;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGet(CUdevice *device, int ordinal)
{
	CUresult status = genie_cpu_check_device(ordinal);

	if (status == CUDA_SUCCESS)
		*device = ordinal;
	return status;
}

static CUresult
cpu_cuDeviceGetCount(int *count)
{
	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	*count = genie_cpu.count;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetName(char *name, int len, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status != CUDA_SUCCESS)
		return status;
	if (!name || len <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	genie_cpu_identity_name(name, (size_t)len);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status == CUDA_SUCCESS)
		genie_cpu_identity_uuid(dev, (uint8_t *)uuid->bytes);
	return status;
}

static CUresult
cpu_cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status == CUDA_SUCCESS)
		*bytes = genie_cpu.total;
	return status;
}

static CUresult
cpu_cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status != CUDA_SUCCESS)
		return status;
	if (!value || !genie_cpu_attribute((int)attribute, value))
		return CUDA_ERROR_INVALID_VALUE;
	if (attribute == CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)
		*value = dev;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status == CUDA_SUCCESS) {
		*major = GENIE_CPU_CC_MAJOR;
		*minor = GENIE_CPU_CC_MINOR;
	}
	return status;
}

static CUresult
cpu_cuDeviceGetProperties(CUdevprop *prop, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status != CUDA_SUCCESS)
		return status;
	*prop = (CUdevprop){
		.maxThreadsPerBlock = GENIE_CPU_BLOCK_THREADS,
		.maxThreadsDim = {1024, 1024, 64},
		.maxGridSize = {0x7fffffff, 65535, 65535},
		.sharedMemPerBlock = GENIE_CPU_SHARED_BLOCK,
		.totalConstantMemory = 65536,
		.SIMDWidth = GENIE_CPU_WARP,
		.memPitch = 0x7fffffff,
		.regsPerBlock = GENIE_CPU_SM_REGISTERS,
		.textureAlign = 512,
	};
	genie_cpu_attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &prop->clockRate);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetPCIBusId(char *text, int len, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status != CUDA_SUCCESS)
		return status;
	if (!text || len < (int)sizeof("0000:00:00.0"))
		return CUDA_ERROR_INVALID_VALUE;
	snprintf(text, (size_t)len, "0000:%02X:%02X.0", GENIE_CPU_PCI_BUS, dev);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetByPCIBusId(CUdevice *dev, const char *text)
{
	unsigned int domain = 0, bus, device, function = 0;

	if (!dev || !text)
		return CUDA_ERROR_INVALID_VALUE;
	if (sscanf(text, "%x:%x:%x.%x", &domain, &bus, &device, &function) < 3) {
		domain = 0;
		if (sscanf(text, "%x:%x.%x", &bus, &device, &function) < 2)
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (domain != 0 || bus != GENIE_CPU_PCI_BUS || device >= (unsigned int)genie_cpu.count ||
	    function != 0)
		return CUDA_ERROR_INVALID_DEVICE;
	*dev = (CUdevice)device;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetTexture1DLinearMaxWidth(size_t *width, CUarray_format format, unsigned channels,
				       CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	(void)format;
	if (status != CUDA_SUCCESS)
		return status;
	if (channels != 1 && channels != 2 && channels != 4)
		return CUDA_ERROR_INVALID_VALUE;
	*width = (size_t)1 << 28;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetExecAffinitySupport(int *value, CUexecAffinityType type, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	(void)type;
	if (status == CUDA_SUCCESS)
		*value = 0;
	return status;
}

/* All of a machine's memory is one: every operation on it is atomic for all its cores. */
static CUresult
cpu_cuDeviceGetHostAtomicCapabilities(unsigned int *capabilities,
				      const CUatomicOperation *operations, unsigned int count,
				      CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);

	(void)operations;
	if (status != CUDA_SUCCESS)
		return status;
	for (unsigned int i = 0; i < count; i++)
		capabilities[i] = 0;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceCanAccessPeer(int *can, CUdevice dev, CUdevice peer)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status == CUDA_SUCCESS)
		status = genie_cpu_check_device(peer);
	if (status == CUDA_SUCCESS)
		*can = dev != peer;
	return status;
}

static CUresult
cpu_cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute, CUdevice src, CUdevice dst)
{
	CUresult status = genie_cpu_check_device(src);

	if (status == CUDA_SUCCESS)
		status = genie_cpu_check_device(dst);
	if (status != CUDA_SUCCESS || src == dst)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	switch (attribute) {
	case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
		*value = 0;
		return CUDA_SUCCESS;
	case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
	case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
	case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
		*value = 1;
		return CUDA_SUCCESS;
	default:
		break;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuDeviceGetP2PAtomicCapabilities(unsigned int *capabilities,
				     const CUatomicOperation *operations, unsigned int count,
				     CUdevice src, CUdevice dst)
{
	if (genie_cpu_check_device(src) != CUDA_SUCCESS ||
	    genie_cpu_check_device(dst) != CUDA_SUCCESS || src == dst)
		return CUDA_ERROR_INVALID_DEVICE;
	return cpu_cuDeviceGetHostAtomicCapabilities(capabilities, operations, count, src);
}

static CUresult
cpu_cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
			       CUflushGPUDirectRDMAWritesScope scope)
{
	(void)target;
	(void)scope;
	return genie_cpu_check();
}

static CUresult
cpu_cuProfilerStart(void)
{
	return genie_cpu_check();
}

static CUresult
cpu_cuProfilerStop(void)
{
	return genie_cpu_check();
}

static CUresult
cpu_cuGetErrorName(CUresult error, const char **text)
{
	*text = genie_cuda_error_name(error);
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuGetErrorString(CUresult error, const char **text)
{
	*text = genie_cuda_error_text(error);
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void
genie_cpu_fill_device(struct genie_driver *drv)
{
	drv->cuInit = cpu_cuInit;
	drv->cuDriverGetVersion = cpu_cuDriverGetVersion;
	drv->cuDeviceGet = cpu_cuDeviceGet;
	drv->cuDeviceGetCount = cpu_cuDeviceGetCount;
	drv->cuDeviceGetName = cpu_cuDeviceGetName;
	drv->cuDeviceGetUuid_v2 = cpu_cuDeviceGetUuid_v2;
	drv->cuDeviceTotalMem_v2 = cpu_cuDeviceTotalMem_v2;
	drv->cuDeviceGetAttribute = cpu_cuDeviceGetAttribute;
	drv->cuDeviceComputeCapability = cpu_cuDeviceComputeCapability;
	drv->cuDeviceGetProperties = cpu_cuDeviceGetProperties;
	drv->cuDeviceGetPCIBusId = cpu_cuDeviceGetPCIBusId;
	drv->cuDeviceGetByPCIBusId = cpu_cuDeviceGetByPCIBusId;
	drv->cuDeviceGetTexture1DLinearMaxWidth = cpu_cuDeviceGetTexture1DLinearMaxWidth;
	drv->cuDeviceGetExecAffinitySupport = cpu_cuDeviceGetExecAffinitySupport;
	drv->cuDeviceGetHostAtomicCapabilities = cpu_cuDeviceGetHostAtomicCapabilities;
	drv->cuDeviceCanAccessPeer = cpu_cuDeviceCanAccessPeer;
	drv->cuDeviceGetP2PAttribute = cpu_cuDeviceGetP2PAttribute;
	drv->cuDeviceGetP2PAtomicCapabilities = cpu_cuDeviceGetP2PAtomicCapabilities;
	drv->cuFlushGPUDirectRDMAWrites = cpu_cuFlushGPUDirectRDMAWrites;
	drv->cuProfilerStart = cpu_cuProfilerStart;
	drv->cuProfilerStop = cpu_cuProfilerStop;
	drv->cuGetErrorName = cpu_cuGetErrorName;
	drv->cuGetErrorString = cpu_cuGetErrorString;
}
