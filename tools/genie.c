/* genie: the command that people type. */
#include "tools/genie.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", genie_tool_run, "run a CUDA program on remote GPUs"},
	{"doctor", genie_tool_doctor, "say what is here, what is missing, what to do"},
	{"api", genie_tool_api, "list every exported function and how it is answered"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
usage(FILE *to)
{
	fprintf(to, "usage: genie COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\n'genie COMMAND --help' says more.\n");
}

int
genie_tool_home(char *ret_path, size_t size)
{
	/* Beside us, in the build folder above ours, or installed. */
	static const char *const places[] = {"", "/..", "/../lib", "/../lib/x86_64-linux-gnu"};
	char self[PATH_MAX], library[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(library, sizeof(library), "%s%s/libgenie.so", self, places[i]);
		if (access(library, R_OK))
			continue;
		if ((size_t)snprintf(ret_path, size, "%s%s", self, places[i]) >= size)
			return -ENAMETOOLONG;
		return 0;
	}
	return -ENOENT;
}

int
main(int argc, char **argv)
{
	genie_log_init("genie");
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("genie %s\n", GENIE_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "genie: there is no command '%s'\n", argv[1]);
	usage(stderr);
	return 2;
}
