/*
 * A lowered function: an array of decoded instructions, each with the function that executes it,
 * over a frame of registers. A register holds its value for all 32 lanes side by side; a predicate
 * is a mask of lanes.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_CODE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_CODE_H

#include <stdint.h>

#include "remote/device_cpu/ptx/arena.h"
#include "remote/device_cpu/ptx/module.h"
#include "remote/device_cpu/ptx/opcode.h"

struct ptx_insn;
struct ptx_warp;

enum {
	PTX_LANES = 32,
	/* The first bytes of a frame take the results of pure instructions under a mask. */
	PTX_SCRATCH_SIZE = 512,
};

/*
 * Executes @insn for the warp's active lanes with registers at @regs, and returns the next
 * instruction; NULL: the warp stops and its event says why.
 */
typedef const struct ptx_insn *(*ptx_exec_fn)(const struct ptx_insn *insn, uint8_t *regs,
					      struct ptx_warp *warp);

enum ptx_insn_flags {
	/* Computes dst from its operands lane by lane and does nothing else: runs for all lanes and
	 * is masked afterwards. Not set where no lane minds what is in its part of dst. */
	PTX_INSN_PURE = 1,
	PTX_INSN_NEGATE = 2,      /* the guard is negated */
	PTX_INSN_ROUND_SHIFT = 2, /* two bits: the rounding mode */
	PTX_INSN_ROUND = 3 << PTX_INSN_ROUND_SHIFT,
	PTX_INSN_FLAG_A = 16, /* the handler's own */
	PTX_INSN_FLAG_B = 32,
	PTX_INSN_FLAG_C = 64,
	PTX_INSN_FLAG_D = 128,
};

enum ptx_round { PTX_ROUND_RN, PTX_ROUND_RZ, PTX_ROUND_RM, PTX_ROUND_RP };

struct ptx_insn {
	ptx_exec_fn exec;
	union {
		uint64_t imm;
		const struct ptx_insn *target; /* of a branch */
		const uint32_t *list;          /* further registers */
		const void *data;              /* a handler's own description */
	};
	uint32_t dst, a, b, c; /* places in the frame */
	union {
		uint32_t d;
		int32_t offset; /* of memory accesses */
	};
	uint32_t guard; /* place of the predicate; 0: none */
	uint32_t line;
	uint16_t op; /* enum ptx_handler */
	uint8_t flags;
	uint8_t n;
};

/* The handlers: enum ptx_handler, and what masking needs to know of each. */
enum ptx_handler {
	PTX_H_NONE,
#define UN(name, r, a, expr)         PTX_H_##name,
#define BIN(name, r, a, b, expr)     PTX_H_##name,
#define TER(name, r, a, b, c, expr)  PTX_H_##name,
#define QUAD(name, r, a, b, c, d, e) PTX_H_##name,
#define SEL(name, r, a, b, expr)     PTX_H_##name,
#define CMP1(name, a, expr)          PTX_H_##name,
#define CMP2(name, a, b, expr)       PTX_H_##name,
#define CMPC(name, a, b, expr)       PTX_H_##name,
#define MASK1(name, expr)            PTX_H_##name,
#define MASK2(name, expr)            PTX_H_##name,
#define MASK3(name, expr)            PTX_H_##name,
#define UN_Z(name, expr)             PTX_H_##name##_f32, PTX_H_##name##_f32z,
#define BIN_Z(name, expr)            PTX_H_##name##_f32, PTX_H_##name##_f32z,
#define TER_Z(name, expr)            PTX_H_##name##_f32, PTX_H_##name##_f32z,
#define CMP2_Z(name, expr)           PTX_H_##name##_f32, PTX_H_##name##_f32z,
#define HALF(name)                                                                                 \
	PTX_H_##name##_f16, PTX_H_##name##_f16x2, PTX_H_##name##_bf16, PTX_H_##name##_bf16x2,
#define HUN(name, expr)    HALF(name)
#define HBIN(name, expr)   HALF(name)
#define HTER_D(name, expr) HALF(name)
#define PURE(name, bytes)  PTX_H_##name,
#define ACT(name)          PTX_H_##name,
#include "remote/device_cpu/ptx/handlers.def"
	PTX_H_COUNT
};
#undef UN
#undef BIN
#undef TER
#undef QUAD
#undef SEL
#undef CMP1
#undef CMP2
#undef CMPC
#undef MASK1
#undef MASK2
#undef MASK3
#undef UN_Z
#undef BIN_Z
#undef TER_Z
#undef CMP2_Z
#undef HALF
#undef HUN
#undef HBIN
#undef HTER_D
#undef PURE
#undef ACT

/*
 * Values that a frame holds from its start, beside literals: special registers, addresses that
 * depend on the launch, kernel parameters.
 */
enum ptx_fixed_kind {
	PTX_FIXED_LITERAL, /* value */
	PTX_FIXED_SPECIAL, /* value: enum ptx_special */
	PTX_FIXED_PARAM,   /* value: offset in the launch's parameters; type: how it is loaded */
	PTX_FIXED_SHARED,  /* var: the offset of a shared variable, plus value */
	PTX_FIXED_LOCAL,   /* value: offset in the frame's local memory */
};

struct ptx_fixed {
	enum ptx_fixed_kind kind;
	uint32_t place; /* in the frame */
	uint8_t size;   /* of a lane; 4 with predicate set: a mask */
	uint8_t type;   /* enum ptx_type, of a parameter */
	uint8_t predicate;
	uint64_t value;
	const struct ptx_variable *var;
};

/* One parameter or result of a call: from where in the caller to where in the callee. */
struct ptx_argument {
	uint8_t is_register;
	uint8_t size;    /* of a register's lane; predicates do not pass */
	uint32_t place;  /* a register of the caller */
	uint32_t offset; /* else: in the caller's local memory */
	uint32_t bytes;
};

/* What an atomic instruction's data points at. */
enum ptx_atomic {
	PTX_ATOMIC_NONE,
	PTX_ATOMIC_ADD,
	PTX_ATOMIC_MIN,
	PTX_ATOMIC_MAX,
	PTX_ATOMIC_AND,
	PTX_ATOMIC_OR,
	PTX_ATOMIC_XOR,
	PTX_ATOMIC_INC,
	PTX_ATOMIC_DEC,
	PTX_ATOMIC_EXCH,
	PTX_ATOMIC_CAS,
};

struct ptx_atomic_data {
	enum ptx_atomic operation;
	enum ptx_type type;
	uint8_t way;  /* how memory is reached: by address, through a window, local */
	uint8_t size; /* bytes in memory */
};

/*
 * What a matrix instruction's data points at: D = A * B + C with A of m x k, B of k x n.
 * regs: the registers of D, A, B, C in this order.
 */
struct ptx_matrix {
	uint32_t m, n, k;
	uint8_t type_d, type_a, type_b, type_c; /* enum ptx_type */
	uint8_t nd, na, nb, nc;                 /* registers of each */
	uint8_t saturate;
	uint8_t bit_and;             /* one-bit matrices: and instead of xor */
	uint8_t col_a, col_b, col_c; /* wmma: column-major in memory */
	uint8_t which;               /* wmma.load: 'a', 'b' or 'c' */
	uint8_t way;                 /* wmma.load, .store: how memory is reached */
	uint8_t sparse, selector;    /* mma.sp: half of A, and which lanes say which half */
	const uint32_t *regs;
};

/* What a video instruction's data points at: one, two or four sums at a time, and what follows. */
struct ptx_video {
	enum {
		PTX_VIDEO_ADD,
		PTX_VIDEO_SUB,
		PTX_VIDEO_ABSDIFF,
		PTX_VIDEO_MIN,
		PTX_VIDEO_MAX,
		PTX_VIDEO_AVRG,
		PTX_VIDEO_SHL,
		PTX_VIDEO_SHR,
		PTX_VIDEO_SET,
		PTX_VIDEO_MAD,
	} operation;
	uint8_t parts;                        /* 1, 2 or 4 */
	uint8_t signed_d, signed_a, signed_b; /* types */
	uint8_t saturate, wrap;
	enum { PTX_VIDEO_NOTHING, PTX_VIDEO_THEN_ADD, PTX_VIDEO_THEN_MIN, PTX_VIDEO_THEN_MAX } then;
	enum {
		PTX_VIDEO_EQ,
		PTX_VIDEO_NE,
		PTX_VIDEO_LT,
		PTX_VIDEO_LE,
		PTX_VIDEO_GT,
		PTX_VIDEO_GE
	} compare;
};

/* What a tensor copy's data points at. */
struct ptx_tensor_copy {
	uint8_t dimensions;
	uint8_t store;     /* from shared memory to the tensor */
	uint8_t multicast; /* to the blocks that the mask names */
	/* the map, the address in shared memory, the coordinates, the barrier, the mask */
	const uint32_t *regs;
};

/* What a texture or surface instruction's data points at. */
struct ptx_image_access {
	uint8_t dimensions; /* coordinates, without the layer */
	uint8_t layered, cube;
	uint8_t store;     /* surfaces */
	uint8_t count;     /* of elements read or written */
	uint8_t bytes;     /* of an element of a surface */
	uint8_t type;      /* enum ptx_type, of a texture's result */
	uint8_t integer;   /* coordinates are integers */
	uint8_t gather;    /* tld4: 1 + the component */
	uint8_t reference; /* the handle is in a .texref or .surfref variable */
	enum { PTX_IMAGE_NO_LOD, PTX_IMAGE_LOD, PTX_IMAGE_GRADIENT } lod;
	enum { PTX_IMAGE_TRAP, PTX_IMAGE_ZERO, PTX_IMAGE_TO_EDGE } outside; /* surfaces */
	/* elements; then the handle, the layer if there is one, the coordinates, the level or the
	 * derivatives along x and y */
	const uint32_t *regs;
};

/* Beside the number of a query: the handle is in a variable. */
#define PTX_QUERY_REFERENCE 0x100

/* What a call instruction's data points at. */
struct ptx_call {
	struct ptx_function *function; /* NULL: indirect, the insn's a holds the address */
	struct ptx_argument *args, *rets;
	uint32_t nargs, nrets;
};

struct ptx_code {
	struct ptx_function *function;
	struct ptx_insn *insns;
	uint32_t ninsns;
	uint32_t frame_size; /* bytes of registers */
	uint32_t local_size; /* bytes of local memory in a frame */
	uint32_t registers;  /* 32-bit registers a thread needs, an estimate */
	/* Literals first, then what differs between warps and launches, then between blocks. */
	struct ptx_fixed *fixed;
	uint32_t first_varying, first_of_block;
	uint32_t nfixed;
	uint8_t *image; /* the literals as they lie in a frame, at image_place */
	uint32_t image_place, image_size;
	/* Registers of a function's .reg parameters and results, by number of the parameter. */
	uint32_t *param_places, *ret_places;
	/* What the code can reach. */
	struct ptx_function **callees;
	uint32_t ncallees;
	const struct ptx_variable **shared;
	uint32_t nshared;
	uint8_t indirect;        /* has indirect calls */
	uint8_t reserved_shared; /* asks for the system's part of shared memory */
	uint32_t unsupported;    /* statements that fault when executed */
	struct ptx_arena arena;  /* lists and descriptions of instructions */
};

/* Compiles a parsed body. Errors leave through the lexer's jump. */
struct ptx_body;
struct ptx_lexer;
struct ptx_code *ptx_lower(struct ptx_lexer *lx, struct ptx_body *body);
void ptx_code_free(struct ptx_code *code);

/* The handlers of the best instruction set that this CPU has. */
const ptx_exec_fn *ptx_handlers(void);
/* The same table, after the first call of ptx_handlers. */
extern ptx_exec_fn ptx_handler_table[];
/* Bytes of a lane of a pure handler's result; 0: a predicate. -1: not pure. */
int ptx_handler_result(enum ptx_handler handler);
/* Bytes of a lane of operand a, b, c, d; 0: a predicate; -1: none, or not checked. */
int ptx_handler_operand(enum ptx_handler handler, int operand);
const char *ptx_handler_name(enum ptx_handler handler);

/* A kernel as a launch sees it. */
struct ptx_kernel {
	struct ptx_function *function;
	const struct ptx_code *code;
	/* Static shared variables of the kernel and all it calls, and their offsets. */
	struct ptx_shared_place {
		const struct ptx_variable *var;
		uint32_t offset;
	} * shared; /* sorted by var */
	uint32_t nshared;
	uint32_t static_shared;  /* bytes */
	uint32_t dynamic_offset; /* where dynamic shared memory begins */
	uint32_t local_size;     /* bytes per thread, all frames */
	_Atomic int prepared;
};

void ptx_kernel_free(struct ptx_kernel *kernel);

#endif
