/*
 * NVML: waiting for events. Sets and what is registered in them are the server's; the server never
 * waits, so that a client which does holds up nobody, itself included: it is asked again until the
 * time is over. Events of a GPU are rare and of this second, not of this millisecond.
 */
#include <time.h>

#include "interpose/nvml_device.h"

#define ASK_FIRST_MS 5
#define ASK_MOST_MS  200

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

nvmlReturn_t
genie_nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	struct genie_args_nvmlEventSetWait_v2 args = {.set = set, .data = data};
	int64_t end = now_ms() + timeoutms, step = ASK_FIRST_MS;

	if (!data || genie_token_kind((uintptr_t)set) != GENIE_KIND_NVMLSET)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (;;) {
		nvmlReturn_t status = genie_nvml_call(GENIE_OP_nvmlEventSetWait_v2, &args);
		int64_t left = end - now_ms();
		struct timespec pause;

		if (status != NVML_ERROR_TIMEOUT || left <= 0)
			return status;
		if (left > step)
			left = step;
		pause = (struct timespec){left / 1000, left % 1000 * 1000000};
		nanosleep(&pause, NULL); /* a signal only brings the next question forward */
		if (step < ASK_MOST_MS)
			step *= 2;
	}
}

nvmlReturn_t
genie_nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	return genie_nvmlEventSetWait_v2(set, data, timeoutms);
}
