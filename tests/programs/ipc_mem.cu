/*
 * Two processes, one device: memory by IPC handle, an event that orders them, memory by descriptor
 * (sent over a socket), and a pool's. The program starts itself again as the other process.
 */
#include "driver.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const int count = 300000;

__global__ void
multiply(int *values, int n, int by)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < n)
		values[i] *= by;
}

static void
run_multiply(int *values, int by, cudaStream_t stream)
{
	multiply<<<(count + 255) / 256, 256, 0, stream>>>(values, count, by);
	LAUNCHED();
}

/* ---- the two ends of a socket pair ---- */

static void
say(int sock, const void *data, size_t size, int fd = -1)
{
	struct iovec iov = {(void *)data, size};
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr msg = {};
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	EXPECT(sendmsg(sock, &msg, 0) == (ssize_t)size);
}

static int
hear(int sock, void *data, size_t size)
{
	struct iovec iov = {data, size};
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr msg = {};
	int fd = -1;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	EXPECT(recvmsg(sock, &msg, MSG_WAITALL) == (ssize_t)size);
	if (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}

static void
meet(int sock)
{
	char byte = 'x';
	say(sock, &byte, 1);
	hear(sock, &byte, 1);
}

static void
expect_values(const int *device, int factor)
{
	std::vector<int> got = to_host(device, count);
	for (int i = 0; i < count; i++)
		EXPECT(got[i] == i * factor);
}

static std::vector<int>
numbers()
{
	std::vector<int> values(count);
	for (int i = 0; i < count; i++)
		values[i] = i;
	return values;
}

/* ---- memory and an event by handle ---- */

struct Handles {
	cudaIpcMemHandle_t memory, other;
	cudaIpcEventHandle_t event;
};

static void
handles_first(int sock)
{
	Handles handles;
	cudaEvent_t event;
	cudaStream_t stream;
	int *memory, *other;

	CUDA(cudaMalloc(&memory, count * sizeof(int)));
	CUDA(cudaMalloc(&other, 100 * sizeof(int)));
	CUDA(cudaMemset(other, 3, 100 * sizeof(int)));
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventInterprocess));
	CUDA(cudaMemcpy(memory, numbers().data(), count * sizeof(int), cudaMemcpyHostToDevice));
	CUDA(cudaIpcGetMemHandle(&handles.memory, memory));
	CUDA(cudaIpcGetMemHandle(&handles.other, other));
	CUDA(cudaIpcGetEventHandle(&handles.event, event));
	void *mine;
	EXPECT_FAILS((CUresult)cudaIpcOpenMemHandle(&mine, handles.memory,
						    cudaIpcMemLazyEnablePeerAccess));
	(void)cudaGetLastError();
	/* Not waited for: the event says when the other process may go on. */
	run_multiply(memory, 2, stream);
	CUDA(cudaEventRecord(event, stream));
	say(sock, &handles, sizeof(handles));
	meet(sock); /* it has recorded the event after its own kernel */
	CUDA(cudaStreamWaitEvent(stream, event, 0));
	run_multiply(memory, 5, stream);
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaEventSynchronize(event));
	CUDA(cudaEventQuery(event));
	expect_values(memory, 30);
	EXPECT(to_host((const char *)other, 4)[2] == 4);
	meet(sock); /* the other process has closed it */
	CUDA(cudaFree(memory));
	CUDA(cudaFree(other));
	CUDA(cudaEventDestroy(event));
	CUDA(cudaStreamDestroy(stream));
}

static void
handles_second(int sock)
{
	Handles handles;
	cudaEvent_t event;
	cudaStream_t stream;
	int *memory, *again;
	char *other;

	hear(sock, &handles, sizeof(handles));
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaIpcOpenMemHandle((void **)&memory, handles.memory,
				  cudaIpcMemLazyEnablePeerAccess));
	CUDA(cudaIpcOpenMemHandle((void **)&other, handles.other, cudaIpcMemLazyEnablePeerAccess));
	CUDA(cudaIpcOpenEventHandle(&event, handles.event));
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, memory + 5));
	EXPECT(attributes.type == cudaMemoryTypeDevice);
	CUDA(cudaStreamWaitEvent(stream, event, 0));
	run_multiply(memory, 3, stream);
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaMemset(other, 4, 3));
	CUDA(cudaDeviceSynchronize());
	EXPECT(to_host((const char *)other, 4)[3] == 3);
	meet(sock);
	/* Opened twice: the same address, closed twice. */
	CUDA(cudaIpcOpenMemHandle((void **)&again, handles.memory, cudaIpcMemLazyEnablePeerAccess));
	EXPECT(again == memory);
	EXPECT_FAILS((CUresult)cudaFree(memory));
	(void)cudaGetLastError();
	CUDA(cudaIpcCloseMemHandle(memory));
	(void)to_host(memory, 10);
	CUDA(cudaIpcCloseMemHandle(memory));
	CUDA(cudaIpcCloseMemHandle(other));
	EXPECT_FAILS((CUresult)cudaIpcCloseMemHandle(memory));
	(void)cudaGetLastError();
	cudaIpcMemHandle_t nonsense;
	memset(&nonsense, 0x5a, sizeof(nonsense));
	EXPECT_FAILS((CUresult)cudaIpcOpenMemHandle((void **)&again, nonsense,
						    cudaIpcMemLazyEnablePeerAccess));
	(void)cudaGetLastError();
	CUDA(cudaEventDestroy(event));
	CUDA(cudaStreamDestroy(stream));
	meet(sock);
}

/* ---- memory by descriptor ---- */

#define PAGE ((size_t)2 << 20)

static int *
map_handle(CUmemGenericAllocationHandle handle, CUdeviceptr *ret_base)
{
	CUmemAccessDesc desc = {};
	desc.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
	desc.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
	CU(DRIVER(cuMemAddressReserve)(ret_base, PAGE, 0, 0, 0));
	CU(DRIVER(cuMemMap)(*ret_base, PAGE, 0, handle, 0));
	CU(DRIVER(cuMemRelease)(handle));
	CU(DRIVER(cuMemSetAccess)(*ret_base, PAGE, &desc, 1));
	return (int *)*ret_base;
}

static void
unmap_handle(CUdeviceptr base)
{
	CUDA(cudaDeviceSynchronize());
	CU(DRIVER(cuMemUnmap)(base, PAGE));
	CU(DRIVER(cuMemAddressFree)(base, PAGE));
}

static void
descriptor_first(int sock)
{
	CUmemAllocationProp prop = {};
	CUmemGenericAllocationHandle handle;
	CUdeviceptr base;
	int fd = -1;

	prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
	CU(DRIVER(cuMemCreate)(&handle, PAGE, &prop, 0));
	EXPECT_FAILS(DRIVER(cuMemExportToShareableHandle)(
		&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0)); /* not asked for */
	CU(DRIVER(cuMemRelease)(handle));
	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	CU(DRIVER(cuMemCreate)(&handle, PAGE, &prop, 0));
	CU(DRIVER(cuMemExportToShareableHandle)(&fd, handle,
						CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	int *memory = map_handle(handle, &base);
	CUDA(cudaMemcpy(memory, numbers().data(), count * sizeof(int), cudaMemcpyHostToDevice));
	CUDA(cudaDeviceSynchronize()); /* a copy may return before the data is there */
	char byte = 'd';
	say(sock, &byte, 1, fd);
	close(fd);
	meet(sock);
	expect_values(memory, 7);
	unmap_handle(base);
}

static void
descriptor_second(int sock)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr base;
	char byte;
	int fd = hear(sock, &byte, 1);

	CU(DRIVER(cuMemImportFromShareableHandle)(&handle, (void *)(intptr_t)fd,
						  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	close(fd);
	int *memory = map_handle(handle, &base);
	run_multiply(memory, 7, 0);
	CUDA(cudaDeviceSynchronize());
	meet(sock);
	unmap_handle(base);
	EXPECT_FAILS(DRIVER(cuMemImportFromShareableHandle)(
		&handle, (void *)(intptr_t)sock, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
}

/* ---- a pool by descriptor, its pointers by data ---- */

static void
pool_first(int sock)
{
	cudaMemPoolProps props = {};
	cudaMemPool_t pool;
	cudaMemPoolPtrExportData data;
	int *memory, fd = -1;

	props.allocType = cudaMemAllocationTypePinned;
	props.handleTypes = cudaMemHandleTypePosixFileDescriptor;
	props.location.type = cudaMemLocationTypeDevice;
	CUDA(cudaMemPoolCreate(&pool, &props));
	CUDA(cudaMemPoolExportToShareableHandle(&fd, pool, cudaMemHandleTypePosixFileDescriptor,
						0));
	CUDA(cudaMallocFromPoolAsync(&memory, count * sizeof(int), pool, 0));
	CUDA(cudaMemcpyAsync(memory, numbers().data(), count * sizeof(int), cudaMemcpyHostToDevice,
			     0));
	CUDA(cudaMemPoolExportPointer(&data, memory));
	CUDA(cudaStreamSynchronize(0));
	say(sock, &data, sizeof(data), fd);
	close(fd);
	meet(sock);
	expect_values(memory, 11);
	CUDA(cudaFreeAsync(memory, 0));
	CUDA(cudaStreamSynchronize(0));
	CUDA(cudaMemPoolDestroy(pool));
}

static void
pool_second(int sock)
{
	cudaMemPool_t pool;
	cudaMemPoolPtrExportData data;
	int *memory, *none, fd = hear(sock, &data, sizeof(data));

	CUDA(cudaMemPoolImportFromShareableHandle(&pool, (void *)(intptr_t)fd,
						  cudaMemHandleTypePosixFileDescriptor, 0));
	close(fd);
	CUDA(cudaMemPoolImportPointer((void **)&memory, pool, &data));
	EXPECT_FAILS((CUresult)cudaMallocFromPoolAsync(&none, 100, pool, 0));
	(void)cudaGetLastError();
	run_multiply(memory, 11, 0);
	CUDA(cudaFreeAsync(memory, 0)); /* before the process that made it frees it */
	CUDA(cudaStreamSynchronize(0));
	meet(sock);
	CUDA(cudaMemPoolDestroy(pool));
}

static bool
supports(cudaDeviceAttr attribute, int bit = 1)
{
	int value = 0;
	CUDA(cudaDeviceGetAttribute(&value, attribute, 0));
	return (value & bit) != 0;
}

int
main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "second")) {
		int sock = atoi(argv[2]);
		handles_second(sock);
		descriptor_second(sock);
		if (supports(cudaDevAttrMemoryPoolSupportedHandleTypes,
			     cudaMemHandleTypePosixFileDescriptor))
			pool_second(sock);
		return wrong_errors != 0;
	}

	int socks[2], status;
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, socks) == 0);
	pid_t child = fork(); /* before this process uses CUDA */
	if (child == 0) {
		char number[16];
		close(socks[0]);
		snprintf(number, sizeof(number), "%d", socks[1]);
		execl("/proc/self/exe", argv[0], "second", number, (char *)nullptr);
		_exit(127);
	}
	close(socks[1]);
	handles_first(socks[0]);
	printf("handles: fine\n");
	descriptor_first(socks[0]);
	printf("descriptor: fine\n");
	if (supports(cudaDevAttrMemoryPoolSupportedHandleTypes,
		     cudaMemHandleTypePosixFileDescriptor))
		pool_first(socks[0]);
	printf("pool: fine\n");
	EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
	EXPECT(WEXITSTATUS(status) == 0);
	return ok();
}
