/*
 * Parsing the body of a function: what its files share. body.c reads statements, body_operand.c
 * their operands, body_names.c knows what names stand for.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_PARSER_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_PARSER_H

#include "remote/device_cpu/ptx/body.h"
#include "remote/device_cpu/ptx/declare.h"

enum {
	PTX_PARSER_OPERANDS = 64, /* of an instruction, and of a braced list */
	PTX_PARSER_BUCKETS = 1024,
};

/* A name of the body: a register, "%r<100>", or a variable. */
struct ptx_symbol {
	struct ptx_word name;
	uint32_t scope_depth;
	uint32_t count; /* of a range of registers; 0: not a range */
	uint32_t reg;   /* PTX_NO_REG: a variable */
	struct ptx_variable *var;
	struct ptx_symbol *next_in_bucket, *next_declared;
};

struct ptx_parser {
	struct ptx_lexer *lx;
	struct ptx_body *body;
	uint32_t stmt_room, reg_room;
	struct ptx_symbol *buckets[PTX_PARSER_BUCKETS];
	struct ptx_symbol *declared; /* newest first; scopes end by taking from the front */
	uint32_t depth;              /* of scopes */
	uint32_t scope, nscopes;     /* every scope has a number of its own, for labels */
	uint32_t *scope_parent;
	uint32_t scope_room;
	struct ptx_operand **references; /* operands that name labels */
	uint32_t *reference_scope;
	uint32_t nreferences, reference_room;
};

/* Errors leave through the lexer's jump, here and below. Makes room in an array. */
void *ptx_parser_grow(struct ptx_parser *ps, void *array, uint32_t *room, size_t size);

/* body_names.c */
/* NULL: no such name. @range: of a range of registers. */
struct ptx_symbol *ptx_parser_find(struct ptx_parser *ps, struct ptx_word name, int range);
void ptx_parser_enter_scope(struct ptx_parser *ps);
void ptx_parser_leave_scope(struct ptx_parser *ps);
void ptx_parser_registers(struct ptx_parser *ps);
void ptx_parser_variables(struct ptx_parser *ps, enum ptx_space space);
void ptx_parser_parameters(struct ptx_parser *ps, struct ptx_variable *list, uint32_t count);

/* body_operand.c */
struct ptx_label *ptx_parser_label(struct ptx_parser *ps, struct ptx_word name);
void ptx_parser_operand(struct ptx_parser *ps, struct ptx_operand *op, int depth);

#endif
