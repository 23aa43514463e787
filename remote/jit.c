#include "remote/jit.h"

#include <string.h>

static void
add(struct genie_jit_args *jit, CUjit_option option, void *value)
{
	jit->options[jit->count] = option;
	jit->values[jit->count++] = value;
}

CUresult
genie_jit_args_of(struct genie_jit_args *jit, const unsigned int *options,
		  const unsigned long long *values, const unsigned int *owners, size_t count,
		  unsigned int owner)
{
	memset(jit, 0, sizeof(*jit));
	add(jit, CU_JIT_WALL_TIME, NULL); /* so that index 0 means "nowhere" for the others */
	if (count > GENIE_JIT_OPTIONS_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		if (!genie_jit_is_number(options[i]) || values[i] > UINT32_MAX)
			return CUDA_ERROR_INVALID_VALUE;
		if (owners && owners[i] != owner)
			continue;
		if (options[i] == CU_JIT_THREADS_PER_BLOCK)
			jit->threads = jit->count;
		add(jit, (CUjit_option)options[i], (void *)(uintptr_t)values[i]);
	}
	return CUDA_SUCCESS;
}

CUresult
genie_jit_args_init(struct genie_jit_args *jit, const unsigned int *options,
		    const unsigned long long *values, const unsigned int *owners, size_t count,
		    char *info, size_t info_size, char *error, size_t error_size)
{
	CUresult status = genie_jit_args_of(jit, options, values, owners, count, 0);

	if (status != CUDA_SUCCESS)
		return status;
	if (info_size > GENIE_JIT_LOG_MAX || error_size > GENIE_JIT_LOG_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (info_size) {
		add(jit, CU_JIT_INFO_LOG_BUFFER, info);
		jit->sizes[0] = jit->count;
		add(jit, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, (void *)(uintptr_t)info_size);
	}
	if (error_size) {
		add(jit, CU_JIT_ERROR_LOG_BUFFER, error);
		jit->sizes[1] = jit->count;
		add(jit, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, (void *)(uintptr_t)error_size);
	}
	return CUDA_SUCCESS;
}

void
genie_jit_args_report(const struct genie_jit_args *jit, struct genie_jit_report *ret_report)
{
	uint32_t bits = (uint32_t)(uintptr_t)jit->values[jit->time];

	memset(ret_report, 0, sizeof(*ret_report));
	memcpy(&ret_report->wall_time, &bits, sizeof(bits));
	if (jit->threads)
		ret_report->threads = (uint32_t)(uintptr_t)jit->values[jit->threads];
	for (int log = 0; log < 2; log++)
		if (jit->sizes[log])
			ret_report->lengths[log] =
				(uint32_t)(uintptr_t)jit->values[jit->sizes[log]];
}
