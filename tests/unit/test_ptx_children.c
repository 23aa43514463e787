/* Kernels that launch kernels where the runtime's library is linked in as PTX: what it expects of
 * the driver. The texts are calls as that library makes them, in both of its generations. */
#include "test_ptx.h"

#define DECLARE(prefix)                                                                            \
	".extern .func (.param .b64 back) " prefix "GetParameterBufferV2 (.param .b64 kernel, "    \
	".param .align 4 .b8 grid[12], .param .align 4 .b8 block[12], .param .b32 shared);\n"      \
	".extern .func (.param .b32 back) " prefix                                                 \
	"LaunchDeviceV2 (.param .b64 buffer, .param .b64 stream);\n"                               \
	".extern .func (.param .b32 back) " prefix "GetLastError ();\n"                            \
	".extern .func (.param .b32 back) " prefix "SetLastError (.param .b32 error);\n"           \
	".extern .func (.param .b32 back) " prefix                                                 \
	"StreamCreate (.param .b64 stream, .param .b32 flags);\n"                                  \
	".extern .func (.param .b32 back) " prefix "StreamDestroy (.param .b64 stream);\n"

/* leaf(out, value): out[thread] = out[thread] * 10 + value, so that the order shows. */
#define LEAF                                                                                       \
	".visible .entry leaf(.param .u64 out, .param .u32 value)\n{\n"                            \
	"	.reg .b32 %r<4>;\n	.reg .b64 %rd<3>;\n"                                                  \
	"	ld.param.u64 %rd1, [out];\n	ld.param.u32 %r1, [value];\n"                                \
	"	mov.u32 %r2, %tid.x;\n	mul.wide.u32 %rd2, %r2, 4;\n"                                     \
	"	add.u64 %rd1, %rd1, %rd2;\n	ld.global.u32 %r3, [%rd1];\n"                                \
	"	mad.lo.u32 %r3, %r3, 10, %r1;\n	st.global.u32 [%rd1], %r3;\n	ret;\n}\n"

/* launch(out, value, threads, stream): the error */
#define LAUNCH(prefix)                                                                             \
	".func (.param .b32 back) launch (.param .b64 out, .param .b32 value, "                    \
	".param .b32 threads, .param .b64 stream)\n{\n"                                            \
	"	.reg .b32 %r<5>;\n	.reg .b64 %rd<5>;\n"                                                  \
	"	ld.param.u64 %rd1, [out];\n	ld.param.u32 %r1, [value];\n"                                \
	"	ld.param.u32 %r2, [threads];\n	ld.param.u64 %rd2, [stream];\n"                           \
	"	mov.u64 %rd3, leaf;\n	{\n"                                                               \
	"	.param .b64 a;\n	.param .align 4 .b8 b[12];\n"                                           \
	"	.param .align 4 .b8 c[12];\n	.param .b32 d;\n	.param .b64 e;\n"                          \
	"	st.param.b64 [a], %rd3;\n	st.param.b32 [b], 1;\n"                                        \
	"	st.param.b32 [b+4], 1;\n	st.param.b32 [b+8], 1;\n"                                       \
	"	st.param.b32 [c], %r2;\n	st.param.b32 [c+4], 1;\n"                                       \
	"	st.param.b32 [c+8], 1;\n	st.param.b32 [d], 0;\n"                                         \
	"	call.uni (e), " prefix "GetParameterBufferV2, (a, b, c, d);\n"                     \
	"	ld.param.b64 %rd4, [e];\n	}\n"                                                           \
	"	st.u64 [%rd4], %rd1;\n	st.u32 [%rd4+8], %r1;\n	{\n"                                      \
	"	.param .b64 a;\n	.param .b64 b;\n	.param .b32 c;\n"                                      \
	"	st.param.b64 [a], %rd4;\n	st.param.b64 [b], %rd2;\n"                                     \
	"	call.uni (c), " prefix "LaunchDeviceV2, (a, b);\n"                                 \
	"	ld.param.b32 %r3, [c];\n	}\n"                                                            \
	"	st.param.b32 [back], %r3;\n	ret;\n}\n"

/* One call of launch(), its result to out[@at]. */
#define CALL(at, value, threads, stream)                                                           \
	"	{\n	.param .b64 a;\n	.param .b32 b;\n	.param .b32 c;\n"                                  \
	"	.param .b64 d;\n	.param .b32 e;\n"                                                       \
	"	st.param.b64 [a], %rd1;\n	st.param.b32 [b], " value ";\n"                    \
	"	st.param.b32 [c], " threads ";\n	st.param.b64 [d], " stream ";\n"           \
	"	call.uni (e), launch, (a, b, c, d);\n	ld.param.b32 %r1, [e];\n	}\n"                      \
	"	st.global.u32 [%rd1+" at "], %r1;\n"

/* A tail launch (stream 3), one in a stream made here, one of no threads, and one of nothing. */
#define PARENT(prefix)                                                                             \
	".visible .entry parent(.param .u64 out)\n{\n"                                             \
	"	.local .align 8 .b8 handle[8];\n"                                                        \
	"	.reg .b32 %r<5>;\n	.reg .b64 %rd<5>;\n"                                                  \
	"	ld.param.u64 %rd1, [out];\n	mov.u64 %rd2, handle;\n"                                     \
	"	cvta.local.u64 %rd2, %rd2;\n	{\n"                                                        \
	"	.param .b64 a;\n	.param .b32 b;\n	.param .b32 c;\n"                                      \
	"	st.param.b64 [a], %rd2;\n	st.param.b32 [b], 1;\n"                                        \
	"	call.uni (c), " prefix                                                             \
	"StreamCreate, (a, b);\n	ld.param.b32 %r1, [c];\n	}\n"                                     \
	"	st.global.u32 [%rd1+128], %r1;\n	ld.u64 %rd3, [%rd2];\n" CALL(              \
		"132", "1", "32", "3") CALL("136", "2", "32", "%rd3")                              \
		CALL("140", "3", "0",                                                              \
		     "0") "	{\n	.param .b64 a;\n	.param .b64 b;\n	.param "                         \
			  ".b32 c;\n"                                                              \
			  "	st.param.b64 [a], 4096;\n	st.param.b64 [b], 0;\n"                      \
			  "	call.uni (c), " prefix                                             \
			  "LaunchDeviceV2, (a, b);\n	ld.param.b32 %r1, [c];\n"                     \
			  "	}\n	st.global.u32 [%rd1+144], %r1;\n"                                  \
			  "	{\n	.param .b32 a;\n	.param .b32 c;\n	"                                \
			  "st.param.b32 [a], 65;\n"                                                \
			  "	call.uni (c), " prefix                                             \
			  "SetLastError, (a);\n	ld.param.b32 %r1, [c];\n	}\n"                      \
			  "	st.global.u32 [%rd1+148], %r1;\n"                                      \
			  "	{\n	.param .b64 a;\n	.param .b32 c;\n	"                                \
			  "st.param.b64 [a], %rd3;\n"                                              \
			  "	call.uni (c), " prefix                                             \
			  "StreamDestroy, (a);\n	ld.param.b32 %r1, [c];\n	}\n"                     \
			  "	st.global.u32 [%rd1+152], %r1;\n	ret;\n}\n"

#define TEXT(prefix)                                                                               \
	".version 8.0\n.target sm_80\n.address_size 64\n" DECLARE(prefix) LEAF LAUNCH(prefix)      \
		PARENT(prefix)

static void
check(const char *text)
{
	/* results: made, launched, launched, invalid configuration, invalid value, passed on,
	 * destroyed; the two in the middle are the driver's numbers */
	static const uint32_t results[] = {0, 0, 0, 7, 1, 65, 0};
	struct ptx_module *module = load_text(text);
	uint32_t out[48] = {0};
	struct {
		uint32_t *out;
	} p = {out};

	memset(out + 32, 0xff, 64);
	RUN(module, "parent", 1, 1, PARAMS(p));
	for (int i = 0; i < 32; i++)
		cr_assert_eq(out[i], 21, "%d: %u", i, out[i]);
	for (int i = 0; i < 7; i++)
		cr_assert_eq(out[32 + i], results[i], "%d: %u", i, out[32 + i]);
	ptx_module_unload(module);
}

Test(ptx_children, of_the_first_generation)
{
	check(TEXT("cnp"));
}

Test(ptx_children, of_the_second)
{
	check(TEXT("__cuda_syscall_cnpv2"));
}
