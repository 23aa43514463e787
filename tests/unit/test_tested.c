/* base/tested.c: versions that were tried. */
#include "base/tested.h"

#include <criterion/criterion.h>
#include <string.h>

Test(tested, ranges)
{
	static const struct {
		enum genie_tested_what what;
		const char *version;
		int compared;
	} cases[] = {
		{GENIE_TESTED_PYTHON, "3.11.7", 0},
		{GENIE_TESTED_PYTHON, "3.13.0rc1", 0},
		{GENIE_TESTED_PYTHON, "3.9.2", -1},
		{GENIE_TESTED_PYTHON, "2.7.18", -1},
		{GENIE_TESTED_PYTHON, "3.14.0", 1},
		{GENIE_TESTED_PYTHON, "4", 1},
		{GENIE_TESTED_PYTHON, "3", -1},
		{GENIE_TESTED_PYTORCH, "2.11.0+cu130", 0},
		{GENIE_TESTED_PYTORCH, "2.11.1", 0},
		{GENIE_TESTED_PYTORCH, "2.2.0", -1},
		{GENIE_TESTED_PYTORCH, "2.12.0a0", 1},
		{GENIE_TESTED_DRIVER, "13.0", 0},
		{GENIE_TESTED_DRIVER, "12.9", -1},
		{GENIE_TESTED_DRIVER, "13.1", 0},
		{GENIE_TESTED_COMPILER, "12.4", 0},
		{GENIE_TESTED_CUBLAS, "13.1.0.3", 0},
		{GENIE_TESTED_PYTHON, "", -1},
		{GENIE_TESTED_PYTHON, "nonsense", -1},
		{GENIE_TESTED_PYTHON, "-3.12", -1},
		{GENIE_TESTED_PYTHON, "3.99999999999999999999", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(genie_tested_compare(cases[i].what, cases[i].version),
			     cases[i].compared, "%s %s", genie_tested[cases[i].what].name,
			     cases[i].version);
}

/* What is written down makes sense: a range is not empty, and there is something to do. */
Test(tested, table)
{
	for (int what = 0; what < GENIE_TESTED_COUNT; what++) {
		const struct genie_tested *tested = &genie_tested[what];

		cr_assert_eq(genie_tested_compare(what, tested->oldest), 0, "%s", tested->name);
		cr_assert_eq(genie_tested_compare(what, tested->newest), 0, "%s", tested->name);
		cr_assert(*tested->name && *tested->key && *tested->advice);
	}
}
