/* The CPU device's graphs that kernels launch: what they may ask for, and what they are told. */
#include "cpu_fixture.h"

TestSuite(device_cpu_launchable, .init = open_device, .fini = close_device, .timeout = 60);

enum {
	ERROR_INVALID_VALUE = 1,
	ERROR_PENDING_COUNT = 69,
	ERROR_NOT_PERMITTED = 800,
	TAIL = 1,
	FORGET = 2,
	SIBLING = 3,
	TIMES_MAX = 300,
};

/* launch(exec, stream, errors, times): error k of as many launches goes to errors[k]. */
static const char ptx[] =
	".version 8.0\n.target sm_80\n.address_size 64\n"
	".extern .func (.param .b32 ret) cudaGraphLaunch(.param .b64 exec, .param .b64 stream);\n"
	".visible .entry launch(.param .u64 exec, .param .u64 stream, .param .u64 errors,"
	" .param .u32 times)\n"
	"{\n"
	"	.reg .b32 %r<4>;\n"
	"	.reg .b64 %rd<4>;\n"
	"	.reg .pred %p;\n"
	"	ld.param.u64 %rd0, [exec];\n"
	"	ld.param.u64 %rd1, [stream];\n"
	"	shl.b64 %rd1, %rd1, 56;\n"
	"	ld.param.u64 %rd2, [errors];\n"
	"	ld.param.u32 %r0, [times];\n"
	"again:\n"
	"	{\n"
	"	.param .b64 p0; .param .b64 p1; .param .b32 r;\n"
	"	st.param.b64 [p0], %rd0;\n"
	"	st.param.b64 [p1], %rd1;\n"
	"	call (r), cudaGraphLaunch, (p0, p1);\n"
	"	ld.param.b32 %r1, [r];\n"
	"	}\n"
	"	st.global.u32 [%rd2], %r1;\n"
	"	add.u64 %rd2, %rd2, 4;\n"
	"	sub.u32 %r0, %r0, 1;\n"
	"	setp.ne.u32 %p, %r0, 0;\n"
	"	@%p bra again;\n"
	"	ret;\n"
	"}\n";

static CUfunction
launcher(void)
{
	CUfunction function;
	CUmodule module;

	ok(drv->cuModuleLoadData(&module, ptx));
	ok(drv->cuModuleGetFunction(&function, module, "launch"));
	return function;
}

static CUgraph
graph_of(CUfunction kernel, void **params)
{
	CUDA_KERNEL_NODE_PARAMS node_params = {
		.func = kernel,
		.gridDimX = 1,
		.gridDimY = 1,
		.gridDimZ = 1,
		.blockDimX = 1,
		.blockDimY = 1,
		.blockDimZ = 1,
		.kernelParams = params,
	};
	CUgraphNode node;
	CUgraph graph;

	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &node_params));
	return graph;
}

/* One that does *a = 2 * *a + value. */
static CUgraphExec
mixing(CUdeviceptr a, uint32_t value, bool upload)
{
	void *params[] = {&a, &value};
	CUgraph graph = graph_of(function("mix"), params);
	CUgraphExec exec;

	ok(drv->cuGraphInstantiateWithFlags(&exec, graph,
					    CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH));
	ok(drv->cuGraphDestroy(graph));
	if (upload)
		ok(drv->cuGraphUpload(exec, NULL));
	return exec;
}

/* A kernel in a graph that launches @exec, as often; error k of it in @ret_errors[k]. */
static void
launch_from_kernel(uint64_t exec, uint64_t stream, uint32_t times, uint32_t *ret_errors)
{
	CUdeviceptr errors = device_memory(4 * TIMES_MAX);
	void *params[] = {&exec, &stream, &errors, &times};
	CUgraph graph = graph_of(launcher(), params);
	CUgraphExec host;

	ok(drv->cuGraphInstantiateWithFlags(&host, graph, 0));
	ok(drv->cuGraphLaunch(host, NULL));
	ok(drv->cuCtxSynchronize());
	for (uint32_t i = 0; i < times; i++)
		ret_errors[i] = read_u32(errors + 4 * i);
	ok(drv->cuGraphExecDestroy(host));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuMemFree_v2(errors));
}

Test(device_cpu_launchable, handles_are_checked)
{
	CUdeviceptr a = device_memory(4);
	CUgraphExec exec = mixing(a, 1, false), plain;
	uint64_t handle = (uint64_t)(uintptr_t)exec;
	uint32_t value = 3, error;
	void *params[] = {&a, &value};

	for (uint64_t bad = 0; bad < 3; bad++) {
		launch_from_kernel(bad == 2 ? handle + 1 : bad, TAIL, 1, &error);
		cr_assert_eq(error, ERROR_INVALID_VALUE);
	}
	/* not uploaded */
	launch_from_kernel(handle, FORGET, 1, &error);
	cr_assert_eq(error, ERROR_INVALID_VALUE);
	/* one that only the host may launch */
	ok(drv->cuGraphInstantiateWithFlags(&plain, graph_of(function("mix"), params), 0));
	ok(drv->cuGraphUpload(plain, NULL));
	launch_from_kernel((uint64_t)(uintptr_t)plain, FORGET, 1, &error);
	cr_assert_eq(error, ERROR_INVALID_VALUE);
	ok(drv->cuGraphUpload(exec, NULL));
	/* no stream of the device's */
	for (uint64_t stream = 0; stream < 6; stream++) {
		if (stream >= TAIL && stream <= SIBLING)
			continue;
		launch_from_kernel(handle, stream, 1, &error);
		cr_assert_eq(error, ERROR_INVALID_VALUE);
	}
	cr_assert_eq(read_u32(a), 0);
	for (uint64_t stream = TAIL; stream <= SIBLING; stream++) {
		launch_from_kernel(handle, stream, 1, &error);
		cr_assert_eq(error, 0);
	}
	cr_assert_eq(read_u32(a), 7); /* 1, 3, 7 */
	ok(drv->cuGraphExecDestroy(exec));
	launch_from_kernel(handle, FORGET, 1, &error);
	cr_assert_eq(error, ERROR_INVALID_VALUE);
	cr_assert_eq(read_u32(a), 7);
}

/* A graph runs once at a time: what is queued already is refused. */
Test(device_cpu_launchable, one_at_a_time)
{
	CUdeviceptr a = device_memory(4);
	uint64_t exec = (uint64_t)(uintptr_t)mixing(a, 1, true);
	uint32_t errors[3];

	for (uint64_t stream = TAIL; stream <= SIBLING; stream++) {
		launch_from_kernel(exec, stream, 3, errors);
		cr_assert_eq(errors[0], 0);
		cr_assert_eq(errors[1], ERROR_INVALID_VALUE);
		cr_assert_eq(errors[2], ERROR_INVALID_VALUE);
	}
	cr_assert_eq(read_u32(a), 7);
}

/* Outside of graphs there is nothing that a launch could belong to. */
Test(device_cpu_launchable, not_by_a_plain_kernel)
{
	CUdeviceptr a = device_memory(4), errors = device_memory(4);
	uint64_t exec = (uint64_t)(uintptr_t)mixing(a, 1, true), stream = TAIL;
	uint32_t times = 1;
	void *params[] = {&exec, &stream, &errors, &times};

	ok(drv->cuLaunchKernel(launcher(), 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(read_u32(errors), ERROR_NOT_PERMITTED);
	cr_assert_eq(read_u32(a), 0);
}

/* Many graphs: the guide's limits, and all that was accepted runs. */
Test(device_cpu_launchable, limits)
{
	enum { GRAPHS = 260 };
	CUdeviceptr a = device_memory(4), errors = device_memory(4 * GRAPHS);
	CUgraphExec execs[GRAPHS], host;
	CUfunction launch = launcher();
	uint32_t one = 1;

	for (int i = 0; i < GRAPHS; i++)
		execs[i] = mixing(a, 1, true);
	for (uint64_t stream = TAIL; stream <= FORGET; stream++) {
		uint32_t most = stream == TAIL ? 255 : 120, accepted = 0;
		CUgraphNode node = NULL;
		CUgraph graph;

		ok(drv->cuMemsetD32_v2(a, 0, 1));
		ok(drv->cuGraphCreate(&graph, 0));
		for (int i = 0; i < GRAPHS; i++) {
			uint64_t exec = (uint64_t)(uintptr_t)execs[i];
			CUdeviceptr error = errors + 4 * (CUdeviceptr)i;
			void *params[] = {&exec, &stream, &error, &one};
			CUDA_KERNEL_NODE_PARAMS kernel = {
				.func = launch,
				.gridDimX = 1,
				.gridDimY = 1,
				.gridDimZ = 1,
				.blockDimX = 1,
				.blockDimY = 1,
				.blockDimZ = 1,
				.kernelParams = params,
			};

			ok(drv->cuGraphAddKernelNode_v2(&node, graph, node ? &node : NULL,
							node != NULL, &kernel));
		}
		ok(drv->cuGraphInstantiateWithFlags(&host, graph, 0));
		ok(drv->cuGraphLaunch(host, NULL));
		ok(drv->cuCtxSynchronize());
		for (int i = 0; i < GRAPHS; i++) {
			uint32_t error = read_u32(errors + 4 * (CUdeviceptr)i);

			cr_assert(error == 0 || error == ERROR_PENDING_COUNT);
			accepted += error == 0;
		}
		cr_assert_eq(accepted, most);
		/* a is 2^n - 1 after n of them: all bits are set after 32 */
		cr_assert_eq(read_u32(a), 0xffffffff);
		ok(drv->cuGraphExecDestroy(host));
		ok(drv->cuGraphDestroy(graph));
	}
}

/* Only kernels, copies, sets, and graphs of such. */
Test(device_cpu_launchable, nodes_are_checked)
{
	CUDA_GRAPH_INSTANTIATE_PARAMS params = {.flags = CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH};
	CUgraph graph, outer;
	CUgraphExec exec;
	CUgraphNode node;

	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphCreate(&outer, 0));
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuGraphInstantiateWithParams(&exec, graph, &params));
	ok(drv->cuGraphAddEmptyNode(&node, graph, NULL, 0));
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuGraphInstantiateWithParams(&exec, graph, &params));
	cr_assert_eq(params.result_out, CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED);
	ok(drv->cuGraphAddChildGraphNode(&node, outer, NULL, 0, graph));
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuGraphInstantiateWithParams(&exec, outer, &params));
}

/* What was launched does not run when something before it fails. */
Test(device_cpu_launchable, a_fault_ends_it)
{
	CUdeviceptr a = device_memory(4), bad = 8, errors = device_memory(4);
	uint64_t exec = (uint64_t)(uintptr_t)mixing(a, 1, true), stream = TAIL;
	void *fault_params[] = {&bad};
	uint32_t times = 1;
	void *params[] = {&exec, &stream, &errors, &times};
	CUgraph graph = graph_of(launcher(), params);
	CUDA_KERNEL_NODE_PARAMS fault = {
		.func = function("fault"),
		.gridDimX = 1,
		.gridDimY = 1,
		.gridDimZ = 1,
		.blockDimX = 1,
		.blockDimY = 1,
		.blockDimZ = 1,
		.kernelParams = fault_params,
	};
	CUgraphNode first, node;
	size_t count = 1;
	CUgraphExec host;

	ok(drv->cuGraphGetNodes(graph, &first, &count));
	ok(drv->cuGraphAddKernelNode_v2(&node, graph, &first, 1, &fault));
	ok(drv->cuGraphInstantiateWithFlags(&host, graph, 0));
	(void)drv->cuGraphLaunch(host, NULL); /* may say it already */
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuCtxSynchronize());
	cr_assert_eq(*(const volatile uint32_t *)(uintptr_t)errors, 0);
	cr_assert_eq(*(const volatile uint32_t *)(uintptr_t)a, 0);
}
