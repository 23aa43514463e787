/* Calls of the driver's API that the server answers with more than a status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/nvml.h"
#include "tests/fuzz/client/program.h"
#include "tests/fuzz/client/program_impl.h"
#include "wire/codec.h"

#define TRY(call)   program_check(#call, (int)(call))
#define COUNT_OF(x) (sizeof(x) / sizeof((x)[0]))

/* ---- any call that travels ---- */

/* Those that take a place in staging: the client keeps books of them. */
static bool
takes_staging(const struct genie_op_desc *desc)
{
	for (unsigned i = 0; i < desc->arg_count; i++)
		if (!strcmp(desc->args[i].name, "ref"))
			return true;
	return false;
}

static uint64_t
value_for(const struct genie_arg_desc *arg, CUdeviceptr addr, CUstream stream)
{
	if (arg->stream)
		return (uint64_t)(uintptr_t)stream;
	if (arg->reads || arg->writes)
		return addr;
	return 0;
}

void
program_any(unsigned op, unsigned count, CUdeviceptr addr, CUstream stream)
{
	const struct genie_op_desc *desc;
	static _Alignas(8) uint8_t args[1024];
	void *made[2 * GENIE_ARGS_MAX];
	unsigned made_count = 0;
	uint64_t value = count;

	/* The next one that there is. */
	for (op %= GENIE_OP_MAX; !genie_op_desc(op) || takes_staging(genie_op_desc(op));)
		op = (op + 1) % GENIE_OP_MAX;
	desc = genie_op_desc(op);
	if (desc->args_size > sizeof(args) || !desc->sync)
		return;
	memset(args, 0, sizeof(args));
	for (unsigned i = 0; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		uint64_t number = value_for(arg, addr, stream);

		if (arg->kind == GENIE_ARG_VALUE && arg->size <= 8)
			memcpy(args + arg->offset, &number, arg->size);
	}
	for (unsigned i = 0; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		size_t elements = arg->len_size ? count : arg->count;
		size_t size = arg->versioned ? 4 + count : elements * arg->size;
		void *buffer, *counter;

		if (arg->kind == GENIE_ARG_VALUE)
			continue;
		if (arg->kind == GENIE_ARG_STRING)
			size = 2;
		buffer = calloc(1, size ? size : 1);
		made[made_count++] = buffer;
		if (arg->versioned)
			memcpy(buffer, &size, 4);
		memcpy(args + arg->offset, &buffer, sizeof(buffer));
		if (!arg->len_size)
			continue;
		if (!arg->len_deref) {
			memcpy(args + arg->len_offset, &value, arg->len_size);
			continue;
		}
		memcpy(&counter, args + arg->len_offset, sizeof(counter));
		if (!counter) { /* the parameter that counts is further down */
			counter = calloc(1, 8);
			made[made_count++] = counter;
			memcpy(args + arg->len_offset, &counter, sizeof(counter));
		}
		memcpy(counter, &value, arg->len_size);
	}
	/* A counter may have been made before its array wanted another one. */
	program_check(desc->name, fuzz_inside_call(op, args));
	while (made_count > 0)
		free(made[--made_count]);
}

/* ---- graphs ---- */

static void
graph_nodes(struct state *state, CUgraph *graph, unsigned which)
{
	CUgraphNode *node = &state->nodes[which % SLOTS];
	CUDA_MEMSET_NODE_PARAMS set = {
		.dst = state->device[0], .elementSize = 1, .width = 16, .height = 1};
	CUDA_KERNEL_NODE_PARAMS_v2 kernel = {.func = state->functions[0],
					     .gridDimX = 1,
					     .gridDimY = 1,
					     .gridDimZ = 1,
					     .blockDimX = 1,
					     .blockDimY = 1,
					     .blockDimZ = 1};
	char bytes[72] = {0};
	void *params[] = {bytes, bytes + 8};
	CUcontext ctx = NULL;

	kernel.kernelParams = params;
	switch (which % 5) {
	case 0:
		TRY(cuGraphAddEmptyNode(node, *graph, NULL, 0));
		break;
	case 1:
		TRY(cuCtxGetCurrent(&ctx));
		TRY(cuGraphAddMemsetNode(node, *graph, state->nodes, 1, &set, ctx));
		break;
	case 2:
		TRY(cuGraphAddKernelNode_v2(node, *graph, NULL, 0, &kernel));
		break;
	case 3:
		TRY(cuGraphAddEventRecordNode(node, *graph, NULL, 0, state->events[0]));
		break;
	case 4:
		TRY(cuGraphAddChildGraphNode(node, *graph, NULL, 0, state->graphs[1]));
		break;
	}
}

static void
graph_ask(struct state *state, CUgraph graph, size_t room)
{
	CUgraphNode *from = calloc(room ? room : 1, sizeof(CUgraphNode));
	CUgraphNode *to = calloc(room ? room : 1, sizeof(CUgraphNode));
	size_t count = room;
	CUgraphNodeType type;
	CUgraphNode found;

	TRY(cuGraphGetNodes(graph, NULL, &count));
	count = room;
	if (cuGraphGetNodes(graph, from, &count) == CUDA_SUCCESS)
		for (size_t i = 0; i < count; i++)
			state->sink += from[i] != NULL;
	count = room;
	TRY(cuGraphGetRootNodes(graph, from, &count));
	count = room;
	if (cuGraphGetEdges_v2(graph, from, to, NULL, &count) == CUDA_SUCCESS)
		for (size_t i = 0; i < count; i++)
			state->sink += to[i] != NULL;
	TRY(cuGraphNodeGetType(state->nodes[0], &type));
	TRY(cuGraphNodeFindInClone(&found, state->nodes[0], graph));
	free(from);
	free(to);
}

void
program_graphs(uint8_t a, uint8_t b)
{
	struct state *state = program_state();
	CUgraph *graph = &state->graphs[a & 1];
	CUgraphExec *exec = &state->execs[a & 1];
	CUgraphExecUpdateResultInfo info;

	switch (b % 9) {
	case 0:
		TRY(cuGraphCreate(graph, 0));
		break;
	case 1:
	case 2:
		graph_nodes(state, graph, a >> 1);
		break;
	case 3:
		TRY(cuGraphInstantiateWithFlags(exec, *graph, 0));
		break;
	case 4:
		TRY(cuGraphLaunch(*exec, state->streams[a >> 1 & 3]));
		break;
	case 5:
		graph_ask(state, *graph, a >> 1 & 7);
		break;
	case 6:
		TRY(cuGraphExecUpdate_v2(*exec, *graph, &info));
		break;
	case 7:
		TRY(cuGraphClone(&state->graphs[1], state->graphs[0]));
		break;
	case 8:
		TRY(cuGraphExecDestroy(*exec));
		*exec = NULL;
		TRY(cuGraphDestroy(*graph));
		*graph = NULL;
		break;
	}
}

void
program_captures(uint8_t a, uint8_t b)
{
	struct state *state = program_state();
	CUstream stream = state->streams[a & 3];
	CUstreamCaptureStatus status;
	const CUgraphNode *nodes = NULL;
	size_t count = 0;
	cuuint64_t id;
	CUgraph graph;

	if (b % 3 == 0) {
		state->capturing |=
			cuStreamBeginCapture_v2(stream, (CUstreamCaptureMode)(b / 3 % 3)) ==
			CUDA_SUCCESS;
	} else if (b % 3 == 1) {
		TRY(cuStreamEndCapture(stream, &state->graphs[a >> 2 & 1]));
	} else if (cuStreamGetCaptureInfo_v2(stream, &status, &id, &graph, &nodes, &count) ==
			   CUDA_SUCCESS &&
		   status == CU_STREAM_CAPTURE_STATUS_ACTIVE && nodes) {
		for (size_t i = 0; i < count; i++)
			state->sink += nodes[i] != NULL;
	}
}

/* ---- arrays and textures ---- */

void
program_textures(uint8_t a, uint8_t b)
{
	struct state *state = program_state();
	CUarray *array = &state->arrays[a & 1];
	CUDA_ARRAY3D_DESCRIPTOR desc = {
		.Width = 1 + b, .Height = a >> 4, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
	CUDA_RESOURCE_DESC linear = {.resType = CU_RESOURCE_TYPE_LINEAR,
				     .res.linear = {.devPtr = state->device[a >> 1 & 3],
						    .format = CU_AD_FORMAT_FLOAT,
						    .numChannels = 1,
						    .sizeInBytes = 64}};
	CUDA_RESOURCE_DESC pitched = {.resType = CU_RESOURCE_TYPE_PITCH2D,
				      .res.pitch2D = {.devPtr = state->device[a >> 1 & 3],
						      .format = CU_AD_FORMAT_FLOAT,
						      .numChannels = 1,
						      .width = 8,
						      .height = 8,
						      .pitchInBytes = 32}};
	CUDA_RESOURCE_DESC whole = {.resType = CU_RESOURCE_TYPE_ARRAY, .res.array.hArray = *array};
	CUDA_TEXTURE_DESC texture = {.addressMode = {CU_TR_ADDRESS_MODE_CLAMP}};
	CUtexObject *place = &state->textures[a & 1];
	CUtexref ref;
	size_t offset;

	switch (b % 6) {
	case 0:
		TRY(cuArray3DCreate_v2(array, &desc));
		break;
	case 1:
		TRY(cuTexObjectCreate(place, &whole, &texture, NULL));
		break;
	case 2:
		TRY(cuTexObjectCreate(place, &linear, &texture, NULL));
		break;
	case 3:
		TRY(cuTexObjectCreate(place, &pitched, &texture, NULL));
		break;
	case 4:
		TRY(cuTexObjectDestroy(*place));
		*place = 0;
		TRY(cuArrayDestroy(*array));
		*array = NULL;
		break;
	case 5:
		if (cuModuleGetTexRef(&ref, state->modules[a & 1], "tex") == CUDA_SUCCESS)
			TRY(cuTexRefSetAddress_v2(&offset, ref, state->device[a >> 1 & 3], 64));
		break;
	}
}

/* ---- NVML ---- */

/* Exported, but nobody needs a header of ours for them. */
nvmlReturn_t nvmlInit_v2(void);
nvmlReturn_t nvmlShutdown(void);
nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length);
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count);
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device);
nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device);
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length);
nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length);
nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length);
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci);
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory);
nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int *count,
						unsigned int *clocks);
nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level,
					      unsigned int *count, nvmlDevice_t *near);

static void
nvml_texts(nvmlDevice_t device, unsigned size)
{
	char *text = malloc(size);
	nvmlDevice_t found;
	nvmlPciInfo_t pci;

	if (nvmlDeviceGetName(device, text, size) == NVML_SUCCESS)
		program_state()->sink += (unsigned)strlen(text);
	if (nvmlSystemGetDriverVersion(text, size) == NVML_SUCCESS)
		program_state()->sink += (unsigned)strlen(text);
	if (nvmlDeviceGetSerial(device, text, size) == NVML_SUCCESS)
		program_state()->sink += (unsigned)strlen(text);
	if (nvmlDeviceGetVbiosVersion(device, text, size) == NVML_SUCCESS)
		program_state()->sink += (unsigned)strlen(text);
	TRY(nvmlDeviceGetHandleBySerial("12", &found));
	TRY(nvmlDeviceGetPciInfo_v3(device, &pci));
	free(text);
}

void
program_nvml(uint8_t a, uint8_t b)
{
	unsigned int count = b % 8, clocks[8], n;
	nvmlDevice_t device = NULL, *near;
	nvmlMemory_t memory;

	TRY(nvmlInit_v2());
	TRY(nvmlDeviceGetCount_v2(&n));
	TRY(nvmlDeviceGetHandleByIndex_v2(a & 1, &device));
	switch (a >> 1 & 3) {
	case 0:
		nvml_texts(device, 1 + b);
		break;
	case 1:
		TRY(nvmlDeviceGetMemoryInfo(device, &memory));
		break;
	case 2:
		TRY(nvmlDeviceGetSupportedMemoryClocks(device, &count, clocks));
		break;
	case 3:
		near = calloc(count ? count : 1, sizeof(*near));
		TRY(nvmlDeviceGetTopologyNearestGpus(device, NVML_TOPOLOGY_INTERNAL, &count, near));
		free(near);
		break;
	}
	TRY(nvmlShutdown());
}

/* ---- pools, tensor maps ---- */

void
program_pools(uint8_t a, uint8_t b)
{
	CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
				.handleTypes = CU_MEM_HANDLE_TYPE_FABRIC,
				.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = a & 1}};
	struct state *state = program_state();
	CUmemPoolPtrExportData data;
	CUmemFabricHandle handle;
	CUmemoryPool pool = NULL, other = NULL;
	CUdeviceptr addr = 0;
	cuuint64_t value = b;

	TRY(cuMemPoolCreate(&pool, &props));
	TRY(cuMemAllocFromPoolAsync(&addr, 1000 + b, pool, state->streams[a >> 1 & 3]));
	TRY(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &value));
	if (a & 8 && cuMemPoolExportToShareableHandle(&handle, pool, CU_MEM_HANDLE_TYPE_FABRIC,
						      0) == CUDA_SUCCESS)
		TRY(cuMemPoolImportFromShareableHandle(&other, &handle, CU_MEM_HANDLE_TYPE_FABRIC,
						       0));
	if (a & 16 && cuMemPoolExportPointer(&data, addr) == CUDA_SUCCESS && other)
		TRY(cuMemPoolImportPointer(&addr, other, &data));
	TRY(cuMemPoolTrimTo(pool, 0));
	if (b & 1)
		TRY(cuMemFreeAsync(addr, NULL));
	if (b & 2)
		TRY(cuMemPoolDestroy(pool));
}

void
program_tensor_map(uint8_t a, uint8_t b)
{
	static const cuuint64_t dims[] = {64, 64}, strides[] = {256};
	static const cuuint32_t box[] = {8, 8}, steps[] = {1, 1};
	CUtensorMap *map = aligned_alloc(64, sizeof(*map));

	TRY(cuTensorMapEncodeTiled(
		map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2,
		(void *)(uintptr_t)(program_state()->device[a % SLOTS] + 16 * (b & 3)), dims,
		strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
		CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
	free(map);
}
