/*
 * The connections of the emulated network. Each way of a connection has two threads: one receives
 * and charges the link, the other sends when the bytes are due. One alone would not reach 25 Gb/s.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/impair.h"

#define CHUNK     (32u << 10)  /* received at a time: 10 us at 25 Gb/s */
#define RING      (4u << 20)   /* bytes on their way, at the least */
#define RING_MAX  (64u << 20)  /* of one way of one connection */
#define CHUNKS    4096u        /* pieces on their way; a power of two */
#define QUEUE_PS  20000000ull  /* what may wait for the link: 20 us, or two chunks */
#define SLEEP_PS  100000000ull /* what is further away is slept for … */
#define WAKE_PS   60000000ull  /* … but for this much */
#define FULL_NS   50000        /* how often a full ring is looked at */
#define SECOND_PS 1000000000000ull

struct chunk {
	uint64_t due_ps;
	uint64_t end; /* position in the stream behind it */
};

/* One way of one connection. */
struct way {
	struct impair_net *net;
	struct impair_link *link;
	int from, to;
	char *ring;
	uint64_t size; /* of the ring, a power of two */
	_Atomic uint64_t received, sent;
	struct chunk chunks[CHUNKS];
	_Atomic uint64_t pushed,
		popped;      /* chunks; store of pushed pairs with the load in next_chunk */
	_Atomic bool ended;  /* nothing more will be pushed */
	_Atomic bool asleep; /* the sender; guarded by the lock, looked at without */
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t receiver, sender;
};

struct connection {
	struct impair_net *net;
	int client, server;
	struct way ways[IMPAIR_WAYS];
};

uint64_t
impair_now_ps(void)
{
	static _Atomic uint64_t begin_ns; /* cache */
	struct timespec now;
	uint64_t ns, begin = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (!atomic_load(&begin_ns))
		atomic_compare_exchange_strong(&begin_ns, &begin, ns - 1);
	return (ns - atomic_load(&begin_ns)) * 1000;
}

static void
pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void
sleep_ps(uint64_t ps)
{
	struct timespec time = {.tv_sec = (time_t)(ps / SECOND_PS),
				.tv_nsec = (long)(ps % SECOND_PS / 1000)};

	nanosleep(&time, NULL);
}

void
impair_wait_until(const struct impair_net *net, uint64_t ps)
{
	uint64_t now;

	while ((now = impair_now_ps()) < ps) {
		if (!net->spin_ps)
			sleep_ps(ps - now);
		else if (ps - now > SLEEP_PS)
			sleep_ps(ps - now - WAKE_PS);
		else
			pause_briefly();
	}
}

/* ---- receiving ---- */

static uint64_t
time_of(const struct impair_net *net, uint64_t bytes)
{
	return net->bits_per_second > 0 ? (uint64_t)((double)bytes * 8e12 / net->bits_per_second)
					: 0;
}

/* When the link is done with @bytes that were given to it now. */
static uint64_t
link_charge(struct way *way, uint64_t bytes)
{
	uint64_t free_ps = atomic_load(&way->link->free_ps), now = impair_now_ps(), end;

	do
		end = (free_ps > now ? free_ps : now) + time_of(way->net, bytes);
	while (!atomic_compare_exchange_weak(&way->link->free_ps, &free_ps, end));
	return end;
}

/* A flow that never stops may not fill the link's queue for the others: they would wait for all of
 * what the ring holds. */
static void
wait_for_link(struct way *way)
{
	uint64_t limit = 2 * time_of(way->net, CHUNK), free_ps;

	if (limit < QUEUE_PS)
		limit = QUEUE_PS;
	while ((free_ps = atomic_load(&way->link->free_ps)) > impair_now_ps() + limit)
		impair_wait_until(way->net, free_ps - limit);
}

static void
push(struct way *way, uint64_t due_ps, uint64_t end)
{
	uint64_t place = atomic_load(&way->pushed);

	way->chunks[place % CHUNKS] = (struct chunk){due_ps, end};
	atomic_store(&way->pushed, place + 1);
	if (atomic_load(&way->asleep)) {
		pthread_mutex_lock(&way->lock);
		pthread_cond_signal(&way->more);
		pthread_mutex_unlock(&way->lock);
	}
}

static void
finish(struct way *way)
{
	pthread_mutex_lock(&way->lock);
	atomic_store(&way->ended, true);
	pthread_cond_signal(&way->more);
	pthread_mutex_unlock(&way->lock);
}

/* Bytes that can be received in one piece; waits until there are some. */
static uint64_t
wait_for_room(struct way *way)
{
	uint64_t received = atomic_load(&way->received), room, to_end;

	while (received - atomic_load(&way->sent) >= way->size ||
	       atomic_load(&way->pushed) - atomic_load(&way->popped) >= CHUNKS) {
		if (atomic_load(&way->ended))
			return 0; /* the sender gave up */
		sleep_ps(FULL_NS * 1000);
	}
	room = way->size - (received - atomic_load(&way->sent));
	to_end = way->size - received % way->size;
	room = room < to_end ? room : to_end;
	return room < CHUNK ? room : CHUNK;
}

/* Like recv(), which it is: looks for a while before it sleeps. */
static ssize_t
receive(struct way *way, char *to, size_t room)
{
	struct pollfd readable = {.fd = way->from, .events = POLLIN};
	uint64_t begin = impair_now_ps();
	ssize_t got;

	for (;;) {
		got = recv(way->from, to, room, MSG_DONTWAIT);
		if (got >= 0 || (errno != EAGAIN && errno != EINTR))
			return got;
		if (impair_now_ps() - begin < way->net->spin_ps)
			pause_briefly();
		else
			poll(&readable, 1, -1);
	}
}

static void *
receiver_main(void *data)
{
	struct way *way = data;
	uint64_t received, room, due;
	ssize_t got;

	for (;;) {
		wait_for_link(way);
		room = wait_for_room(way);
		if (!room)
			break;
		received = atomic_load(&way->received);
		got = receive(way, way->ring + received % way->size, room);
		if (got <= 0)
			break;
		due = link_charge(way, (uint64_t)got) + atomic_load(&way->net->delay_ps);
		atomic_store(&way->received, received + (uint64_t)got);
		push(way, due, received + (uint64_t)got);
	}
	finish(way);
	return NULL;
}

/* ---- sending ---- */

/* False: there will be no more. */
static bool
next_chunk(struct way *way, struct chunk *ret_chunk)
{
	uint64_t begin = impair_now_ps(), place = atomic_load(&way->popped);

	while (atomic_load(&way->pushed) == place && !atomic_load(&way->ended)) {
		if (impair_now_ps() - begin < way->net->spin_ps) {
			pause_briefly();
			continue;
		}
		pthread_mutex_lock(&way->lock);
		atomic_store(&way->asleep, true);
		while (atomic_load(&way->pushed) == place && !atomic_load(&way->ended))
			pthread_cond_wait(&way->more, &way->lock);
		atomic_store(&way->asleep, false);
		pthread_mutex_unlock(&way->lock);
	}
	if (atomic_load(&way->pushed) == place)
		return false;
	*ret_chunk = way->chunks[place % CHUNKS];
	return true;
}

/* How far the stream may go: what is due by now. Takes those chunks out. */
static uint64_t
take_due(struct way *way)
{
	uint64_t place = atomic_load(&way->popped), pushed = atomic_load(&way->pushed);
	uint64_t end = atomic_load(&way->sent), now = impair_now_ps();

	while (place != pushed && way->chunks[place % CHUNKS].due_ps <= now)
		end = way->chunks[place++ % CHUNKS].end;
	atomic_store(&way->popped, place);
	return end;
}

static bool
send_until(struct way *way, uint64_t end)
{
	uint64_t sent = atomic_load(&way->sent), to_end, len;
	ssize_t put;

	while (sent < end) {
		to_end = way->size - sent % way->size;
		len = end - sent < to_end ? end - sent : to_end;
		put = send(way->to, way->ring + sent % way->size, len, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		sent += (uint64_t)put;
		atomic_store(&way->sent, sent);
	}
	return true;
}

static void *
sender_main(void *data)
{
	struct way *way = data;
	struct chunk chunk;

	while (next_chunk(way, &chunk)) {
		impair_wait_until(way->net, chunk.due_ps);
		if (!send_until(way, take_due(way))) {
			/* Who does not read gets no more: the other side hears of it. */
			finish(way);
			shutdown(way->from, SHUT_RD);
			return NULL;
		}
	}
	shutdown(way->to, SHUT_WR);
	return NULL;
}

/* ---- connections ---- */

static uint64_t
ring_size(const struct impair_net *net)
{
	double needed = net->bits_per_second / 8 * (double)atomic_load(&net->delay_ps) / 1e12 * 2;
	uint64_t size = RING;

	while (size < RING_MAX && (double)size < needed)
		size *= 2;
	return size;
}

static void
way_close(struct way *way)
{
	if (way->ring)
		munmap(way->ring, way->size);
	pthread_mutex_destroy(&way->lock);
	pthread_cond_destroy(&way->more);
}

static int
way_open(struct connection *connection, int index)
{
	struct way *way = &connection->ways[index];
	void *ring;

	way->net = connection->net;
	way->link = &connection->net->links[index];
	way->from = index == IMPAIR_UP ? connection->client : connection->server;
	way->to = index == IMPAIR_UP ? connection->server : connection->client;
	pthread_mutex_init(&way->lock, NULL);
	pthread_cond_init(&way->more, NULL);
	way->size = ring_size(way->net);
	ring = mmap(NULL, way->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return -errno;
	way->ring = ring;
	return 0;
}

/* Both ways, until both have ended. */
static void
connection_run(struct connection *connection)
{
	void *(*const mains[])(void *) = {receiver_main, sender_main};
	pthread_t threads[IMPAIR_WAYS * 2];
	int started = 0, ret = 0;

	for (int i = 0; i < IMPAIR_WAYS && !ret; i++)
		ret = way_open(connection, i);
	for (int i = 0; i < IMPAIR_WAYS * 2 && !ret; i++) {
		ret = pthread_create(&threads[i], NULL, mains[i % 2], &connection->ways[i / 2]);
		started += !ret;
	}
	if (ret) {
		shutdown(connection->client, SHUT_RDWR);
		shutdown(connection->server, SHUT_RDWR);
		for (int i = 0; i < IMPAIR_WAYS && connection->ways[i].ring; i++)
			finish(&connection->ways[i]);
	}
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < IMPAIR_WAYS; i++)
		way_close(&connection->ways[i]);
}

static void *
connection_main(void *data)
{
	struct connection *connection = data;
	int one = 1;

	connection->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->server >= 0 &&
	    !connect(connection->server, (struct sockaddr *)&connection->net->target,
		     sizeof(connection->net->target))) {
		setsockopt(connection->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(connection->server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connection_run(connection);
	}
	if (connection->server >= 0)
		close(connection->server);
	close(connection->client);
	free(connection);
	return NULL;
}

struct listener {
	struct impair_net *net;
	int fd;
};

static void *
listener_main(void *data)
{
	struct listener *listener = data;
	struct connection *connection;
	pthread_t thread;
	int fd;

	for (;;) {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			sleep_ps(FULL_NS * 1000); /* no descriptors: perhaps later */
			continue;
		}
		connection = calloc(1, sizeof(*connection));
		if (!connection) {
			close(fd);
			continue;
		}
		connection->net = listener->net;
		connection->client = fd;
		if (pthread_create(&thread, NULL, connection_main, connection)) {
			close(fd);
			free(connection);
			continue;
		}
		pthread_detach(thread);
	}
	return NULL;
}

int
impair_serve(struct impair_net *net)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct listener *listener = calloc(1, sizeof(*listener));
	socklen_t len = sizeof(address);
	pthread_t thread;
	int error;

	if (!listener)
		return -ENOMEM;
	listener->net = net;
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, len) ||
	    listen(listener->fd, 64) ||
	    getsockname(listener->fd, (struct sockaddr *)&address, &len)) {
		error = -errno;
		goto err_listener;
	}
	error = -pthread_create(&thread, NULL, listener_main, listener);
	if (error)
		goto err_listener;
	pthread_detach(thread);
	return ntohs(address.sin_port);

err_listener:
	if (listener->fd >= 0)
		close(listener->fd);
	free(listener);
	return error;
}
