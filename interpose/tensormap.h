/* The memory of tensor maps by their shape: what tensormap.c remembers, apart for its test. */
#ifndef GENIE_INTERPOSE_TENSORMAP_H
#define GENIE_INTERPOSE_TENSORMAP_H

#include <cuda.h>
#include <stdbool.h>

#include "wire/query.h"

/* Asks the worker. */
typedef CUresult (*genie_tensormap_ask_fn)(const struct genie_tensormap_request *request,
					   unsigned char map[sizeof(CUtensorMap)]);

/*
 * The map for @request: from memory, with its address written into it, or by asking. All bytes of
 * @request are defined. @remember: off: always asks.
 */
CUresult genie_tensormap_get(const struct genie_tensormap_request *request,
			     genie_tensormap_ask_fn ask, bool remember,
			     unsigned char ret_map[sizeof(CUtensorMap)]);

#endif
