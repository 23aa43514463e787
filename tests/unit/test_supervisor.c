/*
 * remote/supervisor.c, pool.c, worker.c: the server as a whole, with the record device. GENIED
 * names the program. Clients here are good ones, slow ones, ones that talk nonsense, and dead ones.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/token.h"
#include "genie_args.h"
#include "genie_ops.h"
#include "transport/chan.h"
#include "wire/codec.h"

static char dir[] = "/tmp/genie-test-XXXXXX";
static pid_t server;
static char shm[128]; /* shm:PATH */
static char tcp[128]; /* tcp://127.0.0.1:PORT */
static char log_path[128];

/* ---- the server ---- */

static const char *
genied(void)
{
	const char *path = getenv("GENIED");

	if (!path) {
		fprintf(stderr, "GENIED is not set\n");
		exit(77);
	}
	return path;
}

/* Starts genied with up to four more arguments; output goes to a file. */
static pid_t
spawn(int ready, const char *const *more)
{
	char fd[16];
	const char *args[24] = {genied(), "--device", "record",           "--listen",
				shm,      "--listen", "tcp://127.0.0.1:0"};
	int n = 7;
	pid_t pid;
	int out;

	snprintf(fd, sizeof(fd), "%d", ready);
	if (ready >= 0) {
		args[n++] = "--ready-fd";
		args[n++] = fd;
	}
	while (more && *more)
		args[n++] = *more++;
	args[n] = NULL;
	pid = fork();
	if (pid == 0) {
		out = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(out, 1);
		dup2(out, 2);
		execv(args[0], (char **)args);
		_exit(126);
	}
	return pid;
}

static void
start(const char *const *more)
{
	char text[512] = "";
	size_t len = 0;
	ssize_t n;
	int ready[2];
	char *line;

	cr_assert_eq(pipe(ready), 0);
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	server = spawn(ready[1], more);
	close(ready[1]);
	while (len < sizeof(text) - 1 &&
	       (n = read(ready[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(ready[0]);
	line = strstr(text, "tcp://");
	cr_assert_not_null(line, "the server did not start: '%s'", text);
	line[strcspn(line, "\n")] = '\0';
	snprintf(tcp, sizeof(tcp), "%s", line);
}

/* Its exit status, or 1000 + the signal that ended it; bounded. */
static int
wait_for(pid_t pid)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	int status = 0;

	for (int i = 0; i < 2000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		nanosleep(&moment, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void
init(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(shm, sizeof(shm), "shm:%s/s", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	unsetenv("GENIE_TOKEN");
	setenv("GENIE_CACHE_DIR", "", 1);
	genie_log_level = GENIE_LOG_ERROR;
}

static void
fini(void)
{
	char command[128];

	if (server > 0) {
		kill(server, SIGTERM);
		cr_assert_eq(wait_for(server), 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(supervisor, .init = init, .fini = fini, .timeout = 60);

/* ---- clients ---- */

static int
connect_to(const char *where, const char *token, struct genie_chan **ret_chan)
{
	const struct genie_chan_opts opts = {.server = where,
					     .token = token,
					     .kind = GENIE_HELLO_SESSION,
					     .api_hash = GENIE_API_HASH,
					     .timeout_ms = 5000};
	char err[256] = "";
	int error = genie_chan_connect(&opts, ret_chan, err, sizeof(err));

	if (error)
		fprintf(stderr, "%s: %s\n", where, err);
	return error;
}

/* One question and its answer: the worker is alive. */
static bool
alive(struct genie_chan *chan)
{
	struct genie_lane *lane = genie_lane_get(chan);
	int32_t status = -1;
	size_t len = 0;
	uint64_t ticket;
	void *cmd;
	int error = -1;

	if (!lane)
		return false;
	cmd = genie_lane_begin(lane, sizeof(struct genie_cmd));
	if (cmd) {
		ticket = genie_lane_commit(lane, cmd, GENIE_OP_genieNop, GENIE_CMD_REPLY, 0,
					   sizeof(struct genie_cmd));
		error = genie_lane_wait_reply(lane, ticket, &status, NULL, 0, &len);
	}
	genie_lane_put(lane);
	return !error && status == 0;
}

static bool
serves(const char *where)
{
	struct genie_chan *chan = NULL;
	bool good;

	if (connect_to(where, NULL, &chan))
		return false;
	good = alive(chan);
	genie_chan_close(chan);
	return good;
}

static int
raw_connect(const char *where)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	if (!strncmp(where, "shm:", 4)) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", where + 4);
		cr_assert_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		return fd;
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	in.sin_port = htons((uint16_t)atoi(strrchr(where, ':') + 1));
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

/* The state letter of a process and its parent; false when there is no such process. */
static bool
process_state(pid_t pid, char *ret_state, int *ret_parent)
{
	char path[64];
	FILE *file;
	bool read;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	read = fscanf(file, "%*d (%*[^)]) %c %d", ret_state, ret_parent) == 2;
	fclose(file);
	return read;
}

/* Children of @pid that are not zombies; their ids in @ret_pids. */
static int
children(pid_t pid, pid_t *ret_pids, int max)
{
	DIR *stream = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(stream))) {
		int child = atoi(entry->d_name);
		char state = 0;
		int parent = 0;

		if (child > 0 && process_state(child, &state, &parent) && parent == pid &&
		    state != 'Z' && count < max)
			ret_pids[count++] = child;
	}
	closedir(stream);
	return count;
}

/* Whether the process ends (perhaps nobody reaps it) within a second. */
static bool
ends(pid_t pid)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	char state = 0;
	int parent;

	for (int i = 0; i < 200; i++) {
		if (!process_state(pid, &state, &parent) || state == 'Z')
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static bool
children_become(pid_t pid, int count)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	pid_t pids[64];

	for (int i = 0; i < 1000; i++) {
		if (children(pid, pids, 64) == count)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static bool
dies_within_a_second(struct genie_chan *chan)
{
	const struct timespec moment = {.tv_nsec = 5000000};

	for (int i = 0; i < 200; i++) {
		if (genie_chan_dead(chan))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

/* ---- options ---- */

static int
run(const char *const *args)
{
	pid_t pid = fork();
	int out;

	if (pid == 0) {
		out = open("/dev/null", O_WRONLY);
		dup2(out, 1);
		dup2(out, 2);
		execv(genied(), (char **)args);
		_exit(126);
	}
	return wait_for(pid);
}

Test(supervisor, options)
{
	char open_token[128];
	char empty_token[128];
	const char *good[][3] = {{"genied", "--help"}, {"genied", "--version"}};
	const char *bad[][6] = {
		{"genied", "--no-such-option"},
		{"genied", "extra"},
		{"genied", "--device", "tpu"},
		{"genied", "--max-clients", "0"},
		{"genied", "--max-clients", "many"},
		{"genied", "--warm", "-1"},
		{"genied", "--ready-fd", "77"},
		{"genied", "--token-file", "/nonexistent"},
		{"genied", "--token-file", "/dev/null"},
		{"genied", "--token-file", open_token},
		{"genied", "--token-file", empty_token},
		{"genied", "--device", "record", "--listen", "carrier-pigeon:3"},
		{"genied", "--device", "record", "--listen", "tcp://0.0.0.0:0"}, /* no token */
	};
	int fd;

	snprintf(open_token, sizeof(open_token), "%s/open", dir);
	snprintf(empty_token, sizeof(empty_token), "%s/empty", dir);
	fd = open(open_token, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "secret\n", 7), 7);
	cr_assert_eq(fchmod(fd, 0644), 0);
	close(fd);
	close(open(empty_token, O_WRONLY | O_CREAT, 0600));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert_eq(run(good[i]), 0, "case %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_gt(run(bad[i]), 0, "case %zu", i);
}

/* ---- sessions ---- */

Test(supervisor, both_transports)
{
	start(NULL);
	cr_assert(serves(shm));
	cr_assert(serves(tcp));
	cr_assert(serves(shm));
}

Test(supervisor, a_query_leaves_no_session)
{
	struct genie_chan_opts opts = {.server = shm,
				       .kind = GENIE_HELLO_QUERY,
				       .api_hash = GENIE_API_HASH,
				       .timeout_ms = 5000};
	struct genie_chan *chan = NULL;
	char err[256] = "";

	start(NULL);
	for (int i = 0; i < 5; i++) {
		opts.server = i % 2 ? tcp : shm;
		cr_assert_eq(genie_chan_connect(&opts, &chan, err, sizeof(err)), 0);
		cr_assert_str_eq(genie_chan_welcome(chan)->device_name, "record");
		cr_assert_gt(genie_chan_devices(chan)[0].total_mem, 0);
		genie_chan_close(chan);
	}
	cr_assert(children_become(server, 1), "one worker, ready again");
}

static int
descriptors(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *stream;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	stream = opendir(path);
	while (readdir(stream))
		count++;
	closedir(stream);
	return count;
}

Test(supervisor, descriptors_and_processes_do_not_pile_up)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	int idle;

	start(NULL);
	idle = descriptors(server) - 1; /* but for the first worker, which is waiting */
	for (int i = 0; i < 20; i++)
		cr_assert(serves(i % 2 ? tcp : shm));
	cr_assert(children_become(server, 0));
	for (int i = 0; i < 200 && descriptors(server) != idle; i++)
		nanosleep(&moment, NULL);
	cr_assert_eq(descriptors(server), idle);
}

Test(supervisor, a_warm_worker_is_ready_before_the_client)
{
	const char *const more[] = {"--warm", "2", NULL};
	struct genie_chan *chan = NULL;

	start(more);
	cr_assert(children_become(server, 2));
	cr_assert_eq(connect_to(shm, NULL, &chan), 0);
	cr_assert(children_become(server, 3));
	genie_chan_close(chan);
	cr_assert(children_become(server, 2));
}

/* ---- bad clients ---- */

Test(supervisor, silent_clients_do_not_keep_others_out)
{
	int fds[100];

	start(NULL);
	for (int i = 0; i < 100; i++)
		fds[i] = raw_connect(i % 2 ? tcp : shm);
	cr_assert(serves(tcp));
	cr_assert(serves(shm));
	for (int i = 0; i < 100; i++)
		close(fds[i]);
}

Test(supervisor, nonsense_is_refused)
{
	unsigned int seed = 7;
	uint8_t bytes[4096];

	start(NULL);
	for (int i = 0; i < 60; i++) {
		int fd = raw_connect(i % 2 ? tcp : shm);

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)rand_r(&seed);
		if (send(fd, bytes, (size_t)rand_r(&seed) % sizeof(bytes), MSG_NOSIGNAL) < 0)
			cr_assert(errno == EPIPE || errno == ECONNRESET);
		close(fd);
	}
	cr_assert(serves(tcp));
	cr_assert(serves(shm));
}

Test(supervisor, joining_a_session_that_is_not_there)
{
	struct genie_preamble preamble;
	struct genie_chan *chan = NULL;
	struct genie_hello hello = {.magic = GENIE_WIRE_MAGIC,
				    .version = GENIE_WIRE_VERSION,
				    .kind = GENIE_HELLO_BULK,
				    .join_id = {1, 2, 3},
				    .api_hash = GENIE_API_HASH,
				    .cmd_max = GENIE_CMD_MAX,
				    .reply_max = GENIE_REPLY_MAX};
	struct genie_welcome welcome = {0};
	int fd;

	start(NULL);
	cr_assert_eq(connect_to(tcp, NULL, &chan), 0);
	hello.struct_sizes = genie_chan_welcome(chan)->struct_sizes;
	fd = raw_connect(tcp);
	cr_assert_eq(recv(fd, &preamble, sizeof(preamble), MSG_WAITALL), sizeof(preamble));
	cr_assert_eq(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	cr_assert_eq(recv(fd, &welcome, sizeof(welcome), MSG_WAITALL), sizeof(welcome));
	cr_assert_eq(welcome.status, GENIE_WELCOME_BAD);
	close(fd);
	cr_assert(alive(chan));
	genie_chan_close(chan);
}

Test(supervisor, a_broken_command_ends_only_its_session)
{
	struct genie_chan *good = NULL;
	struct genie_chan *bad = NULL;
	struct genie_lane *lane;
	void *cmd;

	start(NULL);
	cr_assert_eq(connect_to(shm, NULL, &good), 0);
	cr_assert_eq(connect_to(shm, NULL, &bad), 0);
	lane = genie_lane_get(bad);
	cmd = genie_lane_begin(lane, sizeof(struct genie_cmd));
	genie_lane_commit(lane, cmd, 0xfff0, 0, 0, sizeof(struct genie_cmd));
	cr_assert(dies_within_a_second(bad));
	genie_lane_put(lane);
	genie_chan_close(bad);
	cr_assert(alive(good));
	genie_chan_close(good);
}

/* ---- tokens and quotas ---- */

Test(supervisor, the_token_is_needed)
{
	char path[128];
	const char *const more[] = {"--token-file", path, NULL};
	struct genie_chan *chan = NULL;
	int fd;

	snprintf(path, sizeof(path), "%s/token", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "open sesame\n", 12), 12);
	close(fd);
	start(more);
	for (int i = 0; i < 2; i++) {
		const char *where = i ? tcp : shm;

		cr_assert_neq(connect_to(where, NULL, &chan), 0);
		cr_assert_neq(connect_to(where, "open barley", &chan), 0);
		cr_assert_eq(connect_to(where, "open sesame", &chan), 0);
		cr_assert(alive(chan));
		genie_chan_close(chan);
	}
}

Test(supervisor, quota)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	const char *const more[] = {"--max-clients", "2", NULL};
	struct genie_chan *a = NULL;
	struct genie_chan *b = NULL;
	struct genie_chan *c = NULL;

	start(more);
	cr_assert_eq(connect_to(shm, NULL, &a), 0);
	cr_assert_eq(connect_to(tcp, NULL, &b), 0);
	cr_assert_neq(connect_to(shm, NULL, &c), 0);
	cr_assert(alive(a));
	genie_chan_close(a);
	cr_assert(children_become(server, 1));
	/* The worker has ended, but the supervisor may not have heard of it yet. */
	for (int i = 0; i < 100 && connect_to(shm, NULL, &c); i++)
		nanosleep(&moment, NULL);
	cr_assert_not_null(c);
	genie_chan_close(b);
	genie_chan_close(c);
}

/* ---- sudden ends ---- */

Test(supervisor, a_killed_worker_ends_only_its_session)
{
	struct genie_chan *a = NULL;
	struct genie_chan *b = NULL;
	pid_t first, pids[8];
	int count;

	start(NULL);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(connect_to(i ? tcp : shm, NULL, &a), 0);
		cr_assert(children_become(server, 1)); /* its greeter has ended */
		cr_assert_eq(children(server, pids, 8), 1);
		first = pids[0];
		cr_assert_eq(connect_to(shm, NULL, &b), 0);
		cr_assert(alive(a));
		cr_assert(alive(b));
		kill(first, SIGKILL);
		cr_assert(dies_within_a_second(a));
		cr_assert(alive(b));
		genie_chan_close(a);
		genie_chan_close(b);
		cr_assert(children_become(server, 0));
		count = children(server, pids, 8);
		cr_assert_eq(count, 0);
	}
	cr_assert(serves(shm));
}

Test(supervisor, a_killed_client_leaves_nothing)
{
	struct genie_chan *other = NULL;

	start(NULL);
	cr_assert_eq(connect_to(shm, NULL, &other), 0);
	for (int i = 0; i < 2; i++) {
		int ready[2];
		char byte;
		pid_t pid;

		cr_assert_eq(pipe(ready), 0);
		pid = fork();
		if (pid == 0) {
			struct genie_chan *chan = NULL;

			genie_chan_forget(other);
			if (connect_to(i ? tcp : shm, NULL, &chan) || write(ready[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
		close(ready[1]);
		cr_assert_eq(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		cr_assert(children_become(server, 2));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		cr_assert(children_become(server, 1));
		cr_assert(alive(other));
	}
	genie_chan_close(other);
}

Test(supervisor, workers_end_with_the_supervisor)
{
	struct genie_chan *chan = NULL;
	pid_t pids[8];

	start(NULL);
	cr_assert_eq(connect_to(shm, NULL, &chan), 0);
	cr_assert(children_become(server, 1)); /* its greeter has ended */
	cr_assert_eq(children(server, pids, 8), 1);
	kill(server, SIGKILL);
	cr_assert_eq(wait_for(server), 1000 + SIGKILL);
	server = 0;
	cr_assert(dies_within_a_second(chan));
	genie_chan_close(chan);
	cr_assert(ends(pids[0]));
}

Test(supervisor, sigterm_ends_everything_in_order)
{
	struct genie_chan *chan = NULL;

	start(NULL);
	cr_assert_eq(connect_to(shm, NULL, &chan), 0);
	kill(server, SIGTERM);
	cr_assert_eq(wait_for(server), 0);
	server = 0;
	cr_assert(dies_within_a_second(chan));
	genie_chan_close(chan);
	cr_assert_neq(access(shm + 4, F_OK), 0, "the socket is gone");
}

Test(supervisor, a_socket_in_use_is_not_taken_over)
{
	pid_t second;

	start(NULL);
	second = spawn(-1, NULL);
	cr_assert_gt(wait_for(second), 0);
	cr_assert(serves(shm));
}
