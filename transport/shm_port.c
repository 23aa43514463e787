/*
 * Shared memory, the worker's end: makes the memory, hands it over, reads the client's rings.
 *
 * Sealed: the client can neither shrink nor grow what we map, so no access here can fault. What is
 * in it may change at any time; drain.c copies before it looks. One thread watches the socket for
 * the client's end and its few messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/area.h"
#include "transport/drain.h"
#include "transport/helper.h"
#include "transport/net.h"
#include "transport/port_impl.h"
#include "transport/window.h"

#define SEND_MS 5000 /* a client that does not read its socket for so long is broken */

struct shm_port {
	struct genie_port port;
	struct genie_area *area;
	struct genie_drain drain;
	uint8_t *cmd; /* the command that genie_port_next returned */
	struct genie_spin spin;
	pthread_t watcher;
	bool watching;
	bool bye;                   /* watcher: the client said goodbye */
	_Atomic bool ended;         /* and closed: execute what it left, then end */
	pthread_mutex_t send_lock;  /* frames go out whole */
	pthread_mutex_t error_lock; /* genie_area_error */
};

static struct shm_port *
shm_of(struct genie_port *port)
{
	return (struct shm_port *)port;
}

/* ---- the watcher ---- */

static int
take_frame(struct shm_port *shm, const struct genie_frame *frame, const void *payload)
{
	uint64_t value;

	if (frame->len != sizeof(value))
		return -EPROTO;
	memcpy(&value, payload, sizeof(value));
	switch (frame->type) {
	case GENIE_FRAME_HOST_DONE:
		return genie_port_host_done(&shm->port, value);
	case GENIE_FRAME_BYE:
		shm->bye = true;
		return 0;
	}
	return -EPROTO;
}

static void *
watcher_thread(void *data)
{
	struct shm_port *shm = data;
	struct pollfd pollfd = {.fd = shm->port.fd, .events = POLLIN};
	struct genie_frames frames;
	struct genie_frame frame;
	const void *payload;
	int ret = genie_frames_init(&frames);

	while (ret >= 0) {
		poll(&pollfd, 1, -1);
		ret = genie_frames_fill(&frames, pollfd.fd);
		while (ret >= 0 && (ret = genie_frames_next(&frames, &frame, &payload)) > 0)
			ret = take_frame(shm, &frame, payload);
	}
	genie_frames_fini(&frames);
	/* After a goodbye the commands before it are still executed: genie_port_next ends it. A
	 * client that is gone without a word gets nothing more done. */
	if (ret == -EPROTO)
		genie_port_die(&shm->port, ret, "the client sent nonsense on its socket");
	else if (shm->bye)
		atomic_store(&shm->ended, true);
	else
		genie_port_die(&shm->port, -ECONNRESET, NULL);
	genie_bell_wake(&shm->area->work);
	return NULL;
}

/* ---- opening and closing ---- */

static int
make_memory(const char *name, uint64_t size, int *ret_fd)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*ret_fd = fd;
	return 0;
}

static int
map_memory(int fd, size_t size, void **ret_memory)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	return 0;
}

static int
make_session_memory(struct shm_port *shm, const struct genie_welcome *welcome, int fds[3])
{
	void *area = NULL, *staging = NULL;
	int ret;

	ret = make_memory("genie-area", sizeof(struct genie_area), &fds[0]);
	if (ret < 0)
		return ret;
	ret = map_memory(fds[0], sizeof(struct genie_area), &area);
	if (ret < 0)
		return ret;
	shm->area = area;
	ret = make_memory("genie-staging", GENIE_STAGING_SIZE, &fds[1]);
	if (ret < 0)
		return ret;
	ret = map_memory(fds[1], GENIE_STAGING_SIZE, &staging);
	if (ret < 0)
		return ret;
	shm->port.staging = staging;
	if (!welcome->pinned_window_size)
		return 0;
	ret = make_memory("genie-pinned", welcome->pinned_window_size, &fds[2]);
	if (ret < 0)
		return ret;
	ret = genie_window_map(welcome->pinned_window, welcome->pinned_window_size, fds[2], NULL);
	if (ret < 0)
		return ret;
	shm->port.pinned_base = welcome->pinned_window;
	shm->port.pinned_size = welcome->pinned_window_size;
	return 0;
}

static void
log_peer(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		genie_info("session over shared memory with process %d of user %u", (int)peer.pid,
			   (unsigned)peer.uid);
}

static int
shm_port_open(struct genie_port *port, const struct genie_port_opts *opts, char *err,
	      size_t err_size)
{
	struct shm_port *shm = shm_of(port);
	struct genie_welcome welcome = opts->welcome;
	int fds[3] = {-1, -1, -1};
	int ret;

	pthread_mutex_init(&shm->send_lock, NULL);
	pthread_mutex_init(&shm->error_lock, NULL);
	ret = posix_memalign((void **)&shm->cmd, GENIE_AREA_LINE, GENIE_CMD_MAX);
	if (ret) {
		ret = -ret;
		goto out;
	}
	ret = make_session_memory(shm, &welcome, fds);
	if (ret < 0) {
		snprintf(err, err_size, "cannot make shared memory: %s", strerror(-ret));
		goto out;
	}
	genie_drain_init(&shm->drain, shm->area);
	welcome.flags |= GENIE_WELCOME_F_SHARED_PINNED;
	ret = genie_port_send_welcome(port->fd, &welcome, opts->devices, fds, fds[2] < 0 ? 2 : 3);
	if (ret < 0)
		goto out;
	ret = genie_helper_start(&shm->watcher, "genie-watch", 0, watcher_thread, shm);
	if (ret < 0)
		goto out;
	shm->watching = true;
	log_peer(port->fd);
out:
	for (unsigned i = 0; i < 3; i++)
		genie_net_close(&fds[i]);
	return ret;
}

static void
shm_port_close(struct genie_port *port)
{
	struct shm_port *shm = shm_of(port);

	shutdown(port->fd, SHUT_RDWR);
	if (shm->watching)
		pthread_join(shm->watcher, NULL);
	if (shm->area)
		munmap(shm->area, sizeof(*shm->area));
	free(shm->cmd);
	pthread_mutex_destroy(&shm->error_lock);
	pthread_mutex_destroy(&shm->send_lock);
}

/* ---- commands ---- */

struct next_wait {
	struct shm_port *shm;
	int ret; /* of genie_drain_next, or the session's end */
};

static bool
next_ready(void *data)
{
	struct next_wait *wait = data;
	struct shm_port *shm = wait->shm;
	/* Before looking into the rings: what is not there now never comes. */
	bool ended = atomic_load(&shm->ended);

	wait->ret = genie_port_is_dead(&shm->port);
	if (!wait->ret)
		wait->ret = genie_drain_next(&shm->drain, shm->cmd, GENIE_CMD_MAX);
	if (!wait->ret && ended)
		wait->ret = -ECONNRESET;
	return wait->ret != 0;
}

static int
shm_port_next(struct genie_port *port, int timeout_ms, const struct genie_cmd **ret_cmd)
{
	struct shm_port *shm = shm_of(port);
	struct next_wait next = {.shm = shm};
	struct genie_wait wait = {
		.reason = "a command",
		.ready = next_ready,
		.data = &next,
		.spin = &shm->spin,
		.bell = &shm->area->work,
	};

	if (genie_relax(&wait, timeout_ms) < 0)
		return -EAGAIN;
	if (next.ret > 0) {
		*ret_cmd = (const struct genie_cmd *)shm->cmd;
		return 0;
	}
	return genie_port_die(port, next.ret, next.ret == -EPROTO ? shm->drain.why : NULL);
}

/* ---- the rest of the vtable ---- */

static int
shm_port_reply(struct genie_port *port, const struct genie_reply *reply, uint32_t lane,
	       const void *payload)
{
	genie_area_reply(shm_of(port)->area, lane, reply->ticket, reply->status, payload,
			 (uint32_t)(reply->len - sizeof(*reply)));
	return 0;
}

static void
shm_port_progress(struct genie_port *port, uint32_t slot, uint64_t ticket)
{
	genie_area_progress(shm_of(port)->area, slot, ticket);
}

static int
shm_port_send(struct genie_port *port, enum genie_frame_type type, const void *payload, size_t len)
{
	struct shm_port *shm = shm_of(port);
	struct genie_frame frame = {.len = (uint32_t)len, .type = type};
	uint64_t deadline = genie_net_deadline(SEND_MS);
	int ret;

	if (type == GENIE_FRAME_ERROR) {
		pthread_mutex_lock(&shm->error_lock);
		genie_area_error(shm->area, payload);
		pthread_mutex_unlock(&shm->error_lock);
		return 0;
	}
	if (type == GENIE_FRAME_HOST_DATA) /* the client sees the same bytes */
		return 0;
	pthread_mutex_lock(&shm->send_lock);
	ret = genie_net_write(port->fd, &frame, sizeof(frame), deadline);
	if (!ret)
		ret = genie_net_write(port->fd, payload, len, deadline);
	pthread_mutex_unlock(&shm->send_lock);
	if (ret < 0)
		genie_port_die(port, -ECONNRESET, "the client does not read its messages");
	return ret;
}

static int
shm_port_bulk_begin(struct genie_port *port, enum genie_port_dir dir, unsigned slot, size_t len)
{
	/* The client put the data there before it published the command, and does not name a slot
	 * down that it still reads. If it lies, it harms its own data. */
	(void)port, (void)dir, (void)slot, (void)len;
	return 0;
}

static void
shm_port_bulk_end(struct genie_port *port, enum genie_port_dir dir, unsigned slot, size_t len,
		  uint64_t ticket)
{
	(void)len;
	shm_port_progress(port,
			  (dir == GENIE_PORT_IN ? GENIE_SLOT_BULK_UP : GENIE_SLOT_BULK_DOWN) + slot,
			  ticket);
}

const struct genie_port_ops genie_shm_port_ops = {
	.size = sizeof(struct shm_port),
	.open = shm_port_open,
	.close = shm_port_close,
	.next = shm_port_next,
	.reply = shm_port_reply,
	.progress = shm_port_progress,
	.send = shm_port_send,
	.bulk_begin = shm_port_bulk_begin,
	.bulk_end = shm_port_bulk_end,
};
