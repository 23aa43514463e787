/* What the tests of the CPU device share: an open device, its table, and a few kernels. */
#ifndef GENIE_TESTS_CPU_FIXTURE_H
#define GENIE_TESTS_CPU_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device.h"

static struct genie_backend backend;
static const struct genie_driver *drv = &backend.drv;
static CUcontext ctx;

/* The status is the expected one; says which, if not. */
#define ok(call)            cr_assert_eq((call), CUDA_SUCCESS, "%s", #call)
#define fails(status, call) cr_assert_eq((int)(call), (int)(status), "%s is not %s", #call, #status)

/* Kernels: everything a test needs to see that work was done, and in which order. */
static const char kernels_ptx[] =
	".version 8.0\n"
	".target sm_80\n"
	".address_size 64\n"
	".visible .global .align 4 .b8 counter[4];\n"
	/* a[i] += value for i < n */
	".visible .entry add(.param .u64 a, .param .u32 value, .param .u32 n)\n"
	"{\n"
	"	.reg .pred %p;\n"
	"	.reg .b32 %r<8>;\n"
	"	.reg .b64 %rd<4>;\n"
	"	ld.param.u64 %rd1, [a];\n"
	"	ld.param.u32 %r1, [value];\n"
	"	ld.param.u32 %r2, [n];\n"
	"	mov.u32 %r3, %ctaid.x;\n"
	"	mov.u32 %r4, %ntid.x;\n"
	"	mov.u32 %r5, %tid.x;\n"
	"	mad.lo.s32 %r6, %r3, %r4, %r5;\n"
	"	setp.ge.u32 %p, %r6, %r2;\n"
	"	@%p bra done;\n"
	"	mul.wide.u32 %rd2, %r6, 4;\n"
	"	add.s64 %rd3, %rd1, %rd2;\n"
	"	ld.global.u32 %r7, [%rd3];\n"
	"	add.u32 %r7, %r7, %r1;\n"
	"	st.global.u32 [%rd3], %r7;\n"
	"done:\n"
	"	ret;\n"
	"}\n"
	/* *a = 2 * *a + value: the order of two of them can be told */
	".visible .entry mix(.param .u64 a, .param .u32 value)\n"
	"{\n"
	"	.reg .b32 %r<4>;\n"
	"	.reg .b64 %rd<2>;\n"
	"	ld.param.u64 %rd1, [a];\n"
	"	ld.param.u32 %r1, [value];\n"
	"	ld.global.u32 %r2, [%rd1];\n"
	"	mad.lo.s32 %r3, %r2, 2, %r1;\n"
	"	st.global.u32 [%rd1], %r3;\n"
	"	ret;\n"
	"}\n"
	".visible .entry fault(.param .u64 a)\n"
	"{\n"
	"	.reg .b32 %r<2>;\n"
	"	.reg .b64 %rd<2>;\n"
	"	ld.param.u64 %rd1, [a];\n"
	"	mov.u32 %r1, 1;\n"
	"	st.global.u32 [%rd1], %r1;\n"
	"	ret;\n"
	"}\n"
	".visible .entry nothing() { ret; }\n"
	".visible .entry small() .maxntid 64, 1, 1 { ret; }\n"
	".visible .entry shared(.param .u64 a)\n"
	"{\n"
	"	.shared .align 4 .b8 room[400];\n"
	"	.reg .b32 %r<3>;\n"
	"	.reg .b64 %rd<2>;\n"
	"	ld.param.u64 %rd1, [a];\n"
	"	mov.u32 %r1, 5;\n"
	"	st.shared.u32 [room+396], %r1;\n"
	"	ld.shared.u32 %r2, [room+396];\n"
	"	st.global.u32 [%rd1], %r2;\n"
	"	ret;\n"
	"}\n";

static CUmodule module;

static void
open_device(void)
{
	char err[256];

	setenv("GENIE_CPU_MEMORY", "512M", 1);
	cr_assert_eq(genie_backend_cpu_open(&backend, err, sizeof(err)), 0, "%s", err);
	ok(drv->cuInit(0));
	ok(drv->cuDevicePrimaryCtxRetain(&ctx, 0));
	ok(drv->cuCtxSetCurrent(ctx));
	ok(drv->cuModuleLoadData(&module, kernels_ptx));
}

static void
close_device(void)
{
	backend.close(&backend);
}

static __attribute__((unused)) CUfunction
function(const char *name)
{
	CUfunction fn;

	ok(drv->cuModuleGetFunction(&fn, module, name));
	return fn;
}

/* Device memory, @size bytes of 0. */
static __attribute__((unused)) CUdeviceptr
device_memory(size_t size)
{
	CUdeviceptr ptr;

	ok(drv->cuMemAlloc_v2(&ptr, size));
	ok(drv->cuMemsetD8_v2(ptr, 0, size));
	return ptr;
}

static __attribute__((unused)) CUresult
launch(const char *name, CUstream stream, CUdeviceptr a, unsigned int value)
{
	unsigned int n = 1;
	void *params[] = {&a, &value, &n};

	return drv->cuLaunchKernel(function(name), 1, 1, 1, 1, 1, 1, 0, stream, params, NULL);
}

static __attribute__((unused)) uint32_t
read_u32(CUdeviceptr addr)
{
	uint32_t value;

	ok(drv->cuMemcpyDtoH_v2(&value, addr, sizeof(value)));
	return value;
}

#endif
