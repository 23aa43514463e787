/*
 * Shared memory, the client's end. There is no sender and no receiver: the worker reads our rings
 * and writes replies and progress where we look for them. The socket tells when the worker dies,
 * and carries the few messages that do not fit: host functions and output. One thread watches it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/chan_impl.h"
#include "transport/frame.h"
#include "transport/helper.h"
#include "transport/net.h"

#define SEND_MS 5000 /* a worker that does not read its socket for so long is broken */

struct shm_chan {
	struct genie_chan chan; /* .fds[0] is the socket */
	struct genie_frames frames;
	pthread_t watcher;
	bool watching;
	pthread_mutex_t send_lock; /* frames go out whole */
};

static struct shm_chan *
shm_of(struct genie_chan *chan)
{
	return (struct shm_chan *)chan;
}

static int
send_frame(struct shm_chan *shm, enum genie_frame_type type, uint64_t value)
{
	struct {
		struct genie_frame frame;
		uint64_t value;
	} message = {{sizeof(value), type, 0}, value};
	int ret;

	pthread_mutex_lock(&shm->send_lock);
	ret = genie_net_write(shm->chan.fds[0], &message, sizeof(message),
			      genie_net_deadline(SEND_MS));
	pthread_mutex_unlock(&shm->send_lock);
	return ret;
}

/* ---- the watcher ---- */

static int
take_frame(struct shm_chan *shm, const struct genie_frame *frame, const void *payload)
{
	uint64_t id;

	switch (frame->type) {
	case GENIE_FRAME_HOST_FUNC:
		if (frame->len != sizeof(id))
			return -EPROTO;
		memcpy(&id, payload, sizeof(id));
		return genie_events_host_func(shm->chan.events, id);
	case GENIE_FRAME_OUTPUT:
	case GENIE_FRAME_COMPLAINT:
		genie_events_output(shm->chan.events, payload, frame->len,
				    frame->type == GENIE_FRAME_COMPLAINT);
		return 0;
	}
	return -EPROTO;
}

static void *
watcher_thread(void *data)
{
	struct shm_chan *shm = data;
	struct pollfd pollfd = {.fd = shm->chan.fds[0], .events = POLLIN};
	struct genie_frame frame;
	const void *payload;
	int ret = 0;

	while (ret >= 0) {
		/* The kernel wakes us for data and for the end alike: no need to look in between.
		 */
		poll(&pollfd, 1, -1);
		ret = genie_frames_fill(&shm->frames, pollfd.fd);
		while (ret >= 0 && (ret = genie_frames_next(&shm->frames, &frame, &payload)) > 0)
			ret = take_frame(shm, &frame, payload);
	}
	genie_chan_die(&shm->chan,
		       ret == -EPROTO ? "the worker sent nonsense" : "the worker is gone");
	return NULL;
}

/* ---- opening and closing ---- */

/*
 * An access behind the end of a file ends the process. So what the server shares must have @size
 * bytes and be unable to lose them: ordinary memory, sealed. Memory in huge pages may run out under
 * an access, too.
 */
static int
check_memory(int fd, uint64_t size)
{
	struct statfs system;
	struct stat stat;
	int seals;

	if (fd < 0 || fstat(fd, &stat) < 0 || (uint64_t)stat.st_size < size)
		return -EPROTO;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstatfs(fd, &system) < 0 ||
	    system.f_type != TMPFS_MAGIC)
		return -EPROTO;
	return 0;
}

static int
map_memory(int fd, size_t size, void **ret_memory)
{
	void *memory;
	int ret = check_memory(fd, size);

	if (ret < 0)
		return ret;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	return 0;
}

static int
shm_open_session(struct genie_chan *chan, struct genie_conn *conn, char *err, size_t err_size)
{
	struct shm_chan *shm = shm_of(chan);
	const struct genie_window *pinned = &chan->pinned_window;
	void *area = NULL, *staging = NULL;
	int ret;

	pthread_mutex_init(&shm->send_lock, NULL);
	ret = map_memory(conn->fds[0], sizeof(struct genie_area), &area);
	if (ret < 0)
		goto err;
	chan->area = area;
	chan->fds[0] = conn->fd;
	conn->fd = -1;
	genie_lanes_init(&chan->lanes, chan->area);
	ret = genie_frames_init(&shm->frames);
	if (ret < 0)
		goto err;
	ret = map_memory(conn->fds[1], GENIE_STAGING_SIZE, &staging);
	if (ret < 0)
		goto err;
	chan->staging = staging;
	if (pinned->size) {
		ret = check_memory(conn->fds[2], pinned->size);
		if (ret < 0)
			goto err;
		ret = genie_window_map(pinned->base, pinned->size, conn->fds[2], pinned);
		if (ret < 0)
			goto err;
		chan->pinned_fd = conn->fds[2];
		conn->fds[2] = -1;
	}
	ret = genie_helper_start(&shm->watcher, "genie-watch", GENIE_HELPER_STACK, watcher_thread,
				 shm);
	if (ret < 0)
		goto err;
	shm->watching = true;
	return 0;

err: /* what was done is undone by genie_chan_close */
	snprintf(err, err_size, "cannot share memory with the worker: %s",
		 ret == -EPROTO ? "it is too small, or could shrink" : strerror(-ret));
	return ret;
}

static void
shm_close_session(struct genie_chan *chan)
{
	struct shm_chan *shm = shm_of(chan);

	/* The worker executes what was submitted before it lets go. */
	if (!genie_chan_dead(chan))
		send_frame(shm, GENIE_FRAME_BYE, 0);
	shutdown(chan->fds[0], SHUT_RDWR);
	if (shm->watching)
		pthread_join(shm->watcher, NULL);
	genie_frames_fini(&shm->frames);
}

/* ---- the rest of the vtable ---- */

static void
shm_wait(struct genie_chan *chan, const struct genie_wait *wait)
{
	(void)chan;
	genie_relax(wait, -1);
}

static int
shm_bulk_up(struct genie_chan *chan, unsigned slot, const void *src, size_t len)
{
	genie_crew_copy(&chan->crew, chan->staging + (size_t)slot * GENIE_BULK_CHUNK, src, len);
	atomic_fetch_add_explicit(&chan->bytes_sent, len, memory_order_relaxed);
	return 0;
}

static void
shm_host_done(struct genie_chan *chan, uint64_t id)
{
	if (send_frame(shm_of(chan), GENIE_FRAME_HOST_DONE, id) < 0)
		genie_chan_die(chan, "the worker does not listen any more");
}

const struct genie_chan_ops genie_shm_ops = {
	.name = "shm",
	.size = sizeof(struct shm_chan),
	.open = shm_open_session,
	.close = shm_close_session,
	.wait = shm_wait,
	.bulk_up = shm_bulk_up,
	.host_done = shm_host_done,
};
