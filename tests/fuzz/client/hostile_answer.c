#include "tests/fuzz/client/hostile_answer.h"

#include <cuda.h>
#include <stdio.h>
#include <string.h>

#include "base/token.h"
#include "genie_args.h"
#include "tests/fuzz/client/hostile.h"

/* Managed variables lie where this process has nothing. */
#define MANAGED_ADDR UINT64_C(0x4f0000000000)
#define GLOBAL_ADDR  UINT64_C(0x4e0000000000)

uint8_t *
hostile_devices(unsigned mode, size_t *ret_len)
{
	static struct genie_device_info devices[2];
	static const struct {
		CUdevice_attribute attribute;
		int32_t value;
	} values[] = {
		{CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
		{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
		{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
		{CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 132},
		{CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
		{CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
		{CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 0},
		{CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 0},
	};

	memset(devices, 0, sizeof(devices));
	for (int i = 0; i < 2; i++) {
		struct genie_device_info *device = &devices[i];

		snprintf(device->name, sizeof(device->name), "hostile %d", i);
		snprintf(device->pci_bus_id, sizeof(device->pci_bus_id), "0000:0%d:00.0", i + 1);
		memset(device->uuid, 0x40 + i, sizeof(device->uuid));
		device->total_mem = UINT64_C(1) << 30;
		device->credit = UINT64_C(1) << 26;
		device->stream_priority_high = -5;
		device->image_kinds = GENIE_IMAGE_PTX;
		if (mode & HOSTILE_SASS)
			device->image_kinds |= GENIE_IMAGE_SASS;
		for (int limit = 0; limit < 16; limit++)
			device->limits[limit] = 1024;
		device->attr_count = GENIE_ATTRS_MAX;
		for (int attr = 0; attr < GENIE_ATTRS_MAX; attr++)
			device->attrs[attr] = 1024;
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++)
			device->attrs[values[k].attribute] = values[k].value;
		device->attrs[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID] = i + 1;
	}
	*ret_len = (mode & HOSTILE_ONE ? 1 : 2) * sizeof(devices[0]);
	return (uint8_t *)devices;
}

static void
fill_global(struct genie_args_genieModuleGlobal *args)
{
	*args->managed = strncmp(args->name, "managed", 7) == 0;
	*args->addr = (*args->managed ? MANAGED_ADDR : GLOBAL_ADDR) + 0x10000u * args->name[0];
	*args->size = *args->managed ? 3 * 4096 + 8 : 16;
}

int32_t
hostile_fill(unsigned mode, struct genie_call *call)
{
	void *args = call->args;

	switch ((int)call->op) {
	case GENIE_OP_genieMemCredit: {
		struct genie_args_genieMemCredit *credit = args;

		*credit->granted = credit->want;
		break;
	}
	case GENIE_OP_genieImageHave:
		*((struct genie_args_genieImageHave *)args)->have = (mode & HOSTILE_CACHED) != 0;
		break;
	case GENIE_OP_genieModuleGlobal:
		if (!*((struct genie_args_genieModuleGlobal *)args)->name)
			return CUDA_ERROR_NOT_FOUND;
		fill_global(args);
		break;
	case GENIE_OP_genieFunctionInfo: {
		struct genie_args_genieFunctionInfo *info = args;

		for (int i = 0; i < info->count; i++)
			info->values[i] = 64;
		break;
	}
	case GENIE_OP_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags:
		*((struct genie_args_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags *)args)
			 ->numBlocks = 2;
		break;
	case GENIE_OP_cuMemGetInfo_v2: {
		struct genie_args_cuMemGetInfo_v2 *info = args;

		*info->free = 1 << 29;
		*info->total = 1 << 30;
		break;
	}
	case GENIE_OP_genieMirrorScan: {
		struct genie_args_genieMirrorScan *scan = args;

		*scan->count = *scan->data_size = 0;
		break;
	}
	case GENIE_OP_genieModuleLoadEx:
		*((struct genie_args_genieModuleLoadEx *)args)->result = 0;
		break;
	case GENIE_OP_genieLink: {
		struct genie_args_genieLink *link = args;

		*link->result = 0;
		*link->result_size = 200;
		break;
	}
	case GENIE_OP_genieShareImport: {
		struct genie_args_genieShareImport *import = args;

		*import->size = 2 << 20;
		*import->device = 0;
		break;
	}
	case GENIE_OP_cuDeviceCanAccessPeer:
		*((struct genie_args_cuDeviceCanAccessPeer *)args)->canAccessPeer = 1;
		break;
	}
	return 0;
}

/* The number behind the parameter of that name; false: the call has none. */
static bool
parameter(const struct genie_call *call, const char *name, uint64_t *ret_value)
{
	const struct genie_op_desc *desc = genie_op_desc(call->op);

	for (unsigned i = 0; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];

		if (strcmp(arg->name, name) || arg->kind != GENIE_ARG_VALUE || arg->size > 8)
			continue;
		*ret_value = 0;
		memcpy(ret_value, (uint8_t *)call->args + arg->offset, arg->size);
		return true;
	}
	return false;
}

void
hostile_follow(uint32_t ctx, const struct genie_call *call)
{
	uint64_t ref, size, token;

	if (call->op == GENIE_OP_genieHostFunc)
		hostile_host_func(((struct genie_args_genieHostFunc *)call->args)->id);
	if (parameter(call, "ref", &ref) && parameter(call, "size", &size)) {
		if (call->op == GENIE_OP_genieMemcpyDtoHBulk ||
		    call->op == GENIE_OP_genieMirrorBack)
			hostile_bulk((uint32_t)ref % GENIE_BULK_DOWN,
				     size % (GENIE_BULK_CHUNK + 1));
		else
			hostile_progress(GENIE_SLOT_BULK_UP + (uint32_t)ref % GENIE_BULK_UP);
	}
	if (call->op == GENIE_OP_genieStreamMark && parameter(call, "stream", &token))
		hostile_progress(GENIE_SLOT_STREAM + genie_token_index(token) % GENIE_SLOT_STREAMS);
	if (call->op == GENIE_OP_genieEventRecord && parameter(call, "event", &token))
		hostile_progress(GENIE_SLOT_EVENT + genie_token_index(token) % GENIE_SLOT_EVENTS);
	if (call->op == GENIE_OP_genieCtxMark)
		hostile_progress(GENIE_SLOT_CTX + ctx % GENIE_SLOT_CTXS);
}
