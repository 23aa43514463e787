/* The PTX in what a linker takes: text, a cubin that carries it, a fat binary, an object file or an
 * archive of them. */
#ifndef GENIE_INTERPOSE_TEXTS_H
#define GENIE_INTERPOSE_TEXTS_H

#include <stddef.h>

/* Start with a zeroed one. */
struct genie_texts {
	char **texts; /* each with its NUL */
	size_t count;
};

/* Takes over @text. 0 or -ENOMEM. */
int genie_texts_add(struct genie_texts *texts, char *text);
/* How many texts were found in the @size bytes of @data, or -ENOMEM. */
int genie_texts_add_from(struct genie_texts *texts, const void *data, size_t size);
void genie_texts_fini(struct genie_texts *texts);

#endif
