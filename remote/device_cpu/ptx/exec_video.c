/* Video instructions: small integers side by side. Rare, so one lane after another. */
#include "remote/device_cpu/ptx/exec_lanes.h"

static int64_t
part(uint32_t value, uint32_t k, uint32_t bits, int is_signed)
{
	uint32_t v = value >> k * bits;

	if (bits == 32)
		return is_signed ? (int32_t)v : (int64_t)v;
	v &= (1u << bits) - 1;
	return is_signed ? (int32_t)(v << (32 - bits)) >> (32 - bits) : (int64_t)v;
}

static int
compares(const struct ptx_video *v, int64_t a, int64_t b)
{
	switch (v->compare) {
	case PTX_VIDEO_EQ:
		return a == b;
	case PTX_VIDEO_NE:
		return a != b;
	case PTX_VIDEO_LT:
		return a < b;
	case PTX_VIDEO_LE:
		return a <= b;
	case PTX_VIDEO_GT:
		return a > b;
	case PTX_VIDEO_GE:
		return a >= b;
	}
	return 0;
}

static int64_t
shift(const struct ptx_video *v, int64_t a, uint32_t by, int left)
{
	by = v->wrap ? by & 31 : by > 32 ? 32 : by;
	return left ? (int64_t)((uint64_t)a << by) : a >> by;
}

static int64_t
compute(const struct ptx_video *v, int64_t a, int64_t b, int64_t c)
{
	switch (v->operation) {
	case PTX_VIDEO_ADD:
		return a + b;
	case PTX_VIDEO_SUB:
		return a - b;
	case PTX_VIDEO_ABSDIFF:
		return a > b ? a - b : b - a;
	case PTX_VIDEO_MIN:
		return a < b ? a : b;
	case PTX_VIDEO_MAX:
		return a > b ? a : b;
	case PTX_VIDEO_AVRG: /* rounded away from zero */
		return a + b >= 0 ? (a + b + 1) >> 1 : (a + b) >> 1;
	case PTX_VIDEO_SHL:
		return shift(v, a, (uint32_t)b, 1);
	case PTX_VIDEO_SHR:
		return shift(v, a, (uint32_t)b, 0);
	case PTX_VIDEO_SET:
		return compares(v, a, b);
	case PTX_VIDEO_MAD:
		return a * b + c;
	}
	return 0;
}

static int64_t
saturated(int64_t value, uint32_t bits, int is_signed)
{
	int64_t high = is_signed ? (1ll << (bits - 1)) - 1 : (1ll << bits) - 1;
	int64_t low = is_signed ? -high - 1 : 0;

	return value > high ? high : value < low ? low : value;
}

static uint32_t
then(const struct ptx_video *v, int64_t value, uint32_t c)
{
	int64_t other = v->signed_d ? (int32_t)c : (int64_t)c;
	int64_t mine = v->signed_d ? (int32_t)value : (int64_t)(uint32_t)value;

	switch (v->then) {
	case PTX_VIDEO_THEN_ADD:
		return (uint32_t)(mine + other);
	case PTX_VIDEO_THEN_MIN:
		return (uint32_t)(mine < other ? mine : other);
	case PTX_VIDEO_THEN_MAX:
		return (uint32_t)(mine > other ? mine : other);
	case PTX_VIDEO_NOTHING:
		break;
	}
	return (uint32_t)value;
}

static uint32_t
video(const struct ptx_video *v, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t bits = 32u / v->parts, result = 0;
	int64_t sum = 0;

	for (uint32_t k = 0; k < v->parts; k++) {
		int64_t r = compute(v, part(a, k, bits, v->signed_a), part(b, k, bits, v->signed_b),
				    v->signed_d ? (int32_t)c : (int64_t)c);

		if (v->saturate)
			r = saturated(r, bits, v->signed_d);
		if (bits < 32)
			result |= (uint32_t)(r & ((1ll << bits) - 1)) << k * bits;
		else
			result = (uint32_t)r;
		sum += r;
	}
	if (v->operation == PTX_VIDEO_MAD)
		return result;
	/* The parts of a packed result are summed up by .add. */
	if (v->parts > 1 && v->then == PTX_VIDEO_THEN_ADD)
		return (uint32_t)sum + c;
	return v->parts > 1 ? result : then(v, (int64_t)result, c);
}

PTX_HANDLER(video)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a), *b = PTX_REG(const uint32_t, i->b);
	const uint32_t *c = PTX_REG(const uint32_t, i->c);
	uint32_t *d = PTX_REG(uint32_t, i->dst);

	(void)w;
	for (int l = 0; l < PTX_LANES; l++)
		d[l] = video(i->data, a[l], b[l], c[l]);
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_video)(ptx_exec_fn *table)
{
	table[PTX_H_video] = exec_video;
}
