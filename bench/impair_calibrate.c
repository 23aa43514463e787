/* What the emulated network adds by itself, so that a round trip has the length that was asked for.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/impair.h"

#define PINGS      400
#define PINGS_S    0.5 /* no longer, but at least PINGS_MIN */
#define PINGS_MIN  21
#define PING_BYTES 64
#define BULK_BYTES (64u << 20)
#define BULK_S     0.3 /* no longer, but at least BULK_MIN */
#define BULK_MIN   (1u << 20)
#define PIECE      (256u << 10)

enum {
	PINGS_COME,  /* pieces of PING_BYTES, each sent back */
	STREAM_COMES /* until its end, then one byte back */
};

/* A target for measuring. */
struct echo {
	int listening;
	const struct impair_net *net;
};

/* Exactly @len bytes; never sleeps, where there are processors for that. 0, or -1. */
static int
receive_all(const struct impair_net *net, int fd, char *to, size_t len)
{
	ssize_t got;

	for (size_t have = 0; have < len; have += (size_t)got) {
		got = recv(fd, to + have, len - have, net->spin_ps ? MSG_DONTWAIT : 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			got = 0;
		else if (got <= 0)
			return -1;
	}
	return 0;
}

static int
send_all(int fd, const char *from, size_t len)
{
	ssize_t put;

	for (size_t done = 0; done < len; done += (size_t)put) {
		put = send(fd, from + done, len - done, MSG_NOSIGNAL);
		if (put <= 0)
			return -1;
	}
	return 0;
}

/* First its client says what will come. */
static void *
echo_main(void *data)
{
	struct echo *echo = data;
	char *piece = malloc(PIECE);
	int fd, one = 1;
	char what;

	for (; piece; close(fd)) {
		fd = accept4(echo->listening, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (receive_all(echo->net, fd, &what, 1))
			continue;
		if (what == PINGS_COME) {
			while (!receive_all(echo->net, fd, piece, PING_BYTES) &&
			       !send_all(fd, piece, PING_BYTES))
				;
		} else {
			while (recv(fd, piece, PIECE, 0) > 0)
				;
			send_all(fd, piece, 1);
		}
	}
	free(piece);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int
through(int port, char what)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) || send_all(fd, &what, 1)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Median of round trips, µs; negative: it broke. */
static double
ping(const struct impair_net *net, int port)
{
	uint64_t begin = impair_now_ps(), sent;
	char bytes[PING_BYTES] = {0};
	double times[PINGS];
	int fd = through(port, PINGS_COME), count = 0, bad = fd < 0;

	while (!bad && count < PINGS &&
	       (count < PINGS_MIN || (double)(impair_now_ps() - begin) < PINGS_S * 1e12)) {
		sent = impair_now_ps();
		bad = send_all(fd, bytes, sizeof(bytes)) ||
		      receive_all(net, fd, bytes, sizeof(bytes));
		times[count++] = (double)(impair_now_ps() - sent) / 1e6;
	}
	if (fd >= 0)
		close(fd);
	if (bad)
		return -1;
	qsort(times, (size_t)count, sizeof(times[0]), compare);
	return times[count / 2];
}

/* Bits a second of one stream; negative: it broke. */
static double
stream(const struct impair_net *net, int port)
{
	uint64_t sent = 0, begin = impair_now_ps();
	char *piece = calloc(1, PIECE), end;
	int fd, bad;

	fd = piece ? through(port, STREAM_COMES) : -1;
	bad = fd < 0;
	while (!bad && sent < BULK_BYTES &&
	       (sent < BULK_MIN || (double)(impair_now_ps() - begin) < BULK_S * 1e12)) {
		bad = send_all(fd, piece, PIECE);
		sent += PIECE;
	}
	bad = bad || shutdown(fd, SHUT_WR) || receive_all(net, fd, &end, 1);
	if (fd >= 0)
		close(fd);
	free(piece);
	if (bad)
		return -1;
	/* The last byte's way there and the answer's back are no part of the rate. */
	begin += 2 * atomic_load(&net->delay_ps);
	return (double)sent * 8e12 / (double)(impair_now_ps() - begin);
}

static int
echo_start(struct echo *echo, struct sockaddr_in *ret_address, pthread_t *ret_thread)
{
	socklen_t len = sizeof(*ret_address);
	int error;

	*ret_address = (struct sockaddr_in){.sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	echo->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (echo->listening < 0)
		return -errno;
	if (bind(echo->listening, (struct sockaddr *)ret_address, len) ||
	    listen(echo->listening, 4) ||
	    getsockname(echo->listening, (struct sockaddr *)ret_address, &len)) {
		error = -errno;
		close(echo->listening);
		return error;
	}
	error = -pthread_create(ret_thread, NULL, echo_main, echo);
	if (error)
		close(echo->listening);
	return error;
}

int
impair_calibrate(struct impair_net *net, double round_trip_us, struct impair_figures *ret_figures)
{
	struct impair_net own = {.bits_per_second = net->bits_per_second, .spin_ps = net->spin_ps};
	static struct impair_net kept; /* its listener lives as long as the process */
	struct impair_figures figures = {0};
	struct echo echo = {.net = &kept};
	pthread_t thread;
	int error, port;

	kept.bits_per_second = own.bits_per_second;
	kept.spin_ps = own.spin_ps;
	error = echo_start(&echo, &kept.target, &thread);
	if (error)
		return error;
	port = impair_serve(&kept);
	if (port > 0) {
		figures.own_round_trip_us = ping(&kept, port);
		if (round_trip_us > figures.own_round_trip_us)
			atomic_store(
				&kept.delay_ps,
				(uint64_t)((round_trip_us - figures.own_round_trip_us) / 2 * 1e6));
		figures.round_trip_us = ping(&kept, port);
		figures.bits_per_second = stream(&kept, port);
	}
	shutdown(echo.listening, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(echo.listening);
	if (port < 0)
		return port;
	if (figures.own_round_trip_us < 0 || figures.round_trip_us < 0 ||
	    figures.bits_per_second < 0)
		return -ECONNRESET;
	atomic_store(&net->delay_ps, atomic_load(&kept.delay_ps));
	*ret_figures = figures;
	return 0;
}
