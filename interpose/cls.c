/*
 * Context-local storage. The vendor's runtime asks for its value at every call, so reading takes
 * no lock: the values of a context are a list that only grows; deleting clears the key.
 */
#include "interpose/ctx.h"
#include "interpose/export_table.h"

#include <stdlib.h>

struct genie_cls {
	struct genie_cls *next; /* set before the entry is published, never changed */
	void *_Atomic key;      /* NULL: deleted; the entry is used again */
	void *_Atomic value;
	genie_cls_destroy_fn destroy;
};

/* Guards every change of every list. */
static pthread_mutex_t cls_lock = PTHREAD_MUTEX_INITIALIZER;

static struct genie_cls *
cls_first(struct genie_ctx *ctx)
{
	return __atomic_load_n(&ctx->cls, __ATOMIC_ACQUIRE);
}

static struct genie_cls *
cls_find(struct genie_ctx *ctx, void *key)
{
	for (struct genie_cls *entry = cls_first(ctx); entry; entry = entry->next)
		if (atomic_load_explicit(&entry->key, memory_order_acquire) == key)
			return entry;
	return NULL;
}

CUresult
genie_cls_get(void **value, CUcontext handle, void *key)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);
	struct genie_cls *entry;

	if (!ctx || !key)
		return CUDA_ERROR_INVALID_HANDLE;
	entry = cls_find(ctx, key);
	if (!entry)
		return CUDA_ERROR_INVALID_HANDLE; /* what the vendor's driver says on a miss */
	*value = atomic_load_explicit(&entry->value, memory_order_acquire);
	return CUDA_SUCCESS;
}

CUresult
genie_cls_put(CUcontext handle, void *key, void *value, genie_cls_destroy_fn destroy)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);
	struct genie_cls *entry;
	CUresult status = CUDA_SUCCESS;

	if (!ctx || !key)
		return CUDA_ERROR_INVALID_HANDLE;
	pthread_mutex_lock(&cls_lock);
	entry = cls_find(ctx, key);
	if (!entry)
		entry = cls_find(ctx, NULL);
	if (entry) {
		entry->destroy = destroy;
		atomic_store_explicit(&entry->value, value, memory_order_relaxed);
		/* release: who sees the key sees the value */
		atomic_store_explicit(&entry->key, key, memory_order_release);
		goto out;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry) {
		status = CUDA_ERROR_OUT_OF_MEMORY;
		goto out;
	}
	entry->destroy = destroy;
	atomic_init(&entry->value, value);
	atomic_init(&entry->key, key);
	entry->next = ctx->cls;
	__atomic_store_n(&ctx->cls, entry, __ATOMIC_RELEASE);
out:
	pthread_mutex_unlock(&cls_lock);
	return status;
}

CUresult
genie_cls_delete(CUcontext handle, void *key)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);
	struct genie_cls *entry;

	if (!ctx || !key)
		return CUDA_ERROR_INVALID_HANDLE;
	pthread_mutex_lock(&cls_lock);
	entry = cls_find(ctx, key);
	if (entry)
		atomic_store_explicit(&entry->key, NULL, memory_order_release);
	pthread_mutex_unlock(&cls_lock);
	return CUDA_SUCCESS;
}

/* Takes one entry out; false when none is left. */
static bool
cls_take(struct genie_ctx *ctx, void **ret_key, void **ret_value, genie_cls_destroy_fn *ret_destroy)
{
	struct genie_cls *entry;

	pthread_mutex_lock(&cls_lock);
	for (entry = ctx->cls; entry; entry = entry->next)
		if (atomic_load_explicit(&entry->key, memory_order_relaxed))
			break;
	if (entry) {
		*ret_key = atomic_load_explicit(&entry->key, memory_order_relaxed);
		*ret_value = atomic_load_explicit(&entry->value, memory_order_relaxed);
		*ret_destroy = entry->destroy;
		atomic_store_explicit(&entry->key, NULL, memory_order_release);
	}
	pthread_mutex_unlock(&cls_lock);
	return entry != NULL;
}

void
genie_cls_forget_ctx(struct genie_ctx *ctx)
{
	genie_cls_destroy_fn destroy = NULL;
	void *key = NULL, *value = NULL;

	/* The destructors are the vendor's code and may call CUDA: no lock is held. */
	while (cls_take(ctx, &key, &value, &destroy))
		if (destroy)
			destroy(genie_ctx_handle(ctx), key, value);
}
