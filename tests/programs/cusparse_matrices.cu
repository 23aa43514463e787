/*
 * cuSPARSE against plain loops: products with vectors, dense and sparse matrices in three formats,
 * triangular systems, conversions.
 */
#include "program.h"

#include <cmath>
#include <cusparse.h>

#define SPARSE(call)                                                                               \
	do {                                                                                       \
		cusparseStatus_t status_ = (call);                                                 \
		if (status_ != CUSPARSE_STATUS_SUCCESS) {                                          \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                       \
			       cusparseGetErrorName(status_));                                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static cusparseHandle_t handle;
static const int rows = 90, columns = 70, width = 9;
static const auto same = CUSPARSE_OPERATION_NON_TRANSPOSE;
static const auto flipped = CUSPARSE_OPERATION_TRANSPOSE;

template <typename T>
static constexpr cudaDataType type_of = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_64F;

template <typename T> struct Csr {
	int rows, columns;
	std::vector<int> offsets, indices;
	std::vector<T> values;
	std::vector<double> dense; /* row-major */
	int *d_offsets, *d_indices;
	T *d_values;
	cusparseSpMatDescr_t handle;

	Csr(int m, int n, bool lower, uint64_t seed) : rows(m), columns(n), dense(m * n)
	{
		Random random = {seed};
		for (int i = 0; i < m; i++) {
			offsets.push_back((int)indices.size());
			for (int j = 0; j < n; j++) {
				bool there = random.below(8) == 0;
				if (lower && (j > i || (!there && j != i)))
					continue;
				if (!lower && !there)
					continue;
				T value = (T)((int)random.below(65) - 32) / 16;
				if (lower && i == j)
					value = 6;
				indices.push_back(j);
				values.push_back(value);
				dense[i * n + j] = value;
			}
		}
		offsets.push_back((int)indices.size());
		d_offsets = to_device(offsets);
		d_indices = to_device(indices);
		d_values = to_device(values);
		SPARSE(cusparseCreateCsr(&handle, m, n, (int64_t)values.size(), d_offsets,
					 d_indices, d_values, CUSPARSE_INDEX_32I,
					 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, type_of<T>));
	}
	~Csr()
	{
		SPARSE(cusparseDestroySpMat(handle));
		CUDA(cudaFree(d_offsets));
		CUDA(cudaFree(d_indices));
		CUDA(cudaFree(d_values));
	}
};

template <typename T>
static std::vector<T>
numbers(size_t count, uint64_t seed)
{
	Random random = {seed};
	std::vector<T> values(count);
	for (T &v : values)
		v = (T)((int)random.below(65) - 32) / 16;
	return values;
}

template <typename T>
static void
expect_all(const char *what, const T *device, const std::vector<double> &want)
{
	std::vector<T> got = to_host(device, want.size());
	double limit = sizeof(T) == 4 ? 1e-4 : 1e-11;
	for (size_t i = 0; i < want.size(); i++) {
		if (!(std::fabs(got[i] - want[i]) <= limit * (1 + std::fabs(want[i])))) {
			printf("%s: element %zu: got %g, expected %g\n", what, i, (double)got[i],
			       want[i]);
			exit(1);
		}
	}
	printf("%s\n", what);
}

static void *
workspace(size_t size)
{
	void *memory;
	CUDA(cudaMalloc(&memory, size + 1));
	return memory;
}

template <typename T>
static void
test()
{
	const cudaDataType type = type_of<T>;
	Csr<T> a(rows, columns, false, 1);
	const T alpha = (T)1.5, beta = (T)-0.5, one = 1, zero = 0;
	size_t size;
	void *buffer;
	printf("%d bits\n", (int)sizeof(T) * 8);

	for (cusparseOperation_t op : {same, flipped}) {
		int in = op == same ? columns : rows, out = op == same ? rows : columns;
		std::vector<T> x = numbers<T>(in, 2), y = numbers<T>(out, 3);
		std::vector<double> want(out);
		for (int i = 0; i < out; i++) {
			want[i] = beta * y[i];
			for (int j = 0; j < in; j++)
				want[i] += alpha *
					   (op == same ? a.dense[i * columns + j]
						       : a.dense[j * columns + i]) *
					   x[j];
		}
		T *dx = to_device(x), *dy = to_device(y);
		cusparseDnVecDescr_t vx, vy;
		SPARSE(cusparseCreateDnVec(&vx, in, dx, type));
		SPARSE(cusparseCreateDnVec(&vy, out, dy, type));
		SPARSE(cusparseSpMV_bufferSize(handle, op, &alpha, a.handle, vx, &beta, vy, type,
					       CUSPARSE_SPMV_ALG_DEFAULT, &size));
		buffer = workspace(size);
		SPARSE(cusparseSpMV(handle, op, &alpha, a.handle, vx, &beta, vy, type,
				    CUSPARSE_SPMV_ALG_DEFAULT, buffer));
		expect_all(op == same ? "SpMV" : "SpMV, transposed", dy, want);
		SPARSE(cusparseDestroyDnVec(vx));
		SPARSE(cusparseDestroyDnVec(vy));
		for (void *p : {(void *)dx, (void *)dy, buffer})
			CUDA(cudaFree(p));
	}
	{
		std::vector<T> b = numbers<T>(columns * width, 4), c = numbers<T>(rows * width, 5);
		std::vector<double> want(rows * width);
		for (int j = 0; j < width; j++) {
			for (int i = 0; i < rows; i++) {
				double sum = 0;
				for (int l = 0; l < columns; l++)
					sum += a.dense[i * columns + l] * b[j * columns + l];
				want[j * rows + i] = alpha * sum + beta * c[j * rows + i];
			}
		}
		T *db = to_device(b), *dc = to_device(c);
		cusparseDnMatDescr_t mb, mc;
		SPARSE(cusparseCreateDnMat(&mb, columns, width, columns, db, type,
					   CUSPARSE_ORDER_COL));
		SPARSE(cusparseCreateDnMat(&mc, rows, width, rows, dc, type, CUSPARSE_ORDER_COL));
		SPARSE(cusparseSpMM_bufferSize(handle, same, same, &alpha, a.handle, mb, &beta, mc,
					       type, CUSPARSE_SPMM_ALG_DEFAULT, &size));
		buffer = workspace(size);
		SPARSE(cusparseSpMM(handle, same, same, &alpha, a.handle, mb, &beta, mc, type,
				    CUSPARSE_SPMM_ALG_DEFAULT, buffer));
		expect_all("SpMM", dc, want);
		SPARSE(cusparseDestroyDnMat(mb));
		SPARSE(cusparseDestroyDnMat(mc));
		for (void *p : {(void *)db, (void *)dc, buffer})
			CUDA(cudaFree(p));
	}
	{
		Csr<T> t(rows, rows, true, 6);
		std::vector<T> x = numbers<T>(rows, 7);
		std::vector<double> solution(x.begin(), x.end());
		T *dx = to_device(x), *dy = to_device(x);
		for (int i = 0; i < rows; i++) {
			for (int j = 0; j < i; j++)
				solution[i] -= t.dense[i * rows + j] * solution[j];
			solution[i] /= t.dense[i * rows + i];
		}
		cusparseFillMode_t fill = CUSPARSE_FILL_MODE_LOWER;
		cusparseDiagType_t diagonal = CUSPARSE_DIAG_TYPE_NON_UNIT;
		SPARSE(cusparseSpMatSetAttribute(t.handle, CUSPARSE_SPMAT_FILL_MODE, &fill,
						 sizeof(fill)));
		SPARSE(cusparseSpMatSetAttribute(t.handle, CUSPARSE_SPMAT_DIAG_TYPE, &diagonal,
						 sizeof(diagonal)));
		cusparseDnVecDescr_t vx, vy;
		SPARSE(cusparseCreateDnVec(&vx, rows, dx, type));
		SPARSE(cusparseCreateDnVec(&vy, rows, dy, type));
		cusparseSpSVDescr_t state;
		SPARSE(cusparseSpSV_createDescr(&state));
		SPARSE(cusparseSpSV_bufferSize(handle, same, &one, t.handle, vx, vy, type,
					       CUSPARSE_SPSV_ALG_DEFAULT, state, &size));
		buffer = workspace(size);
		SPARSE(cusparseSpSV_analysis(handle, same, &one, t.handle, vx, vy, type,
					     CUSPARSE_SPSV_ALG_DEFAULT, state, buffer));
		SPARSE(cusparseSpSV_solve(handle, same, &one, t.handle, vx, vy, type,
					  CUSPARSE_SPSV_ALG_DEFAULT, state));
		expect_all("SpSV", dy, solution);
		SPARSE(cusparseSpSV_destroyDescr(state));
		SPARSE(cusparseDestroyDnVec(vx));
		SPARSE(cusparseDestroyDnVec(vy));
		for (void *p : {(void *)dx, (void *)dy, buffer})
			CUDA(cudaFree(p));
	}
	{
		/* to a dense matrix and back */
		T *dense = (T *)workspace(rows * columns * sizeof(T));
		cusparseDnMatDescr_t md;
		SPARSE(cusparseCreateDnMat(&md, rows, columns, columns, dense, type,
					   CUSPARSE_ORDER_ROW));
		SPARSE(cusparseSparseToDense_bufferSize(handle, a.handle, md,
							CUSPARSE_SPARSETODENSE_ALG_DEFAULT, &size));
		buffer = workspace(size);
		SPARSE(cusparseSparseToDense(handle, a.handle, md,
					     CUSPARSE_SPARSETODENSE_ALG_DEFAULT, buffer));
		expect_all("sparse to dense", dense, a.dense);
		CUDA(cudaFree(buffer));
		int *offsets = (int *)workspace((rows + 1) * sizeof(int));
		cusparseSpMatDescr_t back;
		SPARSE(cusparseCreateCsr(&back, rows, columns, 0, offsets, nullptr, nullptr,
					 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
					 CUSPARSE_INDEX_BASE_ZERO, type));
		SPARSE(cusparseDenseToSparse_bufferSize(handle, md, back,
							CUSPARSE_DENSETOSPARSE_ALG_DEFAULT, &size));
		buffer = workspace(size);
		SPARSE(cusparseDenseToSparse_analysis(handle, md, back,
						      CUSPARSE_DENSETOSPARSE_ALG_DEFAULT, buffer));
		int64_t m, n, nonzero;
		SPARSE(cusparseSpMatGetSize(back, &m, &n, &nonzero));
		size_t expected = 0;
		for (double v : a.dense)
			expected += v != 0;
		EXPECT(nonzero == (int64_t)expected);
		int *indices = (int *)workspace(nonzero * sizeof(int));
		T *values = (T *)workspace(nonzero * sizeof(T));
		SPARSE(cusparseCsrSetPointers(back, offsets, indices, values));
		SPARSE(cusparseDenseToSparse_convert(handle, md, back,
						     CUSPARSE_DENSETOSPARSE_ALG_DEFAULT, buffer));
		std::vector<double> kept;
		std::vector<int> places = to_host(indices, nonzero), where;
		for (int i = 0; i < rows * columns; i++) {
			if (a.dense[i] != 0) {
				kept.push_back(a.dense[i]);
				where.push_back(i % columns);
			}
		}
		EXPECT(places == where);
		expect_all("dense to sparse", values, kept);
		SPARSE(cusparseDestroySpMat(back));
		SPARSE(cusparseDestroyDnMat(md));
		for (void *p :
		     {(void *)dense, (void *)offsets, (void *)indices, (void *)values, buffer})
			CUDA(cudaFree(p));
	}
	{
		Csr<T> b(columns, rows, false, 8);
		std::vector<double> want(rows * rows);
		for (int i = 0; i < rows; i++)
			for (int j = 0; j < rows; j++)
				for (int l = 0; l < columns; l++)
					want[i * rows + j] +=
						a.dense[i * columns + l] * b.dense[l * rows + j];
		int *offsets = (int *)workspace((rows + 1) * sizeof(int));
		cusparseSpMatDescr_t c;
		cusparseSpGEMMDescr_t state;
		SPARSE(cusparseCreateCsr(&c, rows, rows, 0, nullptr, nullptr, nullptr,
					 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
					 CUSPARSE_INDEX_BASE_ZERO, type));
		SPARSE(cusparseSpGEMM_createDescr(&state));
		size_t size1 = 0, size2 = 0;
		SPARSE(cusparseSpGEMM_workEstimation(handle, same, same, &one, a.handle, b.handle,
						     &zero, c, type, CUSPARSE_SPGEMM_DEFAULT, state,
						     &size1, nullptr));
		void *buffer1 = workspace(size1);
		SPARSE(cusparseSpGEMM_workEstimation(handle, same, same, &one, a.handle, b.handle,
						     &zero, c, type, CUSPARSE_SPGEMM_DEFAULT, state,
						     &size1, buffer1));
		SPARSE(cusparseSpGEMM_compute(handle, same, same, &one, a.handle, b.handle, &zero,
					      c, type, CUSPARSE_SPGEMM_DEFAULT, state, &size2,
					      nullptr));
		void *buffer2 = workspace(size2);
		SPARSE(cusparseSpGEMM_compute(handle, same, same, &one, a.handle, b.handle, &zero,
					      c, type, CUSPARSE_SPGEMM_DEFAULT, state, &size2,
					      buffer2));
		int64_t m, n, nonzero;
		SPARSE(cusparseSpMatGetSize(c, &m, &n, &nonzero));
		int *indices = (int *)workspace(nonzero * sizeof(int));
		T *values = (T *)workspace(nonzero * sizeof(T));
		SPARSE(cusparseCsrSetPointers(c, offsets, indices, values));
		SPARSE(cusparseSpGEMM_copy(handle, same, same, &one, a.handle, b.handle, &zero, c,
					   type, CUSPARSE_SPGEMM_DEFAULT, state));
		std::vector<int> from = to_host(offsets, rows + 1),
				 places = to_host(indices, nonzero);
		std::vector<T> got = to_host(values, nonzero);
		std::vector<double> dense(rows * rows);
		for (int i = 0; i < rows; i++)
			for (int k = from[i]; k < from[i + 1]; k++)
				dense[i * rows + places[k]] += got[k];
		for (int i = 0; i < rows * rows; i++)
			EXPECT(std::fabs(dense[i] - want[i]) <= 1e-4 * (1 + std::fabs(want[i])));
		printf("SpGEMM\n");
		SPARSE(cusparseSpGEMM_destroyDescr(state));
		SPARSE(cusparseDestroySpMat(c));
		for (void *p : {(void *)offsets, (void *)indices, (void *)values, buffer1, buffer2})
			CUDA(cudaFree(p));
	}
}

int
main()
{
	SPARSE(cusparseCreate(&handle));
	test<float>();
	test<double>();
	SPARSE(cusparseDestroy(handle));
	return ok();
}
