/*
 * Which kernels a cubin has and where their parameters lie: from its .nv.info sections. PTX of the
 * same kernels gives the same answer (tests/unit/test_fatbin.c compares them).
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin_kernels.h"

#define EM_CUDA_GPU 190

/* Attributes of .nv.info.<kernel>, as found in files that nvcc writes. */
#define INFO_FORMAT_HALF  3 /* the value is in the record */
#define INFO_FORMAT_BYTES 4 /* value bytes follow the record */
#define INFO_MAX_THREADS  0x05
#define INFO_PARAM        0x17
#define INFO_PARAM_BYTES  0x19
#define INFO_REGISTERS    0x2f /* in the file's own .nv.info */
#define INFO_PARAM_V2     0x45 /* kernels with more than 4 KiB of parameters */

/* Shared memory that sm_90 and later keep for themselves in each block. */
#define SHARED_RESERVED 1024

/* A cubin whose headers were checked: every section header can be read. */
struct cubin {
	const uint8_t *data;
	size_t size;
	uint64_t sections, section_size, count;
	const char *names;
	size_t names_size;
	Elf64_Shdr symbols, symbol_names; /* sh_size 0 = none */
};

static Elf64_Shdr
cubin_section(const struct cubin *cubin, uint64_t i)
{
	Elf64_Shdr section;

	memcpy(&section, cubin->data + cubin->sections + i * cubin->section_size, sizeof(section));
	return section;
}

/* Does the section have bytes in the file, all of them inside of it? */
static bool
cubin_section_present(const struct cubin *cubin, const Elf64_Shdr *section)
{
	return section->sh_type != SHT_NOBITS && section->sh_offset <= cubin->size &&
	       section->sh_size <= cubin->size - section->sh_offset;
}

/* NULL: outside of the string table, or not terminated in it. */
static const char *
cubin_section_name(const struct cubin *cubin, const Elf64_Shdr *section)
{
	const char *name;

	if (section->sh_name >= cubin->names_size)
		return NULL;
	name = cubin->names + section->sh_name;
	return memchr(name, 0, cubin->names_size - section->sh_name) ? name : NULL;
}

/* NULL: no such symbol. */
static const char *
cubin_symbol_name(const struct cubin *cubin, uint32_t index)
{
	const char *names = (const char *)cubin->data + cubin->symbol_names.sh_offset;
	size_t names_size = cubin->symbol_names.sh_size;
	Elf64_Sym symbol;

	if (index >= cubin->symbols.sh_size / sizeof(symbol))
		return NULL;
	memcpy(&symbol, cubin->data + cubin->symbols.sh_offset + index * sizeof(symbol),
	       sizeof(symbol));
	if (symbol.st_name >= names_size ||
	    !memchr(names + symbol.st_name, 0, names_size - symbol.st_name))
		return NULL;
	return names + symbol.st_name;
}

/* Finds the symbol table and its names, where the file has them. */
static void
cubin_find_symbols(struct cubin *cubin)
{
	for (uint64_t i = 0; i < cubin->count; i++) {
		Elf64_Shdr section = cubin_section(cubin, i), names;

		if (section.sh_type != SHT_SYMTAB || !cubin_section_present(cubin, &section) ||
		    section.sh_link >= cubin->count)
			continue;
		names = cubin_section(cubin, section.sh_link);
		if (!cubin_section_present(cubin, &names))
			continue;
		cubin->symbols = section;
		cubin->symbol_names = names;
		return;
	}
}

static int
cubin_open(struct cubin *cubin, const void *data, size_t size)
{
	Elf64_Ehdr header;
	Elf64_Shdr strings;
	uint64_t names_index;

	if (size < sizeof(header))
		return -EINVAL;
	memcpy(&header, data, sizeof(header));
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_machine != EM_CUDA_GPU)
		return -EINVAL;
	*cubin = (struct cubin){
		.data = data,
		.size = size,
		.sections = header.e_shoff,
		.section_size = header.e_shentsize,
		.count = header.e_shnum,
	};
	if (!header.e_shoff)
		return 0; /* no sections: no kernels */
	if (header.e_shentsize < sizeof(Elf64_Shdr) || header.e_shoff > size ||
	    size - header.e_shoff < header.e_shentsize)
		return -EINVAL;
	names_index = header.e_shstrndx;
	/* more sections than fit into 16 bits: the first section says how many */
	if (!header.e_shnum)
		cubin->count = cubin_section(cubin, 0).sh_size;
	if (header.e_shstrndx == SHN_XINDEX)
		names_index = cubin_section(cubin, 0).sh_link;
	if (cubin->count > (size - header.e_shoff) / header.e_shentsize ||
	    names_index >= cubin->count)
		return -EINVAL;
	strings = cubin_section(cubin, names_index);
	if (!cubin_section_present(cubin, &strings))
		return -EINVAL;
	cubin->names = (const char *)data + strings.sh_offset;
	cubin->names_size = strings.sh_size;
	cubin_find_symbols(cubin);
	return 0;
}

/* What one record of .nv.info says. */
struct info_record {
	uint8_t attribute;
	uint16_t value;      /* INFO_FORMAT_HALF */
	const uint8_t *data; /* INFO_FORMAT_BYTES: @size bytes */
	size_t size;
};

/* Reads the record at *@offset and moves on; false at the end or at damage. */
static bool
info_next(const uint8_t *info, size_t size, size_t *offset, struct info_record *ret_record)
{
	uint8_t format;

	if (size - *offset < 4)
		return false;
	format = info[*offset];
	*ret_record = (struct info_record){.attribute = info[*offset + 1]};
	memcpy(&ret_record->value, info + *offset + 2, 2);
	*offset += 4;
	if (format != INFO_FORMAT_BYTES)
		return true;
	if (ret_record->value > size - *offset)
		return false;
	ret_record->data = info + *offset;
	ret_record->size = ret_record->value;
	*offset += ret_record->value;
	return true;
}

/* The parameter in a record; false: the record is about something else. */
static bool
info_param(const struct info_record *record, uint16_t *ret_ordinal,
	   struct genie_kernel_param *ret_param)
{
	uint16_t offset, size16;
	uint32_t packed;

	if ((record->attribute != INFO_PARAM && record->attribute != INFO_PARAM_V2) ||
	    record->size < 12)
		return false;
	memcpy(ret_ordinal, record->data + 4, 2);
	memcpy(&offset, record->data + 6, 2);
	memcpy(&packed, record->data + 8, 4);
	memcpy(&size16, record->data + 8, 2);
	ret_param->offset = offset;
	ret_param->size = record->attribute == INFO_PARAM ? packed >> 18 : size16;
	return true;
}

static int
cubin_kernel(struct genie_kernel_builder *b, const char *name, const uint8_t *info, size_t size)
{
	struct genie_kernel_param *params, param;
	struct info_record record;
	struct genie_kernel_draft *draft = genie_kernel_builder_kernel(b, name, strlen(name));
	size_t offset = 0;
	uint32_t count = 0;
	uint16_t ordinal;

	if (!draft)
		return -ENOMEM;
	while (info_next(info, size, &offset, &record)) {
		uint32_t threads[3];

		if (info_param(&record, &ordinal, &param))
			count++;
		else if (record.attribute == INFO_PARAM_BYTES)
			draft->desc.param_size = record.value;
		else if (record.attribute == INFO_MAX_THREADS && record.size >= sizeof(threads)) {
			memcpy(threads, record.data, sizeof(threads));
			if (threads[0] <= 1024 && threads[1] <= 1024 && threads[2] <= 1024)
				draft->desc.max_threads = threads[0] * threads[1] * threads[2];
		}
	}
	if (count > GENIE_KERNEL_PARAMS_MAX)
		return -EINVAL;
	params = genie_kernel_builder_params(b, count);
	if (!params)
		return -ENOMEM;
	draft->desc.param_count = count;
	offset = 0;
	while (info_next(info, size, &offset, &record)) {
		if (!info_param(&record, &ordinal, &param))
			continue;
		/* each record another ordinal, without gaps */
		if (ordinal >= count || params[ordinal].size)
			return -EINVAL;
		params[ordinal] = param;
		if (param.offset + param.size > draft->desc.param_size)
			draft->desc.param_size = param.offset + param.size;
	}
	if (draft->desc.param_size > GENIE_KERNEL_PARAM_BYTES_MAX)
		return -EINVAL;
	return 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Has the sorted list this name? */
static bool
has_name(const char *const *names, size_t count, const char *name)
{
	return bsearch(&name, names, count, sizeof(*names), compare_names) != NULL;
}

/*
 * Names that sections with this prefix carry, sorted: .nv.constant0.<name> is what tells a kernel
 * from a device function.
 */
static const char **
cubin_names(const struct cubin *cubin, const char *prefix, size_t *ret_count)
{
	size_t length = strlen(prefix), count = 0;
	const char **names = calloc(cubin->count + 1, sizeof(*names));

	if (!names)
		return NULL;
	for (uint64_t i = 0; i < cubin->count; i++) {
		Elf64_Shdr section = cubin_section(cubin, i);
		const char *name = cubin_section_name(cubin, &section);

		if (name && !strncmp(name, prefix, length))
			names[count++] = name + length;
	}
	qsort(names, count, sizeof(*names), compare_names);
	*ret_count = count;
	return names;
}

/* Registers: records of the file's own .nv.info, each a symbol and a number. */
static void
cubin_registers(const struct cubin *cubin, struct genie_kernel_table *table, const uint8_t *info,
		size_t size)
{
	struct info_record record;
	size_t offset = 0;

	if (!cubin->symbols.sh_size)
		return;
	while (info_next(info, size, &offset, &record)) {
		uint32_t symbol, registers;
		struct genie_kernel_desc *kernel;
		const char *name;

		if (record.attribute != INFO_REGISTERS || record.size < 8)
			continue;
		memcpy(&symbol, record.data, 4);
		memcpy(&registers, record.data + 4, 4);
		name = cubin_symbol_name(cubin, symbol);
		kernel = name ? genie_kernel_table_get(table, name) : NULL;
		if (kernel)
			kernel->registers = registers;
	}
}

/* Registers, and static shared memory from the size of .nv.shared.<name>. */
static void
cubin_resources(const struct cubin *cubin, struct genie_kernel_table *table)
{
	static const char shared[] = ".nv.shared.";
	uint32_t reserved = 0;

	/* where the system keeps a part for itself, the kernels' sections include it */
	for (uint64_t i = 0; i < cubin->count; i++) {
		Elf64_Shdr section = cubin_section(cubin, i);
		const char *name = cubin_section_name(cubin, &section);

		if (name && !strcmp(name, ".nv.shared.reserved.0"))
			reserved = SHARED_RESERVED;
	}
	for (uint64_t i = 0; i < cubin->count; i++) {
		Elf64_Shdr section = cubin_section(cubin, i);
		const char *name = cubin_section_name(cubin, &section);
		struct genie_kernel_desc *kernel;

		if (!name)
			continue;
		if (!strcmp(name, ".nv.info") && cubin_section_present(cubin, &section)) {
			cubin_registers(cubin, table, cubin->data + section.sh_offset,
					section.sh_size);
			continue;
		}
		if (strncmp(name, shared, sizeof(shared) - 1))
			continue;
		kernel = genie_kernel_table_get(table, name + sizeof(shared) - 1);
		if (kernel && section.sh_size >= reserved &&
		    section.sh_size - reserved <= UINT32_MAX)
			kernel->static_shared = (uint32_t)(section.sh_size - reserved);
	}
}

int
genie_kernel_table_init_elf(struct genie_kernel_table *ret_table, const void *data, size_t size)
{
	static const char info[] = ".nv.info.", vprintf_name[] = "\0vprintf";
	struct genie_kernel_table table;
	struct genie_kernel_builder b = {0};
	struct cubin cubin;
	const char **entries;
	size_t entry_count;
	int r;

	r = cubin_open(&cubin, data, size);
	if (r < 0)
		return r;
	entries = cubin_names(&cubin, ".nv.constant0.", &entry_count);
	if (!entries)
		return -ENOMEM;
	for (uint64_t i = 0; i < cubin.count && r >= 0; i++) {
		Elf64_Shdr section = cubin_section(&cubin, i);
		const char *name = cubin_section_name(&cubin, &section);

		if (!name || strncmp(name, info, sizeof(info) - 1))
			continue;
		name += sizeof(info) - 1;
		if (!has_name(entries, entry_count, name))
			continue;
		if (!cubin_section_present(&cubin, &section))
			r = -EINVAL;
		else
			r = cubin_kernel(&b, name, cubin.data + section.sh_offset, section.sh_size);
	}
	free(entries);
	if (r < 0) {
		genie_kernel_builder_fini(&b);
		return r;
	}
	r = genie_kernel_builder_finish(&b, &table);
	if (r < 0)
		return r;
	cubin_resources(&cubin, &table);
	/* as a whole string, in the names of symbols */
	table.prints = memmem(data, size, vprintf_name, sizeof(vprintf_name)) != NULL;
	*ret_table = table;
	return 0;
}
