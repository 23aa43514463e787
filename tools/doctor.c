/*
 * genie doctor: looks at everything a run depends on and says what is here, what is missing and
 * what to do. It changes nothing.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "genie_ops.h"
#include "tools/genie.h"
#include "transport/chan.h"

#define PYTHON_TIMEOUT "30"

static const char help[] =
	"usage: genie doctor [--server WHERE] [--strict]\n"
	"\n"
	"Looks at this machine and, if one is configured, the server: what is here (ok), what is\n"
	"not here but not needed for a run (--), what a run will fail for (!!), and what to do.\n"
	"\n"
	"  --server WHERE  the server to look at (default: $GENIE_SERVER)\n"
	"  --strict        exit with 1 when something a run needs is missing (for CI)\n"
	"  --help\n"
	"\n"
	"GENIE_TOKEN is the server's token, if it has one.\n";

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

/* What to type, below the finding that it is for. */
static void __attribute__((format(printf, 1, 2))) advise(const char *fmt, ...)
{
	va_list ap;

	printf("%21s", "do: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
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

/* The folder of Genie's sources, when this program lies in a build folder of it. */
static bool
source_folder(const char *home, char *ret_path)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/../tools/install-deps", home);
	if (!realpath(path, ret_path))
		return false;
	*strrchr(ret_path, '/') = '\0';
	*strrchr(ret_path, '/') = '\0';
	return true;
}

static bool
check_installation(char *ret_home, size_t size, char *ret_source)
{
	static const char *const parts[] = {"libgenie.so", "names/libcuda.so.1",
					    "names/libnvidia-ml.so.1"};
	char path[PATH_MAX + 64], home[PATH_MAX];
	bool has_source;

	*ret_source = '\0';
	if (genie_tool_home(ret_home, size)) {
		*ret_home = '\0';
		say(PROBLEM, "genie", "there is no libgenie.so beside this program");
		advise("ninja -C build interpose/libgenie.so   in the folder of Genie's sources");
		return false;
	}
	if (realpath(ret_home, home))
		snprintf(ret_home, size, "%s", home);
	has_source = source_folder(ret_home, ret_source);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", ret_home, parts[i]);
		if (access(path, R_OK)) {
			say(PROBLEM, "genie", "%s: %m", path);
			if (has_source)
				advise("ninja -C %s interpose/libgenie.so", ret_home);
			return has_source;
		}
	}
	say(FINE, "genie", "%s, in %s", GENIE_VERSION, ret_home);
	return has_source;
}

/* Kernel module, device files and library come from three places; a container may lack any. */
static void
check_driver(void)
{
	const char *library = getenv("GENIE_LIBCUDA");
	char line[256];
	void *driver;

	if (!file_line("/proc/driver/nvidia/version", line, sizeof(line))) {
		say(ABSENT, "NVIDIA driver", "none: a genied on this machine has the CPU device");
		return;
	}
	if (access("/dev/nvidiactl", F_OK)) {
		say(ABSENT, "NVIDIA driver",
		    "loaded, but /dev/nvidiactl is not here: a genied here has the CPU device");
		advise("give the container the GPUs (docker run --gpus all …)");
		return;
	}
	driver = dlopen(library && *library ? library : "libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (driver) {
		say(FINE, "NVIDIA driver", "%s", line);
		dlclose(driver);
		return;
	}
	say(ABSENT, "NVIDIA driver", "%s: a genied here has the CPU device", dlerror());
	advise("install libcuda.so.1 of this driver's version, or set GENIE_LIBCUDA to its path");
}

/* nvcc in PATH, where CUDA usually is, or where install-deps puts it. */
static void
check_cuda(const char *source)
{
	char fetched[PATH_MAX + 32], command[PATH_MAX + 128], line[64];
	const char *places[] = {"nvcc", "/usr/local/cuda/bin/nvcc", fetched};

	snprintf(fetched, sizeof(fetched), "%s/.deps/cuda/bin/nvcc", source);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(command, sizeof(command),
			 "'%s' --version 2>/dev/null | grep -o 'release [0-9.]*'", places[i]);
		if (strchr(places[i], '\'') || !command_line(command, line, sizeof(line)))
			continue;
		say(FINE, "CUDA compiler", "%s, %s", line, places[i]);
		return;
	}
	say(ABSENT, "CUDA compiler", "no nvcc: needed to build CUDA programs, not to run them");
	if (*source)
		advise("%s/tools/install-deps --demo", source);
}

/* The script knows what building and testing need; here only its answer is shown. */
static void
check_build(const char *source)
{
	char command[PATH_MAX + 64], line[512];

	snprintf(command, sizeof(command), "'%s/tools/install-deps' --missing 2>/dev/null", source);
	if (strchr(source, '\''))
		return;
	if (!command_line(command, line, sizeof(line))) {
		say(FINE, "build and test", "all that %s/check needs", source);
		return;
	}
	say(ABSENT, "build and test", "missing: %s", line);
	advise("%s/tools/install-deps", source);
}

static void
check_pytorch(void)
{
	char line[256];

	if (!command_line("timeout " PYTHON_TIMEOUT " python3 -c 'import torch; "
			  "print(torch.__version__, torch.version.cuda or \"none\")' 2>/dev/null",
			  line, sizeof(line))) {
		say(ABSENT, "PyTorch", "not installed for this python3");
		advise("python3 -m pip install torch   (in a virtual environment)");
	} else if (strstr(line, " none")) {
		*strchr(line, ' ') = '\0';
		say(ABSENT, "PyTorch", "%s, built without CUDA: it asks for no GPU", line);
		advise("python3 -m pip install --force-reinstall torch   (not from the cpu index)");
	} else {
		say(FINE, "PyTorch", "%.*s, for CUDA %s", (int)strcspn(line, " "), line,
		    strchr(line, ' ') + 1);
	}
}

static void
check_python(void)
{
	char line[256];

	if (!command_line("python3 -c 'import platform; print(platform.python_version())' "
			  "2>/dev/null",
			  line, sizeof(line))) {
		say(ABSENT, "Python", "no python3: needed to build Genie and for PyTorch");
		advise("apt-get install -y python3   (as root)");
		return;
	}
	say(FINE, "Python", "%s", line);
	check_pytorch();
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
		say(ABSENT, "DPDK", "no /dev/vfio: network traffic goes over TCP");
}

/* A line of /proc/meminfo, in MiB; 0 when there is none. */
static unsigned long long
meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib >> 10;
}

static void
check_memory(void)
{
	struct rlimit limit;
	char line[256];

	say(FINE, "memory", "%llu MiB available (rings, pinned memory and the CPU device use it)",
	    meminfo("MemAvailable"));
	if (file_line("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", line, sizeof(line)))
		say(atoi(line) ? FINE : ABSENT, "huge pages",
		    "%s of 2 MiB reserved (this version needs none)", line);
	if (!getrlimit(RLIMIT_MEMLOCK, &limit)) {
		if (limit.rlim_cur == RLIM_INFINITY)
			say(FINE, "locked memory", "unlimited");
		else
			say(ABSENT, "locked memory", "%llu KiB (a GPU driver raises it by itself)",
			    (unsigned long long)limit.rlim_cur >> 10);
	}
	/* Client and worker reserve windows of addresses that are far larger than any memory. */
	if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY) {
		say(PROBLEM, "address space", "limited to %llu MiB: nothing can be reserved",
		    (unsigned long long)limit.rlim_cur >> 20);
		advise("ulimit -v unlimited");
	}
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < 256) {
		say(PROBLEM, "descriptors", "only %llu", (unsigned long long)limit.rlim_cur);
		advise("ulimit -n 1024");
	}
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

/* No server is configured: what to type, with a genied that runs here if there is one. */
static void
advise_server(const char *home)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");
	char socket[PATH_MAX];

	say(PROBLEM, "server", "GENIE_SERVER is not set");
	snprintf(socket, sizeof(socket), "%s/genie-%u.sock", folder && *folder ? folder : "/tmp",
		 (unsigned)getuid());
	if (access(socket, F_OK) == 0)
		advise("export GENIE_SERVER=shm:%s   (a genied of yours was started here)", socket);
	advise("%s%sgenied --listen tcp://0.0.0.0:14833 --token-file FILE   on the GPU machine, "
	       "and here",
	       home, *home ? "/" : "");
	printf("%21sexport GENIE_SERVER=tcp://HOST:14833 GENIE_TOKEN=…\n", "");
	advise("%s%sgenie run --local -- PROGRAM   to try it without", home, *home ? "/" : "");
}

static void
check_server(const char *server, const char *home)
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
		advise_server(home);
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
	char home[PATH_MAX], source[PATH_MAX];
	bool strict = false, has_source;
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
	if (optind < argc) {
		fprintf(stderr, "genie doctor: unexpected argument '%s'\n%s", argv[optind], help);
		return 2;
	}
	has_source = check_installation(home, sizeof(home), source);
	check_driver();
	check_cuda(source);
	if (has_source)
		check_build(source);
	check_python();
	check_network();
	check_memory();
	check_server(server, home);
	if (problems)
		printf("\n%u problem%s.\n", problems, problems == 1 ? "" : "s");
	return strict && problems ? 1 : 0;
}
