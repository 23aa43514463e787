/*
 * As much of Criterion's interface as our tests use, without its library: Criterion places its
 *arena at an address that ThreadSanitizer needs for itself. This folder comes before the system's
 *in the include path, and nothing is linked. As with Criterion each test runs in a process of its
 *own (here one after the other), its fini functions run after a failed assertion too, and one that
 *takes too long is ended.
 *
 *	test_NAME [--list | SUITE | SUITE::TEST]...
 *
 * Exit status 0 when all passed, 1 when one failed, 77 when there was none to run or all skipped.
 */
#ifndef GENIE_TESTS_PLAIN_CRITERION_H
#define GENIE_TESTS_PLAIN_CRITERION_H

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers are slow: a test may take so many times what it allows itself, or so many seconds. */
#define PLAIN_PATIENCE 10
#define PLAIN_SECONDS  120

#define PLAIN_SKIPPED 77

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

struct plain_suite {
	const char *name;
	struct plain_options options;
	struct plain_suite *next;
};

struct plain_test {
	const char *suite, *name;
	void (*plain)(void);
	void (*with)(void *param);
	struct plain_params (*params)(void);
	struct plain_options options;
	struct plain_test *next;
};

/* Weak: helpers of a test include this file too, and there is one of each in the program. */
#define PLAIN_SHARED __attribute__((weak))

PLAIN_SHARED struct plain_suite *plain_suites;
PLAIN_SHARED struct plain_test *plain_tests;
PLAIN_SHARED jmp_buf plain_end; /* of the test that runs in this process */
PLAIN_SHARED __thread bool plain_is_main;

static inline void
plain_add(struct plain_test *test)
{
	struct plain_test **at = &plain_tests;

	while (*at)
		at = &(*at)->next;
	*at = test;
}

#define TestSuite(suite_, ...)                                                                     \
	static struct plain_suite suite_##_suite = {.name = #suite_, .options = {__VA_ARGS__}};    \
	__attribute__((constructor)) static void suite_##_suite_register(void)                     \
	{                                                                                          \
		suite_##_suite.next = plain_suites;                                                \
		plain_suites = &suite_##_suite;                                                    \
	}                                                                                          \
	struct plain_suite /* takes the semicolon */

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

/* Ends the test with that status; one of its threads can only end the process. */
static inline _Noreturn void
plain_stop(int status)
{
	fflush(NULL);
	if (!plain_is_main)
		_exit(status);
	longjmp(plain_end, status);
}

#define plain_check(condition, text, ...)                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, text);          \
			fprintf(stderr, "  " __VA_ARGS__);                                         \
			fprintf(stderr, "\n");                                                     \
			plain_stop(1);                                                             \
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
#define cr_assert_float_eq(a, b, epsilon, ...)                                                     \
	plain_check(fabs((double)(a) - (double)(b)) <= (epsilon), #a " is about " #b,              \
		    "" __VA_ARGS__)
#define cr_expect         cr_assert
#define cr_expect_eq      cr_assert_eq
#define cr_expect_not     cr_assert_not
#define cr_expect_str_eq  cr_assert_str_eq
#define cr_log_info(...)  ((void)0)
#define cr_skip_test(...) plain_stop(PLAIN_SKIPPED)

static inline const struct plain_options *
plain_suite_options(const char *name)
{
	static const struct plain_options none;

	for (const struct plain_suite *suite = plain_suites; suite; suite = suite->next)
		if (!strcmp(suite->name, name))
			return &suite->options;
	return &none;
}

/* In the child: the test between what prepares it and what clears up after it. Its status. */
static inline int
plain_run_here(const struct plain_test *test, void *param)
{
	const struct plain_options *suite = plain_suite_options(test->suite);
	const double timeout = test->options.timeout > 0 ? test->options.timeout : suite->timeout;
	volatile int status = 0;
	int stopped;

	alarm(timeout > 0 ? (unsigned)(timeout * PLAIN_PATIENCE) + 1 : PLAIN_SECONDS);
	plain_is_main = true;
	stopped = setjmp(plain_end);
	if (stopped) {
		status = stopped;
	} else {
		if (suite->init)
			suite->init();
		if (test->options.init)
			test->options.init();
		if (test->plain)
			test->plain();
		else
			test->with(param);
	}
	stopped = setjmp(plain_end);
	if (stopped) {
		if (!status)
			status = stopped;
	} else {
		if (test->options.fini)
			test->options.fini();
		if (suite->fini)
			suite->fini();
	}
	return status;
}

/* Runs @test in a child; 0, 1 or PLAIN_SKIPPED. */
static inline int
plain_run(const struct plain_test *test, void *param)
{
	int status = 0;
	pid_t child;
	bool passed;

	fflush(NULL);
	child = fork();
	if (!child)
		exit(plain_run_here(test, param));
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("fork");
		return 1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == PLAIN_SKIPPED)
		return PLAIN_SKIPPED;
	if (test->options.signal)
		passed = WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
	else
		passed = WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code;
	if (passed)
		return 0;
	fprintf(stderr, "FAIL %s::%s (%s %d)%s\n", test->suite, test->name,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ", took too long" : "");
	return 1;
}

static inline bool
plain_wanted(const struct plain_test *test, int argc, char **argv)
{
	char full[256];
	bool wanted = argc < 2;

	snprintf(full, sizeof(full), "%s::%s", test->suite, test->name);
	for (int i = 1; i < argc; i++)
		wanted |= !strcmp(argv[i], test->suite) || !strcmp(argv[i], full);
	return wanted && !test->options.disabled && !plain_suite_options(test->suite)->disabled;
}

PLAIN_SHARED int
main(int argc, char **argv)
{
	unsigned run = 0, failed = 0, skipped = 0;

	for (struct plain_test *test = plain_tests; test; test = test->next) {
		struct plain_params params = {.count = 1};

		if (argc == 2 && !strcmp(argv[1], "--list")) {
			printf("%s::%s\n", test->suite, test->name);
			continue;
		}
		if (!plain_wanted(test, argc, argv))
			continue;
		if (test->params)
			params = test->params();
		for (size_t i = 0; i < params.count; i++, run++) {
			int result = plain_run(test, (char *)params.items + i * params.size);

			skipped += result == PLAIN_SKIPPED;
			failed += result == 1;
		}
	}
	printf("%u tests, %u failed, %u skipped\n", run, failed, skipped);
	if (failed)
		return 1;
	return run == skipped ? PLAIN_SKIPPED : 0;
}

#endif
