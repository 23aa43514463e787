/* Graphs as the files that build, capture and run them see them. */
#ifndef GENIE_REMOTE_DEVICE_CPU_GRAPH_H
#define GENIE_REMOTE_DEVICE_CPU_GRAPH_H

#include "remote/device_cpu/cpu.h"

/* Graphs in nodes of graphs, at most: running them is recursive. */
#define GENIE_CPU_GRAPH_DEPTH_MAX 64

struct genie_cpu_edge {
	struct genie_cpu_node *node; /* comes before */
	CUgraphEdgeData data;
};

struct genie_cpu_node {
	uint32_t magic;
	struct genie_cpu_graph *graph;
	unsigned long long id;
	unsigned long long origin; /* id of the node that it was cloned from, 0 = none */
	size_t index;              /* in its graph */
	bool enabled;
	bool marked; /* scratch of a search; false otherwise */
	struct genie_cpu_op op;
	struct genie_cpu_edge *deps;
	size_t dep_count;
	void **param_pointers; /* what cuGraphKernelNodeGetParams gave out */
};

struct genie_cpu_graph {
	uint32_t magic;
	unsigned int refs;
	bool is_child;                 /* belongs to a node: nobody else may destroy it */
	unsigned int depth;            /* levels of graphs in its nodes, when they were added */
	unsigned int level;            /* how many nodes it is in */
	struct genie_cpu_node **nodes; /* in the order they were added */
	size_t count, capacity;
	size_t *order; /* indices, sorted by dependency; NULL: not known */
	/* The handle by which kernels launch the executable graph that it is of, or 0. */
	uint64_t launchable;
};

struct genie_cpu_exec {
	uint32_t magic;
	unsigned long long flags;
	struct genie_cpu_graph *graph; /* its own clone: nodes keep their indices */
	/* launchable.c's, under its lock */
	struct genie_cpu_exec *next_launchable;
	bool uploaded, queued, running;
};

/* NULL: not such an object. */
struct genie_cpu_graph *genie_cpu_graph_get(CUgraph handle);
struct genie_cpu_node *genie_cpu_node_get(CUgraphNode handle);
struct genie_cpu_exec *genie_cpu_exec_get(CUgraphExec handle);

struct genie_cpu_graph *genie_cpu_graph_new(void);
/*
 * Adds a node with a copy of @op behind the nodes of @deps (all of this graph, or it is
 * CUDA_ERROR_INVALID_VALUE).
 */
CUresult genie_cpu_graph_add(struct genie_cpu_graph *graph, const struct genie_cpu_op *op,
			     struct genie_cpu_node *const *deps, const CUgraphEdgeData *edges,
			     size_t dep_count, struct genie_cpu_node **ret_node);
/* The node's graph is @child itself from now on, and not a copy of it. */
void genie_cpu_node_take_child(struct genie_cpu_node *node, struct genie_cpu_graph *child);
/* Sorts the nodes, if they are not. CUDA_ERROR_INVALID_VALUE: there is a cycle. */
CUresult genie_cpu_graph_sort(struct genie_cpu_graph *graph);
/* Gives the node another operation (a copy of it) of the same kind. */
CUresult genie_cpu_node_replace(struct genie_cpu_node *node, const struct genie_cpu_op *op);

/* What CUDA's structs say as an operation. It borrows; a kernel's parameters must be freed. */
CUresult genie_cpu_op_from_kernel(struct genie_cpu_op *ret_op,
				  const CUDA_KERNEL_NODE_PARAMS *params);
CUresult genie_cpu_op_from_copy(struct genie_cpu_op *ret_op, const CUDA_MEMCPY3D *params);
CUresult genie_cpu_op_from_set(struct genie_cpu_op *ret_op, const CUDA_MEMSET_NODE_PARAMS *params);
CUresult genie_cpu_op_from_host(struct genie_cpu_op *ret_op, const CUDA_HOST_NODE_PARAMS *params);
CUresult genie_cpu_op_from_child(struct genie_cpu_op *ret_op, CUgraph child);
CUresult genie_cpu_op_from_event(struct genie_cpu_op *ret_op, enum genie_cpu_op_kind kind,
				 CUevent event);
CUresult genie_cpu_op_from_values(struct genie_cpu_op *ret_op,
				  const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
/* conditional.c: with empty bodies of its own. */
CUresult genie_cpu_op_from_conditional(struct genie_cpu_op *ret_op,
				       const CUDA_CONDITIONAL_NODE_PARAMS *params);
/* The same from the struct that says its kind itself. */
CUresult genie_cpu_op_from_node(struct genie_cpu_op *ret_op, const CUgraphNodeParams *params);
/* Frees what one of the above allocated. */
void genie_cpu_op_release(struct genie_cpu_op *op);

/* ---- launchable.c: executable graphs that kernels may launch ---- */

/* Has the graph only nodes that such a graph may have? */
bool genie_cpu_launchable_allows(const struct genie_cpu_graph *graph);
void genie_cpu_launchable_add(struct genie_cpu_exec *exec);
void genie_cpu_launchable_remove(const struct genie_cpu_exec *exec);
/* Before that, kernels cannot launch it. */
void genie_cpu_launchable_upload(struct genie_cpu_exec *exec);
/* Gives @exec another graph. */
void genie_cpu_launchable_change(struct genie_cpu_exec *exec, struct genie_cpu_graph *graph);
/* Around a kernel that this thread runs in a graph: what it may launch, and what it launched to be
 * forgotten. Outside of such graphs they do nothing. */
void genie_cpu_launching_prepare(struct ptx_launch *launch);
CUresult genie_cpu_launching_forget(struct genie_cpu_context *ctx);

#endif
