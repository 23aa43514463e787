/*
 * genie doctor: looks at everything a run depends on and says what is here, what is missing and
 * what to do. It changes nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "genie_ops.h"
#include "tools/genie.h"
#include "transport/chan.h"

#define PYTHON_TIMEOUT "30"

static const char help[] =
	"usage: genie doctor [--server WHERE] [--strict]\n"
	"\n"
	"Checks this machine and, if one is configured, the server.\n"
	"\n"
	"  --server WHERE  the server to look at (default: $GENIE_SERVER)\n"
	"  --strict        exit with 1 when something a run needs is missing (for CI)\n";

/* What a finding means for a run. */
enum finding {
	FINE,    /* here */
	ABSENT,  /* not here, and nothing needs it now */
	PROBLEM, /* a run will fail or be slow */
};

static unsigned problems;

static void __attribute__((format(printf, 3, 4)))
say(enum finding finding, const char *what, const char *fmt, ...)
{
	static const char *const marks[] = {[FINE] = "ok", [ABSENT] = "--", [PROBLEM] = "!!"};
	va_list ap;

	printf("%-3s %-16s ", marks[finding], what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (finding == PROBLEM)
		problems++;
}

/* First line of a file or of a command's output; false when there is none. */
static bool
first_line(FILE *f, char *ret_line, size_t size)
{
	bool got = f && fgets(ret_line, (int)size, f);

	if (got)
		ret_line[strcspn(ret_line, "\n")] = '\0';
	return got && *ret_line;
}

static bool
command_line(const char *command, char *ret_line, size_t size)
{
	FILE *f = popen(command, "re");
	bool got = first_line(f, ret_line, size);

	return f && pclose(f) == 0 && got;
}

static bool
file_line(const char *path, char *ret_line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool got = first_line(f, ret_line, size);

	if (f)
		fclose(f);
	return got;
}

static bool
has_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir)))
		found |= entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return found;
}

static void
check_installation(void)
{
	static const char *const parts[] = {"libgenie.so", "names/libcuda.so.1",
					    "names/libnvidia-ml.so.1"};
	char home[PATH_MAX], path[PATH_MAX + 64];

	if (genie_tool_home(home, sizeof(home))) {
		say(PROBLEM, "genie",
		    "libgenie.so is not where it belongs beside this program; build again");
		return;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", home, parts[i]);
		if (access(path, R_OK)) {
			say(PROBLEM, "genie", "%s: %m; build again", path);
			return;
		}
	}
	say(FINE, "genie", "%s, in %s", GENIE_VERSION, home);
}

static void
check_driver(void)
{
	char line[256];

	if (file_line("/proc/driver/nvidia/version", line, sizeof(line)))
		say(FINE, "NVIDIA driver", "%s", line);
	else
		say(ABSENT, "NVIDIA driver",
		    "none on this machine: genied serves the CPU device here");
}

static void
check_cuda(void)
{
	char line[256];

	if (command_line("nvcc --version 2>/dev/null | grep -o 'release [0-9.]*'", line,
			 sizeof(line)))
		say(FINE, "CUDA compiler", "%s", line);
	else
		say(ABSENT, "CUDA compiler",
		    "no nvcc: needed to build CUDA programs, not to run them");
}

static void
check_python(void)
{
	char line[256];

	if (!command_line("python3 -c 'import platform; print(platform.python_version())' "
			  "2>/dev/null",
			  line, sizeof(line))) {
		say(ABSENT, "Python", "no python3");
		return;
	}
	say(FINE, "Python", "%s", line);
	if (command_line("timeout " PYTHON_TIMEOUT
			 " python3 -c 'import torch; print(torch.__version__, \"for CUDA\", "
			 "torch.version.cuda)' 2>/dev/null",
			 line, sizeof(line)))
		say(FINE, "PyTorch", "%s", line);
	else
		say(ABSENT, "PyTorch", "not installed for this python3");
}

static void
check_network(void)
{
	if (has_entries("/sys/class/infiniband"))
		say(FINE, "RDMA", "devices in /sys/class/infiniband (this version uses TCP)");
	else
		say(ABSENT, "RDMA", "no device: network traffic goes over TCP");
	if (access("/dev/vfio/vfio", F_OK) == 0)
		say(FINE, "DPDK", "/dev/vfio is there (this version uses TCP)");
	else
		say(ABSENT, "DPDK", "no /dev/vfio");
}

static void
check_memory(void)
{
	struct rlimit files, locked;
	struct statvfs shm;
	char line[256];

	if (file_line("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", line, sizeof(line)))
		say(atoi(line) ? FINE : ABSENT, "huge pages", "%s of 2 MiB", line);
	else
		say(ABSENT, "huge pages", "none");
	if (!getrlimit(RLIMIT_MEMLOCK, &locked)) {
		if (locked.rlim_cur == RLIM_INFINITY)
			say(FINE, "locked memory", "unlimited");
		else
			say(ABSENT, "locked memory", "%llu KiB (a GPU driver raises it by itself)",
			    (unsigned long long)locked.rlim_cur >> 10);
	}
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < 256)
		say(PROBLEM, "descriptors", "only %llu: raise 'ulimit -n' to 1024 or more",
		    (unsigned long long)files.rlim_cur);
	if (!statvfs("/dev/shm", &shm))
		say(FINE, "shared memory", "%llu MiB free in /dev/shm",
		    (unsigned long long)shm.f_bavail * shm.f_frsize >> 20);
}

static void
print_device(unsigned i, const struct genie_device_info *d)
{
	char name[sizeof(d->name) + 1];

	snprintf(name, sizeof(name), "%.*s", (int)sizeof(d->name), d->name);
	say(FINE, "  device", "%u: %s, compute capability %d.%d, %llu MiB%s", i, name, d->attrs[75],
	    d->attrs[76], (unsigned long long)d->total_mem >> 20,
	    d->image_kinds & GENIE_IMAGE_SASS  ? ""
	    : d->image_kinds & GENIE_IMAGE_ANY ? ", runs nothing (records)"
					       : ", runs PTX only");
}

static void
check_server(const char *server)
{
	struct genie_chan_opts opts = {
		.server = server,
		.token = getenv("GENIE_TOKEN"),
		.kind = GENIE_HELLO_QUERY,
		.api_hash = GENIE_API_HASH,
		.timeout_ms = 5000,
	};
	const struct genie_welcome *welcome;
	struct genie_chan *chan;
	char err[256];

	if (!server || !*server) {
		say(PROBLEM, "server",
		    "GENIE_SERVER is not set: start 'genied' on the GPU machine and "
		    "set it to tcp://HOST:PORT (or try 'genie run --local')");
		return;
	}
	if (genie_chan_connect(&opts, &chan, err, sizeof(err)) < 0) {
		say(PROBLEM, "server", "%s: %s", server, err);
		return;
	}
	welcome = genie_chan_welcome(chan);
	say(FINE, "server", "%s over %s, device kind %.*s, CUDA driver %u.%u", server,
	    genie_chan_transport(chan), (int)sizeof(welcome->device_name), welcome->device_name,
	    welcome->driver_version / 1000, welcome->driver_version % 1000 / 10);
	for (unsigned i = 0; i < welcome->device_count; i++)
		print_device(i, &genie_chan_devices(chan)[i]);
	genie_chan_close(chan);
}

int
genie_tool_doctor(int argc, char **argv)
{
	static const struct option longs[] = {
		{"server", required_argument, NULL, 's'},
		{"strict", no_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *server = getenv("GENIE_SERVER");
	bool strict = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			server = optarg;
			break;
		case 'S':
			strict = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fputs(help, stderr);
			return 2;
		}
	}
	check_installation();
	check_driver();
	check_cuda();
	check_python();
	check_network();
	check_memory();
	check_server(server);
	if (problems)
		printf("\n%u problem%s.\n", problems, problems == 1 ? "" : "s");
	return strict && problems ? 1 : 0;
}
