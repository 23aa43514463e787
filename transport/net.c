#include "transport/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/relax.h"

#define FDS_MAX 8u

uint64_t
genie_net_deadline(int timeout_ms)
{
	return genie_relax_now_ns() + (uint64_t)timeout_ms * 1000000;
}

/* Waits for @events until @deadline. */
static int
wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd pollfd = {.fd = fd, .events = events};
	uint64_t now = genie_relax_now_ns();

	if (now >= deadline)
		return -ETIMEDOUT;
	if (poll(&pollfd, 1, (int)((deadline - now) / 1000000) + 1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

ssize_t
genie_net_recv(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (!n)
		return -ECONNRESET;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return -errno;
}

ssize_t
genie_net_send(int fd, const void *buf, size_t len)
{
	ssize_t n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return -errno;
}

static void
shorten(struct iovec *iov, unsigned count, size_t bytes)
{
	for (unsigned i = 0; i < count && bytes; i++) {
		size_t part = bytes < iov[i].iov_len ? bytes : iov[i].iov_len;

		if (!part)
			continue; /* its base may be NULL */
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
		iov[i].iov_len -= part;
		bytes -= part;
	}
}

int
genie_net_send_parts(int fd, struct iovec *iov, unsigned count, size_t *left)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	while (*left) {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		*left -= (size_t)n;
		shorten(iov, count, (size_t)n);
	}
	return 0;
}

int
genie_net_read(int fd, void *buf, size_t len, uint64_t deadline)
{
	uint8_t *at = buf;
	ssize_t n;
	int ret;

	while (len) {
		n = genie_net_recv(fd, at, len);
		if (n < 0)
			return (int)n;
		if (!n) {
			ret = wait_for(fd, POLLIN, deadline);
			if (ret < 0)
				return ret;
		}
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int
genie_net_write(int fd, const void *buf, size_t len, uint64_t deadline)
{
	return genie_net_write_fds(fd, buf, len, NULL, 0, deadline);
}

int
genie_net_write_fds(int fd, const void *buf, size_t len, const int *fds, unsigned count,
		    uint64_t deadline)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {0};
	const uint8_t *at = buf;
	ssize_t n;
	int ret;

	if (count > FDS_MAX)
		return -EINVAL;
	while (len) {
		struct iovec iov = {.iov_base = (void *)at, .iov_len = len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		if (count) {
			struct cmsghdr *cmsg;

			msg.msg_control = control.bytes;
			msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
			cmsg = CMSG_FIRSTHDR(&msg);
			cmsg->cmsg_level = SOL_SOCKET;
			cmsg->cmsg_type = SCM_RIGHTS;
			cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
			memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
		}
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n <= 0) {
			ret = wait_for(fd, POLLOUT, deadline);
			if (ret < 0)
				return ret;
			continue;
		}
		count = 0; /* they went with the first byte */
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Moves received descriptors to @fds from *@have on, closes what is too much. */
static void
take_fds(struct msghdr *msg, int *fds, unsigned max, unsigned *have)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*have < max)
				fds[(*have)++] = fd;
			else
				close(fd);
		}
	}
}

int
genie_net_read_fds(int fd, void *buf, size_t len, int *fds, unsigned max, uint64_t deadline)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	uint8_t *at = buf;
	unsigned have = 0;
	ssize_t n;
	int ret = 0;

	for (unsigned i = 0; i < max; i++)
		fds[i] = -1;
	while (len) {
		struct iovec iov = {.iov_base = at, .iov_len = len};
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
		};

		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			ret = wait_for(fd, POLLIN, deadline);
			if (ret < 0)
				goto err_close;
			continue;
		}
		if (n <= 0) {
			ret = n ? -errno : -ECONNRESET;
			goto err_close;
		}
		take_fds(&msg, fds, max, &have);
		at += n;
		len -= (size_t)n;
	}
	return 0;

err_close:
	for (unsigned i = 0; i < max; i++)
		genie_net_close(&fds[i]);
	return ret;
}

void
genie_net_tune_tcp(int fd)
{
	int one = 1, idle_s = 5, interval_s = 2, probes = 3;
	unsigned give_up_ms = 30000; /* longer than a stop in a debugger usually takes */

	/* Failures here cost speed or time, never correctness. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &give_up_ms, sizeof(give_up_ms));
}

int
genie_net_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

void
genie_net_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
