/*
 * The record device: answers everything, computes nothing. It lets any program run to its end on a
 * machine without a GPU, so that what it does can be recorded. It looks like an H100
 * (GENIE_RECORD_CC=8.0 and the like for another compute capability) with a driver for CUDA 13.0
 * (GENIE_RECORD_CUDA=12.4 and the like for another).
 *
 * Device memory is address space without pages: what is copied there is dropped, what is copied
 * from there is zero. Streams and graphs know whether they capture and how much; everything else
 * is a handle that means nothing. Kernels are looked up in their images only for what programs ask
 * about them (registers, shared memory, parameters).
 */
#include "remote/device_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "remote/device_cpu/error.h"
#include "remote/device_cpu/nvml.h"

#define TOTAL_MEMORY  (UINT64_C(40545) << 21) /* what an 80 GB card has */
#define PAGE_SIZE_GPU ((size_t)2 << 20)
#define PCI_BUS_ID    "0000:FD:00.0"

#define A(name) CU_DEVICE_ATTRIBUTE_##name

/* As an H100 answers, but for what tells of links to other devices. */
static const struct {
	int attribute, value;
} attributes[] = {
#include "remote/device_record.def"
};

/* What differs between architectures; the last one not above the wanted one is taken. */
static const struct record_architecture architectures[] = {
	{75, 65536, 65536, 0, 1024, 16, 0, NVML_DEVICE_ARCH_TURING},
	{80, 167936, 166912, 1024, 2048, 32, 0, NVML_DEVICE_ARCH_AMPERE},
	{86, 102400, 101376, 1024, 1536, 16, 0, NVML_DEVICE_ARCH_AMPERE},
	{89, 102400, 101376, 1024, 1536, 24, 0, NVML_DEVICE_ARCH_ADA},
	{90, 233472, 232448, 1024, 2048, 32, 1, NVML_DEVICE_ARCH_HOPPER},
	{100, 233472, 232448, 1024, 2048, 32, 1, NVML_DEVICE_ARCH_UNKNOWN},
	{120, 102400, 101376, 1024, 1536, 24, 1, NVML_DEVICE_ARCH_UNKNOWN},
};

struct record_device record;

static __thread CUcontext current;

bool
record_attribute(int id, int *ret_value)
{
	const struct record_architecture *arch = record.arch;
	const struct {
		int attribute, value;
	} computed[] = {
		{A(COMPUTE_CAPABILITY_MAJOR), record.major},
		{A(COMPUTE_CAPABILITY_MINOR), record.minor},
		{A(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR), arch->shared_sm},
		{A(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), arch->shared_optin},
		{A(RESERVED_SHARED_MEMORY_PER_BLOCK), arch->reserved},
		{A(MAX_THREADS_PER_MULTIPROCESSOR), arch->threads},
		{A(MAX_BLOCKS_PER_MULTIPROCESSOR), arch->blocks},
		{A(CLUSTER_LAUNCH), arch->clusters},
		{A(TENSOR_MAP_ACCESS_SUPPORTED), arch->clusters},
	};

	if (id < 1 || id >= CU_DEVICE_ATTRIBUTE_MAX)
		return false;
	*ret_value = 0;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (attributes[i].attribute == id)
			*ret_value = attributes[i].value;
	for (size_t i = 0; i < sizeof(computed) / sizeof(computed[0]); i++)
		if (computed[i].attribute == id)
			*ret_value = computed[i].value;
	return true;
}

void *
record_new_handle(void)
{
	return (void *)(uintptr_t)(atomic_fetch_add(&record.next_handle, 16) + 16);
}

uint64_t
record_new_address(size_t size)
{
	uint64_t rounded = (size + 511) & ~(uint64_t)511;

	return atomic_fetch_add(&record.next_address, rounded + 512);
}

/*
 * For all that has nothing to say, and for what is not possible at all. One function serves many
 * types: with this machine's calling convention a callee may ignore its arguments.
 */
static int
yes(void)
{
	return CUDA_SUCCESS;
}

int
record_not_supported(void)
{
	return CUDA_ERROR_NOT_SUPPORTED;
}

static int
nvml_not_supported(void)
{
	return NVML_ERROR_NOT_SUPPORTED;
}

/* Any create function: its first argument receives the handle. */
CUresult
record_create(void **ret_handle)
{
	*ret_handle = record_new_handle();
	return CUDA_SUCCESS;
}

/* ---- the device ---- */

static CUresult
record_cuDriverGetVersion(int *version)
{
	*version = record.driver_version;
	return CUDA_SUCCESS;
}

static CUresult
record_cuDeviceGetCount(int *count)
{
	*count = 1;
	return CUDA_SUCCESS;
}

static CUresult
record_cuDeviceGet(CUdevice *device, int ordinal)
{
	*device = 0;
	return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static void
get_name(char *name, size_t size)
{
	if (record.arch->cc == 90)
		snprintf(name, size, "Genie record device (H100 80GB)");
	else
		snprintf(name, size, "Genie record device (sm_%d%d)", record.major, record.minor);
}

static CUresult
record_cuDeviceGetName(char *name, int size, CUdevice dev)
{
	(void)dev;
	get_name(name, size > 0 ? (size_t)size : 0);
	return CUDA_SUCCESS;
}

static void
get_uuid(int dev, uint8_t uuid[16])
{
	(void)dev; /* there is one */
	memcpy(uuid, "Genie record dev", 16);
}

static CUresult
record_cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
	(void)dev;
	get_uuid(0, (uint8_t *)uuid->bytes);
	return CUDA_SUCCESS;
}

static CUresult
record_cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
	(void)dev;
	*bytes = TOTAL_MEMORY;
	return CUDA_SUCCESS;
}

static CUresult
record_cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice dev)
{
	(void)dev;
	return record_attribute((int)attribute, value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
record_cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
	(void)dev;
	*major = record.major;
	*minor = record.minor;
	return CUDA_SUCCESS;
}

static CUresult
record_cuDeviceGetPCIBusId(char *text, int size, CUdevice dev)
{
	(void)dev;
	if (size < (int)sizeof(PCI_BUS_ID))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(text, PCI_BUS_ID, sizeof(PCI_BUS_ID));
	return CUDA_SUCCESS;
}

static CUresult
record_cuGetErrorName(CUresult status, const char **text)
{
	*text = genie_cuda_error_name(status);
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
record_cuGetErrorString(CUresult status, const char **text)
{
	*text = genie_cuda_error_text(status);
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- contexts ---- */

static CUresult
record_cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice dev)
{
	(void)dev;
	*ctx = (CUcontext)(void *)&record;
	return CUDA_SUCCESS;
}

static CUresult
record_cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
	(void)dev;
	*flags = 0;
	*active = 1;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxCreate(CUcontext *ctx)
{
	*ctx = current = (CUcontext)record_new_handle();
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxSetCurrent(CUcontext ctx)
{
	current = ctx;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetCurrent(CUcontext *ctx)
{
	*ctx = current;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxPopCurrent_v2(CUcontext *ctx)
{
	if (ctx)
		*ctx = current;
	current = NULL;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetDevice(CUdevice *device)
{
	*device = 0;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
	*id = (unsigned long long)(uintptr_t)ctx;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetApiVersion(CUcontext ctx, unsigned int *version)
{
	(void)ctx;
	*version = 3020;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetLimit(size_t *value, CUlimit limit)
{
	static const size_t limits[] = {1024, 8650752, 8388608, 0, 2048, 64, 0, 232448};

	*value = (size_t)limit < sizeof(limits) / sizeof(limits[0]) ? limits[limit] : 0;
	return limit == CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH ? CUDA_ERROR_UNSUPPORTED_LIMIT
							: CUDA_SUCCESS;
}

static CUresult
record_cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	*least = 0;
	*greatest = -5;
	return CUDA_SUCCESS;
}

/* ---- memory ---- */

static void
get_memory(int dev, size_t *total, size_t *used)
{
	uint64_t now = atomic_load(&record.used);

	(void)dev;
	*total = TOTAL_MEMORY;
	/* more than there is can be had: a model too large for a card can be recorded too */
	*used = now < TOTAL_MEMORY ? now : TOTAL_MEMORY;
}

static CUresult
record_cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
	size_t used;

	get_memory(0, total, &used);
	*free_bytes = *total - used;
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemAlloc_v2(CUdeviceptr *ptr, size_t size)
{
	*ptr = record_new_address(size);
	return size ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
record_cuMemAllocPitch_v2(CUdeviceptr *ptr, size_t *pitch, size_t width, size_t height)
{
	*pitch = (width + 511) & ~(size_t)511;
	*ptr = record_new_address(*pitch * height);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemHostAlloc(void **ptr, size_t size, unsigned int flags)
{
	(void)flags;
	*ptr = calloc(1, size ? size : 1);
	return *ptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
record_cuMemAllocHost_v2(void **ptr, size_t size)
{
	return record_cuMemHostAlloc(ptr, size, 0);
}

static CUresult
record_cuMemFreeHost(void *ptr)
{
	free(ptr);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned int flags)
{
	(void)flags;
	*device = (CUdeviceptr)host;
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemGetAllocationGranularity(size_t *granularity)
{
	*granularity = PAGE_SIZE_GPU;
	return CUDA_SUCCESS;
}

/* Really reserved, so that nothing of the worker's own lies in the window. */
static CUresult
record_cuMemAddressReserve(CUdeviceptr *ret_ptr, size_t size, size_t alignment, CUdeviceptr addr,
			   unsigned long long flags)
{
	int fixed = addr ? MAP_FIXED_NOREPLACE : 0;
	void *ptr;

	(void)alignment;
	(void)flags;
	ptr = mmap((void *)addr, size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
	if (ptr == MAP_FAILED)
		ptr = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0);
	if (ptr == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_ptr = (CUdeviceptr)ptr;
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
	munmap((void *)ptr, size);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemMap(CUdeviceptr ptr, size_t size)
{
	(void)ptr;
	atomic_fetch_add(&record.used, size);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemUnmap(CUdeviceptr ptr, size_t size)
{
	(void)ptr;
	atomic_fetch_sub(&record.used, size);
	return CUDA_SUCCESS;
}

/* A descriptor that stands for memory, as real ones do; there is nothing behind it. */
static CUresult
record_cuMemExportToShareableHandle(int *ret_fd)
{
	*ret_fd = memfd_create("genie-record", MFD_CLOEXEC);
	return *ret_fd >= 0 ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

/* ---- the table ---- */

static void
fill_device(struct genie_driver *drv)
{
	drv->cuDriverGetVersion = record_cuDriverGetVersion;
	drv->cuDeviceGetCount = record_cuDeviceGetCount;
	drv->cuDeviceGet = record_cuDeviceGet;
	drv->cuDeviceGetName = record_cuDeviceGetName;
	drv->cuDeviceGetUuid_v2 = record_cuDeviceGetUuid_v2;
	drv->cuDeviceTotalMem_v2 = record_cuDeviceTotalMem_v2;
	drv->cuDeviceGetAttribute = record_cuDeviceGetAttribute;
	drv->cuDeviceComputeCapability = record_cuDeviceComputeCapability;
	drv->cuDeviceGetPCIBusId = record_cuDeviceGetPCIBusId;
	drv->cuGetErrorName = record_cuGetErrorName;
	drv->cuGetErrorString = record_cuGetErrorString;
	SET(cuDeviceGetLuid, record_not_supported);
	SET(cuGetProcAddress, record_not_supported);
	SET(cuGetProcAddress_v2, record_not_supported);
	SET(cuGetExportTable, record_not_supported);
	drv->cuDevicePrimaryCtxRetain = record_cuDevicePrimaryCtxRetain;
	drv->cuDevicePrimaryCtxGetState = record_cuDevicePrimaryCtxGetState;
	SET(cuCtxCreate_v2, record_cuCtxCreate);
	SET(cuCtxCreate_v3, record_cuCtxCreate);
	SET(cuCtxCreate_v4, record_cuCtxCreate);
	drv->cuCtxSetCurrent = record_cuCtxSetCurrent;
	drv->cuCtxPushCurrent_v2 = record_cuCtxSetCurrent;
	drv->cuCtxGetCurrent = record_cuCtxGetCurrent;
	drv->cuCtxPopCurrent_v2 = record_cuCtxPopCurrent_v2;
	drv->cuCtxGetDevice = record_cuCtxGetDevice;
	SET(cuCtxGetDevice_v2, record_cuCtxGetDevice);
	drv->cuCtxGetId = record_cuCtxGetId;
	drv->cuCtxGetApiVersion = record_cuCtxGetApiVersion;
	drv->cuCtxGetLimit = record_cuCtxGetLimit;
	drv->cuCtxGetStreamPriorityRange = record_cuCtxGetStreamPriorityRange;
}

static void
fill_memory(struct genie_driver *drv)
{
	drv->cuMemGetInfo_v2 = record_cuMemGetInfo_v2;
	drv->cuMemAlloc_v2 = record_cuMemAlloc_v2;
	SET(cuMemAllocManaged, record_cuMemAlloc_v2);
	SET(cuMemAllocAsync, record_cuMemAlloc_v2);
	SET(cuMemAllocFromPoolAsync, record_cuMemAlloc_v2);
	SET(cuMemAllocPitch_v2, record_cuMemAllocPitch_v2);
	drv->cuMemHostAlloc = record_cuMemHostAlloc;
	drv->cuMemAllocHost_v2 = record_cuMemAllocHost_v2;
	drv->cuMemFreeHost = record_cuMemFreeHost;
	drv->cuMemHostGetDevicePointer_v2 = record_cuMemHostGetDevicePointer_v2;
	SET(cuMemGetAllocationGranularity, record_cuMemGetAllocationGranularity);
	drv->cuMemAddressReserve = record_cuMemAddressReserve;
	drv->cuMemAddressFree = record_cuMemAddressFree;
	SET(cuMemCreate, record_create);
	SET(cuMemRetainAllocationHandle, record_create);
	SET(cuMemMap, record_cuMemMap);
	SET(cuMemExportToShareableHandle, record_cuMemExportToShareableHandle);
	SET(cuMemImportFromShareableHandle, record_create);
	SET(cuIpcOpenEventHandle, record_create);
	drv->cuMemUnmap = record_cuMemUnmap;
	SET(cuMemPoolCreate, record_create);
	SET(cuDeviceGetDefaultMemPool, record_create);
	SET(cuDeviceGetMemPool, record_create);
	SET(cuArrayCreate_v2, record_create);
	SET(cuArray3DCreate_v2, record_create);
	SET(cuMipmappedArrayCreate, record_create);
	SET(cuMipmappedArrayGetLevel, record_create);
	SET(cuTexObjectCreate, record_create);
	SET(cuSurfObjectCreate, record_create);
}

static void
fill(void *table, const struct genie_driver_name *names, size_t n, int (*fn)(void))
{
	for (size_t i = 0; i < n; i++)
		memcpy((char *)table + names[i].offset, &fn, sizeof(fn));
}

/* "8.0" or "80". */
static int
read_capability(const char *text, char *err, size_t err_size)
{
	unsigned int major = 9, minor = 0;
	char rest;

	if (text && *text && sscanf(text, "%u.%u%c", &major, &minor, &rest) != 2 &&
	    (sscanf(text, "%u%c", &major, &rest) != 1 || major < 10)) {
		snprintf(err, err_size, "GENIE_RECORD_CC=%s is no compute capability (8.0)", text);
		return -EINVAL;
	}
	if (major >= 50 && !strchr(text, '.')) {
		minor = major % 10;
		major /= 10;
	}
	if (major * 10 + minor < 75 || major > 19 || minor > 9) {
		snprintf(err, err_size, "GENIE_RECORD_CC=%s: 7.5 is the oldest there is", text);
		return -EINVAL;
	}
	record.major = (int)major;
	record.minor = (int)minor;
	for (size_t i = 0; i < sizeof(architectures) / sizeof(architectures[0]); i++)
		if (architectures[i].cc <= (int)(major * 10 + minor))
			record.arch = &architectures[i];
	return 0;
}

/* "12.4". */
static int
read_driver(const char *text, char *err, size_t err_size)
{
	unsigned int major = 13, minor = 0;
	char rest;

	if (text && *text &&
	    (sscanf(text, "%u.%u%c", &major, &minor, &rest) != 2 || major > 99 || minor > 9)) {
		snprintf(err, err_size, "GENIE_RECORD_CUDA=%s is no version of CUDA (12.4)", text);
		return -EINVAL;
	}
	record.driver_version = (int)(major * 1000 + minor * 10);
	return 0;
}

static void
close_backend(struct genie_backend *backend)
{
	(void)backend;
}

int
genie_backend_record_open(struct genie_backend *ret, char *err, size_t err_size)
{
	static struct genie_soft_nvml nvml = {
		.count = 1,
		.name = get_name,
		.uuid = get_uuid,
		.memory = get_memory,
		.attribute = record_attribute,
		.brand = NVML_BRAND_NVIDIA,
	};
	int r = read_capability(getenv("GENIE_RECORD_CC"), err, err_size);

	if (r == 0)
		r = read_driver(getenv("GENIE_RECORD_CUDA"), err, err_size);
	if (r < 0)
		return r;
	atomic_store(&record.next_handle, UINT64_C(0x7ec0000000));
	atomic_store(&record.next_address, UINT64_C(0x1f0000000000));
	*ret = (struct genie_backend){
		.kind = GENIE_DEVICE_RECORD,
		.name = "record",
		.image_kinds = GENIE_IMAGE_ANY,
		.close = close_backend,
	};
	fill(&ret->drv, genie_driver_names, genie_driver_name_count, yes);
	fill(&ret->nvml, genie_nvml_names, genie_nvml_name_count, nvml_not_supported);
	fill_device(&ret->drv);
	fill_memory(&ret->drv);
	record_fill_streams(&ret->drv);
	record_fill_kernels(&ret->drv);
	record_fill_green(&ret->drv);
	nvml.architecture = record.arch->nvml;
	genie_soft_nvml_fill(&ret->nvml, &nvml);
	return 0;
}
