/*
 * Graphs as the client knows them: nodes with their parameters and what they come after. Questions
 * are answered from here; the worker is told of every change, in one-way commands that name the
 * node. Captured graphs are no different: the client makes a node of what would have been sent
 * (capture.c), so the worker never captures what it could be told.
 *
 * A node of the program can be two for the worker: a copy of memory that only this process sees is
 * a host function that moves the bytes here, and a copy between the device and memory that both
 * see. So a node has an entry and an exit, which are usually itself.
 */
#ifndef GENIE_INTERPOSE_GRAPH_H
#define GENIE_INTERPOSE_GRAPH_H

#include "interpose/client.h"

struct genie_exec;
struct genie_garbage;
struct genie_graph;
struct genie_graph_alloc;
struct genie_host_copy;
struct genie_node;
struct genie_user_object;

struct genie_dep {
	struct genie_node *node; /* comes before */
	CUgraphEdgeData data;
};

/* What a node does. Everything pointed to is the payload's own. */
struct genie_payload {
	/* As the program gave it, pointers replaced by our own copies. Of a child: the graph it
	 * has in it, once somebody asked for it. */
	CUgraphNodeParams params;
	void *data;  /* kernel: packed parameters; memory operations: the list; allocation: who
			may use it */
	size_t size; /* bytes of it */
	/* kernel: the function in its context, as the worker knows it; pointers to each parameter
	 * in data; attributes that were set */
	CUfunction function;
	void **pointers;
	uint32_t pointer_count;
	CUlaunchAttribute *attrs;
	unsigned int attr_count;
	/* Where it runs; NULL: anywhere. */
	struct genie_ctx *ctx;
	CUDA_MEMCPY3D wire;          /* copy: as the worker is told */
	struct genie_graph *child;   /* child: what the program sees of its own graph */
	struct genie_graph **bodies; /* conditional: params.conditional.size of them */
	uint64_t host_id;            /* host function, or our half of a copy; 0 = none */
	struct genie_host_copy *copy;
	struct genie_graph_alloc *alloc; /* allocation, free */
};

struct genie_node {
	struct genie_object object;
	struct genie_graph *graph; /* NULL: the half of another node, or its graph is gone */
	size_t index;              /* in its graph */
	uint64_t origin;           /* token of the node it was cloned from, 0 = none */
	uint64_t sequence;         /* order in which the worker was told of nodes */
	struct genie_dep *deps;
	size_t dep_count;
	struct genie_payload payload;
	struct genie_node *before, *after; /* its other half, before or after it; usually NULL */
	bool opaque; /* made by the device from what it executes itself: no parameters */
	bool marked; /* scratch of a search; false otherwise */
};

struct genie_user_ref {
	struct genie_user_object *object;
	uint64_t count;
};

struct genie_graph {
	struct genie_object object;
	struct genie_node **nodes; /* in the order they were added */
	size_t count, capacity;
	struct genie_node *owner; /* the node it is in: nobody destroys it; NULL: the program's */
	bool named;               /* the worker knows it and its nodes by name */
	uint64_t origin;          /* token of the graph it was cloned from, 0 = none */
	unsigned int execs;       /* executable graphs of it */
	unsigned int captures;    /* captures into it that go on */
	bool memory;              /* has nodes that allocate or free, in it or in a child */
	bool conditional;         /* has conditional nodes or handles */
	struct genie_user_ref *users;
	size_t user_count;
};

/*
 * Guards all graphs, nodes, executable graphs and captures. Held while commands about them are
 * submitted, so that the worker hears of a node before it hears of what comes after it; no answer
 * is waited for with it, except by GENIE_SYNC=1 and for memory beyond the credit. The worker may
 * then be waiting for a host function, so our own ones do not take it. Taken after client.lock,
 * before the allocators' locks.
 */
extern pthread_mutex_t genie_graph_lock;
static inline void
genie_graph_take(void)
{
	pthread_mutex_lock(&genie_graph_lock);
}
/* Unlocks, and runs the destructors of user objects that were let go meanwhile. */
void genie_graph_unlock(void);

/* ---- graph_record.c: what is known, without telling anybody ---- */

/* NULL: not such an object. */
struct genie_graph *genie_graph_get(CUgraph handle);
struct genie_node *genie_node_get(CUgraphNode handle);
static inline CUgraph
genie_graph_handle(const struct genie_graph *graph)
{
	return (CUgraph)(uintptr_t)graph->object.token;
}
static inline CUgraphNode
genie_node_handle(const struct genie_node *node)
{
	return (CUgraphNode)(uintptr_t)node->object.token;
}

struct genie_graph *genie_graph_new_locked(void);
/* Frees it with its nodes, and tells the worker that their names are free; NULL is fine. Its
 * handle itself is the caller's to tell of. */
void genie_graph_free_locked(struct genie_graph *graph);
/* A node behind @deps (checked by the caller), with @payload, which it takes over. NULL: out of
 * memory or names; the payload is the caller's still. */
struct genie_node *genie_node_new_locked(struct genie_graph *graph, const struct genie_dep *deps,
					 size_t count, struct genie_payload *payload);
/* A nameless node for the worker: the half of another one. */
struct genie_node *genie_node_half_locked(void);
/* Takes it out of its graph, and frees it. */
void genie_node_free_locked(struct genie_node *node);
/* The names in a node (halves, child, bodies) are free; before genie_node_free_locked(). */
void genie_node_forget_inside_locked(const struct genie_node *node);
/* Where in @node's dependencies @dep with that data is; dep_count: nowhere. @data NULL: any. */
size_t genie_node_find_dep(const struct genie_node *node, const struct genie_node *dep,
			   const CUgraphEdgeData *data);
CUresult genie_node_add_dep_locked(struct genie_node *node, const struct genie_dep *dep);
void genie_node_remove_dep_locked(struct genie_node *node, size_t index);
/* Is an edge with that data from that node to one of that type possible? */
bool genie_edge_valid(const struct genie_node *from, CUgraphNodeType to,
		      const CUgraphEdgeData *data);
static inline bool
genie_edge_plain(const CUgraphEdgeData *data)
{
	return !data->from_port && !data->to_port && !data->type;
}
/* The program's list of dependencies as ours (free it); checked. */
CUresult genie_deps_resolve(const struct genie_graph *graph, const CUgraphNode *nodes,
			    const CUgraphEdgeData *data, size_t count, CUgraphNodeType to,
			    struct genie_dep **ret_deps);
/* A copy of @graph, node by node, with its children: nobody is told. NULL: out of memory. */
struct genie_graph *genie_graph_copy_locked(const struct genie_graph *graph);
/* Is there a way along dependencies from @from to @to? */
bool genie_node_reaches_locked(const struct genie_node *from, const struct genie_node *to);

/* ---- graph_payload.c: parameters of nodes ---- */

CUresult genie_payload_kernel(struct genie_payload *ret_payload,
			      const CUDA_KERNEL_NODE_PARAMS *params);
CUresult genie_payload_copy(struct genie_payload *ret_payload, const CUDA_MEMCPY3D *params,
			    CUcontext ctx);
CUresult genie_payload_set(struct genie_payload *ret_payload, const CUDA_MEMSET_NODE_PARAMS *params,
			   CUcontext ctx);
CUresult genie_payload_host(struct genie_payload *ret_payload, const CUDA_HOST_NODE_PARAMS *params);
CUresult genie_payload_event(struct genie_payload *ret_payload, CUgraphNodeType type,
			     CUevent event);
CUresult genie_payload_values(struct genie_payload *ret_payload,
			      const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult genie_payload_child(struct genie_payload *ret_payload, CUgraph child,
			     CUgraphChildGraphNodeOwnership ownership);
/* The same from the struct that says its kind itself. Not for allocations, frees, conditionals. */
CUresult genie_payload_node(struct genie_payload *ret_payload, const CUgraphNodeParams *params);
/* An attribute of a kernel; keeps the last value of each. */
CUresult genie_payload_attr(struct genie_payload *payload, const CUlaunchAttribute *attr);
CUresult genie_payload_dup(struct genie_payload *ret_payload, const struct genie_payload *payload);
void genie_payload_fini(struct genie_payload *payload);
/* What the worker is told: handles that it knows, nothing of this process's memory. */
void genie_payload_wire(const struct genie_payload *payload, CUgraphNodeParams *ret_params);

/* ---- graph_node.c: nodes are added, and the worker is told ---- */

/* @graph, and what it is in, has nodes of those kinds. */
void genie_graph_contains_locked(struct genie_graph *graph, bool memory, bool conditional);
/* Adds a node with @payload (taken over in any case) to @graph. */
CUresult genie_graph_add_locked(struct genie_graph *graph, const struct genie_dep *deps,
				size_t count, struct genie_payload *payload,
				struct genie_node **ret_node);
/* Tells the worker of @node as it is now; for one that was just made. */
CUresult genie_node_tell_locked(struct genie_node *node);
/* Gives it another payload of its kind (taken over in any case). */
CUresult genie_node_change_locked(struct genie_node *node, struct genie_payload *payload);
/* Tells of one edge more, or less. */
CUresult genie_edge_send_locked(const struct genie_node *from, const struct genie_node *to,
				const CUgraphEdgeData *data, bool add);
/* The node does something else in @exec from its next launch on. Borrows @payload. */
CUresult genie_node_exec_set_locked(struct genie_exec *exec, struct genie_node *node,
				    const struct genie_payload *payload);
/* The nodes that dependencies lead to and from, as the worker knows them. */
static inline CUgraphNode
genie_node_entry(const struct genie_node *node)
{
	return genie_node_handle(node->before ? node->before : node);
}
static inline CUgraphNode
genie_node_exit(const struct genie_node *node)
{
	return genie_node_handle(node->after ? node->after : node);
}

/* Attributes that nodes have; the others say how one launch is related to others. */
bool genie_node_attr_valid(CUlaunchAttributeID id);

/* ---- graph.c ---- */

CUresult genie_graph_create_locked(struct genie_graph **ret_graph);
CUresult genie_graph_destroy_locked(struct genie_graph *graph);

/* ---- graph_exec.c ---- */

/* What an executable graph needs on this side as long as it may run. */
struct genie_hold {
	enum genie_hold_kind {
		GENIE_HOLD_EVENT, /* value: token of the event that it records */
		GENIE_HOLD_HOST,  /* value: id of a host function */
		GENIE_HOLD_COPY,
		GENIE_HOLD_ALLOC,
		GENIE_HOLD_FREE,
	} kind;
	bool old;      /* the node does something else now; kept until nothing runs any more */
	uint64_t node; /* token */
	uint64_t value;
	union {
		struct genie_host_copy *copy;
		struct genie_graph_alloc *alloc;
	};
};

struct genie_exec {
	struct genie_object object;
	cuuint64_t flags;
	struct genie_graph *graph; /* it was made of; NULL: that is gone */
	uint64_t *disabled;        /* tokens of nodes */
	size_t disabled_count;
	struct genie_hold *holds;
	size_t hold_count, hold_capacity;
	struct genie_user_ref *users;
	size_t user_count;
	uint64_t stream;       /* token: of its last launch, 0 = never launched */
	struct genie_ctx *ctx; /* and of that, the context */
	/* What kernels, and so the program, call it by; 0: they cannot launch it. */
	uint64_t launch_handle;
	struct genie_exec *next_launchable;
};
struct genie_exec *genie_exec_get(CUgraphExec handle);
/* As commands name it; the program may have another name for it (launch_handle). */
static inline CUgraphExec
genie_exec_handle(const struct genie_exec *exec)
{
	return (CUgraphExec)(uintptr_t)exec->object.token;
}
/* @exec needs what a node with @payload needs, or all nodes of @graph. */
CUresult genie_exec_hold_locked(struct genie_exec *exec, uint64_t node,
				const struct genie_payload *payload);
CUresult genie_exec_hold_graph_locked(struct genie_exec *exec, const struct genie_graph *graph);
/* What node @node (0: any) did up to now may still be running, and is not what it does from now
 * on. What is returned is for genie_garbage_submit(). */
struct genie_garbage *genie_exec_retire_locked(struct genie_exec *exec, uint64_t node);
/* Gives it back when nothing that was launched uses it any more; NULL: nothing. The graph lock is
 * not held. */
void genie_garbage_submit(struct genie_garbage *item);

/* ---- graph_memory.c: memory that graphs allocate and free ---- */

/* An allocation in @ctx for a node of @graph. Fills in params->dptr. */
CUresult genie_graph_alloc_new_locked(struct genie_graph *graph, struct genie_ctx *ctx,
				      CUDA_MEM_ALLOC_NODE_PARAMS *params,
				      struct genie_payload *ret_payload);
/* A node of @graph that frees what begins at @addr. */
CUresult genie_graph_alloc_free_locked(struct genie_graph *graph, CUdeviceptr addr,
				       struct genie_payload *ret_payload);
/* That node did not come about. */
void genie_graph_alloc_unclaim_locked(const struct genie_graph *graph, CUdeviceptr addr);
void genie_graph_alloc_ref_locked(struct genie_graph_alloc *alloc);
void genie_graph_alloc_unref_locked(struct genie_graph_alloc *alloc);
/* An executable graph has it, or has it no more. */
void genie_graph_alloc_map_locked(struct genie_graph_alloc *alloc, bool map);
/* May @exec be launched? If so its allocations are in use from now on, and what it frees is not. */
CUresult genie_graph_alloc_launch_locked(const struct genie_exec *exec);
/* A context ends, and all memory in it. */
void genie_graph_alloc_forget_ctx(const struct genie_ctx *ctx);
/* Is @addr a graph's? Then it is freed, for cuMemFree and cuMemFreeAsync. */
bool genie_graph_alloc_freed(CUdeviceptr addr, CUresult *ret_status);

/* ---- graph_host.c: copies of memory that only this process sees ---- */

/* What a copy means for the worker: *@ret_params is changed, and *@ret_copy made where this process
 * has a part in it (NULL: it has not). */
CUresult genie_host_copy_new(CUDA_MEMCPY3D *params, struct genie_ctx *ctx,
			     struct genie_host_copy **ret_copy);
/* A context ends, and the memory between us and the device with it. */
void genie_host_copy_forget_ctx(const struct genie_ctx *ctx);
struct genie_host_copy *genie_host_copy_ref(struct genie_host_copy *copy);
void genie_host_copy_unref(struct genie_host_copy *copy);
/* Does our part come before the device's, after it, or is it all? */
enum genie_host_part { GENIE_HOST_FIRST, GENIE_HOST_LAST, GENIE_HOST_ALL };
enum genie_host_part genie_host_copy_part(const struct genie_host_copy *copy);
/* Over a network: what the worker sends along with the call of our part, if anything. Wire. */
struct genie_host_block {
	uint64_t addr, size;
};
bool genie_host_copy_comes(const struct genie_host_copy *copy, struct genie_host_block *ret_block);
/* The host function that does our part. */
uint64_t genie_host_copy_id(const struct genie_host_copy *copy);
/* @exec is about to run it: if another one may still do so, later work has to wait for that. */
bool genie_host_copy_contended(struct genie_host_copy *copy, const struct genie_exec *exec);

/* ---- user_object.c ---- */

CUresult genie_user_refs_copy(struct genie_user_ref **ret_refs, size_t *ret_count,
			      const struct genie_user_ref *refs, size_t count);
/* Gives the references back, and frees the list. */
void genie_user_refs_drop(struct genie_user_ref *refs, size_t count);
/* Runs the destructors of objects that have no reference left; no lock is held. */
void genie_user_objects_destroy(void);

#endif
