/* PTX inside of C++: what the compiler would not choose by itself. Compared with plain C++. */
#include "program.h"

__global__ void
logic(const unsigned *in, unsigned *out)
{
	unsigned a = in[threadIdx.x], b = in[threadIdx.x + 1], c = in[threadIdx.x + 2], r[12];
	unsigned long long wide;
	asm("lop3.b32 %0, %1, %2, %3, 0xe8;" : "=r"(r[0]) : "r"(a), "r"(b), "r"(c));
	asm("prmt.b32 %0, %1, %2, 0x6420;" : "=r"(r[1]) : "r"(a), "r"(b));
	asm("bfe.u32 %0, %1, 5, 11;" : "=r"(r[2]) : "r"(a));
	asm("bfe.s32 %0, %1, 20, 12;" : "=r"(r[3]) : "r"(a));
	asm("bfi.b32 %0, %1, %2, 7, 9;" : "=r"(r[4]) : "r"(a), "r"(b));
	asm("shf.l.wrap.b32 %0, %1, %2, %3;" : "=r"(r[5]) : "r"(a), "r"(b), "r"(c));
	asm("shf.r.clamp.b32 %0, %1, %2, %3;" : "=r"(r[6]) : "r"(a), "r"(b), "r"(c % 40));
	asm("mad.hi.u32 %0, %1, %2, %3;" : "=r"(r[7]) : "r"(a), "r"(b), "r"(c));
	asm("mul.wide.u32 %0, %1, %2;" : "=l"(wide) : "r"(a), "r"(b));
	r[8] = (unsigned)(wide >> 17);
	asm("{ .reg .u32 t; add.cc.u32 t, %1, %2; addc.u32 %0, %3, 0; }"
	    : "=r"(r[9])
	    : "r"(a), "r"(b), "r"(c));
	asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(r[10]) : "r"(a), "r"(b), "r"(c));
	asm("{ .reg .pred p; setp.lt.and.u32 p, %1, %2, 1; selp.u32 %0, %3, 77, p; }"
	    : "=r"(r[11])
	    : "r"(a), "r"(b), "r"(c));
	for (int i = 0; i < 12; i++)
		out[threadIdx.x * 12 + i] = r[i];
}

static void
logic_on_host(unsigned a, unsigned b, unsigned c, unsigned *r)
{
	unsigned long long wide = (unsigned long long)a * b;
	unsigned char bytes[8];
	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(a >> (8 * i)),
		bytes[4 + i] = (unsigned char)(b >> (8 * i));
	r[0] = (a & b) | (a & c) | (b & c);
	r[1] = bytes[0] | bytes[2] << 8 | bytes[4] << 16 | (unsigned)bytes[6] << 24;
	r[2] = a >> 5 & 0x7ff;
	r[3] = (unsigned)((int)a >> 20);
	r[4] = (b & ~(0x1ffu << 7)) | (a & 0x1ff) << 7;
	r[5] = (unsigned)((((unsigned long long)b << 32 | a) << (c & 31)) >> 32);
	unsigned n = c % 40 > 32 ? 32 : c % 40;
	r[6] = (unsigned)(((unsigned long long)b << 32 | a) >> n);
	r[7] = (unsigned)(wide >> 32) + c;
	r[8] = (unsigned)(wide >> 17);
	r[9] = c + (a + b < a);
	r[10] = c;
	for (int i = 0; i < 4; i++)
		r[10] += (unsigned)bytes[i] * bytes[4 + i];
	r[11] = a < b ? c : 77;
}

/* Memory: vectors, caching hints, spaces of addresses, volatile and relaxed accesses. */
__global__ void
memory(const int4 *in, int4 *out)
{
	__shared__ int4 tile[32];
	int4 v;
	unsigned address = (unsigned)__cvta_generic_to_shared(&tile[threadIdx.x]);
	asm volatile("ld.global.nc.L1::no_allocate.v4.s32 {%0, %1, %2, %3}, [%4];"
		     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
		     : "l"(in + threadIdx.x));
	asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(v.w), "r"(v.z),
		     "r"(v.y), "r"(v.x)
		     : "memory");
	asm volatile("bar.warp.sync 0xffffffff;");
	asm volatile("ld.shared.v2.s32 {%0, %1}, [%2+8];" : "=r"(v.x), "=r"(v.y) : "r"(address));
	int shared, global, local;
	asm("{ .reg .pred p; isspacep.shared p, %1; selp.s32 %0, 1, 0, p; }"
	    : "=r"(shared)
	    : "l"(tile));
	asm("{ .reg .pred p; isspacep.global p, %1; selp.s32 %0, 1, 0, p; }"
	    : "=r"(global)
	    : "l"(in));
	asm("{ .reg .pred p; isspacep.local p, %1; selp.s32 %0, 1, 0, p; }"
	    : "=r"(local)
	    : "l"(&v));
	v.z = shared * 4 + global * 2 + local;
	asm volatile("prefetch.global.L2 [%0];" ::"l"(in));
	asm volatile("st.global.cs.v4.s32 [%0], {%1, %2, %3, %4};" ::"l"(out + threadIdx.x),
		     "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
		     : "memory");
	asm volatile("fence.acq_rel.gpu;");
	int seen;
	asm volatile("ld.relaxed.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(&out[threadIdx.x].w));
	asm volatile("red.global.add.s32 [%0], %1;" ::"l"(&out[threadIdx.x].w), "r"(seen * 0 + 5)
		     : "memory");
}

/* Branches and predicates by hand: the number of steps of Collatz. */
__global__ void
loop(int *out)
{
	int steps;
	asm("{\n"
	    ".reg .pred done, odd;\n"
	    ".reg .u32 n, bit;\n"
	    "add.u32 n, %1, 1;\n"
	    "mov.u32 %0, 0;\n"
	    "AGAIN:\n"
	    "setp.eq.u32 done, n, 1;\n"
	    "@done bra.uni END;\n"
	    "and.b32 bit, n, 1;\n"
	    "setp.ne.u32 odd, bit, 0;\n"
	    "@odd mad.lo.u32 n, n, 3, 1;\n"
	    "@!odd shr.u32 n, n, 1;\n"
	    "add.u32 %0, %0, 1;\n"
	    "bra AGAIN;\n"
	    "END:\n"
	    "}\n"
	    : "=r"(steps)
	    : "r"(0));
	int n = threadIdx.x + 1, count = 0;
	for (; n != 1; count++)
		n = n % 2 ? 3 * n + 1 : n / 2;
	out[threadIdx.x] = count * 100 + steps;
}

int
main()
{
	std::vector<unsigned> values(66);
	Random random = {31};
	for (unsigned &value : values)
		value = random.next();
	unsigned *in = to_device(values), *out;
	CUDA(cudaMalloc(&out, 64 * 12 * sizeof(unsigned)));
	logic<<<1, 64>>>(in, out);
	LAUNCHED();
	std::vector<unsigned> got = to_host(out, 64 * 12);
	for (int i = 0; i < 64; i++) {
		unsigned expected[12];
		logic_on_host(values[i], values[i + 1], values[i + 2], expected);
		for (int k = 0; k < 12; k++)
			EXPECT(got[i * 12 + k] == expected[k]);
	}
	printf("logic: right\n");

	std::vector<int4> vectors(32);
	for (int i = 0; i < 32; i++)
		vectors[i] = make_int4(i, 2 * i, 3 * i, 4 * i);
	int4 *vin = to_device(vectors), *vout;
	CUDA(cudaMalloc(&vout, 32 * sizeof(int4)));
	memory<<<1, 32>>>(vin, vout);
	LAUNCHED();
	vectors = to_host(vout, 32);
	for (int i = 0; i < 32; i++)
		EXPECT(vectors[i].x == 2 * i && vectors[i].y == i && vectors[i].z == 7 &&
		       vectors[i].w == 4 * i + 5);
	printf("memory: right\n");
	loop<<<1, 64>>>((int *)out);
	LAUNCHED();
	print_checksum("loops", to_host((int *)out, 64));
	return ok();
}
