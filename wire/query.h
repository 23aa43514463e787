/*
 * Questions to the driver that have no flat argument list: what genieTensorMap and
 * genieOccupancyClusters carry. Written by interpose/tensormap.c and occupancy.c, answered by the
 * worker.
 */
#ifndef GENIE_WIRE_QUERY_H
#define GENIE_WIRE_QUERY_H

#include <stdint.h>

/* genieOccupancyClusters: what. Wire values. */
enum genie_occupancy {
	GENIE_OCCUPANCY_ACTIVE_CLUSTERS = 0, /* cuOccupancyMaxActiveClusters */
	GENIE_OCCUPANCY_CLUSTER_SIZE = 1,    /* cuOccupancyMaxPotentialClusterSize */
};

/* genieTensorMap: kind. Wire values. */
enum genie_tensormap_kind {
	GENIE_TENSORMAP_TILED = 0,       /* cuTensorMapEncodeTiled */
	GENIE_TENSORMAP_IM2COL = 1,      /* cuTensorMapEncodeIm2col */
	GENIE_TENSORMAP_IM2COL_WIDE = 2, /* cuTensorMapEncodeIm2colWide */
};

#define GENIE_TENSORMAP_RANK_MAX 5

#define GENIE_AFFINITIES_MAX 16 /* of genieCtxCreateAffinity */

/* The request of genieTensorMap: the arguments of the call of that kind. What a kind does not have
 * is 0; so is what lies beyond rank. */
struct genie_tensormap_request {
	uint32_t kind; /* enum genie_tensormap_kind */
	uint32_t data_type;
	uint32_t rank;
	uint32_t interleave;
	uint32_t swizzle;
	uint32_t l2_promotion;
	uint32_t oob_fill;
	uint32_t im2col_mode; /* wide */
	uint64_t address;
	uint64_t dim[GENIE_TENSORMAP_RANK_MAX];
	uint64_t stride[GENIE_TENSORMAP_RANK_MAX - 1]; /* bytes, of dimensions 1.. */
	uint32_t element_stride[GENIE_TENSORMAP_RANK_MAX];
	uint32_t box[GENIE_TENSORMAP_RANK_MAX];      /* tiled */
	int32_t lower[GENIE_TENSORMAP_RANK_MAX - 2]; /* im2col; wide: [0] */
	int32_t upper[GENIE_TENSORMAP_RANK_MAX - 2];
	uint32_t channels; /* im2col and wide: per pixel */
	uint32_t pixels;   /* per column */
};
_Static_assert(sizeof(struct genie_tensormap_request) == 184, "wire");

#endif
