/*
 * Devices: every question is answered from the block that came with WELCOME.
 */
#include "interpose/client.h"

#include <stdio.h>
#include <string.h>

/* NULL: no such device. */
static const struct genie_device_info *
device_get(CUdevice dev)
{
	if (dev < 0 || dev >= genie_client.device_count)
		return NULL;
	return &genie_client.devices[dev];
}

/*
 * What the device can do, but not for a program on another machine. A program that is told so
 * takes the other way, which works.
 */
static const struct {
	CUdevice_attribute attribute;
	int value;
} overrides[] = {
	/* The device does not see this machine's memory unless we share it. */
	{CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
	{CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES, 0},
	{CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0},
	{CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0},
	{CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0},
	{CU_DEVICE_ATTRIBUTE_HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_HOST_NUMA_MEMORY_POOLS_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED, 0},
	/* Handles that the kernel of this machine would have to understand. */
	{CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 0},
	/* Not supported: see cuda.sem. */
	{CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED, 0},
	{CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_ALGORITHM_MASK, 0},
	{CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_MAXIMUM_LENGTH, 0},
};

/* Numbers that this process divides by, loops with or multiplies, and the most they can be. */
static const struct {
	CUdevice_attribute attribute;
	int max;
	const char *name;
} bounds[] = {
	{CU_DEVICE_ATTRIBUTE_WARP_SIZE, 1024, "warp size"},
	{CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1 << 16, "block size"},
	{CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1 << 14, "number of multiprocessors"},
	{CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 1 << 20, "alignment of textures"},
	{CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 1 << 20, "alignment of texture rows"},
	{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1000, "compute capability"},
};

const char *
genie_device_problem(const struct genie_device_info *info)
{
	int minor = info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		int value = info->attrs[bounds[i].attribute];

		if (value < 1 || value > bounds[i].max)
			return bounds[i].name;
	}
	return minor < 0 || minor > 9 ? "compute capability" : NULL;
}

CUresult
genie_cuDeviceGet(CUdevice *device, int ordinal)
{
	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	if (!device_get(ordinal))
		return CUDA_ERROR_INVALID_DEVICE;
	*device = ordinal;
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetCount(int *count)
{
	if (!count)
		return CUDA_ERROR_INVALID_VALUE;
	*count = genie_client.device_count;
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetName(char *name, int len, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);
	size_t length;

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!name || len <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	/* The driver fills the rest with zeros (H200, driver 580: all of 64 bytes); Python's
	 * bindings show the whole buffer. */
	length = (size_t)len < sizeof(info->name) ? (size_t)len : sizeof(info->name);
	memset(name, 0, length);
	snprintf(name, length, "%s", info->name);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!uuid)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(uuid, info->uuid, sizeof(*uuid));
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetLuid(char *luid, unsigned int *deviceNodeMask, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!luid || !deviceNodeMask)
		return CUDA_ERROR_INVALID_VALUE;
	if (!info->luid_valid)
		return CUDA_ERROR_NOT_SUPPORTED;
	memcpy(luid, info->luid, sizeof(info->luid));
	*deviceNodeMask = info->luid_mask;
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!bytes)
		return CUDA_ERROR_INVALID_VALUE;
	*bytes = info->total_mem;
	return CUDA_SUCCESS;
}

/* The form of CUDA before 3.2 has room for 4 GiB. */
CUresult
genie_cuDeviceTotalMem(unsigned int *bytes, CUdevice dev)
{
	size_t total = 0;
	CUresult status = genie_cuDeviceTotalMem_v2(bytes ? &total : NULL, dev);

	if (status == CUDA_SUCCESS)
		*bytes = total < UINT32_MAX ? (unsigned int)total : UINT32_MAX;
	return status;
}

static int
device_attribute(const struct genie_device_info *info, CUdevice_attribute attribute)
{
	for (size_t i = 0; i < sizeof(overrides) / sizeof(overrides[0]); i++)
		if (overrides[i].attribute == attribute)
			return overrides[i].value;
	return info->attrs[attribute];
}

CUresult
genie_cuDeviceGetAttribute(int *pi, CUdevice_attribute attrib, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!pi)
		return CUDA_ERROR_INVALID_VALUE;
	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if ((int)attrib <= 0 || (uint32_t)attrib >= info->attr_count ||
	    (uint32_t)attrib >= GENIE_ATTRS_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	*pi = device_attribute(info, attrib);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetProperties(CUdevprop *prop, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);
	const int32_t *attrs;

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!prop)
		return CUDA_ERROR_INVALID_VALUE;
	attrs = info->attrs;
	*prop = (CUdevprop){
		.maxThreadsPerBlock = attrs[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK],
		.maxThreadsDim = {attrs[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X],
				  attrs[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y],
				  attrs[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z]},
		.maxGridSize = {attrs[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X],
				attrs[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y],
				attrs[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z]},
		.sharedMemPerBlock = attrs[CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK],
		.totalConstantMemory = attrs[CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY],
		.SIMDWidth = attrs[CU_DEVICE_ATTRIBUTE_WARP_SIZE],
		.memPitch = attrs[CU_DEVICE_ATTRIBUTE_MAX_PITCH],
		.regsPerBlock = attrs[CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK],
		.clockRate = attrs[CU_DEVICE_ATTRIBUTE_CLOCK_RATE],
		.textureAlign = attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT],
	};
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!major || !minor)
		return CUDA_ERROR_INVALID_VALUE;
	*major = info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR];
	*minor = info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetPCIBusId(char *pciBusId, int len, CUdevice dev)
{
	const struct genie_device_info *info = device_get(dev);

	if (!info)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!pciBusId || len <= (int)strlen(info->pci_bus_id))
		return CUDA_ERROR_INVALID_VALUE;
	snprintf(pciBusId, (size_t)len, "%s", info->pci_bus_id);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetByPCIBusId(CUdevice *dev, const char *pciBusId)
{
	int domain = 0, bus = 0, device = 0;

	if (!dev || !pciBusId)
		return CUDA_ERROR_INVALID_VALUE;
	/* [domain]:[bus]:[device].[function], [domain]:[bus]:[device], [bus]:[device].[function] */
	if (sscanf(pciBusId, "%x:%x:%x", (unsigned int *)&domain, (unsigned int *)&bus,
		   (unsigned int *)&device) != 3) {
		domain = 0;
		if (sscanf(pciBusId, "%x:%x", (unsigned int *)&bus, (unsigned int *)&device) != 2)
			return CUDA_ERROR_INVALID_VALUE;
	}
	for (int i = 0; i < genie_client.device_count; i++) {
		const int32_t *attrs = genie_client.devices[i].attrs;

		if (attrs[CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID] == domain &&
		    attrs[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID] == bus &&
		    attrs[CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID] == device) {
			*dev = i;
			return CUDA_SUCCESS;
		}
	}
	return CUDA_ERROR_INVALID_DEVICE;
}

CUresult
genie_cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
				 CUflushGPUDirectRDMAWritesScope scope)
{
	(void)target;
	(void)scope;
	/* No third device writes into the GPU's memory behind our back. */
	return CUDA_SUCCESS;
}
