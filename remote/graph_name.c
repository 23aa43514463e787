/*
 * What goes with what: a node with its graph, the graphs in a node with the node. The driver's
 * handles are addresses, so no name may outlive what it stands for, whatever the client says.
 */
#include <stdlib.h>

#include "remote/exec.h"

/* The state of a graph or node. Made when it is first needed: a graph without nodes has none. */
struct graph_name {
	struct graph_name *up;           /* what it is in; NULL: nothing */
	struct graph_name *first;        /* what is in it */
	struct graph_name *next, **link; /* beside it in that */
	enum genie_kind kind;
	uint64_t token;
	bool doubles; /* of a graph: nodes in it may have more than one name */
};

static struct graph_name *
name_of(struct genie_session *session, enum genie_kind kind, uint64_t token)
{
	struct genie_object *object = genie_object_find(&session->objects, kind, token);
	struct graph_name *name;

	if (!object || object->state)
		return object ? object->state : NULL;
	name = calloc(1, sizeof(*name));
	if (!name)
		return NULL;
	name->kind = kind;
	name->token = token;
	object->state = name;
	return name;
}

static void
name_link(struct graph_name *name, struct graph_name *up)
{
	name->up = up;
	name->next = up->first;
	if (name->next)
		name->next->link = &name->next;
	name->link = &up->first;
	up->first = name;
}

static void
name_unlink(struct graph_name *name)
{
	if (!name->up)
		return;
	*name->link = name->next;
	if (name->next)
		name->next->link = name->link;
	name->up = NULL;
}

CUresult
genie_graph_name_bind(struct genie_session *session, enum genie_kind kind, uint64_t token,
		      void *handle, enum genie_kind up_kind, uint64_t up_token)
{
	struct graph_name *up = name_of(session, up_kind, up_token), *name;
	CUresult status;

	if (!up)
		return CUDA_ERROR_INVALID_HANDLE;
	status = (CUresult)genie_session_bind(session, kind, token, handle);
	if (status != CUDA_SUCCESS)
		return status;
	name = name_of(session, kind, token);
	if (!name) {
		genie_object_drop(&session->objects, kind, token);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	name_link(name, up);
	return CUDA_SUCCESS;
}

bool
genie_graph_name_inside(struct genie_session *session, uint64_t graph)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_GRAPH, graph);
	const struct graph_name *name = object ? object->state : NULL;

	return name && name->up;
}

bool
genie_graph_name_may_move(struct genie_session *session, uint64_t child, uint64_t graph)
{
	const struct graph_name *name = name_of(session, GENIE_KIND_GRAPH, child);
	const struct graph_name *root = name_of(session, GENIE_KIND_GRAPH, graph);

	if (!name || !root || name->up)
		return false;
	while (root->up)
		root = root->up;
	return root != name;
}

void
genie_graph_name_move(struct genie_session *session, uint64_t child, uint64_t node)
{
	struct graph_name *name = name_of(session, GENIE_KIND_GRAPH, child);
	struct graph_name *up = name_of(session, GENIE_KIND_GRAPHNODE, node);

	if (name && up && !name->up)
		name_link(name, up);
}

bool
genie_graph_name_full(struct genie_session *session, uint64_t node)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_GRAPHNODE, node);
	const struct graph_name *name = object ? object->state : NULL;

	return name && name->first;
}

void
genie_graph_name_doubles(struct genie_session *session, uint64_t graph)
{
	struct graph_name *name = name_of(session, GENIE_KIND_GRAPH, graph);

	if (name)
		name->doubles = true;
}

void
genie_graph_name_drop_node(struct genie_session *session, uint64_t node, const void *handle)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_GRAPHNODE, node);
	const struct graph_name *name = object ? object->state : NULL;
	struct graph_name *at = name && name->up && name->up->doubles ? name->up->first : NULL;

	while (at) {
		struct graph_name *next = at->next;

		object = genie_object_find(&session->objects, at->kind, at->token);
		if (object && object->handle == handle)
			genie_graph_name_drop(session, at->kind, at->token);
		at = next;
	}
	genie_graph_name_drop(session, GENIE_KIND_GRAPHNODE, node);
}

void
genie_graph_name_drop(struct genie_session *session, enum genie_kind kind, uint64_t token)
{
	struct genie_object *object = genie_object_find(&session->objects, kind, token);
	struct graph_name *name = object ? object->state : NULL, *at = name;

	genie_object_drop(&session->objects, kind, token);
	while (at) {
		struct graph_name *up = at == name ? NULL : at->up;

		if (at->first) {
			at = at->first;
			continue;
		}
		name_unlink(at);
		genie_object_drop(&session->objects, at->kind, at->token);
		free(at);
		at = up;
	}
}

static void
name_free(struct genie_object *object, void *data)
{
	(void)data;
	free(object->state);
	object->state = NULL;
}

void
genie_graph_names_fini(struct genie_session *session)
{
	genie_object_each(&session->objects, GENIE_KIND_GRAPH, name_free, NULL);
	genie_object_each(&session->objects, GENIE_KIND_GRAPHNODE, name_free, NULL);
}
