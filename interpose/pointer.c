/*
 * What a program may ask about an address. All of it is known here.
 */
#include "interpose/memory.h"
#include "interpose/vmm.h"

#include <string.h>

/* What an attribute's value is stored as. */
union value {
	uint64_t u64; /* first: what an initialiser sets */
	int32_t i32;
	uint32_t u32;
};

/* Memory is mapped in pieces of this size. */
#define MAPPING_SIZE (UINT64_C(2) << 20)

static bool
is_host(const struct genie_mem *mem)
{
	return mem->type == GENIE_MEM_PINNED || mem->type == GENIE_MEM_REGISTERED ||
	       mem->type == GENIE_MEM_MANAGED;
}

/* Can the device use the memory by the address the program has? */
static bool
is_mapped(const struct genie_mem *mem)
{
	return mem->type != GENIE_MEM_REGISTERED || mem->twin != 0;
}

static uint64_t
pool_token(const struct genie_mem *mem)
{
	/* Every object begins with its token. */
	return mem->pool != NULL ? ((const struct genie_object *)mem->pool)->token : 0;
}

/* What the current device may do with it: the numbers of CUmemAccess_flags. */
static uint32_t
access_flags(const struct genie_mem *mem, uint64_t addr)
{
	const struct genie_ctx *ctx = genie_ctx_current();
	const CUmemLocation location = {.type = CU_MEM_LOCATION_TYPE_DEVICE,
					.id = ctx != NULL ? ctx->device : mem->device};
	unsigned long long flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;

	if (mem->type != GENIE_MEM_MAPPED)
		return CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
	(void)genie_cuMemGetAccess(&flags, &location, addr);
	return (uint32_t)flags;
}

/*
 * The value of one attribute and its size in bytes. @mem: type GENIE_MEM_NONE when the address is
 * nobody's.
 */
static CUresult
attribute_value(CUpointer_attribute attribute, const struct genie_mem *mem, uint64_t addr,
		union value *ret_value, size_t *ret_size)
{
	bool known = mem->type != GENIE_MEM_NONE;
	CUmemAllocationProp props = {0};
	uint64_t block = 0;
	bool vmm = mem->type == GENIE_MEM_MAPPED && genie_vmm_props(addr, &props, &block);

	*ret_value = (union value){0};
	*ret_size = sizeof(uint64_t);
	switch (attribute) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		if (known && mem->ctx != NULL && mem->pool == NULL) /* a pool has no context */
			ret_value->u64 = mem->ctx->object.token;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		*ret_size = sizeof(uint32_t);
		if (known)
			ret_value->u32 = is_host(mem) && mem->type != GENIE_MEM_MANAGED
						 ? CU_MEMORYTYPE_HOST
						 : CU_MEMORYTYPE_DEVICE;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		if (known && is_mapped(mem))
			ret_value->u64 = mem->twin != 0 ? mem->twin + (addr - mem->base) : addr;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_HOST_POINTER:
		ret_value->u64 = !known || is_host(mem) ? addr : 0;
		if (mem->host != 0)
			ret_value->u64 = mem->host + (addr - mem->base);
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: /* synchronous copies always are */
		*ret_size = sizeof(uint32_t);
		ret_value->u32 = known && !is_host(mem);
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		ret_value->u64 = mem->id;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
		ret_value->u64 = vmm ? block : mem->id;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
		*ret_size = sizeof(uint32_t);
		ret_value->u32 = mem->type == GENIE_MEM_MANAGED;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		*ret_size = sizeof(int32_t);
		ret_value->i32 = known ? mem->device : CU_DEVICE_INVALID;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
		*ret_size = sizeof(uint32_t);
		ret_value->u32 = mem->type == GENIE_MEM_DEVICE && mem->pool == NULL;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
	case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
		*ret_size = sizeof(uint32_t); /* nothing here can be shared so */
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		*ret_size = known ? sizeof(uint64_t) : 0;
		ret_value->u64 = mem->base;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		*ret_size = known ? sizeof(uint64_t) : 0;
		ret_value->u64 = mem->size;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
		if (vmm)
			ret_value->u64 = mem->base;
		else
			ret_value->u64 = known ? mem->base & ~(MAPPING_SIZE - 1) : 0;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
		if (vmm)
			ret_value->u64 = mem->size;
		else if (known)
			ret_value->u64 = ((mem->base + mem->size - 1) | (MAPPING_SIZE - 1)) + 1 -
					 (mem->base & ~(MAPPING_SIZE - 1));
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MAPPED:
		*ret_size = sizeof(uint32_t);
		ret_value->u32 = known;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
		if (vmm)
			ret_value->u64 = (uint64_t)props.requestedHandleTypes;
		else if (mem->pool != NULL)
			ret_value->u64 = genie_mempool_types(mem->pool);
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		*ret_size = sizeof(uint32_t);
		ret_value->u32 = known && access_flags(mem, addr) != CU_MEM_ACCESS_FLAGS_PROT_NONE
					 ? access_flags(mem, addr)
					 : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		ret_value->u64 = known ? pool_token(mem) : 0;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
		return CUDA_ERROR_NOT_SUPPORTED;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

/* Attributes that this memory does not have, when they are asked for alone. */
static bool
attribute_missing(CUpointer_attribute attribute, const union value *value)
{
	return (attribute == CU_POINTER_ATTRIBUTE_DEVICE_POINTER ||
		attribute == CU_POINTER_ATTRIBUTE_HOST_POINTER) &&
	       value->u64 == 0;
}

CUresult
genie_cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
	struct genie_mem mem;
	union value value;
	CUresult status;
	size_t size;

	if (data == NULL || !genie_mem_find(ptr, &mem))
		return CUDA_ERROR_INVALID_VALUE;
	status = attribute_value(attribute, &mem, ptr, &value, &size);
	if (status != CUDA_SUCCESS)
		return status;
	if (attribute_missing(attribute, &value))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(data, &value, size);
	return CUDA_SUCCESS;
}

/* Of memory that is not ours nearly every attribute is 0, and that is a success. */
CUresult
genie_cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute *attributes,
			     void **data, CUdeviceptr ptr)
{
	struct genie_mem mem = {0};
	union value value;
	CUresult status;
	size_t size;

	if (attributes == NULL || data == NULL || numAttributes == 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mem_find(ptr, &mem))
		mem.type = GENIE_MEM_NONE;
	for (unsigned int i = 0; i < numAttributes; i++) {
		status = attribute_value(attributes[i], &mem, ptr, &value, &size);
		if (status != CUDA_SUCCESS)
			return status;
		if (data[i] == NULL)
			return CUDA_ERROR_INVALID_VALUE;
		memcpy(data[i], &value, size);
	}
	return CUDA_SUCCESS;
}

/* Synchronous copies always are, as far as a program can see. */
CUresult
genie_cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr ptr)
{
	struct genie_mem mem;

	if (value == NULL || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mem_find(ptr, &mem) || mem.type != GENIE_MEM_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}
