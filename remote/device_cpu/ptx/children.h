/*
 * Kernels that launch kernels. What a grid launches runs when the grid has ended, in the order of
 * the launches: the programming model lets nobody wait for a child from inside, and orders a child
 * after what its parent did before launching it.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_CHILDREN_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_CHILDREN_H

#include "remote/device_cpu/ptx/exec.h"

/* Room for the parameters of a launch; 0: no such kernel, or no memory. */
uint64_t ptx_child_new(struct ptx_launch_state *parent, uint64_t kernel, const uint32_t grid[3],
		       const uint32_t block[3], uint32_t shared);
/* Launches what was prepared at @buffer; a cudaError_t. */
uint32_t ptx_child_launch(struct ptx_launch_state *parent, uint64_t buffer, uint64_t stream);
/* Runs all that @parent launched, and what these launch. */
enum ptx_status ptx_children_run(struct ptx_launch_state *parent, struct ptx_fault *ret_fault);
void ptx_children_free(struct ptx_launch_state *parent);

#endif
