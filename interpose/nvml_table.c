/*
 * The undocumented table that nvidia-smi asks NVML for before anything else; without one it says
 * "Mismatch in versions between nvidia-smi and NVML" and ends. Watched on a real driver
 * (nvidia-smi -L, driver 580.159): the table has 270 slots, the first word is its size in bytes,
 * and of its functions only 26 and 81 are called. Every slot refuses here, which nvidia-smi takes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "interpose/nvml.h"

#define SLOTS 270

/* Called with arguments we do not know: by the calling convention the caller removes them. */
static nvmlReturn_t
slot_refused(void)
{
	return NVML_ERROR_NOT_SUPPORTED;
}

static void *const table[SLOTS] = {
	[0] = (void *)(uintptr_t)(SLOTS * sizeof(void *)),
	[1 ... SLOTS - 1] = (void *)slot_refused,
};

/* Not in nvml.h. @id: 16 bytes. */
__attribute__((visibility("default"))) nvmlReturn_t
nvmlInternalGetExportTable(const void **ret_table, const void *id);

nvmlReturn_t
nvmlInternalGetExportTable(const void **ret_table, const void *id)
{
	static const uint8_t known[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
					  0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

	if (!ret_table || !id)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (memcmp(id, known, sizeof(known)) != 0)
		return NVML_ERROR_NOT_SUPPORTED;
	*ret_table = table;
	return NVML_SUCCESS;
}
