/* Every way to launch: <<<>>>, cudaLaunchKernel, cudaLaunchKernelExC with attributes, all shapes.
 */
#include "program.h"

#include <cooperative_groups.h>

struct Shape {
	unsigned grid[3], block[3];
};

__global__ void
shape(Shape *out, unsigned *count)
{
	if (!threadIdx.x && !threadIdx.y && !threadIdx.z && !blockIdx.x && !blockIdx.y &&
	    !blockIdx.z)
		*out = {{gridDim.x, gridDim.y, gridDim.z}, {blockDim.x, blockDim.y, blockDim.z}};
	atomicAdd(count, 1 + blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y +
				 threadIdx.z);
}

static unsigned
shape_on_host(dim3 grid, dim3 block)
{
	unsigned count = 0;
	for (unsigned b = 0; b < grid.x * grid.y * grid.z; b++)
		for (unsigned t = 0; t < block.x * block.y * block.z; t++)
			count += 1 + b % grid.x + b / grid.x % grid.y + b / grid.x / grid.y +
				 t % block.x + t / block.x % block.y + t / block.x / block.y;
	return count;
}

/* The blocks of a cluster see each other; without clusters each block is one of its own. */
__global__ void
cluster_shape(unsigned *out)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
	namespace cg = cooperative_groups;
	cg::cluster_group cluster = cg::this_cluster();
	cluster.sync();
	if (threadIdx.x == 0)
		out[blockIdx.x] = cluster.num_blocks() * 100 + cluster.block_rank();
#else
	if (threadIdx.x == 0)
		out[blockIdx.x] = 100;
#endif
}

int
main()
{
	Shape *device_shape;
	unsigned *device_count;
	CUDA(cudaMalloc(&device_shape, sizeof(Shape)));
	CUDA(cudaMalloc(&device_count, sizeof(unsigned)));
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));

	const dim3 shapes[][2] = {{dim3(1), dim3(1)},        {dim3(5, 4, 3), dim3(2, 3, 7)},
				  {dim3(1, 1, 9), dim3(33)}, {dim3(2, 70), dim3(1, 1, 64)},
				  {dim3(3), dim3(1024)},     {dim3(200), dim3(31, 1, 2)}};
	for (const dim3 *s : shapes) {
		for (int method = 0; method < 3; method++) {
			void *args[] = {&device_shape, &device_count};
			CUDA(cudaMemsetAsync(device_count, 0, sizeof(unsigned), stream));
			cudaLaunchAttribute attributes[2] = {};
			cudaLaunchConfig_t config = {};
			switch (method) {
			case 0:
				shape<<<s[0], s[1], 0, stream>>>(device_shape, device_count);
				LAUNCHED();
				break;
			case 1:
				CUDA(cudaLaunchKernel((void *)shape, s[0], s[1], args, 0, stream));
				break;
			case 2:
				attributes[0].id = cudaLaunchAttributePriority;
				attributes[0].val.priority = 0;
				attributes[1].id = cudaLaunchAttributeMemSyncDomain;
				attributes[1].val.memSyncDomain = cudaLaunchMemSyncDomainDefault;
				config.gridDim = s[0];
				config.blockDim = s[1];
				config.stream = stream;
				config.attrs = attributes;
				config.numAttrs = 2;
				CUDA(cudaLaunchKernelExC(&config, (void *)shape, args));
				break;
			}
			Shape seen;
			unsigned count;
			CUDA(cudaMemcpyAsync(&seen, device_shape, sizeof(seen),
					     cudaMemcpyDeviceToHost, stream));
			CUDA(cudaMemcpyAsync(&count, device_count, sizeof(count),
					     cudaMemcpyDeviceToHost, stream));
			CUDA(cudaStreamSynchronize(stream));
			EXPECT(seen.grid[0] == s[0].x && seen.grid[1] == s[0].y &&
			       seen.grid[2] == s[0].z);
			EXPECT(seen.block[0] == s[1].x && seen.block[1] == s[1].y &&
			       seen.block[2] == s[1].z);
			EXPECT(count == shape_on_host(s[0], s[1]));
			if (method == 0)
				printf("shape count: %u\n", count);
		}
	}

	/* A cluster dimension; a device without clusters refuses it, and only it. */
	int clusters = 0;
	CUDA(cudaDeviceGetAttribute(&clusters, cudaDevAttrClusterLaunch, 0));
	unsigned *device_out;
	CUDA(cudaMalloc(&device_out, 8 * sizeof(unsigned)));
	cudaLaunchAttribute attribute = {};
	attribute.id = cudaLaunchAttributeClusterDimension;
	attribute.val.clusterDim.x = 2;
	attribute.val.clusterDim.y = 1;
	attribute.val.clusterDim.z = 1;
	cudaLaunchConfig_t config = {};
	config.gridDim = dim3(8);
	config.blockDim = dim3(32);
	config.stream = stream;
	config.attrs = &attribute;
	config.numAttrs = 1;
	void *args[] = {&device_out};
	cudaError_t error = cudaLaunchKernelExC(&config, (void *)cluster_shape, args);
	if (clusters)
		CUDA(error);
	else
		EXPECT(error != cudaSuccess);
	cudaGetLastError();
	CUDA(cudaStreamSynchronize(stream));
	if (clusters) {
		std::vector<unsigned> out = to_host(device_out, 8);
		for (unsigned i = 0; i < 8; i++)
			EXPECT(out[i] == 100 || out[i] == 200 + i % 2);
	}
	CUDA(cudaFree(device_out));
	CUDA(cudaFree(device_shape));
	CUDA(cudaFree(device_count));
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
