/* interpose/error_log.c: cuLogs…, where a program reads what went wrong. */
#include "interpose/client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_chan.h"

static char path[] = "/tmp/genie-test-log-XXXXXX";

static void
start(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
}

static void
stop(void)
{
	unlink(path);
}

TestSuite(error_log, .init = start, .fini = stop, .timeout = 30);

static void
fail_once(void)
{
	cr_assert_eq(cuInit(1), CUDA_ERROR_INVALID_VALUE);
}

static unsigned int
lines_of(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static char text[65536];

static unsigned int
lines_in_file(void)
{
	FILE *file = fopen(path, "r");
	size_t len = fread(text, 1, sizeof(text) - 1, file);

	text[len] = '\0';
	fclose(file);
	return lines_of(text);
}

Test(error_log, calls_that_fail_leave_a_line)
{
	CUlogIterator begin, at;
	size_t size = sizeof(text);

	cr_assert_eq(cuLogsCurrent(&begin, 0), CUDA_SUCCESS);
	at = begin;
	cr_assert_eq(cuLogsDumpToMemory(&at, text, &size, 0), CUDA_SUCCESS);
	cr_assert_eq(size, 0, "nothing went wrong since");
	fail_once();
	fail_once();
	size = sizeof(text);
	cr_assert_eq(cuLogsDumpToMemory(&at, text, &size, 0), CUDA_SUCCESS);
	cr_assert_eq(lines_of(text), 2);
	cr_assert_eq(size, strlen(text));
	cr_assert_not_null(strstr(text, "cuInit: CUDA_ERROR_INVALID_VALUE"), "%s", text);
	/* what was shown is not shown again to the same reader */
	size = sizeof(text);
	cr_assert_eq(cuLogsDumpToMemory(&at, text, &size, 0), CUDA_SUCCESS);
	cr_assert_eq(size, 0);
	fail_once();
	cr_assert_eq(cuLogsDumpToFile(&at, path, 0), CUDA_SUCCESS);
	cr_assert_eq(lines_in_file(), 1);
	cr_assert_eq(cuLogsDumpToFile(&begin, path, 0), CUDA_SUCCESS);
	cr_assert_eq(lines_in_file(), 3);
	cr_assert_eq(cuLogsDumpToFile(NULL, path, 0), CUDA_SUCCESS);
	cr_assert_geq(lines_in_file(), 3);
}

Test(error_log, old_lines_go_and_that_is_said)
{
	CUlogIterator begin;
	size_t size = 700; /* a few lines */

	cr_assert_eq(cuLogsCurrent(&begin, 0), CUDA_SUCCESS);
	for (int i = 0; i < 150; i++)
		fail_once();
	cr_assert_eq(cuLogsDumpToMemory(NULL, text, &size, 0), CUDA_SUCCESS);
	cr_assert_lt(size, 700);
	cr_assert_eq(size, strlen(text));
	cr_assert_eq(strncmp(text, "[older messages", 15), 0, "%s", text);
	cr_assert_gt(lines_of(text), 1);
	cr_assert_eq(text[size - 1], '\n', "whole lines");
	cr_assert_eq(cuLogsDumpToFile(&begin, path, 0), CUDA_SUCCESS);
	cr_assert_eq(lines_in_file(), 101, "the newest hundred, and that there were more");
	size = 10; /* not even one */
	cr_assert_eq(cuLogsDumpToMemory(NULL, text, &size, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(size, 0);
}

static unsigned int heard;

static void CUDA_CB
hear(void *data, CUlogLevel level, char *message, size_t length)
{
	cr_assert_eq(data, &heard);
	cr_assert_eq(level, CU_LOG_LEVEL_ERROR);
	cr_assert_eq(message[length - 1], '\n');
	heard++;
}

Test(error_log, listeners_hear_of_each_until_they_do_not)
{
	CUlogsCallbackHandle handles[64], first;
	int count = 0;

	cr_assert_eq(cuLogsRegisterCallback(hear, &heard, &first), CUDA_SUCCESS);
	fail_once();
	cr_assert_eq(heard, 1);
	while (count < 64 && cuLogsRegisterCallback(hear, &heard, &handles[count]) == CUDA_SUCCESS)
		count++;
	cr_assert_lt(count, 64, "not for ever");
	heard = 0;
	cr_assert_eq(cuLogsUnregisterCallback(first), CUDA_SUCCESS);
	fail_once();
	cr_assert_eq(heard, (unsigned int)count);
	cr_assert_eq(cuLogsUnregisterCallback(first), CUDA_ERROR_INVALID_VALUE);
	heard = 0;
	for (int i = 0; i < count; i++)
		cr_assert_eq(cuLogsUnregisterCallback(handles[i]), CUDA_SUCCESS);
	heard = 0;
	fail_once();
	cr_assert_eq(heard, 0);
	cr_assert_eq(cuLogsRegisterCallback(NULL, &heard, &first), CUDA_ERROR_INVALID_VALUE);
}

Test(error_log, arguments_are_checked)
{
	size_t size = sizeof(text);

	cr_assert_eq(cuLogsCurrent(NULL, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLogsDumpToMemory(NULL, NULL, &size, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLogsDumpToMemory(NULL, text, NULL, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLogsDumpToMemory(NULL, text, &size, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLogsDumpToFile(NULL, NULL, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLogsDumpToFile(NULL, "/nonexistent/log", 0), CUDA_ERROR_INVALID_VALUE);
}

/* Where the environment names a file, each line goes there at once. */
Test(error_log, a_file_of_the_environment)
{
	setenv("CUDA_LOG_FILE", path, 1);
	fail_once();
	fail_once();
	cr_assert_eq(lines_in_file(), 2);
}
