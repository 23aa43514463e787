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

#include "base/tested.h"
#include "genie_ops.h"
#include "tools/genie.h"
#include "transport/chan.h"

#define PYTHON_TIMEOUT "30"

static const char help[] =
	"usage: genie doctor [--server WHERE] [--strict]\n"
	"\n"
	"Looks at this machine and, if one is configured, the server: what is here (ok), what is\n"
	"not here but not needed for a run (--), what has a version that Genie was not tried with\n"
	"(?), what a run will fail for (!!), and what to do.\n"
	"\n"
	"  --server WHERE  the server to look at (default: $GENIE_SERVER)\n"
	"  --strict        exit with 1 when there is a !! or a ? (for CI)\n"
	"  --help\n"
	"\n"
	"GENIE_TOKEN is the server's token, if it has one.\n";

/* What a finding means for a run. */
enum finding {
	FINE,    /* here */
	ABSENT,  /* not here, and nothing needs it now */
	DOUBT,   /* a version that was not tried */
	PROBLEM, /* a run will fail or be slow */
};

static unsigned problems, doubts;

static void __attribute__((format(printf, 3, 4)))
say(enum finding finding, const char *what, const char *fmt, ...)
{
	static const char *const marks[] = {
		[FINE] = "ok", [ABSENT] = "--", [DOUBT] = "?", [PROBLEM] = "!!"};
	va_list ap;

	printf("%-3s %-16s ", marks[finding], what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	problems += finding == PROBLEM;
	doubts += finding == DOUBT;
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

/* @more: what else there is to say of it, with its own comma, or "". */
static void
say_version(enum genie_tested_what what, const char *version, const char *more)
{
	const struct genie_tested *tested = &genie_tested[what];
	int compared = genie_tested_compare(what, version);

	if (!compared) {
		say(FINE, tested->name, "%s%s", version, more);
		return;
	}
	say(DOUBT, tested->name, "%s%s: %s than what was tried, %s%s%s", version, more,
	    compared < 0 ? "older" : "newer", tested->oldest,
	    strcmp(tested->oldest, tested->newest) ? " to " : "",
	    strcmp(tested->oldest, tested->newest) ? tested->newest : "");
	advise("%s", tested->advice);
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
	char fetched[PATH_MAX + 32], command[PATH_MAX + 128], line[64], more[PATH_MAX + 48];
	const char *places[] = {"nvcc", "/usr/local/cuda/bin/nvcc", fetched};

	snprintf(fetched, sizeof(fetched), "%s/.deps/cuda/bin/nvcc", source);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(command, sizeof(command),
			 "'%s' --version 2>/dev/null | sed -n 's/.*release \\([0-9.]*\\).*/\\1/p'",
			 places[i]);
		if (strchr(places[i], '\'') || !command_line(command, line, sizeof(line)))
			continue;
		snprintf(more, sizeof(more), ", %s", places[i]);
		say_version(GENIE_TESTED_COMPILER, line, more);
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

/*
 * What is installed, by the names of tested.def. Nothing is imported: PyTorch takes seconds. Its
 * CUDA is "None" where it was built without.
 */
static const char python_look[] =
	"import importlib.util, os, platform, runpy\n"
	"print(\"PYTHON\", platform.python_version(), flush=True)\n"
	"import importlib.metadata\n"
	"spec = importlib.util.find_spec(\"torch\")\n"
	"if spec and spec.origin:\n"
	"    path = os.path.join(os.path.dirname(spec.origin), \"version.py\")\n"
	"    said = runpy.run_path(path)\n"
	"    print(\"PYTORCH\", said[\"__version__\"])\n"
	"    print(\"PYTORCH_CUDA\", said.get(\"cuda\"))\n"
	"for key, names in ((\"TRITON\", (\"triton\",)),\n"
	"        (\"CUBLAS\", (\"nvidia-cublas\", \"nvidia-cublas-cu12\", "
	"\"nvidia-cublas-cu11\")),\n"
	"        (\"CUDNN\", (\"nvidia-cudnn-cu13\", \"nvidia-cudnn-cu12\", "
	"\"nvidia-cudnn-cu11\")),\n"
	"        (\"NCCL\", (\"nvidia-nccl-cu13\", \"nvidia-nccl-cu12\", \"nvidia-nccl-cu11\"))):\n"
	"    for name in names:\n"
	"        try:\n"
	"            print(key, importlib.metadata.version(name))\n"
	"            break\n"
	"        except importlib.metadata.PackageNotFoundError:\n"
	"            pass\n";

/* One line of its answer: "KEY VERSION". */
static void
python_found(const char *line, char versions[GENIE_TESTED_COUNT][64])
{
	const char *space = strchr(line, ' ');

	for (int what = 0; space && what < GENIE_TESTED_COUNT; what++)
		if (strlen(genie_tested[what].key) == (size_t)(space - line) &&
		    !strncmp(line, genie_tested[what].key, (size_t)(space - line)))
			snprintf(versions[what], sizeof(versions[what]), "%s", space + 1);
}

static void
check_pytorch(char versions[GENIE_TESTED_COUNT][64])
{
	const char *version = versions[GENIE_TESTED_PYTORCH];
	char *cuda = versions[GENIE_TESTED_PYTORCH_CUDA];

	if (!*version) {
		say(ABSENT, "PyTorch", "not installed for this python3");
		advise("python3 -m pip install torch   (in a virtual environment)");
		return;
	}
	if (!strcmp(cuda, "None") || !*cuda) {
		*cuda = '\0';
		say(ABSENT, "PyTorch", "%s, built without CUDA: it asks for no GPU", version);
		advise("python3 -m pip install --force-reinstall torch   (not from the cpu index)");
		return;
	}
	say_version(GENIE_TESTED_PYTORCH, version, "");
}

/* @ret_pytorch_cuda: what its CUDA is, "" where nothing needs one. */
static void
check_python(char *ret_pytorch_cuda, size_t size)
{
	static const enum genie_tested_what libraries[] = {GENIE_TESTED_PYTORCH_CUDA,
							   GENIE_TESTED_TRITON, GENIE_TESTED_CUBLAS,
							   GENIE_TESTED_CUDNN, GENIE_TESTED_NCCL};
	char versions[GENIE_TESTED_COUNT][64] = {""}, line[256];
	char command[sizeof(python_look) + 64];
	FILE *f;

	*ret_pytorch_cuda = '\0';
	snprintf(command, sizeof(command), "timeout " PYTHON_TIMEOUT " python3 -c '%s' 2>/dev/null",
		 python_look);
	f = popen(command, "re");
	while (first_line(f, line, sizeof(line)))
		python_found(line, versions);
	if (f)
		pclose(f);
	if (!*versions[GENIE_TESTED_PYTHON]) {
		say(ABSENT, "Python", "no python3: needed to build Genie and for PyTorch");
		advise("apt-get install -y python3   (as root)");
		return;
	}
	say_version(GENIE_TESTED_PYTHON, versions[GENIE_TESTED_PYTHON], "");
	check_pytorch(versions);
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (*versions[libraries[i]])
			say_version(libraries[i], versions[libraries[i]], "");
	snprintf(ret_pytorch_cuda, size, "%s", versions[GENIE_TESTED_PYTORCH_CUDA]);
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

/* A runtime works with every driver of its major version and with later ones. */
static void
check_server_driver(unsigned int driver, const char *pytorch_cuda)
{
	char version[32];

	snprintf(version, sizeof(version), "%u.%u", driver / 1000, driver % 1000 / 10);
	say_version(GENIE_TESTED_DRIVER, version, "");
	if (*pytorch_cuda && strtoul(pytorch_cuda, NULL, 10) > driver / 1000) {
		say(PROBLEM, "CUDA driver", "%s of the server is too old for PyTorch's CUDA %s",
		    version, pytorch_cuda);
		advise("install a newer driver there, or here a PyTorch for CUDA %u",
		       driver / 1000);
	}
}

static void
check_server(const char *server, const char *home, const char *pytorch_cuda)
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
	say(FINE, "server", "%s over %s, device kind %.*s", server, genie_chan_transport(chan),
	    (int)sizeof(welcome->device_name), welcome->device_name);
	check_server_driver(welcome->driver_version, pytorch_cuda);
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
	char home[PATH_MAX], source[PATH_MAX], pytorch_cuda[64];
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
	check_python(pytorch_cuda, sizeof(pytorch_cuda));
	check_network();
	check_memory();
	check_server(server, home, pytorch_cuda);
	if (problems || doubts)
		printf("\n%u problem%s, %u version%s that Genie was not tried with.\n", problems,
		       problems == 1 ? "" : "s", doubts, doubts == 1 ? "" : "s");
	return strict && (problems || doubts) ? 1 : 0;
}
