#include "echo.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

/* ---- the worker ---- */

struct host_mark {
	struct genie_port *port;
	uint64_t slot, ticket;
};

struct server {
	struct genie_listener listener;
	const char *token;
	struct genie_port *port;
	uint8_t *store;
	uint64_t last[ECHO_THREADS];
	struct echo_sum sum;
};

static const struct genie_device_info devices[2] = {
	{.name = "echo device 0", .total_mem = 1 << 30},
	{.name = "echo device 1", .total_mem = 1 << 30},
};

static void
host_done(void *data)
{
	struct host_mark *mark = data;

	genie_port_progress(mark->port, (uint32_t)mark->slot, mark->ticket);
	free(mark);
}

static void
count(struct server *server, const struct genie_cmd *cmd)
{
	const struct echo_nop *nop = (const struct echo_nop *)(cmd + 1);

	server->sum.count++;
	if (cmd->len < sizeof(*cmd) + sizeof(*nop) || nop->thread >= ECHO_THREADS)
		return;
	if (nop->number != server->last[nop->thread] + 1)
		server->sum.errors++;
	server->last[nop->thread] = nop->number;
}

static int
bulk(struct server *server, const struct genie_cmd *cmd)
{
	struct genie_port *port = server->port;
	struct echo_bulk bulk;
	void *ptr;
	int ret;

	memcpy(&bulk, cmd + 1, sizeof(bulk));
	if (bulk.offset > ECHO_STORE || bulk.len > ECHO_STORE - bulk.offset)
		return -EPROTO;
	if (cmd->op == ECHO_UP || cmd->op == ECHO_TAKE) {
		ret = genie_port_bulk_in(port, bulk.ref, bulk.len, &ptr);
		if (ret < 0)
			return ret;
		if (cmd->op == ECHO_UP)
			memcpy(server->store + bulk.offset, ptr, bulk.len);
		genie_port_bulk_in_done(port, bulk.ref, bulk.len, cmd->ticket);
	} else {
		ret = genie_port_bulk_out(port, bulk.ref, bulk.len, &ptr);
		if (ret < 0)
			return ret;
		if (cmd->op == ECHO_DOWN)
			memcpy(ptr, server->store + bulk.offset, bulk.len);
		genie_port_bulk_out_ready(port, bulk.ref, bulk.len, ptr, cmd->ticket);
	}
	genie_port_progress(port, (uint32_t)bulk.slot, cmd->ticket);
	return 0;
}

static int
pinned(struct server *server, const struct genie_cmd *cmd)
{
	const struct echo_bulk *bulk = (const struct echo_bulk *)(cmd + 1);
	const uint8_t *base = genie_port_pinned_base(server->port);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < bulk->len; i++)
		sum += base[bulk->offset + i];
	return genie_port_reply(server->port, cmd->lane, cmd->ticket, 0, &sum, sizeof(sum));
}

static int
sized(struct server *server, const struct genie_cmd *cmd)
{
	static uint8_t bytes[GENIE_REPLY_MAX];
	uint64_t len;

	memcpy(&len, cmd + 1, sizeof(len));
	for (uint64_t i = 0; i < len && i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	return genie_port_reply(server->port, cmd->lane, cmd->ticket, (int32_t)len, bytes, len);
}

static int
host(struct server *server, const struct genie_cmd *cmd)
{
	struct host_mark *mark = malloc(sizeof(*mark));
	const struct echo_mark *args = (const struct echo_mark *)(cmd + 1);

	*mark = (struct host_mark){server->port, args->slot, cmd->ticket};
	return genie_port_host_func(server->port, args->slot, host_done, mark);
}

static void
block_done(void *data)
{
	sem_post(data);
}

/* The thread that reads commands waits for the client: the answer must not come among them. */
static int
block(struct server *server, const struct genie_cmd *cmd)
{
	const struct echo_mark *args = (const struct echo_mark *)(cmd + 1);
	sem_t done;
	int ret;

	sem_init(&done, 0, 0);
	ret = genie_port_host_func(server->port, args->slot, block_done, &done);
	while (!ret && sem_wait(&done))
		;
	sem_destroy(&done);
	return ret ? ret : genie_port_reply(server->port, cmd->lane, cmd->ticket, 0, NULL, 0);
}

static int
execute(struct server *server, const struct genie_cmd *cmd)
{
	struct genie_port *port = server->port;
	const void *payload = cmd + 1;
	size_t len = cmd->len - sizeof(*cmd);
	struct genie_async_error error;

	switch ((enum echo_op)cmd->op) {
	case ECHO_NOP:
		count(server, cmd);
		return 0;
	case ECHO_REPLY:
		return genie_port_reply(port, cmd->lane, cmd->ticket, 7, payload, len);
	case ECHO_SUM:
		return genie_port_reply(port, cmd->lane, cmd->ticket, 0, &server->sum,
					sizeof(server->sum));
	case ECHO_MARK:
		genie_port_progress(port, (uint32_t)((const struct echo_mark *)payload)->slot,
				    cmd->ticket);
		return 0;
	case ECHO_UP:
	case ECHO_DOWN:
	case ECHO_TAKE:
	case ECHO_GIVE:
		return bulk(server, cmd);
	case ECHO_ERROR:
		memcpy(&error, payload, sizeof(error));
		error.ticket = cmd->ticket;
		genie_port_error(port, &error);
		return 0;
	case ECHO_HOST:
		return host(server, cmd);
	case ECHO_OUTPUT:
		genie_port_output(port, payload, len, false);
		return 0;
	case ECHO_COMPLAIN:
		genie_port_output(port, payload, len, true);
		return 0;
	case ECHO_BLOCK:
		return block(server, cmd);
	case ECHO_PINNED:
		return pinned(server, cmd);
	case ECHO_SIZED:
		return sized(server, cmd);
	case ECHO_KILL:
		kill(getpid(), SIGKILL);
		return 0;
	case ECHO_HANG:
		for (;;)
			pause();
	}
	return -EPROTO;
}

/* The next connection that says hello properly. */
static int
accept_hello(struct server *server, struct genie_hello *hello)
{
	struct pollfd pollfd = {.fd = server->listener.fd, .events = POLLIN};
	char err[256];
	int fd;

	for (;;) {
		poll(&pollfd, 1, -1);
		fd = accept(server->listener.fd, NULL, NULL);
		if (fd < 0)
			continue;
		if (!genie_port_greet(fd, server->token, ECHO_API_HASH, 2000, hello, err,
				      sizeof(err)))
			return fd;
		close(fd);
	}
}

static void *
join_thread(void *data)
{
	struct server *server = data;
	struct genie_hello hello;
	int fd = accept_hello(server, &hello);

	if (hello.kind == GENIE_HELLO_BULK && hello.join_id[0] == 42)
		genie_port_join(server->port, fd);
	else
		close(fd);
	return NULL;
}

static int
serve(struct server *server)
{
	struct genie_port_opts opts = {.is_shm = server->listener.is_shm, .devices = devices};
	const struct genie_cmd *cmd;
	struct genie_hello hello;
	pthread_t thread;
	char err[256];
	int ret;

	opts.fd = accept_hello(server, &hello);
	opts.welcome = (struct genie_welcome){
		.session_id = {42},
		.api_hash = ECHO_API_HASH,
		.device_count = 2,
		.device_window = hello.device_window,
		.device_window_size = hello.device_window_size,
		.pinned_window = hello.pinned_window,
		.pinned_window_size = hello.pinned_window_size,
		.device_name = "echo",
	};
	if (hello.kind == GENIE_HELLO_QUERY) {
		genie_port_answer(opts.fd, &opts.welcome, devices);
		close(opts.fd);
		return 0;
	}
	ret = genie_port_open(&opts, &server->port, err, sizeof(err));
	if (ret < 0) {
		fprintf(stderr, "echo worker: %s\n", err);
		return 1;
	}
	if (!opts.is_shm)
		pthread_create(&thread, NULL, join_thread, server);
	do {
		ret = genie_port_next(server->port, 500, &cmd);
		if (!ret)
			ret = execute(server, cmd);
	} while (!ret || ret == -EAGAIN);
	if (!opts.is_shm) {
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	genie_port_close(server->port);
	return ret == -ECONNRESET ? 0 : ret == -EPROTO ? 3 : 4;
}

static int
worker_main(const char *spec, const char *token, int ready_fd)
{
	struct server server = {.token = token};
	char err[256];
	int ret;

	genie_log_init("echo");
	server.store = calloc(1, ECHO_STORE);
	if (genie_listener_open(spec, token != NULL, &server.listener, err, sizeof(err)) < 0) {
		fprintf(stderr, "echo worker: %s\n", err);
		return 1;
	}
	if (write(ready_fd, server.listener.address, sizeof(server.listener.address)) < 0)
		return 1;
	close(ready_fd);
	ret = serve(&server);
	genie_listener_close(&server.listener);
	free(server.store);
	return ret;
}

/* ---- the test's side ---- */

void
echo_start(const char *kind, const char *token, struct echo *ret_echo)
{
	struct echo echo = {0};
	char spec[160] = "tcp://127.0.0.1:0";
	int fds[2];

	if (!strcmp(kind, "shm")) {
		snprintf(echo.dir, sizeof(echo.dir), "/tmp/genie-test-XXXXXX");
		if (!mkdtemp(echo.dir))
			abort();
		snprintf(spec, sizeof(spec), "shm:%s/s", echo.dir);
	}
	if (pipe(fds) < 0)
		abort();
	fflush(NULL);
	echo.pid = fork();
	if (!echo.pid) {
		close(fds[0]);
		/* Not left behind by a test that was killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(worker_main(spec, token, fds[1]));
	}
	close(fds[1]);
	if (read(fds[0], echo.server, 128) != 128)
		abort();
	close(fds[0]);
	*ret_echo = echo;
}

int
echo_wait(struct echo *echo)
{
	int status = -1;
	int waited_ms = 0;
	char path[80];

	while (waitpid(echo->pid, &status, WNOHANG) == 0) {
		if (waited_ms++ > 5000) {
			kill(echo->pid, SIGKILL);
			waitpid(echo->pid, &status, 0);
			break;
		}
		usleep(1000);
	}
	if (echo->dir[0]) {
		snprintf(path, sizeof(path), "%s/s", echo->dir);
		unlink(path);
		rmdir(echo->dir);
	}
	return status;
}

void
echo_stop(struct echo *echo)
{
	kill(echo->pid, SIGKILL);
	echo_wait(echo);
}

struct genie_chan *
echo_connect(const struct echo *echo, const char *token, char *err, size_t err_size)
{
	struct genie_chan_opts opts = {
		.server = echo->server,
		.token = token,
		.kind = GENIE_HELLO_SESSION,
		.api_hash = ECHO_API_HASH,
		.timeout_ms = 5000,
	};
	struct genie_chan *chan = NULL;

	genie_chan_connect(&opts, &chan, err, err_size);
	return chan;
}

uint64_t
echo_submit(struct genie_lane *lane, uint16_t op, uint16_t flags, const void *payload, size_t len)
{
	size_t size = (sizeof(struct genie_cmd) + len + 7) & ~(size_t)7;
	struct genie_cmd *cmd = genie_lane_begin(lane, size);

	if (!cmd)
		return 0;
	if (len)
		memcpy(cmd + 1, payload, len);
	return genie_lane_commit(lane, cmd, op, flags, 0, size);
}

int
echo_call(struct genie_lane *lane, uint16_t op, const void *payload, size_t len, void *answer,
	  size_t max, size_t *ret_len)
{
	uint64_t ticket = echo_submit(lane, op, GENIE_CMD_REPLY, payload, len);
	int32_t status;

	if (!ticket)
		return -ECONNRESET;
	return genie_lane_wait_reply(lane, ticket, &status, answer, max, ret_len);
}

static int
put(struct genie_chan *chan, struct genie_lane *lane, uint16_t op, uint64_t offset, const void *src,
    size_t len)
{
	struct echo_bulk bulk = {.offset = offset};
	uint64_t ticket;
	int ret = 0;

	while (len && !ret) {
		bulk.len = len < GENIE_BULK_CHUNK ? len : GENIE_BULK_CHUNK;
		ret = genie_chan_bulk_send(chan, src, bulk.len, &bulk.ref);
		if (!ret) {
			ticket = echo_submit(lane, op, 0, &bulk, sizeof(bulk));
			genie_chan_bulk_sent(chan, bulk.ref, ticket);
			ret = ticket ? 0 : -ECONNRESET;
		}
		src = (const uint8_t *)src + bulk.len;
		bulk.offset += bulk.len;
		len -= bulk.len;
	}
	return ret;
}

/* As many at a time as there are slots, like a real copy. */
#define GET_AHEAD 16

static int
get(struct genie_chan *chan, struct genie_lane *lane, uint16_t op, uint64_t offset, void *dst,
    size_t len)
{
	uint64_t refs[GET_AHEAD], tickets[GET_AHEAD];
	unsigned first = 0, ahead = 0;
	int ret = 0;

	while ((len || ahead) && !ret) {
		if (len && ahead < GET_AHEAD) {
			struct echo_bulk bulk = {.offset = offset};
			unsigned at = (first + ahead++) % GET_AHEAD;

			bulk.len = len < GENIE_BULK_CHUNK ? len : GENIE_BULK_CHUNK;
			ret = genie_chan_bulk_expect(chan, dst, bulk.len, &bulk.ref);
			if (ret)
				break;
			refs[at] = bulk.ref;
			tickets[at] = echo_submit(lane, op, 0, &bulk, sizeof(bulk));
			dst = (uint8_t *)dst + bulk.len;
			offset += bulk.len;
			len -= bulk.len;
		} else {
			ret = genie_chan_bulk_wait(chan, refs[first], tickets[first]);
			first = (first + 1) % GET_AHEAD;
			ahead--;
		}
	}
	return ret;
}

int
echo_put(struct genie_chan *chan, struct genie_lane *lane, uint64_t offset, const void *src,
	 size_t len)
{
	return put(chan, lane, ECHO_UP, offset, src, len);
}

int
echo_get(struct genie_chan *chan, struct genie_lane *lane, uint64_t offset, void *dst, size_t len)
{
	return get(chan, lane, ECHO_DOWN, offset, dst, len);
}

int
echo_take(struct genie_chan *chan, struct genie_lane *lane, const void *src, size_t len)
{
	return put(chan, lane, ECHO_TAKE, 0, src, len);
}

int
echo_give(struct genie_chan *chan, struct genie_lane *lane, void *dst, size_t len)
{
	return get(chan, lane, ECHO_GIVE, 0, dst, len);
}

unsigned
echo_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}
