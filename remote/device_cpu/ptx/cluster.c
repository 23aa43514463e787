/*
 * Clusters: the barrier of all their threads, and addresses in each other's shared memory. The
 * blocks of a cluster run on one thread in turn, so nothing here needs a lock.
 *
 * An address of the cluster's shared memory has the rank of its block plus one in its upper bits;
 * 0 there is the block's own.
 */
#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/exec.h"

enum { RANK_SHIFT = 24, OFFSET_MASK = (1 << RANK_SHIFT) - 1 };

static void
complete(struct ptx_cluster *cluster)
{
	for (uint32_t b = 0; b < cluster->size; b++) {
		struct ptx_block *block = cluster->blocks[b];

		if (block->race)
			ptx_race_all_synced(block);
		for (uint32_t k = 0; k < block->nwarps; k++) {
			struct ptx_warp *w = &block->warps[k];

			w->cluster_arrived = 0;
			for (uint32_t n = 0; n < w->nfragments; n++)
				if (w->fragments[n].state == PTX_WAIT_CLUSTER)
					w->fragments[n].state = PTX_READY;
		}
	}
}

/* Whether anybody has arrived, and everybody who still runs. */
static int
is_complete(const struct ptx_cluster *cluster)
{
	int anybody = 0;

	for (uint32_t b = 0; b < cluster->size; b++) {
		const struct ptx_block *block = cluster->blocks[b];

		for (uint32_t k = 0; k < block->nwarps; k++) {
			if (block->warps[k].live & ~block->warps[k].cluster_arrived)
				return 0;
			anybody |= block->warps[k].cluster_arrived != 0;
		}
	}
	return anybody;
}

void
ptx_cluster_recheck(struct ptx_cluster *cluster)
{
	if (is_complete(cluster))
		complete(cluster);
}

int
ptx_cluster_barrier(struct ptx_warp *w, const struct ptx_insn *insn, int arrive)
{
	struct ptx_fragment *f = &w->fragments[w->current];

	if (arrive) {
		w->cluster_arrived |= w->mask;
		ptx_cluster_recheck(w->block->cluster);
		return 1;
	}
	/* The lanes' arrival is forgotten when the barrier completes. */
	if (!(w->cluster_arrived & w->mask))
		return 1;
	f->state = PTX_WAIT_CLUSTER;
	ptx_warp_stop(w, insn + 1, PTX_EVENT_BLOCKED);
	return 0;
}

uint32_t
ptx_cluster_rank(const struct ptx_block *block)
{
	const uint32_t *id = block->id, *size = block->launch->cluster;

	return id[0] % size[0] + size[0] * (id[1] % size[1] + size[1] * (id[2] % size[2]));
}

uint64_t
ptx_cluster_address(const struct ptx_warp *w, uint32_t address)
{
	const struct ptx_cluster *cluster = w->block->cluster;
	const struct ptx_block *block = w->block;
	uint32_t rank = address >> RANK_SHIFT, offset = address & OFFSET_MASK;

	if (rank > cluster->size)
		return 0;
	if (rank)
		block = cluster->blocks[rank - 1];
	return offset < block->shared_size ? (uintptr_t)block->shared + offset : 0;
}

uint32_t
ptx_cluster_map_32(const struct ptx_warp *w, uint32_t address, uint32_t rank)
{
	(void)w;
	return (address & OFFSET_MASK) | (rank + 1) << RANK_SHIFT;
}

uint64_t
ptx_cluster_map_64(const struct ptx_warp *w, uint64_t address, uint32_t rank)
{
	const struct ptx_cluster *cluster = w->block->cluster;
	uint64_t offset = address - (uintptr_t)w->block->shared;

	if (rank >= cluster->size || offset >= w->block->shared_size)
		return 0;
	return (uintptr_t)cluster->blocks[rank]->shared + offset;
}

uint32_t
ptx_cluster_rank_of(const struct ptx_warp *w, uint64_t address)
{
	const struct ptx_cluster *cluster = w->block->cluster;

	for (uint32_t b = 0; b < cluster->size; b++)
		if (address - (uintptr_t)cluster->blocks[b]->shared <
		    cluster->blocks[b]->shared_size)
			return b;
	return 0;
}
