#include "base/fatbin.h"

#include <elf.h>
#include <errno.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "wire/proto.h" /* only for the values GENIE_IMAGE_* */

#define WRAPPER_MAGIC 0x466243b1u
#define FATBIN_MAGIC  0xba55ed50u
#define ENTRY_VERSION 0x0101
#define EM_CUDA_GPU   190

/* No local image is believed to be larger. */
#define LOCAL_SIZE_MAX (UINT64_C(1) << 33)

struct wrapper {
	uint32_t magic, version;
	const void *data;
	const void *const *prelinked; /* version 1: a file name */
};

struct fatbin_header {
	uint32_t magic;
	uint16_t version, header_size;
	uint64_t size; /* of the entries that follow */
};

struct entry_header {
	uint16_t kind, version;
	uint32_t header_size;
	uint64_t size; /* payload, padded to 8 */
	uint32_t compressed_size, options_offset;
	uint16_t minor, major;
	uint32_t arch, name_offset, name_size;
	uint64_t flags, zero, raw_size;
};

_Static_assert(sizeof(struct fatbin_header) == 16, "file format");
_Static_assert(sizeof(struct entry_header) == 64, "file format");

/* Stops at a NUL: text may be shorter than a magic number and end at the end of a page. */
static bool
has_magic(const void *data, uint32_t magic)
{
	return !strncmp(data, (const char *)&magic, sizeof(magic));
}

/* PTX text: comments and blanks, then .version. @text ends at @size or at a NUL. */
static bool
is_ptx(const char *text, size_t size)
{
	static const char word[] = ".version";
	size_t i = 0;

	for (;;) {
		while (i < size && (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')))
			i++;
		if (i + 1 >= size || text[i] != '/')
			break;
		if (text[i + 1] == '/') {
			while (i < size && text[i] && text[i] != '\n')
				i++;
		} else if (text[i + 1] == '*') {
			i += 2;
			while (i + 1 < size && text[i] && !(text[i] == '*' && text[i + 1] == '/'))
				i++;
			if (i + 1 >= size || !text[i])
				return false;
			i += 2;
		} else {
			return false;
		}
	}
	for (size_t k = 0; k < sizeof(word) - 1; k++)
		if (i + k >= size || text[i + k] != word[k])
			return false;
	return true;
}

static void
open_ptx(struct genie_image *image, const void *data, size_t size)
{
	*image = (struct genie_image){
		.form = GENIE_IMAGE_FORM_PTX,
		.data = data,
		.size = strnlen(data, size),
	};
}

static bool
is_cubin(const void *data, size_t size)
{
	Elf64_Ehdr header;

	if (size < sizeof(header) || memcmp(data, ELFMAG, SELFMAG))
		return false;
	memcpy(&header, data, sizeof(header));
	return header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
	       header.e_machine == EM_CUDA_GPU;
}

static bool
is_fatbin(const void *data, size_t size)
{
	struct fatbin_header header;

	if (size < sizeof(header))
		return false;
	memcpy(&header, data, sizeof(header));
	return header.magic == FATBIN_MAGIC && header.version == 1 &&
	       header.header_size >= sizeof(header) && header.size <= LOCAL_SIZE_MAX;
}

/* Header and entries. Only after is_fatbin(). */
static uint64_t
fatbin_size(const void *data)
{
	struct fatbin_header header;

	memcpy(&header, data, sizeof(header));
	return header.header_size + header.size;
}

int
genie_image_open(struct genie_image *ret_image, const void *data, size_t size)
{
	if (!data)
		return -EINVAL;
	if (is_fatbin(data, size)) {
		if (fatbin_size(data) > size)
			return -EINVAL;
		*ret_image = (struct genie_image){
			.form = GENIE_IMAGE_FORM_FATBIN,
			.data = data,
			.size = fatbin_size(data),
		};
		return 0;
	}
	if (is_cubin(data, size)) {
		*ret_image = (struct genie_image){
			.form = GENIE_IMAGE_FORM_CUBIN,
			.data = data,
			.size = size,
		};
		return 0;
	}
	if (is_ptx(data, size)) {
		open_ptx(ret_image, data, size);
		return 0;
	}
	return -EINVAL;
}

/* Where the last section, segment or table of an ELF file ends; 0 when that is absurd. */
static uint64_t
elf_size(const uint8_t *data)
{
	Elf64_Ehdr header;
	uint64_t end = sizeof(header);

	memcpy(&header, data, sizeof(header));
	if (header.e_shoff > LOCAL_SIZE_MAX || header.e_phoff > LOCAL_SIZE_MAX)
		return 0;
	for (unsigned i = 0; i < header.e_phnum && header.e_phentsize >= sizeof(Elf64_Phdr); i++) {
		uint64_t offset = header.e_phoff + (uint64_t)i * header.e_phentsize;
		Elf64_Phdr segment;

		memcpy(&segment, data + offset, sizeof(segment));
		if (segment.p_offset > LOCAL_SIZE_MAX || segment.p_filesz > LOCAL_SIZE_MAX)
			return 0;
		if (offset + header.e_phentsize > end)
			end = offset + header.e_phentsize;
		if (segment.p_offset + segment.p_filesz > end)
			end = segment.p_offset + segment.p_filesz;
	}
	for (unsigned i = 0; i < header.e_shnum && header.e_shentsize >= sizeof(Elf64_Shdr); i++) {
		uint64_t offset = header.e_shoff + (uint64_t)i * header.e_shentsize;
		Elf64_Shdr section;

		memcpy(&section, data + offset, sizeof(section));
		if (section.sh_offset > LOCAL_SIZE_MAX || section.sh_size > LOCAL_SIZE_MAX)
			return 0;
		if (offset + header.e_shentsize > end)
			end = offset + header.e_shentsize;
		if (section.sh_type != SHT_NOBITS && section.sh_offset + section.sh_size > end)
			end = section.sh_offset + section.sh_size;
	}
	return end;
}

int
genie_image_open_local(struct genie_image *ret_image, const void *data)
{
	const void *const *prelinked = NULL;
	uint64_t size;

	if (!data)
		return -EINVAL;
	if (has_magic(data, WRAPPER_MAGIC)) {
		struct wrapper wrapper;

		memcpy(&wrapper, data, sizeof(wrapper));
		if (wrapper.version != 1 && wrapper.version != 2)
			return -EINVAL;
		if (!wrapper.data)
			return -EINVAL;
		if (wrapper.version == 2)
			prelinked = wrapper.prelinked;
		data = wrapper.data;
	}
	if (has_magic(data, FATBIN_MAGIC)) {
		if (!is_fatbin(data, sizeof(struct fatbin_header)))
			return -EINVAL;
		*ret_image = (struct genie_image){
			.form = GENIE_IMAGE_FORM_FATBIN,
			.data = data,
			.size = fatbin_size(data),
			.prelinked = prelinked,
			.local = true,
		};
		return 0;
	}
	if (!strncmp(data, ELFMAG, SELFMAG)) {
		if (!is_cubin(data, sizeof(Elf64_Ehdr)))
			return -EINVAL;
		size = elf_size(data);
		if (!size)
			return -EINVAL;
		*ret_image = (struct genie_image){
			.form = GENIE_IMAGE_FORM_CUBIN,
			.data = data,
			.size = size,
			.local = true,
		};
		return 0;
	}
	if (!is_ptx(data, LOCAL_SIZE_MAX))
		return -EINVAL;
	open_ptx(ret_image, data, LOCAL_SIZE_MAX);
	ret_image->local = true;
	return 0;
}

/* "sm_90a" after .target: the architecture and, for the letter, a flag. */
static void
ptx_target(const char *text, size_t size, uint32_t *ret_arch, uint64_t *ret_flags)
{
	static const char directive[] = ".target";
	size_t head = size < 4096 ? size : 4096; /* it is the second directive of the file */
	const char *found = memmem(text, head, directive, sizeof(directive) - 1);
	const char *end = text + head;
	uint32_t arch = 0;

	*ret_arch = 0;
	*ret_flags = 0;
	if (!found)
		return;
	found = memmem(found, end - found, "sm_", 3);
	if (!found)
		return;
	for (found += 3; found < end && *found >= '0' && *found <= '9' && arch < 10000; found++)
		arch = arch * 10 + (uint32_t)(*found - '0');
	*ret_arch = arch;
	if (found < end && *found == 'a')
		*ret_flags = GENIE_ENTRY_ARCH;
	if (found < end && *found == 'f')
		*ret_flags = GENIE_ENTRY_FAMILY;
}

/* A cubin or PTX text is its own only entry. */
static void
bare_entry(const struct genie_image *image, struct genie_image_entry *entry)
{
	*entry = (struct genie_image_entry){
		.bare = true,
		.data = image->data,
		.size = image->size,
		.payload = image->data,
		.stored_size = image->size,
		.raw_size = image->size,
	};
	if (image->form == GENIE_IMAGE_FORM_PTX) {
		entry->kind = GENIE_ENTRY_PTX;
		ptx_target((const char *)image->data, image->size, &entry->arch, &entry->flags);
	} else {
		Elf64_Ehdr header;

		memcpy(&header, image->data, sizeof(header));
		entry->kind = GENIE_ENTRY_ELF;
		/* CUDA 13's tools moved the architecture up by a byte */
		entry->arch = header.e_ident[EI_ABIVERSION] >= 8 ? header.e_flags >> 8 & 0xff
								 : header.e_flags & 0xff;
	}
}

/* The PTX that an uncompressed cubin carries along, as an entry of its own. */
static bool
attached_entry(const struct genie_image_entry *cubin, struct genie_image_entry *ret_entry)
{
	struct genie_image text;
	const char *ptx;
	size_t size;

	if (cubin->kind != GENIE_ENTRY_ELF || cubin->flags & (GENIE_ENTRY_LZ4 | GENIE_ENTRY_ZSTD) ||
	    !is_cubin(cubin->payload, cubin->stored_size))
		return false;
	ptx = genie_cubin_attached(cubin->payload, cubin->stored_size, &size);
	if (!ptx || !is_ptx(ptx, size))
		return false;
	open_ptx(&text, ptx, size);
	bare_entry(&text, ret_entry);
	ret_entry->prelinked = cubin->prelinked;
	return true;
}

/* The entry at @offset of a fat binary of @size bytes. 0 or -EINVAL. */
static int
fatbin_entry(const uint8_t *fatbin, size_t size, size_t offset, struct genie_image_entry *ret_entry)
{
	struct entry_header header;
	uint64_t stored;

	if (size - offset < sizeof(header))
		return -EINVAL;
	memcpy(&header, fatbin + offset, sizeof(header));
	if (header.version != ENTRY_VERSION || header.header_size < sizeof(header) ||
	    header.header_size > size - offset || header.size > size - offset - header.header_size)
		return -EINVAL;
	stored = header.size;
	if (header.flags & (GENIE_ENTRY_LZ4 | GENIE_ENTRY_ZSTD)) {
		if (header.compressed_size > header.size)
			return -EINVAL;
		stored = header.compressed_size;
	}
	*ret_entry = (struct genie_image_entry){
		.kind = header.kind,
		.arch = header.arch,
		.flags = header.flags,
		.data = fatbin + offset,
		.size = header.header_size + header.size,
		.payload = fatbin + offset + header.header_size,
		.stored_size = stored,
		.raw_size = header.flags & (GENIE_ENTRY_LZ4 | GENIE_ENTRY_ZSTD) ? header.raw_size
										: stored,
	};
	return 0;
}

/* Part 0 is the image itself, the others are its prelinked list. NULL: no such part. */
static const uint8_t *
image_part(const struct genie_image *image, size_t part, size_t *ret_size)
{
	const void *data;

	if (part == 0) {
		*ret_size = image->size;
		return image->data;
	}
	if (!image->prelinked || part > GENIE_IMAGE_PARTS_MAX)
		return NULL;
	data = image->prelinked[part - 1];
	if (!data || !is_fatbin(data, sizeof(struct fatbin_header)))
		return NULL;
	*ret_size = fatbin_size(data);
	return data;
}

int
genie_image_next(const struct genie_image *image, struct genie_image_cursor *cursor,
		 struct genie_image_entry *ret_entry)
{
	if (cursor->attached) {
		cursor->attached = false;
		if (attached_entry(&cursor->last, ret_entry))
			return 1;
	}
	if (cursor->end)
		return 0;
	if (image->form != GENIE_IMAGE_FORM_FATBIN) {
		bare_entry(image, ret_entry);
		cursor->last = *ret_entry;
		cursor->attached = ret_entry->kind == GENIE_ENTRY_ELF;
		cursor->end = true;
		return 1;
	}
	for (;;) {
		struct genie_image_entry entry;
		struct fatbin_header header;
		const uint8_t *part;
		size_t size;

		part = image_part(image, cursor->part, &size);
		if (!part) {
			cursor->end = true;
			return 0;
		}
		memcpy(&header, part, sizeof(header));
		if (!cursor->offset)
			cursor->offset = header.header_size;
		/* what is left may be padding */
		if (cursor->offset >= size || size - cursor->offset < 8) {
			cursor->part++;
			cursor->offset = 0;
			continue;
		}
		if (fatbin_entry(part, size, cursor->offset, &entry) < 0) {
			cursor->end = true;
			return -EINVAL;
		}
		cursor->offset += entry.size;
		if (entry.kind != GENIE_ENTRY_PTX && entry.kind != GENIE_ENTRY_ELF)
			continue;
		entry.prelinked = cursor->part > 0;
		cursor->last = entry;
		cursor->attached = entry.kind == GENIE_ENTRY_ELF;
		*ret_entry = entry;
		return 1;
	}
}

/* May a device of architecture @arch load this entry (machine code) or translate it (PTX)? */
static bool
entry_fits(const struct genie_image_entry *entry, uint32_t arch)
{
	if (entry->flags & GENIE_ENTRY_ARCH)
		return entry->arch == arch;
	if (entry->kind == GENIE_ENTRY_ELF || entry->flags & GENIE_ENTRY_FAMILY)
		return entry->arch / 10 == arch / 10 && entry->arch <= arch;
	return entry->arch <= arch;
}

/*
 * How much a device wants an entry; 0 = it cannot take it. Bare images are never refused for
 * their architecture: the device knows better and has its own error for that.
 */
static uint32_t
entry_rank(const struct genie_image_entry *entry, uint32_t kinds, uint32_t arch)
{
	uint32_t kind = entry->kind == GENIE_ENTRY_ELF ? GENIE_IMAGE_SASS : GENIE_IMAGE_PTX;
	uint32_t rank = 0;

	if (entry->arch > 9999)
		return 0;
	if ((kinds & (kind | GENIE_IMAGE_ANY)) && (entry->bare || entry_fits(entry, arch)))
		rank = entry->kind == GENIE_ENTRY_ELF ? 3 : 2;
	else if (kinds & GENIE_IMAGE_ANY)
		rank = 1;
	else
		return 0;
	/* linked before prelinked, then the newest, then the most special */
	rank = rank * 2 + !entry->prelinked;
	rank = rank * 10000 + entry->arch;
	rank = rank * 4;
	if (entry->flags & GENIE_ENTRY_ARCH)
		rank += 2;
	else if (entry->flags & GENIE_ENTRY_FAMILY)
		rank += 1;
	return rank;
}

int
genie_image_pick(const struct genie_image *image, uint32_t kinds, int cc_major, int cc_minor,
		 struct genie_image_entry *ret_entry)
{
	struct genie_image_cursor cursor = {0};
	struct genie_image_entry entry;
	uint32_t best = 0;
	int r;

	while ((r = genie_image_next(image, &cursor, &entry)) > 0) {
		uint32_t rank = entry_rank(&entry, kinds, (uint32_t)(cc_major * 10 + cc_minor));

		if (rank > best) {
			best = rank;
			*ret_entry = entry;
		}
	}
	if (!best)
		return r < 0 ? r : -ENOENT;
	return 0;
}

#define DESCRIBE_MAX 64

/* The architectures of one kind, each once, in order. */
struct arch_list {
	struct {
		uint32_t arch;
		char letter; /* 'a', 'f' or 0 */
	} items[DESCRIBE_MAX];
	unsigned count;
};

static void
arch_list_add(struct arch_list *list, const struct genie_image_entry *entry)
{
	char letter = 0;
	unsigned i;

	if (entry->flags & GENIE_ENTRY_ARCH)
		letter = 'a';
	else if (entry->flags & GENIE_ENTRY_FAMILY)
		letter = 'f';
	for (i = 0; i < list->count; i++) {
		if (list->items[i].arch == entry->arch && list->items[i].letter == letter)
			return;
		if (list->items[i].arch > entry->arch)
			break;
	}
	if (list->count == DESCRIBE_MAX)
		return;
	memmove(&list->items[i + 1], &list->items[i], (list->count - i) * sizeof(list->items[0]));
	list->items[i].arch = entry->arch;
	list->items[i].letter = letter;
	list->count++;
}

static void append(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
append(char *buf, size_t size, const char *fmt, ...)
{
	size_t used = strnlen(buf, size);
	va_list args;

	if (used >= size)
		return;
	va_start(args, fmt);
	vsnprintf(buf + used, size - used, fmt, args);
	va_end(args);
}

static void
arch_list_append(const struct arch_list *list, char *buf, size_t size)
{
	for (unsigned i = 0; i < list->count; i++) {
		char letter[2] = {list->items[i].letter};

		append(buf, size, " sm_%u%s", list->items[i].arch, letter);
	}
}

void
genie_image_describe(const struct genie_image *image, char *buf, size_t size)
{
	struct genie_image_cursor cursor = {0};
	struct genie_image_entry entry;
	struct arch_list code = {0}, ptx = {0};
	int r;

	if (!size)
		return;
	buf[0] = 0;
	while ((r = genie_image_next(image, &cursor, &entry)) > 0)
		arch_list_add(entry.kind == GENIE_ENTRY_ELF ? &code : &ptx, &entry);
	if (!code.count && !ptx.count) {
		append(buf, size, r < 0 ? "damaged entries" : "no code at all");
		return;
	}
	if (code.count) {
		append(buf, size, "machine code for");
		arch_list_append(&code, buf, size);
		append(buf, size, ptx.count ? ", " : ", no PTX");
	}
	if (ptx.count) {
		append(buf, size, "PTX for");
		arch_list_append(&ptx, buf, size);
	}
	if (r < 0)
		append(buf, size, ", then damaged entries");
}

int
genie_image_entry_extract(const struct genie_image_entry *entry, void **ret_data, size_t *ret_size)
{
	struct fatbin_header header = {
		.magic = FATBIN_MAGIC,
		.version = 1,
		.header_size = sizeof(header),
		.size = entry->size,
	};
	size_t before = entry->bare ? 0 : sizeof(header);
	size_t after = entry->bare && entry->kind == GENIE_ENTRY_PTX ? 1 : 0;
	uint8_t *data;

	data = malloc(before + entry->size + after);
	if (!data)
		return -ENOMEM;
	memcpy(data, &header, before);
	memcpy(data + before, entry->data, entry->size);
	if (after)
		data[before + entry->size] = 0;
	*ret_data = data;
	*ret_size = before + entry->size + after;
	return 0;
}

int
genie_image_entry_unpack(const struct genie_image_entry *entry, size_t max, void **ret_data,
			 size_t *ret_size)
{
	size_t size = entry->raw_size;
	char *data;

	if (size > max)
		return -E2BIG;
	/* no format here can say more with less (zstd's limit is far higher than what occurs) */
	if (entry->flags & GENIE_ENTRY_LZ4 && size / 256 > entry->stored_size)
		return -EINVAL;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	if (entry->flags & GENIE_ENTRY_ZSTD) {
		size_t n = ZSTD_decompress(data, size, entry->payload, entry->stored_size);

		if (ZSTD_isError(n))
			goto err_free;
		size = n;
	} else if (entry->flags & GENIE_ENTRY_LZ4) {
		int n;

		if (size > INT32_MAX || entry->stored_size > INT32_MAX)
			goto err_free;
		n = LZ4_decompress_safe((const char *)entry->payload, data, (int)entry->stored_size,
					(int)size);
		if (n < 0)
			goto err_free;
		size = (size_t)n;
	} else {
		memcpy(data, entry->payload, size);
	}
	if (entry->kind == GENIE_ENTRY_PTX)
		size = strnlen(data, size);
	data[size] = 0;
	*ret_data = data;
	*ret_size = size;
	return 0;

err_free:
	free(data);
	return -EINVAL;
}
