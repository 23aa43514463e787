/* Right answers: what the hostile server says while it does not lie. */
#ifndef GENIE_TESTS_FUZZ_CLIENT_HOSTILE_ANSWER_H
#define GENIE_TESTS_FUZZ_CLIENT_HOSTILE_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "wire/codec.h"

/* The device blocks of WELCOME, for one server thread. */
uint8_t *hostile_devices(unsigned mode, size_t *ret_len);
/* Fills in what the call returns; what nobody looks at stays 0. Returns the status. */
int32_t hostile_fill(unsigned mode, struct genie_call *call);
/* What the client is told after the answer: progress, data, host functions. */
void hostile_follow(uint32_t ctx, const struct genie_call *call);

/* ---- hostile.c, for hostile_follow ---- */
void hostile_progress(uint32_t slot);
void hostile_bulk(uint32_t slot, size_t len);
void hostile_host_func(uint64_t id);

#endif
