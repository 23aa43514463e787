/*
 * Copies in graphs that read or write memory which only this process sees. CUDA reads and writes
 * such memory when the node runs, at each launch: so the worker's graph has a host function that
 * moves the bytes between the program's memory and a block of the pinned window, and a copy between
 * that and the device. Both sides in host memory: the host function is all there is.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/copy.h"
#include "interpose/graph.h"
#include "interpose/hostfunc.h"
#include "interpose/memory.h"

/* A side in host memory: where its first byte is, and from row to row and slice to slice. */
struct host_side {
	char *at;
	size_t pitch, slice;
};

struct genie_host_copy {
	struct genie_host_copy *next, *prev; /* of those with a block */
	const struct genie_ctx *ctx;
	_Atomic int refs;
	enum genie_host_part part;
	struct host_side dst, src;
	size_t width, height, depth;
	_Atomic uint64_t block; /* of the pinned window, 0 = none, or gone with its context */
	uint64_t id;            /* of the host function */
	uint64_t exec;          /* token: who ran it last; guarded by the graph lock */
};

static pthread_mutex_t copies_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static struct genie_host_copy *copies;

static void
copies_add(struct genie_host_copy *copy)
{
	pthread_mutex_lock(&copies_lock);
	copy->next = copies;
	if (copies)
		copies->prev = copy;
	copies = copy;
	pthread_mutex_unlock(&copies_lock);
}

static void
copies_remove(struct genie_host_copy *copy)
{
	pthread_mutex_lock(&copies_lock);
	if (copy->next)
		copy->next->prev = copy->prev;
	if (copy->prev)
		copy->prev->next = copy->next;
	else if (copies == copy)
		copies = copy->next;
	pthread_mutex_unlock(&copies_lock);
}

void
genie_host_copy_forget_ctx(const struct genie_ctx *ctx)
{
	pthread_mutex_lock(&copies_lock);
	for (struct genie_host_copy *copy = copies; copy; copy = copy->next)
		if (copy->ctx == ctx)
			copy->block = 0;
	pthread_mutex_unlock(&copies_lock);
}

static void
copy_run(void *data)
{
	const struct genie_host_copy *copy = data;
	struct genie_chan *chan = genie_client_chan();

	if (copy->part != GENIE_HOST_ALL && !copy->block)
		return;

	for (size_t z = 0; z < copy->depth; z++)
		for (size_t y = 0; y < copy->height; y++)
			memmove(copy->dst.at + z * copy->dst.slice + y * copy->dst.pitch,
				copy->src.at + z * copy->src.slice + y * copy->src.pitch,
				copy->width);
	/* A lost connection is noticed by whoever asks next. */
	if (copy->part == GENIE_HOST_FIRST && chan)
		(void)genie_chan_host_data(chan, (const void *)(uintptr_t)copy->block,
					   copy->width * copy->height * copy->depth);
}

/* What the device left in the block comes along with the call. */
bool
genie_host_copy_comes(const struct genie_host_copy *copy, struct genie_host_block *ret_block)
{
	*ret_block = (struct genie_host_block){
		.addr = copy->block,
		.size = copy->width * copy->height * copy->depth,
	};
	return copy->part == GENIE_HOST_LAST && !genie_pinned_shared();
}

static struct host_side
side_of(const void *base, size_t x, size_t y, size_t z, size_t pitch, size_t rows)
{
	return (struct host_side){
		.at = (char *)(uintptr_t)base + (z * rows + y) * pitch + x,
		.pitch = pitch,
		.slice = rows * pitch,
	};
}

static struct host_side
side_packed(uint64_t block, const CUDA_MEMCPY3D *params)
{
	return side_of((const void *)(uintptr_t)block, 0, 0, 0, params->WidthInBytes,
		       params->Height);
}

/* The device's part: between the block, packed, and the other side. */
static void
src_is_block(CUDA_MEMCPY3D *params, uint64_t block)
{
	params->srcMemoryType = CU_MEMORYTYPE_DEVICE;
	params->srcHost = NULL;
	params->srcDevice = block;
	params->srcPitch = params->WidthInBytes;
	params->srcHeight = params->Height;
	params->srcXInBytes = params->srcY = params->srcZ = params->srcLOD = 0;
}

static void
dst_is_block(CUDA_MEMCPY3D *params, uint64_t block)
{
	params->dstMemoryType = CU_MEMORYTYPE_DEVICE;
	params->dstHost = NULL;
	params->dstDevice = block;
	params->dstPitch = params->WidthInBytes;
	params->dstHeight = params->Height;
	params->dstXInBytes = params->dstY = params->dstZ = params->dstLOD = 0;
}

CUresult
genie_host_copy_new(CUDA_MEMCPY3D *params, struct genie_ctx *ctx, struct genie_host_copy **ret_copy)
{
	bool src = params->srcMemoryType == CU_MEMORYTYPE_HOST;
	bool dst = params->dstMemoryType == CU_MEMORYTYPE_HOST;
	size_t size = params->WidthInBytes * params->Height * params->Depth;
	struct genie_host_copy *copy;
	uint64_t block = 0;
	CUresult status = CUDA_SUCCESS;

	*ret_copy = NULL;
	if (!size || (!src && !dst))
		return CUDA_SUCCESS;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return CUDA_ERROR_OUT_OF_MEMORY;
	atomic_init(&copy->refs, 1);
	copy->width = params->WidthInBytes;
	copy->height = params->Height;
	copy->depth = params->Depth;
	copy->ctx = ctx;
	copies_add(copy);
	copy->part = src && dst ? GENIE_HOST_ALL : src ? GENIE_HOST_FIRST : GENIE_HOST_LAST;
	if (copy->part != GENIE_HOST_ALL)
		status = genie_pinned_alloc(ctx, size, GENIE_MEM_PINNED, 0, &block);
	copy->block = block;
	if (status == CUDA_SUCCESS) {
		copy->id = genie_hostfunc_node(copy_run, copy);
		if (!copy->id)
			status = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (status != CUDA_SUCCESS) {
		genie_host_copy_unref(copy);
		return status;
	}
	copy->src = src ? side_of(params->srcHost, params->srcXInBytes, params->srcY, params->srcZ,
				  params->srcPitch, params->srcHeight)
			: side_packed(copy->block, params);
	copy->dst = dst ? side_of(params->dstHost, params->dstXInBytes, params->dstY, params->dstZ,
				  params->dstPitch, params->dstHeight)
			: side_packed(copy->block, params);
	if (copy->part == GENIE_HOST_FIRST)
		src_is_block(params, copy->block);
	else if (copy->part == GENIE_HOST_LAST)
		dst_is_block(params, copy->block);
	*ret_copy = copy;
	return CUDA_SUCCESS;
}

struct genie_host_copy *
genie_host_copy_ref(struct genie_host_copy *copy)
{
	atomic_fetch_add_explicit(&copy->refs, 1, memory_order_relaxed);
	return copy;
}

void
genie_host_copy_unref(struct genie_host_copy *copy)
{
	if (atomic_fetch_sub_explicit(&copy->refs, 1, memory_order_acq_rel) != 1)
		return;
	copies_remove(copy);
	if (copy->id)
		genie_hostfunc_drop(copy->id);
	if (copy->block)
		(void)genie_pinned_free(copy->block, GENIE_MEM_PINNED);
	free(copy);
}

enum genie_host_part
genie_host_copy_part(const struct genie_host_copy *copy)
{
	return copy->part;
}

uint64_t
genie_host_copy_id(const struct genie_host_copy *copy)
{
	return copy->id;
}

/* Two executable graphs of one graph share the block. */
bool
genie_host_copy_contended(struct genie_host_copy *copy, const struct genie_exec *exec)
{
	bool contended = copy->exec && copy->exec != exec->object.token;

	copy->exec = exec->object.token;
	return contended;
}
