/*
 * Which line of the source a line of PTX comes from: ".loc FILE LINE COLUMN" before it says so, and
 * ".file NUMBER "PATH"" what FILE is. Looked up when something is reported, not before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/check.h"

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static const char *
end_of_line(const char *p)
{
	const char *end = strchr(p, '\n');

	return end ? end : p + strlen(p);
}

/* The last part of the path that the module's .file @number names. */
static void
find_file(const char *text, unsigned long number, char *ret, size_t size)
{
	snprintf(ret, size, "file %lu", number);
	for (const char *p = text; (p = strstr(p, ".file")); p++) {
		char *after;
		const char *begin, *end, *name;

		if (strtoul(p + 5, &after, 10) != number)
			continue;
		begin = strchr(after, '"');
		if (!begin || begin > end_of_line(p))
			continue;
		end = strchr(++begin, '"');
		if (!end || end > end_of_line(p))
			continue;
		name = end;
		while (name > begin && name[-1] != '/')
			name--;
		snprintf(ret, size, "%.*s", (int)(end - name < 64 ? end - name : 64), name);
		return;
	}
}

void
ptx_source_line(const struct ptx_function *function, uint32_t line, char *ret, size_t size)
{
	const char *p = function->body, *loc = NULL;
	uint32_t at = function->line;
	unsigned long file, number;
	char name[80], *after;

	if (size)
		*ret = 0;
	/* the body's first line may have begun before it */
	for (; p && p < function->body_end && at <= line; at++) {
		const char *begin = skip_blanks(p);

		if (!strncmp(begin, ".loc", 4))
			loc = begin;
		p = end_of_line(p);
		if (*p)
			p++;
	}
	if (!loc)
		return;
	file = strtoul(loc + 4, &after, 10);
	number = strtoul(after, NULL, 10);
	find_file(function->module->text, file, name, sizeof(name));
	snprintf(ret, size, "%s:%lu", name, number);
}
