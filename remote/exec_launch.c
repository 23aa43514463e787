/* Kernel launches: the hottest command there is. */
#include <alloca.h>
#include <string.h>

#include "remote/exec.h"

/* genieLaunch: flags. Wire values. */
#define LAUNCH_COOPERATIVE 1u

#define ATTRS_MAX 64

/*
 * Attributes carry values, except that some name an event. An attribute that is not listed could
 * carry a pointer of the client's, so it is refused.
 */
CUresult
genie_launch_attrs(struct genie_session *session, CUlaunchAttribute *attrs, unsigned int count)
{
	struct genie_object *object;
	CUevent *event;

	for (unsigned int i = 0; i < count; i++) {
		switch ((int)attrs[i].id) {
		case CU_LAUNCH_ATTRIBUTE_IGNORE:
		case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW: /* a device address */
		case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
		case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
		case CU_LAUNCH_ATTRIBUTE_PRIORITY:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
		case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
		case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
			continue;
		case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
			event = &attrs[i].value.programmaticEvent.event;
			break;
		case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
			event = &attrs[i].value.launchCompletionEvent.event;
			break;
		default:
			return CUDA_ERROR_NOT_SUPPORTED;
		}
		object = genie_object_find(&session->objects, GENIE_KIND_EVENT, (uintptr_t)*event);
		if (!object)
			return CUDA_ERROR_INVALID_HANDLE;
		*event = object->handle;
	}
	return CUDA_SUCCESS;
}

static CUresult
launch_ex(struct genie_session *session, CUfunction function, struct genie_stream *stream,
	  const struct genie_args_genieLaunch *args, void **extra)
{
	CUlaunchAttribute *attrs;
	CUlaunchConfig config = {
		.gridDimX = args->gridX,
		.gridDimY = args->gridY,
		.gridDimZ = args->gridZ,
		.blockDimX = args->blockX,
		.blockDimY = args->blockY,
		.blockDimZ = args->blockZ,
		.sharedMemBytes = args->shared,
		.hStream = stream->handle,
	};
	CUresult status;

	if (args->attr_count > ATTRS_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	attrs = alloca((args->attr_count + 1) * sizeof(*attrs));
	if (args->attr_count)
		memcpy(attrs, args->attrs, args->attr_count * sizeof(*attrs));
	config.numAttrs = args->attr_count;
	if (args->flags & LAUNCH_COOPERATIVE) {
		attrs[config.numAttrs].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
		attrs[config.numAttrs++].value.cooperative = 1;
	}
	config.attrs = attrs;
	status = genie_launch_attrs(session, attrs, config.numAttrs);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuLaunchKernelEx(&config, function, NULL, extra);
}

CUresult
genie_exec_genieLaunch(struct genie_session *session, struct genie_args_genieLaunch *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	size_t params_size = args->params_size;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)args->params,
			 CU_LAUNCH_PARAM_BUFFER_SIZE, &params_size, CU_LAUNCH_PARAM_END};
	void **buffer = params_size ? extra : NULL;
	CUfunction function = NULL;
	CUresult status;

	status = genie_function_find(session, args->function, &function);
	if (status != CUDA_SUCCESS)
		return status;
	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if ((params_size && !args->params) || (args->attr_count && !args->attrs))
		return CUDA_ERROR_INVALID_VALUE;
	if (args->attr_count || args->flags)
		return launch_ex(session, function, stream, args, buffer);
	return session->drv->cuLaunchKernel(function, args->gridX, args->gridY, args->gridZ,
					    args->blockX, args->blockY, args->blockZ, args->shared,
					    stream->handle, NULL, buffer);
}
