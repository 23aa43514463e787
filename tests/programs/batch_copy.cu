/* Batches of copies: plain ones between all kinds of memory, and boxes, also of arrays. */
#include "program.h"

#include <cstring>

static cudaStream_t stream;

static void
plain()
{
	const size_t sizes[] = {4, 1000, 100000, 3000000, 17, 65536};
	const int n = 6;
	void *dsts[n], *device[n], *back[n];
	const void *srcs[n];
	size_t copy_sizes[n];
	std::vector<std::vector<char>> source(n), target(n);

	for (int i = 0; i < n; i++) {
		Random random = {(uint64_t)i};
		source[i].resize(sizes[i]);
		target[i].resize(sizes[i]);
		for (char &byte : source[i])
			byte = (char)random.next();
		CUDA(cudaMalloc(&device[i], sizes[i]));
		dsts[i] = device[i];
		srcs[i] = source[i].data();
		copy_sizes[i] = sizes[i];
	}
	cudaMemcpyAttributes attrs[2] = {};
	attrs[0].srcAccessOrder = cudaMemcpySrcAccessOrderStream;
	attrs[1].srcAccessOrder = cudaMemcpySrcAccessOrderDuringApiCall;
	size_t indices[2] = {0, 4};
	CUDA(cudaMemcpyBatchAsync(dsts, srcs, copy_sizes, n, attrs, indices, 2, stream));
	memset(source[4].data(), 0, 17); /* was read during the call */

	/* To pinned memory and back, device to device, in one batch each. */
	char *pinned;
	size_t total = 0;
	for (size_t size : sizes)
		total += size;
	CUDA(cudaMallocHost(&pinned, total));
	size_t at = 0;
	for (int i = 0; i < n; i++) {
		back[i] = pinned + at;
		srcs[i] = device[i];
		at += sizes[i];
	}
	indices[1] = 2;
	CUDA(cudaMemcpyBatchAsync(back, srcs, copy_sizes, n, attrs, indices, 2, stream));
	CUDA(cudaStreamSynchronize(stream));
	for (int i = 0; i < n; i++)
		if (i != 4)
			EXPECT(!memcmp(back[i], source[i].data(), sizes[i]));
	EXPECT(((char *)back[4])[3] != 0 || ((char *)back[4])[4] != 0);
	printf("plain: %016llx\n", (unsigned long long)checksum(pinned, total));

	/* Mistakes. */
	attrs[0].srcAccessOrder = cudaMemcpySrcAccessOrderInvalid;
	EXPECT_ERROR(cudaMemcpyBatchAsync(back, srcs, copy_sizes, n, attrs, indices, 2, stream),
		     cudaErrorInvalidValue);
	attrs[0].srcAccessOrder = cudaMemcpySrcAccessOrderStream;
	indices[0] = 1;
	EXPECT_ERROR(cudaMemcpyBatchAsync(back, srcs, copy_sizes, n, attrs, indices, 2, stream),
		     cudaErrorInvalidValue);
	indices[0] = 0;
	EXPECT_ERROR(cudaMemcpyBatchAsync(back, srcs, copy_sizes, 0, attrs, indices, 1, stream),
		     cudaErrorInvalidValue);
	(void)cudaGetLastError();
	for (void *p : device)
		CUDA(cudaFree(p));
	CUDA(cudaFreeHost(pinned));
}

static cudaMemcpy3DOperand
pointer(void *ptr, size_t row, size_t layer)
{
	cudaMemcpy3DOperand operand = {};
	operand.type = cudaMemcpyOperandTypePointer;
	operand.op.ptr.ptr = ptr;
	operand.op.ptr.rowLength = row;
	operand.op.ptr.layerHeight = layer;
	return operand;
}

static cudaMemcpy3DOperand
in_array(cudaArray_t array, size_t x, size_t y, size_t z)
{
	cudaMemcpy3DOperand operand = {};
	operand.type = cudaMemcpyOperandTypeArray;
	operand.op.array.array = array;
	operand.op.array.offset = {x, y, z};
	return operand;
}

static void
boxes()
{
	const int width = 60, height = 20, depth = 5;
	std::vector<int> source = random_ints(width * height * depth, 1 << 30, 3), target(source);
	cudaArray_t array;
	cudaChannelFormatDesc format = cudaCreateChannelDesc<int>();
	CUDA(cudaMalloc3DArray(&array, &format, make_cudaExtent(width, height, depth)));
	char *device;
	CUDA(cudaMalloc(&device, source.size() * sizeof(int)));
	CUDA(cudaMemset(device, 0, source.size() * sizeof(int)));

	cudaMemcpy3DBatchOp ops[2] = {};
	for (cudaMemcpy3DBatchOp &op : ops)
		op.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
	/* Between pointers an element is a byte. */
	ops[0].src = pointer(source.data(), width * 4, height);
	ops[0].dst = pointer(device, width * 4, height);
	ops[0].extent = make_cudaExtent(30 * 4, 10, depth);
	/* With an array it is the array's. */
	ops[1].src = pointer(source.data(), 0, 0);
	ops[1].dst = in_array(array, 0, 0, 0);
	ops[1].extent = make_cudaExtent(width, height, depth);
	CUDA(cudaMemcpy3DBatchAsync(2, ops, 0, stream));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaMemcpy(target.data(), device, target.size() * sizeof(int),
			cudaMemcpyDeviceToHost));
	for (int z = 0; z < depth; z++)
		for (int y = 0; y < height; y++)
			for (int x = 0; x < width; x++) {
				int i = (z * height + y) * width + x;
				EXPECT(target[i] == (x < 30 && y < 10 ? source[i] : 0));
			}

	/* A part of the array to the middle of the device's box, and that to the host. */
	ops[0].src = in_array(array, 5, 3, 1);
	ops[0].dst = pointer(device + ((2 * height + 4) * width + 7) * 4, width, height);
	ops[0].extent = make_cudaExtent(11, 6, 2);
	CUDA(cudaMemcpy3DBatchAsync(1, ops, 0, stream));
	CUDA(cudaStreamSynchronize(stream));
	std::vector<int> part(11 * 6 * 2);
	ops[0].src = pointer(device + ((2 * height + 4) * width + 7) * 4, width * 4, height);
	ops[0].dst = pointer(part.data(), 0, 0);
	ops[0].extent = make_cudaExtent(11 * 4, 6, 2);
	CUDA(cudaMemcpy3DBatchAsync(1, ops, 0, stream));
	CUDA(cudaStreamSynchronize(stream));
	for (int z = 0; z < 2; z++)
		for (int y = 0; y < 6; y++)
			for (int x = 0; x < 11; x++)
				EXPECT(part[(z * 6 + y) * 11 + x] ==
				       source[((z + 1) * height + y + 3) * width + x + 5]);
	print_checksum("boxes", part);

	ops[0].extent.depth = 0;
	EXPECT_ERROR(cudaMemcpy3DBatchAsync(1, ops, 0, stream), cudaErrorInvalidValue);
	ops[0].extent.depth = 2;
	EXPECT_ERROR(cudaMemcpy3DBatchAsync(0, ops, 0, stream), cudaErrorInvalidValue);
	(void)cudaGetLastError();
	CUDA(cudaFreeArray(array));
	CUDA(cudaFree(device));
}

int
main()
{
	CUDA(cudaStreamCreate(&stream));
	plain();
	boxes();
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
