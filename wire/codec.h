/*
 * The only marshalling there is: interprets the rows of wire/desc.h over the generated args
 * structs. docs/wire-format.md has the layout in prose.
 *
 *   client                                   worker
 *   genie_encoded_size, genie_encode_args -> genie_decode_args
 *   genie_decode_reply                    <- genie_reply_size, genie_encode_reply
 *
 * The payload of a command: which pointers are there (a bit each), the values, then what the
 * pointers point to. So a length is known before what it measures, and NULL differs from empty.
 * Handles travel as the tokens they are; the generated thunks make backend handles of them.
 */
#ifndef GENIE_WIRE_CODEC_H
#define GENIE_WIRE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "genie_ops.h"
#include "wire/cs.h"
#include "wire/desc.h"
#include "wire/proto.h"

#define GENIE_PAYLOAD_MAX (GENIE_CMD_MAX - sizeof(struct genie_cmd))
#define GENIE_ARGS_MAX    32 /* parameters of one call; the generator checks it */

/* Memory that any command can be decoded in: its copy, its answer, its args struct, alignment. */
#define GENIE_POOL_SIZE (GENIE_CMD_MAX + GENIE_REPLY_MAX + (64u << 10))

/* ---- the client ---- */

/*
 * Bytes of payload that @args needs, a multiple of 8. SIZE_MAX: this call cannot travel (a length
 * is beyond GENIE_CMD_MAX, or its answer beyond GENIE_REPLY_MAX); the program gets an error.
 */
size_t genie_encoded_size(enum genie_op op, const void *args);
/* Exactly genie_encoded_size() bytes, or writer->fatal. */
void genie_encode_args(struct genie_writer *writer, enum genie_op op, const void *args);
/* Stores the answers where the pointers of @args say. @status: of the reply; when the call failed
 * only what was `inout` comes back. reader->fatal: the worker sent nonsense; nothing is certain. */
void genie_decode_reply(struct genie_reader *reader, enum genie_op op, void *args, int32_t status);

/* ---- the worker ---- */

/* A decoded command. @args and what it points to live in the pool, or in the bytes decoded. */
struct genie_call {
	enum genie_op op;
	void *args;                     /* struct genie_args_<name> */
	size_t out_len[GENIE_ARGS_MAX]; /* bytes of the nth pointer's answer, as the command said:
					   whatever the driver leaves in the field that counts */
};

/*
 * Decodes the payload of a command. Everything is checked: ids, lengths, strings, presence; then
 * true. False: reader->why says what was wrong, and the session must end. The bytes of @reader
 * must be private (not a ring that the peer can still write) and outlive the call.
 */
bool genie_decode_args(struct genie_reader *reader, struct genie_pool *pool, enum genie_op op,
		       struct genie_call *ret_call);
/* Bytes of the answer's payload, at most GENIE_REPLY_MAX. */
size_t genie_reply_size(const struct genie_call *call, int32_t status);
void genie_encode_reply(struct genie_writer *writer, const struct genie_call *call, int32_t status);

/* ---- both ---- */

/*
 * Newer NVML structs begin with a word whose low 24 bits are their size: what travels is as large
 * as the caller says it is, so a newer caller and a newer driver understand each other. 0: beyond
 * every limit.
 */
#define GENIE_VERSIONED_MAX (32u << 10)
uint32_t genie_versioned_size(const void *data);

/* The row of a call that travels, or NULL. */
const struct genie_op_desc *genie_op_desc(uint32_t op);

#endif
