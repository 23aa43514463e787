/*
 * NVML: metrics of a GPU's units (GPM). Samples are the server's. What a metric is called comes
 * with its value and is kept, as the program gets pointers to it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/nvml_device.h"
#include "wire/gpm.h"

/* Names of metrics, by their number: made once, never freed. */
struct metric_text {
	char *short_name, *long_name, *unit; /* NULL: the driver names none */
	bool known;
};
static struct metric_text texts[NVML_GPM_METRIC_MAX];
static pthread_mutex_t texts_lock = PTHREAD_MUTEX_INITIALIZER; /* guards texts */

static char *
keep(const char *text, size_t size)
{
	return text[0] ? strndup(text, size) : NULL;
}

static void
name(nvmlGpmMetric_t *metric, const struct genie_gpm_metric *from)
{
	struct metric_text *text;

	memset(&metric->metricInfo, 0, sizeof(metric->metricInfo));
	if (from->id >= NVML_GPM_METRIC_MAX)
		return;
	text = &texts[from->id];
	pthread_mutex_lock(&texts_lock);
	if (!text->known) {
		text->short_name = keep(from->short_name, sizeof(from->short_name));
		text->long_name = keep(from->long_name, sizeof(from->long_name));
		text->unit = keep(from->unit, sizeof(from->unit));
		text->known = true;
	}
	metric->metricInfo.shortName = text->short_name;
	metric->metricInfo.longName = text->long_name;
	metric->metricInfo.unit = text->unit;
	pthread_mutex_unlock(&texts_lock);
}

/* At most GENIE_GPM_METRICS_MAX of them. */
static nvmlReturn_t
ask(const nvmlGpmMetricsGet_t *get, nvmlGpmMetric_t *metrics, unsigned int count)
{
	struct genie_gpm_metric answers[GENIE_GPM_METRICS_MAX];
	unsigned int ids[GENIE_GPM_METRICS_MAX];
	struct genie_args_genieGpmMetrics args = {
		.sample1 = (uintptr_t)get->sample1,
		.sample2 = (uintptr_t)get->sample2,
		.ids = ids,
		.count = count,
		.metrics = (unsigned char *)answers,
		.size = count * sizeof(answers[0]),
	};
	nvmlReturn_t status;

	for (unsigned int i = 0; i < count; i++)
		ids[i] = metrics[i].metricId;
	status = genie_nvml_call(GENIE_OP_genieGpmMetrics, &args);
	for (unsigned int i = 0; i < count && status == NVML_SUCCESS; i++) {
		metrics[i].nvmlReturn = (nvmlReturn_t)answers[i].status;
		metrics[i].value = answers[i].value;
		name(&metrics[i], &answers[i]);
	}
	return status;
}

nvmlReturn_t
genie_nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *metricsGet)
{
	nvmlReturn_t status = NVML_SUCCESS;

	if (!metricsGet || !metricsGet->numMetrics || metricsGet->numMetrics > NVML_GPM_METRIC_MAX)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (metricsGet->version != NVML_GPM_METRICS_GET_VERSION)
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	for (unsigned int i = 0; i < metricsGet->numMetrics && status == NVML_SUCCESS;
	     i += GENIE_GPM_METRICS_MAX) {
		unsigned int count = metricsGet->numMetrics - i;

		if (count > GENIE_GPM_METRICS_MAX)
			count = GENIE_GPM_METRICS_MAX;
		status = ask(metricsGet, &metricsGet->metrics[i], count);
	}
	return status;
}
