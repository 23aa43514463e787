/* Everything a program asks about a device, asked once. The same code for every backend. */
#include <stdio.h>
#include <string.h>

#include "remote/device.h"

/* Questions that need a context. It is made for them if there is none: a moment's cost, which a
 * worker that keeps the first device's context ready pays anyway. */
static void
describe_context(const struct genie_driver *drv, CUdevice device, struct genie_device_info *info)
{
	CUcontext ctx = NULL;
	int low = 0;
	int high = 0;
	size_t value;

	if (drv->cuDevicePrimaryCtxRetain(&ctx, device) != CUDA_SUCCESS)
		return;
	if (drv->cuCtxPushCurrent_v2(ctx) == CUDA_SUCCESS) {
		if (drv->cuCtxGetStreamPriorityRange(&low, &high) == CUDA_SUCCESS) {
			info->stream_priority_low = low;
			info->stream_priority_high = high;
		}
		for (int i = 0; i < 16 && i < CU_LIMIT_MAX; i++) {
			value = 0;
			if (drv->cuCtxGetLimit(&value, (CUlimit)i) == CUDA_SUCCESS)
				info->limits[i] = value;
		}
		drv->cuCtxPopCurrent_v2(&ctx);
	}
	drv->cuDevicePrimaryCtxRelease_v2(device);
}

int
genie_backend_describe(const struct genie_backend *backend, int ordinal,
		       struct genie_device_info *ret_info)
{
	const struct genie_driver *drv = &backend->drv;
	struct genie_device_info info = {.image_kinds = backend->image_kinds,
					 .attr_count = GENIE_ATTRS_MAX};
	CUdevice device = 0;
	CUuuid uuid = {0};
	size_t total = 0;
	unsigned int mask = 0;
	char luid[sizeof(info.luid)] = {0};

	if (drv->cuDeviceGet(&device, ordinal) != CUDA_SUCCESS ||
	    drv->cuDeviceGetName(info.name, sizeof(info.name), device) != CUDA_SUCCESS ||
	    drv->cuDeviceTotalMem_v2(&total, device) != CUDA_SUCCESS)
		return -1;
	info.total_mem = total;
	if (drv->cuDeviceGetUuid_v2(&uuid, device) == CUDA_SUCCESS)
		memcpy(info.uuid, &uuid, sizeof(info.uuid));
	if (drv->cuDeviceGetLuid(luid, &mask, device) == CUDA_SUCCESS) {
		memcpy(info.luid, luid, sizeof(info.luid));
		info.luid_mask = mask;
		info.luid_valid = 1;
	}
	if (drv->cuDeviceGetPCIBusId(info.pci_bus_id, sizeof(info.pci_bus_id), device) !=
	    CUDA_SUCCESS)
		info.pci_bus_id[0] = '\0';
	for (int i = 1; i < GENIE_ATTRS_MAX; i++) {
		int value = 0;

		if (drv->cuDeviceGetAttribute(&value, (CUdevice_attribute)i, device) ==
		    CUDA_SUCCESS)
			info.attrs[i] = value;
	}
	describe_context(drv, device, &info);
	*ret_info = info;
	return 0;
}
