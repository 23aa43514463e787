/* The worker's end of a session: what is the same for every transport. */
#include "transport/port.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/area.h"
#include "transport/hello.h"
#include "transport/net.h"
#include "transport/port_impl.h"
#include "transport/window.h"

#define WELCOME_MS 10000

/* ---- opening and closing ---- */

int
genie_port_send_welcome(int fd, const struct genie_welcome *welcome,
			const struct genie_device_info *devices, const int *fds, unsigned fd_count)
{
	uint64_t deadline = genie_net_deadline(WELCOME_MS);
	struct genie_welcome filled = *welcome;
	int ret;

	filled.magic = GENIE_WIRE_MAGIC;
	filled.version = GENIE_WIRE_VERSION;
	filled.struct_sizes = genie_hello_struct_sizes();
	if (!devices)
		filled.device_count = 0;
	if (filled.device_count > GENIE_DEVICES_MAX)
		return -EINVAL;
	ret = genie_net_write_fds(fd, &filled, sizeof(filled), fds, fd_count, deadline);
	if (!ret)
		ret = genie_net_write(fd, devices, filled.device_count * sizeof(*devices),
				      deadline);
	return ret;
}

int
genie_port_open(const struct genie_port_opts *opts, struct genie_port **ret_port, char *err,
		size_t err_size)
{
	const struct genie_port_ops *ops = opts->is_shm ? &genie_shm_port_ops : &genie_tcp_port_ops;
	struct genie_port *port = calloc(1, ops->size);
	int ret;

	err[0] = 0;
	if (!port) {
		close(opts->fd);
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	port->ops = ops;
	port->fd = opts->fd;
	pthread_mutex_init(&port->host_lock, NULL);
	ret = ops->open(port, opts, err, err_size);
	if (ret < 0) {
		if (!err[0])
			snprintf(err, err_size, "%s", strerror(-ret));
		/* Should WELCOME be out already, the client takes this for nonsense: as good. */
		genie_port_refuse(port->fd, GENIE_WELCOME_FULL, err);
		genie_port_close(port);
		return ret;
	}
	*ret_port = port;
	return 0;
}

void
genie_port_close(struct genie_port *port)
{
	if (!port)
		return;
	genie_port_die(port, -ECONNRESET, NULL);
	port->ops->close(port);
	genie_net_close(&port->fd);
	if (port->staging)
		munmap(port->staging, GENIE_STAGING_SIZE);
	if (port->pinned_size)
		munmap((void *)(uintptr_t)port->pinned_base, port->pinned_size);
	pthread_mutex_destroy(&port->host_lock);
	free(port);
}

int
genie_port_die(struct genie_port *port, int error, const char *why)
{
	struct genie_port_host_call *calls, *next;
	int alive = 0;

	if (atomic_compare_exchange_strong(&port->dead, &alive, error) && why)
		genie_error("the session ends: %s", why);
	/* Wakes our threads that wait for the client, and tells the client. */
	shutdown(port->fd, SHUT_RDWR);
	pthread_mutex_lock(&port->host_lock);
	calls = port->host_calls;
	port->host_calls = NULL;
	pthread_mutex_unlock(&port->host_lock);
	for (; calls; calls = next) {
		next = calls->next;
		calls->done(calls->data);
		free(calls);
	}
	return alive ? alive : error;
}

/* ---- commands, replies, progress ---- */

int
genie_port_next(struct genie_port *port, int timeout_ms, const struct genie_cmd **ret_cmd)
{
	return port->ops->next(port, timeout_ms, ret_cmd);
}

int
genie_port_reply(struct genie_port *port, uint32_t lane, uint64_t ticket, int32_t status,
		 const void *payload, size_t len)
{
	struct genie_reply reply = {
		.len = (uint32_t)(sizeof(reply) + len),
		.status = status,
		.ticket = ticket,
	};

	if (len > GENIE_REPLY_MAX || lane >= GENIE_AREA_LANES)
		return -EINVAL;
	if (genie_port_is_dead(port))
		return -ECONNRESET;
	return port->ops->reply(port, &reply, lane, payload);
}

void
genie_port_progress(struct genie_port *port, uint32_t slot, uint64_t ticket)
{
	if (slot < GENIE_SLOTS_MAX && !genie_port_is_dead(port))
		port->ops->progress(port, slot, ticket);
}

void
genie_port_error(struct genie_port *port, const struct genie_async_error *error)
{
	if (!genie_port_is_dead(port))
		port->ops->send(port, GENIE_FRAME_ERROR, error, sizeof(*error));
}

/* ---- host functions and output ---- */

int
genie_port_host_func(struct genie_port *port, uint64_t id, void (*done)(void *data), void *data)
{
	struct genie_port_host_call *call = malloc(sizeof(*call));
	struct genie_port_host_call **last = &port->host_calls;
	int dead;

	/* A function that the client must run and never hears of would be a wrong result. */
	if (!call)
		return genie_port_die(port, -ENOMEM, "out of memory for a host function");
	*call = (struct genie_port_host_call){.id = id, .done = done, .data = data};
	pthread_mutex_lock(&port->host_lock);
	/* Either genie_port_die finds the call in the list, or we find the port dead. */
	dead = genie_port_is_dead(port);
	if (!dead) {
		while (*last)
			last = &(*last)->next;
		*last = call;
	}
	pthread_mutex_unlock(&port->host_lock);
	if (dead) {
		free(call);
		return -ECONNRESET;
	}
	/* A failure to send ends the session, and that calls @done. */
	port->ops->send(port, GENIE_FRAME_HOST_FUNC, &id, sizeof(id));
	return 0;
}

int
genie_port_host_done(struct genie_port *port, uint64_t id)
{
	struct genie_port_host_call **at, *call;

	pthread_mutex_lock(&port->host_lock);
	at = &port->host_calls;
	while (*at && (*at)->id != id)
		at = &(*at)->next;
	call = *at;
	if (call)
		*at = call->next;
	pthread_mutex_unlock(&port->host_lock);
	if (!call)
		return -EPROTO;
	call->done(call->data);
	free(call);
	return 0;
}

bool
genie_port_in_pinned(const struct genie_port *port, uint64_t addr, size_t len)
{
	return addr >= port->pinned_base && addr - port->pinned_base <= port->pinned_size &&
	       len <= port->pinned_size - (addr - port->pinned_base);
}

int
genie_port_host_data(struct genie_port *port, uint64_t addr, size_t len)
{
	size_t part;
	int ret = 0;

	if (!genie_port_in_pinned(port, addr, len))
		return -EINVAL;
	for (; len && !ret; addr += part, len -= part) {
		part = len < GENIE_REPLY_MAX ? len : GENIE_REPLY_MAX;
		if (genie_port_is_dead(port))
			return -ECONNRESET;
		ret = port->ops->send(port, GENIE_FRAME_HOST_DATA, (const void *)(uintptr_t)addr,
				      part);
	}
	return ret;
}

void
genie_port_output(struct genie_port *port, const char *text, size_t len, bool is_error)
{
	enum genie_frame_type type = is_error ? GENIE_FRAME_COMPLAINT : GENIE_FRAME_OUTPUT;
	size_t part;

	for (; len && !genie_port_is_dead(port); text += part, len -= part) {
		part = len < GENIE_REPLY_MAX ? len : GENIE_REPLY_MAX;
		port->ops->send(port, type, text, part);
	}
}

/* ---- bulk ---- */

static int
bulk_begin(struct genie_port *port, enum genie_port_dir dir, uint64_t ref, size_t len,
	   void **ret_ptr)
{
	unsigned slots = dir == GENIE_PORT_IN ? GENIE_BULK_UP : GENIE_BULK_DOWN;
	char why[96];
	int ret;

	if (ref >= slots || len > GENIE_BULK_CHUNK) {
		snprintf(why, sizeof(why), "%zu bytes in staging slot 0x%" PRIx64, len, ref);
		return genie_port_die(port, -EPROTO, why);
	}
	ret = port->ops->bulk_begin(port, dir, (unsigned)ref, len);
	if (!ret)
		*ret_ptr = genie_port_slot(port, dir, (unsigned)ref);
	return ret;
}

int
genie_port_bulk_in(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr)
{
	return bulk_begin(port, GENIE_PORT_IN, ref, len, ret_ptr);
}

void
genie_port_bulk_in_done(struct genie_port *port, uint64_t ref, size_t len, uint64_t ticket)
{
	if (ref < GENIE_BULK_UP && !genie_port_is_dead(port))
		port->ops->bulk_end(port, GENIE_PORT_IN, (unsigned)ref, len, ticket);
}

int
genie_port_bulk_out(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr)
{
	return bulk_begin(port, GENIE_PORT_OUT, ref, len, ret_ptr);
}

void
genie_port_bulk_out_ready(struct genie_port *port, uint64_t ref, size_t len, void *ptr,
			  uint64_t ticket)
{
	(void)ptr; /* follows from ref */
	if (ref < GENIE_BULK_DOWN && len <= GENIE_BULK_CHUNK && !genie_port_is_dead(port))
		port->ops->bulk_end(port, GENIE_PORT_OUT, (unsigned)ref, len, ticket);
}

/* ---- memory ---- */

void
genie_port_staging(const struct genie_port *port, void **ret_base, size_t *ret_size)
{
	*ret_base = port->staging;
	*ret_size = GENIE_STAGING_SIZE;
}

bool
genie_port_shared(const struct genie_port *port)
{
	return port->ops == &genie_shm_port_ops;
}

void *
genie_port_pinned_base(const struct genie_port *port)
{
	return (void *)(uintptr_t)port->pinned_base;
}

size_t
genie_port_pinned_size(const struct genie_port *port)
{
	return port->pinned_size;
}
