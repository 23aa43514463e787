/*
 * Attributes of streams: hints about caches and synchronisation, kept and given back. The work of
 * a stream does not depend on them.
 */
#include "interpose/client.h"

#include <string.h>

static bool
attr_known(CUstreamAttrID attr)
{
	switch ((int)attr) {
	case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
	case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
	case CU_LAUNCH_ATTRIBUTE_PRIORITY:
	case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
	case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
		return true;
	default:
		return false;
	}
}

CUresult
genie_cuStreamGetAttribute(CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue *value)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!value || !attr_known(attr))
		return CUDA_ERROR_INVALID_VALUE;
	memset(value, 0, sizeof(*value));
	if ((int)attr == CU_LAUNCH_ATTRIBUTE_PRIORITY)
		value->priority = stream->priority;
	else if ((int)attr == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY)
		value->syncPolicy = stream->sync_policy
					    ? (CUsynchronizationPolicy)stream->sync_policy
					    : CU_SYNC_POLICY_AUTO;
	else if ((int)attr == CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW)
		value->accessPolicyWindow = stream->access_window;
	else if ((int)attr == CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP)
		value->memSyncDomainMap = (CUlaunchMemSyncDomainMap){.default_ = 0, .remote = 1};
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamSetAttribute(CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue *value)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!value || !attr_known(attr))
		return CUDA_ERROR_INVALID_VALUE;
	/* A window of L2 that stays resident makes a difference in speed only. */
	if ((int)attr == CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW)
		stream->access_window = value->accessPolicyWindow;
	else if ((int)attr == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY)
		stream->sync_policy = (int)value->syncPolicy;
	else if ((int)attr == CU_LAUNCH_ATTRIBUTE_PRIORITY)
		stream->priority = value->priority;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamCopyAttributes(CUstream dstStream, CUstream srcStream)
{
	struct genie_stream *dst = genie_stream_get(dstStream);
	struct genie_stream *src = genie_stream_get(srcStream);

	if (!dst || !src)
		return genie_stream_missing();
	dst->access_window = src->access_window;
	dst->sync_policy = src->sync_policy;
	return CUDA_SUCCESS;
}
