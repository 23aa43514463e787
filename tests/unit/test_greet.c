/* The handshake and listening, with peers that do not behave. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
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

#include "echo.h"
#include "transport/address.h"
#include "transport/hello.h"
#include "transport/net.h"

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- genie_port_greet against bytes ---- */

struct greeting {
	int fds[2]; /* the server's end, ours */
	const char *token;
	int timeout_ms;
	pthread_t thread;
	int ret;
	struct genie_hello hello;
	char err[256];
};

static void *
greet(void *data)
{
	struct greeting *greeting = data;

	greeting->ret = genie_port_greet(greeting->fds[0], greeting->token, ECHO_API_HASH,
					 greeting->timeout_ms, &greeting->hello, greeting->err,
					 sizeof(greeting->err));
	shutdown(greeting->fds[0], SHUT_WR);
	return NULL;
}

static struct genie_preamble
greeting_start(struct greeting *greeting, const char *token, int timeout_ms)
{
	struct genie_preamble preamble;

	*greeting = (struct greeting){.token = token, .timeout_ms = timeout_ms};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, greeting->fds), 0);
	pthread_create(&greeting->thread, NULL, greet, greeting);
	cr_assert_eq(genie_net_read(greeting->fds[1], &preamble, sizeof(preamble),
				    genie_net_deadline(1000)),
		     0);
	return preamble;
}

static int
greeting_end(struct greeting *greeting)
{
	pthread_join(greeting->thread, NULL);
	close(greeting->fds[0]);
	close(greeting->fds[1]);
	return greeting->ret;
}

static struct genie_hello
good_hello(const struct genie_preamble *preamble, const char *token)
{
	struct genie_hello hello = {
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.kind = GENIE_HELLO_SESSION,
		.struct_sizes = genie_hello_struct_sizes(),
		.api_hash = ECHO_API_HASH,
		.cmd_max = GENIE_CMD_MAX,
		.reply_max = GENIE_REPLY_MAX,
	};

	if (token)
		genie_hello_mac(token, preamble->nonce, hello.mac);
	return hello;
}

/* Sends @hello; the server's answer, or status UINT32_MAX when it accepted. */
static struct genie_welcome
answer_to(struct greeting *greeting, const struct genie_hello *hello)
{
	struct genie_welcome welcome = {.status = UINT32_MAX};

	cr_assert_eq(write(greeting->fds[1], hello, sizeof(*hello)), sizeof(*hello));
	genie_net_read(greeting->fds[1], &welcome, sizeof(welcome), genie_net_deadline(1000));
	return welcome;
}

Test(greet, a_good_hello_is_accepted)
{
	struct greeting g;
	struct genie_preamble preamble = greeting_start(&g, NULL, 1000);
	struct genie_hello hello = good_hello(&preamble, NULL);

	cr_assert_eq(preamble.magic, GENIE_WIRE_MAGIC);
	cr_assert_eq(preamble.flags, 0);
	memset(hello.program, 'x', sizeof(hello.program));
	cr_assert_eq(answer_to(&g, &hello).status, UINT32_MAX);
	cr_assert_eq(greeting_end(&g), 0, "%s", g.err);
	cr_assert_eq(strlen(g.hello.program), sizeof(hello.program) - 1);
}

Test(greet, the_token_is_checked)
{
	struct greeting g;
	struct genie_preamble preamble = greeting_start(&g, "secret", 1000);
	struct genie_hello hello = good_hello(&preamble, "secret");

	cr_assert_eq(preamble.flags, GENIE_PREAMBLE_TOKEN);
	answer_to(&g, &hello);
	cr_assert_eq(greeting_end(&g), 0);

	preamble = greeting_start(&g, "secret", 1000);
	hello = good_hello(&preamble, "Secret");
	cr_assert_eq(answer_to(&g, &hello).status, GENIE_WELCOME_DENIED);
	cr_assert_eq(greeting_end(&g), -EACCES);

	preamble = greeting_start(&g, "secret", 1000);
	hello = good_hello(&preamble, NULL);
	cr_assert_eq(answer_to(&g, &hello).status, GENIE_WELCOME_DENIED);
	cr_assert_eq(greeting_end(&g), -EACCES);
}

Test(greet, a_recorded_answer_does_not_open_another_connection)
{
	struct greeting g;
	struct genie_preamble first = greeting_start(&g, "secret", 1000);
	struct genie_hello hello = good_hello(&first, "secret");
	struct genie_preamble second;

	answer_to(&g, &hello);
	cr_assert_eq(greeting_end(&g), 0);
	second = greeting_start(&g, "secret", 1000);
	cr_assert_neq(memcmp(first.nonce, second.nonce, sizeof(first.nonce)), 0);
	cr_assert_eq(answer_to(&g, &hello).status, GENIE_WELCOME_DENIED);
	cr_assert_eq(greeting_end(&g), -EACCES);
}

/* Python: hmac.new(b"Jefe", bytes(range(32)), "sha256"). */
Test(greet, the_mac_is_hmac_sha_256)
{
	static const uint8_t expect[32] = {
		0x53, 0x81, 0x79, 0x40, 0x10, 0x46, 0xdb, 0x92, 0xff, 0x24, 0x3b,
		0x6c, 0x98, 0x47, 0xb4, 0x59, 0x6a, 0xb2, 0x51, 0x05, 0xbe, 0xf8,
		0x78, 0xcc, 0xf0, 0x95, 0x73, 0x26, 0x29, 0x7f, 0xb3, 0x8e,
	};
	uint8_t nonce[32], mac[32];

	for (unsigned i = 0; i < 32; i++)
		nonce[i] = (uint8_t)i;
	genie_hello_mac("Jefe", nonce, mac);
	cr_assert_arr_eq(mac, expect, 32);
}

Test(greet, each_wrong_field_is_refused)
{
	for (unsigned field = 0; field < 12; field++) {
		struct greeting g;
		struct genie_preamble preamble = greeting_start(&g, NULL, 1000);
		struct genie_hello hello = good_hello(&preamble, NULL);
		uint32_t expect = GENIE_WELCOME_VERSION;
		struct genie_welcome welcome;

		switch (field) {
		case 0:
			hello.magic ^= 1;
			expect = GENIE_WELCOME_BAD;
			break;
		case 1:
			hello.version++;
			break;
		case 2:
			hello.struct_sizes++;
			break;
		case 3:
			hello.api_hash++;
			break;
		case 4:
			hello.cmd_max *= 2;
			break;
		case 5:
			hello.reply_max = 0;
			break;
		case 6:
			hello.kind = 0;
			expect = GENIE_WELCOME_BAD;
			break;
		case 7:
			hello.kind = 77;
			expect = GENIE_WELCOME_BAD;
			break;
		case 8:
			hello.device_window = UINT64_MAX;
			expect = GENIE_WELCOME_BAD;
			break;
		case 9:
			hello.pinned_window_size = UINT64_MAX;
			expect = GENIE_WELCOME_BAD;
			break;
		case 10:
			hello.pinned_window = 123;
			expect = GENIE_WELCOME_BAD;
			break;
		case 11:
			hello.device_window_size = GENIE_BYTES_MAX + 4096;
			expect = GENIE_WELCOME_BAD;
			break;
		}
		welcome = answer_to(&g, &hello);
		cr_assert_eq(welcome.status, expect, "field %u", field);
		cr_assert_neq(welcome.reason[0], 0);
		cr_assert_eq(greeting_end(&g), -EPROTO);
	}
}

Test(greet, every_truncated_hello_times_out_or_ends, .timeout = 30)
{
	for (size_t len = 0; len < sizeof(struct genie_hello); len += 7) {
		struct greeting g;
		struct genie_preamble preamble = greeting_start(&g, NULL, len == 49 ? 50 : 5000);
		struct genie_hello hello = good_hello(&preamble, NULL);

		cr_assert_eq(write(g.fds[1], &hello, len), (ssize_t)len);
		if (len != 49) /* that one stays silent */
			shutdown(g.fds[1], SHUT_WR);
		cr_assert_eq(greeting_end(&g), len == 49 ? -ETIMEDOUT : -ECONNRESET);
	}
}

Test(greet, a_slow_peer_gets_no_more_than_its_time, .timeout = 10)
{
	struct greeting g;
	struct genie_preamble preamble = greeting_start(&g, NULL, 200);
	struct genie_hello hello = good_hello(&preamble, NULL);
	double start = now();

	/* A byte now and then does not buy more time. */
	for (unsigned i = 0; i < 100 && now() - start < 2; i++) {
		if (send(g.fds[1], (uint8_t *)&hello + i, 1, MSG_NOSIGNAL) < 0)
			break;
		usleep(10000);
	}
	cr_assert_eq(greeting_end(&g), -ETIMEDOUT);
	cr_assert_lt(now() - start, 1.5);
}

Test(greet, garbage_is_answered_at_once)
{
	static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
					      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"};

	for (unsigned i = 0; i < 3; i++) {
		struct greeting g;
		struct genie_welcome welcome = {0};

		greeting_start(&g, NULL, 5000);
		cr_assert_gt(write(g.fds[1], garbage[i], strlen(garbage[i]) < 11 ? 11 : 12), 0);
		genie_net_read(g.fds[1], &welcome, sizeof(welcome), genie_net_deadline(1000));
		cr_assert_eq(welcome.status, GENIE_WELCOME_BAD);
		cr_assert_eq(greeting_end(&g), -EPROTO);
	}
}

/* ---- genie_chan_connect against servers that do not behave ---- */

struct fake {
	struct genie_listener listener;
	const char *bytes;
	size_t len;
	bool hold;    /* keeps the connection open and silent */
	int pause_ms; /* between the preamble and the answer to the hello */
	pthread_t thread;
};

static void *
fake_thread(void *data)
{
	struct fake *fake = data;
	struct pollfd pollfd = {.fd = fake->listener.fd, .events = POLLIN};
	char ignored[4096];
	size_t begin = 0;
	int fd;

	poll(&pollfd, 1, 5000);
	fd = accept(fake->listener.fd, NULL, NULL);
	if (fake->pause_ms) {
		begin = sizeof(struct genie_preamble);
		if (write(fd, fake->bytes, begin) < 0 || read(fd, ignored, sizeof(ignored)) <= 0)
			return NULL;
		poll(NULL, 0, fake->pause_ms);
	}
	if (fake->len && write(fd, fake->bytes + begin, fake->len - begin) < 0)
		return NULL;
	if (!fake->hold)
		shutdown(fd, SHUT_WR);
	while (read(fd, ignored, sizeof(ignored)) > 0)
		;
	close(fd);
	return NULL;
}

static int
connect_to_slow_fake(const void *bytes, size_t len, bool hold, int timeout_ms, int pause_ms)
{
	struct fake fake = {.bytes = bytes, .len = len, .hold = hold, .pause_ms = pause_ms};
	struct genie_chan_opts opts = {
		.kind = GENIE_HELLO_SESSION,
		.api_hash = ECHO_API_HASH,
		.timeout_ms = timeout_ms,
	};
	struct genie_chan *chan = NULL;
	char err[256];
	int ret;

	cr_assert_eq(
		genie_listener_open("tcp://127.0.0.1:0", false, &fake.listener, err, sizeof(err)),
		0, "%s", err);
	opts.server = fake.listener.address;
	pthread_create(&fake.thread, NULL, fake_thread, &fake);
	ret = genie_chan_connect(&opts, &chan, err, sizeof(err));
	pthread_join(fake.thread, NULL);
	genie_listener_close(&fake.listener);
	cr_assert_null(chan);
	cr_assert_neq(err[0], 0);
	return ret;
}

static int
connect_to_fake(const void *bytes, size_t len, bool hold, int timeout_ms)
{
	return connect_to_slow_fake(bytes, len, hold, timeout_ms, 0);
}

/* Once it has greeted, a server may take longer: a worker has to open the device. But not for
 * ever. */
Test(connect, a_server_may_be_slow_to_answer, .timeout = 30)
{
	struct {
		struct genie_preamble preamble;
		struct genie_welcome welcome;
	} answer = {
		.preamble = {.magic = GENIE_WIRE_MAGIC,
			     .version_min = GENIE_WIRE_VERSION,
			     .version_max = GENIE_WIRE_VERSION},
		.welcome = {.magic = GENIE_WIRE_MAGIC, .status = GENIE_WELCOME_DENIED},
	};

	cr_assert_eq(connect_to_slow_fake(&answer, sizeof(answer), false, 200, 600), -EACCES);
	cr_assert_eq(connect_to_slow_fake(&answer, sizeof(answer.preamble), true, 50, 1),
		     -ETIMEDOUT);
}

Test(connect, servers_that_are_not_ours, .timeout = 30)
{
	unsigned fds = echo_count_fds();
	struct {
		struct genie_preamble preamble;
		struct genie_welcome welcome;
	} answer = {
		.preamble = {.magic = GENIE_WIRE_MAGIC,
			     .version_min = GENIE_WIRE_VERSION,
			     .version_max = GENIE_WIRE_VERSION},
		.welcome = {.magic = GENIE_WIRE_MAGIC,
			    .version = GENIE_WIRE_VERSION,
			    .struct_sizes = genie_hello_struct_sizes(),
			    .api_hash = ECHO_API_HASH,
			    .device_count = 1},
	};
	char http[200];

	memset(http, 'H', sizeof(http));
	cr_assert_eq(connect_to_fake("", 0, false, 2000), -ECONNRESET);
	cr_assert_eq(connect_to_fake(http, sizeof(http), false, 2000), -EPROTO);
	cr_assert_eq(connect_to_fake("", 0, true, 100), -ETIMEDOUT);
	for (size_t len = 1; len < sizeof(answer); len += 31)
		cr_assert_eq(connect_to_fake(&answer, len, false, 2000), -ECONNRESET);
	/* no device blocks */
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -ECONNRESET);
	answer.welcome.device_count = GENIE_DEVICES_MAX + 1;
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -EPROTO);
	answer.welcome.device_count = 0;
	answer.welcome.api_hash++;
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -EPROTO);
	answer.welcome.api_hash--;
	answer.welcome.magic++;
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -EPROTO);
	answer.welcome.magic--;
	answer.welcome.status = GENIE_WELCOME_DENIED;
	memset(answer.welcome.reason, 'r', sizeof(answer.welcome.reason));
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -EACCES);
	answer.preamble.version_min = answer.preamble.version_max = GENIE_WIRE_VERSION + 1;
	cr_assert_eq(connect_to_fake(&answer, sizeof(answer), false, 2000), -EPROTO);
	cr_assert_eq(echo_count_fds(), fds);
}

Test(connect, errors_name_the_cause)
{
	static const struct {
		const char *server;
		const char *says;
	} cases[] = {
		{"tcp://127.0.0.1:1", "refused"},
		{"shm:/nonexistent/socket", "No such file"},
		{"shm:", "the path must have"},
		{"tcp://", "expected tcp://HOST:PORT"},
		{"tcp://:1", "expected tcp://HOST:PORT"},
		{"tcp://h:99999", "expected tcp://HOST:PORT"},
		{"tcp://h:12x", "expected tcp://HOST:PORT"},
		{"tcp://[::1", "expected tcp://HOST:PORT"},
		{"rdma://h:1", "expected tcp://HOST:PORT or shm:PATH"},
		{"", "expected tcp://HOST:PORT, shm:PATH or HOST[:PORT]"},
		{"host.invalid:5", "no such host"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct genie_chan_opts opts = {.server = cases[i].server,
					       .kind = GENIE_HELLO_SESSION};
		struct genie_chan *chan = NULL;
		char err[256] = "";

		cr_assert_lt(genie_chan_connect(&opts, &chan, err, sizeof(err)), 0);
		cr_assert_not_null(strstr(err, cases[i].says), "%s: %s", cases[i].server, err);
	}
}

Test(connect, tokens_over_both_transports, .timeout = 30)
{
	static const char *const kinds[] = {"shm", "tcp"};
	char err[256];

	for (unsigned i = 0; i < 2; i++) {
		struct genie_chan *chan;
		struct echo echo;

		echo_start(kinds[i], "the token", &echo);
		cr_assert_null(echo_connect(&echo, NULL, err, sizeof(err)));
		cr_assert_not_null(strstr(err, "GENIE_TOKEN"), "%s", err);
		cr_assert_null(echo_connect(&echo, "another", err, sizeof(err)));
		cr_assert_not_null(strstr(err, "wrong token"), "%s", err);
		chan = echo_connect(&echo, "the token", err, sizeof(err));
		cr_assert_not_null(chan, "%s", err);
		genie_chan_close(chan);
		cr_assert_eq(echo_wait(&echo), 0);
	}
}

Test(connect, a_query_needs_no_session, .timeout = 20)
{
	static const char *const kinds[] = {"shm", "tcp"};

	for (unsigned i = 0; i < 2; i++) {
		struct genie_chan_opts opts = {.kind = GENIE_HELLO_QUERY,
					       .api_hash = ECHO_API_HASH};
		struct genie_chan *chan;
		struct echo echo;
		char err[256];

		echo_start(kinds[i], NULL, &echo);
		opts.server = echo.server;
		cr_assert_eq(genie_chan_connect(&opts, &chan, err, sizeof(err)), 0, "%s", err);
		cr_assert_str_eq(genie_chan_devices(chan)[0].name, "echo device 0");
		cr_assert_null(genie_lane_get(chan));
		cr_assert_eq(genie_chan_progress(chan, 1), 0);
		genie_chan_close(chan);
		cr_assert_eq(echo_wait(&echo), 0);
	}
}

/* ---- listening ---- */

Test(listener, only_loopback_without_a_token)
{
	struct genie_listener listener;
	char err[256];

	cr_assert_eq(genie_listener_open("tcp://0.0.0.0:0", false, &listener, err, sizeof(err)),
		     -EACCES);
	cr_assert_not_null(strstr(err, "token"));
	cr_assert_eq(genie_listener_open("tcp://[::]:0", false, &listener, err, sizeof(err)),
		     -EACCES);
	cr_assert_eq(genie_listener_open("tcp://127.0.0.1:0", false, &listener, err, sizeof(err)),
		     0);
	cr_assert_null(strstr(listener.address, ":0"));
	genie_listener_close(&listener);
	genie_listener_close(&listener);
	cr_assert_eq(genie_listener_open("localhost:1", false, &listener, err, sizeof(err)),
		     -EINVAL);
}

Test(listener, socket_files)
{
	struct genie_listener first, second;
	char dir[] = "/tmp/genie-test-XXXXXX", spec[96], path[64], err[256];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat stat_buf;
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(spec, sizeof(spec), "shm:%s", path);
	cr_assert_eq(genie_listener_open(spec, false, &first, err, sizeof(err)), 0, "%s", err);
	cr_assert_eq(stat(path, &stat_buf), 0);
	cr_assert_eq(stat_buf.st_mode & 0777, 0600);
	/* A live server is not pushed aside. */
	cr_assert_eq(genie_listener_open(spec, false, &second, err, sizeof(err)), -EADDRINUSE);
	genie_listener_close(&first);
	cr_assert_neq(stat(path, &stat_buf), 0);
	/* What a dead one left is. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	cr_assert_eq(genie_listener_open(spec, false, &second, err, sizeof(err)), 0, "%s", err);
	genie_listener_close(&second);
	/* Other people's files are left alone. */
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(genie_listener_open(spec, false, &second, err, sizeof(err)), -EEXIST);
	rmdir(path);
	rmdir(dir);
}

Test(listener, a_bare_host_prefers_shared_memory, .timeout = 20)
{
	struct genie_address address;
	char dir[] = "/tmp/genie-test-XXXXXX", spec[64], err[256];
	struct genie_listener shm, tcp;
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	snprintf(spec, sizeof(spec), "shm:%s/genie.sock", dir);
	cr_assert_eq(genie_listener_open("tcp://127.0.0.1:0", false, &tcp, err, sizeof(err)), 0);
	cr_assert_eq(genie_address_parse(tcp.address + strlen("tcp://"), false, &address, err,
					 sizeof(err)),
		     0);
	/* No socket: TCP. */
	cr_assert_eq(genie_address_connect(&address, 1000, &fd, err, sizeof(err)), 0, "%s", err);
	cr_assert_not(address.is_shm);
	close(fd);
	cr_assert_eq(genie_listener_open(spec, false, &shm, err, sizeof(err)), 0, "%s", err);
	cr_assert_eq(genie_address_parse("localhost", false, &address, err, sizeof(err)), 0);
	cr_assert_str_eq(address.port, GENIE_DEFAULT_PORT);
	cr_assert_eq(genie_address_connect(&address, 1000, &fd, err, sizeof(err)), 0, "%s", err);
	cr_assert(address.is_shm);
	close(fd);
	genie_listener_close(&shm);
	genie_listener_close(&tcp);
	rmdir(dir);
}

Test(address, forms)
{
	struct genie_address address;
	char err[256];

	cr_assert_eq(genie_address_parse("[::1]:5", false, &address, err, sizeof(err)), 0);
	cr_assert_str_eq(address.host, "::1");
	cr_assert_str_eq(address.port, "5");
	cr_assert_eq(genie_address_parse("::1", false, &address, err, sizeof(err)), 0);
	cr_assert_str_eq(address.host, "::1");
	cr_assert_str_eq(address.port, GENIE_DEFAULT_PORT);
	cr_assert_eq(genie_address_parse("gpu7", false, &address, err, sizeof(err)), 0);
	cr_assert_str_eq(address.host, "gpu7");
	cr_assert_eq(genie_address_parse("tcp://gpu7:0", true, &address, err, sizeof(err)), 0);
	cr_assert_eq(genie_address_parse("gpu7", true, &address, err, sizeof(err)), -EINVAL);
}
