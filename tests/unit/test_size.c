/* Sizes as people write them. */
#include "base/size.h"

#include <criterion/criterion.h>

Test(size, what_is_one)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
		{"0", 0},
		{"123", 123},
		{"1k", 1024},
		{"512M", 512u << 20},
		{"3g", UINT64_C(3) << 30},
		{"2T", UINT64_C(2) << 40},
		{"18446744073709551615", UINT64_MAX},
		{"16777215T", UINT64_C(16777215) << 40},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = 7;

		cr_assert(genie_size_parse(cases[i].text, &size), "%s", cases[i].text);
		cr_assert_eq(size, cases[i].size, "%s", cases[i].text);
	}
}

Test(size, what_is_none)
{
	static const char *const cases[] = {"",
					    "M",
					    "-1",
					    "+1",
					    " 1",
					    "1 M",
					    "1MB",
					    "1.5G",
					    "1x",
					    "0x1",
					    "1KK",
					    "16777216T",
					    "18446744073709551616"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = 7;

		cr_assert_not(genie_size_parse(cases[i], &size), "%s", cases[i]);
		cr_assert_eq(size, 7);
	}
}
