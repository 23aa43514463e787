/* What the files that execute commands share. */
#ifndef GENIE_REMOTE_EXEC_H
#define GENIE_REMOTE_EXEC_H

#include "genie_exec.h"
#include "remote/session.h"
#include "wire/codec.h"

/* The function behind a token, or the status with which it could not be had. */
CUresult genie_function_find(struct genie_session *session, CUfunction token,
			     CUfunction *ret_handle);

/* Makes tokens in launch attributes handles, in place. */
CUresult genie_launch_attrs(struct genie_session *session, CUlaunchAttribute *attrs,
			    unsigned int count);

/*
 * Structs of the client's: addresses are checked, tokens become handles, in place; what the driver
 * would read of our memory goes.
 */
CUresult genie_copy3d_resolve(struct genie_session *session, CUDA_MEMCPY3D *copy);
CUresult genie_set_check(struct genie_session *session, const CUDA_MEMSET_NODE_PARAMS_v2 *params);
CUresult genie_memop_check(struct genie_session *session, CUstreamBatchMemOpParams *op);

struct genie_stored;
/* The image of that name: CUDA_ERROR_FILE_NOT_FOUND, or INVALID_IMAGE if a driver should not see
 * it. Borrowed until the next call. */
CUresult genie_image_find(struct genie_session *session, const unsigned char *hash,
			  struct genie_stored **ret_image);

/* The driver's module behind a token, or the status with which it could not be had. */
CUresult genie_module_find(struct genie_session *session, CUmodule token, CUmodule *ret_handle);

/* Makes tokens in a resource handles, in place, and checks its addresses. */
CUresult genie_resource_find(struct genie_session *session, CUDA_RESOURCE_DESC *desc);

/* Forgets a module and its functions, without the driver. */
void genie_module_drop(struct genie_session *session, struct genie_object *object);

/* A mark could not be set: whoever waits for it is let go. Other calls: nothing. After the failure
 * was told. */
void genie_mark_release(struct genie_session *session, const struct genie_call *call);

/* A command that has bulk data is not executed: its slots go back. Other calls: nothing. */
void genie_copy_abandon(struct genie_session *session, const struct genie_call *call);

/* Frees what graphs left behind; before the objects go. */
void genie_graph_fini(struct genie_session *session);

/* ---- graph_host.c ---- */

/* The host function that the client calls @id, as the device wants it; @data: what it reads. */
CUresult genie_graph_host_params(struct genie_session *session, uint64_t id,
				 CUDA_HOST_NODE_PARAMS_v2 *params, const void *data, size_t size);
void genie_graph_host_fini(struct genie_session *session);

/* ---- graph_name.c ---- */

/* Makes @token stand for @handle, which goes with another one: a node with its graph, a graph with
 * the node it is in. */
CUresult genie_graph_name_bind(struct genie_session *session, enum genie_kind kind, uint64_t token,
			       void *handle, enum genie_kind up_kind, uint64_t up_token);
/* It is no more, nor is what went with it. */
void genie_graph_name_drop(struct genie_session *session, enum genie_kind kind, uint64_t token);
/* The same for a node, and for other names of it. */
void genie_graph_name_drop_node(struct genie_session *session, uint64_t node, const void *handle);
/* Nodes of that graph may have more than one name from now on: the client says which they are. */
void genie_graph_name_doubles(struct genie_session *session, uint64_t graph);
/* Has a graph in the node a name? */
bool genie_graph_name_full(struct genie_session *session, uint64_t node);
/* Is the graph in a node? */
bool genie_graph_name_inside(struct genie_session *session, uint64_t graph);
/* May @child be put into a node of @graph, and not a copy of it? And then it was. */
bool genie_graph_name_may_move(struct genie_session *session, uint64_t child, uint64_t graph);
void genie_graph_name_move(struct genie_session *session, uint64_t child, uint64_t node);
void genie_graph_names_fini(struct genie_session *session);

/* Makes @token stand for a context like @ctx. */
CUresult genie_ctx_bind(struct genie_session *session, uint64_t token, const struct genie_ctx *ctx);

/* Makes some context current where a call needs one and the command names none. */
CUresult genie_ctx_any(struct genie_session *session);

#endif
