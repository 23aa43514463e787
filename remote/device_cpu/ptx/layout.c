/*
 * The order of basic blocks. A warp runs its fragment with the lowest instruction first, so the
 * order decides where diverged lanes meet again: in a topological order, with each loop in one
 * piece, a block comes after everything that leads to it, so lanes that wait at the meeting point
 * of a branch wait until all others have come, and lanes that left a loop until all have.
 *
 * Strongly connected components in topological order; inside a component the first block reached
 * (the loop's head) goes first, and the rest is ordered in the same way without the edges back to
 * the head.
 */
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>

enum { MAX_NESTING = 64 };

struct order {
	struct ptx_lower *l;
	uint32_t *index, *low; /* Tarjan's numbers; index 0: not visited */
	uint32_t *region;      /* the region that a block is in */
	uint8_t *on_stack;
	uint32_t *stack;            /* of blocks */
	uint32_t *path, *path_edge; /* the search's own stack: block and next edge to follow */
	uint32_t nregions;
	void *free_on_error;
};

static struct ptx_ir *
last_ir(struct ptx_lower *l, const struct ptx_bb *bb)
{
	return bb->count ? &l->ir[bb->first + bb->count - 1] : NULL;
}

/* The k-th successor, or PTX_NO_BLOCK past the last. Branch targets first, then the block that
 * control falls to: searched last, it is placed first. */
uint32_t
ptx_successor(struct ptx_lower *l, uint32_t block, uint32_t k)
{
	const struct ptx_bb *bb = &l->blocks[block];
	const struct ptx_ir *ir = last_ir(l, bb);

	if (ir && !ir->dead && ir->targets) {
		if (k < ir->ntargets)
			return ir->targets[k];
		k -= ir->ntargets;
	} else if (ir && !ir->dead && ir->target != PTX_NO_BLOCK) {
		if (k == 0)
			return ir->target;
		k--;
	}
	return k == 0 ? bb->next : PTX_NO_BLOCK;
}

static uint32_t
count_successors(struct ptx_lower *l, uint32_t block)
{
	const struct ptx_ir *ir = last_ir(l, &l->blocks[block]);
	uint32_t n = l->blocks[block].next != PTX_NO_BLOCK;

	if (ir && !ir->dead && ir->targets)
		n += ir->ntargets;
	else if (ir && !ir->dead && ir->target != PTX_NO_BLOCK)
		n++;
	return n;
}

static void
append(struct ptx_lower *l, uint32_t block)
{
	l->blocks[block].order = l->nlayout;
	l->layout[l->nlayout++] = block;
}

/*
 * Orders the blocks of @region that @root reaches without passing through @root again. The
 * components found are written to @found (blocks) and @ends (one past each component's last).
 */
static uint32_t
find_components(struct order *o, uint32_t root, uint32_t region, uint32_t *found, uint32_t *ends,
		uint32_t *ret_count)
{
	uint32_t depth = 0, nstack = 0, next_index = 1, nfound = 0, ncomponents = 0;

	o->index[root] = o->low[root] = next_index++;
	o->stack[nstack++] = root;
	o->on_stack[root] = 1;
	o->path[depth] = root;
	o->path_edge[depth++] = 0;

	while (depth) {
		uint32_t block = o->path[depth - 1];

		if (o->path_edge[depth - 1] < count_successors(o->l, block)) {
			uint32_t to = ptx_successor(o->l, block, o->path_edge[depth - 1]++);

			if (o->region[to] != region || to == root)
				continue;
			if (!o->index[to]) {
				o->index[to] = o->low[to] = next_index++;
				o->stack[nstack++] = to;
				o->on_stack[to] = 1;
				o->path[depth] = to;
				o->path_edge[depth++] = 0;
			} else if (o->on_stack[to] && o->index[to] < o->low[block]) {
				o->low[block] = o->index[to];
			}
			continue;
		}
		depth--;
		if (depth && o->low[block] < o->low[o->path[depth - 1]])
			o->low[o->path[depth - 1]] = o->low[block];
		if (o->low[block] != o->index[block])
			continue;

		/* @block is the first one reached of its component; it is popped last. */
		uint32_t member;

		do {
			member = o->stack[--nstack];
			o->on_stack[member] = 0;
			found[nfound++] = member;
		} while (member != block);
		ends[ncomponents++] = nfound;
	}
	*ret_count = ncomponents;
	return nfound;
}

static int
order_region(struct order *o, uint32_t root, uint32_t region, uint32_t size, int nesting)
{
	uint32_t *found = malloc(2 * (size_t)size * sizeof(*found));
	uint32_t ncomponents = 0;

	if (!found)
		return -1;
	uint32_t *ends = found + size;
	uint32_t nfound = find_components(o, root, region, found, ends, &ncomponents);

	/* Deeper searches start afresh. */
	for (uint32_t i = 0; i < nfound; i++)
		o->index[found[i]] = 0;

	/* Components come out last first. */
	int failed = 0;

	for (uint32_t c = ncomponents; c-- > 0 && !failed;) {
		uint32_t begin = c ? ends[c - 1] : 0, end = ends[c];
		uint32_t head = found[end - 1];

		if (end - begin == 1) {
			append(o->l, head);
			continue;
		}
		if (nesting == MAX_NESTING) {
			for (uint32_t i = end; i-- > begin;)
				append(o->l, found[i]);
			continue;
		}
		uint32_t inner = ++o->nregions;

		for (uint32_t i = begin; i < end; i++)
			o->region[found[i]] = inner;
		failed = order_region(o, head, inner, end - begin, nesting + 1);
	}
	free(found);
	return failed;
}

void
ptx_layout(struct ptx_lower *l)
{
	uint32_t n = l->nblocks;

	/* An unconditional branch is an edge; whether it becomes an instruction depends on the
	 * order. */
	for (uint32_t i = 0; i < n; i++) {
		struct ptx_ir *ir = last_ir(l, &l->blocks[i]);

		if (ir && ir->insn.op == PTX_H_bra) {
			ir->dead = 1;
			l->blocks[i].next = ir->target;
		}
	}

	uint32_t *memory = calloc((size_t)n * 7 + 1, sizeof(*memory));
	struct order o = {
		.l = l,
		.index = memory,
		.low = memory + n,
		.region = memory + 2 * (size_t)n,
		.stack = memory + 3 * (size_t)n,
		.path = memory + 4 * (size_t)n,
		.path_edge = memory + 5 * (size_t)n,
		.on_stack = (uint8_t *)(memory + 6 * (size_t)n),
	};

	l->layout = malloc(n * sizeof(*l->layout));
	if (!memory || !l->layout || order_region(&o, 0, 0, n, 0)) {
		free(memory);
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	free(memory);
}
