/*
 * As much of Criterion as the tests of remote/ use, without its library: the thread sanitizer and
 * Criterion's shared memory do not go together. Put this folder before the system's on the include
 * path. Each test runs in a process of its own; exit status 0 when all pass.
 */
#ifndef GENIE_TESTS_UNIT_PLAIN_CRITERION_H
#define GENIE_TESTS_UNIT_PLAIN_CRITERION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct plain_opts {
	void (*init)(void);
	void (*fini)(void);
	double timeout;
};

struct plain_suite {
	struct plain_suite *next;
	const char *name;
	struct plain_opts opts;
};

struct plain_test {
	struct plain_test *next;
	const char *suite, *name;
	void (*run)(void);
	struct plain_opts opts;
};

extern struct plain_suite *plain_suites;
extern struct plain_test *plain_tests;

#define TestSuite(id, ...)                                                                         \
	static struct plain_suite plain_suite_##id = {.name = #id, .opts = {__VA_ARGS__}};         \
	static __attribute__((constructor)) void plain_add_suite_##id(void)                        \
	{                                                                                          \
		plain_suite_##id.next = plain_suites;                                              \
		plain_suites = &plain_suite_##id;                                                  \
	}                                                                                          \
	struct plain_suite /* takes the semicolon */

#define Test(id, test, ...)                                                                        \
	static void plain_run_##test(void);                                                        \
	static struct plain_test plain_test_##test = {                                             \
		.suite = #id, .name = #test, .run = plain_run_##test, .opts = {__VA_ARGS__}};      \
	static __attribute__((constructor)) void plain_add_##test(void)                            \
	{                                                                                          \
		plain_test_##test.next = plain_tests;                                              \
		plain_tests = &plain_test_##test;                                                  \
	}                                                                                          \
	static void plain_run_##test(void)

#define cr_assert(condition, ...)                                                                  \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define cr_assert_not(a, ...)             cr_assert(!(a))
#define cr_assert_arr_eq(a, b, size, ...) cr_assert(memcmp((a), (b), (size)) == 0)
#define cr_assert_eq(a, b, ...)           cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...)          cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...)           cr_assert((a) < (b))
#define cr_assert_leq(a, b, ...)          cr_assert((a) <= (b))
#define cr_assert_gt(a, b, ...)           cr_assert((a) > (b))
#define cr_assert_geq(a, b, ...)          cr_assert((a) >= (b))
#define cr_assert_null(a, ...)            cr_assert(!(a))
#define cr_assert_not_null(a, ...)        cr_assert((a) != NULL)
#define cr_assert_str_eq(a, b, ...)       cr_assert(!strcmp((a), (b)))

#endif
