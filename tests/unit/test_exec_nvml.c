/* remote/exec_nvml.c: what comes out of NVML's structs, and what a hostile client may ask. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/remote_fake.h"
#include "wire/gpm.h"

static int things[5]; /* what the fake NVML's handles point to */
#define DEVICE   ((nvmlDevice_t)(void *)&things[0])
#define SLICE    ((nvmlDevice_t)(void *)&things[1])
#define SET      ((nvmlEventSet_t)(void *)&things[2])
#define SAMPLE   ((nvmlGpmSample_t)(void *)&things[3])
#define DEVICE_1 TOKEN(nvmlDevice_t, GENIE_KIND_NVMLDEV, 0, 1)

static unsigned int waited = 1;

static nvmlReturn_t
ok(void)
{
	return NVML_SUCCESS;
}

static nvmlReturn_t
by_bus_id(const char *id, nvmlDevice_t *device)
{
	static bool second;

	(void)id;
	*device = second ? (nvmlDevice_t)(void *)&things[4] : DEVICE;
	second = true;
	return NVML_SUCCESS;
}

static nvmlReturn_t
slice_by_index(nvmlDevice_t device, unsigned int index, nvmlDevice_t *slice)
{
	(void)index;
	*slice = SLICE;
	return device == DEVICE ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t
parent(nvmlDevice_t slice, nvmlDevice_t *device)
{
	*device = DEVICE;
	return slice == SLICE ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t
set_create(nvmlEventSet_t *set)
{
	*set = SET;
	return NVML_SUCCESS;
}

static nvmlReturn_t
event_wait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout)
{
	cr_assert_eq(set, SET);
	waited = timeout;
	*data = (nvmlEventData_t){.device = DEVICE, .eventType = 8, .eventData = 79};
	return NVML_SUCCESS;
}

static nvmlReturn_t
sample_alloc(nvmlGpmSample_t *sample)
{
	*sample = SAMPLE;
	return NVML_SUCCESS;
}

static nvmlReturn_t
metrics_get(nvmlGpmMetricsGet_t *get)
{
	static char unit[] = "%", name[300];

	memset(name, 'n', sizeof(name) - 1);
	cr_assert_eq(get->sample1, SAMPLE);
	for (unsigned int i = 0; i < get->numMetrics; i++) {
		get->metrics[i].value = get->metrics[i].metricId * 2;
		get->metrics[i].metricInfo.unit = unit;
		get->metrics[i].metricInfo.longName = name;
	}
	return NVML_SUCCESS;
}

static void
init(void)
{
	struct genie_nvml *nvml = &fake.backend.nvml;

	fake_start(GENIE_DEVICE_RECORD, NULL);
	nvml->nvmlInit_v2 = (nvmlReturn_t(*)(void))ok;
	nvml->nvmlDeviceGetHandleByPciBusId_v2 = by_bus_id;
	nvml->nvmlDeviceGetMigDeviceHandleByIndex = slice_by_index;
	nvml->nvmlDeviceGetDeviceHandleFromMigDeviceHandle = parent;
	nvml->nvmlEventSetCreate = set_create;
	nvml->nvmlEventSetWait_v2 = event_wait;
	nvml->nvmlGpmSampleAlloc = sample_alloc;
	nvml->nvmlGpmMetricsGet = metrics_get;
}

TestSuite(exec_nvml, .init = init, .fini = fake_stop, .timeout = 60);

static int
ask(enum genie_op op, void *args, void *out, size_t size)
{
	cr_assert_eq(fake_call_flags(op, args, 0, GENIE_CMD_REPLY), 0);
	cr_assert(fake_replied());
	if (out && fake.reply.status == NVML_SUCCESS) {
		cr_assert_geq(fake.reply.len, size);
		memcpy(out, fake.reply.payload, size);
	}
	return fake.reply.status;
}

Test(exec_nvml, an_event_names_the_client_s_device)
{
	nvmlEventSet_t set = NULL;
	nvmlEventData_t data = {0};
	struct genie_args_nvmlEventSetCreate create = {.set = &set};
	struct genie_args_nvmlEventSetWait_v2 args = {.data = &data, .timeoutms = 1000000};

	args.set = TOKEN(nvmlEventSet_t, GENIE_KIND_NVMLSET, 0, 1);
	cr_assert_eq(ask(GENIE_OP_nvmlEventSetWait_v2, &args, NULL, 0),
		     NVML_ERROR_INVALID_ARGUMENT);
	cr_assert_eq(ask(GENIE_OP_nvmlEventSetCreate, &create, &set, sizeof(set)), NVML_SUCCESS);
	args.set = set;
	cr_assert_eq(ask(GENIE_OP_nvmlEventSetWait_v2, &args, &data, sizeof(data)), NVML_SUCCESS);
	cr_assert_eq(waited, 0, "the worker waits for nothing");
	cr_assert_eq(data.device, DEVICE_1);
	cr_assert_eq(data.eventData, 79);
}

Test(exec_nvml, a_slice_and_its_device)
{
	nvmlDevice_t slice = NULL, device = NULL;
	struct genie_args_nvmlDeviceGetMigDeviceHandleByIndex by_index = {.device = DEVICE_1,
									  .migDevice = &slice};
	struct genie_args_nvmlDeviceGetDeviceHandleFromMigDeviceHandle of = {.device = &device};

	cr_assert_eq(
		ask(GENIE_OP_nvmlDeviceGetMigDeviceHandleByIndex, &by_index, &slice, sizeof(slice)),
		NVML_SUCCESS);
	cr_assert_geq(genie_token_index((uintptr_t)slice), GENIE_TOKEN_SERVER_BASE);
	of.migDevice = slice;
	cr_assert_eq(ask(GENIE_OP_nvmlDeviceGetDeviceHandleFromMigDeviceHandle, &of, &device,
			 sizeof(device)),
		     NVML_SUCCESS);
	cr_assert_eq(device, DEVICE_1, "the handle that the client has of it");
}

Test(exec_nvml, metrics_bring_their_names)
{
	static struct genie_gpm_metric metrics[2];
	nvmlGpmSample_t sample = NULL;
	unsigned int ids[2] = {3, 10};
	struct genie_args_nvmlGpmSampleAlloc alloc = {.gpmSample = &sample};
	struct genie_args_genieGpmMetrics args = {
		.ids = ids,
		.count = 2,
		.metrics = (unsigned char *)metrics,
		.size = sizeof(metrics),
	};

	cr_assert_eq(ask(GENIE_OP_genieGpmMetrics, &args, NULL, 0), NVML_ERROR_INVALID_ARGUMENT,
		     "no such samples");
	cr_assert_eq(ask(GENIE_OP_nvmlGpmSampleAlloc, &alloc, &sample, sizeof(sample)),
		     NVML_SUCCESS);
	args.sample1 = args.sample2 = (uintptr_t)sample;
	args.size -= 8;
	cr_assert_eq(ask(GENIE_OP_genieGpmMetrics, &args, NULL, 0), NVML_ERROR_INVALID_ARGUMENT);
	args.size += 8;
	cr_assert_eq(ask(GENIE_OP_genieGpmMetrics, &args, metrics, sizeof(metrics)), NVML_SUCCESS);
	cr_assert_eq(metrics[1].id, 10);
	cr_assert_float_eq(metrics[1].value, 20, 0);
	cr_assert_str_eq(metrics[1].unit, "%");
	cr_assert_str_eq(metrics[1].short_name, "");
	cr_assert_eq(strlen(metrics[1].long_name), sizeof(metrics[1].long_name) - 1, "cut");
}
