/*
 * Tensor maps: an opaque description of a tensor that only the driver can make. One with the same
 * shape differs in its first eight bytes alone, which are the address, so the worker is asked once
 * for each shape. That rule is no promise of the driver's: it is checked before it is used, and if
 * it ever fails the worker is asked each time.
 */
#include "interpose/tensormap.h"
#include "interpose/client.h"
#include "interpose/refuse.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS  64 /* a power of two */
#define MAPS_MAX 4096

struct known_map {
	struct known_map *next;
	struct genie_tensormap_request request; /* with address 0 */
	unsigned char map[sizeof(CUtensorMap)];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct known_map *buckets[BUCKETS];
static unsigned int maps;
static enum { RULE_UNKNOWN, RULE_HOLDS, RULE_FAILED } rule;

/* @map with another address in it. */
static void
address_patch(unsigned char *map, uint64_t address)
{
	memcpy(map, &address, sizeof(address));
}

static struct known_map **
bucket_of(const struct genie_tensormap_request *request)
{
	const unsigned char *bytes = (const unsigned char *)request;
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(*request); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return &buckets[hash % BUCKETS];
}

/* What is remembered for the shape; false: nothing. */
static bool
known_find(const struct genie_tensormap_request *shape, unsigned char *ret_map)
{
	const struct known_map *known;

	pthread_mutex_lock(&lock);
	known = rule != RULE_FAILED ? *bucket_of(shape) : NULL;
	while (known != NULL && memcmp(&known->request, shape, sizeof(*shape)) != 0)
		known = known->next;
	if (known != NULL)
		memcpy(ret_map, known->map, sizeof(known->map));
	pthread_mutex_unlock(&lock);
	return known != NULL;
}

static void
known_store(const struct genie_tensormap_request *shape, const unsigned char *map)
{
	struct known_map *known = malloc(sizeof(*known));
	struct known_map **bucket;

	if (known == NULL)
		return;
	known->request = *shape;
	memcpy(known->map, map, sizeof(known->map));
	pthread_mutex_lock(&lock);
	if (maps < MAPS_MAX) {
		bucket = bucket_of(shape);
		known->next = *bucket;
		*bucket = known;
		known = NULL;
		maps++;
	}
	pthread_mutex_unlock(&lock);
	free(known);
}

static bool
rule_holds(void)
{
	bool holds;

	pthread_mutex_lock(&lock);
	holds = rule == RULE_HOLDS;
	pthread_mutex_unlock(&lock);
	return holds;
}

/* The second map of a shape is made both ways. */
static void
rule_check(const unsigned char *patched, const unsigned char *asked)
{
	bool same = memcmp(patched, asked, sizeof(CUtensorMap)) == 0;

	pthread_mutex_lock(&lock);
	if (rule != RULE_FAILED)
		rule = same ? RULE_HOLDS : RULE_FAILED;
	pthread_mutex_unlock(&lock);
	if (!same)
		genie_warn("tensor maps of this driver cannot be made here: each is a round trip");
}

/* An address the driver would refuse. */
static bool
address_valid(const struct genie_tensormap_request *request)
{
	uint64_t align = request->interleave == CU_TENSOR_MAP_INTERLEAVE_32B ? 32 : 16;

	return request->address % align == 0;
}

CUresult
genie_tensormap_get(const struct genie_tensormap_request *request, genie_tensormap_ask_fn ask,
		    bool remember, unsigned char ret_map[sizeof(CUtensorMap)])
{
	struct genie_tensormap_request shape = *request;
	unsigned char patched[sizeof(CUtensorMap)];
	bool known;
	CUresult status;

	if (!remember)
		return ask(request, ret_map);
	if (!address_valid(request))
		return CUDA_ERROR_INVALID_VALUE;
	shape.address = 0;
	known = known_find(&shape, patched);
	if (known) {
		address_patch(patched, request->address);
		if (rule_holds()) {
			memcpy(ret_map, patched, sizeof(patched));
			return CUDA_SUCCESS;
		}
	}
	status = ask(request, ret_map);
	if (status != CUDA_SUCCESS)
		return status;
	if (known)
		rule_check(patched, ret_map);
	else
		known_store(&shape, ret_map);
	return CUDA_SUCCESS;
}

/* ---- the entry points ---- */

static CUresult
ask_worker(const struct genie_tensormap_request *request, unsigned char map[sizeof(CUtensorMap)])
{
	struct genie_args_genieTensorMap args = {
		.map = map, .request = (const unsigned char *)request, .size = sizeof(*request)};

	return genie_call(GENIE_OP_genieTensorMap, &args);
}

/* The arguments that all three calls have. */
static CUresult
request_init(struct genie_tensormap_request *request, const CUtensorMap *map, cuuint32_t rank,
	     const void *address, const cuuint64_t *dims, const cuuint64_t *strides,
	     const cuuint32_t *element_strides)
{
	memset(request, 0, sizeof(*request));
	if (map == NULL || (uintptr_t)map % 64 != 0 || rank == 0 ||
	    rank > GENIE_TENSORMAP_RANK_MAX || dims == NULL || (rank > 1 && strides == NULL) ||
	    element_strides == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	request->rank = rank;
	request->address = (uint64_t)(uintptr_t)address;
	memcpy(request->dim, dims, rank * sizeof(*dims));
	if (rank > 1)
		memcpy(request->stride, strides, (rank - 1) * sizeof(*strides));
	memcpy(request->element_stride, element_strides, rank * sizeof(*element_strides));
	return CUDA_SUCCESS;
}

static CUresult
request_send(const struct genie_tensormap_request *request, CUtensorMap *ret_map)
{
	return genie_tensormap_get(request, ask_worker, genie_perf(GENIE_PERF_CACHE),
				   (unsigned char *)ret_map);
}

CUresult
genie_cuTensorMapEncodeTiled(CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType,
			     cuuint32_t tensorRank, void *globalAddress,
			     const cuuint64_t *globalDim, const cuuint64_t *globalStrides,
			     const cuuint32_t *boxDim, const cuuint32_t *elementStrides,
			     CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
			     CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill)
{
	struct genie_tensormap_request request;
	CUresult status = request_init(&request, tensorMap, tensorRank, globalAddress, globalDim,
				       globalStrides, elementStrides);

	if (status != CUDA_SUCCESS)
		return status;
	if (boxDim == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	request.kind = GENIE_TENSORMAP_TILED;
	request.data_type = tensorDataType;
	request.interleave = interleave;
	request.swizzle = swizzle;
	request.l2_promotion = l2Promotion;
	request.oob_fill = oobFill;
	memcpy(request.box, boxDim, tensorRank * sizeof(*boxDim));
	return request_send(&request, tensorMap);
}

CUresult
genie_cuTensorMapEncodeIm2col(CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType,
			      cuuint32_t tensorRank, void *globalAddress,
			      const cuuint64_t *globalDim, const cuuint64_t *globalStrides,
			      const int *pixelBoxLowerCorner, const int *pixelBoxUpperCorner,
			      cuuint32_t channelsPerPixel, cuuint32_t pixelsPerColumn,
			      const cuuint32_t *elementStrides, CUtensorMapInterleave interleave,
			      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion,
			      CUtensorMapFloatOOBfill oobFill)
{
	struct genie_tensormap_request request;
	CUresult status = request_init(&request, tensorMap, tensorRank, globalAddress, globalDim,
				       globalStrides, elementStrides);

	if (status != CUDA_SUCCESS)
		return status;
	if (tensorRank < 3 || pixelBoxLowerCorner == NULL || pixelBoxUpperCorner == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	request.kind = GENIE_TENSORMAP_IM2COL;
	request.data_type = tensorDataType;
	request.interleave = interleave;
	request.swizzle = swizzle;
	request.l2_promotion = l2Promotion;
	request.oob_fill = oobFill;
	request.channels = channelsPerPixel;
	request.pixels = pixelsPerColumn;
	memcpy(request.lower, pixelBoxLowerCorner, (tensorRank - 2) * sizeof(int));
	memcpy(request.upper, pixelBoxUpperCorner, (tensorRank - 2) * sizeof(int));
	return request_send(&request, tensorMap);
}

CUresult
genie_cuTensorMapEncodeIm2colWide(CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType,
				  cuuint32_t tensorRank, void *globalAddress,
				  const cuuint64_t *globalDim, const cuuint64_t *globalStrides,
				  int pixelBoxLowerCornerWidth, int pixelBoxUpperCornerWidth,
				  cuuint32_t channelsPerPixel, cuuint32_t pixelsPerColumn,
				  const cuuint32_t *elementStrides,
				  CUtensorMapInterleave interleave, CUtensorMapIm2ColWideMode mode,
				  CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion,
				  CUtensorMapFloatOOBfill oobFill)
{
	struct genie_tensormap_request request;
	CUresult status = request_init(&request, tensorMap, tensorRank, globalAddress, globalDim,
				       globalStrides, elementStrides);

	if (status != CUDA_SUCCESS)
		return status;
	request.kind = GENIE_TENSORMAP_IM2COL_WIDE;
	request.data_type = tensorDataType;
	request.interleave = interleave;
	request.im2col_mode = mode;
	request.swizzle = swizzle;
	request.l2_promotion = l2Promotion;
	request.oob_fill = oobFill;
	request.channels = channelsPerPixel;
	request.pixels = pixelsPerColumn;
	request.lower[0] = pixelBoxLowerCornerWidth;
	request.upper[0] = pixelBoxUpperCornerWidth;
	return request_send(&request, tensorMap);
}

/* A map tells neither its interleaving nor its shape; the alignment is all that can be checked. */
CUresult
genie_cuTensorMapReplaceAddress(CUtensorMap *tensorMap, void *globalAddress)
{
	bool failed;

	if (tensorMap == NULL || (uintptr_t)tensorMap % 64 != 0 ||
	    (uintptr_t)globalAddress % 16 != 0)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	failed = rule == RULE_FAILED;
	pthread_mutex_unlock(&lock);
	if (failed)
		return genie_refuse("cuTensorMapReplaceAddress",
				    "this driver lays tensor maps out in another way");
	address_patch((unsigned char *)tensorMap, (uint64_t)(uintptr_t)globalAddress);
	return CUDA_SUCCESS;
}
