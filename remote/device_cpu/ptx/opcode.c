#include "remote/device_cpu/ptx/opcode.h"

#include <pthread.h>
#include <string.h>

#include "remote/device_cpu/ptx/names.h"

static const char *const opcodes[PTX_OP_COUNT] = {
#define OP(name) [PTX_OP_##name] = #name,
#include "remote/device_cpu/ptx/opcode.def"
#undef OP
};

static const char *const modifiers[PTX_M_COUNT] = {
#define MOD(name, text) [PTX_M_##name] = text,
#include "remote/device_cpu/ptx/modifier.def"
#undef MOD
};

static const struct {
	const char *name;
	uint8_t size, when;
} specials[PTX_S_COUNT] = {
#define SPECIAL(name, text, bytes, when) [PTX_S_##name] = {text, bytes, PTX_WHEN_##when},
#include "remote/device_cpu/ptx/special.def"
#undef SPECIAL
};

enum { KIND_TYPE, KIND_MODIFIER };

/* Caches, filled once per process, read-only after that. */
static struct ptx_names opcode_names, modifier_names, special_names;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
fill_tables(void)
{
	for (intptr_t i = 1; i < PTX_OP_COUNT; i++)
		ptx_names_put(&opcode_names, opcodes[i], 0, (void *)i);
	for (intptr_t i = 1; i < PTX_M_COUNT; i++)
		ptx_names_put(&modifier_names, modifiers[i], KIND_MODIFIER, (void *)i);
	for (intptr_t i = 1; i < PTX_T_COUNT; i++)
		ptx_names_put(&modifier_names, ptx_type_name(i), KIND_TYPE, (void *)i);
	for (intptr_t i = 1; i < PTX_S_COUNT; i++)
		ptx_names_put(&special_names, specials[i].name, 0, (void *)i);
}

static const struct ptx_name *
look_up(const struct ptx_names *names, const char *name, size_t len)
{
	pthread_once(&once, fill_tables);
	return ptx_names_get(names, name, len);
}

enum ptx_opcode
ptx_opcode_find(const char *name, size_t len)
{
	const struct ptx_name *e = look_up(&opcode_names, name, len);

	return e ? (enum ptx_opcode)(intptr_t)e->value : PTX_OP_UNKNOWN;
}

void
ptx_modifier_find(const char *name, size_t len, enum ptx_type *ret_type,
		  enum ptx_modifier *ret_modifier)
{
	const struct ptx_name *e = look_up(&modifier_names, name, len);

	*ret_type = PTX_T_NONE;
	*ret_modifier = PTX_M_UNKNOWN;
	if (e && e->kind == KIND_TYPE)
		*ret_type = (enum ptx_type)(intptr_t)e->value;
	else if (e)
		*ret_modifier = (enum ptx_modifier)(intptr_t)e->value;
}

enum ptx_special
ptx_special_find(const char *name, size_t len)
{
	const struct ptx_name *e = look_up(&special_names, name, len);

	return e ? (enum ptx_special)(intptr_t)e->value : PTX_S_NONE;
}

uint32_t
ptx_special_size(enum ptx_special special)
{
	return specials[special].size;
}

enum ptx_special_when
ptx_special_when(enum ptx_special special)
{
	return specials[special].when;
}
