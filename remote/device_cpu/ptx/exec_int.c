/* Integer instructions. */
#include "remote/device_cpu/ptx/exec_lanes.h"

static inline int32_t
add_sat(int32_t a, int32_t b)
{
	int64_t sum = (int64_t)a + b;

	return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
}

static inline int32_t
sub_sat(int32_t a, int32_t b)
{
	int64_t sum = (int64_t)a - b;

	return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
}

/* Division by zero gives all ones; the most negative number by -1 gives itself. */
static inline int64_t
div_s64(int64_t a, int64_t b)
{
	if (b == 0)
		return -1;
	if (b == -1)
		return (int64_t)(0 - (uint64_t)a);
	return a / b;
}

static inline int64_t
rem_s64(int64_t a, int64_t b)
{
	if (b == 0)
		return a;
	if (b == -1)
		return 0;
	return a % b;
}

static inline uint64_t
pair(uint32_t low, uint32_t high)
{
	return low | (uint64_t)high << 32;
}

static inline uint32_t
pair_u16(uint32_t a, uint32_t b, int max)
{
	uint32_t result = 0;

	for (int shift = 0; shift < 32; shift += 16) {
		uint16_t x = (uint16_t)(a >> shift), y = (uint16_t)(b >> shift);

		result |= (uint32_t)((x > y) == max ? x : y) << shift;
	}
	return result;
}

static inline uint32_t
pair_s16(uint32_t a, uint32_t b, int max)
{
	uint32_t result = 0;

	for (int shift = 0; shift < 32; shift += 16) {
		int16_t x = (int16_t)(a >> shift), y = (int16_t)(b >> shift);

		result |= (uint32_t)(uint16_t)((x > y) == max ? x : y) << shift;
	}
	return result;
}

static inline uint64_t
bfe_u64(uint64_t a, uint32_t position, uint32_t length, uint32_t bits)
{
	if (position >= bits || !length)
		return 0;
	a >>= position;
	return length >= 64 ? a : a & ((1ull << length) - 1);
}

/* The field's highest bit, or the operand's if the field reaches beyond it, fills the result. */
static inline int64_t
bfe_s64(int64_t a, uint32_t position, uint32_t length, uint32_t bits)
{
	if (!length)
		return 0;
	if (position >= bits)
		return a < 0 ? -1 : 0;
	a >>= position;
	if (position + length >= bits)
		return a;
	return (int64_t)((uint64_t)a << (64 - length)) >> (64 - length);
}

static inline uint64_t
bfi(uint64_t a, uint64_t b, uint32_t position, uint32_t length, uint32_t bits)
{
	if (position >= bits || !length)
		return b;
	uint64_t field = length >= 64 ? ~0ull : (1ull << length) - 1;

	field <<= position;
	return (b & ~field) | (a << position & field);
}

/* Bit k of @table is the result where the bits of a, b, c spell k. */
static inline uint32_t
lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table)
{
	uint32_t t[8];

	for (int k = 0; k < 8; k++)
		t[k] = 0u - (table >> k & 1);
	uint32_t b0 = (c & t[1]) | (~c & t[0]), b1 = (c & t[3]) | (~c & t[2]);
	uint32_t b2 = (c & t[5]) | (~c & t[4]), b3 = (c & t[7]) | (~c & t[6]);
	uint32_t a0 = (b & b1) | (~b & b0), a1 = (b & b3) | (~b & b2);

	return (a & a1) | (~a & a0);
}

/* Each selector picks one of eight bytes; its highest bit spreads that byte's sign instead. */
static inline uint32_t
prmt(uint64_t bytes, uint32_t selectors)
{
	uint32_t result = 0;

	for (int k = 0; k < 4; k++) {
		uint32_t s = selectors >> 4 * k;
		uint32_t byte = (uint32_t)(bytes >> 8 * (s & 7)) & 0xff;

		if (s & 8)
			byte = byte & 0x80 ? 0xff : 0;
		result |= byte << 8 * k;
	}
	return result;
}

static inline uint32_t
prmt_b4e(uint32_t mode)
{
	static const uint16_t selectors[4] = {0x5670, 0x6701, 0x7012, 0x0123};

	return selectors[mode];
}

static inline uint32_t
prmt_ecl(uint32_t mode)
{
	static const uint16_t selectors[4] = {0x3210, 0x3211, 0x3222, 0x3333};

	return selectors[mode];
}

static inline uint32_t
prmt_ecr(uint32_t mode)
{
	static const uint16_t selectors[4] = {0x0000, 0x1110, 0x2210, 0x3210};

	return selectors[mode];
}

static inline uint32_t
popc_32(uint32_t a)
{
	a -= a >> 1 & 0x55555555;
	a = (a & 0x33333333) + (a >> 2 & 0x33333333);
	return ((a + (a >> 4)) & 0x0f0f0f0f) * 0x01010101u >> 24;
}

static inline uint32_t
brev_32(uint32_t a)
{
	a = (a >> 1 & 0x55555555) | (a & 0x55555555) << 1;
	a = (a >> 2 & 0x33333333) | (a & 0x33333333) << 2;
	a = (a >> 4 & 0x0f0f0f0f) | (a & 0x0f0f0f0f) << 4;
	return __builtin_bswap32(a);
}

static inline uint32_t
bfind(uint64_t a)
{
	return a ? 63 - (uint32_t)__builtin_clzll(a) : ~0u;
}

static inline uint32_t
bmsk(uint32_t position, uint32_t length)
{
	if (position >= 32)
		return 0;
	return (length >= 32 ? ~0u : (1u << length) - 1) << position;
}

/* The place of the n-th set bit of @mask, counted from @base upwards or downwards. */
static inline uint32_t
fns(uint32_t mask, uint32_t base, int32_t offset)
{
	int step = offset < 0 ? -1 : 1;
	int64_t left = offset == 0 ? 1 : offset < 0 ? -(int64_t)offset : offset;

	if (base > 31)
		return ~0u;
	if (offset == 0)
		return mask >> base & 1 ? base : ~0u;
	for (int at = (int)base; at >= 0 && at < 32; at += step)
		if (mask >> at & 1 && --left == 0)
			return (uint32_t)at;
	return ~0u;
}

static inline uint32_t
dp4a(uint32_t a, uint32_t b, uint32_t c, int a_signed, int b_signed)
{
	for (int k = 0; k < 32; k += 8) {
		int32_t x = a_signed ? (int8_t)(a >> k) : (uint8_t)(a >> k);
		int32_t y = b_signed ? (int8_t)(b >> k) : (uint8_t)(b >> k);

		c += (uint32_t)(x * y);
	}
	return c;
}

/* Two 16-bit numbers of a with the low two bytes of b. */
static inline uint32_t
dp2a(uint32_t a, uint32_t b, uint32_t c, int a_signed, int b_signed)
{
	for (int k = 0; k < 2; k++) {
		int32_t x = a_signed ? (int16_t)(a >> 16 * k) : (uint16_t)(a >> 16 * k);
		int32_t y = b_signed ? (int8_t)(b >> 8 * k) : (uint8_t)(b >> 8 * k);

		c += (uint32_t)(x * y);
	}
	return c;
}

#include "remote/device_cpu/ptx/int.def"

void
PTX_ISA_NAME(ptx_exec_int)(ptx_exec_fn *table)
{
#undef UN
#undef BIN
#undef TER
#undef QUAD
#undef SEL
#undef CMP1
#undef CMP2
#undef CMPC
#undef MASK1
#undef MASK2
#undef MASK3
#define ENTER(name)                  table[PTX_H_##name] = exec_##name;
#define UN(name, r, a, e)            ENTER(name)
#define BIN(name, r, a, b, e)        ENTER(name)
#define TER(name, r, a, b, c, e)     ENTER(name)
#define QUAD(name, r, a, b, c, d, e) ENTER(name)
#define SEL(name, r, a, b, e)        ENTER(name)
#define CMP1(name, a, e)             ENTER(name)
#define CMP2(name, a, b, e)          ENTER(name)
#define CMPC(name, a, b, e)          ENTER(name)
#define MASK1(name, e)               ENTER(name)
#define MASK2(name, e)               ENTER(name)
#define MASK3(name, e)               ENTER(name)
#include "remote/device_cpu/ptx/int.def"
}
