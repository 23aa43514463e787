/*
 * Host functions of graphs. The device calls us on a thread of its own, which waits for the
 * client.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "remote/exec.h"
#include "remote/memory.h"

#define HOST_BUCKETS 256u

/*
 * One for each function the client named, until it says that no graph has it any more. A graph may
 * have it all the same, and run when it likes: so the memory stays what it is and is used again
 * for another function, but is never given back.
 */
struct host_node {
	struct host_node *next;
	struct genie_session *session; /* NULL: has ended */
	uint64_t id;                   /* 0: nothing is to be done */
	uint64_t addr, size;           /* of pinned memory that the function reads: goes along */
};

struct genie_host_nodes {
	struct genie_host_nodes *next; /* of those whose sessions have ended */
	struct host_node *buckets[HOST_BUCKETS];
	struct host_node *spare;
};

/* Guards everything in nodes, against the device's threads, and the list of ended sessions. */
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static struct genie_host_nodes *ended;

struct host_wait {
	sem_t done;
};

static void
host_done(void *data)
{
	struct host_wait *wait = data;

	sem_post(&wait->done);
}

static void
host_run(void *data)
{
	struct host_node node;
	struct host_wait wait;

	pthread_mutex_lock(&host_lock);
	node = *(const struct host_node *)data;
	pthread_mutex_unlock(&host_lock);
	if (!node.session || !node.id) /* over, or switched off */
		return;
	if (node.size && genie_port_host_data(node.session->port, node.addr, node.size))
		return;
	sem_init(&wait.done, 0, 0);
	/* without a client there is nothing to wait for */
	if (!genie_port_host_func(node.session->port, node.id, host_done, &wait))
		while (sem_wait(&wait.done))
			; /* a signal */
	sem_destroy(&wait.done);
}

static struct host_node **
find_locked(struct genie_host_nodes *nodes, uint64_t id)
{
	struct host_node **link = &nodes->buckets[id % HOST_BUCKETS];

	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

/* The node of function @id, made if it is new. NULL: no memory. */
static struct host_node *
get_locked(struct genie_host_nodes *nodes, uint64_t id)
{
	struct host_node **link = find_locked(nodes, id);
	struct host_node *node = *link;

	if (node)
		return node;
	node = nodes->spare;
	if (node)
		nodes->spare = node->next;
	else
		node = malloc(sizeof(*node));
	if (node) {
		*node = (struct host_node){.id = id};
		*link = node;
	}
	return node;
}

CUresult
genie_graph_host_params(struct genie_session *session, uint64_t id,
			CUDA_HOST_NODE_PARAMS_v2 *params, const void *data, size_t size)
{
	uint64_t block[2] = {0};
	struct host_node *node;

	if (size && size != sizeof(block))
		return CUDA_ERROR_INVALID_VALUE;
	if (size)
		memcpy(block, data, sizeof(block));
	if (block[1] && !genie_memory_window(session, block[0], block[1]))
		return CUDA_ERROR_INVALID_VALUE;
	if (!session->host_nodes)
		session->host_nodes = calloc(1, sizeof(*session->host_nodes));
	if (!session->host_nodes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_lock(&host_lock);
	node = get_locked(session->host_nodes, id);
	if (node) {
		node->session = session;
		/* one function, one block: it says the same each time */
		node->addr = block[0];
		node->size = block[1];
	}
	pthread_mutex_unlock(&host_lock);
	if (!node)
		return CUDA_ERROR_OUT_OF_MEMORY;
	params->fn = host_run;
	params->userData = node;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieHostForget(struct genie_session *session, struct genie_args_genieHostForget *args)
{
	struct host_node **link, *node;

	if (!session->host_nodes || !args->id)
		return CUDA_SUCCESS;
	pthread_mutex_lock(&host_lock);
	link = find_locked(session->host_nodes, args->id);
	node = *link;
	if (node) {
		*link = node->next;
		*node = (struct host_node){.next = session->host_nodes->spare};
		session->host_nodes->spare = node;
	}
	pthread_mutex_unlock(&host_lock);
	return CUDA_SUCCESS;
}

void
genie_graph_host_fini(struct genie_session *session)
{
	if (!session->host_nodes)
		return;
	pthread_mutex_lock(&host_lock);
	for (unsigned int i = 0; i < HOST_BUCKETS; i++)
		for (struct host_node *node = session->host_nodes->buckets[i]; node;
		     node = node->next)
			node->session = NULL;
	session->host_nodes->next = ended;
	ended = session->host_nodes;
	session->host_nodes = NULL;
	pthread_mutex_unlock(&host_lock);
}
