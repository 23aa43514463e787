/* remote/object.c: what tokens stand for, with tokens that a hostile client might make. */
#include <criterion/criterion.h>
#include <errno.h>

#include "remote/object.h"
#include "wire/proto.h"

static struct genie_objects objects;

static void
fini(void)
{
	genie_objects_fini(&objects);
}

TestSuite(object, .fini = fini);

static int thing, other;

Test(object, bound_is_found_until_dropped)
{
	uint64_t token = genie_token(GENIE_KIND_EVENT, 3, 70000);
	struct genie_object *object = NULL;

	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_EVENT, token, &thing, &object), 0);
	cr_assert_eq(genie_object_find(&objects, GENIE_KIND_EVENT, token), object);
	cr_assert_eq(object->handle, &thing);
	genie_object_drop(&objects, GENIE_KIND_EVENT, token);
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_EVENT, token));
	genie_object_drop(&objects, GENIE_KIND_EVENT, token);
}

Test(object, nothing_but_the_exact_token_is_found)
{
	uint64_t token = genie_token(GENIE_KIND_STREAM, 1, 5);

	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_STREAM, token, &thing, NULL), 0);
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM,
					 genie_token(GENIE_KIND_STREAM, 2, 5)));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM,
					 genie_token(GENIE_KIND_STREAM, 0, 5)));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_EVENT, token));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM,
					 genie_token(GENIE_KIND_EVENT, 1, 5)));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM, 5));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM, 0));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM, UINT64_MAX));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM,
					 genie_token(GENIE_KIND_STREAM, 1, 0x7fffffff)));
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_STREAM,
					 genie_token(GENIE_KIND_STREAM, 1, 0x80000005)));
}

Test(object, an_index_in_use_cannot_be_named_again)
{
	uint64_t token = genie_token(GENIE_KIND_MODULE, 0, 9);
	uint64_t again = genie_token(GENIE_KIND_MODULE, 1, 9);

	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_MODULE, token, &thing, NULL), 0);
	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_MODULE, token, &other, NULL), -EEXIST);
	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_MODULE, again, &other, NULL), -EEXIST);
	genie_object_drop(&objects, GENIE_KIND_MODULE, token);
	cr_assert_eq(genie_object_bind(&objects, GENIE_KIND_MODULE, again, &other, NULL), 0);
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_MODULE, token));
}

Test(object, limits_hold)
{
	for (int kind = GENIE_KIND_NONE + 1; kind < GENIE_KIND_COUNT; kind++) {
		uint32_t limit = genie_object_limit(kind);

		cr_assert_gt(limit, 0);
		cr_assert_eq(genie_object_bind(&objects, kind, genie_token(kind, 0, limit - 1),
					       &thing, NULL),
			     0);
		cr_assert_eq(genie_object_bind(&objects, kind, genie_token(kind, 0, limit), &thing,
					       NULL),
			     -EINVAL);
		cr_assert_eq(genie_object_bind(&objects, kind,
					       genie_token(kind, 0, GENIE_TOKEN_SERVER_BASE),
					       &thing, NULL),
			     -EINVAL);
	}
	cr_assert_eq(
		genie_object_bind(&objects, GENIE_KIND_NONE, genie_token(0, 0, 1), &thing, NULL),
		-EINVAL);
	cr_assert_leq(genie_object_limit(GENIE_KIND_STREAM), GENIE_SLOT_STREAMS);
	cr_assert_leq(genie_object_limit(GENIE_KIND_EVENT), GENIE_SLOT_EVENTS);
	cr_assert_leq(genie_object_limit(GENIE_KIND_CTX), GENIE_SLOT_CTXS);
}

Test(object, the_server_names_a_handle_once)
{
	static char nodes[20000];
	uint64_t first = genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[0]);

	cr_assert_geq(genie_token_index(first), GENIE_TOKEN_SERVER_BASE);
	for (int i = 1; i < 20000; i++)
		cr_assert_neq(genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[i]), first);
	cr_assert_eq(genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[0]), first);
	cr_assert_eq(genie_object_find(&objects, GENIE_KIND_GRAPHNODE, first)->handle, &nodes[0]);
	genie_object_drop(&objects, GENIE_KIND_GRAPHNODE, first);
	cr_assert_null(genie_object_find(&objects, GENIE_KIND_GRAPHNODE, first));
	cr_assert_neq(genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[0]), 0);
	cr_assert_eq(genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[19999]),
		     genie_object_name(&objects, GENIE_KIND_GRAPHNODE, &nodes[19999]));
}

static void
drop_all(struct genie_object *object, void *data)
{
	int *count = data;

	(*count)++;
	genie_object_drop(&objects, GENIE_KIND_ARRAY, object->token);
}

Test(object, each_sees_all_and_may_drop)
{
	int count = 0;

	for (uint32_t i = 0; i < 3000; i++)
		genie_object_bind(&objects, GENIE_KIND_ARRAY,
				  genie_token(GENIE_KIND_ARRAY, 0, i * 7), &thing, NULL);
	genie_object_each(&objects, GENIE_KIND_ARRAY, drop_all, &count);
	cr_assert_eq(count, 3000);
	genie_object_each(&objects, GENIE_KIND_ARRAY, drop_all, &count);
	cr_assert_eq(count, 3000);
}
