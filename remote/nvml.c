/*
 * NVML: opened when the client first asks something, because most never do. The client names device
 * n by the token with index n + 1.
 */
#include "base/log.h"
#include "remote/session.h"

/* By its PCI address where it has one: NVML's order of devices is not CUDA's. */
static nvmlReturn_t
device_find(const struct genie_nvml *nvml, const struct genie_device_info *info,
	    unsigned int ordinal, nvmlDevice_t *ret_device)
{
	nvmlReturn_t status = nvml->nvmlDeviceGetHandleByPciBusId_v2(info->pci_bus_id, ret_device);

	if (status == NVML_SUCCESS)
		return status;
	return nvml->nvmlDeviceGetHandleByIndex_v2(ordinal, ret_device);
}

void
genie_nvml_open(struct genie_session *session)
{
	const struct genie_nvml *nvml = &session->backend->nvml;
	nvmlReturn_t status;

	if (session->nvml_open)
		return;
	session->nvml_open = true;
	status = nvml->nvmlInit_v2();
	if (status != NVML_SUCCESS) {
		genie_info("no NVML: %d", (int)status);
		return;
	}
	for (int i = 0; i < session->device_count; i++) {
		uint64_t token = genie_token(GENIE_KIND_NVMLDEV, 0, (uint32_t)i + 1);
		nvmlDevice_t device = NULL;

		if (device_find(nvml, &session->devices[i], (unsigned int)i, &device) ==
		    NVML_SUCCESS)
			genie_object_bind(&session->objects, GENIE_KIND_NVMLDEV, token, device,
					  NULL);
	}
}
