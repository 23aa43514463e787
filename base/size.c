#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool
genie_size_parse(const char *text, uint64_t *ret_size)
{
	static const char units[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end && (unit = strchr(units, toupper((unsigned char)*end)))) {
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
	}
	if (*end || value > UINT64_MAX >> shift)
		return false;
	*ret_size = (uint64_t)value << shift;
	return true;
}
