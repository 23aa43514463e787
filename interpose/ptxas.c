/*
 * ptxas, when it runs as a child of a program on the CPU device: Triton, JAX, PyCUDA and nvcc start
 * it to make machine code, and would load what this device cannot run. LD_PRELOAD reaches it too;
 * at its end, when it succeeded, the PTX that it read is attached to the cubin that it wrote
 * (base/fatbin_attach.c). For every other device nothing is done.
 *
 * It is the vendor's own: errors, options and registers are as ever, and the file is a whole cubin
 * for every other reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fatbin.h"
#include "interpose/client.h"
#include "interpose/code.h"

static int arguments;
static char **argument_list;

/* Has the first server of GENIE_SERVER that answers a device that takes PTX only? It is only asked:
 * no session. */
static bool
device_wants_ptx(void)
{
	char *servers = strdup(getenv("GENIE_SERVER")), *rest = servers, *server;
	bool wants = false, answered = false;

	while (!answered && (server = strsep(&rest, ","))) {
		struct genie_chan_opts opts = {
			.server = server,
			.token = getenv("GENIE_TOKEN"),
			.kind = GENIE_HELLO_QUERY,
			.api_hash = genie_api_hash(),
		};
		struct genie_chan *chan;
		char err[512];

		if (!*server || genie_chan_connect(&opts, &chan, err, sizeof(err)))
			continue;
		answered = true;
		wants = genie_chan_welcome(chan)->device_kind == GENIE_DEVICE_CPU;
		genie_chan_close(chan);
	}
	free(servers);
	return wants;
}

/* The file that ptxas writes: -o FILE, --output-file FILE or with '='. NULL: a name of its own. */
static const char *
output_find(void)
{
	for (int i = 1; i < arguments; i++) {
		const char *a = argument_list[i];

		if (!strncmp(a, "-o=", 3))
			return a + 3;
		if (!strncmp(a, "--output-file=", 14))
			return a + 14;
		if ((!strcmp(a, "-o") || !strcmp(a, "--output-file")) && i + 1 < arguments)
			return argument_list[i + 1];
	}
	return NULL;
}

/* The PTX among the arguments, if there is exactly one. Free with free(). */
static char *
input_read(const char *output)
{
	char *text = NULL;

	for (int i = 1; i < arguments; i++) {
		struct genie_image image;
		void *data;
		size_t size;

		if (argument_list[i][0] == '-' || argument_list[i] == output ||
		    genie_code_read_file(argument_list[i], &data, &size) != CUDA_SUCCESS)
			continue;
		if (genie_image_open(&image, data, size) != 0 ||
		    image.form != GENIE_IMAGE_FORM_PTX) {
			free(data);
			continue;
		}
		if (text) {
			free(data);
			free(text);
			return NULL;
		}
		text = data;
	}
	return text;
}

static bool
write_at(int fd, const char *data, size_t size, off_t offset)
{
	while (size != 0) {
		ssize_t n = pwrite(fd, data, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
		offset += n;
	}
	return true;
}

/* What is new first, then the header that leads to it: the file is a cubin at every moment. */
static void
output_rewrite(const char *path, const char *text)
{
	void *cubin, *both;
	size_t size, both_size, ignored;
	int fd;

	if (genie_code_read_file(path, &cubin, &size) != CUDA_SUCCESS)
		return;
	if (size < 64 || genie_cubin_attached(cubin, size, &ignored) ||
	    genie_cubin_attach(cubin, size, text, strlen(text), &both, &both_size) != 0) {
		free(cubin);
		return;
	}
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write_at(fd, (char *)both + size, both_size - size, (off_t)size))
			(void)write_at(fd, both, 64, 0);
		else if (ftruncate(fd, (off_t)size))
			genie_debug("%s: %m", path);
		close(fd);
	}
	free(both);
	free(cubin);
}

static void
ptxas_end(int status, void *data)
{
	const char *output = output_find();
	char *text;

	(void)data;
	if (status != 0 || !output)
		return;
	text = input_read(output);
	if (text && device_wants_ptx())
		output_rewrite(output, text);
	free(text);
}

/* glibc gives constructors what main() gets. */
__attribute__((constructor)) static void
ptxas_begin(int argc, char **argv)
{
	if (strncmp(program_invocation_short_name, "ptxas", 5) != 0 || !getenv("GENIE_SERVER"))
		return;
	arguments = argc;
	argument_list = argv;
	on_exit(ptxas_end, NULL);
}
