/* TCP with peers made by hand: a server that sends what we want to see handled, a client that lies.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"
#include "transport/address.h"
#include "transport/drain.h"
#include "transport/frame.h"
#include "transport/hello.h"
#include "transport/net.h"

/* ---- a server made by hand, in this process ---- */

struct puppet {
	struct genie_listener listener;
	int fd, bulk_fd;
	pthread_t thread;
	struct genie_chan *chan;
	struct genie_lane *lane;
};

/* What WELCOME says beyond what is right. */
static struct {
	struct genie_device_info *device;
	uint64_t window, window_size;
} offer;

static int
puppet_accept(struct puppet *puppet)
{
	struct pollfd pollfd = {.fd = puppet->listener.fd, .events = POLLIN};
	struct genie_welcome welcome = {
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.struct_sizes = genie_hello_struct_sizes(),
		.api_hash = ECHO_API_HASH,
		.device_count = offer.device != NULL,
		.device_window = offer.window,
		.device_window_size = offer.window_size,
	};
	struct genie_hello hello;
	char err[256];
	int fd;

	poll(&pollfd, 1, 5000);
	fd = accept(puppet->listener.fd, NULL, NULL);
	if (genie_port_greet(fd, NULL, ECHO_API_HASH, 2000, &hello, err, sizeof(err)) < 0)
		abort();
	welcome.device_count *= hello.kind == GENIE_HELLO_SESSION;
	memset(welcome.device_name, 'x', sizeof(welcome.device_name));
	genie_port_answer(fd, &welcome, offer.device);
	return fd;
}

static void *
puppet_thread(void *data)
{
	struct puppet *puppet = data;

	puppet->fd = puppet_accept(puppet);
	puppet->bulk_fd = puppet_accept(puppet);
	return NULL;
}

/* For a client that goes away after the first connection. */
static void *
puppet_thread_once(void *data)
{
	struct puppet *puppet = data;

	puppet->fd = puppet_accept(puppet);
	return NULL;
}

static void
puppet_start(struct puppet *puppet)
{
	struct genie_chan_opts opts = {.kind = GENIE_HELLO_SESSION, .api_hash = ECHO_API_HASH};
	char err[256];

	cr_assert_eq(genie_listener_open("tcp://127.0.0.1:0", false, &puppet->listener, err,
					 sizeof(err)),
		     0);
	opts.server = puppet->listener.address;
	pthread_create(&puppet->thread, NULL, puppet_thread, puppet);
	cr_assert_eq(genie_chan_connect(&opts, &puppet->chan, err, sizeof(err)), 0, "%s", err);
	pthread_join(puppet->thread, NULL);
	puppet->lane = genie_lane_get(puppet->chan);
}

static void
puppet_end(struct puppet *puppet)
{
	genie_chan_close(puppet->chan);
	close(puppet->fd);
	close(puppet->bulk_fd);
	genie_listener_close(&puppet->listener);
}

static void
send_bytes(int fd, const void *bytes, size_t len)
{
	cr_assert_eq(genie_net_write(fd, bytes, len, genie_net_deadline(2000)), 0);
}

static void
send_progress(struct puppet *puppet, uint32_t slot, uint64_t ticket, uint64_t bulk)
{
	struct {
		struct genie_frame frame;
		struct genie_progress progress;
	} both = {{sizeof(both.progress), GENIE_FRAME_PROGRESS, 0},
		  {.ticket = ticket, .slot = slot, .bulk = bulk}};

	send_bytes(puppet->fd, &both, sizeof(both));
}

static bool
dies_within_a_second(struct genie_chan *chan)
{
	for (int i = 0; i < 100 && !genie_chan_dead(chan); i++)
		usleep(10000);
	return genie_chan_dead(chan);
}

/* ---- WELCOME ---- */

Test(tcp, texts_in_welcome_end, .timeout = 20)
{
	static struct genie_device_info device;
	const struct genie_device_info *got;
	struct puppet p;

	memset(&device, 'x', sizeof(device));
	offer.device = &device;
	puppet_start(&p);
	got = genie_chan_devices(p.chan);
	cr_assert_eq(strnlen(got->name, sizeof(got->name)), sizeof(got->name) - 1);
	cr_assert_eq(strnlen(got->pci_bus_id, sizeof(got->pci_bus_id)),
		     sizeof(got->pci_bus_id) - 1);
	cr_assert_eq(strlen(genie_chan_welcome(p.chan)->device_name), 31);
	puppet_end(&p);
}

static void
window_is_refused(uint64_t window, uint64_t size)
{
	struct genie_chan_opts opts = {.kind = GENIE_HELLO_SESSION, .api_hash = ECHO_API_HASH};
	struct puppet p = {.bulk_fd = -1};
	char err[256];

	offer.window = window;
	offer.window_size = size;
	cr_assert_eq(genie_listener_open("tcp://127.0.0.1:0", false, &p.listener, err, sizeof(err)),
		     0);
	opts.server = p.listener.address;
	pthread_create(&p.thread, NULL, puppet_thread_once, &p);
	cr_assert_eq(genie_chan_connect(&opts, &p.chan, err, sizeof(err)), -EPROTO);
	cr_assert_not_null(strstr(err, "window"), "%s", err);
	pthread_join(p.thread, NULL);
	close(p.fd);
	genie_listener_close(&p.listener);
}

Test(tcp, windows_that_cannot_be, .timeout = 20)
{
	window_is_refused(GENIE_DEVICE_WINDOW_BASE, UINT64_MAX - 4095);
	window_is_refused(UINT64_MAX - 4095, 4096);
	window_is_refused(GENIE_DEVICE_WINDOW_BASE + 1, 4096);
	window_is_refused(GENIE_DEVICE_WINDOW_BASE, 1);
}

/* ---- progress and bulk ---- */

Test(tcp, progress_is_held_until_its_bulk_bytes_are_there, .timeout = 20)
{
	struct puppet p;
	static uint8_t data[3000], got[3000];
	struct genie_bulk_frame head = {.len = sizeof(data), .ticket = 1};
	uint64_t ref;

	memset(data, 0x77, sizeof(data));
	puppet_start(&p);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	head.slot = (uint32_t)ref;
	echo_submit(p.lane, ECHO_NOP, 0, NULL, 0);
	send_progress(&p, 7, 1, sizeof(data)); /* before the data */
	send_progress(&p, 8, 1, sizeof(data));
	usleep(50000);
	cr_assert_eq(genie_chan_progress(p.chan, 7), 0);
	send_bytes(p.bulk_fd, &head, sizeof(head));
	send_bytes(p.bulk_fd, data, sizeof(data) - 1);
	usleep(50000);
	cr_assert_eq(genie_chan_progress(p.chan, 7), 0);
	cr_assert_eq(genie_chan_progress(p.chan, 8), 0);
	send_bytes(p.bulk_fd, data, 1);
	cr_assert_eq(genie_chan_wait(p.chan, 8, 1), 0);
	cr_assert_eq(genie_chan_progress(p.chan, 7), 1);
	cr_assert_arr_eq(got, data, sizeof(data));
	cr_assert_eq(genie_chan_bulk_wait(p.chan, ref, 1), 0);
	puppet_end(&p);
}

/* More progress than there is room to hold back: it is left in the socket, and the bulk bytes
 * that free it come all the same. */
/* Else the worker could write there when the caller has long freed it. */
Test(tcp, the_workers_word_is_no_data, .timeout = 20)
{
	struct puppet p;
	uint8_t got[100] = {0};
	uint64_t ref;

	puppet_start(&p);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	echo_submit(p.lane, ECHO_NOP, 0, NULL, 0);
	send_progress(&p, GENIE_SLOT_BULK_DOWN + (uint32_t)ref, 1, 0);
	cr_assert_eq(genie_chan_bulk_wait(p.chan, ref, 1), -EPROTO);
	cr_assert(genie_chan_dead(p.chan));
	puppet_end(&p);
}

Test(tcp, data_for_a_ticket_to_come_is_not_its_data, .timeout = 20)
{
	struct puppet p;
	uint8_t data[100] = {1}, got[100] = {0}, later[100] = {0};
	struct genie_bulk_frame head = {.len = sizeof(data), .ticket = UINT64_MAX};
	uint64_t ref, first;

	puppet_start(&p);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &first), 0);
	head.slot = (uint32_t)first;
	echo_submit(p.lane, ECHO_NOP, 0, NULL, 0);
	send_bytes(p.bulk_fd, &head, sizeof(head));
	send_bytes(p.bulk_fd, data, sizeof(data));
	cr_assert_eq(genie_chan_bulk_wait(p.chan, first, 1), 0);
	cr_assert_arr_eq(got, data, sizeof(data));
	cr_assert_eq(genie_chan_bulk_expect(p.chan, later, sizeof(later), &ref), 0);
	cr_assert_eq(ref, first, "the same slot");
	echo_submit(p.lane, ECHO_NOP, 0, NULL, 0);
	cr_assert_eq(genie_chan_bulk_wait(p.chan, ref, 2), -EPROTO);
	puppet_end(&p);
}

/* A command that was never sent: what comes for it is not written any more. */
Test(tcp, a_cancelled_transfer_is_over, .timeout = 20)
{
	struct puppet p;
	uint8_t data[100] = {1}, got[100] = {0};
	struct genie_bulk_frame head = {.len = sizeof(data), .ticket = 1};
	uint64_t ref;

	puppet_start(&p);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	genie_chan_bulk_cancel(p.chan, ref);
	head.slot = (uint32_t)ref;
	send_bytes(p.bulk_fd, &head, sizeof(head));
	send_bytes(p.bulk_fd, data, sizeof(data));
	cr_assert(dies_within_a_second(p.chan));
	cr_assert_eq(got[0], 0);
	puppet_end(&p);
}

Test(tcp, a_flood_of_held_progress_does_not_stop_bulk, .timeout = 20)
{
	struct puppet p;
	static uint8_t data[100], got[100];
	struct genie_bulk_frame head = {.len = sizeof(data), .ticket = 1};
	uint64_t ref;

	puppet_start(&p);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	head.slot = (uint32_t)ref;
	for (uint32_t i = 0; i < 20000; i++)
		send_progress(&p, i, i + 1, sizeof(data));
	usleep(20000);
	cr_assert_eq(genie_chan_progress(p.chan, 3), 0);
	send_bytes(p.bulk_fd, &head, sizeof(head));
	send_bytes(p.bulk_fd, data, sizeof(data));
	cr_assert_eq(genie_chan_wait(p.chan, 19999, 20000), 0);
	for (uint32_t i = 0; i < 20000; i++)
		cr_assert_eq(genie_chan_progress(p.chan, i), i + 1);
	puppet_end(&p);
}

/* ---- a byte at a time ---- */

struct dribble {
	int fd;
	const uint8_t *bytes;
	size_t len;
};

static void *
dribble(void *data)
{
	struct dribble *dribble = data;

	for (size_t i = 0; i < dribble->len; i++) {
		send_bytes(dribble->fd, dribble->bytes + i, 1);
		if (i % 8 == 0)
			usleep(200);
	}
	return NULL;
}

Test(tcp, frames_may_come_in_any_pieces, .timeout = 30)
{
	struct puppet p;
	struct {
		struct genie_frame frame;
		struct genie_reply reply;
		uint8_t payload[200];
	} __attribute__((packed)) reply = {
		{sizeof(reply) - sizeof(struct genie_frame), GENIE_FRAME_REPLY, 0},
		{.len = sizeof(reply) - sizeof(struct genie_frame), .status = 5, .ticket = 1},
		{0},
	};
	struct {
		struct genie_bulk_frame head;
		uint8_t data[300];
	} bulk = {{.len = 300, .ticket = 2}, {0}};
	struct dribble replies = {.bytes = (uint8_t *)&reply, .len = sizeof(reply)};
	struct dribble bulks = {.bytes = (uint8_t *)&bulk, .len = sizeof(bulk)};
	uint8_t answer[200], got[300];
	uint64_t ticket, ref;
	pthread_t thread;
	int32_t status;
	size_t len;

	memset(reply.payload, 0x31, sizeof(reply.payload));
	memset(bulk.data, 0x32, sizeof(bulk.data));
	puppet_start(&p);
	replies.fd = p.fd;
	bulks.fd = p.bulk_fd;
	ticket = echo_submit(p.lane, ECHO_NOP, GENIE_CMD_REPLY, NULL, 0);
	pthread_create(&thread, NULL, dribble, &replies);
	cr_assert_eq(genie_lane_wait_reply(p.lane, ticket, &status, answer, sizeof(answer), &len),
		     0);
	pthread_join(thread, NULL);
	cr_assert_eq(status, 5);
	cr_assert_eq(len, 200);
	cr_assert_arr_eq(answer, reply.payload, 200);
	cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	bulk.head.slot = (uint32_t)ref;
	pthread_create(&thread, NULL, dribble, &bulks);
	cr_assert_eq(genie_chan_bulk_wait(p.chan, ref, 2), 0);
	pthread_join(thread, NULL);
	cr_assert_arr_eq(got, bulk.data, 300);
	puppet_end(&p);
}

/* ---- a server that lies ---- */

static void
client_refuses(const void *bytes, size_t len, bool on_bulk, bool expecting)
{
	struct puppet p;
	static uint8_t got[100];
	uint64_t ref;

	puppet_start(&p);
	if (expecting)
		cr_assert_eq(genie_chan_bulk_expect(p.chan, got, sizeof(got), &ref), 0);
	send_bytes(on_bulk ? p.bulk_fd : p.fd, bytes, len);
	cr_assert(dies_within_a_second(p.chan));
	cr_assert_eq(genie_chan_wait(p.chan, 1, 1), -ECONNRESET);
	puppet_end(&p);
}

Test(tcp, a_client_refuses_nonsense, .timeout = 30)
{
	struct {
		struct genie_frame frame;
		uint64_t words[8];
	} lies[] = {
		{{UINT32_MAX, GENIE_FRAME_REPLY, 0}, {0}},
		{{8, GENIE_FRAME_REPLY, 0}, {0}},
		{{16, GENIE_FRAME_REPLY, 0}, {17, 1}}, /* two lengths */
		{{16, GENIE_FRAME_REPLY, 4096}, {16, 1}},
		{{24, GENIE_FRAME_PROGRESS, 0}, {1, GENIE_SLOTS_MAX, 0}},
		{{16, GENIE_FRAME_PROGRESS, 0}, {1, 1, 0}},
		{{8, GENIE_FRAME_ERROR, 0}, {0}},
		{{7, GENIE_FRAME_HOST_FUNC, 0}, {0}},
		{{8, GENIE_FRAME_HOST_DONE, 0}, {0}},
		{{0, 0, 0}, {0}},
		{{0, 999, 0}, {0}},
	};
	struct genie_bulk_frame bulk[] = {
		{.slot = 0, .len = 99},
		{.slot = 1, .len = 100},
		{.slot = GENIE_BULK_DOWN, .len = 100},
		{.slot = UINT32_MAX, .len = UINT32_MAX},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		client_refuses(&lies[i], sizeof(lies[i]), false, false);
	for (unsigned i = 0; i < sizeof(bulk) / sizeof(bulk[0]); i++)
		client_refuses(&bulk[i], sizeof(bulk[i]), true, true);
}

Test(tcp, an_end_on_either_connection_is_noticed, .timeout = 20)
{
	for (int i = 0; i < 2; i++) {
		struct puppet p;

		puppet_start(&p);
		shutdown(i ? p.bulk_fd : p.fd, SHUT_RDWR);
		cr_assert_eq(genie_chan_wait(p.chan, 1, 1), -ECONNRESET);
		puppet_end(&p);
	}
}

/* A server that reads nothing: submitting waits when everything is full, and ends when it dies. */
static void *
fill(void *data)
{
	struct puppet *puppet = data;
	static const uint8_t payload[32768];

	while (echo_submit(puppet->lane, ECHO_NOP, 0, payload, sizeof(payload)))
		;
	return NULL;
}

Test(tcp, a_server_that_reads_nothing_holds_the_client_up, .timeout = 30)
{
	struct puppet p;
	pthread_t thread;
	uint64_t before, after;

	puppet_start(&p);
	pthread_create(&thread, NULL, fill, &p);
	usleep(500000);
	before = genie_chan_last_ticket(p.chan);
	usleep(100000);
	after = genie_chan_last_ticket(p.chan);
	cr_assert_eq(before, after);
	close(p.fd);
	close(p.bulk_fd);
	pthread_join(thread, NULL);
	genie_chan_close(p.chan);
	genie_listener_close(&p.listener);
}

/* ---- a client that lies ---- */

struct liar {
	struct echo echo;
	int fd, bulk_fd;
};

static int
liar_hello(struct liar *liar, enum genie_hello_kind kind, const uint8_t join_id[16])
{
	struct genie_chan_opts opts = {.api_hash = ECHO_API_HASH};
	struct genie_hello_request request = {.opts = &opts, .kind = kind, .join_id = join_id};
	struct genie_device_info *devices = NULL;
	struct genie_address address;
	struct genie_welcome welcome;
	char err[256];
	int fd;

	cr_assert_eq(genie_address_parse(liar->echo.server, false, &address, err, sizeof(err)), 0);
	cr_assert_eq(genie_address_connect(&address, 1000, &fd, err, sizeof(err)), 0, "%s", err);
	cr_assert_eq(genie_hello_exchange(fd, &request, 2000, &welcome,
					  kind == GENIE_HELLO_BULK ? NULL : &devices, NULL, 0, err,
					  sizeof(err)),
		     0, "%s", err);
	free(devices);
	return fd;
}

static struct liar
liar_connect(void)
{
	static const uint8_t join_id[16] = {42};
	struct liar liar;

	echo_start("tcp", NULL, &liar.echo);
	liar.fd = liar_hello(&liar, GENIE_HELLO_SESSION, NULL);
	liar.bulk_fd = liar_hello(&liar, GENIE_HELLO_BULK, join_id);
	return liar;
}

static void
liar_is_caught(struct liar *liar)
{
	int status = echo_wait(&liar->echo);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status 0x%x", status);
	close(liar->fd);
	close(liar->bulk_fd);
}

Test(tcp, a_worker_refuses_bad_commands, .timeout = 30)
{
	static const struct genie_cmd lies[] = {
		{.len = 0, .ticket = 1},
		{.len = 16, .ticket = 1},
		{.len = 25, .ticket = 1},
		{.len = UINT32_MAX, .ticket = 1},
		{.len = GENIE_CMD_MAX + 8, .ticket = 1},
		{.len = 24, .ticket = 0},
		{.len = 24, .ticket = 2},
		{.len = 24, .ticket = 1, .lane = 4096},
		{.len = 24, .ticket = 0, .flags = 0x4000}, /* a message of version 1 */
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct liar liar = liar_connect();
		uint8_t bytes[64] = {0};

		memcpy(bytes, &lies[i], sizeof(lies[i]));
		send_bytes(liar.fd, bytes, sizeof(bytes));
		liar_is_caught(&liar);
	}
}

Test(tcp, a_worker_refuses_bad_bulk, .timeout = 30)
{
	static const struct genie_bulk_frame lies[] = {
		{.slot = GENIE_BULK_UP, .len = 8},
		{.slot = 0, .len = GENIE_BULK_CHUNK + 1},
		{.slot = GENIE_BULK_HOST_DONE, .len = 0, .ticket = 7}, /* nobody asked */
		{.slot = GENIE_BULK_HOST_DONE, .len = 8},
	};
	struct liar liar;

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		liar = liar_connect();
		send_bytes(liar.bulk_fd, &lies[i], sizeof(lies[i]));
		liar_is_caught(&liar);
	}
	/* The same slot twice, before a command used it. */
	liar = liar_connect();
	for (unsigned i = 0; i < 2; i++) {
		struct {
			struct genie_bulk_frame head;
			uint64_t data;
		} both = {{.slot = 3, .len = 8}, 0};

		send_bytes(liar.bulk_fd, &both, sizeof(both));
	}
	liar_is_caught(&liar);
}

Test(tcp, every_beginning_of_a_command_may_be_the_end, .timeout = 60)
{
	struct genie_cmd cmd = {.len = 24, .ticket = 1};

	for (size_t len = 0; len < sizeof(cmd); len += 3) {
		struct liar liar = liar_connect();
		int status;

		send_bytes(liar.fd, &cmd, len);
		close(liar.fd);
		close(liar.bulk_fd);
		status = echo_wait(&liar.echo);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
	}
}

Test(tcp, commands_may_come_in_any_pieces, .timeout = 30)
{
	struct {
		struct genie_cmd cmd;
		uint64_t payload[2];
	} command = {{.len = sizeof(command), .ticket = 1, .op = ECHO_REPLY, .flags = 1}, {5, 6}};
	struct {
		struct genie_frame frame;
		struct genie_reply reply;
		uint64_t payload[2];
	} answer;
	struct liar liar = liar_connect();
	struct dribble commands = {liar.fd, (uint8_t *)&command, sizeof(command)};

	for (uint64_t i = 1; i < 20; i++) {
		command.cmd.ticket = i;
		dribble(&commands);
		cr_assert_eq(
			genie_net_read(liar.fd, &answer, sizeof(answer), genie_net_deadline(2000)),
			0);
		cr_assert_eq(answer.reply.ticket, i);
		cr_assert_eq(answer.payload[1], 6);
	}
	close(liar.fd);
	close(liar.bulk_fd);
	cr_assert_eq(echo_wait(&liar.echo), 0);
}
