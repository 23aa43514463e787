/* CUB's blocks: tests/ptx/cub.cu. */
#include "test_ptx.h"

enum { THREADS = 128, ITEMS = 4, N = THREADS * ITEMS, BLOCKS = 3 };

static int
compare_unsigned(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
check_module(struct ptx_module *m)
{
	static unsigned in[BLOCKS * N], out[BLOCKS * N], expect[BLOCKS * N];
	static int scanned[BLOCKS * N], totals[BLOCKS];
	static float floats[BLOCKS * THREADS], max[BLOCKS];
	static short values[N], values_out[N];
	double sums[BLOCKS];

	for (int i = 0; i < BLOCKS * N; i++)
		expect[i] = in[i] = (unsigned)i * 2654435761u;
	struct {
		void *in, *out, *more;
	} p = {in, out, totals};

	RUN(m, "sort_block", BLOCKS, THREADS, PARAMS(p));
	for (int b = 0; b < BLOCKS; b++)
		qsort(expect + b * N, N, sizeof(*expect), compare_unsigned);
	cr_assert_arr_eq(out, expect, sizeof(out));

	for (int i = 0; i < BLOCKS * N; i++)
		in[i] = (unsigned)(i % 29 - 10);
	p.out = scanned;
	RUN(m, "scan_block", BLOCKS, THREADS, PARAMS(p));
	for (int b = 0, sum = 0; b < BLOCKS; b++, sum = 0) {
		for (int i = 0; i < N; i++) {
			sum += (int)in[b * N + i];
			cr_assert_eq(scanned[b * N + i], sum);
		}
		cr_assert_eq(totals[b], sum);
	}

	RUN(m, "warp_scan", 1, THREADS, PARAMS(p));
	for (int i = 0, sum = 0; i < THREADS; i++) {
		sum = i % 8 ? sum : 0;
		cr_assert_eq(scanned[i], sum);
		sum += (int)in[i];
	}

	for (int i = 0; i < BLOCKS * THREADS; i++)
		floats[i] = (float)(i * 37 % 101) / 8;
	p.in = floats;
	p.out = max;
	p.more = sums;
	RUN(m, "reduce_block", BLOCKS, THREADS, PARAMS(p));
	for (int b = 0; b < BLOCKS; b++) {
		float most = -1;
		double sum = 0;

		for (int i = 0; i < THREADS; i++) {
			most = floats[b * THREADS + i] > most ? floats[b * THREADS + i] : most;
			sum += floats[b * THREADS + i];
		}
		cr_assert_eq(max[b], most);
		cr_assert_eq(sums[b], sum);
	}

	struct {
		void *keys, *values, *keys_out, *values_out;
	} q = {in, values, out, values_out};

	for (int i = 0; i < N; i++) {
		in[i] = (unsigned)(i * 163 % 512) - 200u;
		values[i] = (short)(in[i] * 3);
	}
	RUN(m, "sort_pairs_merge", 1, THREADS, PARAMS(q));
	for (int i = 0; i < N; i++) {
		cr_assert_eq((int)out[i], i - 200);
		cr_assert_eq(values_out[i], (short)((i - 200) * 3));
	}
}

Test(ptx_cub, blocks, .timeout = 120)
{
	static const char *const files[] = {"75", "90", "120"};

	for (int i = 0; i < 3; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/cub.%s.ptx", PTX_DIR, files[i]);
		struct ptx_module *m = load_file(path);

		check_module(m);
		ptx_module_unload(m);
	}
}
