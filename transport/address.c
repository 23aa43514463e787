#include "transport/address.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/net.h"

#define BACKLOG_STEP_MS 20

/* ---- parsing ---- */

static int
copy_part(char *dst, size_t size, const char *src, size_t len)
{
	if (!len || len >= size)
		return -EINVAL;
	memcpy(dst, src, len);
	dst[len] = 0;
	return 0;
}

static bool
port_is_valid(const char *port)
{
	char *end;
	long value;

	if (port[0] < '0' || port[0] > '9')
		return false;
	value = strtol(port, &end, 10);
	return !*end && value <= 65535;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT; a bare V6 address has several colons and no port. */
static int
parse_host_port(const char *text, struct genie_address *address)
{
	const char *end, *port = NULL;

	if (text[0] == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		if (end[1])
			port = end + 2;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port = end + 1;
		else
			end = text + strlen(text);
	}
	if (copy_part(address->host, sizeof(address->host), text, (size_t)(end - text)) < 0)
		return -EINVAL;
	if (!port)
		port = GENIE_DEFAULT_PORT;
	if (!port_is_valid(port))
		return -EINVAL;
	return copy_part(address->port, sizeof(address->port), port, strlen(port));
}

void
genie_address_default_path(char *path, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (dir && dir[0] == '/' && strlen(dir) + sizeof("/genie.sock") <= size)
		snprintf(path, size, "%s/genie.sock", dir);
	else
		snprintf(path, size, "/tmp/genie-%u.sock", (unsigned)getuid());
}

int
genie_address_parse(const char *spec, bool listening, struct genie_address *ret_address, char *err,
		    size_t err_size)
{
	struct genie_address address = {0};
	int ret;

	if (!strncmp(spec, "shm:", 4)) {
		address.is_shm = true;
		ret = copy_part(address.path, sizeof(address.path), spec + 4, strlen(spec + 4));
		if (ret < 0)
			snprintf(err, err_size, "\"%s\": the path must have 1 to %zu characters",
				 spec, sizeof(address.path) - 1);
	} else if (!strncmp(spec, "tcp://", 6)) {
		ret = parse_host_port(spec + 6, &address);
		if (ret < 0)
			snprintf(err, err_size, "\"%s\": expected tcp://HOST:PORT", spec);
	} else if (listening || strstr(spec, "://")) {
		ret = -EINVAL;
		snprintf(err, err_size, "\"%s\": expected tcp://HOST:PORT or shm:PATH", spec);
	} else {
		ret = parse_host_port(spec, &address);
		if (ret < 0)
			snprintf(err, err_size,
				 "\"%s\": expected tcp://HOST:PORT, shm:PATH or HOST[:PORT]", spec);
		else
			genie_address_default_path(address.path, sizeof(address.path));
	}
	if (!ret)
		*ret_address = address;
	return ret;
}

/* ---- what an address is ---- */

bool
genie_address_is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
	if (sa->sa_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(in6) ||
		       (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
	}
	return sa->sa_family == AF_UNIX;
}

void
genie_address_print(const struct sockaddr *sa, socklen_t len, char *buf, size_t size)
{
	char host[64], port[8];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(buf, size, "tcp://?");
	else
		snprintf(buf, size, strchr(host, ':') ? "tcp://[%s]:%s" : "tcp://%s:%s", host,
			 port);
}

/* The address belongs to an interface of this machine. */
static bool
is_this_machine(const struct sockaddr *sa)
{
	struct ifaddrs *list;
	bool found = false;

	if (genie_address_is_loopback(sa))
		return true;
	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != sa->sa_family)
			continue;
		if (sa->sa_family == AF_INET)
			found = ((const struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr ==
				((const struct sockaddr_in *)sa)->sin_addr.s_addr;
		else if (sa->sa_family == AF_INET6)
			found = !memcmp(&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr,
					&((const struct sockaddr_in6 *)sa)->sin6_addr,
					sizeof(struct in6_addr));
	}
	freeifaddrs(list);
	return found;
}

/* ---- connecting ---- */

static int
connect_socket(int family, const struct sockaddr *sa, socklen_t len, int timeout_ms, int *ret_fd)
{
	struct pollfd pollfd = {.events = POLLOUT};
	socklen_t size = sizeof(int);
	int error = 0;
	int fd, ret;

	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, sa, len))
		goto done;
	/* EAGAIN: the backlog of a unix socket is full; there is nothing to poll for
	 * (connect_unix). */
	if (errno != EINPROGRESS) {
		ret = -errno;
		goto err_close;
	}
	pollfd.fd = fd;
	ret = poll(&pollfd, 1, timeout_ms);
	if (ret <= 0) {
		ret = ret ? -errno : -ETIMEDOUT;
		goto err_close;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error) {
		ret = -error;
		goto err_close;
	}
done:
	*ret_fd = fd;
	return 0;

err_close:
	close(fd);
	return ret;
}

static int
connect_unix(const char *path, int timeout_ms, int *ret_fd)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int ret, waited = 0;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	/* With many clients at the same moment the server's backlog is full for a while. */
	while ((ret = connect_socket(AF_UNIX, (struct sockaddr *)&sa, sizeof(sa), timeout_ms,
				     ret_fd)) == -EAGAIN &&
	       waited < timeout_ms) {
		poll(NULL, 0, BACKLOG_STEP_MS);
		waited += BACKLOG_STEP_MS;
	}
	return ret;
}

static int
resolve(const struct genie_address *address, struct addrinfo **ret_list, char *err, size_t err_size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	int ret = getaddrinfo(address->host, address->port, &hints, ret_list);

	if (!ret)
		return 0;
	snprintf(err, err_size, "no such host \"%s\": %s", address->host, gai_strerror(ret));
	return -EHOSTUNREACH;
}

/* The default socket of a server on this machine. It lies where others may write: only a server
 * of the same user or of root will do. */
static int
connect_nearest(struct genie_address *address, const struct addrinfo *list, int timeout_ms,
		int *ret_fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd, ret;

	if (!address->path[0] || !is_this_machine(list->ai_addr))
		return -ENOENT;
	ret = connect_unix(address->path, timeout_ms, &fd);
	if (ret < 0)
		return ret;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    (peer.uid != getuid() && peer.uid != 0)) {
		close(fd);
		return -EPERM;
	}
	address->is_shm = true;
	*ret_fd = fd;
	return 0;
}

int
genie_address_connect(struct genie_address *address, int timeout_ms, int *ret_fd, char *err,
		      size_t err_size)
{
	struct addrinfo *list;
	int ret;

	if (address->is_shm) {
		ret = connect_unix(address->path, timeout_ms, ret_fd);
		if (ret < 0)
			snprintf(err, err_size, "cannot connect to shm:%s: %s", address->path,
				 strerror(-ret));
		return ret;
	}
	ret = resolve(address, &list, err, err_size);
	if (ret < 0)
		return ret;
	ret = connect_nearest(address, list, timeout_ms, ret_fd);
	if (ret < 0) {
		address->path[0] = 0;
		for (struct addrinfo *i = list; i; i = i->ai_next) {
			ret = connect_socket(i->ai_family, i->ai_addr, i->ai_addrlen, timeout_ms,
					     ret_fd);
			if (!ret)
				break;
		}
		if (ret < 0)
			snprintf(err, err_size, "cannot connect to tcp://%s:%s: %s", address->host,
				 address->port, strerror(-ret));
		else
			genie_net_tune_tcp(*ret_fd);
	}
	freeaddrinfo(list);
	return ret;
}
