/* What the files of the record device share. */
#ifndef GENIE_REMOTE_DEVICE_RECORD_H
#define GENIE_REMOTE_DEVICE_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "remote/device.h"

struct record_architecture {
	int cc, shared_sm, shared_optin, reserved, threads, blocks, clusters;
	nvmlDeviceArchitecture_t nvml;
};

/* The process's one record device. */
struct record_device {
	int driver_version; /* as cuDriverGetVersion says it */
	int major, minor;
	const struct record_architecture *arch;
	atomic_uint_least64_t next_handle;
	atomic_uint_least64_t next_address;
	atomic_uint_least64_t used; /* bytes of device memory */
};
extern struct record_device record;

struct record_graph {
	size_t nodes;
};

/* What streams capture together: each that waits for an event of it takes part. */
struct record_capture {
	unsigned int refs; /* streams and events that know it */
	bool ended, given;
	struct record_graph *graph; /* the program's, once it has ended or if it was given */
	CUgraphNode last;           /* the last node, NULL = none yet */
};

struct record_stream {
	unsigned int flags;
	int priority;
	struct record_capture *capture; /* NULL, or one that has ended: not capturing */
};

struct record_event {
	struct record_capture *capture; /* it was recorded in; NULL: in none */
};

/* Of the device as it presents itself. false: no such attribute. */
bool record_attribute(int id, int *ret_value);
/* A handle like no other. Nothing is behind it. */
void *record_new_handle(void);
/* Device addresses nobody has; there is no memory behind them. */
uint64_t record_new_address(size_t size);
/* Work for the stream: a capture counts it. */
CUresult record_count(CUstream stream);
/* For many functions of many types: see yes() in device_record.c. */
int record_not_supported(void);
CUresult record_create(void **ret_handle);
#define SET(entry, function) (drv->entry = (__typeof__(drv->entry))(void (*)(void))(function))

void record_fill_streams(struct genie_driver *drv);
void record_fill_kernels(struct genie_driver *drv);
void record_fill_green(struct genie_driver *drv);

#endif
