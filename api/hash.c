#include "genie_ops.h"
#include "wire/desc.h"

#define FNV_PRIME 16777619u

/*
 * Two builds may have the same description but headers of different CUDA releases, so the sizes
 * that the compiler found go into the hash (FNV-1a) as well.
 */
uint32_t
genie_api_hash(void)
{
	uint32_t hash = GENIE_SPEC_HASH;

	for (unsigned op = 0; op < GENIE_OP_MAX; op++) {
		for (unsigned i = 0; i < genie_op_descs[op].arg_count; i++) {
			const struct genie_arg_desc *arg = &genie_op_descs[op].args[i];

			hash = (hash ^ arg->size) * FNV_PRIME;
			hash = (hash ^ arg->len_size) * FNV_PRIME;
		}
	}
	return hash;
}
