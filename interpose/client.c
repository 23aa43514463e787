/*
 * The process: start, connection, fork, end.
 *
 * Loading does almost nothing: no connection, no thread, no memory. A program that never calls
 * CUDA does not notice that this library is there.
 */
#include "interpose/client.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/tested.h"
#include "interpose/stats.h"
#include "interpose/visible.h"
#include "interpose/watch.h"
#include "transport/helper.h"
#include "wire/codec.h"

#define SERVERS_MAX 4096 /* bytes of GENIE_SERVER */

struct genie_client genie_client = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.init_status = -1,
	.gate = CUDA_ERROR_NOT_INITIALIZED,
};

/* The last failure to connect: told once, not at every call. Guarded by genie_client.lock. */
static int connect_failed;
static bool perf_off[GENIE_PERF_COUNT];
static pthread_once_t settings_once = PTHREAD_ONCE_INIT;

/* ---- loading ---- */

/*
 * Makes the loader know this library by every name a program may ask for. dlopen() of a name
 * looks at the names of what is loaded before it looks for files; our RUNPATH leads these names
 * to symbolic links to this very file, so each becomes one more name of the one instance. No hook
 * of dlopen is needed.
 */
__attribute__((constructor)) static void
names_bind(void)
{
	static const char *const names[] = {"libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1",
					    "libnvidia-ml.so"};
	int saved_errno = errno;

	/* An ordinary program sees no error of ours in dlerror() either: it is thread-local and
	 * cleared here. */
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
	dlerror();
	errno = saved_errno;
}

__attribute__((destructor)) static void
client_end(void)
{
	if (!genie_client.forked)
		genie_stats_write();
	/* The session stays: exit handlers that run after this one may still call CUDA, and other
	 * threads may be in the middle of a call. The kernel closes it when the process is gone. */
}

/* ---- what kernels print ---- */

#define OUTPUT_SECONDS 60

/* Guards printed. */
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t output_more = PTHREAD_COND_INITIALIZER;
static uint64_t printed; /* bytes */

static void
output_print(void *data, const char *text, size_t len, bool is_error)
{
	FILE *file = is_error ? stderr : stdout;

	(void)data;
	/* What a kernel printed goes where the driver would have put it. stdio, so that it keeps
	 * its order with what the program printed. */
	if (text) {
		fwrite(text, 1, len, file);
		fflush(file);
	}
	pthread_mutex_lock(&output_lock);
	printed += len;
	pthread_cond_broadcast(&output_more);
	pthread_mutex_unlock(&output_lock);
}

void
genie_output_catch_up_slow(uint64_t bytes)
{
	struct timespec until;
	int seconds = OUTPUT_SECONDS;

	/* The thread that prints also runs host functions. One of them may wait for what the
	 * program does next, so for them nobody waits long. On a machine with much to do it may
	 * take that thread a while to come to it. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&output_lock);
	while (printed < bytes && !genie_chan_dead(genie_client_chan())) {
		if (!pthread_cond_timedwait(&output_more, &output_lock, &until))
			continue;
		if (genie_hostfunc_running() || --seconds <= 0)
			break;
		until.tv_sec++;
	}
	if (printed < bytes)
		printed = bytes;
	pthread_mutex_unlock(&output_lock);
}

/* ---- settings ---- */

static void
perf_parse(const char *list)
{
	static const char *const names[GENIE_PERF_COUNT] = {
		[GENIE_PERF_INLINE] = "no_inline",
		[GENIE_PERF_PROGRESS] = "no_progress",
		[GENIE_PERF_CACHE] = "no_cache",
		[GENIE_PERF_PINNED] = "no_pinned",
		[GENIE_PERF_ASYNC_FREE] = "no_async_free",
		[GENIE_PERF_COPY_THREADS] = "no_copy_threads",
		[GENIE_PERF_UPLOADS] = "no_uploads",
		[GENIE_PERF_DIRTY] = "no_dirty",
		[GENIE_PERF_SHARE_REGISTERED] = "no_share_registered",
	};

	while (list && *list) {
		size_t len = strcspn(list, ",");
		bool known = false;

		for (int i = 0; i < GENIE_PERF_COUNT; i++)
			if (strlen(names[i]) == len && !strncmp(list, names[i], len))
				known = perf_off[i] = true;
		if (!known && len)
			genie_warn("GENIE_PERF: %.*s is not known", (int)len, list);
		list += len;
		list += *list == ',';
	}
}

static void
client_fork_child(void)
{
	struct genie_chan *chan = genie_client_chan();

	pthread_mutex_init(&genie_client.lock, NULL);
	pthread_mutex_init(&output_lock, NULL);
	printed = 0;
	genie_object_fork_child();
	genie_graph_fork_child();
	genie_thread_fork_child();
	genie_stats_fork_child();
	genie_watch_fork_child();
	genie_helper_fork_child();
	if (chan)
		genie_chan_forget(chan);
	atomic_store(&genie_client.chan, NULL);
	if (atomic_load(&genie_client.init_status) == CUDA_SUCCESS) {
		/* As with the native driver: CUDA does not survive fork(). */
		genie_client.forked = true;
		atomic_store(&genie_client.gate, CUDA_ERROR_NOT_INITIALIZED);
	} else {
		/* The parent had not initialised: this process may, with its own session. */
		atomic_store(&genie_client.init_status, -1);
		connect_failed = 0;
	}
}

static bool
variable_is_one(const char *name)
{
	const char *value = getenv(name);

	return value && !strcmp(value, "1");
}

static void
settings_read(void)
{
	const char *sync = getenv("GENIE_SYNC");

	genie_log_init("genie");
	genie_client.sync = sync && *sync && strcmp(sync, "0") != 0;
	genie_client.launch_blocking = variable_is_one("CUDA_LAUNCH_BLOCKING");
	/* CUDA programming guide, 5.2.2: what of an image counts. */
	if (variable_is_one("CUDA_DISABLE_PTX_JIT") || variable_is_one("CUDA_DISABLE_JIT"))
		genie_client.kinds_unwanted = GENIE_IMAGE_PTX;
	else if (variable_is_one("CUDA_FORCE_PTX_JIT") || variable_is_one("CUDA_FORCE_JIT"))
		genie_client.kinds_unwanted = GENIE_IMAGE_SASS;
	perf_parse(getenv("GENIE_PERF"));
	genie_stats_init();
	genie_watch_init();
	pthread_atfork(NULL, NULL, client_fork_child);
}

void
genie_settings(void)
{
	pthread_once(&settings_once, settings_read);
}

bool
genie_perf(enum genie_perf what)
{
	return !perf_off[what];
}

/* ---- connecting ---- */

static int
server_connect(const char *server, struct genie_chan **ret_chan, char *err, size_t err_size)
{
	struct genie_chan_opts opts = {
		.server = server,
		.token = getenv("GENIE_TOKEN"),
		.kind = GENIE_HELLO_SESSION,
		.api_hash = genie_api_hash(),
		.copy_threads = genie_perf(GENIE_PERF_COPY_THREADS) ? 0 : -1,
		.events = {.host_func = genie_hostfunc_run, .output = output_print},
	};

	return genie_chan_connect(&opts, ret_chan, err, err_size);
}

/* Tries the servers of GENIE_SERVER in turn. 0, or the errno of the last one. */
static int
servers_connect_locked(struct genie_chan **ret_chan)
{
	const char *list = getenv("GENIE_SERVER");
	char servers[SERVERS_MAX], err[512] = "";
	char *rest = servers, *server;
	int error = -EDESTADDRREQ;

	if (!list || !*list) {
		genie_warn("no device: GENIE_SERVER is not set (tcp://HOST:PORT or shm:PATH)");
		return error;
	}
	if (snprintf(servers, sizeof(servers), "%s", list) >= (int)sizeof(servers)) {
		genie_warn("no device: GENIE_SERVER is too long");
		return -E2BIG;
	}
	while ((server = strsep(&rest, ","))) {
		if (!*server)
			continue;
		error = server_connect(server, ret_chan, err, sizeof(err));
		if (!error) {
			if (rest && *rest)
				genie_warn("using %s; the other servers of GENIE_SERVER are not "
					   "used yet",
					   server);
			genie_info("connected to %s over %s", server,
				   genie_chan_transport(*ret_chan));
			return 0;
		}
		genie_warn("no device at %s: %s", server, *err ? err : strerror(-error));
	}
	return error;
}

/* Which devices the program sees: CUDA_VISIBLE_DEVICES. 0, -ENOMEM or -EPROTO. */
static int
devices_choose_locked(const struct genie_device_info *devices)
{
	const char *order = getenv("CUDA_DEVICE_ORDER"), *problem;
	struct genie_device_info *visible;
	int count;

	for (uint32_t i = 0; i < genie_client.welcome->device_count; i++) {
		problem = genie_device_problem(&devices[i]);
		if (problem) {
			genie_warn(
				"no device: the server describes device %u with an impossible %s",
				i, problem);
			return -EPROTO;
		}
	}
	count = genie_visible_devices(
		getenv("CUDA_VISIBLE_DEVICES"), order && !strcmp(order, "PCI_BUS_ID"), devices,
		(int)genie_client.welcome->device_count, genie_client.device_order);
	/* Kept to the end of the process: contexts point into it. */
	visible = calloc((size_t)count + 1, sizeof(*visible));
	if (!visible)
		return -ENOMEM;
	for (int i = 0; i < count; i++) {
		visible[i] = devices[genie_client.device_order[i]];
		visible[i].image_kinds &= ~genie_client.kinds_unwanted;
	}
	genie_client.server_devices = devices;
	genie_client.devices = visible;
	genie_client.device_count = count;
	return 0;
}

/* Newer drivers are compatible with what was tried; of an older one the user should know. */
static void
driver_judge(uint32_t driver)
{
	char version[32];

	snprintf(version, sizeof(version), "%u.%u", driver / 1000, driver % 1000 / 10);
	if (genie_tested_compare(GENIE_TESTED_DRIVER, version) < 0)
		genie_warn("the server's driver is for CUDA %s, and genie was tried with %s and "
			   "later: `genie doctor` says more",
			   version, genie_tested[GENIE_TESTED_DRIVER].oldest);
}

int
genie_client_connect(void)
{
	struct genie_chan *chan = NULL;
	int saved_errno = errno;
	int error = 0;

	if (genie_client_chan())
		return 0;
	pthread_once(&settings_once, settings_read);
	pthread_mutex_lock(&genie_client.lock);
	if (genie_client_chan())
		goto out;
	error = connect_failed;
	if (error)
		goto out;
	error = servers_connect_locked(&chan);
	if (error) {
		connect_failed = error;
		goto out;
	}
	genie_client.welcome = genie_chan_welcome(chan);
	error = devices_choose_locked(genie_chan_devices(chan));
	if (error) {
		genie_client.welcome = NULL;
		genie_chan_close(chan);
		connect_failed = error;
		goto out;
	}
	driver_judge(genie_client.welcome->driver_version);
	atomic_store_explicit(&genie_client.chan, chan, memory_order_release);
out:
	pthread_mutex_unlock(&genie_client.lock);
	errno = saved_errno;
	return error;
}

CUresult
genie_client_init(void)
{
	int status;

	if (genie_client.forked)
		return CUDA_ERROR_NOT_INITIALIZED;
	status = atomic_load_explicit(&genie_client.init_status, memory_order_acquire);
	if (status == CUDA_SUCCESS)
		return CUDA_SUCCESS;
	if (genie_client_connect())
		return CUDA_ERROR_NO_DEVICE;

	pthread_mutex_lock(&genie_client.lock);
	status = atomic_load_explicit(&genie_client.init_status, memory_order_relaxed);
	if (status != CUDA_SUCCESS) {
		status = genie_client.device_count ? genie_ctx_init() : CUDA_ERROR_NO_DEVICE;
		atomic_store_explicit(&genie_client.init_status, status, memory_order_release);
		if (status == CUDA_SUCCESS)
			atomic_store_explicit(&genie_client.gate,
					      genie_client.watched ? GENIE_GATE_WATCHED : 0,
					      memory_order_release);
	}
	pthread_mutex_unlock(&genie_client.lock);
	return (CUresult)status;
}

CUresult
genie_cuInit(unsigned int flags)
{
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_client_init();
}

CUresult
genie_cuDriverGetVersion(int *driverVersion)
{
	if (!driverVersion)
		return CUDA_ERROR_INVALID_VALUE;
	/* The runtime asks before cuInit and signs the answer afterwards: it may not change in
	 * between, so this already asks the server. */
	if (!genie_client.forked && genie_client_connect() == 0)
		*driverVersion = (int)genie_client.welcome->driver_version;
	else
		*driverVersion = CUDA_VERSION;
	return CUDA_SUCCESS;
}
