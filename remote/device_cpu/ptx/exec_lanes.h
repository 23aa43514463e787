/*
 * Shared by the files that execute instructions. Those files are compiled once per instruction
 * set; each exports one function that enters its handlers in a table.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_LANES_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "remote/device_cpu/ptx/exec.h"

#ifndef PTX_ISA
#define PTX_ISA base
#endif
#define PTX_JOIN2(a, b)    a##_##b
#define PTX_JOIN(a, b)     PTX_JOIN2(a, b)
#define PTX_ISA_NAME(name) PTX_JOIN(name, PTX_ISA)

/* A result may be one of the operands, lane by lane; lanes never overlap other lanes. */
#if defined(__clang__)
#define PTX_EACH_LANE                                                                              \
	_Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < PTX_LANES; l++)
#else
#define PTX_EACH_LANE _Pragma("GCC ivdep") for (int l = 0; l < PTX_LANES; l++)
#endif

/* The active lanes, one by one. */
#define PTX_EACH_ACTIVE(l, mask)                                                                   \
	for (uint32_t rest_ = (mask), l = 0; rest_ && (l = (uint32_t)__builtin_ctz(rest_), 1);     \
	     rest_ &= rest_ - 1)

#define PTX_HANDLER(name)                                                                          \
	static const struct ptx_insn *exec_##name(const struct ptx_insn *i, uint8_t *regs,         \
						  struct ptx_warp *w)

/* Where a register's lanes lie. */
#define PTX_REG(type, place) ((type *)(void *)(regs + (place)))
#define PTX_MASK(place)      (*PTX_REG(uint32_t, place))

/*
 * One flag per lane, 0 or all ones, as a mask. Flags are as wide as what was compared, up to the
 * width that the processor gathers bits from.
 */
#define PTX_FLAG(A)                                                                                \
	__typeof__(__builtin_choose_expr(                                                          \
		sizeof(A) == 4, (int32_t)0,                                                        \
		__builtin_choose_expr(sizeof(A) == 8, (int64_t)0, (int8_t)0)))

static inline uint32_t
ptx_mask_of(const void *flags, size_t size)
{
	uint32_t mask = 0;

#if defined(__AVX2__)
	const uint8_t *p = flags;

	if (size == 1)
		return (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *)flags));
	if (size == 4) {
		for (int k = 0; k < 4; k++)
			mask |= (uint32_t)_mm256_movemask_ps(
					_mm256_loadu_ps((const float *)(const void *)(p + 32 * k)))
				<< 8 * k;
		return mask;
	}
	for (int k = 0; k < 8; k++)
		mask |= (uint32_t)_mm256_movemask_pd(
				_mm256_loadu_pd((const double *)(const void *)(p + 32 * k)))
			<< 4 * k;
#else
	if (size == 1)
		for (int l = 0; l < PTX_LANES; l++)
			mask |= (uint32_t)(((const int8_t *)flags)[l] & 1) << l;
	else if (size == 4)
		for (int l = 0; l < PTX_LANES; l++)
			mask |= (uint32_t)(((const int32_t *)flags)[l] & 1) << l;
	else
		for (int l = 0; l < PTX_LANES; l++)
			mask |= (uint32_t)(((const int64_t *)flags)[l] & 1) << l;
#endif
	return mask;
}

#define UN(name, R, A, expr)                                                                       \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		R *d = PTX_REG(R, i->dst);                                                         \
		const A *pa = PTX_REG(const A, i->a);                                              \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			d[l] = (R)(expr);                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define BIN(name, R, A, B, expr)                                                                   \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		R *d = PTX_REG(R, i->dst);                                                         \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			d[l] = (R)(expr);                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define TER(name, R, A, B, C, expr)                                                                \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		R *d = PTX_REG(R, i->dst);                                                         \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		const C *pc = PTX_REG(const C, i->c);                                              \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			const C c = pc[l];                                                         \
			(void)b;                                                                   \
			d[l] = (R)(expr);                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define QUAD(name, R, A, B, C, D, expr)                                                            \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		R *result = PTX_REG(R, i->dst);                                                    \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		const C *pc = PTX_REG(const C, i->c);                                              \
		const D *pd = PTX_REG(const D, i->d);                                              \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			const C c = pc[l];                                                         \
			const D d = pd[l];                                                         \
			result[l] = (R)(expr);                                                     \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define SEL(name, R, A, B, expr)                                                                   \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		R *d = PTX_REG(R, i->dst);                                                         \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		const uint32_t mask = PTX_MASK(i->c);                                              \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			const uint32_t c = mask >> l & 1;                                          \
			d[l] = (R)(expr);                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define CMP1(name, A, expr)                                                                        \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const A *pa = PTX_REG(const A, i->a);                                              \
		PTX_FLAG(A) flags[PTX_LANES];                                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			flags[l] = (expr) ? -1 : 0;                                                \
		}                                                                                  \
		PTX_MASK(i->dst) = ptx_mask_of(flags, sizeof(*flags));                             \
		return i + 1;                                                                      \
	}
#define CMP2(name, A, B, expr)                                                                     \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		PTX_FLAG(A) flags[PTX_LANES];                                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			flags[l] = (expr) ? -1 : 0;                                                \
		}                                                                                  \
		PTX_MASK(i->dst) = ptx_mask_of(flags, sizeof(*flags));                             \
		return i + 1;                                                                      \
	}
#define CMPC(name, A, B, expr)                                                                     \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const A *pa = PTX_REG(const A, i->a);                                              \
		const B *pb = PTX_REG(const B, i->b);                                              \
		const uint32_t mask = PTX_MASK(i->c);                                              \
		PTX_FLAG(A) flags[PTX_LANES];                                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const A a = pa[l];                                                         \
			const B b = pb[l];                                                         \
			const uint32_t c = mask >> l & 1;                                          \
			flags[l] = (expr) ? -1 : 0;                                                \
		}                                                                                  \
		PTX_MASK(i->dst) = ptx_mask_of(flags, sizeof(*flags));                             \
		return i + 1;                                                                      \
	}
#define MASK1(name, expr)                                                                          \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const uint32_t a = PTX_MASK(i->a);                                                 \
		(void)w;                                                                           \
		PTX_MASK(i->dst) = (expr);                                                         \
		return i + 1;                                                                      \
	}
#define MASK2(name, expr)                                                                          \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const uint32_t a = PTX_MASK(i->a), b = PTX_MASK(i->b);                             \
		(void)w;                                                                           \
		PTX_MASK(i->dst) = (expr);                                                         \
		return i + 1;                                                                      \
	}
#define MASK3(name, expr)                                                                          \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const uint32_t a = PTX_MASK(i->a), b = PTX_MASK(i->b), c = PTX_MASK(i->c);         \
		(void)w;                                                                           \
		PTX_MASK(i->dst) = (expr);                                                         \
		return i + 1;                                                                      \
	}

#endif
