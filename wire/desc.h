/*
 * What the codec knows of a call: one row a parameter, generated (genie_desc.c) in the order in
 * which parameters travel: values, then what pointers point to.
 */
#ifndef GENIE_WIRE_DESC_H
#define GENIE_WIRE_DESC_H

#include <stdint.h>

enum genie_arg_kind {
	GENIE_ARG_VALUE,  /* travels itself */
	GENIE_ARG_IN,     /* pointer: what it points to travels to the worker */
	GENIE_ARG_OUT,    /* pointer: what it points to comes back */
	GENIE_ARG_INOUT,  /* pointer: both */
	GENIE_ARG_STRING, /* pointer: NUL-terminated, to the worker */
};

/* What a call does with a handle; for the layers above the codec. */
enum genie_handle_use {
	GENIE_USE_NONE,
	GENIE_USE_HANDLE, /* uses the object */
	GENIE_USE_NEW,    /* makes it; the client chose the token */
	GENIE_USE_RET,    /* answers with it; the worker chose the token */
	GENIE_USE_FREES,  /* ends it */
};

struct genie_arg_desc {
	const char *name;
	uint32_t count;      /* elements, unless len_size says where the number is */
	uint16_t offset;     /* of the field in the args struct */
	uint16_t size;       /* of the value, or of one element */
	uint16_t len_offset; /* of the field that counts the elements */
	uint8_t len_size;    /* its size; 0: count */
	uint8_t align;       /* of one element */
	uint8_t kind;        /* enum genie_arg_kind */
	uint8_t handle;      /* enum genie_kind */
	uint8_t use;         /* enum genie_handle_use */
	uint8_t len_signed : 1;
	uint8_t len_deref : 1; /* the field that counts is a pointer to the number */
	uint8_t nullable : 1;
	uint8_t stream : 1;    /* the stream the call runs on */
	uint8_t reads : 1;     /* a device address that the call reads; length in bytes as above */
	uint8_t writes : 1;    /* a device address that the call writes */
	uint8_t versioned : 1; /* a struct whose first word has its size, see genie_versioned_size
				*/
};

struct genie_op_desc {
	const char *name; /* NULL: this id does not travel */
	const struct genie_arg_desc *args;
	uint16_t args_size;  /* of struct genie_args_<name> */
	uint16_t value_size; /* bytes that its values take in a message */
	uint8_t arg_count;
	uint8_t pointer_count;
	uint8_t sync : 1;  /* the caller waits for the answer */
	uint8_t query : 1; /* the answer to equal arguments never changes */
};

extern const struct genie_op_desc genie_op_descs[]; /* GENIE_OP_MAX of them */

#endif
