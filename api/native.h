/*
 * Library operations that a device may execute itself (the CPU device does: the vendor's kernels
 * for them exist as machine code only). Arguments of the functions in native.api.
 */
#ifndef GENIE_API_NATIVE_H
#define GENIE_API_NATIVE_H

#include <stdint.h>

/* Wire values (cudaDataType_t of library_types.h has the same numbers for the first ones). */
enum genie_type {
	GENIE_F32 = 0,
	GENIE_F64 = 1,
	GENIE_F16 = 2,
	GENIE_I8 = 3,
	GENIE_C32 = 4, /* two floats */
	GENIE_C64 = 5, /* two doubles */
	GENIE_I32 = 10,
	GENIE_BF16 = 14,
};

enum genie_epilogue { /* flags */
		      GENIE_EPILOGUE_NONE = 0,
		      GENIE_EPILOGUE_RELU = 1,
		      GENIE_EPILOGUE_GELU = 2, /* tanh form */
		      GENIE_EPILOGUE_BIAS =
			      4, /* vector of m elements of type bias_type, added to each column */
		      GENIE_EPILOGUE_AUX =
			      8, /* store what the activation's gradient needs in aux */
		      GENIE_EPILOGUE_DRELU = 16,
		      GENIE_EPILOGUE_DGELU = 32,
		      GENIE_EPILOGUE_BGRADA = 64,
		      GENIE_EPILOGUE_BGRADB = 128,
};

/*
 * D = epilogue(alpha * op(A) * op(B) + beta * C), column-major, batched. Products are accumulated
 * in compute_type. alpha and beta are values (8 or 16 bytes, of scale_type) or, with
 * scale_on_device, device addresses.
 */
struct genie_gemm {
	uint64_t a, b, c, d; /* device addresses; with pointer_array: of arrays of addresses */
	int64_t stride_a, stride_b, stride_c, stride_d; /* elements between batches */
	int64_t m, n, k;
	int64_t lda, ldb, ldc, ldd; /* elements */
	uint64_t bias, aux;         /* device addresses, 0 = none */
	int64_t ld_aux, stride_bias;
	uint8_t alpha[16], beta[16];
	uint32_t batch;
	uint8_t op_a, op_b; /* 0 = N, 1 = T, 2 = C */
	uint8_t pointer_array;
	uint8_t scale_on_device;
	uint16_t type_a, type_b, type_c, type_d; /* enum genie_type */
	uint16_t compute_type, scale_type, bias_type;
	uint16_t epilogue; /* enum genie_epilogue flags */
	uint32_t order;    /* bits 0..3: A, B, C, D are row-major */
	uint32_t pad;
};

_Static_assert(sizeof(struct genie_gemm) == 216, "wire");

enum genie_dense_kind {
	GENIE_DENSE_GEMV =
		0, /* c = alpha op(a) b + beta c; a is m by n; ldb, ldc: the increments */
	GENIE_DENSE_SYMM = 1,  /* c = alpha a b + beta c, or b a: a is symmetric */
	GENIE_DENSE_HEMM = 2,  /* the same with a Hermitian a */
	GENIE_DENSE_SYRK = 3,  /* c = alpha op(a) op(a)^T + beta c: n by n, of which a triangle */
	GENIE_DENSE_HERK = 4,  /* with ^H; alpha and beta are real */
	GENIE_DENSE_SYR2K = 5, /* c = alpha (op(a) op(b)^T + op(b) op(a)^T) + beta c */
	GENIE_DENSE_HER2K = 6, /* with ^H, conj(alpha) for the second; beta is real */
	GENIE_DENSE_SYRKX = 7, /* c = alpha op(a) op(b)^T + beta c */
	GENIE_DENSE_HERKX = 8, /* with ^H; beta is real */
	GENIE_DENSE_TRMM = 9,  /* c = alpha op(a) b, or b op(a): a is a triangle */
	GENIE_DENSE_TRSM = 10, /* the x of op(a) x = alpha b, or of x op(a) = alpha b; c is b */
};

/*
 * An operation of BLAS on dense column-major matrices of one type. The fields that a kind has no
 * use for are 0.
 */
struct genie_dense {
	uint64_t a, b, c; /* device addresses; with pointer_array: of arrays of addresses */
	int64_t stride_a, stride_b, stride_c; /* elements between batches */
	int64_t m, n, k;
	int64_t lda, ldb, ldc;
	uint8_t alpha[16], beta[16]; /* of the type, or of its real one; or their addresses */
	uint32_t batch;
	uint16_t type; /* enum genie_type: F32, F64, C32, C64 */
	uint8_t kind;  /* enum genie_dense_kind */
	uint8_t side;  /* of a: 0 = left, 1 = right */
	uint8_t fill;  /* the triangle that counts: 0 = lower, 1 = upper */
	uint8_t op;    /* 0 = N, 1 = T, 2 = C */
	uint8_t unit;  /* a triangle's diagonal is 1 */
	uint8_t pointer_array;
	uint8_t scale_on_device;
	uint8_t pad[3];
};

_Static_assert(sizeof(struct genie_dense) == 144, "wire");

#endif
