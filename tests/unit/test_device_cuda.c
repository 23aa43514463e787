/* The cuda backend, with a driver of the test's own: what it finds, what it refuses, what kernels
 * print. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/device.h"

static struct genie_backend backend;
static char err[256];

static void
start(void)
{
	const char *path = getenv("FAKE_LIBCUDA");

	cr_assert_not_null(path, "meson test sets it");
	setenv("GENIE_LIBCUDA", path, 1);
}

TestSuite(device_cuda, .init = start, .timeout = 30);

static int
count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

Test(device_cuda, every_function_has_something_in_its_place)
{
	int count = 0;

	cr_assert_eq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0, "%s", err);
	cr_assert_eq(backend.kind, GENIE_DEVICE_CUDA);
	cr_assert_eq(backend.drv.cuDeviceGetCount(&count), CUDA_SUCCESS);
	cr_assert_eq(count, 2, "the driver's own");
	/* what this driver does not have says so */
	for (size_t i = 0; i < genie_driver_name_count; i++) {
		void *fn;

		memcpy(&fn, (const char *)&backend.drv + genie_driver_names[i].offset, sizeof(fn));
		cr_assert_not_null(fn, "%s", genie_driver_names[i].name);
	}
	cr_assert_eq(backend.drv.cuCtxSynchronize(), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq((int)backend.nvml.nvmlInit_v2(), 3);
	backend.close(&backend);
	backend.close(&backend); /* again: nothing */
}

Test(device_cuda, no_driver)
{
	int fds = count_fds();

	setenv("GENIE_LIBCUDA", "/nonexistent/libcuda.so.1", 1);
	cr_assert_neq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0);
	cr_assert_not_null(strstr(err, "no CUDA driver"), "%s", err);
	cr_assert_not_null(strstr(err, "/nonexistent/libcuda.so.1"), "%s", err);
	cr_assert_eq(count_fds(), fds);
}

Test(device_cuda, a_driver_that_does_not_start)
{
	setenv("FAKE_INIT", "100", 1);
	cr_assert_neq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0);
	cr_assert_not_null(strstr(err, "no fake device is detected (100)"), "%s", err);
	setenv("FAKE_INIT", "999", 1); /* one that the driver has no text for */
	cr_assert_neq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0);
	cr_assert_not_null(strstr(err, "unknown error (999)"), "%s", err);
}

Test(device_cuda, a_driver_without_devices)
{
	setenv("FAKE_DEVICES", "0", 1);
	cr_assert_neq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0);
	cr_assert_not_null(strstr(err, "has no device"), "%s", err);
}

/* With LD_LIBRARY_PATH set for clients, "the driver" would be the client's half of Genie. */
Test(device_cuda, genie_is_no_driver)
{
	const char *path = getenv("LIBGENIE");

	cr_assert_not_null(path, "meson test sets it");
	setenv("GENIE_LIBCUDA", path, 1);
	cr_assert_neq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0);
	cr_assert_not_null(strstr(err, "libgenie.so, not a driver"), "%s", err);
}

/* ---- what kernels print ---- */

static char out_text[1024], err_text[1024];
static size_t out_len, err_len;

static void
collect(void *data, const char *text, size_t len, bool is_error)
{
	char *to = is_error ? err_text : out_text;
	size_t *at = is_error ? &err_len : &out_len;

	cr_assert_eq(data, &backend);
	cr_assert_lt(*at + len, sizeof(out_text));
	memcpy(to + *at, text, len);
	*at += len;
}

Test(device_cuda, what_a_driver_writes_goes_to_the_client_once)
{
	int log[2];
	char line[200] = "";

	/* the log goes on to where it went before */
	cr_assert_eq(pipe(log), 0);
	cr_assert_geq(dup2(log[1], STDERR_FILENO), 0);
	cr_assert_eq(genie_backend_cuda_open(&backend, err, sizeof(err)), 0, "%s", err);
	backend.printed(&backend, (CUevent)0x10); /* nobody listens */
	cr_assert_eq(out_len + err_len, 0);
	backend.events.output = collect;
	backend.events.data = &backend;
	backend.printed(&backend, (CUevent)0x20);
	cr_assert_str_eq(out_text, "event 0x20 is done\n");
	cr_assert_str_eq(err_text, "an assertion failed\n");
	backend.printed(&backend, NULL); /* nothing new */
	cr_assert_str_eq(out_text, "event 0x20 is done\n");
	backend.printed(&backend, (CUevent)0x30);
	cr_assert_str_eq(out_text, "event 0x20 is done\nevent 0x30 is done\n");
	genie_error("a line of the log");
	cr_assert_gt(read(log[0], line, sizeof(line) - 1), 0);
	cr_assert_not_null(strstr(line, "a line of the log"));
	cr_assert_null(strstr(line, "assertion"));
	backend.close(&backend);
}
