/* Textures and surfaces: tests/ptx/image.cu. */
#include <math.h>

#include "test_ptx.h"

static struct ptx_module *module;

static void
setup(void)
{
	module = load_file(PTX_DIR "/image.75.ptx");
}

static void
teardown(void)
{
	ptx_module_unload(module);
}

TestSuite(ptx_image, .init = setup, .fini = teardown, .timeout = 30);

enum { W = 8, H = 4, D = 3, HANDLE = 0x1000 };

static int
clamp(int i, int n)
{
	return i < 0 ? 0 : i >= n ? n - 1 : i;
}

Test(ptx_image, points_and_borders)
{
	static float texels[H][W + 2][2];
	float xy[32][2], out[32][2];
	struct ptx_image image = {
		.data = texels,
		.width = W,
		.height = H,
		.depth = 1,
		.pitch = sizeof(texels[0]),
		.format = PTX_IMAGE_F32,
		.channels = 2,
		.address = {PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP},
	};
	struct {
		uint64_t texture;
		void *xy, *out;
	} p = {HANDLE, xy, out};

	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++)
			for (int k = 0; k < 2; k++)
				texels[y][x][k] = (float)(100 * k + 10 * y + x);
	for (int i = 0; i < 32; i++) {
		xy[i][0] = (float)(i * 13 % 32) * 0.5f - 3.25f;
		xy[i][1] = (float)(i * 7 % 16) * 0.5f - 1.75f;
	}
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "sample_2d", 1, 32, PARAMS(p));
	for (int i = 0; i < 32; i++) {
		int x = clamp((int)floorf(xy[i][0]), W), y = clamp((int)floorf(xy[i][1]), H);

		cr_assert_eq(out[i][0], texels[y][x][0]);
		cr_assert_eq(out[i][1], texels[y][x][1]);
	}

	image.address[0] = PTX_IMAGE_BORDER;
	image.border[0] = -7;
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "sample_2d", 1, 32, PARAMS(p));
	for (int i = 0; i < 32; i++) {
		int x = (int)floorf(xy[i][0]), y = clamp((int)floorf(xy[i][1]), H);

		cr_assert_eq(out[i][0], x < 0 || x >= W ? -7 : texels[y][x][0]);
	}

	/* 0…1 across the image, repeated or mirrored beyond */
	image.normalized = 1;
	image.address[0] = PTX_IMAGE_WRAP;
	image.address[1] = PTX_IMAGE_MIRROR;
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "sample_2d", 1, 32, PARAMS(p));
	for (int i = 0; i < 32; i++) {
		int x = (int)floorf(xy[i][0] * W), y = (int)floorf(xy[i][1] * H);

		x = ((x % W) + W) % W;
		y = ((y % (2 * H)) + 2 * H) % (2 * H);
		y = y < H ? y : 2 * H - 1 - y;
		cr_assert_eq(out[i][0], texels[y][x][0]);
	}
	ptx_image_unbind(HANDLE);
}

Test(ptx_image, interpolation)
{
	static uint8_t texels[D][H][W];
	float xyz[64][3], out[64];
	struct ptx_image image = {
		.data = texels,
		.width = W,
		.height = H,
		.depth = D,
		.pitch = W,
		.slice = W * H,
		.format = PTX_IMAGE_U8,
		.channels = 1,
		.read_as_float = 1,
		.linear = 1,
		.address = {PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP},
	};
	struct {
		uint64_t texture;
		void *xyz, *out;
	} p = {HANDLE, xyz, out};

	/* a ramp: between the centres the interpolation is the ramp itself */
	for (int z = 0; z < D; z++)
		for (int y = 0; y < H; y++)
			for (int x = 0; x < W; x++)
				texels[z][y][x] = (uint8_t)(z * 60 + y * 20 + x * 2);
	for (int i = 0; i < 64; i++) {
		xyz[i][0] = 0.5f + (float)(i % 15) * 0.5f;
		xyz[i][1] = 0.5f + (float)(i % 7) * 0.5f;
		xyz[i][2] = 0.5f + (float)(i % 5) * 0.5f;
	}
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "sample_3d", 1, 64, PARAMS(p));
	for (int i = 0; i < 64; i++) {
		float expect = ((xyz[i][2] - 0.5f) * 60 + (xyz[i][1] - 0.5f) * 20 +
				(xyz[i][0] - 0.5f) * 2) /
			       255;

		cr_assert_float_eq(out[i], expect, 1e-5, "%d: %g not %g", i, out[i], expect);
	}
	ptx_image_unbind(HANDLE);
}

Test(ptx_image, buffers)
{
	static int16_t texels[20][4];
	int out[32][4];
	struct ptx_image image = {
		.data = texels,
		.width = 20,
		.height = 1,
		.depth = 1,
		.format = PTX_IMAGE_S16,
		.channels = 4,
		.buffer = 1,
	};
	struct {
		uint64_t texture;
		void *out;
	} p = {HANDLE, out};

	for (int i = 0; i < 20; i++)
		for (int k = 0; k < 4; k++)
			texels[i][k] = (int16_t)(i * 10 + k - 50);
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "fetch_1d", 1, 32, PARAMS(p));
	for (int i = 0; i < 32; i++)
		for (int k = 0; k < 4; k++)
			cr_assert_eq(out[i][k], i < 4 || i >= 24 ? 0 : texels[i - 4][k]);
	ptx_image_unbind(HANDLE);
}

Test(ptx_image, layers)
{
	static uint16_t texels[3][4][4]; /* f16 */
	float out[48];
	struct ptx_image image = {
		.data = texels,
		.width = 4,
		.height = 4,
		.depth = 1,
		.layers = 3,
		.pitch = 8,
		.slice = 32,
		.format = PTX_IMAGE_F16,
		.channels = 1,
		.address = {PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP, PTX_IMAGE_CLAMP},
	};
	struct {
		uint64_t texture;
		void *out;
	} p = {HANDLE, out};

	for (int i = 0; i < 48; i++) {
		uint16_t h = small_f16(i);

		memcpy(&texels[i / 16][i / 4 % 4][i % 4], &h, 2);
	}
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	RUN(module, "sample_layers", 1, 48, PARAMS(p));
	for (int i = 0; i < 48; i++)
		cr_assert_eq(out[i], (float)i);
	ptx_image_unbind(HANDLE);
}

Test(ptx_image, surfaces)
{
	enum { N = 16 };
	static uint16_t from[N][N][2], to[N][N][2];
	struct ptx_image image = {
		.data = from,
		.width = N,
		.height = N,
		.depth = 1,
		.pitch = sizeof(from[0]),
		.format = PTX_IMAGE_U16,
		.channels = 2,
	};
	struct {
		uint64_t from, to;
		int n;
	} p = {HANDLE, HANDLE + 1, N};
	struct ptx_fault fault;
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {1, 1, 1}, PARAMS(p)};

	for (int i = 0; i < N * N * 2; i++)
		(&from[0][0][0])[i] = (uint16_t)(i * 3);
	cr_assert_eq(ptx_image_bind(HANDLE, &image), 0);
	image.data = to;
	cr_assert_eq(ptx_image_bind(HANDLE + 1, &image), 0);
	RUN(module, "rotate", N, N, PARAMS(p));
	for (int y = 0; y < N; y++)
		for (int x = 0; x < N; x++)
			cr_assert_arr_eq(to[x][N - 1 - y], from[y][x], 4);

	cr_assert_eq(try_launch(module, "outside", &args, &fault), PTX_FAULT);
	cr_assert_not_null(strstr(fault.text, "outside of the surface"), "%s", fault.text);
	ptx_image_unbind(HANDLE);
	ptx_image_unbind(HANDLE + 1);
	cr_assert_eq(try_launch(module, "outside", &args, &fault), PTX_UNSUPPORTED);
	cr_assert_not_null(strstr(fault.text, "no texture or surface"), "%s", fault.text);
}
