/*
 * What the generated round-trip tests call: one call goes up to a pretended worker, its answer
 * comes down again, through the real codec.
 */
#ifndef GENIE_TESTS_CODEGEN_ROUNDTRIP_H
#define GENIE_TESTS_CODEGEN_ROUNDTRIP_H

#include <criterion/criterion.h>
#include <stddef.h>

#include "wire/codec.h"

struct roundtrip {
	struct genie_call call;
	_Alignas(8) uint8_t up[GENIE_CMD_MAX];
	_Alignas(8) uint8_t down[GENIE_REPLY_MAX];
	uint8_t pool[GENIE_POOL_SIZE];
};

/* Bytes that differ from those of every other call: swapped fields do not go unnoticed. */
void roundtrip_fill(void *data, size_t size);
/* Makes @data a struct that begins with its size and version. */
void roundtrip_version(void *data, size_t size);
void roundtrip_same(const void *got, const void *want, size_t size);
void roundtrip_zero(const void *got, size_t size);

/* Encodes @sent, decodes it, and checks what holds for every call: the announced size, that each
 * shorter message and each longer one is refused, that @sent is unchanged. Returns the decoded
 * args. */
void *roundtrip_up(struct roundtrip *trip, enum genie_op op, const void *sent, size_t size);
/* Encodes the answer and decodes it into the pointers of @sent. */
void roundtrip_down(struct roundtrip *trip, void *sent);

#endif
