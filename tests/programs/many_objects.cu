/* Many streams and events made, recorded and destroyed; `many_objects 100` has as many round trips.
 */
#include "program.h"

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 10000;
	for (int i = 0; i < count; i++) {
		cudaStream_t stream;
		cudaEvent_t event;
		CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
		CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
		CUDA(cudaEventRecord(event, stream));
		CUDA(cudaStreamWaitEvent(0, event, 0));
		CUDA(cudaEventDestroy(event));
		CUDA(cudaStreamDestroy(stream));
	}
	/* And many that live at once. */
	std::vector<cudaEvent_t> events((size_t)count / 5);
	for (cudaEvent_t &event : events) {
		CUDA(cudaEventCreate(&event));
		CUDA(cudaEventRecord(event));
	}
	CUDA(cudaDeviceSynchronize());
	for (cudaEvent_t event : events) {
		CUDA(cudaEventQuery(event));
		CUDA(cudaEventDestroy(event));
	}
	return ok();
}
