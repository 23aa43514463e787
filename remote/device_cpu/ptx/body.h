/*
 * The parsed form of a function's body: statements with their operands, names resolved. Lives in
 * the arena of one compilation.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_BODY_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_BODY_H

#include "remote/device_cpu/ptx/lexer.h"
#include "remote/device_cpu/ptx/module.h"
#include "remote/device_cpu/ptx/opcode.h"

enum { PTX_NO_REG = UINT32_MAX };

enum ptx_operand_kind {
	PTX_O_NONE,
	PTX_O_REG,      /* reg */
	PTX_O_IMM,      /* imm, is_float, is_single */
	PTX_O_SPECIAL,  /* special */
	PTX_O_VARIABLE, /* var, imm: its address plus imm */
	PTX_O_FUNCTION, /* function: its address */
	PTX_O_LABEL,    /* label */
	PTX_O_VECTOR,   /* elems, count */
	PTX_O_MEMORY,   /* elems[0] is the base, imm the offset; further elems: coordinates */
	PTX_O_SINK,     /* "_" */
};

struct ptx_operand {
	enum ptx_operand_kind kind;
	uint8_t negate; /* "!p" */
	uint8_t is_float, is_single;
	enum ptx_special special;
	uint32_t reg;
	uint32_t count;
	int64_t imm;
	union {
		struct ptx_variable *var;
		struct ptx_function *function;
		struct ptx_label *label;
		struct ptx_operand *elems;
	};
	struct ptx_operand *pair; /* the q of "p|q" */
};

/* A place in the code; @stmt is set when its "label:" is read. */
struct ptx_label {
	struct ptx_word name;
	uint32_t scope, stmt, line;
	/* .branchtargets: the list is elems of this operand; NULL: a plain label */
	struct ptx_operand *targets;
	struct ptx_label *next;
};

struct ptx_stmt {
	enum ptx_opcode opcode;
	uint32_t line;
	uint32_t guard; /* virtual register, or PTX_NO_REG */
	uint8_t guard_negate;
	uint8_t unknown; /* has a modifier we do not know */
	uint8_t ntypes, nops;
	uint8_t types[6];
	uint64_t modifiers[PTX_MODIFIER_WORDS];
	struct ptx_operand *ops;
	/* calls: ops[0] is the callee; nops counts it alone */
	struct ptx_operand *args, *rets;
	uint32_t nargs, nrets;
	struct ptx_word text; /* opcode with modifiers, for messages */
};

struct ptx_body {
	struct ptx_function *function;
	struct ptx_stmt *stmts; /* malloc'd: freed by ptx_body_fini */
	uint32_t nstmts;
	uint8_t *reg_types; /* enum ptx_type of each virtual register; malloc'd */
	uint32_t nregs;
	uint64_t local_size; /* bytes of .local and .param variables of one frame */
	struct ptx_label *labels;
};

static inline int
ptx_has(const struct ptx_stmt *stmt, enum ptx_modifier modifier)
{
	return stmt->modifiers[modifier / 64] >> (modifier % 64) & 1;
}

/* Parses function->body. Errors leave through lx->failed; call ptx_body_fini in any case. */
void ptx_body_parse(struct ptx_lexer *lx, struct ptx_function *function, struct ptx_body *body);
void ptx_body_fini(struct ptx_body *body);

#endif
