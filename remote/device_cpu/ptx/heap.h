/* Memory that kernels allocate with malloc. It belongs to the module. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_HEAP_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_HEAP_H

#include <stdint.h>

struct ptx_module;

/* 0: no memory left. */
uint64_t ptx_heap_allocate(const struct ptx_module *module, uint64_t size);
/* 0, or -1: nothing was allocated at @address. */
int ptx_heap_release(uint64_t address);
void ptx_heap_forget(const struct ptx_module *module);

#endif
