/*
 * Memory that the program maps itself: reserved addresses, handles, mappings. Everything is known
 * here, and everything a program can do wrong is noticed here; what travels needs no answer.
 */
#ifndef GENIE_INTERPOSE_VMM_H
#define GENIE_INTERPOSE_VMM_H

#include "interpose/client.h"

#define GENIE_VMM_PAGE (UINT64_C(2) << 20) /* granularity: what every device has */

/* A CUmemGenericAllocationHandle. Its fields are guarded by vmm.c's lock, but for size and device,
 * which stay as they are. */
struct genie_memhandle {
	struct genie_object object;
	uint64_t size;
	int device;
	CUmemAllocationProp prop;
	uint64_t id;       /* CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID */
	unsigned int refs; /* cuMemCreate, cuMemRetainAllocationHandle, imports */
	unsigned int maps; /* mappings */
	bool foreign;      /* another process's memory: no credit was spent */
};

/* Takes a handle that the worker knows already as @handle's token, with one reference. */
void genie_memhandle_adopt(struct genie_memhandle *handle, uint64_t size, int device,
			   CUmemAllocationHandleType types);
/* NULL: not a handle that somebody still holds. */
struct genie_memhandle *genie_memhandle_get(CUmemGenericAllocationHandle handle);

/* The mapping that contains @addr. */
bool genie_vmm_find(uint64_t addr, struct genie_mem *ret_mem);
/* The properties of the memory that is mapped at @addr. */
bool genie_vmm_props(uint64_t addr, CUmemAllocationProp *ret_prop, uint64_t *ret_block);

/*
 * Maps the whole of @handle at an address of its own. @how: type (GENIE_MEM_SHARED), ctx and pool
 * as genie_vmm_find() will tell them; base and size are the part of the memory that counts, and
 * *@ret_addr is where it begins. Gives the caller's reference to the mapping: the handle ends when
 * that is closed.
 */
CUresult genie_vmm_open(struct genie_memhandle *handle, const struct genie_mem *how,
			uint64_t *ret_addr);
/* Closes the mapping that contains @addr. */
void genie_vmm_close(uint64_t addr);

#endif
