/* The versions that Genie was tried with: tested.def as a table. */
#ifndef GENIE_BASE_TESTED_H
#define GENIE_BASE_TESTED_H

#include <stdbool.h>

enum genie_tested_what {
#define TESTED(what, name, oldest, newest, advice) GENIE_TESTED_##what,
#include "base/tested.def"
#undef TESTED
	GENIE_TESTED_COUNT
};

struct genie_tested {
	const char *key, *name; /* in capitals, as tested.def has it; for people */
	const char *oldest, *newest;
	const char *advice;
};
extern const struct genie_tested genie_tested[GENIE_TESTED_COUNT];

/* "2.11.0+cu130" and the like: -1 older than what was tried, 0 tried, 1 newer. */
int genie_tested_compare(enum genie_tested_what what, const char *version);

#endif
