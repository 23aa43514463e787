/*
 * Images: what a program hands to cuModuleLoadData. A fat binary (as nvcc's wrapper, or bare) with
 * one entry for each architecture, a cubin (an ELF file), or PTX text.
 *
 * Used by the client, to find the entry that fits the device and its kernels' parameters without
 * asking the server, and by the CPU device, to get at the PTX. Every byte of an image may be
 * hostile: nothing outside of it is read, nothing is written to it. The one exception is named so:
 * genie_image_open_local() trusts the sizes that the image's own headers give, because the driver
 * API passes images without their size.
 *
 * Nothing here allocates for the life of an image: struct genie_image and struct
 * genie_image_entry borrow the image's memory.
 */
#ifndef GENIE_BASE_FATBIN_H
#define GENIE_BASE_FATBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No image that unpacks to more than this is taken. */
#define GENIE_IMAGE_UNPACK_MAX (UINT64_C(1) << 30)

enum genie_image_form {
	GENIE_IMAGE_FORM_FATBIN,
	GENIE_IMAGE_FORM_CUBIN,
	GENIE_IMAGE_FORM_PTX,
};

/* Values of the file format. Entries of other kinds exist and are skipped. */
enum genie_entry_kind {
	GENIE_ENTRY_PTX = 1,
	GENIE_ENTRY_ELF = 2,
};

/* Values of the file format. */
enum genie_entry_flag {
	GENIE_ENTRY_DEBUG = 0x2,
	GENIE_ENTRY_LZ4 = 0x2000,
	GENIE_ENTRY_ZSTD = 0x8000,
	GENIE_ENTRY_ARCH = 0x100000,   /* sm_90a: runs on exactly this architecture */
	GENIE_ENTRY_FAMILY = 0x200000, /* sm_100f: runs on later minor versions of its family */
};

/* Fat binaries of one wrapper: a version 2 wrapper (-rdc=true) lists several. */
#define GENIE_IMAGE_PARTS_MAX 4096

struct genie_image {
	enum genie_image_form form;
	const uint8_t *data; /* fat binary header, ELF header or text */
	size_t size;         /* all of it; PTX text without a terminating NUL */
	/* In-process version 2 wrappers: NULL-terminated list of further fat binaries. */
	const void *const *prelinked;
	bool local; /* sizes come from the headers */
};

struct genie_image_entry {
	enum genie_entry_kind kind;
	uint32_t arch;       /* 90 for sm_90; of PTX text its .target; 0 = not known */
	uint64_t flags;      /* enum genie_entry_flag, as found */
	bool bare;           /* a cubin or PTX text, no fat binary around it */
	bool prelinked;      /* from a version 2 wrapper's list: one file of several, not linked */
	const uint8_t *data; /* entry header and payload; of a bare one the image */
	size_t size;
	const uint8_t *payload; /* as stored: maybe compressed, maybe padded */
	size_t stored_size;
	size_t raw_size; /* uncompressed, as the header says (a hint: checked when unpacked) */
};

/*
 * Recognises an image of known size. A wrapper is refused: it holds pointers. 0, or -EINVAL: not
 * an image, or its header does not fit into @size. The image borrows @data.
 */
int genie_image_open(struct genie_image *ret_image, const void *data, size_t size);

/* The same for an image in this program's own memory, wrappers included: see above. */
int genie_image_open_local(struct genie_image *ret_image, const void *data);

/* Start with a zeroed cursor. */
struct genie_image_cursor {
	size_t part;
	size_t offset;
	bool end;
	bool attached; /* @last is a cubin that may carry PTX: that comes next */
	struct genie_image_entry last;
};

/* 1: *@ret_entry is the next entry. 0: no more. -EINVAL: the image is damaged from here on. */
int genie_image_next(const struct genie_image *image, struct genie_image_cursor *cursor,
		     struct genie_image_entry *ret_entry);

/*
 * The entry that a device takes. @kinds are GENIE_IMAGE_* of wire/proto.h: machine code of the
 * device's architecture first, else the newest PTX it can take; GENIE_IMAGE_ANY: if neither fits,
 * anything. 0, -ENOENT: nothing fits, -EINVAL: damaged and nothing fits before the damage.
 */
int genie_image_pick(const struct genie_image *image, uint32_t kinds, int cc_major, int cc_minor,
		     struct genie_image_entry *ret_entry);

/*
 * "machine code for sm_75 sm_80 sm_90a, PTX for sm_90", "machine code for sm_90, no PTX",
 * "no code at all": for messages. Always terminates @buf.
 */
void genie_image_describe(const struct genie_image *image, char *buf, size_t size);

/*
 * The entry as an image of its own, to travel or to be hashed: a fat binary with this one entry as
 * found (still compressed), or the bare cubin or text (text with its NUL). 0 or -ENOMEM.
 * Returns *@ret_data (free with free()).
 */
int genie_image_entry_extract(const struct genie_image_entry *entry, void **ret_data,
			      size_t *ret_size);

/*
 * The entry's code, uncompressed; PTX is followed by a NUL that *@ret_size does not count. 0,
 * -EINVAL: damaged, -E2BIG: more than @max bytes, -ENOMEM. Returns *@ret_data (free with free()).
 */
int genie_image_entry_unpack(const struct genie_image_entry *entry, size_t max, void **ret_data,
			     size_t *ret_size);

/*
 * PTX inside of a cubin (fatbin_attach.c): genie_image_next() gives it as a second entry. Found:
 * the text in @cubin's memory, NULL: none. *@ret_size does not count its NUL.
 */
const char *genie_cubin_attached(const void *cubin, size_t size, size_t *ret_size);
/*
 * Makes a cubin that carries @ptx too. 0, -EINVAL: @cubin has no table of sections, -ENOMEM.
 * Returns *@ret_data (free with free()).
 */
int genie_cubin_attach(const void *cubin, size_t size, const char *ptx, size_t ptx_size,
		       void **ret_data, size_t *ret_size);

/* Where a kernel's parameters lie in its parameter buffer. */
struct genie_kernel_param {
	uint32_t offset;
	uint32_t size;
};

#define GENIE_KERNEL_PARAMS_MAX      4096  /* parameters of one kernel */
#define GENIE_KERNEL_PARAM_BYTES_MAX 32764 /* sm_70 and later */

struct genie_kernel_desc {
	const char *name; /* any length: C++ names of 200 characters are normal */
	const struct genie_kernel_param *params;
	uint32_t param_count;
	uint32_t param_size; /* of the whole buffer */
	/* 0 = not known */
	uint32_t registers;
	uint32_t static_shared;
	uint32_t max_threads;
};

/* Kernels of one image entry, sorted by name. Owns all it points to. */
struct genie_kernel_table {
	struct genie_kernel_desc *kernels;
	size_t count;
	void *names;
	struct genie_kernel_param *params;
	bool prints; /* the code calls printf: it names vprintf, which the driver supplies */
};

/* Unpacks @entry and lists its kernels. 0, or as genie_image_entry_unpack(). */
int genie_kernel_table_init(struct genie_kernel_table *ret_table,
			    const struct genie_image_entry *entry);
/* The same for code that is unpacked already. */
int genie_kernel_table_init_elf(struct genie_kernel_table *ret_table, const void *data,
				size_t size);
int genie_kernel_table_init_ptx(struct genie_kernel_table *ret_table, const char *text,
				size_t size);
/* Adds the kernels of @more whose names @table does not have. 0 or -ENOMEM. */
int genie_kernel_table_add(struct genie_kernel_table *table, const struct genie_kernel_table *more);
/* Frees what the table owns. Takes a zeroed table too. */
void genie_kernel_table_fini(struct genie_kernel_table *table);
/* NULL: no such kernel. */
const struct genie_kernel_desc *genie_kernel_table_find(const struct genie_kernel_table *table,
							const char *name);

#endif
