#include "remote/device_cpu/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/device_cpu/ptx.h"

#define COLUMN_MAJOR 102 /* CBLAS */

#define TYPE       float
#define CONJ(x)    (x)
#define NAME(what) plain_s##what
#include "remote/device_cpu/blas_plain.def"
#undef TYPE
#undef NAME

#define TYPE       double
#define NAME(what) plain_d##what
#include "remote/device_cpu/blas_plain.def"
#undef TYPE
#undef CONJ
#undef NAME

#define TYPE       float _Complex
#define CONJ(x)    conjf(x)
#define NAME(what) plain_c##what
#include "remote/device_cpu/blas_plain.def"
#undef TYPE
#undef CONJ
#undef NAME

#define TYPE       double _Complex
#define CONJ(x)    conj(x)
#define NAME(what) plain_z##what
#include "remote/device_cpu/blas_plain.def"
#undef TYPE
#undef CONJ
#undef NAME

typedef void (*sgemm_fn)(int order, int op_a, int op_b, int m, int n, int k, float alpha,
			 const float *a, int lda, const float *b, int ldb, float beta, float *c,
			 int ldc);
typedef void (*dgemm_fn)(int order, int op_a, int op_b, int m, int n, int k, double alpha,
			 const double *a, int lda, const double *b, int ldb, double beta, double *c,
			 int ldc);
/* cgemm and zgemm */
typedef void (*xgemm_fn)(int order, int op_a, int op_b, int m, int n, int k, const void *alpha,
			 const void *a, int lda, const void *b, int ldb, const void *beta, void *c,
			 int ldc);

/* Written once, by load(). */
static struct {
	bool found;
	sgemm_fn sgemm;
	dgemm_fn dgemm;
	xgemm_fn cgemm, zgemm;
} blas;

static void *
open_library(void)
{
	static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
	const char *perf = getenv("GENIE_PERF");

	if (perf && strstr(perf, "no_blas"))
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);

		if (library)
			return library;
	}
	genie_warn("no OpenBLAS here (package libopenblas0): matrix products will be slow");
	return NULL;
}

static void
load(void)
{
	void *library = open_library();
	void (*set_threads)(int threads);

	if (!library)
		return;
	blas.sgemm = (sgemm_fn)dlsym(library, "cblas_sgemm");
	blas.dgemm = (dgemm_fn)dlsym(library, "cblas_dgemm");
	blas.cgemm = (xgemm_fn)dlsym(library, "cblas_cgemm");
	blas.zgemm = (xgemm_fn)dlsym(library, "cblas_zgemm");
	if (!blas.sgemm || !blas.dgemm || !blas.cgemm || !blas.zgemm) {
		genie_warn("the OpenBLAS here has no cblas_?gemm: matrix products will be slow");
		dlclose(library);
		return;
	}
	set_threads = (void (*)(int))dlsym(library, "openblas_set_num_threads");
	if (set_threads)
		set_threads(ptx_threads());
	blas.found = true;
}

bool
genie_blas_found(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return blas.found;
}

void
genie_blas_sgemm(const struct genie_blas_gemm *g, float alpha, float beta)
{
	if (!genie_blas_found())
		plain_s_gemm(g, alpha, beta);
	else
		blas.sgemm(COLUMN_MAJOR, (int)g->op_a, (int)g->op_b, g->m, g->n, g->k, alpha, g->a,
			   g->lda, g->b, g->ldb, beta, g->c, g->ldc);
}

void
genie_blas_dgemm(const struct genie_blas_gemm *g, double alpha, double beta)
{
	if (!genie_blas_found())
		plain_d_gemm(g, alpha, beta);
	else
		blas.dgemm(COLUMN_MAJOR, (int)g->op_a, (int)g->op_b, g->m, g->n, g->k, alpha, g->a,
			   g->lda, g->b, g->ldb, beta, g->c, g->ldc);
}

void
genie_blas_cgemm(const struct genie_blas_gemm *g, float _Complex alpha, float _Complex beta)
{
	if (!genie_blas_found())
		plain_c_gemm(g, alpha, beta);
	else
		blas.cgemm(COLUMN_MAJOR, (int)g->op_a, (int)g->op_b, g->m, g->n, g->k, &alpha, g->a,
			   g->lda, g->b, g->ldb, &beta, g->c, g->ldc);
}

void
genie_blas_zgemm(const struct genie_blas_gemm *g, double _Complex alpha, double _Complex beta)
{
	if (!genie_blas_found())
		plain_z_gemm(g, alpha, beta);
	else
		blas.zgemm(COLUMN_MAJOR, (int)g->op_a, (int)g->op_b, g->m, g->n, g->k, &alpha, g->a,
			   g->lda, g->b, g->ldb, &beta, g->c, g->ldc);
}
