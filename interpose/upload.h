/* Uploads over a network that the server has from an earlier session: named, not sent. */
#ifndef GENIE_INTERPOSE_UPLOAD_H
#define GENIE_INTERPOSE_UPLOAD_H

#include "interpose/client.h"

/* Chunks that one command names: a bit each in the answer. */
#define GENIE_UPLOAD_NAMED_MAX 64

/* May the server have some of what is uploaded now? */
bool genie_upload_may_be_known(size_t size);

/*
 * The server copies what it has of @size bytes at @src, at most GENIE_UPLOAD_NAMED_MAX chunks, to
 * @dst, in order of @stream; the others are the caller's to send. @ret_have: a bit a chunk. When
 * it returns, @src may change.
 */
CUresult genie_upload_named(CUdeviceptr dst, const void *src, size_t size,
			    struct genie_stream *stream, uint64_t *ret_have);

/* Bytes that were not sent, of this process. */
uint64_t genie_upload_saved(void);

#endif
