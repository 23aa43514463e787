/* Shared memory with a client that does not behave: the worker ends its session, and only that. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"
#include "transport/address.h"
#include "transport/area.h"
#include "transport/chan_impl.h"
#include "transport/drain.h"
#include "transport/frame.h"
#include "transport/hello.h"
#include "transport/net.h"

#define WINDOW_SIZE (UINT64_C(1) << 30)

/* A client made by hand: no chan.h, so it may do anything. */
struct liar {
	struct echo echo;
	int fd, fds[3];
	struct genie_area *area;
};

static struct liar
liar_connect(void)
{
	struct genie_chan_opts opts = {.api_hash = ECHO_API_HASH};
	struct genie_window window = {0};
	struct genie_hello_request request = {
		.opts = &opts, .kind = GENIE_HELLO_SESSION, .device = &window, .pinned = &window};
	struct genie_device_info *devices;
	struct genie_address address;
	struct genie_welcome welcome;
	struct liar liar;
	char err[256];

	echo_start("shm", NULL, &liar.echo);
	genie_window_reserve(GENIE_PINNED_WINDOW_BASE, WINDOW_SIZE, 0, &window);
	cr_assert_eq(genie_address_parse(liar.echo.server, false, &address, err, sizeof(err)), 0);
	cr_assert_eq(genie_address_connect(&address, 1000, &liar.fd, err, sizeof(err)), 0, "%s",
		     err);
	cr_assert_eq(genie_hello_exchange(liar.fd, &request, 2000, &welcome, &devices, liar.fds, 3,
					  err, sizeof(err)),
		     0, "%s", err);
	free(devices);
	liar.area =
		mmap(NULL, sizeof(*liar.area), PROT_READ | PROT_WRITE, MAP_SHARED, liar.fds[0], 0);
	cr_assert_neq(liar.area, MAP_FAILED);
	return liar;
}

static void
liar_submit(struct liar *liar, uint64_t at, struct genie_cmd cmd, uint64_t tail)
{
	memcpy(liar->area->ring_data[0] + at, &cmd, sizeof(cmd));
	atomic_store(&liar->area->ring_count, 1);
	atomic_store(&liar->area->rings[0].tail, tail);
	genie_bell_wake(&liar->area->work);
}

/* The worker must have ended its session for breaking the protocol (3), not crashed. */
static void
liar_is_caught(struct liar *liar)
{
	int status = echo_wait(&liar->echo);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status 0x%x", status);
}

Test(shm, bad_commands_end_the_session, .timeout = 30)
{
	static const struct {
		struct genie_cmd cmd;
		uint64_t tail;
	} lies[] = {
		{{.len = 0, .ticket = 1}, 24},
		{{.len = 20, .ticket = 1}, 24},
		{{.len = 1 << 20, .ticket = 1}, 1 << 19},
		{{.len = 24, .ticket = 1}, UINT64_MAX},
		{{.len = 24, .ticket = 0}, 24},
		{{.len = 24, .ticket = 1, .lane = 1 << 20}, 24},
		{{.len = 24, .ticket = 1, .op = 999}, 24}, /* refused by the worker itself */
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct liar liar = liar_connect();

		liar_submit(&liar, 0, lies[i].cmd, lies[i].tail);
		liar_is_caught(&liar);
	}
}

Test(shm, a_used_ticket_ends_the_session, .timeout = 20)
{
	struct liar liar = liar_connect();

	liar_submit(&liar, 0, (struct genie_cmd){.len = 24, .ticket = 1}, 24);
	liar_submit(&liar, 24, (struct genie_cmd){.len = 24, .ticket = 1}, 48);
	liar_is_caught(&liar);
}

Test(shm, bad_refs_end_the_session, .timeout = 20)
{
	static const struct echo_bulk lies[] = {
		{.ref = GENIE_BULK_UP, .len = 8},
		{.ref = UINT64_MAX, .len = 8},
		{.ref = 0, .len = GENIE_BULK_CHUNK + 1},
	};

	for (unsigned i = 0; i < 6; i++) {
		struct liar liar = liar_connect();
		struct {
			struct genie_cmd cmd;
			struct echo_bulk bulk;
		} both = {{.len = sizeof(both), .ticket = 1, .op = i % 2 ? ECHO_UP : ECHO_DOWN},
			  lies[i / 2]};

		memcpy(liar.area->ring_data[0], &both, sizeof(both));
		liar_submit(&liar, 0, both.cmd, sizeof(both));
		liar_is_caught(&liar);
	}
}

Test(shm, nonsense_on_the_socket_ends_the_session, .timeout = 20)
{
	static const struct genie_frame lies[] = {
		{.len = UINT32_MAX, .type = GENIE_FRAME_HOST_DONE},
		{.len = 8, .type = 999},
		{.len = 8, .type = GENIE_FRAME_HOST_DONE}, /* of nothing that was asked */
		{.len = 9, .type = GENIE_FRAME_BYE},
	};
	uint64_t zeros[4] = {0};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct liar liar = liar_connect();

		cr_assert_eq(write(liar.fd, &lies[i], sizeof(lies[i])), sizeof(lies[i]));
		cr_assert_eq(write(liar.fd, zeros, sizeof(zeros)), sizeof(zeros));
		liar_is_caught(&liar);
	}
}

Test(shm, the_memory_is_sealed, .timeout = 20)
{
	struct liar liar = liar_connect();
	struct genie_cmd cmd = {.len = 24, .ticket = 1, .op = 999};

	for (unsigned i = 0; i < 3; i++) {
		cr_assert_lt(ftruncate(liar.fds[i], 0), 0);
		cr_assert_lt(ftruncate(liar.fds[i], (off_t)1 << 45), 0);
		cr_assert_lt(fcntl(liar.fds[i], F_ADD_SEALS, F_SEAL_WRITE), 0);
		/* Holes are allowed: they read as zeros and fault nobody. */
		cr_assert_eq(fallocate(liar.fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				       1 << 20),
			     0);
	}
	liar_submit(&liar, 0, cmd, 24);
	liar_is_caught(&liar);
}

/* ---- contents that change while the worker reads them ---- */

struct flipper {
	struct liar *liar;
	_Atomic bool stop;
};

/* The race is what this test is about. */
__attribute__((no_sanitize("thread"))) static void *
flip(void *data)
{
	struct flipper *flipper = data;
	uint8_t *ring = flipper->liar->area->ring_data[0];
	unsigned seed = 7;

	while (!atomic_load(&flipper->stop)) {
		uint64_t near = atomic_load(&flipper->liar->area->rings[0].head);
		volatile uint32_t *word =
			(volatile uint32_t *)(ring + (near + (uint64_t)(rand_r(&seed) % 256) * 4) %
							     GENIE_LANE_RING);
		uint32_t old = *word;

		*word = (uint32_t)rand_r(&seed);
		*word = old;
	}
	return NULL;
}

static bool
ended(const struct liar *liar)
{
	siginfo_t info = {0};

	waitid(P_PID, (id_t)liar->echo.pid, &info, WEXITED | WNOHANG | WNOWAIT);
	return info.si_pid != 0;
}

Test(shm, changing_contents_harm_nobody_else, .timeout = 60)
{
	for (unsigned round = 0; round < 5; round++) {
		struct liar liar = liar_connect();
		struct flipper flipper = {.liar = &liar};
		pthread_t thread;
		int status;

		pthread_create(&thread, NULL, flip, &flipper);
		for (uint64_t i = 0; i < 3000; i++) {
			while (i * 32 - atomic_load(&liar.area->rings[0].head) > 2048 &&
			       !ended(&liar))
				;
			liar_submit(&liar, i * 32 % GENIE_LANE_RING,
				    (struct genie_cmd){.len = 32, .ticket = i + 1, .op = ECHO_NOP},
				    (i + 1) * 32);
		}
		close(liar.fd);
		/* Whether it was caught depends on timing; that nothing crashed is what counts. */
		status = echo_wait(&liar.echo);
		cr_assert(WIFEXITED(status), "status 0x%x", status);
		atomic_store(&flipper.stop, true);
		pthread_join(thread, NULL);
	}
}

Test(shm, a_silent_end_stops_the_worker, .timeout = 20)
{
	struct liar liar = liar_connect();
	int status;

	close(liar.fd);
	status = echo_wait(&liar.echo);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}

/* A server that hands over what @make makes, by number of the descriptor; then it is gone. */
static void
memory_is_refused(int (*make)(unsigned which, uint64_t size))
{
	struct genie_listener listener;
	char dir[] = "/tmp/genie-test-XXXXXX", spec[64], err[256];
	pid_t server;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(spec, sizeof(spec), "shm:%s/s", dir);
	cr_assert_eq(genie_listener_open(spec, false, &listener, err, sizeof(err)), 0);
	server = fork();
	if (!server) {
		struct genie_welcome welcome = {
			.magic = GENIE_WIRE_MAGIC,
			.version = GENIE_WIRE_VERSION,
			.struct_sizes = genie_hello_struct_sizes(),
			.api_hash = ECHO_API_HASH,
		};
		struct genie_hello hello;
		int fds[3], fd = -1;

		while (fd < 0)
			fd = accept(listener.fd, NULL, NULL);
		genie_port_greet(fd, NULL, ECHO_API_HASH, 1000, &hello, err, sizeof(err));
		welcome.pinned_window = hello.pinned_window;
		welcome.pinned_window_size = hello.pinned_window_size;
		fds[0] = make(0, sizeof(struct genie_area));
		fds[1] = make(1, GENIE_STAGING_SIZE);
		fds[2] = make(2, welcome.pinned_window_size);
		genie_net_write_fds(fd, &welcome, sizeof(welcome), fds, 3,
				    genie_net_deadline(1000));
		_exit(0);
	}
	struct genie_chan_opts opts = {
		.server = spec, .kind = GENIE_HELLO_SESSION, .api_hash = ECHO_API_HASH};
	struct genie_chan *chan = NULL;
	unsigned fds = echo_count_fds();

	cr_assert_eq(genie_chan_connect(&opts, &chan, err, sizeof(err)), -EPROTO);
	cr_assert_not_null(strstr(err, "share memory"), "%s", err);
	cr_assert_eq(echo_count_fds(), fds);
	waitpid(server, NULL, 0);
	genie_listener_close(&listener);
	rmdir(dir);
}

static int
memory_of(uint64_t size, int seals)
{
	int fd = memfd_create("odd", MFD_ALLOW_SEALING);

	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		_exit(1);
	return fd;
}

static int
make_small(unsigned which, uint64_t size)
{
	(void)which;
	(void)size;
	return memfd_create("small", 0);
}

static int
make_small_window(unsigned which, uint64_t size)
{
	return memory_of(which == 2 ? 4096 : size, F_SEAL_SHRINK | F_SEAL_GROW);
}

static int
make_loose(unsigned which, uint64_t size)
{
	return memory_of(size, which == 1 ? F_SEAL_GROW : F_SEAL_SHRINK | F_SEAL_GROW);
}

static int
make_loose_window(unsigned which, uint64_t size)
{
	return memory_of(size, which == 2 ? 0 : F_SEAL_SHRINK | F_SEAL_GROW);
}

static int
make_file(unsigned which, uint64_t size)
{
	char path[] = "/tmp/genie-test-XXXXXX";
	int fd;

	if (which != 0)
		return memory_of(size, F_SEAL_SHRINK);
	fd = mkstemp(path);
	unlink(path);
	if (ftruncate(fd, (off_t)size) < 0)
		_exit(1);
	return fd;
}

Test(shm, memory_that_is_too_small_is_refused_by_the_client, .timeout = 20)
{
	memory_is_refused(make_small);
	memory_is_refused(make_small_window);
}

/* The server could cut it later, and the next access would end the program. */
Test(shm, memory_that_can_shrink_is_refused_by_the_client, .timeout = 20)
{
	memory_is_refused(make_loose);
	memory_is_refused(make_loose_window);
	memory_is_refused(make_file);
}
