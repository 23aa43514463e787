/*
 * Places in the frame. Values that are never needed at the same time share a place, which keeps a
 * warp's registers in the cache: liveness over the blocks, then one interval per value over the
 * laid-out code, then a scan that hands out places as intervals begin and takes them back as they
 * end. A place is only reused by values of the same size, so a lane's part never overlaps another
 * lane's. That lanes may be at different instructions does no harm: sharing is decided by the
 * program of a single lane, and each lane has its own part of a place.
 *
 * A value that is needed only within a stretch of code in which lanes never stop is no business of
 * lanes that are elsewhere: what writes it needs no mask when the warp is diverged. Such values
 * share places with each other alone.
 */
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>
#include <string.h>

enum { SIZES = 5, NOT_SEEN = UINT32_MAX, MANY_BLOCKS = UINT32_MAX - 1 };
static const uint64_t max_liveness = 256u << 20; /* bytes; beyond, every value has its own place */

static const uint32_t too_large = 1u << 30;

struct placer {
	uint32_t nglobals;
	uint32_t words;      /* of a bit set of globals */
	uint32_t block;      /* being visited */
	uint32_t stretch;    /* likewise */
	uint32_t position;   /* twice the number of the instruction */
	uint64_t *use, *def; /* bit sets of the block being visited */
	const struct ptx_ir *ir;
	uint32_t size;      /* of the frame */
	uint32_t mask_room; /* places for masks left at mask_place */
	uint32_t mask_place;
	struct {
		uint32_t *places;
		uint32_t count, room;
	} free[2 * SIZES]; /* by size; those of stretches come second */
	void *allocated[4];
};

static int
size_class(uint8_t size)
{
	switch (size) {
	case PTX_PREDICATE:
		return 0;
	case 2:
		return 1;
	case 4:
		return 2;
	case 8:
		return 3;
	default:
		return 4;
	}
}

static void
no_memory(struct ptx_lower *l)
{
	l->lx->no_memory = 1;
	ptx_lexer_fail(l->lx, "out of memory");
}

static void
find_home(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	struct placer *p = data;
	struct ptx_value *v = &l->values[*value];

	if (v->fixed)
		return;
	/* A guarded write needs the old value too, and so does a read before a write. */
	if (v->home == NOT_SEEN) {
		int whole = is_def && p->ir->insn.guard == PTX_NO_VALUE;

		v->home = whole ? p->block : MANY_BLOCKS;
		v->stretch = whole ? p->stretch : MANY_BLOCKS;
		return;
	}
	if (v->home != p->block)
		v->home = MANY_BLOCKS;
	if (v->stretch != p->stretch)
		v->stretch = MANY_BLOCKS;
}

/*
 * Whether lanes may stop at the instruction, or behind it, while others of their frame go on. A
 * branch ends a stretch with its block: once it has been decided its predicate is not needed.
 */
static int
may_stop(const struct ptx_ir *ir)
{
	const char *name = ptx_handler_name(ir->insn.op);

	if (ir->insn.flags & PTX_INSN_PURE || ir->insn.op == PTX_H_bra ||
	    ir->insn.op == PTX_H_bra_if)
		return 0;
	return strncmp(name, "ld_", 3) && strncmp(name, "ldv_", 4) && strncmp(name, "st_", 3) &&
	       strncmp(name, "stv_", 4);
}

static int
is_of_stretch(const struct ptx_value *v)
{
	return !v->fixed && !v->pinned && v->stretch != MANY_BLOCKS && v->stretch != NOT_SEEN;
}

static void
note_block_use(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	struct placer *p = data;
	struct ptx_value *v = &l->values[*value];

	if (v->fixed || v->home != MANY_BLOCKS)
		return;
	uint64_t bit = 1ull << (v->global % 64);
	uint32_t word = v->global / 64;

	if (p->def[word] & bit)
		return;
	if (is_def && p->ir->insn.guard == PTX_NO_VALUE)
		p->def[word] |= bit;
	else
		p->use[word] |= bit;
}

static void
extend(struct ptx_value *v, uint32_t position)
{
	if (position < v->first)
		v->first = position;
	if (position > v->last)
		v->last = position;
}

static void
note_position(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	struct placer *p = data;
	struct ptx_value *v = &l->values[*value];

	if (v->fixed)
		return;
	/*
	 * A pure instruction works lane by lane, so its result may take the place of an operand
	 * that ends here. Others write some results before they have read everything.
	 */
	if (is_def && (p->ir->insn.flags & PTX_INSN_PURE))
		extend(v, p->position + 1);
	else
		extend(v, p->position);
	if (is_def)
		extend(v, p->position + 1);
}

static void
visit_all(struct ptx_lower *l, struct placer *p,
	  void (*visit)(struct ptx_lower *l, uint32_t *value, int is_def, void *data))
{
	uint32_t position = 0;

	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		p->block = l->layout[i];
		p->stretch++;
		for (uint32_t k = 0; k < bb->count; k++) {
			struct ptx_ir *ir = &l->ir[bb->first + k];

			if (ir->dead)
				continue;
			p->ir = ir;
			p->position = position;
			p->stretch += may_stop(ir);
			ptx_ir_values(l, ir, visit, p);
			p->stretch += may_stop(ir);
			position += 2;
		}
	}
}

static uint32_t
successors(struct ptx_lower *l, const struct ptx_bb *bb, const uint32_t **ret_list,
	   uint32_t *single)
{
	*ret_list = single;
	if (!bb->count)
		return 0;
	const struct ptx_ir *ir = &l->ir[bb->first + bb->count - 1];

	if (ir->dead)
		return 0;
	if (ir->targets) {
		*ret_list = ir->targets;
		return ir->ntargets;
	}
	*single = ir->target;
	return ir->target != PTX_NO_BLOCK;
}

static void
add_set(uint64_t *to, const uint64_t *from, uint32_t words)
{
	for (uint32_t w = 0; w < words; w++)
		to[w] |= from[w];
}

/* Backwards over the blocks until nothing changes: in = use ∪ (out \ def), out = ∪ successors' in
 */
static void
solve_liveness(struct ptx_lower *l, struct placer *p)
{
	uint32_t words = p->words;
	uint64_t *uses = calloc((size_t)l->nlayout * words, sizeof(*uses));
	uint64_t *defs = calloc((size_t)l->nlayout * words, sizeof(*defs));
	int changed = 1;

	p->allocated[0] = uses;
	p->allocated[1] = defs;
	if (!uses || !defs)
		no_memory(l);
	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		bb->live_in = calloc(words, sizeof(*bb->live_in));
		bb->live_out = calloc(words, sizeof(*bb->live_out));
		if (!bb->live_in || !bb->live_out)
			no_memory(l);
		p->use = uses + (size_t)i * words;
		p->def = defs + (size_t)i * words;
		p->block = l->layout[i];
		for (uint32_t k = 0; k < bb->count; k++) {
			p->ir = &l->ir[bb->first + k];
			if (!p->ir->dead)
				ptx_ir_values(l, &l->ir[bb->first + k], note_block_use, p);
		}
	}
	while (changed) {
		changed = 0;
		for (uint32_t i = l->nlayout; i-- > 0;) {
			struct ptx_bb *bb = &l->blocks[l->layout[i]];
			const uint64_t *use = uses + (size_t)i * words;
			const uint64_t *def = defs + (size_t)i * words;
			const uint32_t *list;
			uint32_t single, n = successors(l, bb, &list, &single);

			for (uint32_t k = 0; k < n; k++)
				add_set(bb->live_out, l->blocks[list[k]].live_in, words);
			if (bb->next != PTX_NO_BLOCK)
				add_set(bb->live_out, l->blocks[bb->next].live_in, words);
			for (uint32_t w = 0; w < words; w++) {
				uint64_t in = use[w] | (bb->live_out[w] & ~def[w]);

				changed |= in != bb->live_in[w];
				bb->live_in[w] = in;
			}
		}
	}
}

static void
extend_set(struct ptx_lower *l, const uint32_t *values, const uint64_t *set, uint32_t words,
	   uint32_t position)
{
	for (uint32_t w = 0; w < words; w++)
		for (uint64_t rest = set[w]; rest; rest &= rest - 1)
			extend(&l->values[values[w * 64 + __builtin_ctzll(rest)]], position);
}

static void
extend_across_blocks(struct ptx_lower *l, struct placer *p, const uint32_t *globals)
{
	uint32_t position = 0;

	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		extend_set(l, globals, bb->live_in, p->words, position);
		for (uint32_t k = 0; k < bb->count; k++)
			position += l->ir[bb->first + k].dead ? 0 : 2;
		/* to the first instruction of the next block: a block may be empty */
		extend_set(l, globals, bb->live_out, p->words, position);
	}
}

static uint32_t
new_place(struct placer *p, uint8_t size)
{
	uint32_t place;

	if (p->size > too_large) /* ptx_lower refuses the frame */
		return p->size;
	if (size == PTX_PREDICATE) {
		if (!p->mask_room) {
			p->mask_place = p->size;
			p->mask_room = 16;
			p->size += 64;
		}
		place = p->mask_place;
		p->mask_place += 4;
		p->mask_room--;
		return place;
	}
	place = p->size;
	p->size += size * PTX_LANES;
	return place;
}

static uint32_t
take_place(struct placer *p, const struct ptx_value *v)
{
	int c = size_class(v->size) + (is_of_stretch(v) ? SIZES : 0);

	if (p->free[c].count)
		return p->free[c].places[--p->free[c].count];
	return new_place(p, v->size);
}

static void
give_place(struct ptx_lower *l, struct placer *p, const struct ptx_value *v)
{
	int c = size_class(v->size) + (is_of_stretch(v) ? SIZES : 0);

	if (p->free[c].count == p->free[c].room)
		p->free[c].places = ptx_lower_grow(l, p->free[c].places, &p->free[c].room,
						   sizeof(*p->free[c].places));
	p->free[c].places[p->free[c].count++] = v->place;
}

/* Values chained by the position at which they begin or end. */
struct chains {
	uint32_t *head; /* by position; value + 1 */
	uint32_t *next; /* by value */
};

static void
chain(struct chains *chains, uint32_t position, uint32_t value)
{
	chains->next[value] = chains->head[position];
	chains->head[position] = value + 1;
}

static void
scan(struct ptx_lower *l, struct placer *p, uint32_t positions)
{
	size_t n = (size_t)positions + 4;
	uint32_t *memory = calloc(2 * n + 2 * (size_t)l->nvalues, sizeof(*memory));
	struct chains begin = {memory, memory + 2 * n};
	struct chains end = {memory + n, memory + 2 * n + l->nvalues};

	if (!memory)
		no_memory(l);
	p->allocated[2] = memory;
	for (uint32_t i = 0; i < l->nvalues; i++) {
		struct ptx_value *v = &l->values[i];

		if (v->fixed || v->pinned || v->first > v->last)
			continue;
		chain(&begin, v->first, i);
		chain(&end, v->last, i);
	}
	for (size_t pos = 0; pos < n; pos++) {
		for (uint32_t i = begin.head[pos]; i; i = begin.next[i - 1])
			l->values[i - 1].place = take_place(p, &l->values[i - 1]);
		for (uint32_t i = end.head[pos]; i; i = end.next[i - 1])
			give_place(l, p, &l->values[i - 1]);
	}
}

static void
place_fixed(struct ptx_lower *l, struct placer *p)
{
	struct ptx_code *code = l->code;

	code->image_place = p->size;
	for (int literal = 1; literal >= 0; literal--) {
		for (uint32_t i = 0; i < l->nvalues; i++) {
			struct ptx_value *v = &l->values[i];

			if (!v->fixed || !v->uses ||
			    (l->fixed[v->fixed_index].kind == PTX_FIXED_LITERAL) != literal)
				continue;
			v->place = new_place(p, v->size);
		}
		p->mask_room = 0; /* masks of variables do not lie between literals */
		if (literal)
			code->image_size = p->size - code->image_place;
	}
}

static void
free_placer(struct placer *p)
{
	for (unsigned i = 0; i < 2 * SIZES; i++)
		free(p->free[i].places);
	for (int i = 0; i < 4; i++)
		free(p->allocated[i]);
}

/*
 * What writes such a value runs for all lanes, whoever is active: it is pure no more to those who
 * put the results of pure instructions under a mask.
 */
static void
drop_masks(struct ptx_lower *l)
{
	for (uint32_t i = 0; i < l->nir; i++) {
		struct ptx_ir *ir = &l->ir[i];

		if (!ir->dead && ir->insn.flags & PTX_INSN_PURE && ir->roles & PTX_DEF_DST &&
		    ir->insn.guard == PTX_NO_VALUE && !(ir->insn.flags & PTX_INSN_ROUND) &&
		    is_of_stretch(&l->values[ir->insn.dst]))
			ir->insn.flags &= (uint8_t)~PTX_INSN_PURE;
	}
}

static void
place_values(struct ptx_lower *l, struct placer *p)
{
	uint32_t positions = 0;

	for (uint32_t i = 0; i < l->nvalues; i++) {
		l->values[i].home = NOT_SEEN;
		l->values[i].stretch = NOT_SEEN;
		l->values[i].first = UINT32_MAX;
		l->values[i].last = 0;
	}
	visit_all(l, p, find_home);

	uint32_t *globals = malloc((l->nvalues + 64) * sizeof(*globals));

	p->allocated[3] = globals;
	if (!globals)
		no_memory(l);
	for (uint32_t i = 0; i < l->nvalues; i++) {
		if (l->values[i].home != MANY_BLOCKS)
			continue;
		l->values[i].global = p->nglobals;
		globals[p->nglobals++] = i;
	}
	p->words = (p->nglobals + 63) / 64;
	visit_all(l, p, note_position);
	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		for (uint32_t k = 0; k < bb->count; k++)
			positions += l->ir[bb->first + k].dead ? 0 : 2;
	}
	if ((uint64_t)p->words * 8 * l->nlayout * 4 > max_liveness) {
		for (uint32_t i = 0; i < l->nvalues; i++)
			l->values[i].pinned |= l->values[i].home == MANY_BLOCKS;
	} else if (p->words) {
		solve_liveness(l, p);
		extend_across_blocks(l, p, globals);
	}

	place_fixed(l, p);
	for (uint32_t i = 0; i < l->nvalues; i++)
		if (l->values[i].pinned && !l->values[i].fixed)
			l->values[i].place = new_place(p, l->values[i].size);
	scan(l, p, positions);
}

void
ptx_place(struct ptx_lower *l)
{
	struct placer p = {.size = PTX_SCRATCH_SIZE};
	jmp_buf *outer = l->lx->failed;
	jmp_buf failed;

	if (setjmp(failed)) {
		free_placer(&p);
		l->lx->failed = outer;
		longjmp(*outer, 1);
	}
	l->lx->failed = &failed;
	place_values(l, &p);
	drop_masks(l);
	l->lx->failed = outer;

	p.size = (p.size + 63) & ~63u;
	l->code->frame_size = p.size;

	/* As ptxas would need, roughly: what is live at once, in units of 32 bits. */
	uint32_t registers = (p.size - PTX_SCRATCH_SIZE - l->code->image_size) / 128 + 8;

	l->code->registers = registers < 16 ? 16 : registers > 255 ? 255 : registers;
	free_placer(&p);
}
