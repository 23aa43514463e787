#include "remote/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "genie_ops.h"
#include "remote/control.h"
#include "remote/pool.h"
#include "transport/port.h"

/*
 * Handshakes under way at a time. When all are taken, the oldest one gives way once it had a fair
 * time, so that connections that say nothing cannot keep others out.
 */
#define GREETERS_MAX      32
#define GREET_TIMEOUT_MS  10000
#define GREET_FAIR_MS     200
#define REFUSALS_A_SECOND 10 /* lines in the log */
#define END_MS            2000
#define POLL_MS           500
#define ACCEPT_PAUSE_MS   250 /* before accepting is tried again: no descriptors */
#define GREET_PAUSE_MS    10  /* all greeters are busy */

struct greeter {
	pid_t pid; /* 0: free */
	int sock;
	bool mute; /* said all: only its end is still to come */
	int64_t since_ms;
	bool is_shm;
	char peer[128];
};

struct supervisor {
	const struct genie_supervisor_opts *opts;
	struct genie_listener listeners[GENIE_LISTEN_MAX];
	size_t listener_count;
	struct genie_pool pool;
	struct greeter greeters[GREETERS_MAX];
	int signals;
	bool open; /* clients may connect */
	bool stop;
	int64_t accept_ms; /* when connections are accepted again */
	int64_t refusal_second;
	int refusals;
};

/* ---- who is there ---- */

static void
peer_describe(int fd, bool is_shm, char *ret_text, size_t size)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN] = "?";

	if (is_shm) {
		struct ucred cred = {0};

		len = sizeof(cred);
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
		snprintf(ret_text, size, "shm, user %u", (unsigned)cred.uid);
	} else if (getpeername(fd, (struct sockaddr *)&addr, &len)) {
		snprintf(ret_text, size, "tcp");
	} else if (addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(ret_text, size, "tcp [%s]:%d", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(ret_text, size, "tcp %s:%d", host, ntohs(in->sin_port));
	}
}

/* A client's own words go into the log as letters only. */
static void
program_describe(const struct genie_hello *hello, char *ret_text, size_t size)
{
	char name[sizeof(hello->program) + 1];
	size_t i;

	for (i = 0; i < sizeof(hello->program) && hello->program[i]; i++) {
		char c = hello->program[i];

		name[i] = c > ' ' && c < 0x7f ? c : '_';
	}
	name[i] = '\0';
	snprintf(ret_text, size, "%s[%u]", name, hello->pid);
}

/* ---- greeters ---- */

/* What a forked child must not keep: else a connection would stay open after its owner ended. */
static void
forget(void *data)
{
	struct supervisor *sup = data;

	for (size_t i = 0; i < sup->listener_count; i++)
		close(sup->listeners[i].fd);
	for (int i = 0; i < GREETERS_MAX; i++)
		if (sup->greeters[i].pid)
			close(sup->greeters[i].sock);
	close(sup->signals);
	if (sup->opts->ready_fd >= 0 && !sup->open)
		close(sup->opts->ready_fd);
}

/* A worker runs what its client wrote, which must not find the token. */
static void
forget_as_worker(void *data)
{
	struct supervisor *sup = data;

	forget(sup);
	if (sup->opts->token)
		explicit_bzero(sup->opts->token, strlen(sup->opts->token));
}

static _Noreturn void
greeter_main(struct supervisor *sup, int fd, int sock)
{
	struct genie_control message = {.kind = GENIE_CONTROL_GREETED};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	forget(sup);
	genie_pool_forget(&sup->pool);
	if (genie_port_greet(fd, sup->opts->token, GENIE_API_HASH, GREET_TIMEOUT_MS, &message.hello,
			     message.text, sizeof(message.text))) {
		message.kind = GENIE_CONTROL_REFUSED;
		genie_control_send(sock, &message, -1);
	} else {
		genie_control_send(sock, &message, fd);
	}
	_exit(0);
}

static struct greeter *
greeter_free(struct supervisor *sup)
{
	struct greeter *oldest = NULL;

	for (int i = 0; i < GREETERS_MAX; i++) {
		struct greeter *greeter = &sup->greeters[i];

		if (!greeter->pid)
			return greeter;
		if (!oldest || greeter->since_ms < oldest->since_ms)
			oldest = greeter;
	}
	if (genie_now_ms() - oldest->since_ms >= GREET_FAIR_MS)
		kill(oldest->pid, SIGKILL); /* its place is free when it has been reaped */
	return NULL;
}

static void
connection_accept(struct supervisor *sup, struct genie_listener *listener)
{
	struct greeter *greeter = greeter_free(sup);
	int socks[2];
	int fd;

	if (!greeter) {
		sup->accept_ms = genie_now_ms() + GREET_PAUSE_MS;
		return;
	}
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* Out of descriptors, say: the connection still waits, and would wake us again
		 * at once. */
		genie_warn("accept on %s: %m", listener->address);
		sup->accept_ms = genie_now_ms() + ACCEPT_PAUSE_MS;
		return;
	}
	if (genie_control_pair(socks)) {
		genie_warn("cannot greet: socketpair: %m");
		close(fd);
		return;
	}
	if (fcntl(socks[0], F_SETFL, O_NONBLOCK) < 0) {
		genie_warn("cannot greet: fcntl: %m");
		goto err_close;
	}
	peer_describe(fd, listener->is_shm, greeter->peer, sizeof(greeter->peer));
	greeter->is_shm = listener->is_shm;
	greeter->since_ms = genie_now_ms();
	greeter->pid = fork();
	if (greeter->pid == 0) {
		close(socks[0]);
		greeter_main(sup, fd, socks[1]);
	}
	if (greeter->pid < 0) {
		genie_warn("cannot greet: fork: %m");
		greeter->pid = 0;
		goto err_close;
	}
	close(socks[1]);
	close(fd);
	greeter->mute = false;
	greeter->sock = socks[0];
	return;

err_close:
	close(socks[0]);
	close(socks[1]);
	close(fd);
}

static void
refusal_log(struct supervisor *sup, const struct greeter *greeter, const char *why)
{
	int64_t second = genie_now_ms() / 1000;

	if (second != sup->refusal_second) {
		sup->refusal_second = second;
		sup->refusals = 0;
	}
	if (sup->refusals++ < REFUSALS_A_SECOND)
		genie_warn("refused %s: %s", greeter->peer, why);
}

static void
greeter_hear(struct supervisor *sup, struct greeter *greeter)
{
	struct genie_control message = {0};
	char program[80];
	int fd = -1;
	int error;

	error = genie_control_receive(greeter->sock, &message, &fd);
	if (error) { /* nothing yet, or it ended: child_reap() hears of that */
		greeter->mute = error != -EAGAIN && error != -EINTR;
		return;
	}
	if (message.kind == GENIE_CONTROL_GREETED && fd >= 0) {
		message.is_shm = greeter->is_shm;
		program_describe(&message.hello, program, sizeof(program));
		snprintf(message.text, sizeof(message.text), "%s from %s", program, greeter->peer);
		genie_pool_serve(&sup->pool, &message, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	refusal_log(sup, greeter, message.text);
}

/* ---- children and signals ---- */

static void
child_reap(struct supervisor *sup, pid_t pid, int status)
{
	for (int i = 0; i < GREETERS_MAX; i++) {
		struct greeter *greeter = &sup->greeters[i];

		if (greeter->pid != pid)
			continue;
		greeter_hear(sup, greeter); /* what it said last */
		if (WIFSIGNALED(status))
			refusal_log(sup, greeter, "no hello in time");
		close(greeter->sock);
		greeter->pid = 0;
		return;
	}
	genie_pool_reap(&sup->pool, pid, status);
}

static void
signals_hear(struct supervisor *sup)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(sup->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD) {
			genie_info("signal %u: ending", info.ssi_signo);
			sup->stop = true;
		}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_reap(sup, pid, status);
}

static int
signals_open(struct supervisor *sup)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	sup->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return sup->signals < 0 ? -errno : 0;
}

/* ---- the loop ---- */

/* The device works: from here on connections are accepted. */
static void
open_doors(struct supervisor *sup)
{
	sup->open = true;
	for (size_t i = 0; i < sup->listener_count; i++) {
		const char *address = sup->listeners[i].address;

		genie_info("listening on %s", address);
		if (sup->opts->ready_fd >= 0)
			dprintf(sup->opts->ready_fd, "%s\n", address);
	}
	if (sup->opts->ready_fd >= 0)
		close(sup->opts->ready_fd);
}

/* What poll() watches, and for whom. */
struct watch {
	struct pollfd *fds;
	size_t count, room;
};

static void
watch_add(struct watch *watch, int fd)
{
	if (watch->count == watch->room) {
		size_t room = watch->room ? watch->room * 2 : 64;
		struct pollfd *fds = realloc(watch->fds, room * sizeof(*fds));

		if (!fds)
			return; /* looked at in the next round */
		watch->fds = fds;
		watch->room = room;
	}
	watch->fds[watch->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/* Returns for how long at most. */
static int
watch_all(struct supervisor *sup, struct watch *watch)
{
	const int64_t pause = sup->accept_ms - genie_now_ms();
	const bool accepting = sup->open && pause <= 0;

	watch->count = 0;
	watch_add(watch, sup->signals);
	for (size_t i = 0; accepting && i < sup->listener_count; i++)
		watch_add(watch, sup->listeners[i].fd);
	for (int i = 0; i < GREETERS_MAX; i++)
		if (sup->greeters[i].pid && !sup->greeters[i].mute)
			watch_add(watch, sup->greeters[i].sock);
	for (const struct genie_worker *w = sup->pool.workers; w; w = w->next)
		if (w->state != GENIE_WORKER_LOST)
			watch_add(watch, w->control);
	return pause > 0 && pause < POLL_MS ? (int)pause : POLL_MS;
}

static bool
ready(const struct watch *watch, int fd)
{
	for (size_t i = 0; i < watch->count; i++)
		if (watch->fds[i].fd == fd)
			return watch->fds[i].revents != 0;
	return false;
}

static void
serve_round(struct supervisor *sup, const struct watch *watch)
{
	struct genie_worker *next;

	for (int i = 0; i < GREETERS_MAX; i++)
		if (sup->greeters[i].pid && ready(watch, sup->greeters[i].sock))
			greeter_hear(sup, &sup->greeters[i]);
	for (struct genie_worker *w = sup->pool.workers; w; w = next) {
		next = w->next;
		if (ready(watch, w->control))
			genie_pool_hear(&sup->pool, w);
	}
	for (size_t i = 0; sup->open && i < sup->listener_count; i++)
		if (ready(watch, sup->listeners[i].fd))
			connection_accept(sup, &sup->listeners[i]);
	/* Last: it frees greeters and workers. */
	if (ready(watch, sup->signals))
		signals_hear(sup);
}

/* Workers end at SIGTERM; what does not is killed. */
static void
shut_down(struct supervisor *sup)
{
	int64_t until = genie_now_ms() + END_MS;
	bool killed = false;

	for (size_t i = 0; i < sup->listener_count; i++)
		genie_listener_close(&sup->listeners[i]);
	sup->listener_count = 0;
	for (int i = 0; i < GREETERS_MAX; i++)
		if (sup->greeters[i].pid)
			kill(sup->greeters[i].pid, SIGKILL);
	genie_pool_kill(&sup->pool, SIGTERM);
	while (sup->pool.workers) {
		struct pollfd fd = {.fd = sup->signals, .events = POLLIN};

		poll(&fd, 1, 50);
		signals_hear(sup);
		if (!killed && genie_now_ms() > until) {
			genie_pool_kill(&sup->pool, SIGKILL);
			killed = true;
		}
	}
}

static int
listeners_open(struct supervisor *sup)
{
	char err[256] = "";

	for (size_t i = 0; i < sup->opts->listen_count; i++) {
		if (genie_listener_open(sup->opts->listen[i], sup->opts->token != NULL,
					&sup->listeners[i], err, sizeof(err))) {
			fprintf(stderr, "genied: %s: %s\n", sup->opts->listen[i], err);
			return -1;
		}
		sup->listener_count++;
		fcntl(sup->listeners[i].fd, F_SETFL, O_NONBLOCK);
	}
	return 0;
}

int
genie_supervisor_run(const struct genie_supervisor_opts *opts)
{
	struct supervisor sup = {.opts = opts, .signals = -1};
	struct watch watch = {0};
	int timeout_ms;
	int status = 1;

	sup.pool = (struct genie_pool){.device = opts->device,
				       .warm = opts->warm,
				       .max_clients = opts->max_clients,
				       .ledger = genie_ledger_create(),
				       .child = forget_as_worker,
				       .data = &sup};
	if (signals_open(&sup)) {
		genie_error("signalfd: %m");
		return 1;
	}
	if (listeners_open(&sup))
		goto out;
	while (!sup.stop) {
		genie_pool_fill(&sup.pool);
		if (!sup.open && sup.pool.failures) {
			fprintf(stderr, "genied: %s\n", sup.pool.failure);
			goto out;
		}
		if (!sup.open && sup.pool.known)
			open_doors(&sup);
		timeout_ms = watch_all(&sup, &watch);
		if (poll(watch.fds, watch.count, timeout_ms) > 0)
			serve_round(&sup, &watch);
	}
	status = 0;
out:
	shut_down(&sup);
	close(sup.signals);
	genie_ledger_destroy(sup.pool.ledger);
	free(watch.fds);
	return status;
}
