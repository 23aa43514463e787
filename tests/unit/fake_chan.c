#include "tests/unit/fake_chan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "interpose/client.h"
#include "transport/chan_waits.h"

struct fake_chan fake;

struct genie_lane {
	char buffer[GENIE_CMD_MAX];
};

/* Guards the commands, the tickets and the lanes. */
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread struct genie_lane lane;
static struct genie_chan *const chan = (struct genie_chan *)&fake;

void
fake_init(void)
{
	setenv("GENIE_SERVER", "shm:/nowhere", 1);
	fake.complete = true;
	fake.welcome.driver_version = 13000;
	fake.welcome.device_count = 2;
	fake.welcome.device_kind = GENIE_DEVICE_RECORD;
	fake.welcome.device_window = GENIE_DEVICE_WINDOW_BASE;
	fake.welcome.device_window_size = GENIE_DEVICE_WINDOW_SIZE;
	fake.welcome.pinned_window = GENIE_PINNED_WINDOW_BASE;
	fake.welcome.pinned_window_size = GENIE_PINNED_WINDOW_SIZE;
	for (int i = 0; i < 2; i++) {
		struct genie_device_info *device = &fake.devices[i];

		snprintf(device->name, sizeof(device->name), "fake %d", i);
		snprintf(device->pci_bus_id, sizeof(device->pci_bus_id), "0000:0%d:00.0", i + 1);
		memset(device->uuid, 0x10 + i, sizeof(device->uuid));
		device->total_mem = UINT64_C(1) << 30;
		device->credit = UINT64_C(1) << 30;
		device->attr_count = GENIE_ATTRS_MAX;
		device->attrs[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID] = i + 1;
		device->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR] = 9;
		device->attrs[CU_DEVICE_ATTRIBUTE_WARP_SIZE] = 32;
		device->attrs[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
		device->attrs[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT] = 132;
		device->attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT] = 512;
		device->attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT] = 32;
		device->stream_priority_high = -5;
		device->limits[CU_LIMIT_STACK_SIZE] = 1024;
	}
}

size_t
fake_count(enum genie_op op)
{
	size_t n = 0;

	pthread_mutex_lock(&fake_lock);
	for (size_t i = 0; i < fake.count; i++)
		n += fake.commands[i].op == op;
	pthread_mutex_unlock(&fake_lock);
	return n;
}

const struct fake_command *
fake_last(enum genie_op op)
{
	for (size_t i = fake.count; i > 0; i--)
		if (fake.commands[i - 1].op == op)
			return &fake.commands[i - 1];
	return NULL;
}

/* ---- transport/chan.h ---- */

int
genie_chan_connect(const struct genie_chan_opts *opts, struct genie_chan **ret_chan, char *err,
		   size_t err_size)
{
	fake.connects++;
	if (fake.refuse) {
		snprintf(err, err_size, "refused by the test");
		return -fake.refuse;
	}
	fake.events = opts->events;
	*ret_chan = chan;
	return 0;
}

void
genie_chan_close(struct genie_chan *c)
{
	(void)c;
}

void
genie_chan_forget(struct genie_chan *c)
{
	(void)c;
}

const struct genie_welcome *
genie_chan_welcome(const struct genie_chan *c)
{
	(void)c;
	return &fake.welcome;
}

const struct genie_device_info *
genie_chan_devices(const struct genie_chan *c)
{
	(void)c;
	return fake.devices;
}

const char *
genie_chan_transport(const struct genie_chan *c)
{
	(void)c;
	return "fake";
}

void
genie_chan_waits(const struct genie_chan *chan, struct genie_chan_waits *ret_waits)
{
	(void)chan;
	*ret_waits = (struct genie_chan_waits){0};
}

void
genie_chan_stats(const struct genie_chan *c, struct genie_chan_stats *ret_stats)
{
	(void)c;
	*ret_stats = (struct genie_chan_stats){.bytes_sent = 1};
}

bool
genie_chan_dead(const struct genie_chan *c)
{
	(void)c;
	return __atomic_load_n(&fake.dead, __ATOMIC_RELAXED);
}

void
genie_chan_fail(struct genie_chan *c, const char *why)
{
	(void)c;
	(void)why;
	__atomic_store_n(&fake.dead, true, __ATOMIC_RELAXED);
}

struct genie_async_error
genie_chan_error(const struct genie_chan *c)
{
	struct genie_async_error error;

	(void)c;
	pthread_mutex_lock(&fake_lock);
	error = fake.error;
	pthread_mutex_unlock(&fake_lock);
	return error;
}

void
genie_chan_error_clear(struct genie_chan *c, uint64_t ticket)
{
	(void)c;
	pthread_mutex_lock(&fake_lock);
	if (fake.error.ticket == ticket)
		fake.error.ticket = 0;
	pthread_mutex_unlock(&fake_lock);
}

struct genie_lane *
genie_lane_get(struct genie_chan *c)
{
	(void)c;
	return fake.dead ? NULL : &lane;
}

void
genie_lane_put(struct genie_lane *l)
{
	(void)l;
}

void *
genie_lane_begin(struct genie_lane *l, size_t len)
{
	cr_assert(len <= GENIE_CMD_MAX && len % 8 == 0);
	return fake.dead ? NULL : l->buffer;
}

uint64_t
genie_lane_commit(struct genie_lane *l, void *cmd, uint16_t op, uint16_t flags, uint32_t ctx,
		  size_t len)
{
	struct fake_command *command;
	uint64_t ticket;

	(void)l;
	pthread_mutex_lock(&fake_lock);
	cr_assert(fake.count < FAKE_COMMANDS_MAX);
	ticket = ++fake.last_ticket;
	command = &fake.commands[fake.count++];
	command->op = (enum genie_op)op;
	command->flags = flags;
	command->ctx = ctx;
	command->ticket = ticket;
	command->len = len - sizeof(struct genie_cmd);
	if (command->len <= sizeof(command->payload))
		memcpy(command->payload, (char *)cmd + sizeof(struct genie_cmd), command->len);
	if (fake.on_command)
		fake.on_command((enum genie_op)op, (char *)cmd + sizeof(struct genie_cmd),
				len - sizeof(struct genie_cmd));
	pthread_mutex_unlock(&fake_lock);
	return ticket;
}

int
genie_lane_wait_reply(struct genie_lane *l, uint64_t ticket, int32_t *ret_status, void *buf,
		      size_t max, size_t *ret_len)
{
	(void)l;
	(void)ticket;
	if (fake.dead)
		return -ECONNRESET;
	cr_assert(fake.reply_len <= max);
	memcpy(buf, fake.reply, fake.reply_len);
	*ret_len = fake.reply_len;
	*ret_status = fake.status;
	return 0;
}

uint64_t
genie_chan_last_ticket(const struct genie_chan *c)
{
	uint64_t ticket;

	(void)c;
	pthread_mutex_lock(&fake_lock);
	ticket = fake.last_ticket;
	pthread_mutex_unlock(&fake_lock);
	return ticket;
}

uint64_t
genie_chan_progress(const struct genie_chan *c, uint32_t slot)
{
	(void)c;
	return __atomic_load_n(&fake.progress[slot], __ATOMIC_ACQUIRE);
}

int
genie_chan_wait(struct genie_chan *c, uint32_t slot, uint64_t ticket)
{
	struct genie_async_error error;

	if (fake.dead)
		return -ECONNRESET;
	__atomic_fetch_add(&fake.waits, 1, __ATOMIC_RELAXED);
	cr_assert(fake.complete, "waits for what the test does not complete");
	__atomic_store_n(&fake.progress[slot], ticket, __ATOMIC_RELEASE);
	error = genie_chan_error(c);
	return error.ticket && error.sticky ? -EIO : 0;
}

int
genie_chan_bulk_send(struct genie_chan *c, const void *src, size_t len, uint64_t *ret_ref)
{
	(void)c;
	*ret_ref = fake.on_bulk_send ? fake.on_bulk_send(src, len) : 0;
	return 0;
}

void
genie_chan_bulk_sent(struct genie_chan *c, uint64_t ref, uint64_t ticket)
{
	(void)c;
	(void)ref;
	(void)ticket;
}

int
genie_chan_bulk_expect(struct genie_chan *c, void *dst, size_t len, uint64_t *ret_ref)
{
	(void)c;
	*ret_ref = fake.on_bulk_expect ? fake.on_bulk_expect(dst, len) : 0;
	return 0;
}

int
genie_chan_bulk_wait(struct genie_chan *c, uint64_t ref, uint64_t ticket)
{
	(void)c;
	(void)ref;
	(void)ticket;
	return 0;
}

void
genie_chan_bulk_cancel(struct genie_chan *c, uint64_t ref)
{
	(void)c;
	(void)ref;
}

void
genie_chan_bulk_detach(struct genie_chan *c, uint64_t ref)
{
	(void)c;
	(void)ref;
}

int
genie_chan_pinned_fd(const struct genie_chan *c)
{
	(void)c;
	return -1;
}

void *
genie_chan_pinned_base(const struct genie_chan *c)
{
	static void *base;

	(void)c;
	if (!base)
		base = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return base;
}

int
genie_chan_host_data(struct genie_chan *c, const void *addr, size_t len)
{
	(void)c;
	(void)addr;
	(void)len;
	return 0;
}

int
genie_chan_pinned_discard(struct genie_chan *c, void *addr, size_t len)
{
	(void)c;
	(void)addr;
	(void)len;
	return 0;
}
