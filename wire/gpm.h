/* One metric as genieGpmMetrics brings it: nvmlGpmMetric_t with its text instead of pointers. */
#ifndef GENIE_WIRE_GPM_H
#define GENIE_WIRE_GPM_H

#include <stdint.h>

#define GENIE_GPM_METRICS_MAX 128 /* in one call */

struct genie_gpm_metric {
	uint32_t id;
	int32_t status; /* nvmlReturn_t */
	double value;
	/* NUL-terminated, cut if need be; empty: the driver names none */
	char short_name[64], long_name[128], unit[32];
};
_Static_assert(sizeof(struct genie_gpm_metric) == 240, "wire");

#endif
