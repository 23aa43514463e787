#include "remote/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
genie_control_pair(int ret_socks[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_socks) ? -errno : 0;
}

/* Room for one descriptor beside a message, aligned as the kernel wants it. */
union ancillary {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int
genie_control_send(int sock, const struct genie_control *message, int fd)
{
	struct iovec iov = {.iov_base = (void *)message, .iov_len = sizeof(*message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union ancillary ancillary = {0};

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = ancillary.bytes;
		msg.msg_controllen = sizeof(ancillary.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(*message))
		return errno ? -errno : -EIO;
	return 0;
}

int
genie_control_receive(int sock, struct genie_control *ret_message, int *ret_fd)
{
	struct iovec iov = {.iov_base = ret_message, .iov_len = sizeof(*ret_message)};
	union ancillary ancillary = {0};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ancillary.bytes,
			     .msg_controllen = sizeof(ancillary.bytes)};
	struct cmsghdr *cmsg;
	ssize_t n;
	int fd = -1;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ECONNRESET;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	if (n != (ssize_t)sizeof(*ret_message)) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	ret_message->text[sizeof(ret_message->text) - 1] = '\0';
	*ret_fd = fd;
	return 0;
}
