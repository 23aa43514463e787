#include "remote/device_cpu/ptx/declare.h"

#include <string.h>

enum { MAX_DEPTH = 16, MAX_PARAMS = 65536 };
static const uint64_t max_size = 1ull << 40;

int
ptx_space_find(struct ptx_word directive, enum ptx_space *ret_space)
{
	static const struct {
		const char *name;
		enum ptx_space space;
	} spaces[] = {
		{".global", PTX_SPACE_GLOBAL}, {".const", PTX_SPACE_CONST},
		{".shared", PTX_SPACE_SHARED}, {".local", PTX_SPACE_LOCAL},
		{".param", PTX_SPACE_PARAM},   {".reg", PTX_SPACE_REG},
		{".tex", PTX_SPACE_GLOBAL},
	};

	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		if (ptx_word_is(directive, spaces[i].name)) {
			*ret_space = spaces[i].space;
			return 1;
		}
	}
	return 0;
}

static uint32_t
read_alignment(struct ptx_lexer *lx)
{
	uint64_t align = ptx_lexer_number(lx).bits;

	if (!align || align > 4096 || (align & (align - 1)))
		ptx_lexer_fail(lx, "an alignment of %llu", (unsigned long long)align);
	return (uint32_t)align;
}

void
ptx_declare_prefix(struct ptx_lexer *lx, struct ptx_declaration *decl)
{
	int pointer = 0; /* after .ptr come properties of what it points to */

	decl->type = PTX_T_NONE;
	decl->align = 0;
	decl->vector = 1;
	decl->managed = 0;
	while (ptx_lexer_peek(lx) == '.') {
		struct ptx_word word = ptx_lexer_directive(lx);
		enum ptx_type type = ptx_type_find(word.text + 1, word.len - 1);
		enum ptx_space ignored;

		if (type) {
			decl->type = type;
		} else if (ptx_word_is(word, ".align")) {
			uint32_t align = read_alignment(lx);

			if (!pointer)
				decl->align = align;
		} else if (ptx_word_is(word, ".ptr")) {
			pointer = 1;
		} else if (ptx_word_is(word, ".v2")) {
			decl->vector = 2;
		} else if (ptx_word_is(word, ".v4")) {
			decl->vector = 4;
		} else if (ptx_word_is(word, ".v8")) {
			decl->vector = 8;
		} else if (ptx_word_is(word, ".attribute")) {
			const char *from = lx->p;

			ptx_lexer_skip_to(lx, ')');
			decl->managed |=
				memmem(from, (size_t)(lx->p - from), ".managed", 8) != NULL;
		} else if (!ptx_space_find(word, &ignored)) {
			ptx_lexer_fail(lx, "\"%.*s\" in a declaration", (int)word.len, word.text);
		}
	}
	if (!decl->type)
		ptx_lexer_fail(lx, "a declaration without a type");
}

void
ptx_declare_name(struct ptx_lexer *lx, const struct ptx_declaration *decl, struct ptx_variable *var)
{
	uint64_t count = decl->vector;

	var->name = ptx_lexer_string(lx, ptx_lexer_name(lx));
	var->space = decl->space;
	var->type = decl->type;
	var->managed = decl->managed;
	while (ptx_lexer_accept(lx, '[')) {
		uint64_t n = 0;

		if (ptx_lexer_peek(lx) != ']')
			n = ptx_lexer_constant(lx).bits;
		ptx_lexer_expect(lx, ']');
		if (__builtin_mul_overflow(count, n, &count) || count > max_size)
			ptx_lexer_fail(lx, "%s is too large", var->name);
	}
	var->size = count * ptx_type_size(decl->type);
	var->align = ptx_type_size(decl->type) * decl->vector;
	if (decl->align > var->align || (decl->align && decl->vector == 1))
		var->align = decl->align;
}

void
ptx_declare_params(struct ptx_lexer *lx, struct ptx_variable **ret_list, uint32_t *ret_count)
{
	struct ptx_variable *list = NULL;
	uint32_t count = 0, room = 0;

	ptx_lexer_expect(lx, '(');
	while (!ptx_lexer_accept(lx, ')')) {
		struct ptx_declaration decl = {0};

		if (count == room) {
			struct ptx_variable *more;

			if (room >= MAX_PARAMS)
				ptx_lexer_fail(lx, "too many parameters");
			room = room ? room * 2 : 4;
			more = ptx_lexer_alloc(lx, room * sizeof(*more));
			if (count)
				memcpy(more, list, count * sizeof(*more));
			list = more;
		}
		if (!ptx_space_find(ptx_lexer_directive(lx), &decl.space) ||
		    (decl.space != PTX_SPACE_PARAM && decl.space != PTX_SPACE_REG))
			ptx_lexer_fail(lx, "a parameter that is neither .param nor .reg");
		ptx_declare_prefix(lx, &decl);
		ptx_declare_name(lx, &decl, &list[count++]);
		if (ptx_lexer_peek(lx) != ')')
			ptx_lexer_expect(lx, ',');
	}
	*ret_list = list;
	*ret_count = count;
}

uint64_t
ptx_declare_layout(struct ptx_variable *list, uint32_t count)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t align = list[i].align ? list[i].align : 1;

		size = (size + align - 1) & ~(align - 1);
		list[i].offset = size;
		size += list[i].size;
	}
	return size;
}

/* Where the elements of an initialiser go. */
struct writer {
	struct ptx_module *module; /* NULL: only count */
	uint8_t *data;
	uint64_t element, capacity, count;
};

static void
put_element(struct ptx_lexer *lx, struct writer *w, uint64_t value)
{
	if (w->module) {
		if ((w->count + 1) * w->element > w->capacity)
			ptx_lexer_fail(lx, "an initialiser longer than its variable");
		memcpy(w->data + w->count * w->element, &value, w->element < 8 ? w->element : 8);
	}
	w->count++;
}

/* The address that a name stands for. Shared variables have addresses only in a launch. */
static uint64_t
address_of(struct ptx_lexer *lx, struct writer *w, struct ptx_word word)
{
	if (!w->module)
		return 0;

	const struct ptx_name *name = ptx_names_get(&w->module->names, word.text, word.len);

	if (!name)
		ptx_lexer_fail(lx, "unknown name %.*s", (int)word.len, word.text);
	if (name->kind == PTX_NAME_FUNCTION)
		return ptx_function_address(name->value);
	const struct ptx_variable *var = name->value;

	if (!var->data)
		ptx_lexer_fail(lx, "the address of %s is not constant", var->name);
	return (uintptr_t)var->data;
}

static int
is_address(struct ptx_lexer *lx)
{
	int c = ptx_lexer_peek(lx);

	return c == '_' || c == '$' || c == '%' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "name", "name+4", "generic(name)+4" */
static uint64_t
read_address(struct ptx_lexer *lx, struct writer *w)
{
	struct ptx_word word = ptx_lexer_name(lx);
	uint64_t address;

	if (ptx_word_is(word, "generic") && ptx_lexer_accept(lx, '(')) {
		word = ptx_lexer_name(lx);
		address = address_of(lx, w, word);
		if (ptx_lexer_peek(lx) == '+' || ptx_lexer_peek(lx) == '-')
			address += ptx_lexer_constant(lx).bits;
		ptx_lexer_expect(lx, ')');
	} else {
		address = address_of(lx, w, word);
	}
	while (ptx_lexer_peek(lx) == '+' || ptx_lexer_peek(lx) == '-')
		address += ptx_lexer_constant(lx).bits;
	return address;
}

/* "0xff00(name)": one byte of an address. */
static uint64_t
read_masked_address(struct ptx_lexer *lx, struct writer *w, uint64_t mask)
{
	ptx_lexer_expect(lx, '(');
	uint64_t address = read_address(lx, w);

	ptx_lexer_expect(lx, ')');
	if (!mask)
		ptx_lexer_fail(lx, "an address masked with zero");
	return (address & mask) >> __builtin_ctzll(mask);
}

static void
read_elements(struct ptx_lexer *lx, struct writer *w, enum ptx_type type, int depth)
{
	if (depth > MAX_DEPTH)
		ptx_lexer_fail(lx, "an initialiser nested too deeply");
	if (ptx_lexer_accept(lx, '{')) {
		while (!ptx_lexer_accept(lx, '}')) {
			read_elements(lx, w, type, depth + 1);
			if (ptx_lexer_peek(lx) != '}')
				ptx_lexer_expect(lx, ',');
		}
		return;
	}
	if (is_address(lx)) {
		put_element(lx, w, read_address(lx, w));
		return;
	}

	struct ptx_number n = ptx_lexer_constant(lx);

	if (ptx_lexer_peek(lx) == '(') {
		put_element(lx, w, read_masked_address(lx, w, n.bits));
		return;
	}
	if (n.is_float && !n.is_single && type == PTX_T_F32) {
		double wide;
		float narrow;

		memcpy(&wide, &n.bits, sizeof(wide));
		narrow = (float)wide;
		n.bits = 0;
		memcpy(&n.bits, &narrow, sizeof(narrow));
	}
	put_element(lx, w, n.bits);
}

uint64_t
ptx_initialiser_count(struct ptx_lexer *lx)
{
	struct writer w = {0};

	read_elements(lx, &w, PTX_T_NONE, 0);
	return w.count;
}

void
ptx_initialiser_write(struct ptx_lexer *lx, struct ptx_module *module, struct ptx_variable *var)
{
	struct writer w = {
		.module = module,
		.data = var->data,
		.element = ptx_type_size(var->type),
		.capacity = var->size,
	};

	lx->p = var->init;
	lx->line = var->init_line;
	read_elements(lx, &w, var->type, 0);
}
