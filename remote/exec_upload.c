/* Uploads that are named instead of sent. */
#include <stdlib.h>
#include <string.h>

#include "remote/address.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/uploads.h"

/* Chunks that are copied and not given back yet: past that, the client sends them. */
#define PENDING_MAX (UINT64_C(256) << 20)

CUresult
genie_exec_genieUploadNames(struct genie_session *session, struct genie_args_genieUploadNames *args)
{
	*args->count = genie_uploads_names(session->uploads, args->from,
					   (uint64_t *)(void *)args->heads, *args->count);
	return CUDA_SUCCESS;
}

static void
copied(struct genie_session *session, const struct genie_completion *completion, CUresult status)
{
	(void)status;
	atomic_fetch_sub_explicit(&session->uploads_pending, completion->len, memory_order_relaxed);
	free(completion->ptr);
}

/* @ret_have: the chunk was here. */
static CUresult
copy_chunk(struct genie_session *session, struct genie_stream *stream, CUdeviceptr dst,
	   const uint8_t *hash, size_t size, bool *ret_have)
{
	struct genie_completion done = {
		.fn = copied, .ticket = session->cmd->ticket, .slot = GENIE_SLOTS_MAX, .len = size};
	CUresult status;

	if (atomic_load_explicit(&session->uploads_pending, memory_order_relaxed) + size >
	    PENDING_MAX)
		return CUDA_SUCCESS;
	done.ptr = genie_uploads_load(session->uploads, hash, size);
	if (!done.ptr)
		return CUDA_SUCCESS;
	atomic_fetch_add_explicit(&session->uploads_pending, size, memory_order_relaxed);
	status = session->drv->cuMemcpyHtoDAsync_v2(dst, done.ptr, size, stream->handle);
	if (status == CUDA_SUCCESS)
		status = genie_complete_add(session, stream, &done);
	if (status != CUDA_SUCCESS)
		copied(session, &done, status);
	*ret_have = status == CUDA_SUCCESS;
	return status;
}

CUresult
genie_exec_genieUploadCopy(struct genie_session *session, struct genie_args_genieUploadCopy *args)
{
	static const uint8_t none[GENIE_UPLOADS_HASH];
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	size_t chunks = args->hashes_size / GENIE_UPLOADS_HASH;
	CUresult status;

	*args->have = 0;
	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!args->size || args->hashes_size % GENIE_UPLOADS_HASH || chunks > 64 ||
	    (args->size - 1) / GENIE_BULK_CHUNK + 1 != chunks)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_address_check(session, args->dst, args->size);
	for (size_t i = 0; i < chunks && status == CUDA_SUCCESS; i++) {
		const uint8_t *hash = args->hashes + i * GENIE_UPLOADS_HASH;
		size_t at = i * GENIE_BULK_CHUNK, left = args->size - at;
		bool have = false;

		if (memcmp(hash, none, sizeof(none)) == 0)
			continue;
		status = copy_chunk(session, stream, args->dst + at, hash,
				    left < GENIE_BULK_CHUNK ? left : GENIE_BULK_CHUNK, &have);
		if (have)
			*args->have |= UINT64_C(1) << i;
	}
	return status;
}
