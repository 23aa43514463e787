/*
 * Frozen bytes: what travels must not change without a new version of the wire format. Each line
 * of wire.txt is `NAME HEX`; GENIE_VECTORS_UPDATE=1 writes the file anew (then raise
 * GENIE_WIRE_VERSION and docs/wire-format.md in the same commit).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/token.h"
#include "genie_args.h"
#include "transport/frame.h"
#include "wire/codec.h"

#ifndef VECTORS_FILE
#define VECTORS_FILE "tests/vectors/wire.txt"
#endif

#define STREAM   ((CUstream)(uintptr_t)genie_token(GENIE_KIND_STREAM, 1, 5))
#define FUNCTION ((CUfunction)(uintptr_t)genie_token(GENIE_KIND_FUNCTION, 0, 9))
#define MODULE   ((CUmodule)(uintptr_t)genie_token(GENIE_KIND_MODULE, 3, 2))

static FILE *file;
static bool update;

static void
open_file(void)
{
	update = getenv("GENIE_VECTORS_UPDATE") != NULL;
	file = fopen(VECTORS_FILE, update ? "w" : "r");
	cr_assert_not_null(file, "%s: %m", VECTORS_FILE);
	if (update)
		fputs("# NAME HEX, frozen: see test_vectors.c\n", file);
}

/* The next line of the file must be @name with these bytes. */
static void
vector(const char *name, const void *data, size_t size)
{
	static char line[8192], want[8192];
	const uint8_t *bytes = data;
	int n = snprintf(want, sizeof(want), "%s ", name);

	for (size_t i = 0; i < size; i++)
		n += snprintf(want + n, sizeof(want) - (size_t)n, "%02x", bytes[i]);
	if (size == 0)
		strcat(want, "-");
	if (update) {
		fprintf(file, "%s\n", want);
		return;
	}
	do
		cr_assert_not_null(fgets(line, sizeof(line), file), "%s is not in the file", name);
	while (line[0] == '#');
	line[strcspn(line, "\n")] = 0;
	cr_assert_str_eq(line, want, "\nfrozen %s\nnow    %s", line, want);
}

static void
call(const char *name, enum genie_op op, const void *args)
{
	static _Alignas(8) uint8_t buf[GENIE_CMD_MAX];
	size_t size = genie_encoded_size(op, args);
	struct genie_writer writer;
	char id[80];

	genie_writer_init(&writer, buf, size);
	genie_encode_args(&writer, op, args);
	cr_assert_not(writer.fatal);
	snprintf(id, sizeof(id), "%s op=%u", name, (unsigned)op);
	vector(id, buf, size);
}

static void
headers(void)
{
	struct genie_cmd cmd = {.len = 0x01020304,
				.op = 0x0506,
				.flags = GENIE_CMD_REPLY,
				.ctx = 0x0708090a,
				.lane = 0x0b0c0d0e,
				.ticket = UINT64_C(0x1112131415161718)};
	struct genie_reply reply = {.len = 0x01020304, .status = -2, .ticket = 3};
	struct genie_async_error error = {.ticket = 9, .status = 700, .op = 4, .sticky = 1};
	struct genie_progress progress = {.ticket = 7, .slot = GENIE_SLOT_EVENT + 1, .bulk = 6};
	struct genie_hello hello = {.magic = GENIE_WIRE_MAGIC,
				    .version = GENIE_WIRE_VERSION,
				    .kind = GENIE_HELLO_SESSION,
				    .mac = {1},
				    .join_id = {2},
				    .struct_sizes = 3,
				    .api_hash = 4,
				    .cmd_max = GENIE_CMD_MAX,
				    .reply_max = GENIE_REPLY_MAX,
				    .device_window = GENIE_DEVICE_WINDOW_BASE,
				    .device_window_size = GENIE_DEVICE_WINDOW_SIZE,
				    .pinned_window = GENIE_PINNED_WINDOW_BASE,
				    .pinned_window_size = GENIE_PINNED_WINDOW_SIZE,
				    .pid = 5,
				    .program = "python"};

	struct genie_progress output = {.ticket = 12, .slot = GENIE_SLOT_OUTPUT};
	struct {
		struct genie_frame frame;
		struct genie_progress call;
	} host_func = {{sizeof(host_func.call), GENIE_FRAME_HOST_FUNC, 0},
		       {.ticket = 77, .slot = GENIE_FRAME_CALL_SLOT, .bulk = 6}};
	struct {
		struct genie_frame frame;
		char text[8];
	} complaint = {{sizeof(complaint.text), GENIE_FRAME_COMPLAINT, 0}, "a failed"};
	struct genie_bulk_frame host_done = {.slot = GENIE_BULK_HOST_DONE, .ticket = 77};
	struct genie_bulk_frame bulk = {.slot = 3, .len = 4096, .ticket = 9};

	vector("struct-cmd", &cmd, sizeof(cmd));
	vector("struct-reply", &reply, sizeof(reply));
	vector("struct-async-error", &error, sizeof(error));
	vector("struct-progress", &progress, sizeof(progress));
	vector("struct-hello", &hello, sizeof(hello));
	vector("progress-output", &output, sizeof(output));
	vector("frame-host-func-tcp", &host_func, sizeof(host_func));
	vector("frame-complaint", &complaint, sizeof(complaint));
	vector("bulk-host-done", &host_done, sizeof(host_done));
	vector("bulk-down", &bulk, sizeof(bulk));
}

static void
tokens(void)
{
	for (unsigned kind = GENIE_KIND_CTX; kind < GENIE_KIND_COUNT; kind++) {
		uint64_t token = genie_token((enum genie_kind)kind, 0xab, 0x01234567);

		vector("token", &token, sizeof(token));
	}
}

static void
calls(void)
{
	static const uint8_t hash[32] = {0xde, 0xad, 0xbe, 0xef};
	CUlaunchAttribute attr = {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE};
	struct genie_args_genieCtxMark mark = {0};
	struct genie_args_genieMemMap map = {
		.addr = GENIE_DEVICE_WINDOW_BASE, .size = 2u << 20, .device = 1};
	struct genie_args_genieLaunch launch = {.function = FUNCTION,
						.stream = STREAM,
						.gridX = 1,
						.gridY = 2,
						.gridZ = 3,
						.blockX = 4,
						.blockY = 5,
						.blockZ = 6,
						.shared = 7,
						.flags = 8,
						.params = "parameters",
						.params_size = 11};
	struct genie_args_genieFunctionGet get = {
		.function = FUNCTION, .module = MODULE, .name = "_Z6kernelPf"};
	struct genie_args_genieImageData image = {
		.hash = hash, .total = 3, .offset = 0, .data = "abc", .size = 3};
	struct genie_args_genieMemcpyHtoDInline copy = {.dst = GENIE_DEVICE_WINDOW_BASE + 256,
							.data = "12345",
							.size = 5,
							.stream = STREAM};
	struct genie_args_cuMemsetD8Async set = {
		.dstDevice = GENIE_DEVICE_WINDOW_BASE, .uc = 0x7f, .N = 64, .hStream = STREAM};
	struct genie_args_genieModuleLoad load = {
		.module = MODULE, .hash = hash, .flags = GENIE_MODULE_PRINTS};
	struct genie_args_genieFunctionInfo info = {
		.function = FUNCTION, .values = (int[4]){0}, .count = 4};

	call("genieCtxMark", GENIE_OP_genieCtxMark, &mark);
	call("genieMemMap", GENIE_OP_genieMemMap, &map);
	call("genieLaunch", GENIE_OP_genieLaunch, &launch);
	attr.value.cooperative = 1;
	launch.params = NULL;
	launch.params_size = 0;
	launch.attrs = &attr;
	launch.attr_count = 1;
	call("genieLaunch-attrs", GENIE_OP_genieLaunch, &launch);
	call("genieFunctionGet", GENIE_OP_genieFunctionGet, &get);
	call("genieImageData", GENIE_OP_genieImageData, &image);
	call("genieMemcpyHtoDInline", GENIE_OP_genieMemcpyHtoDInline, &copy);
	call("cuMemsetD8Async", GENIE_OP_cuMemsetD8Async, &set);
	call("genieFunctionInfo", GENIE_OP_genieFunctionInfo, &info);
	call("genieModuleLoad", GENIE_OP_genieModuleLoad, &load);
}

Test(vectors, nothing_on_the_wire_has_changed)
{
	open_file();
	headers();
	tokens();
	calls();
	fclose(file);
}
