/*
 * wmma: which lane holds which element is the machine's own business. Element e of a matrix, rows
 * after rows, is in lane e % 32; it is the (e / 32)-th of the lane's elements. Of elements smaller
 * than a byte a lane has four bytes: lane l those that begin at 4 (l % 4) of the 16 bytes of line
 * l / 4, a row of A or a column of B.
 */
#include "remote/device_cpu/ptx/exec_matrix.h"

/* The @slot-th elements of all lanes, one after another in their own size. */
static void
take_slot(void *to, const uint8_t *regs, const uint32_t *places, uint32_t slot, uint32_t bits)
{
	uint32_t each = bits == 64 ? 1 : 32 / bits, shift = slot % each * bits;
	const uint32_t *from = (const uint32_t *)(const void *)(regs + places[slot / each]);
	uint16_t *halves = to;
	uint8_t *bytes = to;

	switch (bits) {
	case 8:
		for (uint32_t l = 0; l < PTX_LANES; l++)
			bytes[l] = (uint8_t)(from[l] >> shift);
		break;
	case 16:
		for (uint32_t l = 0; l < PTX_LANES; l++)
			halves[l] = (uint16_t)(from[l] >> shift);
		break;
	default:
		memcpy(to, from, PTX_LANES * bits / 8);
		break;
	}
}

/* The other way round, for the lanes of @mask. */
static void
put_slot(const void *from, uint8_t *regs, const uint32_t *places, uint32_t slot, uint32_t bits,
	 uint32_t mask)
{
	uint32_t each = bits == 64 ? 1 : 32 / bits, shift = slot % each * bits;
	uint32_t *to = PTX_REG(uint32_t, places[slot / each]);
	const uint16_t *halves = from;
	const uint8_t *bytes = from;

	if (bits >= 32 && mask == UINT32_MAX) {
		memcpy(to, from, PTX_LANES * bits / 8);
		return;
	}
	if (bits >= 32) {
		PTX_EACH_ACTIVE(l, mask)
		memcpy((uint8_t *)to + l * bits / 8, bytes + l * bits / 8, bits / 8);
		return;
	}
	for (uint32_t l = 0; l < PTX_LANES; l++) {
		uint32_t v = bits == 16 ? halves[l] : bytes[l], hole = (1u << bits) - 1;
		uint32_t whole = (to[l] & ~(hole << shift)) | v << shift;

		to[l] = mask >> l & 1 ? whole : to[l];
	}
}

static void
spread_wmma(const uint8_t *regs, const uint32_t *places, enum ptx_type type, uint32_t count,
	    double *to)
{
	uint32_t bits = matrix_bits(type);
	uint64_t slot[PTX_LANES];

	for (uint32_t s = 0; s < count / PTX_LANES; s++) {
		take_slot(slot, regs, places, s, bits);
		matrix_widen(to + s * PTX_LANES, (const uint8_t *)slot, PTX_LANES, type);
	}
}

static void
spread_lines(const struct ptx_matrix *x, const uint8_t *regs, const uint32_t *a, const uint32_t *b,
	     struct operands *o)
{
	double columns[8 * MATRIX_MAX_K];

	matrix_widen(o->a, regs + *a, x->m * x->k, x->type_a);
	matrix_widen(columns, regs + *b, x->n * x->k, x->type_b);
	for (uint32_t k = 0; k < x->k; k++)
		for (uint32_t n = 0; n < x->n; n++)
			o->b[k * x->n + n] = columns[n * x->k + k];
}

PTX_HANDLER(wmma_mma)
{
	const struct ptx_matrix *x = i->data;
	const uint32_t *a = x->regs + x->nd, *b = a + x->na, *c = b + x->nb;
	uint32_t each = matrix_per_register(x->type_d);
	struct operands o;

	WHOLE_WARP();
	if (matrix_bits(x->type_a) < 8) {
		spread_lines(x, regs, a, b, &o);
	} else {
		spread_wmma(regs, a, x->type_a, x->m * x->k, o.a);
		spread_wmma(regs, b, x->type_b, x->k * x->n, o.b);
	}
	spread_wmma(regs, c, x->type_c, x->m * x->n, o.c);
	matrix_multiply(x, &o);
	for (uint32_t r = 0; r < x->nd; r++)
		matrix_write(regs + x->regs[r], o.d + r * each * PTX_LANES, 1, PTX_LANES, w->mask,
			     x);
	return i + 1;
}

/* A matrix in memory: lines of elements that lie side by side, @stride elements apart. */
struct lines {
	uint32_t count, length, bytes; /* lines, elements of a line, bytes of an element */
	int across;                    /* a line is a column */
};

static struct lines
lines_of(const struct ptx_matrix *x)
{
	uint32_t rows = x->which == 'b' ? x->k : x->m;
	uint32_t columns = x->which == 'a' ? x->k : x->n;
	struct lines lines = {rows, columns, matrix_bits(x->type_d) / 8, x->col_c};

	if (x->col_c) {
		lines.count = columns;
		lines.length = rows;
	}
	return lines;
}

/* Between a line and its elements among @elements, which are in rows. */
static void
move_line(const struct lines *lines, uint32_t line, uint8_t *elements, uint8_t *p, int store)
{
	uint32_t bytes = lines->bytes, size = lines->length * bytes;
	uint8_t *first = elements + line * (lines->across ? bytes : size);
	uint32_t step = lines->across ? lines->count * bytes : bytes;

#define MOVE(bytes)                                                                                \
	for (uint32_t k = 0; k < lines->length; k++) {                                             \
		if (store)                                                                         \
			__builtin_memcpy(p + k * (bytes), first + k * step, bytes);                \
		else                                                                               \
			__builtin_memcpy(first + k * step, p + k * (bytes), bytes);                \
	}
	switch (bytes) {
	case 1:
		MOVE(1)
		break;
	case 2:
		MOVE(2)
		break;
	case 4:
		MOVE(4)
		break;
	default:
		MOVE(8)
		break;
	}
#undef MOVE
}

/* Elements smaller than a byte: eight lines of 16 bytes. */
PTX_UNCHECKED static const struct ptx_insn *
wmma_load_lines(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w)
{
	enum { LINES = 8, SIZE = 16 };
	const struct ptx_matrix *x = i->data;
	uint32_t lane = (uint32_t)__builtin_ctz(w->mask);
	uint64_t base = ptx_lane_address(i, regs, i->a, i->offset, x->way, lane);
	uint64_t stride = PTX_REG(const uint32_t, i->b)[lane];
	uint32_t words[PTX_LANES];

	for (uint32_t line = 0; line < LINES; line++) {
		uint64_t address = base + line * stride * matrix_bits(x->type_d) / 8;
		const uint8_t *p = ptx_lane_pointer(i, w, x->way, address, lane, SIZE);

		if (!p || (address & (sizeof(*words) - 1)))
			return ptx_memory_fault(w, i, x->way, lane, address, SIZE);
		__builtin_memcpy(words + line * SIZE / sizeof(*words), p, SIZE);
	}
	PTX_EACH_ACTIVE(l, w->mask)
	PTX_REG(uint32_t, x->regs[0])[l] = words[l];
	return i + 1;
}

PTX_UNCHECKED static const struct ptx_insn *
wmma_memory(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, int store)
{
	const struct ptx_matrix *x = i->data;
	const struct lines lines = lines_of(x);
	uint32_t bits = matrix_bits(x->type_d), slots = lines.count * lines.length / PTX_LANES;
	uint32_t lane = (uint32_t)__builtin_ctz(w->mask);
	uint64_t base = ptx_lane_address(i, regs, i->a, i->offset, x->way, lane);
	uint64_t stride = PTX_REG(const uint32_t, i->b)[lane];
	uint8_t elements[MATRIX_MAX_M * MATRIX_MAX_N * 8];

	WHOLE_WARP();
	w->pc = i;
	if (bits < 8)
		return wmma_load_lines(i, regs, w);
	if (store)
		for (uint32_t s = 0; s < slots; s++)
			take_slot(elements + s * PTX_LANES * lines.bytes, regs, x->regs, s, bits);
	for (uint32_t line = 0; line < lines.count; line++) {
		uint64_t address = base + line * stride * lines.bytes;
		uint32_t size = lines.length * lines.bytes;
		uint8_t *p = ptx_lane_pointer(i, w, x->way, address, lane, size);

		if (!p || (address & (lines.bytes - 1)))
			return ptx_memory_fault(w, i, x->way, lane, address, size);
		move_line(&lines, line, elements, p, store);
	}
	if (!store)
		for (uint32_t s = 0; s < slots; s++)
			put_slot(elements + s * PTX_LANES * lines.bytes, regs, x->regs, s, bits,
				 w->mask);
	return i + 1;
}

PTX_HANDLER(wmma_load)
{
	return wmma_memory(i, regs, w, 0);
}

PTX_HANDLER(wmma_store)
{
	return wmma_memory(i, regs, w, 1);
}

void
PTX_ISA_NAME(ptx_exec_wmma)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(wmma_mma)
	ENTER(wmma_load)
	ENTER(wmma_store)
}
