/*
 * For test_device_cuda.c: a driver that can be opened in the place of libcuda.so.1. It has four
 * functions. The environment says how it behaves: FAKE_INIT is what cuInit returns, FAKE_DEVICES
 * how many devices there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int
setting(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text ? atoi(text) : otherwise;
}

EXPORT int
cuInit(unsigned int flags)
{
	(void)flags;
	return setting("FAKE_INIT", 0);
}

EXPORT int
cuDeviceGetCount(int *count)
{
	*count = setting("FAKE_DEVICES", 2);
	return 0;
}

EXPORT int
cuGetErrorString(int status, const char **text)
{
	if (status != 100)
		return 1;
	*text = "no fake device is detected";
	return 0;
}

/* Where a driver shows what kernels printed. */
EXPORT int
cuEventSynchronize(void *event)
{
	printf("event %p is done\n", event);
	fflush(stdout);
	dprintf(STDERR_FILENO, "an assertion failed\n");
	return 0;
}
