#include "tests/fuzz/client/hostile.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/client/hostile_answer.h"
#include "tests/fuzz/client/hostile_impl.h"
#include "transport/drain.h"
#include "transport/frame.h"
#include "transport/hello.h"
#include "wire/codec.h"

/* A client that has sent nothing for so long waits for what will not come: the server ends, and
 * then no call may wait any more. */
#define IDLE_MS      40
#define IDLE_LIED_MS 3
#define SEND_MS      100

static struct hostile hostile;

/* ---- connections ---- */

static void
send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len && fd >= 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the client is gone, or does not read: SEND_MS */
		at += n;
		len -= (size_t)n;
	}
}

static void
send_with_fds(int fd, const void *data, size_t len, const int fds[HOSTILE_FDS])
{
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	char control[CMSG_SPACE(HOSTILE_FDS * sizeof(int))] = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *header;
	unsigned count = 0;
	int list[HOSTILE_FDS];

	for (unsigned i = 0; i < HOSTILE_FDS; i++)
		if (fds[i] >= 0)
			list[count++] = fds[i];
	if (!count || !len) {
		send_all(fd, data, len);
		return;
	}
	msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	header = CMSG_FIRSTHDR(&msg);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), list, count * sizeof(int));
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		hostile.over = true;
}

static void
conn_end(int index)
{
	struct hostile_conn *conn = &hostile.conns[index];

	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->have = 0;
	conn->greeted = false;
}

/* ---- lying ---- */

static uint64_t
edge_ticket(unsigned which, uint64_t value)
{
	switch (which & 3) {
	case 0:
		return hostile.ticket;
	case 1:
		return hostile.ticket + 1;
	case 2:
		return UINT64_MAX;
	default:
		return value >> 24;
	}
}

/* What comes unasked, and stands for itself. */
static void
send_frame(unsigned type, unsigned lane, const void *data, size_t len)
{
	struct genie_frame frame = {(uint32_t)len, (uint16_t)type, (uint16_t)lane};

	send_all(hostile.conns[0].fd, &frame, sizeof(frame));
	send_all(hostile.conns[0].fd, data, len);
}

static void
note(const struct hostile_lie *lie)
{
	struct genie_progress progress = {
		.slot = (uint32_t)lie->value & 0xfffff,
		.ticket = edge_ticket(lie->where, lie->value),
		.bulk = lie->where & 4 ? lie->value : 0,
	};
	uint64_t id = lie->value;

	if (lie->where & 8) {
		if (hostile.script->mode & HOSTILE_TCP) {
			progress.ticket = id;
			progress.slot = GENIE_FRAME_CALL_SLOT;
			send_frame(GENIE_FRAME_HOST_FUNC, 0, &progress, sizeof(progress));
		} else {
			send_frame(GENIE_FRAME_HOST_FUNC, 0, &id, sizeof(id));
		}
	} else if (hostile.script->mode & HOSTILE_TCP) {
		send_frame(GENIE_FRAME_PROGRESS, 0, &progress, sizeof(progress));
	} else if (hostile.area) {
		genie_area_progress(hostile.area, progress.slot, progress.ticket);
	}
}

static void
error(const struct hostile_lie *lie)
{
	struct genie_async_error error = {
		.ticket = edge_ticket(lie->where, (uint64_t)lie->where << 16),
		.status = (int32_t)lie->value,
		.op = (uint32_t)(lie->value >> 32),
		.sticky = lie->where >> 2 & 1,
	};

	if (hostile.script->mode & HOSTILE_TCP)
		send_frame(GENIE_FRAME_ERROR, 0, &error, sizeof(error));
	else if (hostile.area)
		genie_area_error(hostile.area, &error);
}

static void
data(const struct hostile_lie *lie)
{
	static const uint8_t zeros[GENIE_BULK_CHUNK + 1];
	struct genie_bulk_frame head = {
		.slot = lie->where & 0xff,
		.len = (uint32_t)lie->value,
		.ticket = edge_ticket(lie->where >> 8, lie->value >> 8),
	};
	size_t len = head.len < sizeof(zeros) ? head.len : sizeof(zeros);

	send_all(hostile.conns[1].fd, &head, sizeof(head));
	send_all(hostile.conns[1].fd, zeros, len);
}

/* Those that need no message. */
static void
lie_aside(const struct hostile_lie *lie)
{
	switch (lie->kind) {
	case HOSTILE_CLOSE:
		if (lie->value & 1)
			conn_end(0);
		if (lie->value & 2)
			conn_end(1);
		break;
	case HOSTILE_RAW:
		send_all(hostile.conns[0].fd, lie->bytes, lie->len);
		break;
	case HOSTILE_RAW_BULK:
		send_all(hostile.conns[1].fd, lie->bytes, lie->len);
		break;
	case HOSTILE_FRAME:
		send_frame(lie->where & 0xff, lie->where >> 8, lie->bytes, lie->len);
		break;
	case HOSTILE_SCRIBBLE:
		hostile_scribble(&hostile, lie->where, lie->value);
		break;
	case HOSTILE_SHRINK:
		hostile_shrink(&hostile, (unsigned)lie->value % HOSTILE_FDS, lie->where);
		break;
	case HOSTILE_NOTE:
		note(lie);
		break;
	case HOSTILE_DATA:
		data(lie);
		break;
	case HOSTILE_ERROR:
		error(lie);
		break;
	default:
		break;
	}
}

/* Where in a message: behind what frames it, unless the highest bit says from its beginning. */
static size_t
offset_in(const struct hostile_message *message, unsigned where)
{
	size_t skip = where & 0x8000 ? 0 : message->head;

	return skip + (where & 0x7fff);
}

static void
store(struct hostile_message *message, size_t offset, const void *value, size_t size)
{
	if (offset <= message->len && size > message->len - offset)
		size = message->len - offset;
	if (offset < message->len)
		memcpy(message->data + offset, value, size);
}

static void
lie_about(const struct hostile_lie *lie, struct hostile_message *message)
{
	size_t offset = offset_in(message, lie->where);
	uint8_t byte;

	hostile.lied = true;
	switch (lie->kind) {
	case HOSTILE_XOR:
		if (offset < message->len) {
			byte = message->data[offset] ^ (uint8_t)lie->value;
			store(message, offset, &byte, 1);
		}
		break;
	case HOSTILE_SET32:
		store(message, offset, &lie->value, 4);
		break;
	case HOSTILE_SET64:
		store(message, offset, &lie->value, 8);
		break;
	case HOSTILE_PAYLOAD:
		store(message, message->head + (lie->where & 0x7fff), lie->bytes, lie->len);
		break;
	case HOSTILE_TRUNCATE:
		if (offset < message->len)
			message->len = offset;
		break;
	case HOSTILE_DROP:
		message->copies = 0;
		break;
	case HOSTILE_DUPLICATE:
		message->copies++;
		break;
	case HOSTILE_STATUS:
		if (message->class == HOSTILE_REPLY)
			message->status = (int32_t)lie->value;
		break;
	case HOSTILE_RESIZE:
		message->resize = lie->where;
		break;
	case HOSTILE_MEMORY:
		message->memory = lie->value;
		break;
	case HOSTILE_SILENCE:
		hostile.silent = true;
		break;
	default:
		lie_aside(lie);
		break;
	}
}

/* All lies that are due. */
static void
lies_apply(struct hostile_message *message)
{
	while (hostile.next_lie < hostile.script->lie_count) {
		struct hostile_lie *lie = &hostile.lies[hostile.next_lie];

		if (lie->target != HOSTILE_ANY && lie->target != message->class)
			return;
		if (lie->after > 0) {
			lie->after--;
			return;
		}
		hostile.next_lie++;
		lie_about(lie, message);
	}
}

static bool
may_send(struct hostile_message *message)
{
	message->copies = 1;
	message->resize = -1;
	lies_apply(message);
	return message->copies && !hostile.silent;
}

/* ---- the handshake ---- */

static void
greet(struct hostile_conn *conn)
{
	struct genie_preamble preamble = {
		.magic = GENIE_WIRE_MAGIC,
		.version_min = GENIE_WIRE_VERSION,
		.version_max = GENIE_WIRE_VERSION,
	};
	struct hostile_message message = {
		.class = HOSTILE_PREAMBLE, .data = (uint8_t *)&preamble, .len = sizeof(preamble)};

	if (may_send(&message))
		send_all(conn->fd, message.data, message.len);
}

static void
welcome(struct hostile_conn *conn, const struct genie_hello *hello)
{
	struct genie_welcome welcome = {
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.session_id = {1, 2, 3},
		.struct_sizes = genie_hello_struct_sizes(),
		.api_hash = genie_api_hash(),
		.driver_version = 13000,
		.device_window = hello->device_window,
		.device_window_size = hello->device_window_size,
		.pinned_window = hello->pinned_window,
		.pinned_window_size = hello->pinned_window_size,
		.device_kind = GENIE_DEVICE_RECORD,
		.device_name = "hostile",
	};
	unsigned mode = hostile.script->mode;
	bool bulk = hello->kind == GENIE_HELLO_BULK;
	struct hostile_message message = {
		.class = HOSTILE_WELCOME, .data = (uint8_t *)&welcome, .len = sizeof(welcome)};
	struct hostile_message devices = {.class = HOSTILE_DEVICES};
	bool may;

	if (!(mode & (HOSTILE_TCP | HOSTILE_APART)))
		welcome.flags |= GENIE_WELCOME_F_SHARED_PINNED;
	if (mode & HOSTILE_RANGES)
		welcome.flags |= GENIE_WELCOME_F_RANGES;
	if (!bulk)
		welcome.device_count = mode & HOSTILE_ONE ? 1 : 2;
	may = may_send(&message);
	if (!(mode & HOSTILE_TCP)) {
		hostile_memory_make(&hostile, welcome.pinned_window_size, message.memory);
		if (may)
			send_with_fds(conn->fd, message.data, message.len, hostile.sent_fds);
	} else if (may) {
		send_all(conn->fd, message.data, message.len);
	}
	if (bulk)
		return;
	devices.data = hostile_devices(mode, &devices.len);
	if (may_send(&devices))
		send_all(conn->fd, devices.data, devices.len);
}

/* ---- what follows from a command ---- */

static void
reply_send(uint32_t lane, const struct hostile_message *message)
{
	const struct genie_reply *reply = (void *)(message->data + sizeof(struct genie_frame));
	const uint8_t *payload = (const uint8_t *)(reply + 1);
	size_t have = message->len < message->head ? 0 : message->len - message->head;
	struct genie_area_reply *place;

	if (hostile.script->mode & HOSTILE_TCP) {
		for (unsigned i = 0; i < message->copies; i++)
			send_all(hostile.conns[0].fd, message->data, message->len);
		return;
	}
	/* As genie_area_reply() does, and no more careful than a lie is. */
	place = &hostile.area->replies[lane];
	place->len = reply->len - (uint32_t)sizeof(*reply);
	place->status = reply->status;
	memcpy(place->payload, payload, have < GENIE_REPLY_MAX ? have : GENIE_REPLY_MAX);
	atomic_store(&place->ticket, reply->ticket);
	genie_bell_wake(&place->bell);
}

static void
answer(const struct genie_cmd *cmd, const struct genie_call *call, int32_t status)
{
	static _Alignas(8) uint8_t
		buf[sizeof(struct genie_frame) + sizeof(struct genie_reply) + GENIE_REPLY_MAX];
	struct genie_frame *frame = (void *)buf;
	struct genie_reply *reply = (void *)(frame + 1);
	struct hostile_message message = {.class = HOSTILE_REPLY, .data = buf, .status = status};
	struct genie_writer writer;
	size_t size;
	bool may;

	message.head = sizeof(*frame) + sizeof(*reply);
	/* Lies may change what is written below, so it is written twice. */
	for (int round = 0; round < 2; round++) {
		genie_writer_init(&writer, reply + 1, GENIE_REPLY_MAX);
		if (genie_op_desc(cmd->op)->sync)
			genie_encode_reply(&writer, call, message.status);
		size = (genie_writer_len(&writer) + 7) & ~(size_t)7;
		if (round == 1 && message.resize >= 0)
			size = (size_t)message.resize;
		*reply = (struct genie_reply){(uint32_t)(sizeof(*reply) + size), message.status,
					      cmd->ticket};
		*frame = (struct genie_frame){reply->len, GENIE_FRAME_REPLY, (uint16_t)cmd->lane};
		if (round == 0) {
			message.len = message.head + size;
			may = may_send(&message);
			if (message.status == status && message.resize < 0)
				break;
			message.len = message.head + size;
		}
	}
	if (may)
		reply_send(cmd->lane, &message);
}

void
hostile_progress(uint32_t slot)
{
	struct genie_progress progress = {.ticket = hostile.ticket, .slot = slot};
	struct hostile_message message = {
		.class = HOSTILE_PROGRESS, .data = (uint8_t *)&progress, .len = sizeof(progress)};

	progress.bulk = hostile.bulk_sent;
	if (!may_send(&message))
		return;
	if (hostile.script->mode & HOSTILE_TCP)
		for (unsigned i = 0; i < message.copies; i++)
			send_frame(GENIE_FRAME_PROGRESS, 0, message.data, message.len);
	else
		genie_area_progress(hostile.area, progress.slot % GENIE_SLOTS_MAX, progress.ticket);
}

void
hostile_bulk(uint32_t slot, size_t len)
{
	static uint8_t buf[sizeof(struct genie_bulk_frame) + GENIE_BULK_CHUNK];
	struct genie_bulk_frame head = {slot, (uint32_t)len, hostile.ticket};
	struct hostile_message message = {.class = HOSTILE_BULK,
					  .data = buf,
					  .len = sizeof(head) + len,
					  .head = sizeof(head)};

	if (!(hostile.script->mode & HOSTILE_TCP)) {
		hostile_progress(GENIE_SLOT_BULK_DOWN + slot);
		return;
	}
	memcpy(buf, &head, sizeof(head));
	memset(buf + sizeof(head), 0x5a, len);
	if (!may_send(&message))
		return;
	hostile.bulk_sent += len;
	for (unsigned i = 0; i < message.copies; i++)
		send_all(hostile.conns[1].fd, message.data, message.len);
}

void
hostile_host_func(uint64_t id)
{
	struct genie_progress progress = {.ticket = id, .slot = GENIE_FRAME_CALL_SLOT};

	if (hostile.silent)
		return;
	if (hostile.script->mode & HOSTILE_TCP)
		send_frame(GENIE_FRAME_HOST_FUNC, 0, &progress, sizeof(progress));
	else
		send_frame(GENIE_FRAME_HOST_FUNC, 0, &id, sizeof(id));
}

static void
execute(const struct genie_cmd *cmd)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct hostile_message none = {.class = HOSTILE_COMMAND, .copies = 1};
	struct genie_reader reader;
	struct genie_pool pool;
	struct genie_call call;
	int32_t status;

	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, cmd + 1, cmd->len - sizeof(*cmd));
	if (!genie_decode_args(&reader, &pool, (enum genie_op)cmd->op, &call)) {
		if (hostile.scribbled) {
			hostile.over = true; /* it was we who wrote there */
			return;
		}
		fprintf(stderr, "the client sent a broken command, op %u: %s\n", cmd->op,
			reader.why);
		abort();
	}
	hostile.ticket = cmd->ticket;
	lies_apply(&none);
	status = hostile_fill(hostile.script->mode, &call);
	if (cmd->flags & GENIE_CMD_REPLY)
		answer(cmd, &call, status);
	hostile_follow(cmd->ctx, &call);
}

/* ---- what comes ---- */

static void
hello_take(struct hostile_conn *conn)
{
	const struct genie_hello *hello = (const void *)conn->buf;

	if (conn->have < sizeof(*hello))
		return;
	conn->greeted = true;
	conn->have = 0;
	welcome(conn, hello);
}

static void
commands_take(struct hostile_conn *conn)
{
	size_t at = 0;

	while (conn->have - at >= sizeof(struct genie_cmd)) {
		struct genie_cmd *cmd = (void *)(conn->buf + at);

		if (cmd->len < sizeof(*cmd) || cmd->len > GENIE_CMD_MAX || cmd->len % 8) {
			fprintf(stderr, "the client sent a command of %u bytes\n", cmd->len);
			abort();
		}
		if (conn->have - at < cmd->len)
			break;
		at += cmd->len;
		execute(cmd);
		if (conn->fd < 0)
			return;
	}
	memmove(conn->buf, conn->buf + at, conn->have - at);
	conn->have -= at;
}

static void
conn_receive(int index)
{
	struct hostile_conn *conn = &hostile.conns[index];
	ssize_t n = recv(conn->fd, conn->buf + conn->have, sizeof(conn->buf) - conn->have,
			 MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			conn_end(index);
		return;
	}
	conn->have += (size_t)n;
	hostile.quiet_ms = 0;
	if (!conn->greeted)
		hello_take(conn);
	else if (index == 0 && hostile.script->mode & HOSTILE_TCP)
		commands_take(conn);
	else
		conn->have = 0; /* data, and answers of host functions */
}

static void
rings_take(void)
{
	static _Alignas(8) uint8_t buf[GENIE_CMD_MAX];
	int n;

	while (!hostile.over && hostile.conns[0].fd >= 0 &&
	       (n = genie_drain_next(&hostile.drain, buf, sizeof(buf))) != 0) {
		if (n < 0) {
			if (!hostile.scribbled) {
				fprintf(stderr, "the client's ring: %s\n", hostile.drain.why);
				abort();
			}
			hostile.over = true;
			return;
		}
		hostile.quiet_ms = 0;
		execute((struct genie_cmd *)buf);
	}
}

static bool
rings_ready(void *data)
{
	uint32_t count = atomic_load(&hostile.area->ring_count);

	(void)data;
	for (uint32_t i = 0; i < count && i < GENIE_LANES_MAX; i++)
		if (atomic_load(&hostile.area->rings[i].tail) != hostile.drain.heads[i])
			return true;
	return atomic_load(&hostile.stop);
}

/* Sleeps until something comes, or a little. */
static void
look(void)
{
	struct pollfd fds[3] = {
		{.fd = hostile.conns[0].fd, .events = POLLIN},
		{.fd = hostile.conns[1].fd, .events = POLLIN},
		{.fd = hostile.arrive[0], .events = POLLIN},
	};
	struct genie_wait wait = {.reason = "commands", .ready = rings_ready};
	int idle = hostile.lied || hostile.silent ? IDLE_LIED_MS : IDLE_MS;

	if (hostile.area && hostile.conns[0].greeted) {
		wait.bell = &hostile.area->work;
		if (genie_relax(&wait, 1) < 0)
			hostile.quiet_ms++;
		rings_take();
		poll(fds, 3, 0);
	} else {
		if (poll(fds, 3, 1) == 0)
			hostile.quiet_ms++;
	}
	if (fds[2].revents & POLLIN) {
		int fd;

		if (read(hostile.arrive[0], &fd, sizeof(fd)) == sizeof(fd)) {
			int index = hostile.conns[0].fd >= 0 && hostile.script->mode & HOSTILE_TCP;

			conn_end(index);
			hostile.conns[index].fd = fd;
			hostile.quiet_ms = 0;
			greet(&hostile.conns[index]);
		}
		return;
	}
	for (int i = 0; i < 2; i++)
		if (fds[i].revents && hostile.conns[i].fd == fds[i].fd && fds[i].fd >= 0)
			conn_receive(i);
	if (hostile.quiet_ms > (unsigned)idle && hostile.conns[0].fd >= 0)
		hostile.over = true;
}

static void *
server_thread(void *data)
{
	(void)data;
	while (!atomic_load(&hostile.stop)) {
		look();
		if (hostile.over) {
			/* Nobody waits for a server that is gone. */
			conn_end(0);
			conn_end(1);
			hostile.over = false;
			hostile.quiet_ms = 0;
		}
	}
	conn_end(0);
	conn_end(1);
	return NULL;
}

/* ---- its life ---- */

int
hostile_connect(bool is_shm, int *ret_fd)
{
	const struct timeval patience = {.tv_usec = SEND_MS * 1000};
	int pair[2];

	(void)is_shm;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (write(hostile.arrive[1], &pair[1], sizeof(pair[1])) != sizeof(pair[1]))
		abort();
	*ret_fd = pair[0];
	return 0;
}

void
hostile_start(const struct hostile_script *script)
{
	memset(&hostile, 0, offsetof(struct hostile, conns));
	hostile.script = script;
	memcpy(hostile.lies, script->lies, sizeof(hostile.lies));
	for (int i = 0; i < 2; i++) {
		hostile.conns[i].fd = -1;
		hostile.conns[i].have = 0;
		hostile.conns[i].greeted = false;
	}
	for (int i = 0; i < HOSTILE_FDS; i++)
		hostile.fds[i] = hostile.sent_fds[i] = -1;
	if (pipe2(hostile.arrive, O_CLOEXEC) < 0 ||
	    pthread_create(&hostile.thread, NULL, server_thread, NULL))
		abort();
}

void
hostile_end(void)
{
	int fd;

	atomic_store(&hostile.stop, true);
	if (hostile.area)
		genie_bell_wake(&hostile.area->work);
	pthread_join(hostile.thread, NULL);
	fcntl(hostile.arrive[0], F_SETFL, O_NONBLOCK);
	while (read(hostile.arrive[0], &fd, sizeof(fd)) == sizeof(fd))
		close(fd);
	close(hostile.arrive[0]);
	close(hostile.arrive[1]);
	hostile_memory_end(&hostile);
}
