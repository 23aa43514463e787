/* The table of handlers, for the best instruction set that the processor has. */
#include "remote/device_cpu/ptx/code.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(isa)                                                                               \
	void ptx_exec_int_##isa(ptx_exec_fn *table);                                               \
	void ptx_exec_float_##isa(ptx_exec_fn *table);                                             \
	void ptx_exec_half_##isa(ptx_exec_fn *table);                                              \
	void ptx_exec_memory_##isa(ptx_exec_fn *table);                                            \
	void ptx_exec_atomic_##isa(ptx_exec_fn *table);                                            \
	void ptx_exec_warp_##isa(ptx_exec_fn *table);                                              \
	void ptx_exec_flow_##isa(ptx_exec_fn *table);                                              \
	void ptx_exec_matrix_##isa(ptx_exec_fn *table);                                            \
	void ptx_exec_wmma_##isa(ptx_exec_fn *table);                                              \
	void ptx_exec_sync_##isa(ptx_exec_fn *table);                                              \
	void ptx_exec_video_##isa(ptx_exec_fn *table);                                             \
	void ptx_exec_image_##isa(ptx_exec_fn *table);
DECLARE(base)
void ptx_exec_check_base(ptx_exec_fn *table);
#ifdef PTX_HAVE_V3
DECLARE(v3)
#endif

/* A cache, filled once per process. */
ptx_exec_fn ptx_handler_table[PTX_H_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
fill(void)
{
	void (*const base[])(ptx_exec_fn * table) = {
		ptx_exec_int_base,    ptx_exec_float_base,  ptx_exec_half_base,
		ptx_exec_memory_base, ptx_exec_atomic_base, ptx_exec_warp_base,
		ptx_exec_flow_base,   ptx_exec_matrix_base, ptx_exec_sync_base,
		ptx_exec_video_base,  ptx_exec_image_base,  ptx_exec_wmma_base,
		ptx_exec_check_base,
	};

	for (size_t i = 0; i < sizeof(base) / sizeof(*base); i++)
		base[i](ptx_handler_table);
#ifdef PTX_HAVE_V3
	void (*const v3[])(ptx_exec_fn * table) = {
		ptx_exec_int_v3,    ptx_exec_float_v3, ptx_exec_half_v3,  ptx_exec_memory_v3,
		ptx_exec_atomic_v3, ptx_exec_warp_v3,  ptx_exec_flow_v3,  ptx_exec_matrix_v3,
		ptx_exec_sync_v3,   ptx_exec_video_v3, ptx_exec_image_v3, ptx_exec_wmma_v3,
	};
	const char *perf = getenv("GENIE_PERF");

	if (perf && strstr(perf, "no_avx2"))
		return;
	/* Every processor with these has the rest of x86-64-v3 too. */
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
	    !__builtin_cpu_supports("bmi2"))
		return;
	for (size_t i = 0; i < sizeof(v3) / sizeof(*v3); i++)
		v3[i](ptx_handler_table);
#endif
}

const ptx_exec_fn *
ptx_handlers(void)
{
	pthread_once(&once, fill);
	return ptx_handler_table;
}

/* What instructions read and write, for checks when they are emitted. */
#define NO 0xff /* no such operand */
#define M  0    /* a predicate */

static const struct {
	const char *name;
	int8_t result; /* bytes of a lane; 0: a predicate; -1: not pure */
	uint8_t operands[4];
} infos[PTX_H_COUNT] = {
#define E(name)                      [PTX_H_##name]
#define S(type)                      sizeof(type)
#define UN(name, r, a, e)            E(name) = {#name, S(r), {S(a), NO, NO, NO}},
#define BIN(name, r, a, b, e)        E(name) = {#name, S(r), {S(a), S(b), NO, NO}},
#define TER(name, r, a, b, c, e)     E(name) = {#name, S(r), {S(a), S(b), S(c), NO}},
#define QUAD(name, r, a, b, c, d, e) E(name) = {#name, S(r), {S(a), S(b), S(c), S(d)}},
#define SEL(name, r, a, b, e)        E(name) = {#name, S(r), {S(a), S(b), M, NO}},
#define CMP1(name, a, e)             E(name) = {#name, M, {S(a), NO, NO, NO}},
#define CMP2(name, a, b, e)          E(name) = {#name, M, {S(a), S(b), NO, NO}},
#define CMPC(name, a, b, e)          E(name) = {#name, M, {S(a), S(b), M, NO}},
#define MASK1(name, e)               E(name) = {#name, M, {M, NO, NO, NO}},
#define MASK2(name, e)               E(name) = {#name, M, {M, M, NO, NO}},
#define MASK3(name, e)               E(name) = {#name, M, {M, M, M, NO}},
#define Z(name, r, a, b, c)                                                                        \
	E(name##_f32) = {#name ".f32", r, {a, b, c, NO}},                                          \
	E(name##_f32z) = {#name ".ftz.f32", r, {a, b, c, NO}},
#define UN_Z(name, e)   Z(name, 4, 4, NO, NO)
#define BIN_Z(name, e)  Z(name, 4, 4, 4, NO)
#define TER_Z(name, e)  Z(name, 4, 4, 4, 4)
#define CMP2_Z(name, e) Z(name, M, 4, 4, NO)
#define HALVES(name, n)                                                                            \
	E(name##_f16) = {#name ".f16", 2, {2, n > 1 ? 2 : NO, n > 2 ? 2 : NO, NO}},                \
	E(name##_f16x2) = {#name ".f16x2", 4, {4, n > 1 ? 4 : NO, n > 2 ? 4 : NO, NO}},            \
	E(name##_bf16) = {#name ".bf16", 2, {2, n > 1 ? 2 : NO, n > 2 ? 2 : NO, NO}},              \
	E(name##_bf16x2) = {#name ".bf16x2", 4, {4, n > 1 ? 4 : NO, n > 2 ? 4 : NO, NO}},
#define HUN(name, e)      HALVES(name, 1)
#define HBIN(name, e)     HALVES(name, 2)
#define HTER_D(name, e)   HALVES(name, 3)
#define PURE(name, bytes) E(name) = {#name, bytes, {NO, NO, NO, NO}},
#define ACT(name)         E(name) = {#name, -1, {NO, NO, NO, NO}},
#include "remote/device_cpu/ptx/handlers.def"
};

int
ptx_handler_result(enum ptx_handler handler)
{
	return handler == PTX_H_NONE ? -1 : infos[handler].result;
}

int
ptx_handler_operand(enum ptx_handler handler, int operand)
{
	return infos[handler].operands[operand] == NO ? -1 : infos[handler].operands[operand];
}

const char *
ptx_handler_name(enum ptx_handler handler)
{
	return infos[handler].name ? infos[handler].name : "none";
}
