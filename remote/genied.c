/* genied: the server of Genie. Options, then the supervisor. docs/server.md is the manual. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/supervisor.h"
#include "wire/proto.h"

#ifndef GENIE_VERSION
#define GENIE_VERSION "unknown"
#endif

#define TOKEN_MAX       512
#define CLIENTS_MAX     4096
#define CLIENTS_DEFAULT 64
#define TCP_DEFAULT     "tcp://127.0.0.1:14833"

static const char usage[] =
	"usage: genied [OPTION]...\n"
	"\n"
	"Lends the GPUs of this machine (or a software device) to programs that run with "
	"libgenie.so.\n"
	"\n"
	"  --device DEVICE     what to lend: cuda, cpu (PTX on the processors), record (answers\n"
	"                      everything, computes nothing), or auto: cuda where it works, else "
	"cpu\n"
	"                      (default auto)\n"
	"  --listen ADDRESS    tcp://HOST:PORT (port 0: any) or shm:PATH; may be given several "
	"times\n"
	"                      (default " TCP_DEFAULT " and\n"
	"                      shm:${XDG_RUNTIME_DIR:-/tmp}/genie-UID.sock)\n"
	"  --token-file FILE   clients must know the token in FILE (or in the environment: "
	"GENIE_TOKEN);\n"
	"                      needed to listen beyond loopback\n"
	"  --max-clients N     sessions at a time (default 64)\n"
	"  --warm N            workers kept ready with an open device (default: 1 for cuda, else "
	"0)\n"
	"  --ready-fd N        write the addresses to descriptor N, one a line, and close it, "
	"once\n"
	"                      clients can connect\n"
	"  --help, --version\n"
	"\n"
	"Environment: GENIE_LOG (error, warn, info, debug, trace; default info), GENIE_LOG_FILE,\n"
	"GENIE_TOKEN, GENIE_CACHE_DIR (where kernel images are kept; empty: nowhere),\n"
	"GENIED_STATS=FILE (with %p in it: one a worker, what its time went into). On the CPU\n"
	"device: GENIE_CPU_THREADS, GENIE_CPU_DEVICES (how many it says there are), "
	"GENIE_CPU_MEMORY\n"
	"(of each: 512M, 8G), and GENIE_CPU_CHECK=bounds,race to look for accesses outside of\n"
	"allocations and for races in shared memory.\n";

enum option_id {
	OPTION_DEVICE = 1,
	OPTION_LISTEN,
	OPTION_TOKEN_FILE,
	OPTION_MAX_CLIENTS,
	OPTION_WARM,
	OPTION_READY_FD,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{"device", required_argument, NULL, OPTION_DEVICE},
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
	{"max-clients", required_argument, NULL, OPTION_MAX_CLIENTS},
	{"warm", required_argument, NULL, OPTION_WARM},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

static _Noreturn void __attribute__((format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fputs("genied: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\n", stderr);
	exit(2);
}

static int
number(const char *option, const char *text, int min, int max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		die("--%s: '%s' is not a number from %d to %d", option, text, min, max);
	return (int)value;
}

/* The first line of the file, without its end. Whoever can read the token can use the GPUs, so a
 * file that everybody can read is refused. */
static char *
token_read(const char *path)
{
	static char token[TOKEN_MAX + 2];
	struct stat st;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		die("token file %s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		die("token file %s: not a regular file", path);
	if (st.st_mode & 0007)
		die("token file %s can be read or written by everybody: chmod 600 %s", path, path);
	n = read(fd, token, sizeof(token) - 1);
	close(fd);
	if (n < 0)
		die("token file %s: %s", path, strerror(errno));
	token[n] = '\0';
	token[strcspn(token, "\r\n")] = '\0';
	if (!*token)
		die("token file %s is empty", path);
	if (strlen(token) > TOKEN_MAX)
		die("token file %s: longer than %d bytes", path, TOKEN_MAX);
	return token;
}

static char *
default_shm(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char *spec;

	if (!dir || !*dir)
		dir = "/tmp";
	if (asprintf(&spec, "shm:%s/genie-%u.sock", dir, (unsigned)getuid()) < 0)
		die("out of memory");
	return spec;
}

static void
options_read(int argc, char **argv, struct genie_supervisor_opts *opts)
{
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (id) {
		case OPTION_DEVICE:
			if (strcmp(optarg, "auto") && strcmp(optarg, "cuda") &&
			    strcmp(optarg, "cpu") && strcmp(optarg, "record"))
				die("--device: '%s' is none of auto, cuda, cpu, record", optarg);
			opts->device = optarg;
			break;
		case OPTION_LISTEN:
			if (opts->listen_count == GENIE_LISTEN_MAX)
				die("more than %d --listen", GENIE_LISTEN_MAX);
			opts->listen[opts->listen_count++] = optarg;
			break;
		case OPTION_TOKEN_FILE:
			opts->token = token_read(optarg);
			break;
		case OPTION_MAX_CLIENTS:
			opts->max_clients = number("max-clients", optarg, 1, CLIENTS_MAX);
			break;
		case OPTION_WARM:
			opts->warm = number("warm", optarg, 0, 64);
			break;
		case OPTION_READY_FD:
			opts->ready_fd = number("ready-fd", optarg, 0, 1 << 20);
			if (fcntl(opts->ready_fd, F_SETFD, FD_CLOEXEC))
				die("--ready-fd: descriptor %d is not open", opts->ready_fd);
			break;
		case OPTION_HELP:
			fputs(usage, stdout);
			exit(0);
		case OPTION_VERSION:
			printf("genied %s (protocol %d)\n", GENIE_VERSION, GENIE_WIRE_VERSION);
			exit(0);
		default:
			fputs("try genied --help\n", stderr);
			exit(2);
		}
	}
	if (optind < argc)
		die("unexpected argument '%s' (try --help)", argv[optind]);
}

int
main(int argc, char **argv)
{
	struct genie_supervisor_opts opts = {
		.device = "auto", .max_clients = CLIENTS_DEFAULT, .warm = -1, .ready_fd = -1};
	char *token = getenv("GENIE_TOKEN");

	genie_log_init("genied");
	if (!getenv("GENIE_LOG"))
		genie_log_level = GENIE_LOG_INFO; /* a server says who comes and goes */
	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not be that large is an error like others */
	if (token && *token) {
		if (strlen(token) > TOKEN_MAX)
			die("GENIE_TOKEN: longer than %d bytes", TOKEN_MAX);
		opts.token = strdup(token);
		/* not even in the memory that the kernel shows as the process's environment */
		explicit_bzero(token, strlen(token));
		unsetenv("GENIE_TOKEN");
	}
	options_read(argc, argv, &opts);
	if (!opts.listen_count) {
		opts.listen[opts.listen_count++] = default_shm();
		opts.listen[opts.listen_count++] = TCP_DEFAULT;
	}
	return genie_supervisor_run(&opts);
}
