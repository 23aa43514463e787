/*
 * What the transports cost, beside the same thing done by hand without them, in one run:
 *
 *   bench-transport [ROUNDS]
 *
 * Ours and the baseline take turns, round by round, because a shared machine changes under us; each
 * figure is the median of the rounds. The worker is the one of the unit tests: it answers and
 * computes nothing. Traffic stays on this machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/echo.h"

#define MESSAGE    64
#define ROUNDS_MAX 101
#define CALLS      2000         /* round trips a round */
#define SUBMITS    4000         /* commands a round: fewer than fit a ring */
#define BULK       (128u << 20) /* bytes a round */

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
fail(const char *what)
{
	fprintf(stderr, "bench-transport: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- figures ---- */

struct figure {
	const char *what, *unit;
	double ours[ROUNDS_MAX], raw[ROUNDS_MAX];
	unsigned count;
};

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void
add(struct figure *figure, double ours, double raw)
{
	figure->ours[figure->count] = ours;
	figure->raw[figure->count] = raw;
	figure->count++;
}

static void
print(struct figure *figure, const char *goal)
{
	double ours = median(figure->ours, figure->count);
	double raw = median(figure->raw, figure->count);

	if (raw > 0)
		printf("%-34s %9.2f %9.2f %-5s %6.2f  %s\n", figure->what, ours, raw, figure->unit,
		       ours / raw, goal);
	else
		printf("%-34s %9.2f %9s %-5s %6s  %s\n", figure->what, ours, "", figure->unit, "",
		       goal);
	fflush(stdout);
}

/* ---- baselines ---- */

static void *
shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap");
	return memory;
}

/* Two cache lines and two processes that spin. */
struct raw_lines {
	_Alignas(128) _Atomic uint64_t ask;
	_Alignas(128) _Atomic uint64_t answer;
};

struct raw_shm {
	struct raw_lines *lines;
	pid_t pid;
};

static void
wait_for(_Atomic uint64_t *word, uint64_t value)
{
	unsigned spins = 0;

	while (atomic_load_explicit(word, memory_order_acquire) != value) {
		__builtin_ia32_pause();
		if (++spins % 4096 == 0)
			usleep(0);
	}
}

static struct raw_shm
raw_shm_start(void)
{
	struct raw_shm raw = {.lines = shared_memory(sizeof(*raw.lines))};

	raw.pid = fork();
	if (!raw.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint64_t i = 1;; i++) {
			wait_for(&raw.lines->ask, i);
			atomic_store_explicit(&raw.lines->answer, i, memory_order_release);
		}
	}
	kill(raw.pid, SIGSTOP);
	return raw;
}

static double
raw_shm_call_us(const struct raw_shm *raw)
{
	struct raw_lines *lines = raw->lines;
	uint64_t base = atomic_load(&lines->ask);
	double start, end;

	kill(raw->pid, SIGCONT);
	atomic_store_explicit(&lines->ask, ++base, memory_order_release);
	wait_for(&lines->answer, base);
	start = now_ns();
	for (uint64_t i = 1; i <= CALLS; i++) {
		atomic_store_explicit(&lines->ask, base + i, memory_order_release);
		wait_for(&lines->answer, base + i);
	}
	end = now_ns();
	kill(raw->pid, SIGSTOP); /* it would take a processor from what is measured next */
	return (end - start) / CALLS / 1e3;
}

/* A TCP connection to a child that does as it is told by the first byte of a message. */
struct raw_tcp {
	int fd;
	pid_t pid;
	uint8_t *memory;
};

static void
move(int fd, void *memory, size_t len, bool out, bool poll)
{
	uint8_t *at = memory;
	ssize_t n;

	while (len) {
		if (out)
			n = send(fd, at, len, MSG_NOSIGNAL);
		else
			n = recv(fd, at, len, poll ? MSG_DONTWAIT : 0);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			exit(0); /* the other side is done */
		at += n;
		len -= (size_t)n;
	}
}

/* In pieces of a staging slot, over a range of the size of all slots. */
static void
stream(int fd, uint8_t *memory, bool out)
{
	for (size_t done = 0; done < BULK; done += GENIE_BULK_CHUNK)
		move(fd, memory + done % (GENIE_BULK_UP * GENIE_BULK_CHUNK), GENIE_BULK_CHUNK, out,
		     false);
}

static void
raw_tcp_serve(int fd, uint8_t *memory)
{
	uint8_t message[MESSAGE] = {'p'};

	for (;;) {
		move(fd, message, sizeof(message), false, message[0] == 'p');
		if (message[0] == 'u')
			stream(fd, memory, false);
		if (message[0] == 'd')
			stream(fd, memory, true);
		else
			move(fd, message, sizeof(message), true, false);
	}
}

static struct raw_tcp
raw_tcp_start(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct raw_tcp raw = {.memory = shared_memory(BULK)};
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	memset(raw.memory, 1, BULK);
	if (bind(listener, (struct sockaddr *)&sa, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0)
		fail("listen");
	raw.pid = fork();
	if (!raw.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raw.fd = accept(listener, NULL, NULL);
		setsockopt(raw.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		raw_tcp_serve(raw.fd, raw.memory);
	}
	raw.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(raw.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fail("connect");
	setsockopt(raw.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
	return raw;
}

/* @what: 'p' both sides poll, 'b' both sides block. */
static double
raw_tcp_call_us(struct raw_tcp *raw, char what)
{
	uint8_t message[MESSAGE] = {(uint8_t)what};
	double start = now_ns();

	for (unsigned i = 0; i < CALLS; i++) {
		move(raw->fd, message, sizeof(message), true, false);
		move(raw->fd, message, sizeof(message), false, what == 'p');
	}
	return (now_ns() - start) / CALLS / 1e3;
}

static double
raw_tcp_gbs(struct raw_tcp *raw, char what)
{
	uint8_t message[MESSAGE] = {(uint8_t)what};
	double start = now_ns();

	move(raw->fd, message, sizeof(message), true, false);
	stream(raw->fd, raw->memory, what == 'u');
	if (what == 'u')
		move(raw->fd, message, sizeof(message), false, false);
	return BULK / (now_ns() - start);
}

static double
raw_memcpy_gbs(uint8_t *program, uint8_t *staging)
{
	double start = now_ns();

	for (size_t done = 0; done < BULK; done += GENIE_BULK_CHUNK)
		memcpy(staging + done % (GENIE_BULK_UP * GENIE_BULK_CHUNK), program + done,
		       GENIE_BULK_CHUNK);
	return BULK / (now_ns() - start);
}

/* ---- ours ---- */

struct session {
	struct echo echo;
	struct genie_chan *chan;
	struct genie_lane *lane;
};

static struct session
session_start(const char *kind)
{
	struct session session;
	char err[256];

	echo_start(kind, NULL, &session.echo);
	session.chan = echo_connect(&session.echo, NULL, err, sizeof(err));
	if (!session.chan) {
		fprintf(stderr, "bench-transport: %s\n", err);
		exit(1);
	}
	session.lane = genie_lane_get(session.chan);
	return session;
}

static void
session_end(struct session *session)
{
	if (genie_chan_dead(session->chan)) {
		fprintf(stderr, "bench-transport: the session was lost, no figures\n");
		exit(1);
	}
	genie_lane_put(session->lane);
	genie_chan_close(session->chan);
	echo_wait(&session->echo);
}

/* Everything up to here is done. */
static void
settle(struct session *session)
{
	struct echo_mark mark = {.slot = 1};
	uint64_t ticket =
		echo_submit(session->lane, ECHO_MARK, GENIE_CMD_WAIT, &mark, sizeof(mark));

	if (genie_chan_wait(session->chan, 1, ticket) < 0) {
		fprintf(stderr, "bench-transport: the session was lost\n");
		exit(1);
	}
}

static double
submit_ns(struct session *session)
{
	uint8_t payload[MESSAGE - sizeof(struct genie_cmd)] = {0};
	double start;

	settle(session);
	start = now_ns();
	for (unsigned i = 0; i < SUBMITS; i++)
		echo_submit(session->lane, ECHO_NOP, 0, payload, sizeof(payload));
	return (now_ns() - start) / SUBMITS;
}

static double
call_us(struct session *session)
{
	uint8_t payload[MESSAGE - sizeof(struct genie_cmd)] = {0};
	double start = now_ns();
	size_t len;

	for (unsigned i = 0; i < CALLS; i++)
		echo_call(session->lane, ECHO_REPLY, payload, sizeof(payload), payload,
			  sizeof(payload), &len);
	return (now_ns() - start) / CALLS / 1e3;
}

static double
wait_us(struct session *session)
{
	double start = now_ns();

	for (unsigned i = 0; i < CALLS; i++)
		settle(session);
	return (now_ns() - start) / CALLS / 1e3;
}

static double
up_gbs(struct session *session, const uint8_t *program)
{
	double start = now_ns();

	echo_take(session->chan, session->lane, program, BULK);
	settle(session);
	return BULK / (now_ns() - start);
}

static double
down_gbs(struct session *session, uint8_t *program)
{
	double start = now_ns();

	echo_give(session->chan, session->lane, program, BULK);
	return BULK / (now_ns() - start);
}

/* ---- the table ---- */

static void
bench_shm(unsigned rounds)
{
	static struct figure submit = {.what = "shm: submit a command", .unit = "ns"};
	static struct figure call = {.what = "shm: call (raw: ping-pong)", .unit = "us"};
	static struct figure wait = {.what = "shm: mark and wait", .unit = "us"};
	static struct figure up = {.what = "shm: copy up (raw: memcpy)", .unit = "GB/s"};
	static struct figure down = {.what = "shm: copy down (raw: memcpy)", .unit = "GB/s"};
	struct raw_shm raw = raw_shm_start();
	struct session session = session_start("shm");
	uint8_t *program = shared_memory(BULK);
	uint8_t *staging = shared_memory(GENIE_BULK_UP * GENIE_BULK_CHUNK);

	memset(program, 1, BULK);
	call_us(&session);
	up_gbs(&session, program); /* touches the pages */
	down_gbs(&session, program);
	raw_memcpy_gbs(program, staging);
	for (unsigned i = 0; i < rounds; i++) {
		double ping_pong = raw_shm_call_us(&raw);

		add(&submit, submit_ns(&session), 0);
		add(&call, call_us(&session), ping_pong);
		add(&wait, wait_us(&session), ping_pong);
		add(&up, up_gbs(&session, program), raw_memcpy_gbs(program, staging));
		add(&down, down_gbs(&session, program), raw_memcpy_gbs(program, staging));
	}
	kill(raw.pid, SIGKILL);
	waitpid(raw.pid, NULL, 0);
	session_end(&session);
	print(&submit, "at most 60 ns");
	print(&call, "at most raw + 2 us");
	print(&wait, "at most raw + 2 us");
	print(&up, "at least 0.90");
	print(&down, "at least 0.90");
}

static void
bench_tcp(unsigned rounds)
{
	static struct figure submit = {.what = "tcp: submit a command", .unit = "ns"};
	static struct figure call = {.what = "tcp: call (raw: polling)", .unit = "us"};
	static struct figure block = {.what = "tcp: call (raw: blocking)", .unit = "us"};
	static struct figure wait = {.what = "tcp: mark and wait (raw: polling)", .unit = "us"};
	static struct figure up = {.what = "tcp: copy up (raw: stream)", .unit = "GB/s"};
	static struct figure down = {.what = "tcp: copy down (raw: stream)", .unit = "GB/s"};
	struct raw_tcp raw = raw_tcp_start();
	struct session session = session_start("tcp");
	uint8_t *program = shared_memory(BULK);

	memset(program, 1, BULK);
	call_us(&session);
	up_gbs(&session, program);
	down_gbs(&session, program);
	for (unsigned i = 0; i < rounds; i++) {
		double ours, polling;

		add(&submit, submit_ns(&session), 0);
		settle(&session);
		add(&up, up_gbs(&session, program), raw_tcp_gbs(&raw, 'u'));
		add(&down, down_gbs(&session, program), raw_tcp_gbs(&raw, 'd'));
		/* The child blocks from here until it has been asked to poll. */
		ours = call_us(&session);
		add(&block, ours, raw_tcp_call_us(&raw, 'b'));
		polling = raw_tcp_call_us(&raw, 'p');
		raw_tcp_call_us(&raw, 'b');
		add(&call, call_us(&session), polling);
		add(&wait, wait_us(&session), polling);
	}
	kill(raw.pid, SIGKILL);
	waitpid(raw.pid, NULL, 0);
	session_end(&session);
	print(&submit, "");
	print(&call, "at most 1.15");
	print(&block, "at most 1.15");
	print(&wait, "at most 1.15");
	print(&up, "at least 0.90");
	print(&down, "at least 0.90");
}

int
main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 21;

	if (!rounds || rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	printf("%ld processors, %u rounds, medians\n", sysconf(_SC_NPROCESSORS_ONLN), rounds);
	printf("%-34s %9s %9s %-5s %6s  %s\n", "", "genie", "raw", "", "ratio", "goal");
	bench_shm(rounds);
	bench_tcp(rounds);
	return 0;
}
