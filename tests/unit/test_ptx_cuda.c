/* CUDA programs compiled by nvcc at build time: tests/ptx/basic.cu against the host. */
#include <math.h>
#include <pthread.h>

#include "test_ptx.h"

/* One module per architecture that nvcc was asked for. */
static const char *const architectures[] = {"75", "90", "120"};
enum { ARCHITECTURES = sizeof(architectures) / sizeof(*architectures) };

#define FOR_EACH_MODULE(m)                                                                         \
	for (struct ptx_module * m, **once_ = &m; once_; once_ = NULL)                             \
		for (int arch_ = 0; arch_ < ARCHITECTURES && (m = load_basic(arch_)) != NULL;      \
		     arch_++, ptx_module_unload(m))

static struct ptx_module *
load_basic(int arch)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/basic.%s.ptx", PTX_DIR, architectures[arch]);
	return load_file(path);
}

Test(ptx_cuda, saxpy)
{
	enum { N = 100003 };
	float *x = malloc(N * sizeof(*x)), *y = malloc((N + 8) * sizeof(*y));
	struct {
		int n;
		float a;
		float *x, *y;
	} p = {N, 2.5f, x, y};

	FOR_EACH_MODULE(m)
	{
		for (int i = 0; i < N + 8; i++)
			y[i] = (float)i;
		for (int i = 0; i < N; i++)
			x[i] = (float)(i % 1000);
		RUN(m, "saxpy", (N + 255) / 256, 256, PARAMS(p));
		for (int i = 0; i < N + 8; i++)
			cr_assert_eq(y[i], i < N ? fmaf(2.5f, x[i], (float)i) : (float)i, "%d", i);
	}
	free(x);
	free(y);
}

Test(ptx_cuda, reductions)
{
	enum { N = 50001, BLOCKS = (N + 511) / 512 };
	int *in = malloc(N * sizeof(*in)), sum = 0, total = 0, parts[BLOCKS];
	struct {
		const int *in;
		int n, pad;
		int *out;
	} p = {in, N, 0, &total};

	for (int i = 0; i < N; i++)
		sum += in[i] = i % 97 - 40;
	FOR_EACH_MODULE(m)
	{
		total = 0;
		p.out = &total;
		RUN(m, "reduce_shared", 7, 256, PARAMS(p));
		cr_assert_eq(total, sum);

		p.out = parts;
		RUN(m, "reduce_shuffle", BLOCKS, 512, PARAMS(p),
		    .dynamic_shared = 16 * sizeof(int));
		total = 0;
		for (int i = 0; i < BLOCKS; i++)
			total += parts[i];
		cr_assert_eq(total, sum);
	}
	free(in);
}

Test(ptx_cuda, matmul)
{
	enum { N = 64 };
	static float a[N * N], b[N * N], c[N * N];
	struct {
		float *a, *b, *c;
		int n;
	} p = {a, b, c, N};
	static const char *const kernels[] = {"matmul_tiled", "matmul_plain"};

	for (int i = 0; i < N * N; i++) {
		a[i] = (float)(i % 13) / 3;
		b[i] = (float)(i % 11) / 7;
	}
	FOR_EACH_MODULE(m)
	for (int k = 0; k < 2; k++) {
		memset(c, 0, sizeof(c));
		launch(m, kernels[k],
		       &(struct ptx_launch){
			       .grid = {N / 16, N / 16, 1}, .block = {16, 16, 1}, PARAMS(p)});
		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++) {
				float sum = 0;

				for (int n = 0; n < N; n++)
					sum = fmaf(a[i * N + n], b[n * N + j], sum);
				cr_assert_eq(c[i * N + j], sum);
			}
		}
	}
}

Test(ptx_cuda, histogram)
{
	enum { N = 30000 };
	static unsigned char in[N];
	unsigned out[256], expect[256] = {0};
	struct {
		unsigned char *in;
		int n, pad;
		unsigned *out;
	} p = {in, N, 0, out};

	for (int i = 0; i < N; i++)
		expect[in[i] = (unsigned char)(i * i >> 3)]++;
	FOR_EACH_MODULE(m)
	{
		memset(out, 0, sizeof(out));
		RUN(m, "histogram", 9, 192, PARAMS(p));
		cr_assert_arr_eq(out, expect, sizeof(out));
	}
}

struct atomics {
	int add, min, max, exch;
	unsigned inc, dec, land, lor, lxor, cas;
	unsigned long long add64, max64;
	float fadd;
	double dadd;
	uint16_t hadd[2];
};

Test(ptx_cuda, atomics)
{
	enum { BLOCKS = 8, THREADS = 128, N = BLOCKS * THREADS };
	static int tickets[N], seen[N];

	FOR_EACH_MODULE(m)
	{
		struct atomics a = {.land = 0xffffffff};
		struct {
			struct atomics *a;
			int *tickets;
		} p = {&a, tickets};
		unsigned inc = 0, dec = 0, lxor = 0;

		memset(seen, 0, sizeof(seen));
		RUN(m, "atomics", BLOCKS, THREADS, PARAMS(p));
		for (int i = 0; i < N; i++) {
			inc = inc >= 99 ? 0 : inc + 1;
			dec = dec == 0 || dec > 99 ? 99 : dec - 1;
			lxor ^= (unsigned)i;
			seen[tickets[i]]++;
		}
		for (int i = 0; i < N; i++)
			cr_assert_eq(seen[i], 1);
		cr_assert_eq(a.add, N);
		cr_assert_eq(a.min, -(N - 1));
		cr_assert_eq(a.max, N - 1);
		cr_assert(a.exch >= 0 && a.exch < N);
		cr_assert_eq(a.inc, inc);
		cr_assert_eq(a.dec, dec);
		cr_assert_eq(a.land, 0xffff0000u);
		cr_assert_eq(a.lor, 0xffffffffu);
		cr_assert_eq(a.lxor, lxor);
		cr_assert_eq(a.cas, N);
		cr_assert_eq(a.add64, (1ull << 33) * N);
		cr_assert_eq(a.max64, (unsigned long long)(N - 1) << 32);
		cr_assert_eq(a.fadd, N * 0.5f);
		cr_assert_eq(a.dadd, N * 0.25);
		cr_assert_eq(a.hadd[0], 0x6400); /* 1024 */
		cr_assert_eq(a.hadd[1], 0x6800); /* 2048 */
	}
}

static int
fibonacci(int n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

Test(ptx_cuda, calls)
{
	struct pair {
		int a;
		double b;
	} pairs[70];
	int fib[70];
	struct {
		int *fib;
		struct pair *pairs;
		struct pair p;
	} p = {fib, pairs, {5, 2.5}};

	FOR_EACH_MODULE(m)
	{
		RUN(m, "calls", 1, 70, PARAMS(p));
		for (int t = 0; t < 70; t++) {
			cr_assert_eq(fib[t], fibonacci(t % 15));
			cr_assert_eq(pairs[t].a, 5 + t);
			cr_assert_eq(pairs[t].b, 2.5 * t);
		}
	}
}

Test(ptx_cuda, indirect_calls)
{
	int out[70], areas[70];
	struct {
		int *out, *areas;
	} p = {out, areas};

	FOR_EACH_MODULE(m)
	{
		RUN(m, "indirect", 1, 70, PARAMS(p));
		for (int t = 0; t < 70; t++) {
			cr_assert_eq(out[t], t % 3 == 0 ? t + 1 : t % 3 == 1 ? t * 3 : t * t);
			cr_assert_eq(areas[t], t % 3 == 0 ? t : t % 3 == 1 ? t * t : 6 * t * t);
		}
	}
}

static int
divergence(int i, int x)
{
	int steps = 0;

	while (x != 1) {
		x = x % 2 ? 3 * x + 1 : x / 2;
		if (++steps > 500)
			return -1;
	}
	for (int k = 0; k < i % 7; k++) {
		if (k == 3)
			continue;
		for (int j = 0; j < k; j++) {
			if ((i + j) % 5 == 4)
				break;
			steps += j;
		}
		switch ((i + k) % 6) {
		case 0:
			steps += 100;
			break;
		case 1:
			steps ^= 3;
			/* fall through */
		case 2:
			steps += 7;
			break;
		case 3:
			if (steps > 1000)
				return steps;
			steps *= 2;
			break;
		case 5:
			steps -= 2;
			break;
		default:
			break;
		}
	}
	return steps;
}

Test(ptx_cuda, divergence)
{
	enum { N = 1000 };
	static int in[N], out[N];
	struct {
		int *in, *out;
		int n;
	} p = {in, out, N};

	for (int i = 0; i < N; i++)
		in[i] = i * 7 % 1013 + 1;
	FOR_EACH_MODULE(m)
	{
		RUN(m, "divergence", 8, 128, PARAMS(p));
		for (int i = 0; i < N; i++)
			cr_assert_eq(out[i], divergence(i, in[i]), "%d: %d", i, out[i]);
	}
}

Test(ptx_cuda, barriers)
{
	int out[256];
	struct {
		int *out;
	} p = {out};

	FOR_EACH_MODULE(m)
	{
		RUN(m, "barriers", 1, 256, PARAMS(p));
		for (int t = 0; t < 200; t++) {
			int value = t < 64 ? 63 - t + 1000 : t;

			cr_assert_eq(out[t], value + 67 + 10000, "%d: %d", t, out[t]);
		}
	}
}

Test(ptx_cuda, warps)
{
	int out[64 * 4];
	struct {
		int *out;
	} p = {out};

	FOR_EACH_MODULE(m)
	{
		RUN(m, "warps", 1, 64, PARAMS(p));
		for (int t = 0; t < 64; t++) {
			int lane = t % 32, base = t - lane;
			int r = lane % 2 ? base + 3 + 16000 : (lane < 2 ? t : t - 2) + 7;
			unsigned ballot = 0x49249249, match = 0;

			for (int k = 0; k < 32; k++)
				match |= (unsigned)(k / 5 == lane / 5) << k;
			cr_assert_eq(out[t * 4], r, "%d: %d", t, out[t * 4]);
			cr_assert_eq((unsigned)out[t * 4 + 1], ballot ^ match);
			cr_assert_eq(out[t * 4 + 2], 1 + 4 + 8);
			cr_assert_eq(out[t * 4 + 3], lane % 8 + 5 < 8 ? t + 5 : t);
		}
	}
}

Test(ptx_cuda, spin_lock, .timeout = 30)
{
	FOR_EACH_MODULE(m)
	{
		int lock = 0, value = 0;
		struct {
			int *lock, *value;
		} p = {&lock, &value};

		RUN(m, "spin_lock", 4, 64, PARAMS(p));
		cr_assert_eq(value, 256);
	}
}

Test(ptx_cuda, print)
{
	struct {
		int n;
	} p = {3};

	FOR_EACH_MODULE(m)
	{
		char expect[4096] = "";
		size_t len = 0;

		RUN(m, "print", 1, 32, PARAMS(p));
		for (int t = 0; t < 3; t++)
			len += (size_t)snprintf(expect + len, sizeof(expect) - len,
						"%d %u %5.2f|%-6s|%c %lld %x %e %p %% %03d %zu\n",
						-t, (unsigned)t, t * 1.5, "ab", 'a' + t,
						-5000000000ll * t, 255 + (unsigned)t, 1e10,
						(void *)0x1234, t, (size_t)t);
		cr_assert_str_eq(test_output, expect);
	}
}

Test(ptx_cuda, failed_assertion)
{
	struct {
		int limit;
	} p = {40};

	FOR_EACH_MODULE(m)
	{
		struct ptx_fault fault;
		struct ptx_launch args = {
			.grid = {1, 1, 1},
			.block = {64, 1, 1},
			.output = test_collect,
			PARAMS(p),
		};

		cr_assert_eq(try_launch(m, "check", &args, &fault), PTX_FAULT);
		cr_assert_eq(fault.kind, PTX_FAULT_ASSERT);
		cr_assert_eq(fault.thread[0], 40);
		cr_assert_not_null(strstr(test_output, "Assertion `threadIdx.x < limit` failed"),
				   "%s", test_output);
		p.limit = 64;
		RUN(m, "check", 1, 64, PARAMS(p));
		p.limit = 40;
	}
}

Test(ptx_cuda, local_arrays)
{
	enum { N = 6 };
	/* reverse polish: -1 adds, -2 subtracts, -3 multiplies */
	static const int programs[4][N] = {
		{3, 4, -1, 5, -3, 9},
		{7, 2, -2, 3, -3, -1},
		{1, 2, 3, -1, -3, 4},
		{8, 8, -3, 2, -2, 1},
	};
	int in[64 * N], out[64];
	static const int expect[4] = {9, -1, 4, 1};
	struct {
		int *in, *out;
		int n;
	} p = {in, out, N};

	for (int i = 0; i < 64; i++)
		memcpy(in + i * N, programs[i % 4], sizeof(programs[0]));
	FOR_EACH_MODULE(m)
	{
		RUN(m, "local_arrays", 1, 64, PARAMS(p));
		for (int i = 0; i < 64; i++)
			cr_assert_eq(out[i], expect[i % 4], "%d: %d", i, out[i]);
	}
}

Test(ptx_cuda, math)
{
	enum { N = 64 };
	double in[N], out[N * 8];
	struct {
		double *in, *out;
		int n;
	} p = {in, out, N};

	for (int i = 0; i < N; i++)
		in[i] = (i - 32) * 1.37 + (i % 5 == 0 ? 1e5 : 0);
	in[3] = 1e300;
	in[4] = 0;
	FOR_EACH_MODULE(m)
	{
		RUN(m, "math", 1, N, PARAMS(p));
		for (int i = 0; i < N; i++) {
			double x = in[i];
			const double expect[8] = {
				sin(x),  exp(x / 10),   log(fabs(x) + 1), pow(fabs(x), 1.7),
				x / 3.7, sqrt(fabs(x)), atan2(x, 2.0),    erf(x / 5),
			};

			for (int k = 0; k < 8; k++) {
				double e = expect[k], o = out[i * 8 + k];

				if (isinf(e))
					cr_assert_eq(o, e, "%d %d: %g", i, k, o);
				else
					cr_assert_leq(fabs(o - e), fabs(e) * 1e-15 + 1e-300,
						      "%g %d: %.17g not %.17g", x, k, o, e);
			}
			cr_assert_eq(out[i * 8 + 4], expect[4]);
			cr_assert_eq(out[i * 8 + 5], expect[5]);
		}
	}
}

Test(ptx_cuda, mathf)
{
	enum { N = 64 };
	float in[N], out[N * 8];
	struct {
		float *in, *out;
		int n;
	} p = {in, out, N};

	for (int i = 0; i < N; i++)
		in[i] = (float)((i - 32) * 1.37 + (i % 5 == 0 ? 3e5 : 0));
	in[4] = 0;
	FOR_EACH_MODULE(m)
	{
		RUN(m, "mathf", 1, N, PARAMS(p));
		for (int i = 0; i < N; i++) {
			float x = in[i];
			const double expect[8] = {
				sin(x),
				exp((double)(x / 10)),
				log((double)(fabsf(x) + 1)),
				pow(fabs(x), 1.7f),
				x / 3.7f,
				sqrtf(fabsf(x)),
				tanh(x),
				exp((double)(x / 10)) + x / 3.0f,
			};

			for (int k = 0; k < 8; k++) {
				double e = expect[k], o = out[i * 8 + k];

				if (fabs(e) > 3.4e38)
					cr_assert(isinf(o), "%d %d: %g", i, k, o);
				else
					cr_assert_leq(fabs(o - e), fabs(e) * 1e-6 + 1e-37,
						      "%g %d: %.9g not %.9g", x, k, o, e);
			}
		}
	}
}

Test(ptx_cuda, int128)
{
	enum { N = 40 };
	unsigned long long in[2 * N + 2], out[3 * N];
	struct {
		unsigned long long *in, *out;
	} p = {in, out};

	for (int i = 0; i < 2 * N + 2; i++)
		in[i] = (unsigned long long)(i + 1) * 0x9e3779b97f4a7c15ull >> (i % 40);
	FOR_EACH_MODULE(m)
	{
		RUN(m, "int128", 1, N, PARAMS(p));
		for (int i = 0; i < N; i++) {
			unsigned __int128 a = ((unsigned __int128)in[2 * i] << 64) | in[2 * i + 1];
			unsigned __int128 b = a * in[i] + 12345 - (a >> 7);
			unsigned long long v = in[i], reversed = 0;

			for (int k = 0; k < 64; k++)
				reversed |= (v >> k & 1) << (63 - k);
			cr_assert_eq(out[3 * i], (unsigned long long)(b >> 64));
			cr_assert_eq(out[3 * i + 1], (unsigned long long)b);
			cr_assert_eq(out[3 * i + 2],
				     (unsigned long long)((unsigned __int128)v * in[i + 1] >> 64) +
					     reversed + (unsigned long long)__builtin_clzll(v) +
					     (unsigned long long)__builtin_popcountll(v) +
					     (unsigned long long)__builtin_ffsll((long long)v));
		}
	}
}

Test(ptx_cuda, variables)
{
	int out[100];
	struct {
		int *out;
	} p = {out};

	FOR_EACH_MODULE(m)
	{
		uint64_t address;
		size_t size;

		RUN(m, "variables", 1, 100, PARAMS(p));
		cr_assert_eq(ptx_module_global(m, "counter", &address, &size), 0);
		cr_assert_eq(size, 4);
		cr_assert_eq(*(int *)(uintptr_t)address, 4950);
		cr_assert_eq(ptx_module_global(m, "table", &address, &size), 0);
		cr_assert_eq(size, 512);
		cr_assert_eq(((unsigned long long *)(uintptr_t)address)[40], 120);
		cr_assert_neq(ptx_module_global(m, "nothing", &address, &size), 0);
		for (int i = 0; i < 100; i++)
			cr_assert_eq(out[i], i % 8 + 1);
	}
}

Test(ptx_cuda, grid_sync, .timeout = 30)
{
	enum { BLOCKS = 12, THREADS = 64, N = BLOCKS * THREADS, ROUNDS = 5 };
	int values[N], out[N];
	struct {
		int *values, *out;
		int rounds;
	} p = {values, out, ROUNDS};

	FOR_EACH_MODULE(m)
	{
		for (int i = 0; i < N; i++)
			values[i] = i;
		RUN(m, "grid_sync", BLOCKS, THREADS, PARAMS(p), .cooperative = 1);
		for (int i = 0; i < N; i++)
			cr_assert_eq(out[i], (i + ROUNDS) % N + ROUNDS, "%d: %d", i, out[i]);
	}
}

/* As a compiler calls them that links with libcudadevrt; its own functions only pass these on. */
static const char runtime_grid[] =
	".version 8.0\n.target sm_80\n.address_size 64\n"
	".extern .func (.param .b64 r) __cuda_syscall_CGS_get_intrinsic_handle(.param .b32 s);\n"
	".extern .func (.param .b32 r) __cuda_syscall_CGS_sync(.param .b64 h, .param .b32 f);\n"
	".extern .func (.param .b32 r) __cuda_syscall_CGS_get_size(.param .b64 t, .param .b64 g,\n"
	".param .b64 h);\n"
	".extern .func (.param .b32 r) __cuda_syscall_CGS_get_rank(.param .b64 t, .param .b64 g,\n"
	".param .b64 h);\n"
	".visible .entry k(.param .u64 sums, .param .u64 out)\n{\n"
	"	.local .align 4 .b32 own[2];\n"
	"	.reg .pred %p<3>;\n	.reg .b32 %r<20>;\n	.reg .b64 %rd<20>;\n"
	"	ld.param.u64 %rd1, [sums];\n"
	"	ld.param.u64 %rd2, [out];\n"
	"	cvta.local.u64 %rd3, own;\n"
	"	add.u64 %rd4, %rd3, 4;\n"
	"	call (%rd5), __cuda_syscall_CGS_get_intrinsic_handle, (1);\n"
	"	setp.eq.u64 %p1, %rd5, 0;\n"
	"	@%p1 ret;\n"
	"	call (%r1), __cuda_syscall_CGS_get_rank, (%rd3, 0, %rd5);\n"
	"	call (%r2), __cuda_syscall_CGS_get_size, (%rd4, 0, %rd5);\n"
	"	ld.local.u32 %r3, [own];\n"
	"	ld.local.u32 %r4, [own+4];\n"
	/* round i: everybody adds its rank to sums[i] and sees the whole after the barrier */
	"	mov.u32 %r5, 0;\n	mov.u32 %r8, 0;\n"
	"ROUND:\n"
	"	red.global.add.u32 [%rd1], %r3;\n"
	"	call (%r6), __cuda_syscall_CGS_sync, (%rd5, 0);\n"
	"	ld.volatile.global.u32 %r7, [%rd1];\n"
	"	add.u32 %r8, %r8, %r7;\n"
	"	add.u64 %rd1, %rd1, 4;\n"
	"	add.u32 %r5, %r5, 1;\n"
	"	setp.lt.u32 %p2, %r5, 3;\n"
	"	@%p2 bra ROUND;\n"
	"	mad.lo.u32 %r8, %r4, 1000000, %r8;\n"
	"	mul.wide.u32 %rd6, %r3, 4;\n"
	"	add.u64 %rd2, %rd2, %rd6;\n"
	"	st.global.u32 [%rd2], %r8;\n"
	"	ret;\n}\n";

Test(ptx_cuda, grid_groups_of_the_runtime, .timeout = 30)
{
	enum { N = 2 * 3 * 8 * 4 };
	uint32_t sums[3] = {0}, out[N] = {0};
	struct {
		uint32_t *sums, *out;
	} p = {sums, out};
	struct ptx_module *module = load_text(runtime_grid);
	struct ptx_launch args = {
		.grid = {2, 3, 1}, .block = {8, 4, 1}, .cooperative = 1, PARAMS(p)};

	launch(module, "k", &args);
	for (int i = 0; i < N; i++)
		cr_assert_eq(out[i], N * 1000000u + 3 * (N * (N - 1) / 2), "%d: %u", i, out[i]);
	/* no group of all blocks where not all of them are there */
	memset(out, 0, sizeof(out));
	args.cooperative = 0;
	launch(module, "k", &args);
	cr_assert_eq(out[0], 0);
	ptx_module_unload(module);
}

/*
 * A turn of the loop keeps its number for the next one, in a register that the first turn reads
 * too, where the value does not matter: previous = current is no copy that may disappear.
 */
static const char loop_carried[] =
	".version 8.0\n.target sm_80\n.address_size 64\n"
	".visible .entry k(.param .u64 out)\n{\n"
	"	.reg .pred %p<3>;\n	.reg .b32 %r<8>, %current, %previous;\n"
	"	.reg .b64 %rd<3>;\n"
	"	ld.param.u64 %rd1, [out];\n"
	"	mov.u32 %r1, 0;\n"
	"TURN:\n"
	"	mul.lo.u32 %current, %r1, 10;\n"
	"	mov.u32 %r3, %previous;\n"
	"	setp.eq.u32 %p1, %r1, 0;\n"
	"	@%p1 bra FIRST;\n"
	"	st.global.u32 [%rd1], %r3;\n"
	"FIRST:\n"
	"	add.u64 %rd1, %rd1, 4;\n"
	"	mov.u32 %previous, %current;\n"
	"	add.u32 %r1, %r1, 1;\n"
	"	setp.lt.u32 %p2, %r1, 5;\n"
	"	@%p2 bra TURN;\n"
	"	ret;\n}\n";

Test(ptx_cuda, carried_from_turn_to_turn)
{
	uint32_t out[5] = {7, 0, 0, 0, 0};
	struct {
		uint32_t *out;
	} p = {out};
	struct ptx_module *module = load_text(loop_carried);

	RUN(module, "k", 1, 1, PARAMS(p));
	cr_assert_eq(out[0], 7);
	for (uint32_t i = 1; i < 5; i++)
		cr_assert_eq(out[i], 10 * (i - 1), "%u: %u", i, out[i]);
	ptx_module_unload(module);
}

Test(ptx_cuda, blocks_wait_for_later_blocks, .timeout = 60)
{
	enum { BLOCKS = 8 };
	int flags[BLOCKS] = {0}, out[BLOCKS];
	struct {
		int *flags, *out;
	} p = {flags, out};

	FOR_EACH_MODULE(m)
	{
		memset(flags, 0, sizeof(flags));
		RUN(m, "chain", BLOCKS, 32, PARAMS(p));
		cr_assert_eq(out[BLOCKS - 1], BLOCKS * (BLOCKS - 1) / 2);
	}
}

static uint16_t
to_bf16(float a)
{
	uint32_t bits;

	memcpy(&bits, &a, 4);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float
from_bf16(uint16_t a)
{
	uint32_t bits = (uint32_t)a << 16;
	float f;

	memcpy(&f, &bits, 4);
	return f;
}

Test(ptx_cuda, halves)
{
	enum { N = 64 };
	float in[N], out[N * 6];
	struct {
		float *in, *out;
		int n;
	} p = {in, out, N};

	for (int i = 0; i < N; i++)
		in[i] = (float)(i * 37 % 64) / 8 - 3; /* exact in both formats */
	FOR_EACH_MODULE(m)
	{
		RUN(m, "halves", 1, N, PARAMS(p));
		for (int i = 0; i < N; i++) {
			float h = in[i], g = in[(i + 1) % N];

			cr_assert_eq(out[i * 6], h + g);
			cr_assert_float_eq(out[i * 6 + 1], h * g + h,
					   fabsf(h * g + h) / 2048 + 1e-6);
			cr_assert_eq(out[i * 6 + 2], from_bf16(to_bf16(h + g)));
			cr_assert_eq(out[i * 6 + 3], from_bf16(to_bf16(h * g)));
			cr_assert_float_eq(out[i * 6 + 4], h * h + g * g,
					   (h * h + g * g) / 1024 + 1e-6);
			cr_assert_eq(out[i * 6 + 5], (h > g ? h : g) + (h < g));
		}
	}
}

struct launcher {
	struct ptx_module *module;
	int number, failures;
};

static void *
launch_often(void *data)
{
	enum { N = 5000 };
	struct launcher *me = data;
	int *in = malloc(N * sizeof(*in)), sum = 0, total;
	struct {
		const int *in;
		int n, pad;
		int *out;
	} p = {in, N, 0, &total};
	struct ptx_launch args = {.grid = {5, 1, 1}, .block = {256, 1, 1}, PARAMS(p)};

	for (int i = 0; i < N; i++)
		sum += in[i] = i * me->number % 100;
	for (int k = 0; k < 40; k++) {
		struct ptx_fault fault;

		total = 0;
		if (ptx_run(ptx_module_kernel(me->module, "reduce_shared"), &args, &fault) !=
			    PTX_OK ||
		    total != sum)
			me->failures++;
	}
	free(in);
	return NULL;
}

Test(ptx_cuda, launches_from_many_threads)
{
	enum { THREADS = 6 };
	struct launcher launchers[THREADS];
	pthread_t threads[THREADS];
	struct ptx_module *m = load_basic(0);

	for (int i = 0; i < THREADS; i++) {
		launchers[i] = (struct launcher){.module = m, .number = i + 1};
		cr_assert_eq(pthread_create(&threads[i], NULL, launch_often, &launchers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(launchers[i].failures, 0);
	}
	ptx_module_unload(m);
}
