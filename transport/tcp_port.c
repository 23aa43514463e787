/*
 * TCP, the worker's end: commands and answers. The issuing thread reads the command connection by
 * itself, whoever has an answer writes it. Bulk data has its own connection and threads:
 * tcp_port_bulk.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/log.h"
#include "transport/area.h"
#include "transport/drain.h"
#include "transport/net.h"
#include "transport/tcp_port_impl.h"
#include "transport/window.h"

#define RX_SIZE (512u << 10)

_Static_assert(RX_SIZE >= 2 * GENIE_CMD_MAX, "room for a whole command wherever one begins");

/* ---- opening and closing ---- */

static int
tcp_port_open(struct genie_port *port, const struct genie_port_opts *opts, char *err,
	      size_t err_size)
{
	struct tcp_port *tcp = tcp_port_of(port);
	struct genie_welcome welcome = opts->welcome;
	void *staging;
	int ret;

	pthread_mutex_init(&tcp->tx_lock, NULL);
	tcp_port_bulk_init(tcp);
	tcp->next = 1;
	tcp->api_hash = welcome.api_hash;
	tcp->rx = malloc(RX_SIZE);
	staging = mmap(NULL, GENIE_STAGING_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!tcp->rx || staging == MAP_FAILED)
		return -ENOMEM;
	port->staging = staging;
	if (welcome.pinned_window_size) {
		ret = genie_window_map(welcome.pinned_window, welcome.pinned_window_size, -1, NULL);
		if (ret < 0) {
			snprintf(err, err_size, "cannot map the pinned window: %s", strerror(-ret));
			return ret;
		}
		port->pinned_base = welcome.pinned_window;
		port->pinned_size = welcome.pinned_window_size;
	}
	ret = genie_net_set_nonblocking(port->fd);
	if (ret < 0)
		return ret;
	genie_net_tune_tcp(port->fd);
	welcome.flags &= ~(uint32_t)GENIE_WELCOME_F_SHARED_PINNED;
	return genie_port_send_welcome(port->fd, &welcome, opts->devices, NULL, 0);
}

static void
tcp_port_close(struct genie_port *port)
{
	struct tcp_port *tcp = tcp_port_of(port);

	tcp_port_bulk_fini(tcp);
	free(tcp->rx);
	pthread_mutex_destroy(&tcp->tx_lock);
}

/* ---- commands ---- */

/* The next command of what has been received: 1, 0 when it is not whole yet, or -EPROTO. */
static int
take_command(struct tcp_port *tcp)
{
	const struct genie_cmd *cmd;
	size_t have;

	cmd = (const struct genie_cmd *)(tcp->rx + tcp->rx_start);
	have = tcp->rx_end - tcp->rx_start;
	if (have < sizeof(*cmd))
		return 0;
	if (cmd->len < sizeof(*cmd) || cmd->len > GENIE_CMD_MAX || cmd->len % 8) {
		snprintf(tcp->why, sizeof(tcp->why), "command of length 0x%x", cmd->len);
		return -EPROTO;
	}
	if (have < cmd->len)
		return 0;
	if (cmd->ticket != tcp->next || cmd->lane >= GENIE_AREA_LANES) {
		snprintf(tcp->why, sizeof(tcp->why),
			 "command 0x%llx of lane 0x%x instead of 0x%llx",
			 (unsigned long long)cmd->ticket, cmd->lane, (unsigned long long)tcp->next);
		return -EPROTO;
	}
	return 1;
}

/* Receives what is there: bytes, 0 or negative errno. */
static ssize_t
receive_commands(struct tcp_port *tcp)
{
	ssize_t n;

	if (tcp->rx_start == tcp->rx_end) {
		tcp->rx_start = tcp->rx_end = 0;
	} else if (RX_SIZE - tcp->rx_end < GENIE_CMD_MAX) {
		/* Only the beginning of a command is left: the whole ones have been taken. */
		memmove(tcp->rx, tcp->rx + tcp->rx_start, tcp->rx_end - tcp->rx_start);
		tcp->rx_end -= tcp->rx_start;
		tcp->rx_start = 0;
	}
	n = genie_net_recv(tcp->port.fd, tcp->rx + tcp->rx_end, RX_SIZE - tcp->rx_end);
	if (n > 0)
		tcp->rx_end += (size_t)n;
	return n;
}

struct next_wait {
	struct tcp_port *tcp;
	int ret; /* 1, or how the session ends */
};

static bool
next_ready(void *data)
{
	struct next_wait *wait = data;
	ssize_t n;

	wait->ret = take_command(wait->tcp);
	if (wait->ret)
		return true;
	n = receive_commands(wait->tcp);
	if (n > 0)
		wait->ret = take_command(wait->tcp);
	else if (n < 0)
		wait->ret = -ECONNRESET;
	return wait->ret != 0;
}

static int
tcp_port_next(struct genie_port *port, int timeout_ms, const struct genie_cmd **ret_cmd)
{
	struct tcp_port *tcp = tcp_port_of(port);
	struct pollfd pollfd = {.fd = port->fd, .events = POLLIN};
	struct next_wait next = {.tcp = tcp};
	struct genie_wait wait = {
		.reason = "a command",
		.ready = next_ready,
		.data = &next,
		.spin = &tcp->spin,
		.fds = &pollfd,
		.fd_count = 1,
	};
	int dead = genie_port_is_dead(port);

	if (dead)
		return dead;
	/* The command that was returned last. */
	tcp->rx_start += tcp->taken;
	tcp->taken = 0;
	if (genie_relax(&wait, timeout_ms) < 0)
		return -EAGAIN;
	if (next.ret < 0)
		return genie_port_die(port, next.ret, next.ret == -EPROTO ? tcp->why : NULL);
	*ret_cmd = (const struct genie_cmd *)(tcp->rx + tcp->rx_start);
	tcp->taken = (*ret_cmd)->len;
	tcp->next++;
	return 0;
}

/* ---- answers ---- */

struct frame_out {
	struct tcp_port *tcp;
	struct iovec iov[3];
	size_t left;
};

static bool
frame_out_ready(void *data)
{
	struct frame_out *out = data;
	int ret = genie_net_send_parts(out->tcp->port.fd, out->iov, 3, &out->left);

	if (ret < 0)
		genie_port_die(&out->tcp->port, -ECONNRESET, NULL);
	return !out->left || genie_port_is_dead(&out->tcp->port);
}

/* One frame of up to two parts. */
static int
send_frame(struct tcp_port *tcp, struct genie_frame *frame, const void *first, size_t first_len,
	   const void *second, size_t second_len)
{
	struct pollfd pollfd = {.fd = tcp->port.fd, .events = POLLOUT};
	struct frame_out out = {
		.tcp = tcp,
		.iov = {{frame, sizeof(*frame)},
			{(void *)first, first_len},
			{(void *)second, second_len}},
		.left = sizeof(*frame) + first_len + second_len,
	};
	struct genie_wait wait = {
		.reason = "the client to read its answers",
		.ready = frame_out_ready,
		.data = &out,
		.fds = &pollfd,
		.fd_count = 1,
	};

	frame->len = (uint32_t)(first_len + second_len);
	pthread_mutex_lock(&tcp->tx_lock);
	genie_relax(&wait, -1);
	pthread_mutex_unlock(&tcp->tx_lock);
	return out.left ? -ECONNRESET : 0;
}

static int
tcp_port_reply(struct genie_port *port, const struct genie_reply *reply, uint32_t lane,
	       const void *payload)
{
	struct genie_frame frame = {.type = GENIE_FRAME_REPLY, .lane = (uint16_t)lane};

	return send_frame(tcp_port_of(port), &frame, reply, sizeof(*reply), payload,
			  reply->len - sizeof(*reply));
}

static void
tcp_port_progress(struct genie_port *port, uint32_t slot, uint64_t ticket)
{
	struct tcp_port *tcp = tcp_port_of(port);
	struct genie_frame frame = {.type = GENIE_FRAME_PROGRESS};
	struct genie_progress progress = {
		.ticket = ticket,
		.slot = slot,
		.bulk = atomic_load_explicit(&tcp->down_bytes, memory_order_seq_cst),
	};

	/* The client keeps the larger ticket; what was sent before need not be remembered here. */
	send_frame(tcp, &frame, &progress, sizeof(progress), NULL, 0);
}

static int
tcp_port_send(struct genie_port *port, enum genie_frame_type type, const void *payload, size_t len)
{
	struct tcp_port *tcp = tcp_port_of(port);
	struct genie_frame frame = {.type = type};
	struct genie_progress call = {.slot = GENIE_FRAME_CALL_SLOT};
	uint64_t addr = (uint64_t)(uintptr_t)payload;

	/* A host function may look at what was copied before it: it waits for those bytes too. */
	if (type == GENIE_FRAME_HOST_FUNC && len == sizeof(call.ticket)) {
		memcpy(&call.ticket, payload, len);
		call.bulk = atomic_load_explicit(&tcp->down_bytes, memory_order_seq_cst);
		return send_frame(tcp, &frame, &call, sizeof(call), NULL, 0);
	}
	if (type == GENIE_FRAME_HOST_DATA)
		return send_frame(tcp, &frame, &addr, sizeof(addr), payload, len);
	return send_frame(tcp, &frame, payload, len, NULL, 0);
}

const struct genie_port_ops genie_tcp_port_ops = {
	.size = sizeof(struct tcp_port),
	.open = tcp_port_open,
	.close = tcp_port_close,
	.next = tcp_port_next,
	.reply = tcp_port_reply,
	.progress = tcp_port_progress,
	.send = tcp_port_send,
	.bulk_begin = tcp_port_bulk_begin,
	.bulk_end = tcp_port_bulk_end,
};
