/*
 * A device backend: where commands end. A backend is a table of driver functions (the generated
 * struct genie_driver, one pointer per function with the exact CUDA signature): the real libcuda
 * for "cuda", our own software driver for "cpu", and functions that say yes to everything for
 * "record". The worker calls nothing else, so it is the same for all three, and a backend can be
 * tested without a worker.
 *
 * Handles that a backend hands out (CUstream, CUevent…) are its own; the worker maps the client's
 * tokens to them. Functions a backend does not have return CUDA_ERROR_NOT_SUPPORTED, never NULL.
 */
#ifndef GENIE_REMOTE_DEVICE_H
#define GENIE_REMOTE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "genie_driver.h"
#include "wire/proto.h"

/* What a backend may ask of its worker. Called on any thread. */
struct genie_backend_events {
	/* text printed by a kernel (printf); @is_error: said of a kernel that ended (assert) */
	void (*output)(void *data, const char *text, size_t len, bool is_error);
	void *data;
};

struct genie_backend {
	enum genie_device_kind kind;
	const char *name;     /* "cuda", "cpu", "record" */
	uint32_t image_kinds; /* GENIE_IMAGE_* */
	bool wants_ranges;    /* genieNativeRange tells it of every allocation */
	struct genie_driver drv;
	struct genie_nvml nvml;
	struct genie_backend_events events; /* set by the worker after open */
	/* Why the last image could not be loaded: one line for the user, valid until the next call
	 * on this thread. May be NULL. */
	const char *(*image_error)(void);
	/* Hands what kernels printed, and what the driver said of them, to events.output. @event:
	 * the device has passed it (with an error, maybe), NULL: nothing is known. NULL: the
	 * backend does so by itself. Any thread. */
	void (*printed)(const struct genie_backend *backend, CUevent event);
	void (*close)(struct genie_backend *backend);
	void *private;
};

/* Each fills *@ret and has called cuInit; 0, or negative errno and one line in @err. */
int genie_backend_cuda_open(struct genie_backend *ret, char *err, size_t err_size);
int genie_backend_cpu_open(struct genie_backend *ret, char *err, size_t err_size);
int genie_backend_record_open(struct genie_backend *ret, char *err, size_t err_size);

/* Fills *@ret_info for device @ordinal by asking the table; the same code for every backend. */
int genie_backend_describe(const struct genie_backend *backend, int ordinal,
			   struct genie_device_info *ret_info);

#endif
