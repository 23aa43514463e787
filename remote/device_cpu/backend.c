/* The CPU device as a backend: one table, filled by each of its files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/identity.h"

/*
 * For every function that the device does not have. One function serves them all: with this
 * machine's calling convention a callee may ignore the arguments it is given, and every function
 * of the table returns an int.
 */
static int
not_supported(void)
{
	return CUDA_ERROR_NOT_SUPPORTED;
}

static int
nvml_not_supported(void)
{
	return NVML_ERROR_NOT_SUPPORTED;
}

/* Every entry of a table at once; those that exist are set over it. */
static void
fill(void *table, const struct genie_driver_name *names, size_t count, int (*fn)(void))
{
	for (size_t i = 0; i < count; i++)
		memcpy((char *)table + names[i].offset, &fn, sizeof(fn));
}

static void
close_backend(struct genie_backend *backend)
{
	if (genie_cpu.backend == backend)
		genie_cpu.backend = NULL;
}

int
genie_backend_cpu_open(struct genie_backend *ret, char *err, size_t err_size)
{
	if (genie_cpu.backend) {
		snprintf(err, err_size, "the CPU device is open already");
		return -EBUSY;
	}
	*ret = (struct genie_backend){
		.kind = GENIE_DEVICE_CPU,
		.name = "cpu",
		.image_kinds = GENIE_IMAGE_PTX,
		.image_error = genie_cpu_image_error,
		.close = close_backend,
	};
	fill(&ret->drv, genie_driver_names, genie_driver_name_count, not_supported);
	fill(&ret->nvml, genie_nvml_names, genie_nvml_name_count, nvml_not_supported);
	genie_cpu_fill_device(&ret->drv);
	genie_cpu_fill_context(&ret->drv);
	genie_cpu_fill_green(&ret->drv);
	genie_cpu_fill_memory(&ret->drv);
	genie_cpu_fill_vmm(&ret->drv);
	genie_cpu_fill_array(&ret->drv);
	genie_cpu_fill_texture(&ret->drv);
	genie_cpu_fill_tensor(&ret->drv);
	genie_cpu_fill_texref(&ret->drv);
	genie_cpu_fill_copy(&ret->drv);
	genie_cpu_fill_set(&ret->drv);
	genie_cpu_fill_module(&ret->drv);
	genie_cpu_fill_launch(&ret->drv);
	genie_cpu_fill_occupancy(&ret->drv);
	genie_cpu_fill_stream(&ret->drv);
	genie_cpu_fill_values(&ret->drv);
	genie_cpu_fill_event(&ret->drv);
	genie_cpu_fill_capture(&ret->drv);
	genie_cpu_fill_graph(&ret->drv);
	genie_cpu_fill_nodes(&ret->drv);
	genie_cpu_fill_exec(&ret->drv);
	genie_cpu_fill_conditional(&ret->drv);
	genie_cpu_fill_gemm(&ret->drv);
	genie_cpu_fill_dense(&ret->drv);
	genie_cpu.count = genie_cpu_identity_count();
	genie_cpu.total = genie_cpu_identity_memory(genie_cpu.count);
	genie_cpu_fill_nvml(&ret->nvml);
	genie_cpu.backend = ret;
	ret->wants_ranges = ptx_check_flags() & PTX_CHECK_BOUNDS;
	ret->drv.cuInit(0);
	return 0;
}
