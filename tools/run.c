/*
 * genie run: sets up the environment in which an unmodified program finds Genie instead of the
 * NVIDIA driver, runs it, and afterwards names the CUDA calls that Genie did not support.
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/genie.h"

#define STATS_FILE_MAX                                                                             \
	(4u << 20) /* no statistics are larger; a program could have written there                 \
		    */
#define READY_TIMEOUT_S 60

static const char help[] =
	"usage: genie run [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
	"\n"
	"Runs PROGRAM with its CUDA calls executed by a genied.\n"
	"\n"
	"  --server WHERE   tcp://HOST:PORT, shm:PATH or HOST[:PORT] (default: $GENIE_SERVER)\n"
	"  --local[=DEVICE] start a genied on this machine for the time of the program;\n"
	"                   DEVICE: auto (default), cuda, cpu or record\n"
	"  --stats FILE     write the program's counters to FILE (JSON; %p becomes the pid)\n"
	"  --summary        print device, calls, round trips and bytes at the end\n"
	"  -v, --verbose    show what that genied and libgenie.so say (GENIE_LOG=info)\n"
	"  --help\n"
	"\n"
	"The exit status is the program's, 128 + signal when a signal ended it, 125 when genie\n"
	"itself failed, 127 when PROGRAM was not found.\n";

struct options {
	const char *server, *local, *stats;
	bool summary, verbose;
};

/* ---- the environment ---- */

/* NAME=value:old, so that what the user had set still counts. */
static int
prepend_env(const char *name, const char *value)
{
	const char *old = getenv(name);
	char *joined;
	int r;

	if (!old || !*old)
		return setenv(name, value, 1);
	if (asprintf(&joined, "%s:%s", value, old) < 0)
		return -1;
	r = setenv(name, joined, 1);
	free(joined);
	return r;
}

static int
set_environment(const char *home, const char *server, const char *stats)
{
	char library[PATH_MAX + 16], names[PATH_MAX + 16];

	snprintf(library, sizeof(library), "%s/libgenie.so", home);
	snprintf(names, sizeof(names), "%s/names", home);
	if (access(library, R_OK)) {
		fprintf(stderr, "genie run: %s: %m\n", library);
		return -1;
	}
	/* Triton links its helper with -lcuda and looks for a real file in this folder. */
	if (prepend_env("LD_PRELOAD", library) || prepend_env("LD_LIBRARY_PATH", names) ||
	    setenv("TRITON_LIBCUDA_PATH", names, 1) || setenv("GENIE_STATS", stats, 1))
		return -1;
	return server ? setenv("GENIE_SERVER", server, 1) : 0;
}

/* ---- a genied of our own ---- */

/* Starts genied on a socket in @folder; waits until it listens. Its pid, or -1. */
static pid_t
start_server(const char *home, const char *device, const char *folder, char *ret_server,
	     size_t size)
{
	char program[PATH_MAX + 16], fd_text[16], byte;
	int ready[2];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/genied", home);
	if (access(program, X_OK)) /* installed: home is the lib folder */
		snprintf(program, sizeof(program), "genied");
	snprintf(ret_server, size, "shm:%s/socket", folder);
	if (pipe(ready))
		return -1;
	pid = fork();
	if (pid == 0) {
		/* Ctrl-C is for the program; we end the server afterwards. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* if we are killed, it has nobody left */
		close(ready[0]);
		setenv("GENIE_LOG", "warn", 0); /* its comings and goings are not the user's */
		snprintf(fd_text, sizeof(fd_text), "%d", ready[1]);
		execlp(program, program, "--device", device, "--listen", ret_server, "--ready-fd",
		       fd_text, (char *)NULL);
		fprintf(stderr, "genie run: %s: %m\n", program);
		_exit(127);
	}
	close(ready[1]);
	if (pid > 0) {
		struct pollfd poller = {.fd = ready[0], .events = POLLIN};

		/* A server that ended closes the pipe: poll returns, read gives nothing. */
		if (poll(&poller, 1, READY_TIMEOUT_S * 1000) != 1 ||
		    read(ready[0], &byte, 1) != 1) {
			fprintf(stderr, "genie run: genied did not start\n");
			kill(pid, SIGTERM);
			waitpid(pid, NULL, 0);
			pid = -1;
		}
	}
	close(ready[0]);
	return pid;
}

/* ---- the program ---- */

static volatile sig_atomic_t child_pid;

static void
pass_signal(int signal)
{
	if (child_pid > 0)
		kill(child_pid, signal);
}

static int
run_program(char **argv)
{
	struct sigaction pass = {.sa_handler = pass_signal}, old_term, old_hup;
	int status = 0;
	pid_t pid;

	/* The terminal sends SIGINT to the program as well; it decides, and we report. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigaction(SIGTERM, &pass, &old_term);
	sigaction(SIGHUP, &pass, &old_hup);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "genie run: fork: %m\n");
		return 125;
	}
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		sigaction(SIGTERM, &old_term, NULL);
		sigaction(SIGHUP, &old_hup, NULL);
		execvp(argv[0], argv);
		fprintf(stderr, "genie run: %s: %m\n", argv[0]);
		_exit(errno == ENOENT ? 127 : 126);
	}
	child_pid = pid;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 125;
	child_pid = 0;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* ---- what it did ---- */

struct totals {
	double calls, async_calls, round_trips, launches, bytes_sent, bytes_received;
	char device[64], transport[32];
	cJSON *unsupported; /* name -> count, over all processes */
	unsigned processes;
};

static double
number(const cJSON *stats, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(stats, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void
text(const cJSON *stats, const char *name, char *ret_text, size_t size)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(stats, name);

	if (cJSON_IsString(item))
		snprintf(ret_text, size, "%s", item->valuestring);
}

static void
add_stats(struct totals *totals, const cJSON *stats)
{
	const cJSON *item;

	totals->processes++;
	totals->calls += number(stats, "calls");
	totals->async_calls += number(stats, "async_calls");
	totals->round_trips += number(stats, "round_trips");
	totals->launches += number(stats, "launches");
	totals->bytes_sent += number(stats, "bytes_sent");
	totals->bytes_received += number(stats, "bytes_received");
	text(stats, "device", totals->device, sizeof(totals->device));
	text(stats, "transport", totals->transport, sizeof(totals->transport));
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(stats, "unsupported"))
	{
		cJSON *sum = cJSON_GetObjectItemCaseSensitive(totals->unsupported, item->string);

		if (sum)
			cJSON_SetNumberValue(sum, sum->valuedouble + item->valuedouble);
		else
			cJSON_AddNumberToObject(totals->unsupported, item->string,
						item->valuedouble);
	}
}

static cJSON *
read_stats(const char *path)
{
	FILE *f = fopen(path, "re");
	cJSON *stats = NULL;
	struct stat st;
	char *data;

	if (!f)
		return NULL;
	if (!fstat(fileno(f), &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= STATS_FILE_MAX && (data = malloc((size_t)st.st_size))) {
		size_t n = fread(data, 1, (size_t)st.st_size, f);

		stats = cJSON_ParseWithLength(data, n);
		free(data);
	}
	fclose(f);
	return stats;
}

/* Every process of the program left one file in @folder. */
static void
collect(const char *folder, struct totals *totals)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char path[PATH_MAX + 300];
		size_t len = strlen(entry->d_name);
		cJSON *stats;

		if (len < 5 || strcmp(entry->d_name + len - 5, ".json"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		stats = read_stats(path);
		if (stats)
			add_stats(totals, stats);
		cJSON_Delete(stats);
	}
	closedir(dir);
}

static void
remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

static void
report(const struct totals *totals, bool summary)
{
	const cJSON *item;

	if (summary && totals->processes) {
		double share = totals->calls > 0 ? 100 * totals->async_calls / totals->calls : 0;

		fprintf(stderr,
			"genie: device %s over %s; %.0f calls, %.1f %% asynchronous commands, %.0f "
			"launches, %.0f round trips; %.0f bytes sent, %.0f received\n",
			totals->device, totals->transport, totals->calls, share, totals->launches,
			totals->round_trips, totals->bytes_sent, totals->bytes_received);
	}
	if (!cJSON_GetArraySize(totals->unsupported))
		return;
	fprintf(stderr, "genie: calls that are not supported ('genie api NAME' says why):\n");
	cJSON_ArrayForEach(item, totals->unsupported)
		fprintf(stderr, "genie:   %-40s %.0f times\n", item->string, item->valuedouble);
}

static int
parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"server", required_argument, NULL, 's'},
		{"local", optional_argument, NULL, 'l'},
		{"stats", required_argument, NULL, 'S'},
		{"summary", no_argument, NULL, 'u'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "+hv", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->server = optarg;
			break;
		case 'l':
			o->local = optarg ? optarg : "auto";
			break;
		case 'S':
			o->stats = optarg;
			break;
		case 'u':
			o->summary = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fputs(help, stderr);
			return -1;
		}
	}
	if (optind >= argc) {
		fprintf(stderr, "genie run: no program given\n%s", help);
		return -1;
	}
	if (!o->server && !o->local && !getenv("GENIE_SERVER")) {
		fprintf(stderr,
			"genie run: no server: set GENIE_SERVER, or give --server or --local\n");
		return -1;
	}
	return 0;
}

int
genie_tool_run(int argc, char **argv)
{
	struct totals totals = {.unsupported = NULL};
	struct options o = {0};
	char home[PATH_MAX], folder[] = "/tmp/genie-run-XXXXXX", stats[64], server[PATH_MAX + 16];
	pid_t server_pid = -1;
	int status = 125;

	if (parse(argc, argv, &o))
		return 125;
	if (genie_tool_home(home, sizeof(home))) {
		fprintf(stderr,
			"genie run: libgenie.so is not where it belongs beside this program\n");
		return 125;
	}
	if (o.verbose)
		setenv("GENIE_LOG", "info", 0);
	if (!mkdtemp(folder)) {
		fprintf(stderr, "genie run: %s: %m\n", folder);
		return 125;
	}
	totals.unsupported = cJSON_CreateObject();
	if (o.local) {
		server_pid = start_server(home, o.local, folder, server, sizeof(server));
		if (server_pid < 0)
			goto out;
		o.server = server;
	}
	snprintf(stats, sizeof(stats), "%s/%%p.json", folder);
	if (set_environment(home, o.server, o.stats ? o.stats : stats))
		goto out;
	status = run_program(argv + optind);
	if (o.stats) {
		cJSON *own = read_stats(o.stats);

		if (own)
			add_stats(&totals, own);
		cJSON_Delete(own);
	} else {
		collect(folder, &totals);
	}
	report(&totals, o.summary);
out:
	if (server_pid > 0) {
		kill(server_pid, SIGTERM);
		waitpid(server_pid, NULL, 0);
	}
	remove_folder(folder);
	cJSON_Delete(totals.unsupported);
	return status;
}
