/* Integer instructions: wide products, shifts, bit counts, bytes, saturation, division, 128 bits.
 */
#include "program.h"

constexpr int RESULTS = 30;

__global__ void
operations(const unsigned *in, unsigned long long *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	unsigned a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 3 + 2) % count];
	int sa = (int)a, sb = (int)b;
	unsigned long long wide = (unsigned long long)a << 32 | b;
	long long signed_wide = (long long)wide;
	unsigned long long *r = out + i * RESULTS;
	r[0] = __umulhi(a, b);
	r[1] = (unsigned)__mulhi(sa, sb);
	r[2] = __umul64hi(wide, wide ^ c);
	r[3] = (unsigned long long)__mul64hi(signed_wide, ~signed_wide + c);
	r[4] = __popc(a) * 100 + __popcll(wide);
	r[5] = __clz(sa >> (c & 31)) * 100 + __clzll(signed_wide >> (c & 63));
	r[6] = __brev(a);
	r[7] = __brevll(wide);
	r[8] = __ffs(sa & -65536) * 100 + __ffsll(signed_wide & -65536);
	r[9] = __byte_perm(a, b, c & 0x7777);
	r[10] = __funnelshift_l(a, b, c & 63);
	r[11] = __funnelshift_rc(a, b, c & 63);
	r[12] = (unsigned)__sad(sa, sb, c);
	r[13] = __usad(a, b, c);
	r[14] = __uhadd(a, b);
	r[15] = (unsigned)__hadd(sa, sb);
	r[16] = (unsigned)__mul24(sa, sb);
	r[17] = __umul24(a, b);
	r[18] = b ? a / b * 7 + a % b : 1;
	r[19] = sb && sb != -1 ? (unsigned)(sa / sb * 7 + sa % sb) : 2;
	r[20] = c ? wide / c * 3 + wide % c : 3;
	r[21] = c ? (unsigned long long)(signed_wide / (long long)c - signed_wide % (long long)c)
		  : 4;
	r[22] = (a << (b & 31)) ^ (a >> (c & 31)) ^ (unsigned)(sa >> (b & 31));
	r[23] = (wide << (b & 63)) ^ (wide >> (c & 63)) ^
		(unsigned long long)(signed_wide >> (a & 63));
	r[24] = __vadd4(a, b) ^ __vavgu4(a, c);
	r[25] = (unsigned)__dp4a(sa, sb, (int)c);
	r[26] = (unsigned)(short)a * 3u + (signed char)b + (unsigned char)c;
	r[27] = min(a, b) + max(sa, sb);
	unsigned __int128 big = (unsigned __int128)wide * wide + c;
	r[28] = (unsigned long long)(big >> 37);
	r[29] = ((a ^ b) & c) | (~a & (b | c));
}

static unsigned
byte_of(unsigned word, int i)
{
	return word >> (8 * i) & 0xff;
}

static void
on_host(unsigned a, unsigned b, unsigned c, unsigned long long *r)
{
	int sa = (int)a, sb = (int)b;
	unsigned long long wide = (unsigned long long)a << 32 | b;
	long long signed_wide = (long long)wide;
	r[0] = (unsigned long long)a * b >> 32;
	r[1] = (unsigned)((long long)sa * sb >> 32);
	r[2] = (unsigned long long)((unsigned __int128)wide * (wide ^ c) >> 64);
	r[3] = (unsigned long long)((__int128)signed_wide *
					    (long long)(~wide + (unsigned long long)c) >>
				    64);
	r[4] = __builtin_popcount(a) * 100 + __builtin_popcountll(wide);
	unsigned shifted = (unsigned)(sa >> (c & 31));
	unsigned long long shifted_wide = (unsigned long long)(signed_wide >> (c & 63));
	r[5] = (shifted ? __builtin_clz(shifted) : 32) * 100 +
	       (shifted_wide ? __builtin_clzll(shifted_wide) : 64);
	r[6] = r[7] = 0;
	for (int i = 0; i < 32; i++)
		r[6] |= (unsigned long long)(a >> i & 1) << (31 - i);
	for (int i = 0; i < 64; i++)
		r[7] |= (wide >> i & 1) << (63 - i);
	r[8] = __builtin_ffs(sa & -65536) * 100 + __builtin_ffsll(signed_wide & -65536);
	r[9] = 0;
	for (int i = 0; i < 4; i++) {
		int which = c >> (4 * i) & 7;
		r[9] |= (unsigned long long)byte_of(which < 4 ? a : b, which & 3) << (8 * i);
	}
	unsigned left = c & 31, right = (c & 63) > 32 ? 32 : c & 63;
	unsigned long long joined = (unsigned long long)b << 32 | a;
	r[10] = (unsigned)(joined << left >> 32);
	r[11] = (unsigned)(joined >> right);
	r[12] = (unsigned)((sa > sb ? (unsigned)sa - sb : (unsigned)sb - sa) + c);
	r[13] = (a > b ? a - b : b - a) + c;
	r[14] = (unsigned)(((unsigned long long)a + b) >> 1);
	r[15] = (unsigned)(((long long)sa + sb) >> 1);
	int sa24 = (int)(a << 8) >> 8, sb24 = (int)(b << 8) >> 8;
	r[16] = (unsigned)((long long)sa24 * sb24);
	r[17] = (unsigned)((unsigned long long)(a & 0xffffff) * (b & 0xffffff));
	r[18] = b ? a / b * 7 + a % b : 1;
	r[19] = sb && sb != -1 ? (unsigned)(sa / sb) * 7 + (unsigned)(sa % sb) : 2;
	r[20] = c ? wide / c * 3 + wide % c : 3;
	r[21] = c ? (unsigned long long)(signed_wide / (long long)c - signed_wide % (long long)c)
		  : 4;
	r[22] = (a << (b & 31)) ^ (a >> (c & 31)) ^ (unsigned)(sa >> (b & 31));
	r[23] = (wide << (b & 63)) ^ (wide >> (c & 63)) ^
		(unsigned long long)(signed_wide >> (a & 63));
	r[24] = 0;
	int dot = (int)c;
	for (int i = 0; i < 4; i++) {
		unsigned sum = (byte_of(a, i) + byte_of(b, i)) & 0xff;
		unsigned average = (byte_of(a, i) + byte_of(c, i) + 1) / 2;
		r[24] |= (unsigned long long)(sum ^ average) << (8 * i);
		dot = (int)((unsigned)dot +
			    (unsigned)((signed char)byte_of(a, i) * (signed char)byte_of(b, i)));
	}
	r[25] = (unsigned)dot;
	r[26] = (unsigned)(short)a * 3u + (signed char)b + (unsigned char)c;
	r[27] = (a < b ? a : b) + (unsigned)(sa > sb ? sa : sb);
	unsigned __int128 big = (unsigned __int128)wide * wide + c;
	r[28] = (unsigned long long)(big >> 37);
	r[29] = ((a ^ b) & c) | (~a & (b | c));
}

int
main()
{
	const int count = 3000;
	std::vector<unsigned> in(count);
	Random random = {91};
	for (unsigned &value : in)
		value = random.next() >> random.below(32);
	const unsigned special[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000};
	for (int i = 0; i < 7; i++)
		in[i * 11] = special[i];
	unsigned *device_in = to_device(in);
	unsigned long long *device_out;
	CUDA(cudaMalloc(&device_out, count * RESULTS * sizeof(*device_out)));
	operations<<<30, 100>>>(device_in, device_out, count);
	LAUNCHED();
	std::vector<unsigned long long> out = to_host(device_out, count * RESULTS);
	for (int i = 0; i < count; i++) {
		unsigned a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 3 + 2) % count];
		unsigned long long expected[RESULTS];
		on_host(a, b, c, expected);
		for (int k = 0; k < RESULTS; k++) {
			if (out[i * RESULTS + k] != expected[k]) {
				printf("operation %d of %x %x %x: %llx, expected %llx\n", k, a, b,
				       c, out[i * RESULTS + k], expected[k]);
				return 1;
			}
		}
	}
	print_checksum("integers", out);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_out));
	return ok();
}
