/*
 * The life of a worker process: open the device, wait for a client, serve it, end. Its end frees
 * everything the client had, whatever state the device is in.
 */
#include "remote/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "genie_ops.h"
#include "remote/complete.h"
#include "remote/control.h"
#include "remote/credit.h"
#include "remote/session.h"
#include "remote/store.h"
#include "remote/timing.h"
#include "remote/uploads.h"
#include "transport/port.h"
#include "transport/window.h"

/* How long a worker may go on after its client is gone: it may have to finish what was sent. */
#define LINGER_MS 2000
/* How long it may take to write image files at the end. */
#define SAVE_S  5
#define NEXT_MS 1000
/* How long the supervisor may take to answer. */
#define SHARE_MS 30000

struct worker {
	const struct genie_worker_opts *opts;
	struct genie_backend backend;
	struct genie_device_info *devices;
	int device_count;
	uint64_t window, window_size;
	char *cache_dir;

	struct genie_ledger_entry *ledger_entry; /* this session's; NULL: none */
	struct genie_session session;
	struct genie_port *port;
	/*
	 * One question to the supervisor at a time, asked by the issuing thread and answered by way
	 * of the control thread. The lock guards what follows.
	 */
	pthread_mutex_t share_lock;
	pthread_cond_t share_answered;
	uint64_t share_request; /* the number of the last question */
	bool share_waiting;
	struct genie_control share_answer;
	int share_fd;

	int connection; /* a second descriptor of the client's connection, to see it hang up */
};

/* Coverage builds write their counters; otherwise there is no such function. */
extern void __gcov_dump(void) __attribute__((weak));

/*
 * Not exit(): other threads are still running, and the driver's own clean-up would wait for a
 * kernel that never ends. The system takes everything back.
 */
static _Noreturn void
end(int status)
{
	if (__gcov_dump)
		__gcov_dump();
	_exit(status);
}

static void
tell(const struct worker *worker, enum genie_control_kind kind, const char *text)
{
	struct genie_control note = {.kind = kind, .device = worker->backend.kind};

	snprintf(note.text, sizeof(note.text), "%s", text);
	genie_control_send(worker->opts->control, &note, -1);
}

/* ---- the device ---- */

static int
backend_open(struct worker *worker, char *err, size_t err_size)
{
	const char *device = worker->opts->device;
	char why_not[256] = "";

	if (!strcmp(device, "record"))
		return genie_backend_record_open(&worker->backend, err, err_size);
	if (!strcmp(device, "cpu"))
		return genie_backend_cpu_open(&worker->backend, err, err_size);
	if (!strcmp(device, "cuda"))
		return genie_backend_cuda_open(&worker->backend, err, err_size);
	if (!genie_backend_cuda_open(&worker->backend, why_not, sizeof(why_not)))
		return 0;
	genie_info("%s: using the CPU device", why_not);
	return genie_backend_cpu_open(&worker->backend, err, err_size);
}

/*
 * Reserves the addresses that clients place their memory at: there, or where there is room for
 * them. CUDA knows itself where it has room; the other devices use this process's own memory, of
 * which a sanitizer or a limit may leave less.
 */
static int
window_reserve(struct worker *worker, uint64_t base, uint64_t size)
{
	const struct genie_driver *drv = &worker->backend.drv;
	struct genie_window room = {base, size};
	CUdeviceptr got = 0;

	if (worker->window == base && worker->window_size == size)
		return 0;
	if (worker->window_size)
		drv->cuMemAddressFree(worker->window, worker->window_size);
	worker->window = 0;
	worker->window_size = 0;
	if (worker->backend.kind != GENIE_DEVICE_CUDA) {
		genie_window_reserve(base, size, 0, &room);
		genie_window_release(&(struct genie_window){room.base, room.size});
	}
	if (!room.size ||
	    drv->cuMemAddressReserve(&got, room.size, 0, room.base, 0) != CUDA_SUCCESS)
		return -ENOMEM;
	/* Where the driver would rather have it is as good: the client is told. */
	worker->window = got;
	worker->window_size = room.size;
	return 0;
}

static int
devices_describe(struct worker *worker, char *err, size_t err_size)
{
	int count = 0;

	worker->backend.drv.cuDeviceGetCount(&count);
	if (count < 1 || count > GENIE_DEVICES_MAX) {
		snprintf(err, err_size, "the %s device has %d devices", worker->backend.name,
			 count);
		return -ENODEV;
	}
	worker->devices = calloc((size_t)count, sizeof(*worker->devices));
	if (!worker->devices)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		if (genie_backend_describe(&worker->backend, i, &worker->devices[i])) {
			snprintf(err, err_size, "device %d cannot be asked what it is", i);
			return -ENODEV;
		}
	worker->device_count = count;
	return 0;
}

static int
device_open(struct worker *worker, char *err, size_t err_size)
{
	const struct genie_driver *drv = &worker->backend.drv;
	CUcontext ctx = NULL;
	CUdevice device = 0;
	int error;

	error = backend_open(worker, err, err_size);
	if (error)
		return error;
	/* First of all, and kept: what describes the device then need not make a context. */
	if (worker->opts->warm && drv->cuDeviceGet(&device, 0) == CUDA_SUCCESS &&
	    drv->cuDevicePrimaryCtxRetain(&ctx, device) == CUDA_SUCCESS)
		drv->cuCtxSetCurrent(ctx);
	error = devices_describe(worker, err, err_size);
	if (error)
		return error;
	if (window_reserve(worker, GENIE_DEVICE_WINDOW_BASE, GENIE_DEVICE_WINDOW_SIZE)) {
		snprintf(err, err_size, "no room for the window of device addresses");
		return -ENOMEM;
	}
	return 0;
}

/* ---- what sessions share: the supervisor knows it ---- */

static int
share_send(struct worker *worker, const struct genie_control *note, int fd)
{
	struct pollfd room = {.fd = worker->opts->control, .events = POLLOUT};
	int error;

	while ((error = genie_control_send(worker->opts->control, note, fd)) == -EAGAIN)
		if (poll(&room, 1, SHARE_MS) <= 0)
			break;
	return error;
}

/* Asks and waits. *ret_fd is the caller's, or -1. */
static int
share_ask(struct worker *worker, struct genie_control *note, int fd, int *ret_fd)
{
	struct timespec until;
	int error;

	*ret_fd = -1;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SHARE_MS / 1000;
	pthread_mutex_lock(&worker->share_lock);
	note->request = ++worker->share_request;
	worker->share_waiting = true;
	error = share_send(worker, note, fd);
	while (!error && worker->share_waiting)
		if (pthread_cond_timedwait(&worker->share_answered, &worker->share_lock, &until))
			error = -ETIMEDOUT;
	if (!error) {
		error = worker->share_answer.error;
		note->share = worker->share_answer.share;
		*ret_fd = worker->share_fd;
	}
	worker->share_waiting = false;
	pthread_mutex_unlock(&worker->share_lock);
	return error;
}

static int
share_put(void *data, const struct genie_share *share, int fd)
{
	struct genie_control note = {.kind = GENIE_CONTROL_SHARE_PUT, .share = *share};
	int none;

	return share_ask(data, &note, fd, &none);
}

static int
share_get(void *data, const uint8_t id[GENIE_SHARE_ID], struct genie_share *ret_share, int *ret_fd)
{
	struct genie_control note = {.kind = GENIE_CONTROL_SHARE_GET};
	int error;

	memcpy(note.share.id, id, GENIE_SHARE_ID);
	error = share_ask(data, &note, -1, ret_fd);
	if (!error)
		*ret_share = note.share;
	return error;
}

static void
share_withdraw(void *data, const uint8_t id[GENIE_SHARE_ID])
{
	struct genie_control note = {.kind = GENIE_CONTROL_SHARE_WITHDRAW};

	memcpy(note.share.id, id, GENIE_SHARE_ID);
	share_send(data, &note, -1);
}

/* On the control thread. An answer that came too late is nobody's. */
static void
share_hear(struct worker *worker, const struct genie_control *answer, int fd)
{
	pthread_mutex_lock(&worker->share_lock);
	if (worker->share_waiting && answer->request == worker->share_request) {
		worker->share_answer = *answer;
		worker->share_fd = fd;
		worker->share_waiting = false;
		pthread_cond_signal(&worker->share_answered);
		fd = -1;
	}
	pthread_mutex_unlock(&worker->share_lock);
	if (fd >= 0)
		close(fd);
}

/* ---- while a session runs ---- */

/*
 * The supervisor ended, or the client hung up while the issuing thread may be inside a driver call
 * that does not return. The session gets a moment to end in order.
 */
static void
watch_hangup(struct worker *worker, bool *gone, int64_t *since_ms, const struct pollfd *fds)
{
	struct timespec now;
	int64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (!*gone && (fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR))) {
		*gone = true;
		*since_ms = now_ms;
	}
	if (*gone && now_ms - *since_ms >= LINGER_MS) {
		tell(worker, GENIE_CONTROL_ENDED,
		     "the client is gone, and the device did not finish its work");
		end(0);
	}
}

static void
control_hear(struct worker *worker)
{
	struct genie_control order = {0};
	int fd = -1;
	int error;

	error = genie_control_receive(worker->opts->control, &order, &fd);
	if (error == -EAGAIN || error == -EINTR)
		return;
	if (error)
		end(1); /* the supervisor is gone */
	if (order.kind == GENIE_CONTROL_SHARE_ANSWER) {
		share_hear(worker, &order, fd);
	} else if (order.kind == GENIE_CONTROL_JOIN && fd >= 0) {
		genie_port_join(worker->port, fd); /* or the session ends */
	} else if (fd >= 0) {
		close(fd);
	}
}

static void *
control_main(void *data)
{
	struct worker *worker = data;
	bool gone = false;
	int64_t since_ms = 0;

	prctl(PR_SET_NAME, "control");
	for (;;) {
		struct pollfd fds[2] = {
			{.fd = worker->opts->control, .events = POLLIN},
			{.fd = gone ? -1 : worker->connection, .events = POLLRDHUP},
		};

		if (poll(fds, 2, gone ? 100 : -1) < 0 && errno != EINTR)
			end(1);
		if (fds[0].revents)
			control_hear(worker);
		watch_hangup(worker, &gone, &since_ms, fds);
	}
	return NULL;
}

/* The next command. Meanwhile this thread looks after what somebody waits for. */
static int
command_next(struct worker *worker, const struct genie_cmd **ret_cmd)
{
	int error;

	do
		error = genie_port_next(worker->port, 0, ret_cmd);
	while (error == -EAGAIN && genie_complete_attend(&worker->session));
	if (error == -EAGAIN) {
		atomic_store_explicit(&worker->session.idle, true, memory_order_relaxed);
		error = genie_port_next(worker->port, NEXT_MS, ret_cmd);
		atomic_store_explicit(&worker->session.idle, false, memory_order_relaxed);
	}
	genie_complete_hand_over(&worker->session);
	return error;
}

/* Executes commands until the session is over; says why it is. */
static const char *
commands_run(struct worker *worker)
{
	const struct genie_cmd *cmd = NULL;
	int error;

	worker->session.attends = true;
	for (;;) {
		error = command_next(worker, &cmd);
		if (error == -EAGAIN)
			continue;
		if (!error)
			error = genie_session_execute(&worker->session, cmd);
		if (error == -EPROTO)
			return "the client broke the protocol";
		if (error)
			return "the client ended";
		if (worker->session.bye)
			return "the client said goodbye";
	}
}

/*
 * What the client may map without asking. What is free is known without making a context for the
 * first device only, and there only if the worker is warm or the device is software; a client that
 * asks for more is told the truth anyway.
 */
static void
credit_begin(struct worker *worker)
{
	const struct genie_driver *drv = &worker->backend.drv;
	CUcontext current = NULL;
	size_t free_bytes = 0, total = 0;

	worker->ledger_entry = genie_ledger_join(worker->opts->ledger, getpid());
	for (int i = 0; i < worker->device_count; i++)
		worker->devices[i].credit = 0;
	if (worker->backend.kind != GENIE_DEVICE_CUDA)
		free_bytes = worker->devices[0].total_mem;
	else if (drv->cuCtxGetCurrent(&current) != CUDA_SUCCESS || !current ||
		 drv->cuMemGetInfo_v2(&free_bytes, &total) != CUDA_SUCCESS)
		return;
	worker->devices[0].credit = genie_credit_first(&worker->backend, worker->opts->ledger,
						       worker->ledger_entry, 0, free_bytes);
}

static struct genie_welcome
welcome_make(const struct worker *worker, const struct genie_control *order)
{
	/* Where the client wants the pinned window, or where there is room for it in this process:
	 * the client follows. */
	struct genie_window pinned = {0};
	struct genie_welcome welcome = {
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.status = GENIE_WELCOME_OK,
		.api_hash = GENIE_API_HASH,
		.device_count = (uint32_t)worker->device_count,
		.device_window = worker->window,
		.device_window_size = worker->window_size,
		.device_kind = worker->backend.kind,
	};
	int version = 0;

	if (order->hello.pinned_window_size)
		genie_window_reserve(order->hello.pinned_window, order->hello.pinned_window_size, 0,
				     &pinned);
	welcome.pinned_window = pinned.base;
	welcome.pinned_window_size = pinned.size;
	genie_window_release(&pinned);
	worker->backend.drv.cuDriverGetVersion(&version);
	welcome.driver_version = (uint32_t)version;
	if (worker->backend.wants_ranges)
		welcome.flags |= GENIE_WELCOME_F_RANGES;
	if (genie_uploads_any(worker->cache_dir))
		welcome.flags |= GENIE_WELCOME_F_UPLOADS;
	memcpy(welcome.session_id, order->session_id, sizeof(welcome.session_id));
	snprintf(welcome.device_name, sizeof(welcome.device_name), "%s", worker->backend.name);
	return welcome;
}

/* The client may want the window of device addresses elsewhere. */
static int
window_agree(struct worker *worker, const struct genie_control *order, int fd)
{
	static const char why[] = "the window of device addresses cannot be reserved";

	if (!order->hello.device_window ||
	    !window_reserve(worker, order->hello.device_window, order->hello.device_window_size))
		return 0;
	genie_port_refuse(fd, GENIE_WELCOME_NODEVICE, why);
	return -ENOMEM;
}

static int
port_open(struct worker *worker, const struct genie_control *order, int fd, char *err,
	  size_t err_size)
{
	struct genie_port_opts opts = {
		.fd = fd, .is_shm = order->is_shm != 0, .devices = worker->devices};

	if (window_agree(worker, order, fd)) {
		close(fd);
		return -ENOMEM;
	}
	opts.welcome = welcome_make(worker, order);
	return genie_port_open(&opts, &worker->port, err, err_size);
}

static void
output(void *data, const char *text, size_t len, bool is_error)
{
	static _Atomic uint64_t printed;
	struct worker *worker = data;

	genie_port_output(worker->port, text, len, is_error);
	/* A client that waited for the device can tell whether it has seen all of it. */
	genie_port_progress(worker->port, GENIE_SLOT_OUTPUT,
			    atomic_fetch_add_explicit(&printed, len, memory_order_relaxed) + len);
}

/* One session, and the end of the process. */
static _Noreturn void
serve(struct worker *worker, const struct genie_control *order, int fd)
{
	struct genie_session_opts opts = {.backend = &worker->backend,
					  .devices = worker->devices,
					  .device_count = worker->device_count,
					  .cache_dir = worker->cache_dir,
					  .ledger = worker->opts->ledger};
	const struct genie_broker broker = {
		.put = share_put, .get = share_get, .withdraw = share_withdraw, .data = worker};
	char err[192] = "";
	const char *why;
	pthread_t control;

	worker->connection = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	credit_begin(worker);
	if (port_open(worker, order, fd, err, sizeof(err))) {
		tell(worker, GENIE_CONTROL_ENDED, *err ? err : "the session cannot be opened");
		end(1);
	}
	opts.port = worker->port;
	opts.broker = &broker;
	pthread_mutex_init(&worker->share_lock, NULL);
	pthread_cond_init(&worker->share_answered, NULL);
	opts.ledger_entry = worker->ledger_entry;
	opts.device_window = worker->window;
	opts.device_window_size = worker->window_size;
	worker->backend.events.output = output;
	worker->backend.events.data = worker;
	if (genie_session_init(&worker->session, &opts) ||
	    pthread_create(&control, NULL, control_main, worker)) {
		tell(worker, GENIE_CONTROL_ENDED, "out of memory");
		end(1);
	}
	why = commands_run(worker);
	alarm(SAVE_S);
	genie_timing_write();
	tell(worker, GENIE_CONTROL_ENDED, why);
	genie_store_destroy(worker->session.store);
	end(0);
}

/* Only says what is here. The worker stays ready. */
static void
answer_query(struct worker *worker, const struct genie_control *order, int fd)
{
	struct genie_welcome welcome;

	if (!window_agree(worker, order, fd)) {
		welcome = welcome_make(worker, order);
		genie_port_answer(fd, &welcome, worker->devices);
	}
	close(fd);
	tell(worker, GENIE_CONTROL_IDLE, "");
}

/* ---- the process ---- */

static void
limits_set(void)
{
	const struct rlimit no_core = {0, 0};

	/* A core file would hold the client's data. */
	setrlimit(RLIMIT_CORE, &no_core);
}

/* Clients that were already handed to this worker are told why it cannot serve them. */
static _Noreturn void
fail(struct worker *worker, const char *why)
{
	struct genie_control order = {0};
	int fd = -1;

	tell(worker, GENIE_CONTROL_FAILED, why);
	fcntl(worker->opts->control, F_SETFL, O_NONBLOCK);
	while (!genie_control_receive(worker->opts->control, &order, &fd))
		if (fd >= 0) {
			genie_port_refuse(fd, GENIE_WELCOME_NODEVICE, why);
			close(fd);
		}
	end(1);
}

void
genie_worker_main(const struct genie_worker_opts *opts)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	struct genie_control order = {0};
	char text[256] = "";
	char who[32];
	int fd = -1;

	if (!worker)
		_exit(1);
	worker->opts = opts;
	worker->connection = -1;
	snprintf(who, sizeof(who), "genied[%d]", (int)getpid());
	genie_log_init(who);
	prctl(PR_SET_NAME, "genied-worker");
	limits_set();
	worker->cache_dir = genie_store_dir();
	genie_timing_init();
	if (device_open(worker, text, sizeof(text)))
		fail(worker, text);
	snprintf(text, sizeof(text), "%s, %d device%s (%.100s)", worker->backend.name,
		 worker->device_count, worker->device_count == 1 ? "" : "s",
		 worker->devices[0].name);
	tell(worker, GENIE_CONTROL_READY, text);
	for (;;) {
		int error = genie_control_receive(opts->control, &order, &fd);

		if (error == -EINTR)
			continue;
		if (error)
			end(0); /* the supervisor is gone */
		if (order.kind == GENIE_CONTROL_SERVE && fd >= 0)
			serve(worker, &order, fd);
		if (order.kind == GENIE_CONTROL_QUERY && fd >= 0)
			answer_query(worker, &order, fd);
		else if (fd >= 0)
			close(fd);
		fd = -1;
	}
}
