/*
 * PTX that travels inside of a cubin, as one more section: for a device that runs PTX, where a
 * tool has made machine code of it. Everybody else skips a section that he does not know.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"

#define SECTION_NAME ".genie.ptx"
#define SECTION_TYPE 0x8e5d9705u /* of the range that is free for applications */

/* The header of a file whose section table lies inside of it; false: none, or one of those with
 * 65280 sections and more, which no cubin has. */
static bool
sections_open(const uint8_t *data, size_t size, Elf64_Ehdr *ret_header)
{
	Elf64_Ehdr header;

	if (size < sizeof(header))
		return false;
	memcpy(&header, data, sizeof(header));
	if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
	    header.e_shnum >= SHN_LORESERVE || header.e_shoff > size ||
	    size - header.e_shoff < (uint64_t)header.e_shnum * sizeof(Elf64_Shdr))
		return false;
	*ret_header = header;
	return true;
}

static Elf64_Shdr
section_read(const uint8_t *data, const Elf64_Ehdr *header, unsigned int i)
{
	Elf64_Shdr section;

	memcpy(&section, data + header->e_shoff + i * sizeof(section), sizeof(section));
	return section;
}

static bool
section_inside(const Elf64_Shdr *section, size_t size)
{
	return section->sh_type != SHT_NOBITS && section->sh_offset <= size &&
	       section->sh_size <= size - section->sh_offset;
}

const char *
genie_cubin_attached(const void *cubin, size_t size, size_t *ret_size)
{
	Elf64_Ehdr header;

	if (!sections_open(cubin, size, &header))
		return NULL;
	/* it is the last one where nobody has added another */
	for (unsigned int i = header.e_shnum; i-- > 0;) {
		Elf64_Shdr section = section_read(cubin, &header, i);

		if (section.sh_type != SECTION_TYPE || !section_inside(&section, size))
			continue;
		*ret_size = strnlen((const char *)cubin + section.sh_offset, section.sh_size);
		return (const char *)cubin + section.sh_offset;
	}
	return NULL;
}

static size_t
align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* The new file: the old one, the text, its section names with one more, its sections with one
 * more. */
int
genie_cubin_attach(const void *cubin, size_t size, const char *ptx, size_t ptx_size,
		   void **ret_data, size_t *ret_size)
{
	size_t text, names, table, end;
	Elf64_Shdr strings, added;
	Elf64_Ehdr header;
	uint8_t *data;

	if (!sections_open(cubin, size, &header) || header.e_shstrndx >= header.e_shnum ||
	    header.e_shnum + 1 >= SHN_LORESERVE || size > GENIE_IMAGE_UNPACK_MAX ||
	    ptx_size > GENIE_IMAGE_UNPACK_MAX)
		return -EINVAL;
	strings = section_read(cubin, &header, header.e_shstrndx);
	if (!section_inside(&strings, size) || strings.sh_size > UINT32_MAX)
		return -EINVAL;
	text = align8(size);
	names = align8(text + ptx_size + 1);
	table = align8(names + strings.sh_size + sizeof(SECTION_NAME));
	end = table + (header.e_shnum + 1u) * sizeof(Elf64_Shdr);
	data = calloc(1, end);
	if (!data)
		return -ENOMEM;
	memcpy(data, cubin, size);
	memcpy(data + text, ptx, ptx_size);
	memcpy(data + names, data + strings.sh_offset, strings.sh_size);
	memcpy(data + names + strings.sh_size, SECTION_NAME, sizeof(SECTION_NAME));
	memcpy(data + table, data + header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr));
	added = (Elf64_Shdr){
		.sh_name = (uint32_t)strings.sh_size,
		.sh_type = SECTION_TYPE,
		.sh_offset = text,
		.sh_size = ptx_size + 1,
		.sh_addralign = 1,
	};
	memcpy(data + table + header.e_shnum * sizeof(added), &added, sizeof(added));
	strings.sh_offset = names;
	strings.sh_size += sizeof(SECTION_NAME);
	memcpy(data + table + header.e_shstrndx * sizeof(strings), &strings, sizeof(strings));
	header.e_shoff = table;
	header.e_shnum++;
	memcpy(data, &header, sizeof(header));
	*ret_data = data;
	*ret_size = end;
	return 0;
}
