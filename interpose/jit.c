#include "interpose/jit.h"
#include "interpose/refuse.h"

#include <string.h>

CUresult
genie_jit_read(struct genie_jit *jit, unsigned int count, const CUjit_option *options,
	       void **values)
{
	memset(jit, 0, sizeof(*jit));
	if (count != 0 && (options == NULL || values == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < count; i++) {
		uintptr_t value = (uintptr_t)values[i];

		switch ((int)options[i]) {
		case CU_JIT_WALL_TIME:
			jit->time_value = &values[i];
			continue;
		case CU_JIT_INFO_LOG_BUFFER:
			jit->logs[0] = values[i];
			continue;
		case CU_JIT_ERROR_LOG_BUFFER:
			jit->logs[1] = values[i];
			continue;
		case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
			jit->log_sizes[0] = (unsigned int)value;
			jit->log_values[0] = &values[i];
			continue;
		case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
			jit->log_sizes[1] = (unsigned int)value;
			jit->log_values[1] = &values[i];
			continue;
		case CU_JIT_THREADS_PER_BLOCK:
			jit->threads_value = &values[i];
			break;
		case CU_JIT_GLOBAL_SYMBOL_NAMES:
		case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
		case CU_JIT_GLOBAL_SYMBOL_COUNT:
			return genie_refuse("JIT option GLOBAL_SYMBOL_…",
					    "it gives the driver addresses of this process");
		default:
			/* Deprecated ones do nothing since CUDA 12. */
			if ((unsigned int)options[i] >= CU_JIT_NUM_OPTIONS)
				return CUDA_ERROR_INVALID_VALUE;
			break;
		}
		if (!genie_jit_is_number((unsigned int)options[i]))
			continue;
		if (jit->count == GENIE_JIT_OPTIONS_MAX)
			return CUDA_ERROR_INVALID_VALUE;
		jit->options[jit->count] = (unsigned int)options[i];
		jit->values[jit->count++] = (unsigned int)value;
	}
	return CUDA_SUCCESS;
}

size_t
genie_jit_room(const struct genie_jit *jit, int log)
{
	size_t room = jit->logs[log] != NULL ? jit->log_sizes[log] : 0;

	return room < GENIE_JIT_LOG_MAX ? room : GENIE_JIT_LOG_MAX;
}

void
genie_jit_answer(const struct genie_jit *jit, const struct genie_jit_report *report,
		 const char *info, const char *error)
{
	const char *const texts[2] = {info, error};
	unsigned int bits;

	for (int log = 0; log < 2; log++) {
		size_t room = genie_jit_room(jit, log), len = 0;

		if (room != 0) {
			len = texts[log] != NULL ? strnlen(texts[log], room - 1) : 0;
			if (len != 0)
				memcpy(jit->logs[log], texts[log], len);
			jit->logs[log][len] = '\0';
		}
		if (jit->log_values[log] != NULL)
			*jit->log_values[log] = (void *)(uintptr_t)len;
	}
	if (jit->time_value != NULL) {
		memcpy(&bits, &report->wall_time, sizeof(bits));
		*jit->time_value = (void *)(uintptr_t)bits;
	}
	if (jit->threads_value != NULL && report->threads != 0)
		*jit->threads_value = (void *)(uintptr_t)report->threads;
}
