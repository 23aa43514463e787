/*
 * Integers at full speed: SHA-256 searching for a nonce, CRC tables in constant memory, xorshift
 * streams, modular powers with 128-bit products, and a sieve.
 */
#include "program.h"

#include <cstring>

__constant__ unsigned k[64];
__constant__ unsigned crc_table[256];

static unsigned host_k[64];

__host__ __device__ static unsigned
rotate(unsigned x, int n)
{
	return x >> n | x << (32 - n);
}

__host__ __device__ static void
sha256_block(unsigned state[8], const unsigned words[16], const unsigned *constants)
{
	unsigned w[64], s[8];
	for (int i = 0; i < 16; i++)
		w[i] = words[i];
	for (int i = 16; i < 64; i++) {
		unsigned a = w[i - 15], b = w[i - 2];
		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	for (int i = 0; i < 8; i++)
		s[i] = state[i];
	for (int i = 0; i < 64; i++) {
		unsigned t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
		unsigned t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
			      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		for (int j = 7; j > 0; j--)
			s[j] = s[j - 1];
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

__host__ __device__ static void
hash_nonce(unsigned nonce, unsigned state[8], const unsigned *constants)
{
	const unsigned start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	unsigned words[16] = {0x67656e69, 0x65000000 | nonce >> 8, nonce << 24 | 0x800000};
	words[15] = 72;
	for (int i = 0; i < 8; i++)
		state[i] = start[i];
	sha256_block(state, words, constants);
}

__global__ void
mine(unsigned *first)
{
	unsigned state[8], nonce = blockIdx.x * blockDim.x + threadIdx.x;
	hash_nonce(nonce, state, k);
	if (state[0] >> 21 == 0)
		atomicMin(first, nonce);
}

__global__ void
crc(const unsigned char *data, int length, unsigned *out)
{
	unsigned sum = ~0u;
	const unsigned char *own = data + threadIdx.x * length;
	for (int i = 0; i < length; i++)
		sum = crc_table[(sum ^ own[i]) & 255] ^ sum >> 8;
	out[threadIdx.x] = ~sum;
}

__host__ __device__ static unsigned long long
power(unsigned long long base, unsigned long long exponent, unsigned long long modulus)
{
	unsigned long long result = 1;
	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			result = (unsigned long long)((unsigned __int128)result * base % modulus);
		base = (unsigned long long)((unsigned __int128)base * base % modulus);
	}
	return result;
}

__global__ void
powers(unsigned long long *out)
{
	out[threadIdx.x] = power(threadIdx.x + 2, 0x123456789abcdefull, 0xffffffffffffffc5ull);
}

__global__ void
sieve(unsigned *bits, int limit)
{
	int p = blockIdx.x * blockDim.x + threadIdx.x + 2;
	if (p * p >= limit)
		return;
	for (int multiple = p * p; multiple < limit; multiple += p)
		atomicOr(&bits[multiple / 32], 1u << multiple % 32);
}

/* The fractions of the cube roots of the first primes. */
static void
make_constants()
{
	int found = 0;
	for (unsigned p = 2; found < 64; p++) {
		bool prime = true;
		for (unsigned d = 2; d * d <= p; d++)
			prime &= p % d != 0;
		if (!prime)
			continue;
		/* floor(cbrt(p) * 2^32), exactly */
		unsigned __int128 target = (unsigned __int128)p << 96;
		unsigned long long root = 0;
		for (int bit = 34; bit >= 0; bit--) {
			unsigned long long t = root | 1ull << bit;
			if ((unsigned __int128)t * t <= target / t)
				root = t;
		}
		host_k[found++] = (unsigned)root;
	}
}

int
main()
{
	make_constants();
	EXPECT(host_k[0] == 0x428a2f98 && host_k[63] == 0xc67178f2);
	CUDA(cudaMemcpyToSymbol(k, host_k, sizeof(host_k)));
	unsigned *first, state[8], expected = 0;
	CUDA(cudaMalloc(&first, 256 * sizeof(unsigned)));
	CUDA(cudaMemset(first, 0xff, sizeof(unsigned)));
	mine<<<64, 128>>>(first);
	LAUNCHED();
	do
		hash_nonce(expected, state, host_k);
	while (state[0] >> 21 && ++expected);
	EXPECT(to_host(first, 1)[0] == expected);
	printf("nonce: %u\n", expected);

	unsigned table[256];
	for (unsigned i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320u : table[i] >> 1;
	}
	CUDA(cudaMemcpyToSymbol(crc_table, table, sizeof(table)));
	std::vector<unsigned char> data(64 * 100);
	for (size_t i = 0; i < data.size(); i++)
		data[i] = (unsigned char)(i * i >> 3);
	memcpy(data.data(), "123456789", 9);
	unsigned char *bytes = to_device(data);
	crc<<<1, 1>>>(bytes, 9, first);
	LAUNCHED();
	EXPECT(to_host(first, 1)[0] == 0xcbf43926);
	crc<<<1, 64>>>(bytes, 100, first);
	LAUNCHED();
	print_checksum("crc", to_host(first, 64));

	unsigned long long *out;
	CUDA(cudaMalloc(&out, 64 * sizeof(*out)));
	powers<<<1, 64>>>(out);
	LAUNCHED();
	std::vector<unsigned long long> results = to_host(out, 64);
	for (int i = 0; i < 64; i++)
		EXPECT(results[i] == power(i + 2, 0x123456789abcdefull, 0xffffffffffffffc5ull));
	print_checksum("powers", results);

	const int limit = 20000;
	unsigned *bits;
	CUDA(cudaMalloc(&bits, limit / 8));
	CUDA(cudaMemset(bits, 0, limit / 8));
	sieve<<<2, 128>>>(bits, limit);
	LAUNCHED();
	int primes = -2;
	for (unsigned word : to_host(bits, limit / 32))
		primes += 32 - __builtin_popcount(word);
	printf("primes: %d\n", primes);
	EXPECT(primes == 2262);
	return ok();
}
