/*
 * Copies and sets, against a channel whose worker is this file: the device window lies here,
 * so that executing a command is a memcpy. What the program would see must be right, whatever way
 * the bytes took, and the way must be the right one.
 */
#include "interpose/copy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "interpose/memory.h"
#include "tests/unit/fake_chan.h"
#include "wire/codec.h"

#define MODEL_SIZE (UINT64_C(256) << 20)

/* Chunks that were sent and not used yet, or expected and not filled yet, by ref. */
#define REFS_MAX 4096
static struct {
	uint8_t *data; /* a copy of what was sent, or where to put what arrives */
	size_t len;
} refs[REFS_MAX];
static uint64_t next_ref = 1;
static unsigned int expected, expected_max;
static CUcontext ctx;

static uint64_t
model_bulk_send(const void *src, size_t len)
{
	uint64_t ref = next_ref++;

	cr_assert(len <= GENIE_BULK_CHUNK && ref < REFS_MAX);
	refs[ref].data = malloc(len);
	refs[ref].len = len;
	memcpy(refs[ref].data, src, len);
	return ref;
}

static uint64_t
model_bulk_expect(void *dst, size_t len)
{
	uint64_t ref = next_ref++;

	cr_assert(len <= GENIE_BULK_CHUNK && ref < REFS_MAX);
	refs[ref].data = dst;
	refs[ref].len = len;
	expected++;
	return ref;
}

static void *
at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void
model_box(const CUDA_MEMCPY3D *copy)
{
	cr_assert_eq(copy->srcMemoryType, CU_MEMORYTYPE_DEVICE);
	cr_assert_eq(copy->dstMemoryType, CU_MEMORYTYPE_DEVICE);
	for (size_t z = 0; z < copy->Depth; z++) {
		for (size_t y = 0; y < copy->Height; y++) {
			uint64_t src = copy->srcDevice + copy->srcXInBytes +
				       ((copy->srcZ + z) * copy->srcHeight + copy->srcY + y) *
					       copy->srcPitch;
			uint64_t dst = copy->dstDevice + copy->dstXInBytes +
				       ((copy->dstZ + z) * copy->dstHeight + copy->dstY + y) *
					       copy->dstPitch;

			memmove(at(dst), at(src), copy->WidthInBytes);
		}
	}
}

/* What the worker would do. */
static void
model_execute(const struct genie_call *call)
{
	const union {
		const struct genie_args_genieMemcpyHtoDInline *up;
		const struct genie_args_genieMemcpyHtoDBulk *up_bulk;
		const struct genie_args_genieMemcpyHtoDPinned *up_pinned;
		const struct genie_args_genieMemcpyDtoHReply *down;
		const struct genie_args_genieMemcpyDtoHBulk *down_bulk;
		const struct genie_args_genieMemcpyDtoHPinned *down_pinned;
		const struct genie_args_cuMemcpyDtoDAsync_v2 *d2d;
		const struct genie_args_cuMemcpy3DAsync_v2 *box;
		const struct genie_args_cuMemsetD8Async *d8;
		const struct genie_args_cuMemsetD16Async *d16;
		const struct genie_args_cuMemsetD2D32Async *d2d32;
	} a = {.up = call->args};

	switch ((int)call->op) {
	case GENIE_OP_genieMemcpyHtoDInline:
		memcpy(at(a.up->dst), a.up->data, a.up->size);
		break;
	case GENIE_OP_genieMemcpyHtoDBulk:
		cr_assert_eq(refs[a.up_bulk->ref].len, a.up_bulk->size);
		memcpy(at(a.up_bulk->dst), refs[a.up_bulk->ref].data, a.up_bulk->size);
		free(refs[a.up_bulk->ref].data);
		break;
	case GENIE_OP_genieMemcpyHtoDPinned:
		memcpy(at(a.up_pinned->dst), at(a.up_pinned->src), a.up_pinned->size);
		break;
	case GENIE_OP_genieMemcpyDtoHReply:
		memcpy(fake.reply, at(a.down->src), a.down->size);
		memset(fake.reply + a.down->size, 0, 8);
		fake.reply_len = (a.down->size + 7) & ~(size_t)7;
		break;
	case GENIE_OP_genieMemcpyDtoHBulk:
		if (expected > expected_max)
			expected_max = expected;
		memcpy(refs[a.down_bulk->ref].data, at(a.down_bulk->src), a.down_bulk->size);
		break;
	case GENIE_OP_genieMemcpyDtoHPinned:
		memcpy(at(a.down_pinned->dst), at(a.down_pinned->src), a.down_pinned->size);
		break;
	case GENIE_OP_cuMemcpyDtoDAsync_v2:
		memmove(at(a.d2d->dstDevice), at(a.d2d->srcDevice), a.d2d->ByteCount);
		break;
	case GENIE_OP_cuMemcpy3DAsync_v2:
		model_box(a.box->pCopy);
		break;
	case GENIE_OP_cuMemsetD8Async:
		memset(at(a.d8->dstDevice), a.d8->uc, a.d8->N);
		break;
	case GENIE_OP_cuMemsetD16Async:
		for (size_t i = 0; i < a.d16->N; i++)
			memcpy(at(a.d16->dstDevice + i * 2), &a.d16->us, 2);
		break;
	case GENIE_OP_cuMemsetD2D32Async:
		for (size_t y = 0; y < a.d2d32->Height; y++) {
			for (size_t x = 0; x < a.d2d32->Width; x++)
				memcpy(at(a.d2d32->dstDevice + y * a.d2d32->dstPitch + x * 4),
				       &a.d2d32->ui, 4);
		}
		break;
	default:
		break;
	}
}

static void
model_command(enum genie_op op, const void *payload, size_t len)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct genie_reader reader;
	struct genie_pool pool;
	struct genie_call call;

	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, payload, len);
	cr_assert(genie_decode_args(&reader, &pool, op, &call), "%s", reader.why);
	model_execute(&call);
}

static void
start_with(uint32_t flags)
{
	void *window = mmap(NULL, MODEL_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert_neq(window, MAP_FAILED);
	fake_init();
	fake.welcome.device_window = ((uint64_t)(uintptr_t)window | (GENIE_HEAP_PAGE - 1)) + 1;
	fake.welcome.device_window_size = MODEL_SIZE - GENIE_HEAP_PAGE;
	fake.welcome.device_count = 1;
	fake.welcome.flags = flags;
	fake.welcome.pinned_window_size = 64 << 20;
	fake.on_command = model_command;
	fake.on_bulk_send = model_bulk_send;
	fake.on_bulk_expect = model_bulk_expect;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
}

static void
start(void)
{
	start_with(GENIE_WELCOME_F_SHARED_PINNED);
}

static void
start_apart(void)
{
	start_with(0);
}

static void
start_plain(void)
{
	setenv("GENIE_PERF", "no_inline,no_pinned", 1);
	start();
}

static CUdeviceptr
device_alloc(size_t size)
{
	CUdeviceptr addr;

	cr_assert_eq(cuMemAlloc_v2(&addr, size), CUDA_SUCCESS);
	return addr;
}

static uint8_t *
host_alloc(size_t size, unsigned int seed)
{
	uint8_t *data = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)rand_r(&seed);
	data[size] = 0x77; /* nothing is written behind the end */
	return data;
}

/* ---- contiguous ---- */

static void
there_and_back(size_t size, bool async)
{
	CUdeviceptr device = device_alloc(size + 512);
	uint8_t *from = host_alloc(size, (unsigned int)size), *to = host_alloc(size, 1);
	CUstream stream = NULL;

	if (async)
		cr_assert_eq(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
	memset(at(device), 0xcc, size + 512);
	next_ref = 1;
	if (async) {
		cr_assert_eq(cuMemcpyHtoDAsync_v2(device, from, size, stream), CUDA_SUCCESS);
		cr_assert_eq(cuMemcpyDtoHAsync_v2(to, device, size, stream), CUDA_SUCCESS);
	} else {
		cr_assert_eq(cuMemcpyHtoD_v2(device, from, size), CUDA_SUCCESS);
		cr_assert_eq(cuMemcpyDtoH_v2(to, device, size), CUDA_SUCCESS);
	}
	cr_assert_arr_eq(at(device), from, size);
	cr_assert_eq(*(uint8_t *)at(device + size), 0xcc);
	cr_assert_arr_eq(to, from, size + 1);
	cr_assert_eq(cuMemFree_v2(device), CUDA_SUCCESS);
	free(from);
	free(to);
}

Test(copy, sizes, .init = start)
{
	static const size_t sizes[] = {1,
				       7,
				       4096,
				       GENIE_INLINE_MAX - 1,
				       GENIE_INLINE_MAX,
				       GENIE_INLINE_MAX + 1,
				       GENIE_BULK_CHUNK,
				       GENIE_BULK_CHUNK + 1,
				       5 * GENIE_BULK_CHUNK + 3,
				       40 * GENIE_BULK_CHUNK};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		there_and_back(sizes[i], false);
		there_and_back(sizes[i], true);
	}
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDInline), 10, "small copies in the command");
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyDtoHReply), 10);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDBulk), 2 * (1 + 1 + 2 + 6 + 40));
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyDtoHBulk), 2 * (1 + 1 + 2 + 6 + 40));
}

Test(copy, sizes_with_everything_off, .init = start_plain)
{
	there_and_back(100, false);
	there_and_back(GENIE_INLINE_MAX, true);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDInline), 0);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyDtoHReply), 0);
}

static void
pinned_there_and_back(size_t size)
{
	CUdeviceptr device = device_alloc(size);
	uint8_t *from, *to;
	CUstream stream;

	cr_assert_eq(cuMemHostAlloc((void **)&from, size, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostAlloc((void **)&to, size, 0), CUDA_SUCCESS);
	cr_assert_eq(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
	for (size_t i = 0; i < size; i++)
		from[i] = (uint8_t)(i * 11);
	memset(to, 0, size);
	next_ref = 1;
	cr_assert_eq(cuMemcpyHtoDAsync_v2(device, from, size, stream), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpyDtoHAsync_v2(to, device, size, stream), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0, "asynchronous copies of pinned memory do not wait");
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_SUCCESS);
	cr_assert_arr_eq(to, from, size);
	memset(to, 0, size);
	cr_assert_eq(cuMemcpyDtoH_v2(to, device, size), CUDA_SUCCESS);
	cr_assert_arr_eq(to, from, size);
	cr_assert_eq(cuMemcpy((CUdeviceptr)(uintptr_t)to, device, size + 1),
		     CUDA_ERROR_INVALID_VALUE, "leaves the pinned block");
}

Test(copy, pinned_shared, .init = start)
{
	pinned_there_and_back(3 * GENIE_BULK_CHUNK + 5);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyDtoHPinned), 2);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDBulk), 0);
}

Test(copy, pinned_apart, .init = start_apart)
{
	pinned_there_and_back(3 * GENIE_BULK_CHUNK + 5);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 0);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDBulk), 4);
}

Test(copy, bounds, .init = start)
{
	CUdeviceptr small = device_alloc(100), large = device_alloc(10 << 20);
	static uint8_t host[20 << 20];
	size_t before = fake.count;

	cr_assert_eq(cuMemcpyHtoD_v2(small, host, 101), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyHtoD_v2(small + 50, host, 51), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyDtoH_v2(host, large, (10 << 20) + 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyDtoD_v2(large, small, 101), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyHtoD_v2(small, NULL, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyHtoD_v2((CUdeviceptr)(uintptr_t)host, host, 1),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpyHtoD_v2(0, host, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(small, host, 1, (CUstream)0x77),
		     CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(cuMemsetD8_v2(small, 0, 101), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemsetD16_v2(small + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemsetD2D8_v2(small, 5, 0, 10, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake.count, before, "nothing was sent");
}

Test(copy, any_to_any, .init = start)
{
	CUdeviceptr a = device_alloc(1000), b = device_alloc(1000);
	uint8_t *x = host_alloc(1000, 1), *y = host_alloc(1000, 2);
	CUdeviceptr hx = (CUdeviceptr)(uintptr_t)x, hy = (CUdeviceptr)(uintptr_t)y;

	cr_assert_eq(cuMemcpy(a, hx, 1000), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpy(b, a, 1000), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpyAsync(hy, b, 1000, NULL), CUDA_SUCCESS);
	cr_assert_arr_eq(x, y, 1000);
	memset(x, 5, 1000);
	cr_assert_eq(cuMemcpy(hy, hx, 1000), CUDA_SUCCESS);
	cr_assert_arr_eq(x, y, 1000);
	free(x);
	free(y);
}

Test(copy, sets, .init = start)
{
	CUdeviceptr a = device_alloc(4096);
	uint8_t *host = at(a);
	uint32_t word;

	memset(host, 0, 4096);
	cr_assert_eq(cuMemsetD8_v2(a, 7, 100), CUDA_SUCCESS);
	cr_assert(host[0] == 7 && host[99] == 7 && host[100] == 0);
	cr_assert_eq(cuMemsetD16Async(a, 0x0102, 10, NULL), CUDA_SUCCESS);
	cr_assert(host[18] == 2 && host[19] == 1 && host[20] == 7);
	cr_assert_eq(cuMemsetD2D32_v2(a + 1024, 64, 0xaabbccdd, 2, 3), CUDA_SUCCESS);
	memcpy(&word, host + 1024 + 128 + 4, 4);
	cr_assert_eq(word, 0xaabbccdd);
	cr_assert_eq(host[1024 + 128 + 8], 0);
	cr_assert_eq(fake.waits, 0);
}

/* ---- boxes ---- */

enum { BOX_BYTES = 1 << 16 };

static unsigned int
below(unsigned int *seed, unsigned int limit)
{
	return (unsigned int)rand_r(seed) % limit;
}

/* One random copy between two buffers, each on the host or on the device. */
static void
random_box(unsigned int *seed, uint64_t const buffers[4])
{
	static uint8_t expected_bytes[BOX_BYTES];
	unsigned int from = below(seed, 4), to = below(seed, 4);
	CUDA_MEMCPY3D copy = {
		.srcXInBytes = below(seed, 9),
		.srcY = below(seed, 3),
		.srcZ = below(seed, 2),
		.dstXInBytes = below(seed, 9),
		.dstY = below(seed, 3),
		.dstZ = below(seed, 2),
		.WidthInBytes = 1 + below(seed, 100),
		.Height = 1 + below(seed, 12),
		.Depth = 1 + below(seed, 4),
	};
	CUDA_MEMCPY3D model;
	bool unified = below(seed, 3) == 0;

	if (from == to)
		to = (to + 1) % 4;
	copy.srcPitch = copy.srcXInBytes + copy.WidthInBytes + below(seed, 20);
	copy.dstPitch = copy.dstXInBytes + copy.WidthInBytes + below(seed, 20);
	copy.srcHeight = copy.srcY + copy.Height + below(seed, 3);
	copy.dstHeight = copy.dstY + copy.Height + below(seed, 3);
	copy.srcMemoryType = unified    ? CU_MEMORYTYPE_UNIFIED
			     : from < 2 ? CU_MEMORYTYPE_HOST
					: CU_MEMORYTYPE_DEVICE;
	copy.dstMemoryType = unified  ? CU_MEMORYTYPE_UNIFIED
			     : to < 2 ? CU_MEMORYTYPE_HOST
				      : CU_MEMORYTYPE_DEVICE;
	copy.srcDevice = buffers[from];
	copy.srcHost = at(buffers[from]);
	copy.dstDevice = buffers[to];
	copy.dstHost = at(buffers[to]);
	for (int i = 0; i < BOX_BYTES; i++)
		((uint8_t *)at(buffers[from]))[i] = (uint8_t)rand_r(seed);
	memcpy(expected_bytes, at(buffers[to]), BOX_BYTES);
	model = copy;
	model.srcMemoryType = model.dstMemoryType = CU_MEMORYTYPE_DEVICE;
	model.srcDevice = buffers[from];
	model.dstDevice = (CUdeviceptr)(uintptr_t)expected_bytes;
	model_box(&model);
	next_ref = 1;
	if (below(seed, 2))
		cr_assert_eq(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
	else
		cr_assert_eq(cuMemcpy3DAsync_v2(&copy, NULL), CUDA_SUCCESS);
	cr_assert_arr_eq(at(buffers[to]), expected_bytes, BOX_BYTES, "%u to %u", from, to);
}

static void
many_boxes(void)
{
	unsigned int seed = 7;
	uint64_t buffers[4];
	void *pinned;

	buffers[0] = (uint64_t)(uintptr_t)host_alloc(BOX_BYTES, 1);
	cr_assert_eq(cuMemHostAlloc(&pinned, BOX_BYTES, 0), CUDA_SUCCESS);
	buffers[1] = (uint64_t)(uintptr_t)pinned;
	buffers[2] = device_alloc(BOX_BYTES);
	buffers[3] = device_alloc(BOX_BYTES);
	for (int i = 0; i < 2000; i++) {
		random_box(&seed, buffers);
		fake.count = 0; /* the fake's memory of commands is bounded */
	}
	free(at(buffers[0]));
}

Test(copy, boxes, .init = start)
{
	many_boxes();
}

Test(copy, boxes_apart, .init = start_apart)
{
	many_boxes();
}

Test(copy, boxes_with_everything_off, .init = start_plain)
{
	many_boxes();
}

/* Larger than one piece, in all three ways to cut it. */
Test(copy, large_boxes, .init = start)
{
	static const size_t shapes[][3] = {
		{5 << 20, 3, 2}, {1000, 9000, 2}, {100, 100, 1200}, {4096, 2048, 1}};
	size_t bytes = 36 << 20;
	CUdeviceptr device = device_alloc(bytes);
	uint8_t *from = host_alloc(bytes, 1), *to = host_alloc(bytes, 2);

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const size_t *shape = shapes[i];
		CUDA_MEMCPY3D up = {.srcMemoryType = CU_MEMORYTYPE_HOST,
				    .srcHost = from,
				    .srcPitch = shape[0] + 16,
				    .srcHeight = shape[1],
				    .dstMemoryType = CU_MEMORYTYPE_DEVICE,
				    .dstDevice = device,
				    .dstPitch = shape[0] + 32,
				    .dstHeight = shape[1],
				    .WidthInBytes = shape[0],
				    .Height = shape[1],
				    .Depth = shape[2]};
		CUDA_MEMCPY3D down = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
				      .srcDevice = device,
				      .srcPitch = shape[0] + 32,
				      .srcHeight = shape[1],
				      .dstMemoryType = CU_MEMORYTYPE_HOST,
				      .dstHost = to,
				      .dstPitch = shape[0] + 16,
				      .dstHeight = shape[1],
				      .WidthInBytes = shape[0],
				      .Height = shape[1],
				      .Depth = shape[2]};

		next_ref = 1;
		cr_assert_eq(cuMemcpy3D_v2(&up), CUDA_SUCCESS);
		cr_assert_eq(cuMemcpy3D_v2(&down), CUDA_SUCCESS);
		for (size_t row = 0; row < shape[1] * shape[2]; row++)
			cr_assert_arr_eq(to + row * (shape[0] + 16), from + row * (shape[0] + 16),
					 shape[0]);
	}
	free(from);
	free(to);
}
