/* The names of instructions and of what may follow them. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_OPCODE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_OPCODE_H

#include <stddef.h>

#include "remote/device_cpu/ptx/type.h"

enum ptx_opcode {
	PTX_OP_UNKNOWN,
#define OP(name) PTX_OP_##name,
#include "remote/device_cpu/ptx/opcode.def"
#undef OP
	PTX_OP_COUNT
};

enum ptx_modifier {
	PTX_M_UNKNOWN,
#define MOD(name, text) PTX_M_##name,
#include "remote/device_cpu/ptx/modifier.def"
#undef MOD
	PTX_M_COUNT
};

enum { PTX_MODIFIER_WORDS = (PTX_M_COUNT + 63) / 64 };

/* Special registers, and the other values that a warp finds in its frame. */
enum ptx_special {
	PTX_S_NONE,
#define SPECIAL(name, text, bytes, when) PTX_S_##name,
#include "remote/device_cpu/ptx/special.def"
#undef SPECIAL
	PTX_S_COUNT
};

/* When the value of a special register can change. */
enum ptx_special_when {
	PTX_WHEN_WARP,  /* differs between the warps of a block, else fixed for the launch */
	PTX_WHEN_BLOCK, /* differs between blocks */
	PTX_WHEN_READ,  /* at every read */
};

enum ptx_opcode ptx_opcode_find(const char *name, size_t len);
/* A type, or else a modifier; both 0: neither. */
void ptx_modifier_find(const char *name, size_t len, enum ptx_type *ret_type,
		       enum ptx_modifier *ret_modifier);
/* @name as written, "%tid.x". */
enum ptx_special ptx_special_find(const char *name, size_t len);
uint32_t ptx_special_size(enum ptx_special special);
enum ptx_special_when ptx_special_when(enum ptx_special special);

#endif
