#include "remote/device_cpu/ptx/type.h"

#include <string.h>

static const struct {
	const char *name;
	uint8_t size;
	char class;
} types[PTX_T_COUNT] = {
#define TYPE(name, text, bytes, class) [PTX_T_##name] = {text, bytes, #class[0]},
#include "remote/device_cpu/ptx/type.def"
#undef TYPE
};

enum ptx_type
ptx_type_find(const char *name, size_t len)
{
	for (int t = 1; t < PTX_T_COUNT; t++)
		if (!strncmp(types[t].name, name, len) && !types[t].name[len])
			return t;
	return PTX_T_NONE;
}

uint32_t
ptx_type_size(enum ptx_type type)
{
	return types[type].size;
}

const char *
ptx_type_name(enum ptx_type type)
{
	return types[type].name ? types[type].name : "none";
}

int
ptx_type_is_signed(enum ptx_type type)
{
	return types[type].class == 'S';
}

int
ptx_type_is_float(enum ptx_type type)
{
	return types[type].class == 'F';
}

uint32_t
ptx_type_reg_size(enum ptx_type type)
{
	return types[type].size < 2 ? 2 : types[type].size;
}
