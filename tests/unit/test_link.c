/* Linking PTX: what crosses modules is resolved once, what is internal stays apart. */
#include "interpose/link.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD ".version 8.0\n.target sm_75\n.address_size 64\n"

static char *linked;
static size_t linked_size;

static int
link_two(const char *a, const char *b)
{
	const char *texts[] = {a, b};

	linked = NULL;
	return genie_link_ptx(texts, 2, &linked, &linked_size);
}

static unsigned int
count(const char *what)
{
	unsigned int n = 0;

	for (const char *p = linked; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

Test(link, calls_and_variables_cross_modules)
{
	const char *p;

	cr_assert_eq(
		link_two(HEAD
			 "// a comment; with { everything\n"
			 ".extern .func (.param .b32 r) other\n(\n.param .b32 x\n)\n;\n"
			 ".extern .global .align 4 .u32 shared;\n"
			 ".visible .entry k() { call (r), other, (x); ld.u32 %r1, [shared]; }\n",
			 ".version 8.4\n.target sm_80\n.address_size 64\n"
			 ".visible .global .align 4 .u32 shared = 50;\n"
			 ".visible .func (.param .b32 r) other(.param .b32 x) { ret; }\n"),
		0);
	cr_assert_eq(linked_size, strlen(linked));
	cr_assert_eq(count(".version"), 1);
	cr_assert_eq(count(".version 8.4"), 1, "the newest");
	cr_assert_eq(count(".target sm_80"), 1);
	cr_assert_eq(count(".extern"), 0);
	cr_assert_eq(count(".visible .func (.param .b32 r) other(.param .b32 x)"), 2,
		     "a prototype and the function");
	cr_assert_eq(count("shared = 50"), 1);
	p = strstr(linked, "other(");
	cr_assert(p != NULL && p < strstr(linked, ".entry"), "declared before it is used");
	cr_assert(strstr(linked, "shared = 50") < strstr(linked, ".entry"));
	free(linked);
}

Test(link, internal_names_stay_apart)
{
	cr_assert_eq(
		link_two(HEAD ".global .align 1 .b8 $str[2] = {65, 0};\n"
			      ".visible .entry a() { mov.u64 %rd1, $str; mov.u64 %rd2, $str2; }\n",
			 HEAD ".global .align 1 .b8 $str[2] = {66, 0};\n"
			      ".visible .entry b() { mov.u64 %rd1, $str; mov.u64 %rd2, $str2; }\n"),
		0);
	cr_assert_eq(count("$str[2] = {65"), 1);
	cr_assert_eq(count("$str$m1[2] = {66"), 1);
	cr_assert_eq(count("%rd1, $str;"), 1);
	cr_assert_eq(count("%rd1, $str$m1;"), 1);
	cr_assert_eq(count("%rd2, $str2;"), 2, "another name is left alone");
	free(linked);
}

Test(link, the_first_of_several_definitions_stays)
{
	cr_assert_eq(link_two(HEAD ".weak .func f() { first; }\n.extern .func vprintf (.param "
				   ".b64 a);\n.extern .shared .align 16 .b8 smem[];\n",
			      HEAD ".weak .func f() { second; }\n.extern .func vprintf (.param "
				   ".b64 a);\n.extern .shared .align 16 .b8 smem[];\n"
				   ".file 1 \"name; {\"\n.section .debug_str { .b8 1,2 }\n"),
		     0);
	cr_assert_eq(count("first"), 1);
	cr_assert_eq(count("second"), 0);
	cr_assert_eq(count("vprintf"), 1, "undefined: declared once");
	cr_assert_eq(count("smem"), 1);
	cr_assert_eq(count(".section"), 0);
	free(linked);
}

Test(link, refuses_what_is_not_ptx)
{
	static const char *const bad[] = {"hello",
					  HEAD ".visible .entry k() {",
					  HEAD ".global .u32 x",
					  HEAD ".section .debug",
					  HEAD "}",
					  HEAD ".func f() { \"unterminated }"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(link_two(HEAD, bad[i]), -EINVAL, "%s", bad[i]);
}

/* Whatever the text is, nothing outside of it is read. */
Test(link, survives_damage)
{
	static const char good[] =
		HEAD ".extern .func (.param .b32 r) g (.param .b32 x);\n"
		     ".visible .global .align 4 .u32 v[2] = {1, 2};\n"
		     "/* c */ .weak .func (.param .b32 r) f(.param .b32 x) { { } \"s\"; }\n";
	unsigned int seed = 1;

	for (int i = 0; i < 20000; i++) {
		char *text = strdup(good);
		size_t len = strlen(text);

		for (int n = 0; n < 3; n++)
			text[(size_t)rand_r(&seed) % len] = "{}();.\"/*=x \n"[rand_r(&seed) % 13];
		text[(size_t)rand_r(&seed) % (len + 1)] = '\0';
		if (link_two(good, text) == 0)
			free(linked);
		free(text);
	}
}

Test(link, what_is_missing_is_named)
{
	char name[32];

	cr_assert_eq(genie_link_undefined(".version 7.0\n.target sm_52\n"
					  ".extern .func (.param .b32 r) other (.param .b32 v);\n",
					  name, sizeof(name)),
		     1);
	cr_assert_str_eq(name, "other");
	cr_assert_eq(genie_link_undefined(".version 7.0\n.extern .global .u32 bias;\n"
					  ".extern .func vprintf;\n",
					  name, sizeof(name)),
		     1);
	cr_assert_str_eq(name, "bias");
	cr_assert_eq(genie_link_undefined(".version 7.0\n.extern .shared .b8 memory[];\n"
					  ".extern .func (.param .b32 r) vprintf (.param .b64 f);\n"
					  ".visible .global .u32 bias;\n",
					  name, sizeof(name)),
		     0);
}
