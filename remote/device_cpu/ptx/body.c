/* Statements of a body: labels, directives, instructions. */
#include "remote/device_cpu/ptx/parser.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_STMTS = 1 << 22, MAX_ARGS = 4096 /* of a call */ };

/* Statements */

static struct ptx_stmt *
new_stmt(struct ptx_parser *ps)
{
	struct ptx_body *body = ps->body;

	if (body->nstmts >= MAX_STMTS)
		ptx_lexer_fail(ps->lx, "too many instructions");
	if (body->nstmts == ps->stmt_room)
		body->stmts =
			ptx_parser_grow(ps, body->stmts, &ps->stmt_room, sizeof(*body->stmts));

	struct ptx_stmt *stmt = &body->stmts[body->nstmts++];

	*stmt = (struct ptx_stmt){.guard = PTX_NO_REG, .line = ps->lx->line};
	return stmt;
}

static void
read_guard(struct ptx_parser *ps, struct ptx_stmt *stmt)
{
	struct ptx_operand op;

	if (!ptx_lexer_accept(ps->lx, '@'))
		return;
	ptx_parser_operand(ps, &op, 0);
	if (op.kind != PTX_O_REG || ps->body->reg_types[op.reg] != PTX_T_PRED)
		ptx_lexer_fail(ps->lx, "a guard that is no predicate");
	stmt->guard = op.reg;
	stmt->guard_negate = op.negate;
}

static void
read_modifiers(struct ptx_parser *ps, struct ptx_stmt *stmt)
{
	struct ptx_lexer *lx = ps->lx;

	while (*lx->p == '.') {
		struct ptx_word word = ptx_lexer_directive(lx);
		enum ptx_type type;
		enum ptx_modifier modifier;

		ptx_modifier_find(word.text + 1, word.len - 1, &type, &modifier);
		if (type) {
			if (stmt->ntypes < sizeof(stmt->types))
				stmt->types[stmt->ntypes++] = (uint8_t)type;
		} else if (modifier) {
			stmt->modifiers[modifier / 64] |= 1ull << (modifier % 64);
		} else {
			stmt->unknown = 1;
		}
	}
	stmt->text.len = lx->p - stmt->text.text;
}

static void
read_arguments(struct ptx_parser *ps, struct ptx_operand **ret_list, uint32_t *ret_count)
{
	struct ptx_lexer *lx = ps->lx;
	uint32_t count = 0, room = 8;
	struct ptx_operand *list = ptx_lexer_alloc(lx, room * sizeof(*list));

	ptx_lexer_expect(lx, '(');
	while (!ptx_lexer_accept(lx, ')')) {
		if (count == MAX_ARGS)
			ptx_lexer_fail(lx, "too many arguments");
		if (count == room) {
			struct ptx_operand *more = ptx_lexer_alloc(lx, 2 * room * sizeof(*more));

			memcpy(more, list, room * sizeof(*more));
			list = more;
			room *= 2;
		}
		ptx_parser_operand(ps, &list[count++], 0);
		if (list[count - 1].kind == PTX_O_LABEL)
			ptx_lexer_fail(lx, "unknown argument %.*s",
				       (int)list[count - 1].label->name.len,
				       list[count - 1].label->name.text);
		if (ptx_lexer_peek(lx) != ')')
			ptx_lexer_expect(lx, ',');
	}
	*ret_list = list;
	*ret_count = count;
}

/* "call (ret), function, (args), prototype;" */
static void
read_call(struct ptx_parser *ps, struct ptx_stmt *stmt)
{
	struct ptx_lexer *lx = ps->lx;

	if (ptx_lexer_peek(lx) == '(') {
		read_arguments(ps, &stmt->rets, &stmt->nrets);
		ptx_lexer_expect(lx, ',');
	}
	stmt->ops = ptx_lexer_alloc(lx, sizeof(*stmt->ops));
	stmt->nops = 1;
	ptx_parser_operand(ps, &stmt->ops[0], 0);
	if (ptx_lexer_accept(lx, ',')) {
		if (ptx_lexer_peek(lx) == '(') {
			read_arguments(ps, &stmt->args, &stmt->nargs);
			if (ptx_lexer_accept(lx, ','))
				ptx_lexer_name(lx);
		} else {
			ptx_lexer_name(lx);
		}
	}
}

static void
read_instruction(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_stmt *stmt = new_stmt(ps);
	struct ptx_operand ops[PTX_PARSER_OPERANDS];
	uint32_t nrefs = ps->nreferences;

	read_guard(ps, stmt);

	struct ptx_word word = ptx_lexer_name(lx);

	stmt->text = word;
	stmt->opcode = ptx_opcode_find(word.text, word.len);
	read_modifiers(ps, stmt);
	if (stmt->opcode == PTX_OP_call) {
		read_call(ps, stmt);
		ptx_lexer_expect(lx, ';');
		return;
	}
	while (ptx_lexer_peek(lx) != ';') {
		if (stmt->nops == PTX_PARSER_OPERANDS)
			ptx_lexer_fail(lx, "too many operands");
		ptx_parser_operand(ps, &ops[stmt->nops++], 0);
		if (ptx_lexer_peek(lx) != ';')
			ptx_lexer_expect(lx, ',');
	}
	lx->p++;
	stmt->ops = ptx_lexer_alloc(lx, stmt->nops * sizeof(*ops));
	memcpy(stmt->ops, ops, stmt->nops * sizeof(*ops));
	/* The operands have moved to where they stay. */
	for (uint32_t i = nrefs; i < ps->nreferences; i++)
		for (uint32_t k = 0; k < stmt->nops; k++)
			if (ps->references[i] == &ops[k])
				ps->references[i] = &stmt->ops[k];
}

static void
read_targets(struct ptx_parser *ps, struct ptx_label *label)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_operand *list = ptx_lexer_alloc(lx, sizeof(*list));
	uint32_t count = 0;

	/* Count first: references point at the elements, which must not move. */
	const char *start = lx->p;
	uint32_t line = lx->line;

	do {
		ptx_lexer_name(lx);
		count++;
	} while (ptx_lexer_accept(lx, ','));
	lx->p = start;
	lx->line = line;

	list->kind = PTX_O_VECTOR;
	list->elems = ptx_lexer_alloc(lx, count * sizeof(*list->elems));
	do {
		ptx_parser_operand(ps, &list->elems[list->count++], 0);
	} while (ptx_lexer_accept(lx, ','));
	ptx_lexer_expect(lx, ';');
	label->targets = list;
}

/* A word at the start of a statement followed by a colon. */
static int
read_label(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_lexer saved = *lx;
	struct ptx_word word = ptx_lexer_word(lx);

	if (!word.len || !ptx_lexer_accept(lx, ':')) {
		lx->p = saved.p;
		lx->line = saved.line;
		return 0;
	}

	struct ptx_label *label = ptx_parser_label(ps, word);

	if (ptx_lexer_peek(lx) == '.') {
		saved = *lx;
		word = ptx_lexer_directive(lx);
		if (ptx_word_is(word, ".branchtargets")) {
			read_targets(ps, label);
		} else if (ptx_word_is(word, ".callprototype") ||
			   ptx_word_is(word, ".calltargets")) {
			ptx_lexer_skip_to(lx, ';');
		} else {
			lx->p = saved.p;
			lx->line = saved.line;
		}
	}
	return 1;
}

static void
read_directive(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_word word = ptx_lexer_directive(lx);
	enum ptx_space space;

	if (ptx_space_find(word, &space)) {
		if (space == PTX_SPACE_REG)
			ptx_parser_registers(ps);
		else
			ptx_parser_variables(ps, space);
	} else if (ptx_word_is(word, ".loc") || ptx_word_is(word, ".file")) {
		ptx_lexer_skip_line(lx);
	} else if (ptx_word_is(word, ".pragma")) {
		ptx_lexer_skip_to(lx, ';');
	} else if (!ptx_word_is(word, ".extern") && !ptx_word_is(word, ".visible")) {
		ptx_lexer_fail(lx, "unknown directive \"%.*s\"", (int)word.len, word.text);
	}
}

static void
read_statements(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;

	while (!ptx_lexer_at_end(lx)) {
		switch (*lx->p) {
		case '{':
			lx->p++;
			ptx_parser_enter_scope(ps);
			break;
		case '}':
			if (ps->depth == 1)
				ptx_lexer_fail(lx, "a \"}\" too many");
			lx->p++;
			ptx_parser_leave_scope(ps);
			break;
		case ';':
			lx->p++;
			break;
		case '.':
			read_directive(ps);
			break;
		default:
			if (!read_label(ps))
				read_instruction(ps);
			break;
		}
	}
}

/* Labels */

static int
compare_labels(const void *a, const void *b)
{
	const struct ptx_label *x = *(struct ptx_label *const *)a;
	const struct ptx_label *y = *(struct ptx_label *const *)b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = memcmp(x->name.text, y->name.text, len);

	if (order)
		return order;
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return x->scope < y->scope ? -1 : x->scope > y->scope;
}

static struct ptx_label *
find_label(struct ptx_label **sorted, uint32_t count, struct ptx_label *key)
{
	struct ptx_label **found = bsearch(&key, sorted, count, sizeof(*sorted), compare_labels);

	return found ? *found : NULL;
}

/* A label is visible in its block and the blocks inside. */
static void
resolve_labels(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	uint32_t count = 0, n = 0;

	for (struct ptx_label *l = ps->body->labels; l; l = l->next)
		count++;
	struct ptx_label **sorted = ptx_lexer_alloc(lx, (count + 1) * sizeof(*sorted));
	for (struct ptx_label *l = ps->body->labels; l; l = l->next)
		sorted[n++] = l;
	qsort(sorted, count, sizeof(*sorted), compare_labels);

	for (uint32_t i = 0; i < ps->nreferences; i++) {
		struct ptx_operand *op = ps->references[i];
		struct ptx_label key = {.name = op->label->name};
		struct ptx_label *found = NULL;
		uint32_t scope = ps->reference_scope[i];

		for (;;) {
			key.scope = scope;
			found = find_label(sorted, count, &key);
			if (found || scope == 0)
				break;
			scope = ps->scope_parent[scope];
		}
		if (!found) {
			lx->line = op->label->line;
			ptx_lexer_fail(lx, "unknown name %.*s", (int)key.name.len, key.name.text);
		}
		op->label = found;
	}
}

static void
free_parser(struct ptx_parser *ps)
{
	free(ps->scope_parent);
	free(ps->references);
	free(ps->reference_scope);
}

void
ptx_body_parse(struct ptx_lexer *lx, struct ptx_function *function, struct ptx_body *body)
{
	struct ptx_parser ps = {.lx = lx, .body = body};
	jmp_buf *outer = lx->failed;
	jmp_buf failed;

	*body = (struct ptx_body){.function = function};
	if (setjmp(failed)) {
		free_parser(&ps);
		lx->failed = outer;
		longjmp(*outer, 1);
	}
	lx->failed = &failed;
	lx->p = function->body;
	lx->end = function->body_end;
	lx->line = function->line;

	ptx_parser_enter_scope(&ps); /* number 0, depth 1 */
	ptx_parser_parameters(&ps, function->sig.rets, function->sig.nrets);
	ptx_parser_parameters(&ps, function->sig.params, function->sig.nparams);
	read_statements(&ps);
	if (ps.depth != 1)
		ptx_lexer_fail(lx, "a \"{\" is never closed");
	resolve_labels(&ps);
	free_parser(&ps);
	lx->failed = outer;
}

void
ptx_body_fini(struct ptx_body *body)
{
	free(body->stmts);
	free(body->reg_types);
	*body = (struct ptx_body){0};
}
