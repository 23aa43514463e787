/*
 * genie api: what every exported function does. The generated table is the same one that the
 * client answers from, so this list cannot be wrong about it.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/tables.h"
#include "genie_ops.h"
#include "tools/genie.h"

static const char help[] =
	"usage: genie api [--class CLASS] [--summary] [NAME…]\n"
	"\n"
	"Lists the functions that libgenie.so exports (or those named) and how each is answered:\n"
	"  local        in the client, nothing travels\n"
	"  async        a one-way command\n"
	"  sync         one round trip\n"
	"  unsupported  CUDA_ERROR_NOT_SUPPORTED, for the reason given\n"
	"  refused      no permission, for the reason given\n"
	"\n"
	"  --class CLASS  only that class\n"
	"  --summary      only how many there are of each\n";

static const char *const class_names[] = {
	[GENIE_CLASS_LOCAL] = "local",     [GENIE_CLASS_ASYNC] = "async",
	[GENIE_CLASS_SYNC] = "sync",       [GENIE_CLASS_UNSUPPORTED] = "unsupported",
	[GENIE_CLASS_REFUSED] = "refused",
};
#define CLASSES (sizeof(class_names) / sizeof(class_names[0]))

/* Session commands and native operations are ours; only the vendor's names are exported. */
static bool
exported(const struct genie_api_entry *e)
{
	return e->name && (e->library == GENIE_LIBRARY_CUDA || e->library == GENIE_LIBRARY_NVML);
}

static bool
fails(const struct genie_api_entry *e)
{
	return e->cls == GENIE_CLASS_UNSUPPORTED || e->cls == GENIE_CLASS_REFUSED;
}

static bool
named(const char *name, int argc, char **argv)
{
	if (argc == 0)
		return true;
	for (int i = 0; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return true;
	return false;
}

int
genie_tool_api(int argc, char **argv)
{
	static const struct option longs[] = {
		{"class", required_argument, NULL, 'c'},
		{"summary", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	unsigned counts[CLASSES] = {0}, shown = 0;
	const char *only = NULL;
	bool summary = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			only = optarg;
			break;
		case 's':
			summary = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fputs(help, stderr);
			return 2;
		}
	}
	for (unsigned op = 0; op < GENIE_OP_MAX; op++) {
		const struct genie_api_entry *e = &genie_api_entries[op];

		if (!exported(e) || !named(e->name, argc - optind, argv + optind) ||
		    (only && strcmp(only, class_names[e->cls]) != 0))
			continue;
		counts[e->cls]++;
		shown++;
		if (!summary)
			printf("%-52s %-12s%s%s\n", e->name, class_names[e->cls],
			       fails(e) && e->reason ? e->reason
			       : e->alias            ? "as "
						     : "",
			       !fails(e) && e->alias ? e->alias : "");
	}
	if (summary)
		for (unsigned i = 0; i < CLASSES; i++)
			printf("%-12s %u\n", class_names[i], counts[i]);
	if (!shown) {
		fprintf(stderr, "genie api: nothing of that name or class\n");
		return 1;
	}
	return 0;
}
