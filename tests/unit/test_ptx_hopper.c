/* Barriers in shared memory, bulk copies, clusters: tests/ptx/hopper.cu. */
#include "test_ptx.h"

static void
check_module(struct ptx_module *m)
{
	enum { ROUNDS = 5 };
	static _Alignas(16) int in[ROUNDS * 256], out[2048];
	struct {
		int *in, *out;
		int rounds;
	} p = {in, out, ROUNDS};
	struct {
		int *out;
		int rounds;
	} q = {out, ROUNDS};

	for (int i = 0; i < ROUNDS * 256; i++)
		in[i] = i * 7 % 1000;
	RUN(m, "copy_through_barrier", 1, 256, PARAMS(p));
	for (int i = 0; i < ROUNDS * 256; i++)
		cr_assert_eq(out[i], in[i / 256 * 256 + 255 - i % 256]);

	RUN(m, "produce_consume", 1, 64, PARAMS(q));
	for (int i = 0; i < ROUNDS * 32; i++)
		cr_assert_eq(out[i], i / 32 * 1000 + 31 - i % 32, "%d: %d", i, out[i]);

	RUN(m, "bulk_copy", 1, 512, PARAMS(p));
	for (int i = 0; i < 512; i++)
		cr_assert_eq(out[i], in[i] + 1);

	for (int threads = 1; threads < 3; threads++) {
		memset(out, 0, sizeof(out));
		RUN(m, "ring", 12, 32, PARAMS(q));
		for (int i = 0; i < 12 * 32; i++) {
			int rank = i / 32 % 4, t = i % 32;
			int v = (rank + 1) % 4 * 100 + t, box = (rank + 2) % 4;

			cr_assert_eq(out[i], v * 10000 + box * 100 + 41, "%d: %d", i, out[i]);
		}
	}

	RUN(m, "alone", 1, 256, PARAMS(q));
	for (int i = 0; i < 256; i++)
		cr_assert_eq(out[i], 255 - i);

	RUN(m, "groups", 1, 128, PARAMS(p));
	for (int t = 0; t < 128; t++) {
		int sum = 0, max = 0, first = t / 32 * 32, actives = 0, rank = 0;

		for (int k = t / 16 * 16; k < t / 16 * 16 + 16; k++)
			sum += in[k];
		for (int k = first; k < first + 32; k++) {
			max = in[k] > max ? in[k] : max;
			actives += k % 3 == 0;
			rank += k % 3 == 0 && k < t;
		}
		cr_assert_eq(out[t * 4], sum);
		cr_assert_eq(out[t * 4 + 1], max);
		cr_assert_eq(out[t * 4 + 2], t % 3 ? 0 : actives * 100 + rank);
		cr_assert_eq(out[t * 4 + 3], 40 + t % 16 / 4);
	}
}

Test(ptx_hopper, all, .timeout = 60)
{
	static const char *const files[] = {"90", "120"};

	for (int i = 0; i < 2; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/hopper.%s.ptx", PTX_DIR, files[i]);
		struct ptx_module *m = load_file(path);

		check_module(m);
		ptx_module_unload(m);
	}
}
