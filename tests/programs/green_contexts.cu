/*
 * Green contexts: the multiprocessors of the device in two parts, kernels in each, what the parts
 * share (memory, modules, events) and what they do not (multiprocessors, streams). How many there
 * are of each is asked for, so that the program says the same of every device.
 */
#include "driver.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

constexpr int BLOCKS = 2048;

/* Where each block ran. */
__global__ void
where(int *sms, int rounds)
{
	unsigned sm;
	asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
	float x = (float)threadIdx.x;
	for (int i = 0; i < rounds; i++)
		x = x * 0.5f + 1;
	if (threadIdx.x == 0)
		sms[blockIdx.x] = (int)sm + (x < 0);
}

__global__ void
add(int *values, int n, int value)
{
	for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < n;
	     i += (int)(gridDim.x * blockDim.x))
		values[i] += value;
}

/* Takes its time before it writes. */
__global__ void
slow(int *done, int value)
{
	unsigned x = (unsigned)value;
	for (int i = 0; i < 300000; i++)
		x = x * 1664525u + 1013904223u;
	*done = x ? value : value + 1;
}

__device__ int shared_variable = 5;

__global__ void
raise_variable(int by)
{
	shared_variable += by;
}

static CUdevice device;
static CUcontext primary;
static CUdevResource whole;

static void
splitting()
{
	CU(DRIVER(cuDeviceGetDevResource)(device, &whole, CU_DEV_RESOURCE_TYPE_SM));
	int count;
	CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
	EXPECT(whole.type == CU_DEV_RESOURCE_TYPE_SM && (int)whole.sm.smCount == count);
	unsigned min = whole.sm.minSmPartitionSize, align = whole.sm.smCoscheduledAlignment;
	EXPECT(min > 0 && align > 0 && min % align == 0);
	if (whole.sm.smCount < 2 * min)
		skip("too few multiprocessors to divide");

	/* a context of no part of the device has all of it */
	CUdevResource of_context;
	CU(DRIVER(cuCtxGetDevResource)(primary, &of_context, CU_DEV_RESOURCE_TYPE_SM));
	EXPECT(of_context.sm.smCount == whole.sm.smCount);

	auto split = DRIVER(cuDevSmResourceSplitByCount);
	/* How many there could be: every group has the least there is. */
	unsigned most = 0;
	CU(split(nullptr, &most, &whole, nullptr, 0, 1));
	/* an H200 has 132, in clusters of different sizes: 15 groups of 8 */
	EXPECT(most >= 2 && most <= whole.sm.smCount / min);
	std::vector<CUdevResource> groups(most + 3);
	CUdevResource rest;
	unsigned got = most + 3;
	CU(split(groups.data(), &got, &whole, &rest, 0, 1));
	EXPECT(got == most);
	unsigned sum = 0;
	for (unsigned i = 0; i < got; i++) {
		EXPECT(groups[i].type == CU_DEV_RESOURCE_TYPE_SM && groups[i].sm.smCount == min);
		sum += groups[i].sm.smCount;
	}
	unsigned left = whole.sm.smCount - sum;
	if (left)
		EXPECT(rest.type == CU_DEV_RESOURCE_TYPE_SM && rest.sm.smCount == left);
	printf("smallest groups\n");

	/* One more than the least is brought to the next multiple; fewer groups than could be. */
	if (whole.sm.smCount >= 2 * (min + align)) {
		got = 2;
		CU(split(groups.data(), &got, &whole, &rest, 0, min + 1));
		EXPECT(got == 2);
		EXPECT(groups[0].sm.smCount == min + align && groups[1].sm.smCount == min + align);
		if (whole.sm.smCount > 2 * (min + align))
			EXPECT(rest.sm.smCount == whole.sm.smCount - 2 * (min + align));
	}
	/* More than half: one group, however many are asked for. */
	unsigned most_of = std::max(min, (whole.sm.smCount / 2 + align) / align * align);
	if (most_of > whole.sm.smCount / 2 && most_of <= whole.sm.smCount) {
		got = 2;
		CU(split(groups.data(), &got, &whole, &rest, 0, most_of));
		EXPECT(got == 1 && groups[0].sm.smCount == most_of);
	}
	/* without regard to which lie together: as exact as asked for, in twos */
	got = 1;
	unsigned odd = whole.sm.smCount / 4 / 2 * 2;
	if (odd >= 2) {
		CU(split(groups.data(), &got, &whole, nullptr,
			 CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING, odd));
		EXPECT(got == 1 && groups[0].sm.smCount == odd);
	}
	printf("splits\n");
}

struct Part {
	CUdevResource resource;
	CUgreenCtx green;
	CUcontext ctx;
	CUstream stream;
};

static void
make(Part *part)
{
	CUdevResourceDesc desc;
	CU(DRIVER(cuDevResourceGenerateDesc)(&desc, &part->resource, 1));
	CU(DRIVER(cuGreenCtxCreate)(&part->green, desc, device, CU_GREEN_CTX_DEFAULT_STREAM));
	CU(DRIVER(cuCtxFromGreenCtx)(&part->ctx, part->green));
	CU(DRIVER(cuGreenCtxStreamCreate)(&part->stream, part->green, CU_STREAM_NON_BLOCKING, 0));
}

static void
end(Part *part)
{
	CU(DRIVER(cuStreamDestroy)(part->stream));
	CU(DRIVER(cuGreenCtxDestroy)(part->green));
}

static void
halves(Part *a, Part *b)
{
	unsigned align = whole.sm.smCoscheduledAlignment, groups = 2;
	unsigned half = std::max(whole.sm.minSmPartitionSize, whole.sm.smCount / 2 / align * align);
	CUdevResource results[2];
	CU(DRIVER(cuDevSmResourceSplitByCount)(results, &groups, &whole, nullptr, 0, half));
	EXPECT(groups == 2);
	a->resource = results[0];
	b->resource = results[1];
	make(a);
	make(b);
}

static void
identity(const Part &a, const Part &b)
{
	CUdevResource of_green, of_context;
	for (const Part *part : {&a, &b}) {
		CU(DRIVER(cuGreenCtxGetDevResource)(part->green, &of_green,
						    CU_DEV_RESOURCE_TYPE_SM));
		CU(DRIVER(cuCtxGetDevResource)(part->ctx, &of_context, CU_DEV_RESOURCE_TYPE_SM));
		EXPECT(of_green.sm.smCount == part->resource.sm.smCount);
		EXPECT(of_context.sm.smCount == part->resource.sm.smCount);
		CUgreenCtx green;
		CUcontext ctx;
		CU(DRIVER(cuStreamGetGreenCtx)(part->stream, &green));
		EXPECT(green == part->green);
		CU(driver_function<decltype(cuStreamGetCtx_v2)>("cuStreamGetCtx")(part->stream,
										  &ctx, &green));
		EXPECT(ctx == primary && green == part->green);
	}
	unsigned long long id[2], again;
	CU(DRIVER(cuGreenCtxGetId)(a.green, &id[0]));
	CU(DRIVER(cuGreenCtxGetId)(b.green, &id[1]));
	EXPECT(id[0] != id[1] && a.ctx != b.ctx && a.ctx != primary);
	CUcontext current;
	CU(DRIVER(cuCtxGetCurrent)(&current));
	EXPECT(current == primary); /* nothing of this made them current */

	/* streams made while one is current belong to it; so does its default stream */
	CU(DRIVER(cuCtxPushCurrent)(a.ctx));
	CU(DRIVER(cuCtxGetCurrent)(&current));
	EXPECT(current == a.ctx);
	CU(DRIVER(cuGreenCtxGetId)(nullptr, &again));
	EXPECT(again == id[0]);
	CUstream stream;
	CUgreenCtx green;
	CU(DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING));
	CU(DRIVER(cuStreamGetGreenCtx)(stream, &green));
	EXPECT(green == a.green);
	CU(DRIVER(cuStreamGetGreenCtx)(nullptr, &green));
	EXPECT(green == a.green);
	CU(DRIVER(cuCtxPopCurrent)(&current));
	EXPECT(current == a.ctx);
	CU(DRIVER(cuStreamGetGreenCtx)(nullptr, &green));
	EXPECT(green == nullptr);
	CU(DRIVER(cuStreamGetGreenCtx)(stream, &green));
	EXPECT(green == a.green);
	CU(DRIVER(cuStreamDestroy)(stream));
	cudaStream_t plain;
	CUDA(cudaStreamCreate(&plain));
	CU(DRIVER(cuStreamGetGreenCtx)(plain, &green));
	EXPECT(green == nullptr);
	CUDA(cudaStreamDestroy(plain));
	printf("identity\n");
}

/* Every block ran on a multiprocessor of its part, and the parts have none in common. */
static void
places(const Part &a, const Part &b)
{
	int *sms[2];
	std::set<int> used[2];
	const Part *parts[2] = {&a, &b};
	for (int i = 0; i < 2; i++) {
		CUDA(cudaMalloc(&sms[i], BLOCKS * sizeof(int)));
		CUDA(cudaMemset(sms[i], 0xff, BLOCKS * sizeof(int)));
	}
	CUDA(cudaDeviceSynchronize());
	for (int i = 0; i < 2; i++) {
		where<<<BLOCKS, 64, 0, parts[i]->stream>>>(sms[i], 200);
		LAUNCHED();
	}
	CUDA(cudaDeviceSynchronize()); /* of the primary context: waits for the green ones too */
	for (int i = 0; i < 2; i++) {
		for (int sm : to_host(sms[i], BLOCKS)) {
			EXPECT(sm >= 0);
			used[i].insert(sm);
		}
		EXPECT(used[i].size() <= parts[i]->resource.sm.smCount);
		CUDA(cudaFree(sms[i]));
	}
	for (int sm : used[0])
		EXPECT(!used[1].count(sm));
	printf("places\n");
}

/* Memory, modules and events are the primary context's. */
static void
sharing(const Part &a, const Part &b)
{
	const int n = 10000;
	std::vector<int> values = random_ints(n, 1000, 3), expected = values;
	int *data = to_device(values);
	CUevent event;
	CU(DRIVER(cuEventCreate)(&event, CU_EVENT_DISABLE_TIMING));

	/* one after the other, in both parts and outside of them */
	add<<<8, 128, 0, a.stream>>>(data, n, 1);
	LAUNCHED();
	CU(DRIVER(cuEventRecord)(event, a.stream));
	CU(DRIVER(cuStreamWaitEvent)(b.stream, event, 0));
	add<<<8, 128, 0, b.stream>>>(data, n, 20);
	LAUNCHED();
	CU(DRIVER(cuEventRecord)(event, b.stream));
	cudaStream_t plain;
	CUDA(cudaStreamCreateWithFlags(&plain, cudaStreamNonBlocking));
	CU(DRIVER(cuStreamWaitEvent)(plain, event, 0));
	add<<<8, 128, 0, plain>>>(data, n, 300);
	LAUNCHED();
	CUDA(cudaStreamSynchronize(plain));
	for (int &value : expected)
		value += 321;
	EXPECT(to_host(data, n) == expected);

	/* with a green context current: the runtime works in it, memory is the same */
	CUcontext popped;
	CU(DRIVER(cuCtxPushCurrent)(b.ctx));
	int *more;
	CUDA(cudaMalloc(&more, n * sizeof(int)));
	CUDA(cudaMemcpy(more, data, n * sizeof(int), cudaMemcpyDeviceToDevice));
	add<<<8, 128>>>(more, n, -321);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	EXPECT(to_host(more, n) == values);
	raise_variable<<<1, 1>>>(2);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	CU(DRIVER(cuCtxPopCurrent)(&popped));
	EXPECT(popped == b.ctx);
	CUDA(cudaMemset(more, 0, sizeof(int))); /* outside, what was allocated inside */
	raise_variable<<<1, 1>>>(30);
	LAUNCHED();
	int variable = 0;
	CUDA(cudaMemcpyFromSymbol(&variable, shared_variable, sizeof(int)));
	EXPECT(variable == 37);
	CUDA(cudaFree(more));

	/* a graph of work in one part */
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	CUDA(cudaStreamBeginCapture(a.stream, cudaStreamCaptureModeRelaxed));
	for (int i = 0; i < 3; i++)
		add<<<8, 128, 0, a.stream>>>(data, n, 5);
	CUDA(cudaStreamEndCapture(a.stream, &graph));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, a.stream));
	CUDA(cudaGraphLaunch(exec, a.stream));
	CUDA(cudaStreamSynchronize(a.stream));
	for (int &value : expected)
		value += 30;
	EXPECT(to_host(data, n) == expected);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));

	/* another thread may use them */
	std::thread([&] {
		CU(DRIVER(cuCtxSetCurrent)(a.ctx));
		add<<<8, 128>>>(data, n, 1);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		CU(DRIVER(cuCtxSetCurrent)(nullptr));
	}).join();
	for (int &value : expected)
		value += 1;
	EXPECT(to_host(data, n) == expected);
	CUDA(cudaStreamDestroy(plain));
	CU(DRIVER(cuEventDestroy)(event));
	CUDA(cudaFree(data));
	printf("sharing\n");
}

/* Events of whole green contexts. */
static void
events(const Part &a, const Part &b)
{
	int *done;
	CUDA(cudaMalloc(&done, 3 * sizeof(int)));
	CUDA(cudaMemset(done, 0, 3 * sizeof(int)));
	CUDA(cudaDeviceSynchronize());
	CUevent event;
	CU(DRIVER(cuEventCreate)(&event, CU_EVENT_DISABLE_TIMING));
	CUstream second, later;
	CU(DRIVER(cuGreenCtxStreamCreate)(&second, a.green, CU_STREAM_NON_BLOCKING, -1));

	/* Behind two streams of one context; the other waits, with a stream made later too. */
	slow<<<1, 1, 0, a.stream>>>(done, 1);
	LAUNCHED();
	slow<<<1, 1, 0, second>>>(done + 1, 2);
	LAUNCHED();
	CU(DRIVER(cuGreenCtxRecordEvent)(a.green, event));
	CU(DRIVER(cuGreenCtxWaitEvent)(b.green, event));
	CU(DRIVER(cuGreenCtxStreamCreate)(&later, b.green, CU_STREAM_NON_BLOCKING, 0));
	add<<<1, 1, 0, later>>>(done, 2, 10);
	LAUNCHED();
	CU(DRIVER(cuStreamSynchronize)(later));
	CU(DRIVER(cuEventSynchronize)(event));
	CU(DRIVER(cuEventQuery)(event));
	std::vector<int> values = to_host(done, 3);
	EXPECT(values[0] == 11 && values[1] == 12);

	/* The context is meant by its other handle too, and its default stream belongs to it. */
	CUcontext popped;
	CU(DRIVER(cuCtxPushCurrent)(a.ctx));
	slow<<<1, 1>>>(done + 2, 7);
	LAUNCHED();
	CU(DRIVER(cuCtxPopCurrent)(&popped));
	CU(DRIVER(cuCtxRecordEvent)(a.ctx, event));
	CU(DRIVER(cuStreamWaitEvent)(b.stream, event, 0));
	add<<<1, 1, 0, b.stream>>>(done + 2, 1, 70);
	LAUNCHED();
	/* The primary context's event has all of them behind it. */
	CU(DRIVER(cuCtxRecordEvent)(primary, event));
	CU(DRIVER(cuEventSynchronize)(event));
	values = to_host(done, 3);
	EXPECT(values[2] == 77);
	CU(DRIVER(cuStreamDestroy)(second));
	CU(DRIVER(cuStreamDestroy)(later));
	CU(DRIVER(cuEventDestroy)(event));
	CUDA(cudaFree(done));
	printf("events\n");
}

/* Two groups of one split in one descriptor. */
static void
joined()
{
	unsigned groups = 2;
	CUdevResource results[2], of_green;
	CUdevResourceDesc desc;
	CUgreenCtx green;
	CU(DRIVER(cuDevSmResourceSplitByCount)(results, &groups, &whole, nullptr, 0,
					       whole.sm.minSmPartitionSize));
	EXPECT(groups == 2);
	CU(DRIVER(cuDevResourceGenerateDesc)(&desc, results, 2));
	CU(DRIVER(cuGreenCtxCreate)(&green, desc, device, CU_GREEN_CTX_DEFAULT_STREAM));
	CU(DRIVER(cuGreenCtxGetDevResource)(green, &of_green, CU_DEV_RESOURCE_TYPE_SM));
	EXPECT(of_green.sm.smCount == 2 * whole.sm.minSmPartitionSize);
	/* what a green context has can be divided again */
	CUdevResource part;
	groups = 1;
	CU(DRIVER(cuDevSmResourceSplitByCount)(&part, &groups, &of_green, nullptr, 0, 1));
	EXPECT(groups == 1 && part.sm.smCount == whole.sm.minSmPartitionSize);
	CU(DRIVER(cuGreenCtxDestroy)(green));
	printf("joined\n");
}

static void
wrong(const Part &a)
{
	CUdevResource resource;
	CUdevResourceDesc desc;
	CUgreenCtx green;
	CUcontext ctx;
	CUstream stream;
	unsigned groups = 1;
	auto get = DRIVER(cuDeviceGetDevResource);
	auto split = DRIVER(cuDevSmResourceSplitByCount);
	EXPECT_CU(get(device, nullptr, CU_DEV_RESOURCE_TYPE_SM), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(get(1000, &resource, CU_DEV_RESOURCE_TYPE_SM), CUDA_ERROR_INVALID_DEVICE);
	EXPECT_CU(get(device, &resource, CU_DEV_RESOURCE_TYPE_INVALID),
		  CUDA_ERROR_INVALID_RESOURCE_TYPE);
	EXPECT_CU(split(&resource, nullptr, &whole, nullptr, 0, 1), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(split(&resource, &groups, nullptr, nullptr, 0, 1), CUDA_ERROR_INVALID_VALUE);
	EXPECT_FAILS(split(&resource, &groups, &whole, nullptr, 0, whole.sm.smCount + 1));
	resource = whole;
	resource.type = CU_DEV_RESOURCE_TYPE_INVALID;
	EXPECT_CU(split(&resource, &groups, &resource, nullptr, 0, 1),
		  CUDA_ERROR_INVALID_RESOURCE_TYPE);
	EXPECT_CU(DRIVER(cuDevResourceGenerateDesc)(&desc, &resource, 1),
		  CUDA_ERROR_INVALID_RESOURCE_TYPE);
	EXPECT_CU(DRIVER(cuDevResourceGenerateDesc)(nullptr, &whole, 1), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(DRIVER(cuDevResourceGenerateDesc)(&desc, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
	CU(DRIVER(cuDevResourceGenerateDesc)(&desc, &whole, 1));
	EXPECT_CU(DRIVER(cuGreenCtxCreate)(nullptr, desc, device, CU_GREEN_CTX_DEFAULT_STREAM),
		  CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(DRIVER(cuGreenCtxCreate)(&green, desc, device, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_FAILS(DRIVER(cuGreenCtxCreate)(&green, desc, 1000, CU_GREEN_CTX_DEFAULT_STREAM));
	EXPECT_FAILS(DRIVER(cuGreenCtxStreamCreate)(&stream, a.green, 0, 0));
	EXPECT_FAILS(DRIVER(cuGreenCtxDestroy)(nullptr));
	EXPECT_FAILS(DRIVER(cuCtxFromGreenCtx)(&ctx, nullptr));
	EXPECT_FAILS(DRIVER(cuCtxFromGreenCtx)(nullptr, a.green));
	EXPECT_FAILS(DRIVER(cuGreenCtxGetId)(nullptr, nullptr));
	EXPECT_FAILS(DRIVER(cuCtxDestroy)(a.ctx));

	/* A stream outlives its green context as a handle only. */
	CU(DRIVER(cuGreenCtxCreate)(&green, desc, device, CU_GREEN_CTX_DEFAULT_STREAM));
	CU(DRIVER(cuGreenCtxStreamCreate)(&stream, green, CU_STREAM_NON_BLOCKING, 0));
	CU(DRIVER(cuGreenCtxDestroy)(green));
	EXPECT_CU(DRIVER(cuStreamSynchronize)(stream), CUDA_ERROR_CONTEXT_IS_DESTROYED);
	EXPECT_CU(DRIVER(cuStreamDestroy)(stream), CUDA_ERROR_CONTEXT_IS_DESTROYED);
	printf("wrong calls\n");
}

int
main()
{
	CU(DRIVER(cuInit)(0));
	CU(DRIVER(cuDeviceGet)(&device, 0));
	CUDA(cudaFree(nullptr));
	CU(DRIVER(cuDevicePrimaryCtxRetain)(&primary, device));
	splitting();
	Part a, b;
	halves(&a, &b);
	identity(a, b);
	places(a, b);
	sharing(a, b);
	events(a, b);
	wrong(a);
	end(&a);
	end(&b);
	joined();
	/* the primary context goes on */
	int value = 0;
	raise_variable<<<1, 1>>>(1);
	LAUNCHED();
	CUDA(cudaMemcpyFromSymbol(&value, shared_variable, sizeof(int)));
	EXPECT(value == 38);
	CU(DRIVER(cuDevicePrimaryCtxRelease)(device));
	return ok();
}
