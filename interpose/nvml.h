/*
 * NVML: what the generated entry points call. NVML works without CUDA being initialised: it
 * connects by itself.
 */
#ifndef GENIE_INTERPOSE_NVML_H
#define GENIE_INTERPOSE_NVML_H

#include "interpose/client.h"

#include "api/nvml.h"

/* What every stub does first; @op: the entry point, @early: nvmlInit need not have run. */
nvmlReturn_t genie_nvml_enter(enum genie_op op, bool early);
/* Asks the worker. */
nvmlReturn_t genie_nvml_call(enum genie_op op, void *args);
nvmlReturn_t genie_nvml_unsupported(const char *name, void *caller);

#endif
