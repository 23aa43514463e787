/*
 * nvJitLink: links the kernels of Numba, cuda-python and others to machine code. On the CPU device
 * the cubin that it hands out carries the PTX of its inputs too, made one (link.h); on a GPU it is
 * nvJitLink's own, byte for byte.
 *
 * Inputs are remembered beside the vendor's link. Of LTO IR the vendor's linker makes PTX, in a
 * second link; the others bring theirs (texts.h).
 *
 * A process may have several nvJitLinks: see hook_nvrtc.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"
#include "interpose/client.h"
#include "interpose/code.h"
#include "interpose/hook.h"
#include "interpose/link.h"
#include "interpose/texts.h"

#define INPUTS_MAX  4096u
#define OPTIONS_MAX 256u

/* nvJitLinkResult, nvJitLinkHandle and nvJitLinkInputType of nvJitLink.h, which not every CUDA
 * installation has. */
typedef int jitlink_result_t;
typedef void *jitlink_handle_t;

#define NVJITLINK_SUCCESS        0
#define NVJITLINK_ERROR_INTERNAL 6
#define NVJITLINK_INPUT_LTOIR    3
#define NVJITLINK_INPUT_ANY      10

typedef jitlink_result_t (*create_fn)(jitlink_handle_t *, uint32_t, const char **);
typedef jitlink_result_t (*destroy_fn)(jitlink_handle_t *);
typedef jitlink_result_t (*add_data_fn)(jitlink_handle_t, int, const void *, size_t, const char *);
typedef jitlink_result_t (*add_file_fn)(jitlink_handle_t, int, const char *);
typedef jitlink_result_t (*complete_fn)(jitlink_handle_t);
typedef jitlink_result_t (*size_fn)(jitlink_handle_t, size_t *);
typedef jitlink_result_t (*data_fn)(jitlink_handle_t, void *);

/* What is hooked, and what the second link needs. The order is that of names[] and of ENTRY. */
enum function {
	CREATE,
	DESTROY,
	ADD_DATA,
	ADD_FILE,
	COMPLETE,
	CUBIN_SIZE,
	CUBIN,
	HOOKED,
	PTX_SIZE = HOOKED,
	PTX,
	FUNCTIONS
};

static const char *const names[FUNCTIONS] = {
	[CREATE] = "nvJitLinkCreate",        [DESTROY] = "nvJitLinkDestroy",
	[ADD_DATA] = "nvJitLinkAddData",     [ADD_FILE] = "nvJitLinkAddFile",
	[COMPLETE] = "nvJitLinkComplete",    [CUBIN_SIZE] = "nvJitLinkGetLinkedCubinSize",
	[CUBIN] = "nvJitLinkGetLinkedCubin", [PTX_SIZE] = "nvJitLinkGetLinkedPtxSize",
	[PTX] = "nvJitLinkGetLinkedPtx",
};

struct library {
	void *functions[FUNCTIONS];
};

#define CALL(library, type, function, ...) ((type)(library)->functions[function])(__VA_ARGS__)

/* ---- links in the making ---- */

struct input {
	int type;
	size_t size;
	char *data; /* with a NUL behind it */
};

struct link {
	struct link *next;
	const struct library *library;
	jitlink_handle_t handle;
	char **options;
	uint32_t option_count;
	struct input *inputs;
	unsigned int count;
	bool lost; /* something could not be remembered: no PTX */
	void *cubin;
	size_t cubin_size;
};

/* Guards links. A link itself is used by one thread at a time, as nvJitLink asks. */
static pthread_mutex_t links_lock = PTHREAD_MUTEX_INITIALIZER;
static struct link *links;

static struct link *
link_find(const struct library *library, jitlink_handle_t handle)
{
	struct link *link;

	pthread_mutex_lock(&links_lock);
	for (link = links; link; link = link->next)
		if (link->handle == handle && link->library == library)
			break;
	pthread_mutex_unlock(&links_lock);
	return link;
}

static void
link_free(struct link *link)
{
	if (!link)
		return;
	for (uint32_t i = 0; i < link->option_count; i++)
		free(link->options[i]);
	for (unsigned int i = 0; i < link->count; i++)
		free(link->inputs[i].data);
	free(link->options);
	free(link->inputs);
	free(link->cubin);
	free(link);
}

static struct link *
link_take(const struct library *library, jitlink_handle_t handle)
{
	struct link **at, *link = NULL;

	pthread_mutex_lock(&links_lock);
	for (at = &links; *at && !link;) {
		if ((*at)->handle == handle && (*at)->library == library) {
			link = *at;
			*at = link->next;
		} else {
			at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&links_lock);
	return link;
}

static void
link_remember(const struct library *library, jitlink_handle_t handle, uint32_t count,
	      const char **options)
{
	struct link *link = count <= OPTIONS_MAX ? calloc(1, sizeof(*link)) : NULL;

	if (!link)
		return;
	link->library = library;
	link->handle = handle;
	link->options = calloc(count + 1, sizeof(*link->options));
	while (link->options && link->option_count < count) {
		link->options[link->option_count] = strdup(options[link->option_count]);
		if (!link->options[link->option_count])
			break;
		link->option_count++;
	}
	if (link->option_count < count) {
		link_free(link);
		return;
	}
	pthread_mutex_lock(&links_lock);
	link->next = links;
	links = link;
	pthread_mutex_unlock(&links_lock);
}

/* Takes over @data, which may be NULL: out of memory. */
static void
link_add(struct link *link, int type, char *data, size_t size)
{
	struct input *inputs;

	if (!data || link->count == INPUTS_MAX) {
		link->lost = true;
		free(data);
		return;
	}
	inputs = reallocarray(link->inputs, link->count + 1, sizeof(*inputs));
	if (!inputs) {
		link->lost = true;
		free(data);
		return;
	}
	link->inputs = inputs;
	inputs[link->count++] = (struct input){.type = type, .size = size, .data = data};
}

/* ---- what a link is in PTX ---- */

/* Adds what only the vendor's linker can read, and asks for PTX. */
static jitlink_result_t
second_link(const struct link *link, const bool *theirs, jitlink_handle_t handle)
{
	jitlink_result_t result = NVJITLINK_SUCCESS;

	for (unsigned int i = 0; i < link->count && result == NVJITLINK_SUCCESS; i++)
		if (theirs[i])
			result = CALL(link->library, add_data_fn, ADD_DATA, handle,
				      link->inputs[i].type, link->inputs[i].data,
				      link->inputs[i].size, "input");
	return result == NVJITLINK_SUCCESS ? CALL(link->library, complete_fn, COMPLETE, handle)
					   : result;
}

/* The PTX of the inputs @theirs. NULL: they give none. */
static char *
second_text(const struct link *link, const bool *theirs)
{
	const char **options = calloc(link->option_count + 1, sizeof(*options));
	jitlink_result_t result = NVJITLINK_ERROR_INTERNAL;
	jitlink_handle_t handle = NULL;
	char *text = NULL;
	size_t size = 0;

	if (!options)
		return NULL;
	memcpy(options, link->options, link->option_count * sizeof(*options));
	options[link->option_count] = "-ptx";
	if (CALL(link->library, create_fn, CREATE, &handle, link->option_count + 1, options) ==
	    NVJITLINK_SUCCESS) {
		result = second_link(link, theirs, handle);
		if (result == NVJITLINK_SUCCESS)
			result = CALL(link->library, size_fn, PTX_SIZE, handle, &size);
	}
	if (result == NVJITLINK_SUCCESS)
		text = calloc(1, size + 1);
	if (text && CALL(link->library, data_fn, PTX, handle, text) != NVJITLINK_SUCCESS) {
		free(text);
		text = NULL;
	}
	if (handle)
		CALL(link->library, destroy_fn, DESTROY, &handle);
	free(options);
	return text;
}

/* One text of all inputs; NULL: some have none. Free with free(). */
static char *
link_text(const struct link *link, size_t *ret_size)
{
	bool *theirs = calloc(link->count + 1, sizeof(*theirs)), any = false;
	struct genie_texts texts = {0};
	char *second, *linked = NULL;
	bool good = theirs != NULL;

	for (unsigned int i = 0; good && i < link->count; i++) {
		const struct input *input = &link->inputs[i];
		int found = input->type == NVJITLINK_INPUT_LTOIR
				    ? 0
				    : genie_texts_add_from(&texts, input->data, input->size);

		good = found >= 0;
		theirs[i] = found == 0;
		any |= theirs[i];
	}
	if (good && any) {
		second = second_text(link, theirs);
		good = second && genie_texts_add(&texts, second) == 0;
	}
	if (good &&
	    genie_link_ptx((const char *const *)texts.texts, texts.count, &linked, ret_size) != 0)
		linked = NULL;
	genie_texts_fini(&texts);
	free(theirs);
	return linked;
}

/* After the vendor's link succeeded: its cubin and our PTX. */
static void
link_attach(struct link *link)
{
	char *cubin = NULL, *text = NULL;
	size_t size = 0, text_size;

	if (link->lost || link->cubin ||
	    CALL(link->library, size_fn, CUBIN_SIZE, link->handle, &size) != NVJITLINK_SUCCESS)
		return;
	cubin = malloc(size + 1);
	if (cubin && CALL(link->library, data_fn, CUBIN, link->handle, cubin) == NVJITLINK_SUCCESS)
		text = link_text(link, &text_size);
	if (text)
		(void)genie_cubin_attach(cubin, size, text, text_size, &link->cubin,
					 &link->cubin_size);
	free(cubin);
	free(text);
}

/* ---- the hooks ---- */

static jitlink_result_t
create(const struct library *library, jitlink_handle_t *handle, uint32_t count,
       const char **options)
{
	jitlink_result_t result = CALL(library, create_fn, CREATE, handle, count, options);

	if (result == NVJITLINK_SUCCESS && genie_hook_wants_ptx())
		link_remember(library, *handle, count, options);
	return result;
}

static jitlink_result_t
destroy(const struct library *library, jitlink_handle_t *handle)
{
	if (handle)
		link_free(link_take(library, *handle));
	return CALL(library, destroy_fn, DESTROY, handle);
}

static jitlink_result_t
add_data(const struct library *library, jitlink_handle_t handle, int type, const void *data,
	 size_t size, const char *name)
{
	jitlink_result_t result =
		CALL(library, add_data_fn, ADD_DATA, handle, type, data, size, name);
	struct link *link = result == NVJITLINK_SUCCESS ? link_find(library, handle) : NULL;
	char *copy;

	if (link) {
		copy = malloc(size + 1);
		if (copy) {
			memcpy(copy, data, size);
			copy[size] = '\0';
		}
		link_add(link, type, copy, size);
	}
	return result;
}

static jitlink_result_t
add_file(const struct library *library, jitlink_handle_t handle, int type, const char *path)
{
	jitlink_result_t result = CALL(library, add_file_fn, ADD_FILE, handle, type, path);
	struct link *link = result == NVJITLINK_SUCCESS ? link_find(library, handle) : NULL;
	void *data = NULL;
	size_t size = 0;

	if (link) {
		if (genie_code_read_file(path, &data, &size) != CUDA_SUCCESS)
			data = NULL;
		link_add(link, type, data, size);
	}
	return result;
}

static jitlink_result_t
complete(const struct library *library, jitlink_handle_t handle)
{
	jitlink_result_t result = CALL(library, complete_fn, COMPLETE, handle);
	struct link *link = result == NVJITLINK_SUCCESS ? link_find(library, handle) : NULL;

	if (link)
		link_attach(link);
	return result;
}

static jitlink_result_t
cubin_size(const struct library *library, jitlink_handle_t handle, size_t *ret_size)
{
	struct link *link = link_find(library, handle);

	if (!link || !link->cubin || !ret_size)
		return CALL(library, size_fn, CUBIN_SIZE, handle, ret_size);
	*ret_size = link->cubin_size;
	return NVJITLINK_SUCCESS;
}

static jitlink_result_t
cubin_copy(const struct library *library, jitlink_handle_t handle, void *ret_cubin)
{
	struct link *link = link_find(library, handle);

	if (!link || !link->cubin || !ret_cubin)
		return CALL(library, data_fn, CUBIN, handle, ret_cubin);
	memcpy(ret_cubin, link->cubin, link->cubin_size);
	return NVJITLINK_SUCCESS;
}

/* ---- all libraries ---- */

#define LIBRARIES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Guards libraries and library_count; an entry never changes once it is counted. */
static pthread_mutex_t libraries_lock = PTHREAD_MUTEX_INITIALIZER;
static struct library libraries[8];
static unsigned int library_count;

#define DEFINE(n)                                                                                  \
	static jitlink_result_t create_##n(jitlink_handle_t *h, uint32_t count, const char **o)    \
	{                                                                                          \
		return create(&libraries[n], h, count, o);                                         \
	}                                                                                          \
	static jitlink_result_t destroy_##n(jitlink_handle_t *h)                                   \
	{                                                                                          \
		return destroy(&libraries[n], h);                                                  \
	}                                                                                          \
	static jitlink_result_t add_data_##n(jitlink_handle_t h, int type, const void *data,       \
					     size_t size, const char *name)                        \
	{                                                                                          \
		return add_data(&libraries[n], h, type, data, size, name);                         \
	}                                                                                          \
	static jitlink_result_t add_file_##n(jitlink_handle_t h, int type, const char *path)       \
	{                                                                                          \
		return add_file(&libraries[n], h, type, path);                                     \
	}                                                                                          \
	static jitlink_result_t complete_##n(jitlink_handle_t h)                                   \
	{                                                                                          \
		return complete(&libraries[n], h);                                                 \
	}                                                                                          \
	static jitlink_result_t cubin_size_##n(jitlink_handle_t h, size_t *size)                   \
	{                                                                                          \
		return cubin_size(&libraries[n], h, size);                                         \
	}                                                                                          \
	static jitlink_result_t cubin_##n(jitlink_handle_t h, void *cubin)                         \
	{                                                                                          \
		return cubin_copy(&libraries[n], h, cubin);                                        \
	}
LIBRARIES(DEFINE)
#undef DEFINE

#define ENTRY(n)                                                                                   \
	{(void *)create_##n,   (void *)destroy_##n,    (void *)add_data_##n, (void *)add_file_##n, \
	 (void *)complete_##n, (void *)cubin_size_##n, (void *)cubin_##n},
static void *const hooks[][HOOKED] = {LIBRARIES(ENTRY)};
#undef ENTRY

/* The number of a library of these functions; -1: one is missing, or it is one too many. */
static int
library_number(const struct library *library)
{
	unsigned int n;

	for (int i = 0; i < FUNCTIONS; i++)
		if (!library->functions[i])
			return -1;
	pthread_mutex_lock(&libraries_lock);
	for (n = 0; n < library_count; n++)
		if (!memcmp(&libraries[n], library, sizeof(*library)))
			break;
	if (n == library_count && n < sizeof(libraries) / sizeof(libraries[0]))
		libraries[library_count++] = *library;
	pthread_mutex_unlock(&libraries_lock);
	return n < sizeof(libraries) / sizeof(libraries[0]) ? (int)n : -1;
}

/*
 * nvJitLink.h calls every function by the name of its release: __nvJitLinkCreate_13_0. Who asks
 * for one function of a release gets all of that release.
 */
void *
genie_hook_jitlink(void *handle, const char *name)
{
	bool of_release = name[0] == '_';
	const char *bare = name + (of_release ? 2 : 0);
	const char *release = of_release ? strchr(bare, '_') : "";
	genie_dlsym_fn find = genie_dlsym();
	struct library library = {0};
	int wanted, n;

	if (!release)
		return NULL;
	for (wanted = 0; wanted < HOOKED; wanted++)
		if (strlen(names[wanted]) == strcspn(bare, "_") &&
		    !strncmp(names[wanted], bare, strlen(names[wanted])))
			break;
	if (wanted == HOOKED)
		return NULL;
	for (int i = 0; i < FUNCTIONS; i++) {
		char full[96];

		if (snprintf(full, sizeof(full), "%s%s%s", of_release ? "__" : "", names[i],
			     release) >= (int)sizeof(full))
			return NULL;
		library.functions[i] = find(handle, full);
	}
	n = library_number(&library);
	return n < 0 ? NULL : hooks[n][wanted];
}
