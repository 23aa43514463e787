/* Matrix instructions on registers whose places are documented: mma, ldmatrix, stmatrix. */
#include "remote/device_cpu/ptx/exec_matrix.h"

enum { MATRIX = 8 };

/*
 * Registers of mma. With E elements in a register, register r of lane l holds of A the elements
 * (l / 4 + 8 (r % 2), (l % 4) E + j + 4 E (r / 2)), of B ((l % 4) E + j + 4 E r, l / 4); of C and
 * D, two elements after another, (l / 4 + 8 (e / 2), (l % 4) 2 + e % 2). Matrices with 8 rows have
 * no second register for the lower half.
 *
 * So the 32 lanes of a register, one after another, are a block of 8 rows and 4 E columns of A, or
 * of B turned on its side; and those of C's two registers, by turns, are 8 rows of 8.
 */
static void
spread_mma(const struct ptx_matrix *x, const uint8_t *regs, struct operands *o)
{
	const uint32_t *a = x->regs + x->nd, *b = a + x->na, *c = b + x->nb;
	uint32_t halves = x->m / 8, width = 4 * matrix_per_register(x->type_a);
	uint32_t depth = x->sparse ? x->k / 2 : x->k;
	double block[PTX_LANES * 32];

	for (uint32_t r = 0; r < x->na; r++) {
		double *to = o->a + r % halves * 8 * depth + r / halves * width;

		matrix_widen(block, regs + a[r], 8 * width, x->type_a);
		for (uint32_t row = 0; row < 8; row++)
			memcpy(to + row * depth, block + row * width, width * sizeof(*to));
	}
	for (uint32_t r = 0; r < x->nb; r++) {
		double *to = o->b + r * width * MATRIX;

		matrix_widen(block, regs + b[r], 8 * width, x->type_b);
		for (uint32_t row = 0; row < width; row++)
			for (uint32_t column = 0; column < MATRIX; column++)
				to[row * MATRIX + column] = block[column * width + row];
	}
	for (uint32_t r = 0; r < x->nc; r++) {
		if (x->type_c == PTX_T_F16) {
			matrix_widen(o->c + 64 * r, regs + c[r], 64, x->type_c);
			continue;
		}
		matrix_widen(block, regs + c[r], PTX_LANES, x->type_c);
		for (uint32_t l = 0; l < PTX_LANES; l++)
			o->c[64 * (r / 2) + 2 * l + r % 2] = block[l];
	}
}

/*
 * mma.sp: A comes with half of its elements, in m x k/2. Of four elements two are there (of two of
 * tf32 one; of eight of four bits two pairs); four bits, two indices, say which. The bits of row r
 * are with lanes 4 (r % 8) and on, from the selected one: elements of 16 bits and more have 16 bits
 * a lane, of row r / 8 = 0 below and 1 above, then the next lane; smaller ones 32 bits a lane,
 * and both rows take turns.
 */
static void
expand_sparse(const struct ptx_matrix *x, const uint32_t *metadata, double *a)
{
	uint32_t bits = matrix_bits(x->type_a), chunk = bits == 32 ? 2 : bits == 4 ? 8 : 4;
	uint32_t chunks = x->k / chunk, each = chunk / 4; /* elements an index */
	uint32_t lanes = bits >= 16 ? chunks / 4 : chunks / 8 * 2;

	for (uint32_t row = x->m; row-- > 0;) {
		double line[MATRIX_MAX_K] = {0};
		const double *from = a + row * x->k / 2;
		uint32_t first = row % 8 * 4 + x->selector * lanes, upper = row / 8;

		for (uint32_t c = 0; c < chunks; c++) {
			uint32_t v = bits >= 16
					     ? metadata[first + c / 4] >> (16 * upper + c % 4 * 4)
					     : metadata[first + upper + c / 8 * 2] >> c % 8 * 4;
			uint32_t low = v & 3, high = v >> 2 & 3;

			if (bits == 32) {
				line[c * 2 + low / 2] = from[c];
				continue;
			}
			for (uint32_t e = 0; e < each; e++) {
				line[c * chunk + low * each + e] = from[c * 2 * each + e];
				line[c * chunk + high * each + e] = from[(c * 2 + 1) * each + e];
			}
		}
		memcpy(a + row * x->k, line, x->k * sizeof(*line));
	}
}

PTX_HANDLER(mma)
{
	const struct ptx_matrix *x = i->data;
	struct operands o;

	WHOLE_WARP();
	spread_mma(x, regs, &o);
	if (x->sparse)
		expand_sparse(x, PTX_REG(const uint32_t, x->regs[x->nd + x->na + x->nb + x->nc]),
			      o.a);
	matrix_multiply(x, &o);
	for (uint32_t r = 0; r < x->nd; r++) {
		const double *from = o.d + (x->type_d == PTX_T_F16 ? 64 * r : 64 * (r / 2) + r % 2);

		matrix_write(regs + x->regs[r], from, 2, 1, w->mask, x);
	}
	return i + 1;
}

/*
 * mma.m8n8k4 of f16: lanes 4 q to 4 q + 3 and those 16 above them compute a product, for q = 0 to
 * 3. Element @e of lane @l in A (whose four are of one row, or of one column) and in C or D.
 */
static uint32_t
quad_a(uint32_t l, uint32_t e, int across)
{
	uint32_t upper = l / 16 * 4;

	return across ? (e + upper) * 4 + l % 4 : (l % 4 + upper) * 4 + e;
}

static uint32_t
quad_b(uint32_t l, uint32_t e, int across)
{
	uint32_t right = l / 16 * 4;

	return across ? e * MATRIX + l % 4 + right : l % 4 * MATRIX + e + right;
}

static uint32_t
quad_c(uint32_t l, uint32_t e, enum ptx_type type)
{
	uint32_t row = l / 16 * 4;

	if (type == PTX_T_F16)
		return (row + l % 4) * MATRIX + e;
	return (row + (l & 1) + (e & 2)) * MATRIX + (e & 4) + (l & 2) + (e & 1);
}

PTX_HANDLER(mma_quads)
{
	const struct ptx_matrix *x = i->data;
	const uint32_t *ra = x->regs + x->nd, *rb = ra + x->na, *rc = rb + x->nb;
	uint32_t each_c = 8 / x->nc, each_d = 8 / x->nd;
	double a[2][64], b[2][64], c[8][64], d[8][64];
	struct operands o;

	WHOLE_WARP();
	for (uint32_t r = 0; r < 2; r++) {
		matrix_widen(a[r], regs + ra[r], 64, PTX_T_F16);
		matrix_widen(b[r], regs + rb[r], 64, PTX_T_F16);
	}
	for (uint32_t r = 0; r < x->nc; r++)
		matrix_widen(c[r], regs + rc[r], each_c * PTX_LANES, x->type_c);
	for (uint32_t q = 0; q < 4; q++) {
		for (uint32_t n = 0; n < 8; n++) {
			uint32_t l = n / 4 * 16 + q * 4 + n % 4;

			for (uint32_t e = 0; e < 4; e++) {
				o.a[quad_a(l, e, x->col_a)] = a[e / 2][2 * l + e % 2];
				o.b[quad_b(l, e, x->col_b)] = b[e / 2][2 * l + e % 2];
			}
			for (uint32_t e = 0; e < 8; e++)
				o.c[quad_c(l, e, x->type_c)] =
					c[e / each_c][each_c * l + e % each_c];
		}
		matrix_multiply(x, &o);
		for (uint32_t n = 0; n < 8; n++) {
			uint32_t l = n / 4 * 16 + q * 4 + n % 4;

			for (uint32_t e = 0; e < 8; e++)
				d[e / each_d][each_d * l + e % each_d] =
					o.d[quad_c(l, e, x->type_d)];
		}
	}
	for (uint32_t r = 0; r < x->nd; r++)
		matrix_write(regs + x->regs[r], d[r], each_d, each_d - 1, w->mask, x);
	return i + 1;
}

/*
 * 8x8 matrices of 16-bit elements: lane l holds elements 2 (l % 4) and the next of row l / 4, so a
 * register's lanes are the rows, one after another.
 */

static int
matrix_way(const struct ptx_insn *i)
{
	return i->flags & PTX_INSN_FLAG_C ? PTX_BY_ADDRESS : PTX_BY_WINDOW;
}

/* The row that lane @l points at: 16 bytes. NULL: out of range or misaligned. */
static uint8_t *
row_pointer(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, uint32_t l,
	    uint64_t *ret_address)
{
	int way = matrix_way(i);

	*ret_address = ptx_lane_address(i, regs, i->a, i->offset, way, l);
	if (*ret_address & 15)
		return NULL;
	return ptx_lane_pointer(i, w, way, *ret_address, l, 16);
}

static void
transpose(uint16_t m[MATRIX][MATRIX])
{
	for (uint32_t row = 0; row < MATRIX; row++) {
		for (uint32_t column = 0; column < row; column++) {
			uint16_t v = m[row][column];

			m[row][column] = m[column][row];
			m[column][row] = v;
		}
	}
}

PTX_UNCHECKED
PTX_HANDLER(ldmatrix)
{
	uint16_t rows[4][MATRIX][MATRIX];
	uint64_t address;

	WHOLE_WARP();
	w->pc = i;
	for (uint32_t k = 0; k < (uint32_t)i->n * MATRIX; k++) {
		const uint8_t *p = row_pointer(i, regs, w, k, &address);

		if (!p)
			return ptx_memory_fault(w, i, matrix_way(i), k, address, 16);
		__builtin_memcpy(rows[k / MATRIX][k % MATRIX], p, 16);
	}
	for (uint32_t m = 0; m < i->n; m++) {
		uint32_t *d = PTX_REG(uint32_t, i->list[m]), values[PTX_LANES];

		if (i->flags & PTX_INSN_FLAG_B)
			transpose(rows[m]);
		memcpy(values, rows[m], sizeof(values));
		if (w->mask == UINT32_MAX) {
			memcpy(d, values, sizeof(values));
			continue;
		}
		PTX_EACH_ACTIVE(l, w->mask)
		d[l] = values[l];
	}
	return i + 1;
}

PTX_UNCHECKED
PTX_HANDLER(stmatrix)
{
	uint16_t rows[4][MATRIX][MATRIX];
	uint64_t address;

	WHOLE_WARP();
	w->pc = i;
	for (uint32_t m = 0; m < i->n; m++) {
		memcpy(rows[m], regs + i->list[m], sizeof(rows[m]));
		if (i->flags & PTX_INSN_FLAG_B)
			transpose(rows[m]);
	}
	for (uint32_t k = 0; k < (uint32_t)i->n * MATRIX; k++) {
		uint8_t *p = row_pointer(i, regs, w, k, &address);

		if (!p)
			return ptx_memory_fault(w, i, matrix_way(i), k, address, 16);
		__builtin_memcpy(p, rows[k / MATRIX][k % MATRIX], 16);
	}
	return i + 1;
}

PTX_HANDLER(movmatrix)
{
	uint16_t m[MATRIX][MATRIX];
	uint32_t values[PTX_LANES];

	WHOLE_WARP();
	memcpy(m, regs + i->a, sizeof(m));
	transpose(m);
	memcpy(values, m, sizeof(values));
	PTX_EACH_ACTIVE(l, w->mask)
	PTX_REG(uint32_t, i->dst)[l] = values[l];
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_matrix)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(mma)
	ENTER(mma_quads)
	ENTER(ldmatrix)
	ENTER(stmatrix)
	ENTER(movmatrix)
}
