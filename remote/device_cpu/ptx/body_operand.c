/* Operands of statements. */
#include "remote/device_cpu/ptx/parser.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8 }; /* of brackets in an operand */

/* Operands */

struct ptx_label *
ptx_parser_label(struct ptx_parser *ps, struct ptx_word name)
{
	struct ptx_label *label = ptx_lexer_alloc(ps->lx, sizeof(*label));

	label->name = name;
	label->scope = ps->scope;
	label->stmt = ps->body->nstmts;
	label->line = ps->lx->line;
	label->next = ps->body->labels;
	ps->body->labels = label;
	return label;
}

static void
note_reference(struct ptx_parser *ps, struct ptx_operand *op)
{
	if (ps->nreferences == ps->reference_room) {
		uint32_t room = ps->reference_room;

		ps->references =
			ptx_parser_grow(ps, ps->references, &room, sizeof(*ps->references));
		room = ps->reference_room;
		ps->reference_scope = ptx_parser_grow(ps, ps->reference_scope, &room,
						      sizeof(*ps->reference_scope));
		ps->reference_room = room;
	}
	ps->references[ps->nreferences] = op;
	ps->reference_scope[ps->nreferences++] = ps->scope;
}

/* "%r17" of "%r<20>" */
static int
find_in_range(struct ptx_parser *ps, struct ptx_word word, uint32_t *ret_reg)
{
	size_t digits = 0;
	uint64_t n = 0, scale = 1;

	while (digits < word.len && digits < 9 && word.text[word.len - 1 - digits] >= '0' &&
	       word.text[word.len - 1 - digits] <= '9') {
		n += scale * (word.text[word.len - 1 - digits] - '0');
		scale *= 10;
		digits++;

		struct ptx_word prefix = {word.text, word.len - digits};
		struct ptx_symbol *s = ptx_parser_find(ps, prefix, 1);

		if (s && n < s->count) {
			*ret_reg = s->reg + (uint32_t)n;
			return 1;
		}
	}
	return 0;
}

/* "%tid.x" is one name; a register's vector component (".x" of a .v4 register) is not supported. */
static struct ptx_word
special_word(struct ptx_lexer *lx, struct ptx_word word)
{
	if (*lx->p == '.' && (lx->p[1] == 'x' || lx->p[1] == 'y' || lx->p[1] == 'z')) {
		lx->p += 2;
		word.len += 2;
	}
	return word;
}

static void
read_name(struct ptx_parser *ps, struct ptx_operand *op, struct ptx_word word)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_symbol *s = ptx_parser_find(ps, word, 0);

	if (s && s->var) {
		op->kind = PTX_O_VARIABLE;
		op->var = s->var;
		return;
	}
	if (s || find_in_range(ps, word, &op->reg)) {
		op->kind = PTX_O_REG;
		if (s)
			op->reg = s->reg;
		return;
	}
	if (*word.text == '%') {
		struct ptx_word full = special_word(lx, word);

		op->kind = PTX_O_SPECIAL;
		op->special = ptx_special_find(full.text, full.len);
		if (!op->special && full.len > 3 &&
		    ((full.len > 7 && !memcmp(full.text, "%envreg", 7)) ||
		     !memcmp(full.text, "%pm", 3))) {
			/* registers of drivers and profilers that hold nothing here */
			op->kind = PTX_O_IMM;
			return;
		}
		if (!op->special)
			ptx_lexer_fail(lx, "unknown register %.*s", (int)full.len, full.text);
		return;
	}
	if (ptx_word_is(word, "WARP_SZ")) {
		op->kind = PTX_O_IMM;
		op->imm = 32;
		return;
	}

	const struct ptx_name *name =
		ptx_names_get(&ps->body->function->module->names, word.text, word.len);

	if (name && name->kind == PTX_NAME_VARIABLE) {
		op->kind = PTX_O_VARIABLE;
		op->var = name->value;
	} else if (name) {
		op->kind = PTX_O_FUNCTION;
		op->function = name->value;
	} else {
		op->kind = PTX_O_LABEL;
		op->label = ptx_lexer_alloc(lx, sizeof(*op->label));
		op->label->name = word;
		op->label->line = lx->line;
		note_reference(ps, op);
	}
}

/* The elements of "{a, b}" or "[a, b]" up to the bracket that closes it. */
static void
read_list(struct ptx_parser *ps, struct ptx_operand *op, char close, int depth)
{
	struct ptx_lexer *lx = ps->lx;
	uint32_t room = 4;

	op->elems = ptx_lexer_alloc(lx, room * sizeof(*op->elems));
	while (!ptx_lexer_accept(lx, close)) {
		if (op->count == PTX_PARSER_OPERANDS)
			ptx_lexer_fail(lx, "too many operands");
		if (op->count == room) {
			struct ptx_operand *more = ptx_lexer_alloc(lx, 2 * room * sizeof(*more));

			/* Label references point at operands: lists of labels do not move,
			 * they are read by read_targets. */
			memcpy(more, op->elems, room * sizeof(*more));
			op->elems = more;
			room *= 2;
		}
		ptx_parser_operand(ps, &op->elems[op->count++], depth + 1);
		if (ptx_lexer_peek(lx) != close)
			ptx_lexer_expect(lx, ',');
	}
}

static void
read_memory(struct ptx_parser *ps, struct ptx_operand *op, int depth)
{
	op->kind = PTX_O_MEMORY;
	read_list(ps, op, ']', depth);
	if (!op->count)
		ptx_lexer_fail(ps->lx, "an empty address");
	/* "[a+4]" was read as an operand with an offset. */
	if (op->elems[0].kind != PTX_O_IMM) {
		op->imm = op->elems[0].imm;
		op->elems[0].imm = 0;
	}
}

void
ptx_parser_operand(struct ptx_parser *ps, struct ptx_operand *op, int depth)
{
	struct ptx_lexer *lx = ps->lx;

	if (depth > MAX_DEPTH)
		ptx_lexer_fail(lx, "operands nested too deeply");
	*op = (struct ptx_operand){.reg = PTX_NO_REG};

	int c = ptx_lexer_peek(lx);

	if (c == '[') {
		lx->p++;
		read_memory(ps, op, depth);
		return;
	}
	if (c == '{') {
		lx->p++;
		op->kind = PTX_O_VECTOR;
		read_list(ps, op, '}', depth);
		return;
	}
	/* "!p" is a predicate's opposite; "!1" is a constant. */
	if (c == '!' && (lx->p[1] < '0' || lx->p[1] > '9') && lx->p[1] != '(') {
		lx->p++;
		ptx_parser_operand(ps, op, depth + 1);
		op->negate = !op->negate;
		return;
	}
	if (ptx_lexer_at_number(lx)) {
		struct ptx_number n = ptx_lexer_constant(lx);

		op->kind = PTX_O_IMM;
		op->imm = (int64_t)n.bits;
		op->is_float = n.is_float;
		op->is_single = n.is_single;
		return;
	}

	struct ptx_word word = ptx_lexer_name(lx);

	if (ptx_word_is(word, "_")) {
		op->kind = PTX_O_SINK;
	} else if (ptx_word_is(word, "generic") && ptx_lexer_accept(lx, '(')) {
		ptx_parser_operand(ps, op, depth + 1);
		ptx_lexer_expect(lx, ')');
	} else {
		read_name(ps, op, word);
	}

	c = ptx_lexer_peek(lx);
	if ((c == '+' || c == '-') && op->kind != PTX_O_SINK) {
		op->imm = (int64_t)ptx_lexer_constant(lx).bits;
	} else if (c == '|') {
		lx->p++;
		op->pair = ptx_lexer_alloc(lx, sizeof(*op->pair));
		ptx_parser_operand(ps, op->pair, depth + 1);
	}
}
