#ifndef GENIE_TESTS_FUZZ_CLIENT_PROGRAM_IMPL_H
#define GENIE_TESTS_FUZZ_CLIENT_PROGRAM_IMPL_H

#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>

#define SLOTS 4

/* What a program has made so far. */
struct state {
	CUdeviceptr device[SLOTS], managed[SLOTS];
	CUdeviceptr global; /* where the server says that a variable lies */
	void *pinned[SLOTS];
	CUstream streams[SLOTS];
	CUevent events[SLOTS];
	CUmodule modules[2];
	CUfunction functions[SLOTS];
	CUgraph graphs[2];
	CUgraphExec execs[2];
	CUgraphNode nodes[SLOTS];
	CUarray arrays[2];
	CUtexObject textures[2];
	bool capturing;
	volatile unsigned sink;
};
struct state *program_state(void);

/* Ends the process unless @status is one that a driver may return. */
void program_check(const char *call, int status);

/* Call number @op of all that travel, with buffers for @count elements. */
void program_any(unsigned op, unsigned count, CUdeviceptr addr, CUstream stream);
void program_graphs(uint8_t a, uint8_t b);
void program_captures(uint8_t a, uint8_t b);
void program_textures(uint8_t a, uint8_t b);
void program_nvml(uint8_t a, uint8_t b);
void program_pools(uint8_t a, uint8_t b);
void program_tensor_map(uint8_t a, uint8_t b);

#endif
