/*
 * User objects: memory of the program that graphs use, freed by the program's own function when
 * the last graph that may use it is gone. They exist here only.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/graph.h"

struct genie_user_object {
	struct genie_object object;
	CUhostFn destroy;
	void *data;
	uint64_t refs;  /* of the program and of graphs */
	uint64_t owned; /* of those, the ones of graphs: not the program's to release */
	struct genie_user_object *next;
};

/* Guards references and the list of the dead. Nothing is called with it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Those without references, until their destructors run. The pointer is looked at without the
 * lock. */
static _Atomic(struct genie_user_object *) dead;

static struct genie_user_object *
user_object_get(CUuserObject handle)
{
	return genie_object_get(GENIE_KIND_USEROBJ, (uint64_t)(uintptr_t)handle);
}

static bool
count_valid(unsigned int count)
{
	return count != 0 && count <= INT_MAX;
}

static void
unref_locked(struct genie_user_object *object, uint64_t count)
{
	object->refs -= count;
	if (object->refs)
		return;
	genie_object_unlink(object);
	object->next = atomic_load_explicit(&dead, memory_order_relaxed);
	atomic_store_explicit(&dead, object, memory_order_relaxed);
}

void
genie_user_objects_destroy(void)
{
	struct genie_user_object *object, *next;

	if (!atomic_load_explicit(&dead, memory_order_relaxed))
		return;
	pthread_mutex_lock(&lock);
	object = atomic_exchange_explicit(&dead, NULL, memory_order_relaxed);
	pthread_mutex_unlock(&lock);
	for (; object; object = next) {
		next = object->next;
		object->destroy(object->data);
		free(object);
	}
}

/* ---- references of graphs ---- */

CUresult
genie_user_refs_copy(struct genie_user_ref **ret_refs, size_t *ret_count,
		     const struct genie_user_ref *refs, size_t count)
{
	struct genie_user_ref *copy = malloc((count ? count : 1) * sizeof(*copy));

	if (!copy)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++) {
		copy[i] = refs[i];
		copy[i].object->refs += copy[i].count;
		copy[i].object->owned += copy[i].count;
	}
	pthread_mutex_unlock(&lock);
	*ret_refs = copy;
	*ret_count = count;
	return CUDA_SUCCESS;
}

void
genie_user_refs_drop(struct genie_user_ref *refs, size_t count)
{
	if (count)
		pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++) {
		refs[i].object->owned -= refs[i].count;
		unref_locked(refs[i].object, refs[i].count);
	}
	if (count)
		pthread_mutex_unlock(&lock);
	free(refs);
}

static struct genie_user_ref *
graph_ref(struct genie_graph *graph, const struct genie_user_object *object)
{
	for (size_t i = 0; i < graph->user_count; i++)
		if (graph->users[i].object == object)
			return &graph->users[i];
	return NULL;
}

/* In the graph's list; guarded by the graph lock. */
static CUresult
graph_retain_locked(struct genie_graph *graph, struct genie_user_object *object, unsigned int count)
{
	struct genie_user_ref *ref = graph_ref(graph, object), *bigger;

	if (!ref) {
		bigger = realloc(graph->users, (graph->user_count + 1) * sizeof(*bigger));
		if (!bigger)
			return CUDA_ERROR_OUT_OF_MEMORY;
		graph->users = bigger;
		ref = &bigger[graph->user_count++];
		*ref = (struct genie_user_ref){.object = object};
	}
	ref->count += count;
	return CUDA_SUCCESS;
}

/* ---- the entry points ---- */

CUresult
genie_cuUserObjectCreate(CUuserObject *object_out, void *ptr, CUhostFn destroy,
			 unsigned int initialRefcount, unsigned int flags)
{
	struct genie_user_object *object;

	if (!object_out || !destroy || !count_valid(initialRefcount) ||
	    flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
		return CUDA_ERROR_INVALID_VALUE;
	object = genie_object_new(GENIE_KIND_USEROBJ, sizeof(*object), NULL);
	if (!object)
		return CUDA_ERROR_OUT_OF_MEMORY;
	object->destroy = destroy;
	object->data = ptr;
	object->refs = initialRefcount;
	*object_out = (CUuserObject)(uintptr_t)object->object.token;
	return CUDA_SUCCESS;
}

CUresult
genie_cuUserObjectRetain(CUuserObject handle, unsigned int count)
{
	struct genie_user_object *object;

	if (!count_valid(count))
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	object = user_object_get(handle);
	if (object)
		object->refs += count;
	pthread_mutex_unlock(&lock);
	return object ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_cuUserObjectRelease(CUuserObject handle, unsigned int count)
{
	struct genie_user_object *object;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	pthread_mutex_lock(&lock);
	object = user_object_get(handle);
	if (object && count_valid(count) && count <= object->refs - object->owned) {
		unref_locked(object, count);
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	genie_user_objects_destroy();
	return status;
}

/* @graph has @count references, new ones or the program's. */
static CUresult
retain_locked(struct genie_graph *graph, struct genie_user_object *object, unsigned int count,
	      bool move)
{
	CUresult status;

	if (move && count > object->refs - object->owned)
		return CUDA_ERROR_INVALID_VALUE;
	status = graph_retain_locked(graph, object, count);
	if (status != CUDA_SUCCESS)
		return status;
	object->owned += count;
	if (!move)
		object->refs += count;
	return status;
}

CUresult
genie_cuGraphRetainUserObject(CUgraph handle, CUuserObject object_handle, unsigned int count,
			      unsigned int flags)
{
	struct genie_user_object *object;
	struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!count_valid(count) || flags & ~(unsigned int)CU_GRAPH_USER_OBJECT_MOVE)
		return status;
	genie_graph_take();
	pthread_mutex_lock(&lock);
	graph = genie_graph_get(handle);
	object = user_object_get(object_handle);
	if (graph && object)
		status = retain_locked(graph, object, count, flags != 0);
	pthread_mutex_unlock(&lock);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphReleaseUserObject(CUgraph handle, CUuserObject object_handle, unsigned int count)
{
	struct genie_user_object *object;
	struct genie_user_ref *ref = NULL;
	struct genie_graph *graph;

	genie_graph_take();
	pthread_mutex_lock(&lock);
	graph = genie_graph_get(handle);
	object = user_object_get(object_handle);
	if (graph && object && count_valid(count))
		ref = graph_ref(graph, object);
	if (ref && ref->count < count)
		ref = NULL;
	if (ref) {
		ref->count -= count;
		if (!ref->count)
			*ref = graph->users[--graph->user_count];
		object->owned -= count;
		unref_locked(object, count);
	}
	pthread_mutex_unlock(&lock);
	genie_graph_unlock();
	return ref ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
