#include "transport/hello.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/net.h"

uint32_t
genie_hello_struct_sizes(void)
{
	static const size_t sizes[] = {
		sizeof(struct genie_cmd),         sizeof(struct genie_reply),
		sizeof(struct genie_async_error), sizeof(struct genie_progress),
		sizeof(struct genie_preamble),    sizeof(struct genie_hello),
		sizeof(struct genie_welcome),     sizeof(struct genie_device_info),
	};
	uint32_t hash = 2166136261u; /* FNV-1a over the numbers */

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		hash = (hash ^ (uint32_t)sizes[i]) * 16777619u;
	return hash;
}

void
genie_hello_mac(const char *token, const uint8_t nonce[32], uint8_t ret_mac[32])
{
	struct hmac_sha256_ctx hmac;

	hmac_sha256_set_key(&hmac, strlen(token), (const uint8_t *)token);
	hmac_sha256_update(&hmac, 32, nonce);
	hmac_sha256_digest(&hmac, 32, ret_mac);
	explicit_bzero(&hmac, sizeof(hmac));
}

static int
read_preamble(int fd, uint64_t deadline, struct genie_preamble *preamble, char *err,
	      size_t err_size)
{
	int ret = genie_net_read(fd, preamble, sizeof(*preamble), deadline);

	if (ret < 0) {
		snprintf(err, err_size, "the server did not greet: %s", strerror(-ret));
		return ret;
	}
	if (preamble->magic != GENIE_WIRE_MAGIC) {
		snprintf(err, err_size, "whatever listens there is not genied");
		return -EPROTO;
	}
	if (preamble->version_min > GENIE_WIRE_VERSION ||
	    preamble->version_max < GENIE_WIRE_VERSION) {
		snprintf(err, err_size, "the server speaks versions %u to %u, this client %u",
			 preamble->version_min, preamble->version_max, GENIE_WIRE_VERSION);
		return -EPROTO;
	}
	return 0;
}

static void
fill_hello(const struct genie_hello_request *request, const struct genie_preamble *preamble,
	   struct genie_hello *hello)
{
	*hello = (struct genie_hello){
		.magic = GENIE_WIRE_MAGIC,
		.version = GENIE_WIRE_VERSION,
		.kind = request->kind,
		.struct_sizes = genie_hello_struct_sizes(),
		.api_hash = request->opts->api_hash,
		.cmd_max = GENIE_CMD_MAX,
		.reply_max = GENIE_REPLY_MAX,
		.pid = (uint32_t)getpid(),
	};
	if (request->opts->token)
		genie_hello_mac(request->opts->token, preamble->nonce, hello->mac);
	if (request->join_id)
		memcpy(hello->join_id, request->join_id, sizeof(hello->join_id));
	if (request->device) {
		hello->device_window = request->device->base;
		hello->device_window_size = request->device->size;
	}
	if (request->pinned) {
		hello->pinned_window = request->pinned->base;
		hello->pinned_window_size = request->pinned->size;
	}
	snprintf(hello->program, sizeof(hello->program), "%s", program_invocation_short_name);
}

static bool
window_is_wrong(uint64_t base, uint64_t size)
{
	return size > GENIE_BYTES_MAX || base > GENIE_BYTES_MAX * 2 || size % 4096 || base % 4096;
}

static int
check_welcome(const struct genie_hello_request *request, const struct genie_welcome *welcome,
	      char *err, size_t err_size)
{
	if (welcome->magic != GENIE_WIRE_MAGIC) {
		snprintf(err, err_size, "the server's answer makes no sense");
		return -EPROTO;
	}
	if (welcome->status != GENIE_WELCOME_OK) {
		snprintf(err, err_size, "refused by the server: %.*s",
			 (int)strnlen(welcome->reason, sizeof(welcome->reason)), welcome->reason);
		return welcome->status == GENIE_WELCOME_DENIED ? -EACCES : -EPROTO;
	}
	if (welcome->version != GENIE_WIRE_VERSION ||
	    welcome->struct_sizes != genie_hello_struct_sizes() ||
	    welcome->api_hash != request->opts->api_hash) {
		snprintf(err, err_size, "server and client are not of the same version");
		return -EPROTO;
	}
	if (window_is_wrong(welcome->device_window, welcome->device_window_size) ||
	    window_is_wrong(welcome->pinned_window, welcome->pinned_window_size)) {
		snprintf(err, err_size, "the server offers an impossible address window");
		return -EPROTO;
	}
	if (welcome->device_count > GENIE_DEVICES_MAX) {
		snprintf(err, err_size, "the server names %u devices, more than %u",
			 welcome->device_count, GENIE_DEVICES_MAX);
		return -EPROTO;
	}
	return 0;
}

static int
read_devices(int fd, uint32_t count, uint64_t deadline, struct genie_device_info **ret_devices,
	     char *err, size_t err_size)
{
	struct genie_device_info *devices = calloc(count + 1, sizeof(*devices));
	int ret;

	if (!devices)
		return -ENOMEM;
	ret = genie_net_read(fd, devices, count * sizeof(*devices), deadline);
	if (ret < 0) {
		snprintf(err, err_size, "the server did not describe its devices: %s",
			 strerror(-ret));
		free(devices);
		return ret;
	}
	for (uint32_t i = 0; i < count; i++) {
		devices[i].name[sizeof(devices[i].name) - 1] = 0;
		devices[i].pci_bus_id[sizeof(devices[i].pci_bus_id) - 1] = 0;
	}
	*ret_devices = devices;
	return 0;
}

int
genie_hello_exchange(int fd, const struct genie_hello_request *request, int timeout_ms,
		     struct genie_welcome *ret_welcome, struct genie_device_info **ret_devices,
		     int *fds, unsigned fd_max, char *err, size_t err_size)
{
	uint64_t deadline = genie_net_deadline(timeout_ms);
	struct genie_preamble preamble;
	struct genie_welcome welcome;
	struct genie_hello hello;
	int ret;

	for (unsigned i = 0; i < fd_max; i++)
		fds[i] = -1;
	ret = read_preamble(fd, deadline, &preamble, err, err_size);
	if (ret < 0)
		return ret;
	if ((preamble.flags & GENIE_PREAMBLE_TOKEN) && !request->opts->token) {
		snprintf(err, err_size, "the server wants a token: set GENIE_TOKEN");
		return -EACCES;
	}
	fill_hello(request, &preamble, &hello);
	ret = genie_net_write(fd, &hello, sizeof(hello), deadline);
	if (ret < 0) {
		snprintf(err, err_size, "cannot send to the server: %s", strerror(-ret));
		return ret;
	}
	deadline = genie_net_deadline(timeout_ms * GENIE_ANSWER_TIMES);
	if (fd_max)
		ret = genie_net_read_fds(fd, &welcome, sizeof(welcome), fds, fd_max, deadline);
	else
		ret = genie_net_read(fd, &welcome, sizeof(welcome), deadline);
	if (ret < 0) {
		snprintf(err, err_size, "the server did not answer: %s", strerror(-ret));
		return ret;
	}
	ret = check_welcome(request, &welcome, err, err_size);
	if (!ret && ret_devices)
		ret = read_devices(fd, welcome.device_count, deadline, ret_devices, err, err_size);
	if (ret < 0) {
		for (unsigned i = 0; i < fd_max; i++)
			genie_net_close(&fds[i]);
		return ret;
	}
	*ret_welcome = welcome;
	ret_welcome->device_name[sizeof(ret_welcome->device_name) - 1] = 0;
	return 0;
}
