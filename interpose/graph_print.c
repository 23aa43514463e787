/* A graph as a drawing: text for graphviz, in a file of this process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "interpose/graph.h"
#include "interpose/kernel.h"

#define DEPTH_MAX 64 /* graphs in graphs that are drawn */

struct drawing {
	FILE *file;
	unsigned int flags, graphs;
};

static const char *
type_name(CUgraphNodeType type)
{
	switch (type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
		return "KERNEL";
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		return "MEMCPY";
	case CU_GRAPH_NODE_TYPE_MEMSET:
		return "MEMSET";
	case CU_GRAPH_NODE_TYPE_HOST:
		return "HOST";
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return "GRAPH";
	case CU_GRAPH_NODE_TYPE_EMPTY:
		return "EMPTY";
	case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
		return "EVENT_WAIT";
	case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
		return "EVENT_RECORD";
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
		return "EXT_SEMAS_SIGNAL";
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
		return "EXT_SEMAS_WAIT";
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
		return "MEM_ALLOC";
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
		return "MEM_FREE";
	case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
		return "BATCH_MEM_OP";
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		return "CONDITIONAL";
	}
	return "?";
}

static bool
wants(const struct drawing *d, unsigned int flag)
{
	return d->flags & (flag | CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE);
}

static void
draw_kernel(const struct drawing *d, const struct genie_payload *payload)
{
	const CUDA_KERNEL_NODE_PARAMS_v3 *kernel = &payload->params.kernel;
	const struct genie_function *function =
		genie_object_get(GENIE_KIND_FUNCTION, (uint64_t)(uintptr_t)payload->function);

	fprintf(d->file, "\\n%s", function ? function->desc->name : "?");
	if (wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS))
		fprintf(d->file, "\\n<<<(%u,%u,%u),(%u,%u,%u),%u>>>", kernel->gridDimX,
			kernel->gridDimY, kernel->gridDimZ, kernel->blockDimX, kernel->blockDimY,
			kernel->blockDimZ, kernel->sharedMemBytes);
	for (unsigned int i = 0;
	     i < payload->attr_count && wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_ATTRIBUTES);
	     i++)
		fprintf(d->file, "\\nattribute %d", (int)payload->attrs[i].id);
}

static void
draw_details(const struct drawing *d, const struct genie_node *node)
{
	const CUgraphNodeParams *params = &node->payload.params;

	if (node->opaque)
		return;
	switch ((int)params->type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
		draw_kernel(d, &node->payload);
		break;
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		if (wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_MEMCPY_NODE_PARAMS))
			fprintf(d->file, "\\n%zu x %zu x %zu",
				params->memcpy.copyParams.WidthInBytes,
				params->memcpy.copyParams.Height, params->memcpy.copyParams.Depth);
		break;
	case CU_GRAPH_NODE_TYPE_MEMSET:
		if (wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_MEMSET_NODE_PARAMS))
			fprintf(d->file, "\\n0x%llx = %u, %zu x %zu x %u",
				(unsigned long long)params->memset.dst, params->memset.value,
				params->memset.width, params->memset.height,
				params->memset.elementSize);
		break;
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
		if (wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_MEM_ALLOC_NODE_PARAMS))
			fprintf(d->file, "\\n0x%llx, %zu bytes",
				(unsigned long long)params->alloc.dptr, params->alloc.bytesize);
		break;
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
		if (wants(d, CU_GRAPH_DEBUG_DOT_FLAGS_MEM_FREE_NODE_PARAMS))
			fprintf(d->file, "\\n0x%llx", (unsigned long long)params->free.dptr);
		break;
	default:
		break;
	}
	if (d->flags & CU_GRAPH_DEBUG_DOT_FLAGS_HANDLES)
		fprintf(d->file, "\\n%p", (void *)genie_node_handle(node));
}

static void
draw_graph(struct drawing *d, const struct genie_graph *graph, unsigned int depth)
{
	unsigned int number = d->graphs++;

	fprintf(d->file, "subgraph cluster_%u {\nlabel=\"graph_%u\" graph[style=\"dashed\"];\n",
		number, number);
	for (size_t i = 0; i < graph->count; i++) {
		const struct genie_node *node = graph->nodes[i];

		fprintf(d->file,
			"\"graph_%u_node_%zu\"[style=\"solid\" shape=\"%s\" label=\"%zu\\n%s",
			number, i,
			node->payload.params.type == CU_GRAPH_NODE_TYPE_KERNEL ? "octagon"
									       : "rectangle",
			i, type_name(node->payload.params.type));
		draw_details(d, node);
		fputs("\"];\n", d->file);
	}
	for (size_t i = 0; i < graph->count; i++)
		for (size_t k = 0; k < graph->nodes[i]->dep_count; k++)
			fprintf(d->file, "\"graph_%u_node_%zu\" -> \"graph_%u_node_%zu\"%s;\n",
				number, graph->nodes[i]->deps[k].node->index, number, i,
				genie_edge_plain(&graph->nodes[i]->deps[k].data)
					? ""
					: " [style=\"dotted\"]");
	for (size_t i = 0; i < graph->count && depth < DEPTH_MAX; i++) {
		const struct genie_payload *payload = &graph->nodes[i]->payload;

		if (payload->child)
			draw_graph(d, payload->child, depth + 1);
		for (unsigned int k = 0; payload->bodies && k < payload->params.conditional.size;
		     k++)
			draw_graph(d, payload->bodies[k], depth + 1);
	}
	fputs("}\n", d->file);
}

CUresult
genie_cuGraphDebugDotPrint(CUgraph hGraph, const char *path, unsigned int flags)
{
	struct drawing d = {.flags = flags, .graphs = 1};
	const struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!path)
		return status;
	genie_graph_take();
	graph = genie_graph_get(hGraph);
	if (graph) {
		d.file = fopen(path, "we");
		status = d.file ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
	}
	if (d.file) {
		fputs("digraph dot {\n", d.file);
		draw_graph(&d, graph, 0);
		fputs("}\n", d.file);
		if (fclose(d.file))
			status = CUDA_ERROR_OPERATING_SYSTEM;
	}
	genie_graph_unlock();
	return status;
}
