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

/* Tokens of graph nodes become handles, in the memory of this command. */
CUresult genie_nodes_find(struct genie_session *session, const CUgraphNode *nodes, size_t count);

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

/* Frees what copies left behind. */
void genie_copy_fini(struct genie_session *session);

/* Makes @token stand for a context like @ctx. */
CUresult genie_ctx_bind(struct genie_session *session, uint64_t token, const struct genie_ctx *ctx);

/* Makes some context current where a call needs one and the command names none. */
CUresult genie_ctx_any(struct genie_session *session);

#endif
