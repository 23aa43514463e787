/* Runs the tests of one file, see criterion/criterion.h here. */
#include <criterion/criterion.h>

struct plain_suite *plain_suites;
struct plain_test *plain_tests;

static const struct plain_opts *
suite_opts(const char *name)
{
	static const struct plain_opts none;

	for (const struct plain_suite *suite = plain_suites; suite; suite = suite->next)
		if (!strcmp(suite->name, name))
			return &suite->opts;
	return &none;
}

static void
run(const struct plain_test *test, const struct plain_opts *opts)
{
	alarm(opts->timeout > 0 ? (unsigned int)opts->timeout * 4 : 60);
	if (opts->init)
		opts->init();
	if (test->opts.init)
		test->opts.init();
	test->run();
	if (opts->fini)
		opts->fini();
	exit(0);
}

int
main(void)
{
	int tests = 0;
	int failed = 0;

	for (const struct plain_test *test = plain_tests; test; test = test->next) {
		const struct plain_opts *opts = suite_opts(test->suite);
		int status = 0;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid == 0)
			run(test, opts);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "FAILED %s::%s (status 0x%x)\n", test->suite, test->name,
				status);
			failed++;
		}
		tests++;
	}
	printf("%d tests, %d failed\n", tests, failed);
	return failed ? 1 : 0;
}
