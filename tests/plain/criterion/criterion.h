/*
 * Just enough of Criterion's interface to run our tests without it: Criterion places its arena at
 * an address that ThreadSanitizer needs for itself. Put this folder before the system's in the
 * include path and link nothing. Each test runs in a process of its own, one after the other;
 * arguments name the tests to run ("suite" or "suite::name"). Exit status 0, or 1.
 */
#ifndef GENIE_TESTS_PLAIN_CRITERION_H
#define GENIE_TESTS_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct plain_options {
	double timeout;
	void (*init)(void);
	void (*fini)(void);
	bool disabled;
	int exit_code, signal;
};

struct plain_params {
	void *items;
	size_t size, count;
};

struct plain_test {
	const char *suite, *name;
	void (*plain)(void);
	void (*with)(void *param);
	struct plain_params (*params)(void);
	struct plain_options options;
	struct plain_test *next;
};

static struct plain_test *plain_tests;

static inline void
plain_add(struct plain_test *test)
{
	struct plain_test **at = &plain_tests;

	while (*at)
		at = &(*at)->next;
	*at = test;
}

#define PLAIN_REGISTER(suite_, name_, ...)                                                         \
	static struct plain_test suite_##_##name_##_test = {                                       \
		.suite = #suite_, .name = #name_, __VA_ARGS__};                                    \
	__attribute__((constructor)) static void suite_##_##name_##_register(void)                 \
	{                                                                                          \
		plain_add(&suite_##_##name_##_test);                                               \
	}

#define Test(suite_, name_, ...)                                                                   \
	static void suite_##_##name_##_impl(void);                                                 \
	PLAIN_REGISTER(suite_, name_, .plain = suite_##_##name_##_impl, .options = {__VA_ARGS__})  \
	static void suite_##_##name_##_impl(void)

#define plain_check(condition, text, ...)                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, text);          \
			fprintf(stderr, "  " __VA_ARGS__);                                         \
			fprintf(stderr, "\n");                                                     \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define cr_assert(condition, ...)     plain_check(condition, #condition, "" __VA_ARGS__)
#define cr_assert_not(condition, ...) plain_check(!(condition), "not " #condition, "" __VA_ARGS__)
#define cr_assert_eq(a, b, ...)       plain_check((a) == (b), #a " == " #b, "" __VA_ARGS__)
#define cr_assert_neq(a, b, ...)      plain_check((a) != (b), #a " != " #b, "" __VA_ARGS__)
#define cr_assert_lt(a, b, ...)       plain_check((a) < (b), #a " < " #b, "" __VA_ARGS__)
#define cr_assert_leq(a, b, ...)      plain_check((a) <= (b), #a " <= " #b, "" __VA_ARGS__)
#define cr_assert_gt(a, b, ...)       plain_check((a) > (b), #a " > " #b, "" __VA_ARGS__)
#define cr_assert_geq(a, b, ...)      plain_check((a) >= (b), #a " >= " #b, "" __VA_ARGS__)
#define cr_assert_null(a, ...)        plain_check(!(a), #a " is NULL", "" __VA_ARGS__)
#define cr_assert_not_null(a, ...)    plain_check((a), #a " is not NULL", "" __VA_ARGS__)
#define cr_assert_fail(...)           plain_check(false, "fail", "" __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)   plain_check(!strcmp((a), (b)), #a " says " #b, "" __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)                                                          \
	plain_check(!memcmp((a), (b), (size)), #a " equals " #b, "" __VA_ARGS__)
#define cr_expect         cr_assert
#define cr_expect_eq      cr_assert_eq
#define cr_expect_not     cr_assert_not
#define cr_expect_str_eq  cr_assert_str_eq
#define cr_log_info(...)  ((void)0)
#define cr_skip_test(...) _exit(0)

/* Runs @test in a child; true when it passed. */
static inline bool
plain_run(const struct plain_test *test, void *param)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (!child) {
		/* Sanitizers are slow: ten times what the test allows itself. */
		alarm(test->options.timeout > 0 ? (unsigned)(test->options.timeout * 10) : 120);
		if (test->options.init)
			test->options.init();
		if (test->plain)
			test->plain();
		else
			test->with(param);
		if (test->options.fini)
			test->options.fini();
		exit(0);
	}
	waitpid(child, &status, 0);
	if (test->options.signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
	if (WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code)
		return true;
	fprintf(stderr, "FAIL %s::%s (status 0x%x)\n", test->suite, test->name, status);
	return false;
}

static inline bool
plain_wanted(const struct plain_test *test, int argc, char **argv)
{
	char full[256];
	bool wanted = argc < 2;

	snprintf(full, sizeof(full), "%s::%s", test->suite, test->name);
	for (int i = 1; i < argc; i++)
		wanted |= !strcmp(argv[i], test->suite) || !strcmp(argv[i], full);
	return wanted && !test->options.disabled;
}

int
main(int argc, char **argv)
{
	unsigned run = 0, failed = 0;

	for (struct plain_test *test = plain_tests; test; test = test->next) {
		struct plain_params params = {.count = 1};

		if (!plain_wanted(test, argc, argv))
			continue;
		if (test->params)
			params = test->params();
		for (size_t i = 0; i < params.count; i++, run++)
			failed += !plain_run(test, (char *)params.items + i * params.size);
	}
	printf("%u tests, %u failed\n", run, failed);
	return failed != 0;
}

#endif
