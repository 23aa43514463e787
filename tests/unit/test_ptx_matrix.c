/* Matrix instructions: tests/ptx/matrix.cu against plain loops. Small integers: all is exact. */
#include "remote/device_cpu/ptx/narrow.h"
#include "test_ptx.h"

enum kind { F16, BF16, F32, F64, S8, S32 };

static size_t
size_of(enum kind kind)
{
	return kind == S8 ? 1 : kind == F16 || kind == BF16 ? 2 : kind == F64 ? 8 : 4;
}

static void
put(void *matrix, size_t i, enum kind kind, int v)
{
	float f = (float)v;
	uint32_t bits;

	memcpy(&bits, &f, 4);
	switch (kind) {
	case F16:
		((uint16_t *)matrix)[i] = small_f16(v);
		break;
	case BF16:
		((uint16_t *)matrix)[i] = (uint16_t)(bits >> 16);
		break;
	case F32:
		((float *)matrix)[i] = f;
		break;
	case F64:
		((double *)matrix)[i] = v;
		break;
	case S8:
		((int8_t *)matrix)[i] = (int8_t)v;
		break;
	case S32:
		((int *)matrix)[i] = v;
		break;
	}
}

/* d = scale c + a b, b column-major */
static void
check(struct ptx_module *m, const char *name, enum kind ab, enum kind cd, int rows, int columns,
      int depth, int scale)
{
	_Alignas(64) uint8_t a[16 * 32 * 8], b[16 * 32 * 8], c[32 * 16 * 8], d[32 * 16 * 8], e[8];
	int va[32 * 32], vb[32 * 32], vc[32 * 32];
	struct {
		void *a, *b, *c, *d;
	} p = {a, b, c, d};

	for (int i = 0; i < rows * depth; i++)
		put(a, (size_t)i, ab, va[i] = i * 7 % 11 - 5);
	for (int i = 0; i < columns * depth; i++)
		put(b, (size_t)i, ab, vb[i] = i * 5 % 9 - 4);
	for (int i = 0; i < rows * columns; i++)
		put(c, (size_t)i, cd, vc[i] = i % 13 - 6);
	memset(d, 0x55, sizeof(d));
	RUN(m, name, 1, 32, PARAMS(p));
	for (int i = 0; i < rows; i++) {
		for (int j = 0; j < columns; j++) {
			int sum = scale * vc[i * columns + j];

			for (int k = 0; k < depth; k++)
				sum += va[i * depth + k] * vb[j * depth + k];
			put(e, 0, cd, sum);
			cr_assert_arr_eq(d + (size_t)(i * columns + j) * size_of(cd), e,
					 size_of(cd), "%s: element %d, %d should be %d", name, i, j,
					 sum);
		}
	}
}

Test(ptx_matrix, wmma)
{
	static const char *const files[] = {"75", "90", "120"};

	for (int i = 0; i < 3; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/matrix.%s.ptx", PTX_DIR, files[i]);
		struct ptx_module *m = load_file(path);

		check(m, "wmma_f16_f32", F16, F32, 16, 16, 16, 2);
		check(m, "wmma_f16_f16", F16, F16, 16, 16, 16, 2);
		check(m, "wmma_f16_wide", F16, F32, 32, 8, 16, 2);
		check(m, "wmma_s8", S8, S32, 16, 16, 16, 2);
		if (i > 0) {
			check(m, "wmma_bf16", BF16, F32, 16, 16, 16, 2);
			check(m, "wmma_f64", F64, F64, 8, 8, 4, 2);
		}
		ptx_module_unload(m);
	}
}

Test(ptx_matrix, mma)
{
	static const char *const files[] = {"90", "120"};

	for (int i = 0; i < 2; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/matrix.%s.ptx", PTX_DIR, files[i]);
		struct ptx_module *m = load_file(path);

		check(m, "mma_ldmatrix", F16, F32, 16, 8, 16, 1);
		check(m, "mma_transposed", F16, F32, 16, 8, 16, 1);
		check(m, "mma_s8", S8, S32, 16, 8, 32, 1);
		check(m, "mma_tf32", F32, F32, 16, 8, 8, 1);
		check(m, "mma_f64", F64, F64, 8, 8, 4, 1);
		ptx_module_unload(m);
	}
}

/* Rounding once, however the value lies between two neighbours of f16. */
Test(ptx_matrix, f64_to_f16)
{
	static const double steps[] = {0, 0x1p-11, 0x1p-12, 0x1p-24, 0x1p-25, 0x1p-40, 0x1p-52};

	for (uint32_t h = 0; h < 0x7c00; h++) {
		double a = narrow_f16_to_f32((uint16_t)h), b = narrow_f16_to_f32((uint16_t)(h + 1));

		if (h == 0x7bff)
			b = 65536; /* what would come next */
		for (size_t k = 0; k < 2 * sizeof(steps) / sizeof(*steps); k++) {
			double middle = a / 2 + b / 2, step = steps[k / 2] * (b - a);
			double v = k % 2 ? middle - step : middle + step;

			cr_assert_eq(narrow_f64_to_f16_rn(v), f64_to_narrow(v, &format_f16),
				     "%a is %x", v, narrow_f64_to_f16_rn(v));
			cr_assert_eq(narrow_f64_to_f16_rn(-v), f64_to_narrow(-v, &format_f16));
		}
	}
	static const double others[] = {INFINITY, 1e300, 0x1p-1074, 0x1p-200, 65520, 65519.999};

	for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++)
		cr_assert_eq(narrow_f64_to_f16_rn(others[k]), f64_to_narrow(others[k], &format_f16),
			     "%a", others[k]);
	cr_assert_eq(narrow_f64_to_f16_rn(NAN), 0x7fff);
}
