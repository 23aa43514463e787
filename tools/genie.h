/* The genie command: one file a subcommand. Each takes its own argv (argv[0] is its name) and
 * returns the exit status. */
#ifndef GENIE_TOOLS_GENIE_H
#define GENIE_TOOLS_GENIE_H

#include <stddef.h>

int genie_tool_run(int argc, char **argv);
int genie_tool_doctor(int argc, char **argv);
int genie_tool_api(int argc, char **argv);

/* The folder of libgenie.so that belongs to this program. 0, or negative errno: there is none. */
int genie_tool_home(char *ret_path, size_t size);

#endif
