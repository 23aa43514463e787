#include "remote/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/worker.h"
#include "transport/port.h"

#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 30000

int64_t
genie_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
count(const struct genie_pool *pool, enum genie_worker_state state)
{
	int n = 0;

	for (const struct genie_worker *w = pool->workers; w; w = w->next)
		n += w->state == state;
	return n;
}

/* The first process in the new worker. Signals are as a plain program expects them: SIGTERM ends
 * it at once, and so does the end of the supervisor. */
static _Noreturn void
child_main(struct genie_pool *pool, int control, pid_t supervisor)
{
	struct genie_worker_opts opts = {
		.device = pool->device, .control = control, .ledger = pool->ledger};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(1); /* it ended before the line above */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	opts.warm = pool->warm != 0;
	genie_pool_forget(pool);
	pool->child(pool->data);
	genie_worker_main(&opts);
}

static struct genie_worker *
worker_start(struct genie_pool *pool)
{
	struct genie_worker *worker;
	pid_t supervisor = getpid();
	int socks[2];
	int error;

	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return NULL;
	error = genie_control_pair(socks);
	if (error) {
		genie_error("cannot start a worker: socketpair: %s", strerror(-error));
		goto err_free;
	}
	/* Ours only: a worker waits for orders. */
	if (fcntl(socks[0], F_SETFL, O_NONBLOCK) < 0) {
		genie_error("cannot start a worker: fcntl: %m");
		goto err_close;
	}
	worker->pid = fork();
	if (worker->pid < 0) {
		genie_error("cannot start a worker: fork: %m");
		goto err_close;
	}
	if (worker->pid == 0) {
		close(socks[0]);
		child_main(pool, socks[1], supervisor);
	}
	close(socks[1]);
	worker->control = socks[0];
	worker->state = GENIE_WORKER_STARTING;
	worker->since_ms = genie_now_ms();
	worker->next = pool->workers;
	pool->workers = worker;
	return worker;

err_close:
	close(socks[0]);
	close(socks[1]);
err_free:
	free(worker);
	return NULL;
}

void
genie_pool_fill(struct genie_pool *pool)
{
	/* The very first worker is started in any case: it shows that the device works. */
	int want = pool->known ? pool->warm : 1;
	int have = count(pool, GENIE_WORKER_IDLE) + count(pool, GENIE_WORKER_STARTING);

	if (genie_now_ms() < pool->retry_ms)
		return;
	for (; have < want; have++)
		if (!worker_start(pool)) {
			pool->retry_ms = genie_now_ms() + RETRY_MIN_MS;
			return;
		}
}

/* A worker that is ready, or will be first, or a new one. */
static struct genie_worker *
worker_choose(struct genie_pool *pool)
{
	for (struct genie_worker *w = pool->workers; w; w = w->next)
		if (w->state == GENIE_WORKER_IDLE)
			return w;
	for (struct genie_worker *w = pool->workers; w; w = w->next)
		if (w->state == GENIE_WORKER_STARTING)
			return w;
	return worker_start(pool);
}

static void
serve_new(struct genie_pool *pool, const struct genie_control *greeted, int fd)
{
	struct genie_control order = *greeted;
	struct genie_worker *worker;
	bool query = greeted->hello.kind == GENIE_HELLO_QUERY;
	int tries = 3; /* a worker may have ended this very moment */

	if (count(pool, GENIE_WORKER_BUSY) >= pool->max_clients) {
		genie_warn("refused %s: %d sessions are open (--max-clients)", greeted->text,
			   pool->max_clients);
		genie_port_refuse(fd, GENIE_WELCOME_FULL, "the server has no room for a session");
		return;
	}
	if (getrandom(order.session_id, sizeof(order.session_id), 0) !=
	    (ssize_t)sizeof(order.session_id)) {
		genie_port_refuse(fd, GENIE_WELCOME_FULL, "the server has no random numbers");
		return;
	}
	order.kind = query ? GENIE_CONTROL_QUERY : GENIE_CONTROL_SERVE;
	while (tries-- > 0 && (worker = worker_choose(pool))) {
		if (genie_control_send(worker->control, &order, fd)) {
			worker->state = GENIE_WORKER_LOST;
			continue;
		}
		worker->state = GENIE_WORKER_BUSY;
		worker->since_ms = genie_now_ms();
		snprintf(worker->who, sizeof(worker->who), "%s", greeted->text);
		worker->serving = !query;
		if (query)
			return;
		memcpy(worker->session_id, order.session_id, sizeof(worker->session_id));
		worker->number = ++pool->sessions;
		genie_info("session %llu: %s: begins, worker %d",
			   (unsigned long long)worker->number, worker->who, (int)worker->pid);
		return;
	}
	genie_port_refuse(fd, GENIE_WELCOME_NODEVICE,
			  *pool->failure ? pool->failure : "the server cannot start a worker");
}

static void
serve_join(struct genie_pool *pool, const struct genie_control *greeted, int fd)
{
	struct genie_control order = *greeted;

	order.kind = GENIE_CONTROL_JOIN;
	for (struct genie_worker *w = pool->workers; w; w = w->next)
		if (w->state == GENIE_WORKER_BUSY && w->serving &&
		    !memcmp(w->session_id, greeted->hello.join_id, sizeof(w->session_id))) {
			genie_control_send(w->control, &order, fd);
			return;
		}
	genie_info("refused %s: no such session to join", greeted->text);
	genie_port_refuse(fd, GENIE_WELCOME_BAD, "no such session");
}

void
genie_pool_serve(struct genie_pool *pool, const struct genie_control *greeted, int fd)
{
	switch ((enum genie_hello_kind)greeted->hello.kind) {
	case GENIE_HELLO_SESSION:
	case GENIE_HELLO_QUERY:
		serve_new(pool, greeted, fd);
		break;
	case GENIE_HELLO_BULK:
		serve_join(pool, greeted, fd);
		break;
	default:
		genie_port_refuse(fd, GENIE_WELCOME_BAD, "unknown kind of hello");
	}
	close(fd);
}

/* The device that "auto" turned out to be is kept, so that all sessions get the same. */
static void
device_known(struct genie_pool *pool, const struct genie_control *note)
{
	pool->failures = 0;
	if (pool->known)
		return;
	pool->known = true;
	if (note->device == GENIE_DEVICE_CUDA)
		pool->device = "cuda";
	else if (note->device == GENIE_DEVICE_CPU)
		pool->device = "cpu";
	else
		pool->device = "record";
	if (pool->warm < 0)
		pool->warm = note->device == GENIE_DEVICE_CUDA ? 1 : 0;
	genie_info("device: %s", note->text);
}

static void
device_failed(struct genie_pool *pool, const struct genie_control *note)
{
	int64_t wait = RETRY_MIN_MS << (pool->failures < 6 ? pool->failures : 6);

	pool->failures++;
	pool->retry_ms = genie_now_ms() + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
	snprintf(pool->failure, sizeof(pool->failure), "%s", note->text);
	genie_error("%s", note->text);
}

/* A query is answered. Its worker is kept, unless there are enough: several queries at a time may
 * have made several. */
static void
worker_idle(struct genie_pool *pool, struct genie_worker *worker)
{
	int keep = pool->warm > 1 ? pool->warm : 1;

	if (count(pool, GENIE_WORKER_IDLE) < keep) {
		worker->state = GENIE_WORKER_IDLE;
		return;
	}
	worker->state = GENIE_WORKER_LOST;
	shutdown(worker->control, SHUT_RDWR); /* it takes that for our end, and ends */
}

/* Only a worker that serves a session shares anything, and only with such. */
static void
share_request(struct genie_pool *pool, struct genie_worker *worker,
	      const struct genie_control *note, int fd)
{
	struct genie_control answer = {.kind = GENIE_CONTROL_SHARE_ANSWER,
				       .request = note->request};
	int found = -1;

	if (!worker->serving) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (note->kind == GENIE_CONTROL_SHARE_PUT) {
		answer.error = genie_shares_put(&pool->shares, worker->pid, &note->share, fd);
	} else {
		if (fd >= 0)
			close(fd);
		answer.error =
			genie_shares_get(&pool->shares, note->share.id, &answer.share, &found);
	}
	genie_control_send(worker->control, &answer, found);
}

void
genie_pool_hear(struct genie_pool *pool, struct genie_worker *worker)
{
	struct genie_control note = {0};
	int fd = -1;
	int error;

	while (!(error = genie_control_receive(worker->control, &note, &fd))) {
		if (note.kind == GENIE_CONTROL_SHARE_PUT || note.kind == GENIE_CONTROL_SHARE_GET) {
			share_request(pool, worker, &note, fd);
			fd = -1;
			continue;
		}
		if (fd >= 0)
			close(fd);
		fd = -1;
		switch ((enum genie_control_kind)note.kind) {
		case GENIE_CONTROL_READY:
			device_known(pool, &note);
			if (worker->state == GENIE_WORKER_STARTING)
				worker->state = GENIE_WORKER_IDLE;
			break;
		case GENIE_CONTROL_FAILED:
			device_failed(pool, &note);
			snprintf(worker->why, sizeof(worker->why), "%s", note.text);
			worker->state = GENIE_WORKER_LOST;
			break;
		case GENIE_CONTROL_IDLE:
			worker_idle(pool, worker);
			break;
		case GENIE_CONTROL_ENDED:
			snprintf(worker->why, sizeof(worker->why), "%s", note.text);
			break;
		case GENIE_CONTROL_SHARE_WITHDRAW:
			genie_shares_withdraw(&pool->shares, worker->pid, note.share.id);
			break;
		case GENIE_CONTROL_GREETED:
		case GENIE_CONTROL_REFUSED:
		case GENIE_CONTROL_SERVE:
		case GENIE_CONTROL_QUERY:
		case GENIE_CONTROL_JOIN:
		case GENIE_CONTROL_SHARE_ANSWER:
		case GENIE_CONTROL_SHARE_PUT:
		case GENIE_CONTROL_SHARE_GET:
			break; /* nothing a worker says */
		}
	}
	if (error != -EAGAIN) /* it ended */
		worker->state = GENIE_WORKER_LOST;
}

static void
worker_ended(struct genie_pool *pool, struct genie_worker *worker, int status)
{
	double seconds = (double)(genie_now_ms() - worker->since_ms) / 1000;
	char how[320];

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "%s%sworker killed by signal %d", worker->why,
			 *worker->why ? "; " : "", WTERMSIG(status));
	else if (*worker->why)
		snprintf(how, sizeof(how), "%s", worker->why);
	else
		snprintf(how, sizeof(how), "worker exited with status %d", WEXITSTATUS(status));
	if (worker->serving)
		genie_info("session %llu: %s: ended after %.1f s: %s",
			   (unsigned long long)worker->number, worker->who, seconds, how);
	else if (!pool->ending && (WIFSIGNALED(status) || (WEXITSTATUS(status) && !*worker->why)))
		genie_warn("worker %d without a session ended: %s", (int)worker->pid, how);
	/* One that dies while it opens the device may do so again: not in a tight loop. */
	if (!worker->serving && WIFSIGNALED(status))
		pool->retry_ms = genie_now_ms() + RETRY_MIN_MS;
}

bool
genie_pool_reap(struct genie_pool *pool, pid_t pid, int status)
{
	for (struct genie_worker **link = &pool->workers; *link; link = &(*link)->next) {
		struct genie_worker *worker = *link;

		if (worker->pid != pid)
			continue;
		genie_pool_hear(pool, worker); /* its last words */
		worker_ended(pool, worker, status);
		genie_ledger_leave(pool->ledger, pid);
		*link = worker->next;
		genie_shares_forget(&pool->shares, pid);
		close(worker->control);
		free(worker);
		return true;
	}
	return false;
}

void
genie_pool_kill(struct genie_pool *pool, int signal)
{
	pool->ending = true;
	for (const struct genie_worker *w = pool->workers; w; w = w->next)
		kill(w->pid, signal);
}

void
genie_pool_forget(struct genie_pool *pool)
{
	for (const struct genie_worker *w = pool->workers; w; w = w->next)
		close(w->control);
	genie_shares_forget(&pool->shares, 0); /* else the memory would outlive its owners */
}
