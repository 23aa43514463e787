/* The types of PTX. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_TYPE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_TYPE_H

#include <stddef.h>
#include <stdint.h>

enum ptx_type {
	PTX_T_NONE,
#define TYPE(name, text, bytes, class) PTX_T_##name,
#include "remote/device_cpu/ptx/type.def"
#undef TYPE
	PTX_T_COUNT
};

enum ptx_space {
	PTX_SPACE_GENERIC,
	PTX_SPACE_GLOBAL,
	PTX_SPACE_CONST,
	PTX_SPACE_SHARED,
	PTX_SPACE_LOCAL,
	PTX_SPACE_PARAM,
	PTX_SPACE_REG,
};

/* PTX_T_NONE: no such type. */
enum ptx_type ptx_type_find(const char *name, size_t len);
uint32_t ptx_type_size(enum ptx_type type); /* bytes; of a predicate: 4 (a mask of lanes) */
const char *ptx_type_name(enum ptx_type type);
int ptx_type_is_signed(enum ptx_type type);
int ptx_type_is_float(enum ptx_type type); /* f16, bf16, f32, f64 */
/* The size of a register that holds @type: 8-bit types live in 16-bit registers. */
uint32_t ptx_type_reg_size(enum ptx_type type);

#endif
