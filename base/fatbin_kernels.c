/*
 * Which kernels an image entry has and where their parameters lie: from the .nv.info sections of a
 * cubin, or from the .entry declarations of PTX. Both give the same answer where a library carries
 * both (tests/unit/test_fatbin.c compares them).
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"

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

/*
 * A table under construction. Names and parameters move while they grow, so kernels hold offsets
 * until the end.
 */
struct builder {
	struct draft {
		size_t name, params;
		struct genie_kernel_desc desc;
	} * kernels;
	size_t count, capacity;
	char *names;
	size_t names_size, names_capacity;
	struct genie_kernel_param *params;
	size_t params_count, params_capacity;
	bool failed; /* out of memory: sticky */
};

/* Makes room for @need elements; false = out of memory. */
static bool
grow(void **array, size_t *capacity, size_t need, size_t element)
{
	size_t wanted = *capacity ? *capacity : 64;
	void *bigger;

	if (need <= *capacity)
		return true;
	while (wanted < need)
		wanted *= 2;
	bigger = realloc(*array, wanted * element);
	if (!bigger)
		return false;
	*array = bigger;
	*capacity = wanted;
	return true;
}

static struct draft *
builder_kernel(struct builder *b, const char *name, size_t length)
{
	struct draft *draft;

	if (!grow((void **)&b->kernels, &b->capacity, b->count + 1, sizeof(*b->kernels)) ||
	    !grow((void **)&b->names, &b->names_capacity, b->names_size + length + 1, 1)) {
		b->failed = true;
		return NULL;
	}
	draft = &b->kernels[b->count++];
	*draft = (struct draft){.name = b->names_size, .params = b->params_count};
	memcpy(b->names + b->names_size, name, length);
	b->names[b->names_size + length] = 0;
	b->names_size += length + 1;
	return draft;
}

/* Adds @count zeroed parameters at the end; NULL = out of memory. */
static struct genie_kernel_param *
builder_params(struct builder *b, size_t count)
{
	struct genie_kernel_param *params;

	/* one more, so that there is an array even for a kernel without parameters */
	if (!grow((void **)&b->params, &b->params_capacity, b->params_count + count + 1,
		  sizeof(*b->params))) {
		b->failed = true;
		return NULL;
	}
	params = b->params + b->params_count;
	memset(params, 0, count * sizeof(*params));
	b->params_count += count;
	return params;
}

static void
builder_fini(struct builder *b)
{
	free(b->kernels);
	free(b->names);
	free(b->params);
}

static int
compare_kernels(const void *a, const void *b)
{
	const struct genie_kernel_desc *ka = a, *kb = b;

	return strcmp(ka->name, kb->name);
}

/* Hands what was built over to a table. Frees the builder. */
static int
builder_finish(struct builder *b, struct genie_kernel_table *ret_table)
{
	struct genie_kernel_desc *kernels = NULL;

	if (b->count) {
		kernels = calloc(b->count, sizeof(*kernels));
		b->failed |= !kernels;
	}
	if (b->failed) {
		builder_fini(b);
		return -ENOMEM;
	}
	for (size_t i = 0; i < b->count; i++) {
		kernels[i] = b->kernels[i].desc;
		kernels[i].name = b->names + b->kernels[i].name;
		kernels[i].params = b->params ? b->params + b->kernels[i].params : NULL;
	}
	if (b->count)
		qsort(kernels, b->count, sizeof(*kernels), compare_kernels);
	free(b->kernels);
	*ret_table = (struct genie_kernel_table){
		.kernels = kernels,
		.count = b->count,
		.names = b->names,
		.params = b->params,
	};
	return 0;
}

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
cubin_kernel(struct builder *b, const char *name, const uint8_t *info, size_t size)
{
	struct genie_kernel_param *params, param;
	struct info_record record;
	struct draft *draft = builder_kernel(b, name, strlen(name));
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
	params = builder_params(b, count);
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

static struct genie_kernel_desc *
table_find(const struct genie_kernel_table *table, const char *name)
{
	struct genie_kernel_desc key = {.name = name};

	if (!table->count)
		return NULL;
	return bsearch(&key, table->kernels, table->count, sizeof(key), compare_kernels);
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
		kernel = name ? table_find(table, name) : NULL;
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
		kernel = table_find(table, name + sizeof(shared) - 1);
		if (kernel && section.sh_size >= reserved &&
		    section.sh_size - reserved <= UINT32_MAX)
			kernel->static_shared = (uint32_t)(section.sh_size - reserved);
	}
}

int
genie_kernel_table_init_elf(struct genie_kernel_table *ret_table, const void *data, size_t size)
{
	static const char info[] = ".nv.info.";
	struct genie_kernel_table table;
	struct builder b = {0};
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
		builder_fini(&b);
		return r;
	}
	r = builder_finish(&b, &table);
	if (r < 0)
		return r;
	cubin_resources(&cubin, &table);
	*ret_table = table;
	return 0;
}

/*
 * PTX text as words: names, directives (with their dot), numbers, and single characters.
 * Comments, blanks and strings are skipped.
 */
struct lexer {
	const char *at, *end;
	const char *word;
	size_t length; /* 0 at the end */
};

static bool
is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$' || c == '%' || c == '.';
}

/* Past what begins at *at: a comment or a string. */
static void
lexer_skip(struct lexer *lexer, const char *until, size_t length)
{
	const char *found = memmem(lexer->at, lexer->end - lexer->at, until, length);

	lexer->at = found ? found + length : lexer->end;
}

static bool
lexer_next(struct lexer *lexer)
{
	while (lexer->at < lexer->end) {
		size_t left = lexer->end - lexer->at;
		char c = *lexer->at;

		if (c == '/' && left > 1 && lexer->at[1] == '/') {
			lexer_skip(lexer, "\n", 1);
		} else if (c == '/' && left > 1 && lexer->at[1] == '*') {
			lexer->at += 2;
			lexer_skip(lexer, "*/", 2);
		} else if (c == '"') {
			lexer->at++;
			lexer_skip(lexer, "\"", 1);
		} else if (is_word_char(c)) {
			lexer->word = lexer->at;
			while (lexer->at < lexer->end && is_word_char(*lexer->at))
				lexer->at++;
			lexer->length = lexer->at - lexer->word;
			return true;
		} else if (c == ' ' || (c >= '\t' && c <= '\r')) {
			lexer->at++;
		} else {
			lexer->word = lexer->at++;
			lexer->length = 1;
			return true;
		}
	}
	lexer->length = 0;
	return false;
}

static bool
word_is(const struct lexer *lexer, const char *word)
{
	return strlen(word) == lexer->length && !memcmp(lexer->word, word, lexer->length);
}

/* A decimal number that fits a parameter buffer; 0 is none. */
static uint32_t
word_number(const struct lexer *lexer)
{
	uint32_t value = 0;

	for (size_t i = 0; i < lexer->length; i++) {
		if (lexer->word[i] < '0' || lexer->word[i] > '9')
			return 0;
		value = value * 10 + (uint32_t)(lexer->word[i] - '0');
		if (value > GENIE_KERNEL_PARAM_BYTES_MAX)
			return 0;
	}
	return value;
}

/* Bytes of a fundamental type; 0: the word is no type. */
static uint32_t
word_type_size(const struct lexer *lexer)
{
	static const struct {
		const char *name;
		uint32_t size;
	} types[] = {
		{".b8", 1},      {".u8", 1},         {".s8", 1},    {".b16", 2},    {".u16", 2},
		{".s16", 2},     {".f16", 2},        {".bf16", 2},  {".b32", 4},    {".u32", 4},
		{".s32", 4},     {".f32", 4},        {".f16x2", 4}, {".bf16x2", 4}, {".b64", 8},
		{".u64", 8},     {".s64", 8},        {".f64", 8},   {".b128", 16},  {".texref", 8},
		{".surfref", 8}, {".samplerref", 8},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (word_is(lexer, types[i].name))
			return types[i].size;
	return 0;
}

/*
 * One parameter up to the comma or parenthesis that ends it, which is left in the lexer:
 *   .param [.align N] .type [.ptr [.space] [.align N]] name [ '[' count ']' ]...
 */
static int
ptx_param(struct lexer *lexer, uint32_t *ret_size, uint32_t *ret_align)
{
	uint32_t type = 0, align = 0;
	uint64_t count = 1;
	bool pointee = false;

	while (!word_is(lexer, ",") && !word_is(lexer, ")")) {
		if (word_is(lexer, ".ptr")) {
			pointee = true; /* what .align says now is about the target */
		} else if (word_is(lexer, ".v2")) {
			count *= 2;
		} else if (word_is(lexer, ".v4")) {
			count *= 4;
		} else if (word_is(lexer, ".align")) {
			if (!lexer_next(lexer) || !word_number(lexer))
				return -EINVAL;
			if (!pointee)
				align = word_number(lexer);
		} else if (word_is(lexer, "[")) {
			if (!lexer_next(lexer) || !word_number(lexer))
				return -EINVAL;
			count *= word_number(lexer);
			if (count > GENIE_KERNEL_PARAM_BYTES_MAX)
				return -EINVAL;
			if (!lexer_next(lexer) || !word_is(lexer, "]"))
				return -EINVAL;
		} else if (word_type_size(lexer)) {
			type = word_type_size(lexer);
		}
		if (!lexer_next(lexer))
			return -EINVAL;
	}
	if (!type)
		return -EINVAL;
	*ret_size = (uint32_t)(type * count);
	*ret_align = align ? align : type;
	return 0;
}

/* Parameters in parentheses. The lexer stands on the opening one and ends on the closing one. */
static int
ptx_params(struct builder *b, struct genie_kernel_desc *desc, struct lexer *lexer)
{
	if (!lexer_next(lexer))
		return -EINVAL;
	while (!word_is(lexer, ")")) {
		uint32_t size, align, offset;
		struct genie_kernel_param *param;

		if (ptx_param(lexer, &size, &align) < 0)
			return -EINVAL;
		if (align & (align - 1))
			return -EINVAL;
		offset = (desc->param_size + align - 1) & ~(align - 1);
		if (offset + size > GENIE_KERNEL_PARAM_BYTES_MAX ||
		    desc->param_count == GENIE_KERNEL_PARAMS_MAX)
			return -EINVAL;
		param = builder_params(b, 1);
		if (!param)
			return -ENOMEM;
		*param = (struct genie_kernel_param){.offset = offset, .size = size};
		desc->param_count++;
		desc->param_size = offset + size;
		if (word_is(lexer, ",") && !lexer_next(lexer))
			return -EINVAL;
	}
	return 0;
}

/* N[, N[, N]] after .maxntid: the product. Leaves the word that follows in the lexer. */
static uint32_t
ptx_threads(struct lexer *lexer)
{
	uint64_t product = 1;

	do {
		if (!lexer_next(lexer) || !word_number(lexer))
			return 0;
		product *= word_number(lexer);
		if (product > UINT32_MAX)
			return 0;
	} while (lexer_next(lexer) && word_is(lexer, ","));
	return (uint32_t)product;
}

/* An .entry, up to the brace that opens its body or the semicolon of a mere declaration. */
static int
ptx_kernel(struct builder *b, struct lexer *lexer)
{
	struct genie_kernel_desc desc = {0};
	size_t params_before = b->params_count;
	const char *name;
	size_t length;
	struct draft *draft;
	bool more;
	int r;

	if (!lexer_next(lexer) || !is_word_char(*lexer->word))
		return -EINVAL;
	name = lexer->word;
	length = lexer->length;
	more = lexer_next(lexer);
	while (more && !word_is(lexer, "{") && !word_is(lexer, ";")) {
		if (word_is(lexer, "(")) {
			r = ptx_params(b, &desc, lexer);
			if (r < 0)
				return r;
		} else if (word_is(lexer, ".maxntid") || word_is(lexer, ".reqntid")) {
			desc.max_threads = ptx_threads(lexer);
			more = lexer->length > 0;
			continue;
		}
		more = lexer_next(lexer);
	}
	if (!more)
		return -EINVAL;
	if (word_is(lexer, ";")) {
		b->params_count = params_before;
		return 0;
	}
	draft = builder_kernel(b, name, length);
	if (!draft)
		return -ENOMEM;
	draft->params = params_before;
	draft->desc = desc;
	return 0;
}

int
genie_kernel_table_init_ptx(struct genie_kernel_table *ret_table, const char *text, size_t size)
{
	struct lexer lexer = {.at = text, .end = text + size};
	struct builder b = {0};

	while (lexer_next(&lexer)) {
		int r;

		if (!word_is(&lexer, ".entry"))
			continue;
		r = ptx_kernel(&b, &lexer);
		if (r < 0) {
			builder_fini(&b);
			return r;
		}
	}
	return builder_finish(&b, ret_table);
}

int
genie_kernel_table_init(struct genie_kernel_table *ret_table, const struct genie_image_entry *entry)
{
	void *data;
	size_t size;
	int r;

	r = genie_image_entry_unpack(entry, GENIE_IMAGE_UNPACK_MAX, &data, &size);
	if (r < 0)
		return r;
	if (entry->kind == GENIE_ENTRY_PTX)
		r = genie_kernel_table_init_ptx(ret_table, data, size);
	else
		r = genie_kernel_table_init_elf(ret_table, data, size);
	free(data);
	return r;
}

void
genie_kernel_table_fini(struct genie_kernel_table *table)
{
	free(table->kernels);
	free(table->names);
	free(table->params);
	*table = (struct genie_kernel_table){0};
}

const struct genie_kernel_desc *
genie_kernel_table_find(const struct genie_kernel_table *table, const char *name)
{
	return table_find(table, name);
}
