#include "base/tested.h"

#include <stddef.h>
#include <stdlib.h>

const struct genie_tested genie_tested[GENIE_TESTED_COUNT] = {
#define TESTED(what, name, oldest, newest, advice)                                                 \
	[GENIE_TESTED_##what] = {#what, name, oldest, newest, advice},
#include "base/tested.def"
#undef TESTED
};

/* The next number of @*version; 0 when there is none. */
static unsigned long
number(const char **version)
{
	char *end = NULL;
	unsigned long value;

	if (**version < '0' || **version > '9')
		return 0;
	value = strtoul(*version, &end, 10);
	*version = *end == '.' ? end + 1 : end;
	return value;
}

/* Only as far as @bound is written. */
static int
compare(const char *version, const char *bound)
{
	while (*bound) {
		unsigned long have = number(&version), limit = number(&bound);

		if (have != limit)
			return have < limit ? -1 : 1;
	}
	return 0;
}

int
genie_tested_compare(enum genie_tested_what what, const char *version)
{
	if (compare(version, genie_tested[what].oldest) < 0)
		return -1;
	return compare(version, genie_tested[what].newest) > 0;
}
