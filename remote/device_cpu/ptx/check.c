/* What checked code looks at: GENIE_CPU_CHECK, and what each instruction does to memory. */
#include "remote/device_cpu/ptx/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/device_cpu/ptx/exec_memory.h"

static unsigned int flags; /* written once */

static void
read_flags(void)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} words[] = {{"bounds", PTX_CHECK_BOUNDS}, {"race", PTX_CHECK_RACE}};
	const char *p = getenv("GENIE_CPU_CHECK");

	while (p && *p) {
		size_t len = strcspn(p, ","), k = 0;

		while (k < 2 && (strlen(words[k].name) != len || strncmp(words[k].name, p, len)))
			k++;
		if (k < 2)
			flags |= words[k].flag;
		else if (len)
			genie_warn("GENIE_CPU_CHECK: %.*s is not known (bounds, race)",
				   (int)(len < 40 ? len : 40), p);
		p += len;
		p += *p == ',';
	}
}

unsigned int
ptx_check_flags(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_flags);
	return flags;
}

/* A plain load or store: its name is its size and its way. */
struct plain {
	uint8_t bytes, size; /* in memory, of a register */
	uint8_t store, vector;
	int way;
};

static int
plain_of(enum ptx_handler handler, struct plain *ret)
{
	switch (handler) {
#define WAYS(name, bytes, size, store, vector)                                                     \
	case PTX_H_##name##_global:                                                                \
		*ret = (struct plain){bytes, size, store, vector, PTX_BY_ADDRESS};                 \
		return 1;                                                                          \
	case PTX_H_##name##_window:                                                                \
		*ret = (struct plain){bytes, size, store, vector, PTX_BY_WINDOW};                  \
		return 1;
		WAYS(ld_u8, 1, 2, 0, 0)
		WAYS(ld_s8, 1, 2, 0, 0)
		WAYS(ld_16, 2, 2, 0, 0)
		WAYS(ld_32, 4, 4, 0, 0)
		WAYS(ld_64, 8, 8, 0, 0)
		WAYS(st_8, 1, 2, 1, 0)
		WAYS(st_16, 2, 2, 1, 0)
		WAYS(st_32, 4, 4, 1, 0)
		WAYS(st_64, 8, 8, 1, 0)
		WAYS(ldv_u8, 1, 2, 0, 1)
		WAYS(ldv_16, 2, 2, 0, 1)
		WAYS(ldv_32, 4, 4, 0, 1)
		WAYS(ldv_64, 8, 8, 0, 1)
		WAYS(stv_8, 1, 2, 1, 1)
		WAYS(stv_16, 2, 2, 1, 1)
		WAYS(stv_32, 4, 4, 1, 1)
		WAYS(stv_64, 8, 8, 1, 1)
#undef WAYS
	default:
		return 0;
	}
}

enum ptx_check_kind
ptx_check_kind_of(enum ptx_handler handler)
{
	struct plain plain;

	if (plain_of(handler, &plain))
		return PTX_CHECK_MEMORY;
	switch (handler) {
	case PTX_H_atom:
	case PTX_H_cp_async:
	case PTX_H_ldmatrix:
	case PTX_H_stmatrix:
		return PTX_CHECK_MEMORY;
	case PTX_H_shfl:
	case PTX_H_vote:
	case PTX_H_match:
	case PTX_H_redux:
	case PTX_H_elect:
	case PTX_H_warp_sync:
	case PTX_H_mma:
	case PTX_H_mma_quads:
	case PTX_H_movmatrix:
		return PTX_CHECK_SYNC;
	case PTX_H_mbarrier:
		return PTX_CHECK_ARRIVE;
	case PTX_H_mbarrier_wait:
		return PTX_CHECK_WAIT;
	default:
		return PTX_CHECK_NOTHING;
	}
}

int
ptx_check_accesses(const struct ptx_insn *i, struct ptx_access ret[2])
{
	const struct ptx_atomic_data *atomic = i->data;
	struct plain plain;

	ret[0] = (struct ptx_access){.place = i->a, .offset = i->offset};
	if (plain_of(i->op, &plain)) {
		ret[0].way = plain.way;
		ret[0].parameter = plain.way == PTX_BY_WINDOW && i->flags & PTX_INSN_FLAG_A;
		ret[0].reads = !plain.store;
		ret[0].writes = plain.store;
		ret[0].count = plain.vector ? i->n : 1;
		ret[0].bytes = plain.bytes * ret[0].count;
		ret[0].size = plain.size;
		ret[0].values = plain.vector ? i->list : NULL;
		ret[0].single = i->b;
		return 1;
	}
	switch (i->op) {
	case PTX_H_atom:
		if (atomic->way == PTX_BY_LANE)
			return 0;
		ret[0].way = atomic->way;
		ret[0].bytes = atomic->size;
		ret[0].reads = ret[0].writes = ret[0].atomic = 1;
		return 1;
	case PTX_H_cp_async: /* how much is read says a register; what is left becomes 0 */
		ret[0].way = PTX_BY_ADDRESS;
		ret[0].reads = 1;
		ret[0].bytes = 0;
		ret[1] = (struct ptx_access){
			.way = PTX_BY_WINDOW, .place = i->b, .bytes = i->n, .writes = 1};
		return 2;
	case PTX_H_ldmatrix:
	case PTX_H_stmatrix:
		ret[0].way = i->flags & PTX_INSN_FLAG_C ? PTX_BY_ADDRESS : PTX_BY_WINDOW;
		ret[0].bytes = 16;
		ret[0].reads = i->op == PTX_H_ldmatrix;
		ret[0].writes = i->op == PTX_H_stmatrix;
		return 1;
	default:
		return 0;
	}
}
