/*
 * bench-impair: a TCP proxy on the loopback that behaves like a network of a given rate and round
 * trip. bench/compare puts it between a program and genied (tcp@25gbit/20us).
 */
#include "bench/impair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SPIN_US     2000 /* where there are processors for it */
#define SPIN_CPUS   8
#define RATE_MAX    1e12
#define TRIP_MAX_US 10e6

static const char usage[] =
	"usage: bench-impair --to ADDRESS:PORT [OPTION]...\n"
	"\n"
	"Listens on a port of 127.0.0.1 and passes connections on, as a network would that has\n"
	"\n"
	"  --rate BITS            bits of payload a second, each way, all connections together\n"
	"                         (default 0: as fast as it goes)\n"
	"  --round-trip-us N      a round trip (default 0)\n"
	"  --calibrate            measure first what the proxy itself adds, and take it off\n"
	"  --ready-fd N           write there \"ADDRESS:PORT {figures}\" when it can be used\n"
	"                         (default: standard output)\n";

struct options {
	struct impair_net net;
	double round_trip_us;
	bool calibrate;
	int ready_fd;
};

static double
number(const char *what, const char *text, double max)
{
	char *end = NULL;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < 0 || value > max) {
		fprintf(stderr, "bench-impair: %s %s: a number from 0 to %g is needed\n", what,
			text, max);
		exit(2);
	}
	return value;
}

static void
target_parse(struct impair_net *net, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[64] = "";

	if (colon && (size_t)(colon - text) < sizeof(host))
		memcpy(host, text, (size_t)(colon - text));
	net->target.sin_family = AF_INET;
	if (!colon || inet_pton(AF_INET, host, &net->target.sin_addr) != 1) {
		fprintf(stderr, "bench-impair: %s is no ADDRESS:PORT of IPv4\n", text);
		exit(2);
	}
	net->target.sin_port = htons((uint16_t)number("port", colon + 1, 65535));
}

static void
options_parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"to", required_argument, NULL, 't'},
		{"rate", required_argument, NULL, 'r'},
		{"round-trip-us", required_argument, NULL, 'd'},
		{"calibrate", no_argument, NULL, 'c'},
		{"ready-fd", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 't':
			target_parse(&options->net, optarg);
			break;
		case 'r':
			options->net.bits_per_second = number("--rate", optarg, RATE_MAX);
			break;
		case 'd':
			options->round_trip_us = number("--round-trip-us", optarg, TRIP_MAX_US);
			break;
		case 'c':
			options->calibrate = true;
			break;
		case 'f':
			options->ready_fd = (int)number("--ready-fd", optarg, 1 << 20);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind != argc || !options->net.target.sin_port) {
		fputs(usage, stderr);
		exit(2);
	}
}

static int
cpu_count(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
}

int
main(int argc, char **argv)
{
	static struct options options = {.ready_fd = STDOUT_FILENO};
	struct impair_figures figures = {0};
	int port;

	options_parse(&options, argc, argv);
	prctl(PR_SET_TIMERSLACK, 1000ul); /* of 50 us a round trip of 20 would not come out */
	if (cpu_count() >= SPIN_CPUS)
		options.net.spin_ps = SPIN_US * 1000000ull;
	atomic_store(&options.net.delay_ps, (uint64_t)(options.round_trip_us / 2 * 1e6));
	if (options.calibrate) {
		port = impair_calibrate(&options.net, options.round_trip_us, &figures);
		if (port < 0) {
			fprintf(stderr, "bench-impair: cannot calibrate: %s\n", strerror(-port));
			return 1;
		}
	}
	port = impair_serve(&options.net);
	if (port < 0) {
		fprintf(stderr, "bench-impair: cannot listen: %s\n", strerror(-port));
		return 1;
	}
	dprintf(options.ready_fd,
		"127.0.0.1:%d {\"own_round_trip_us\": %.2f, \"round_trip_us\": %.2f, "
		"\"bits_per_second\": %.0f}\n",
		port, figures.own_round_trip_us, figures.round_trip_us, figures.bits_per_second);
	if (options.ready_fd != STDOUT_FILENO)
		close(options.ready_fd);
	for (;;)
		pause();
}
