/* Which kernels PTX has and where their parameters lie: from its .entry declarations. */
#include <errno.h>
#include <string.h>

#include "base/fatbin_kernels.h"

/* No kernel has more shared memory than this, on any device there is. */
#define SHARED_MAX (1u << 20)

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

/* A decimal number up to @most; 0 is none. */
static uint32_t
word_number_to(const struct lexer *lexer, uint32_t most)
{
	uint32_t value = 0;

	for (size_t i = 0; i < lexer->length; i++) {
		if (lexer->word[i] < '0' || lexer->word[i] > '9')
			return 0;
		value = value * 10 + (uint32_t)(lexer->word[i] - '0');
		if (value > most)
			return 0;
	}
	return value;
}

/* One that makes sense in a parameter. */
static uint32_t
word_number(const struct lexer *lexer)
{
	return word_number_to(lexer, GENIE_KERNEL_PARAM_BYTES_MAX);
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
ptx_params(struct genie_kernel_builder *b, struct genie_kernel_desc *desc, struct lexer *lexer)
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
		param = genie_kernel_builder_params(b, 1);
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

/*
 * .shared [.align N] .type name [ '[' count ']' ]... up to the semicolon: takes its place behind
 * the others. What cannot be understood takes none: the size is a help, nothing depends on it.
 */
static void
ptx_shared(struct lexer *lexer, uint32_t *size)
{
	uint64_t type = 0, align = 0, count = 1, start;

	while (lexer_next(lexer) && !word_is(lexer, ";") && !word_is(lexer, "}")) {
		if (word_is(lexer, ".align") && lexer_next(lexer))
			align = word_number(lexer);
		else if (word_is(lexer, "[") && lexer_next(lexer))
			count *= word_number_to(lexer, SHARED_MAX);
		else if (word_type_size(lexer))
			type = word_type_size(lexer);
		if (count > SHARED_MAX)
			return;
	}
	align = align ? align : type;
	if (!type || align & (align - 1) || !align)
		return;
	start = (*size + align - 1) & ~(align - 1);
	if (start + type * count <= SHARED_MAX)
		*size = (uint32_t)(start + type * count);
}

/* A kernel's body, from the brace that opens it: only its shared variables are of interest. */
static void
ptx_body(struct lexer *lexer, uint32_t *ret_shared)
{
	unsigned int depth = 1;

	while (depth && lexer_next(lexer)) {
		if (word_is(lexer, "{"))
			depth++;
		else if (word_is(lexer, "}"))
			depth--;
		else if (word_is(lexer, ".shared"))
			ptx_shared(lexer, ret_shared);
	}
}

/* An .entry, up to the end of its body or the semicolon of a mere declaration. */
static int
ptx_kernel(struct genie_kernel_builder *b, struct lexer *lexer)
{
	struct genie_kernel_desc desc = {0};
	size_t params_before = b->params_count;
	const char *name;
	size_t length;
	struct genie_kernel_draft *draft;
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
	ptx_body(lexer, &desc.static_shared);
	draft = genie_kernel_builder_kernel(b, name, length);
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
	struct genie_kernel_builder b = {0};
	int r;

	while (lexer_next(&lexer)) {
		if (!word_is(&lexer, ".entry"))
			continue;
		r = ptx_kernel(&b, &lexer);
		if (r < 0) {
			genie_kernel_builder_fini(&b);
			return r;
		}
	}
	r = genie_kernel_builder_finish(&b, ret_table);
	if (!r)
		ret_table->prints = memmem(text, size, "vprintf", strlen("vprintf")) != NULL;
	return r;
}
