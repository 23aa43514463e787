/*
 * Device code as the program gave it: one image (base/fatbin.h), what is known about it, and its
 * way to the server. Shared by the modules of all contexts.
 *
 * Everything is put off until it is needed: finding the entry that fits a device, unpacking it to
 * list its kernels, hashing and uploading it. A program may carry hundreds of MiB of code and use
 * little of it.
 */
#ifndef GENIE_INTERPOSE_CODE_H
#define GENIE_INTERPOSE_CODE_H

#include "base/fatbin.h"
#include "interpose/client.h"

#define GENIE_HASH_SIZE 32 /* SHA-256 */

/* What fits one kind of device. */
struct genie_code_entry {
	struct genie_code_entry *next;
	uint32_t kinds; /* of the device: GENIE_IMAGE_* */
	int major, minor;
	int picked; /* what genie_image_pick() returned */
	struct genie_image_entry entry;
	char *linked;   /* PTX made of several parts, which entry borrows, or NULL */
	bool elsewhere; /* some of the parts are machine code: the server links them all */
	bool uploaded;
	uint8_t hash[GENIE_HASH_SIZE]; /* valid when uploaded */
};

struct genie_code {
	_Atomic int refs;
	struct genie_image image;
	void *owned; /* the copy or file contents that image borrows; NULL: the program's memory */
	/*
	 * Guards what follows. Held while the code is uploaded: who needs the same code must wait
	 * for the upload anyway.
	 */
	pthread_mutex_t lock;
	struct genie_code_entry *entries;
	bool listed; /* the table is valid; never changes again then */
	struct genie_kernel_table table;
	bool told; /* that it fits no device */
};

/*
 * Opens the image at @data. @preserve: the program promises to keep it as it is; else it is
 * copied. CUDA_ERROR_INVALID_IMAGE when it is none.
 */
CUresult genie_code_new(const void *data, bool preserve, struct genie_code **ret_code);
/* The same from a file. CUDA_ERROR_FILE_NOT_FOUND. */
CUresult genie_code_load_file(const char *path, struct genie_code **ret_code);
struct genie_code *genie_code_ref(struct genie_code *code);
void genie_code_unref(struct genie_code *code); /* NULL is fine */

/* The kernels of the image, whether any device can run them or not. Valid as long as the code. */
CUresult genie_code_table(struct genie_code *code, const struct genie_kernel_table **ret_table);

/* CUDA_ERROR_NO_BINARY_FOR_GPU, with one log line that names @what (a kernel, or a call), when
 * nothing in the image fits @device. */
CUresult genie_code_check(struct genie_code *code, int device, const char *what);
/* The same for the device of @ctx, and makes sure that the server has what fits; its name is
 * @ret_hash. */
CUresult genie_code_upload(struct genie_code *code, const struct genie_ctx *ctx, const char *what,
			   uint8_t ret_hash[GENIE_HASH_SIZE]);
/* Its kernels may call printf. */
bool genie_code_prints(struct genie_code *code);

/* The whole file with a NUL behind it; free with free(). CUDA_ERROR_FILE_NOT_FOUND. */
CUresult genie_code_read_file(const char *path, void **ret_data, size_t *ret_size);
/* Makes sure that the server has these bytes; their name is @ret_hash. */
CUresult genie_code_send(const void *data, size_t size, uint8_t ret_hash[GENIE_HASH_SIZE]);

#endif
