#include "interpose/texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"
#include "interpose/client.h"

int
genie_texts_add(struct genie_texts *texts, char *text)
{
	char **grown = reallocarray(texts->texts, texts->count + 1, sizeof(*grown));

	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	texts->texts = grown;
	grown[texts->count++] = text;
	return 0;
}

void
genie_texts_fini(struct genie_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->texts[i]);
	free(texts->texts);
	*texts = (struct genie_texts){0};
}

/* The text that the first device takes of an image: 1, 0: none, or -ENOMEM. */
static int
add_image(struct genie_texts *texts, const struct genie_image *image)
{
	const int *attrs = genie_client.devices[0].attrs;
	struct genie_image_entry entry;
	size_t size;
	void *text;
	int error;

	error = genie_image_pick(image, GENIE_IMAGE_PTX,
				 attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR],
				 attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR], &entry);
	if (error == 0)
		error = genie_image_entry_unpack(&entry, GENIE_IMAGE_UNPACK_MAX, &text, &size);
	if (error == 0)
		error = genie_texts_add(texts, text);
	if (error == -ENOMEM)
		return error;
	return error == 0;
}

int
genie_texts_add_from(struct genie_texts *texts, const void *data, size_t size)
{
	static const unsigned char magic[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0};
	const unsigned char *at = data, *end = at + size;
	struct genie_image image;
	int added = 0, one;

	if (genie_image_open(&image, data, size) == 0)
		return add_image(texts, &image);
	/* Objects and archives have their fat binaries somewhere inside; nvcc's archives do not
	 * keep their alignment. */
	while (at < end && (at = memmem(at, (size_t)(end - at), magic, sizeof(magic)))) {
		size_t step = sizeof(magic);

		if (genie_image_open(&image, at, (size_t)(end - at)) == 0) {
			one = add_image(texts, &image);
			if (one < 0)
				return one;
			added += one;
			step = image.size;
		}
		at += step;
	}
	return added;
}
