/* Listening sockets of the server. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/address.h"
#include "transport/net.h"
#include "transport/port.h"

#define BACKLOG 64

/* A socket file that a dead server left behind is removed; a live server's is not. */
static int
remove_stale(const char *path, char *err, size_t err_size)
{
	struct genie_address address = {.is_shm = true};
	struct stat stat;
	char ignored[128];
	int fd, ret;

	if (lstat(path, &stat) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(stat.st_mode)) {
		snprintf(err, err_size, "%s exists and is not a socket", path);
		return -EEXIST;
	}
	snprintf(address.path, sizeof(address.path), "%s", path);
	ret = genie_address_connect(&address, 1000, &fd, ignored, sizeof(ignored));
	if (ret != -ECONNREFUSED) {
		if (!ret)
			close(fd);
		snprintf(err, err_size, "another server listens on %s", path);
		return -EADDRINUSE;
	}
	return unlink(path) < 0 ? -errno : 0;
}

static int
listen_unix(const char *path, struct genie_listener *listener, char *err, size_t err_size)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, ret;

	ret = remove_stale(path, err, err_size);
	if (ret < 0)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	mask = umask(0177); /* 0600 from the first moment on */
	ret = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(mask);
	if (!ret && listen(fd, BACKLOG) < 0)
		ret = -errno;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	listener->fd = fd;
	listener->is_shm = true;
	snprintf(listener->path, sizeof(listener->path), "%s", path);
	snprintf(listener->address, sizeof(listener->address), "shm:%s", path);
	return 0;
}

static int
listen_tcp(const struct addrinfo *info, struct genie_listener *listener)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int one = 1;
	int fd, ret;

	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	listener->fd = fd;
	genie_address_print((struct sockaddr *)&sa, len, listener->address,
			    sizeof(listener->address));
	return 0;
}

static int
listen_host(const struct genie_address *address, bool have_token, struct genie_listener *listener,
	    char *err, size_t err_size)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *list;
	int ret;

	ret = getaddrinfo(address->host, address->port, &hints, &list);
	if (ret) {
		snprintf(err, err_size, "no such host \"%s\": %s", address->host,
			 gai_strerror(ret));
		return -EHOSTUNREACH;
	}
	if (!have_token && !genie_address_is_loopback(list->ai_addr)) {
		snprintf(err, err_size,
			 "%s is not a loopback address: listening there needs a token",
			 address->host);
		ret = -EACCES;
	} else {
		ret = listen_tcp(list, listener);
	}
	freeaddrinfo(list);
	return ret;
}

int
genie_listener_open(const char *spec, bool have_token, struct genie_listener *ret_listener,
		    char *err, size_t err_size)
{
	struct genie_listener listener = {.fd = -1};
	struct genie_address address;
	int ret;

	err[0] = 0;
	ret = genie_address_parse(spec, true, &address, err, err_size);
	if (ret < 0)
		return ret;
	if (address.is_shm)
		ret = listen_unix(address.path, &listener, err, err_size);
	else
		ret = listen_host(&address, have_token, &listener, err, err_size);
	if (ret < 0) {
		if (!err[0])
			snprintf(err, err_size, "cannot listen on %s: %s", spec, strerror(-ret));
		return ret;
	}
	*ret_listener = listener;
	return 0;
}

void
genie_listener_close(struct genie_listener *listener)
{
	if (!listener || !listener->address[0])
		return;
	if (listener->is_shm)
		unlink(listener->path);
	genie_net_close(&listener->fd);
	listener->address[0] = 0;
}
