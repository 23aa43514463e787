/* Handles of the client: generations, reuse, lookups of nonsense, many threads. */
#include "interpose/client.h"

#include <criterion/criterion.h>

#include "tests/unit/fake_chan.h"

#include <pthread.h>

Test(client_object, lookup)
{
	struct genie_object *stream = genie_object_new(GENIE_KIND_STREAM, sizeof(*stream), NULL);
	uint64_t token;

	cr_assert(stream);
	token = stream->token;
	cr_assert_eq(genie_token_kind(token), GENIE_KIND_STREAM);
	cr_assert_neq(genie_token_index(token), 0, "index 0 is the legacy stream");
	cr_assert_eq(genie_object_get(GENIE_KIND_STREAM, token), stream);
	cr_assert_null(genie_object_get(GENIE_KIND_EVENT, token), "another kind");
	cr_assert_null(genie_object_get(GENIE_KIND_STREAM, 0));
	cr_assert_null(genie_object_get(GENIE_KIND_STREAM, (uintptr_t)stream));
	cr_assert_null(
		genie_object_get(GENIE_KIND_STREAM, genie_token(GENIE_KIND_STREAM, 0, UINT32_MAX)));
	genie_object_free(stream);
	cr_assert_null(genie_object_get(GENIE_KIND_STREAM, token), "stale");
	genie_object_free(NULL);
}

Test(client_object, index_comes_back_with_another_generation)
{
	struct genie_object *first = genie_object_new(GENIE_KIND_EVENT, sizeof(*first), NULL);
	uint64_t stale = first->token;
	struct genie_object *second;

	genie_object_free(first);
	second = genie_object_new(GENIE_KIND_EVENT, sizeof(*second), NULL);
	cr_assert_eq(genie_token_index(second->token), genie_token_index(stale));
	cr_assert_neq(second->token, stale);
	cr_assert_null(genie_object_get(GENIE_KIND_EVENT, stale));
	genie_object_free(second);
}

Test(client_object, freed_indices_queue_up)
{
	struct genie_object *a = genie_object_new(GENIE_KIND_EVENT, sizeof(*a), NULL);
	struct genie_object *b = genie_object_new(GENIE_KIND_EVENT, sizeof(*b), NULL);
	uint32_t first = genie_token_index(a->token), second = genie_token_index(b->token);

	genie_object_free(a);
	genie_object_free(b);
	a = genie_object_new(GENIE_KIND_EVENT, sizeof(*a), NULL);
	b = genie_object_new(GENIE_KIND_EVENT, sizeof(*b), NULL);
	cr_assert_eq(genie_token_index(a->token), first, "the one freed longest ago");
	cr_assert_eq(genie_token_index(b->token), second);
}

Test(client_object, limits_are_those_of_the_progress_slots)
{
	unsigned int n = 0;

	while (genie_object_new(GENIE_KIND_CTX, sizeof(struct genie_object), NULL))
		n++;
	cr_assert_eq(n, GENIE_SLOT_CTXS - 1);
}

static void
count_one(void *object, void *data)
{
	(void)object;
	++*(int *)data;
}

Test(client_object, each)
{
	struct genie_object *a = genie_object_new(GENIE_KIND_GRAPH, sizeof(*a), NULL);
	int n = 0;

	genie_object_new(GENIE_KIND_GRAPH, sizeof(*a), NULL);
	genie_object_each(GENIE_KIND_GRAPH, count_one, &n);
	cr_assert_eq(n, 2);
	genie_object_free(a);
	n = 0;
	genie_object_each(GENIE_KIND_GRAPH, count_one, &n);
	cr_assert_eq(n, 1);
}

static void *
churn(void *data)
{
	(void)data;
	for (int i = 0; i < 5000; i++) {
		struct genie_object *event =
			genie_object_new(GENIE_KIND_EVENT, sizeof(*event), NULL);

		cr_assert_eq(genie_object_get(GENIE_KIND_EVENT, event->token), event);
		genie_object_free(event);
	}
	return NULL;
}

Test(client_object, threads, .timeout = 30)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

/* PyTorch takes a stream whose handle is odd for one of its own, not for a program's. */
Test(client_object_streams, even)
{
	CUstream streams[40];
	CUcontext ctx;

	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(cuStreamCreate(&streams[i], 0), CUDA_SUCCESS);
		cr_assert_eq((uintptr_t)streams[i] % 2, 0);
		for (int j = 0; j < i; j++)
			cr_assert_neq(streams[i], streams[j]);
	}
	for (int i = 0; i < 40; i++)
		cr_assert_eq(cuStreamDestroy_v2(streams[i]), CUDA_SUCCESS);
	for (int i = 0; i < 80; i++) { /* indices that are used again */
		cr_assert_eq(cuStreamCreate(&streams[0], 0), CUDA_SUCCESS);
		cr_assert_eq((uintptr_t)streams[0] % 2, 0);
		cr_assert_eq(cuStreamDestroy_v2(streams[0]), CUDA_SUCCESS);
	}
}
