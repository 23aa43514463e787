/*
 * From parsed statements to instructions. Statements become a list of IR instructions over values
 * (registers without number limits), in basic blocks; then copies are propagated, blocks are laid
 * out, values get places in the frame, and the list becomes a struct ptx_code.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_LOWER_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_LOWER_H

#include "remote/device_cpu/ptx/body.h"
#include "remote/device_cpu/ptx/code.h"

enum { PTX_NO_VALUE = UINT32_MAX, PTX_NO_BLOCK = UINT32_MAX, PTX_PREDICATE = 0 };

/* A register of the program, a temporary, or a value that the frame holds from its start. */
struct ptx_value {
	uint8_t size; /* bytes of a lane; PTX_PREDICATE: a mask */
	uint8_t fixed;
	uint8_t temporary;
	uint8_t pinned; /* has its place for the whole function */
	uint32_t fixed_index;
	uint32_t place; /* 0: not placed */
	uint32_t defs, uses;
	uint32_t alias;       /* the value that this one equals, or PTX_NO_VALUE */
	uint32_t home;        /* block, if all uses and definitions are in one */
	uint32_t stretch;     /* the same for a stretch of code without a stop: place.c */
	uint32_t first, last; /* positions between which it is needed */
	uint32_t global;      /* number among values that live across blocks */
};

enum ptx_roles {
	PTX_DEF_DST = 1,
	PTX_USE_DST = 2,
	PTX_USE_A = 4,
	PTX_USE_B = 8,
	PTX_USE_C = 16,
	PTX_USE_D = 32,
	PTX_LIST_DEF = 64,   /* the list's values are written */
	PTX_LIST_USE = 128,  /* they are read; with both, the first ndefs are written */
	PTX_LIST_DATA = 256, /* the instruction's data points at the list */
};

struct ptx_ir {
	struct ptx_insn insn; /* dst, a, b, c, d, guard are values */
	uint16_t roles;
	uint8_t dead;
	uint32_t nlist, ndefs;
	uint32_t *list;    /* values; in the code's arena */
	uint32_t target;   /* block, of a branch */
	uint32_t *targets; /* blocks, of brx */
	uint32_t ntargets;
};

struct ptx_bb {
	uint32_t first, count; /* IR */
	uint32_t next;         /* where control falls, or PTX_NO_BLOCK */
	uint32_t order;        /* position in the layout */
	/* layout's and liveness's own */
	uint32_t mark, low, component;
	uint64_t *live_in, *live_out;
};

struct ptx_lower {
	struct ptx_lexer *lx;
	struct ptx_body *body;
	struct ptx_code *code;

	struct ptx_value *values; /* the first body->nregs are the program's registers */
	uint32_t nvalues, value_room;
	struct ptx_ir *ir;
	uint32_t nir, ir_room;
	struct ptx_bb *blocks;
	uint32_t nblocks, block_room;
	uint32_t *layout; /* blocks in order */
	uint32_t nlayout;
	struct ptx_fixed *fixed;
	uint32_t nfixed, fixed_room;
	uint32_t *fixed_hash; /* values of fixed entries + 1, open addressing */
	uint32_t fixed_hash_size;
	uint32_t *stmt_block; /* block that begins at a statement, or PTX_NO_BLOCK */
	struct ptx_function **callees;
	uint32_t ncallees, callee_room;
	const struct ptx_variable **shared;
	uint32_t nshared, shared_room;
	uint32_t carry; /* the condition code register */

	const struct ptx_stmt *stmt; /* being lowered */
	uint32_t guard;
	uint8_t guard_negate;
	int unsupported; /* the statement cannot be lowered */
	/* A result narrower or wider than its register, to be resized after the instruction. */
	struct ptx_resize {
		uint32_t from, to;
		uint8_t is_signed;
	} resize[8];
	uint32_t nresize;
};

/* lower_value.c: values and operands */
uint32_t ptx_value_new(struct ptx_lower *l, uint8_t size);
uint32_t ptx_value_literal(struct ptx_lower *l, uint8_t size, uint64_t bits);
uint32_t ptx_value_fixed(struct ptx_lower *l, const struct ptx_fixed *fixed);
/* The operand as a value of @type's size; immediates are read as @type. */
uint32_t ptx_use(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type);
uint32_t ptx_use_size(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size);
uint32_t ptx_use_predicate(struct ptx_lower *l, const struct ptx_operand *op);
/* The operand as it is: a register of any size. */
uint32_t ptx_use_any(struct ptx_lower *l, const struct ptx_operand *op);
uint32_t ptx_resized(struct ptx_lower *l, uint32_t value, uint8_t size, int is_signed);
/* The value that an instruction writes for this operand. */
uint32_t ptx_result(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size);
uint32_t ptx_result_signed(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size,
			   int is_signed);

/* lower.c: instructions. Registers without a use are PTX_NO_VALUE. */
struct ptx_ir *ptx_emit(struct ptx_lower *l, enum ptx_handler handler, uint32_t dst, uint32_t a,
			uint32_t b, uint32_t c);
struct ptx_ir *ptx_emit4(struct ptx_lower *l, enum ptx_handler handler, uint32_t dst, uint32_t a,
			 uint32_t b, uint32_t c, uint32_t d);
/* A pure instruction into a new temporary. */
uint32_t ptx_temp(struct ptx_lower *l, enum ptx_handler handler, uint32_t a, uint32_t b,
		  uint32_t c);
uint32_t *ptx_list(struct ptx_lower *l, uint32_t count);
void *ptx_lower_alloc(struct ptx_lower *l, size_t size); /* in the code's arena */
void *ptx_lower_grow(struct ptx_lower *l, void *array, uint32_t *room, size_t size);
/* The statement turns into a fault that names it. */
void ptx_unsupported(struct ptx_lower *l);
uint32_t ptx_block_of(struct ptx_lower *l, const struct ptx_operand *label);

/* What the modifiers of the statement say. */
enum ptx_round ptx_round_of(const struct ptx_stmt *stmt);
enum ptx_space ptx_space_of(const struct ptx_stmt *stmt);
int ptx_vector_of(const struct ptx_stmt *stmt);
static inline int
ptx_size_index(uint32_t size)
{
	return size == 2 ? 0 : size == 4 ? 1 : 2;
}
/* u16 s16 u32 s32 u64 s64 → 0…5 */
int ptx_type_index(enum ptx_type type);

/* The families. Each sets l->unsupported for what it does not know. */
void ptx_lower_int(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_compare(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_float(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_cvt(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_mov(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_memory(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_atomic(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_warp(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_matrix(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_flow(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_video(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_image(struct ptx_lower *l, const struct ptx_stmt *stmt);
void ptx_lower_sync(struct ptx_lower *l, const struct ptx_stmt *stmt);
/* A memory operand's address as a generic one; @cluster: it may be another block's. */
uint32_t ptx_generic_address(struct ptx_lower *l, const struct ptx_operand *op,
			     enum ptx_space space, int cluster);
int ptx_memory_operand(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_space *space,
		       uint32_t *ret_address, int32_t *ret_offset);

/* layout.c, assigned.c, propagate.c, place.c, write.c */
void ptx_layout(struct ptx_lower *l);
/* The @k-th block that control may go to from @block; PTX_NO_BLOCK past the last. */
uint32_t ptx_successor(struct ptx_lower *l, uint32_t block, uint32_t k);
/*
 * For each value that a copy concerns and that is written once: may it be read before that? NULL:
 * out of memory. Needs values' defs. Free with free().
 */
uint8_t *ptx_early_reads(struct ptx_lower *l, int (*is_copy)(const struct ptx_ir *ir));
void ptx_propagate(struct ptx_lower *l);
void ptx_place(struct ptx_lower *l);
void ptx_write_code(struct ptx_lower *l);
/* Calls @visit for every value that the instruction reads (is_def 0) or writes (1). */
void ptx_ir_values(struct ptx_lower *l, struct ptx_ir *ir,
		   void (*visit)(struct ptx_lower *l, uint32_t *value, int is_def, void *data),
		   void *data);

#endif
