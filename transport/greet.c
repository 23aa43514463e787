/* The server's half of the handshake: before this, nothing a client sent is believed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/hello.h"
#include "transport/net.h"
#include "transport/port.h"
#include "transport/port_impl.h"

/* How long a refused client gets to take the refusal. */
#define REFUSE_MS 1000

static int
make_nonce(uint8_t nonce[32])
{
	ssize_t n = getrandom(nonce, 32, 0);

	return n == 32 ? 0 : -EIO;
}

/* Takes the same time wherever the first difference is. */
static bool
mac_is_equal(const uint8_t a[32], const uint8_t b[32])
{
	volatile uint8_t different = 0;

	for (unsigned i = 0; i < 32; i++)
		different |= a[i] ^ b[i];
	return !different;
}

void
genie_port_refuse(int fd, enum genie_welcome_status status, const char *reason)
{
	struct genie_welcome welcome = {
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.status = status,
		.struct_sizes = genie_hello_struct_sizes(),
	};

	snprintf(welcome.reason, sizeof(welcome.reason), "%s", reason);
	genie_net_write(fd, &welcome, sizeof(welcome), genie_net_deadline(REFUSE_MS));
	/* So that the client reads the reason before a reset can overtake it. */
	shutdown(fd, SHUT_WR);
}

/* What is wrong with @hello, or NULL. */
static const char *
hello_problem(const struct genie_hello *hello, const char *token, const uint8_t nonce[32],
	      uint32_t api_hash, enum genie_welcome_status *ret_status)
{
	uint8_t mac[32];

	*ret_status = GENIE_WELCOME_BAD;
	if (hello->magic != GENIE_WIRE_MAGIC)
		return "not a genie client";
	*ret_status = GENIE_WELCOME_VERSION;
	if (hello->version != GENIE_WIRE_VERSION)
		return "the client speaks another version of the protocol";
	/* Before anything else that the client might learn from. */
	*ret_status = GENIE_WELCOME_DENIED;
	if (token) {
		genie_hello_mac(token, nonce, mac);
		if (!mac_is_equal(mac, hello->mac))
			return "wrong token (GENIE_TOKEN)";
	}
	*ret_status = GENIE_WELCOME_VERSION;
	if (hello->struct_sizes != genie_hello_struct_sizes() || hello->api_hash != api_hash ||
	    hello->cmd_max != GENIE_CMD_MAX || hello->reply_max != GENIE_REPLY_MAX)
		return "server and client are not of the same version";
	*ret_status = GENIE_WELCOME_BAD;
	if (hello->kind != GENIE_HELLO_SESSION && hello->kind != GENIE_HELLO_BULK &&
	    hello->kind != GENIE_HELLO_QUERY)
		return "unknown kind of connection";
	if (hello->device_window_size > GENIE_BYTES_MAX ||
	    hello->pinned_window_size > GENIE_BYTES_MAX ||
	    hello->device_window > UINT64_MAX - GENIE_BYTES_MAX ||
	    hello->pinned_window > UINT64_MAX - GENIE_BYTES_MAX || hello->device_window % 4096 ||
	    hello->device_window_size % 4096 || hello->pinned_window % 4096 ||
	    hello->pinned_window_size % 4096)
		return "impossible address window";
	return NULL;
}

int
genie_port_greet(int fd, const char *token, uint32_t api_hash, int timeout_ms,
		 struct genie_hello *ret_hello, char *err, size_t err_size)
{
	uint64_t deadline = genie_net_deadline(timeout_ms);
	struct genie_preamble preamble = {
		.magic = GENIE_WIRE_MAGIC,
		.version_min = GENIE_WIRE_VERSION,
		.version_max = GENIE_WIRE_VERSION,
		.flags = token ? GENIE_PREAMBLE_TOKEN : 0,
	};
	enum genie_welcome_status status;
	struct genie_hello hello = {0};
	const char *problem;
	int ret;

	ret = make_nonce(preamble.nonce);
	if (ret < 0) {
		snprintf(err, err_size, "no random numbers: %s", strerror(errno));
		return ret;
	}
	ret = genie_net_write(fd, &preamble, sizeof(preamble), deadline);
	/* The magic first: something else is answered at once, not when it has sent enough. */
	if (!ret)
		ret = genie_net_read(fd, &hello.magic, sizeof(hello.magic), deadline);
	if (!ret && hello.magic == GENIE_WIRE_MAGIC)
		ret = genie_net_read(fd, (uint8_t *)&hello + sizeof(hello.magic),
				     sizeof(hello) - sizeof(hello.magic), deadline);
	if (ret < 0) {
		snprintf(err, err_size, "no hello: %s", strerror(-ret));
		return ret;
	}
	problem = hello_problem(&hello, token, preamble.nonce, api_hash, &status);
	if (problem) {
		snprintf(err, err_size, "%s", problem);
		genie_port_refuse(fd, status, problem);
		return status == GENIE_WELCOME_DENIED ? -EACCES : -EPROTO;
	}
	hello.program[sizeof(hello.program) - 1] = 0;
	*ret_hello = hello;
	return 0;
}

int
genie_port_answer(int fd, const struct genie_welcome *welcome,
		  const struct genie_device_info *devices)
{
	return genie_port_send_welcome(fd, welcome, devices, NULL, 0);
}
