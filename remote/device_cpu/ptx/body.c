#include "remote/device_cpu/ptx/body.h"

#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/declare.h"

enum {
	MAX_REGS = 1 << 20,
	MAX_STMTS = 1 << 22,
	MAX_OPERANDS = 64, /* of an instruction, and of a braced list */
	MAX_ARGS = 4096,   /* of a call */
	MAX_DEPTH = 8,     /* of brackets in an operand */
	MAX_SCOPES = 1 << 20,
	BUCKETS = 1024,
};
static const uint64_t max_local = 1 << 24; /* bytes of one frame, per thread */

/* A name of the body: a register, "%r<100>", or a variable. */
struct symbol {
	struct ptx_word name;
	uint32_t scope_depth;
	uint32_t count; /* of a range of registers; 0: not a range */
	uint32_t reg;   /* PTX_NO_REG: a variable */
	struct ptx_variable *var;
	struct symbol *next_in_bucket, *next_declared;
};

struct parser {
	struct ptx_lexer *lx;
	struct ptx_body *body;
	uint32_t stmt_room, reg_room;
	struct symbol *buckets[BUCKETS];
	struct symbol *declared; /* newest first; scopes end by taking from the front */
	uint32_t depth;          /* of scopes */
	uint32_t scope, nscopes; /* every scope has a number of its own, for labels */
	uint32_t *scope_parent;
	uint32_t scope_room;
	struct ptx_operand **references; /* operands that name labels */
	uint32_t *reference_scope;
	uint32_t nreferences, reference_room;
};

static void *
grow(struct parser *ps, void *array, uint32_t *room, size_t size)
{
	uint32_t more = *room ? *room * 2 : 64;
	void *bigger = realloc(array, more * size);

	if (!bigger) {
		ps->lx->no_memory = 1;
		ptx_lexer_fail(ps->lx, "out of memory");
	}
	*room = more;
	return bigger;
}

/* Names */

static struct symbol **
bucket_of(struct parser *ps, struct ptx_word name)
{
	return &ps->buckets[ptx_names_hash(name.text, name.len) % BUCKETS];
}

static struct symbol *
declare(struct parser *ps, struct ptx_word name)
{
	struct symbol *s = ptx_lexer_alloc(ps->lx, sizeof(*s));
	struct symbol **bucket = bucket_of(ps, name);

	*s = (struct symbol){.name = name, .scope_depth = ps->depth, .reg = PTX_NO_REG};
	s->next_in_bucket = *bucket;
	*bucket = s;
	s->next_declared = ps->declared;
	ps->declared = s;
	return s;
}

static struct symbol *
find_symbol(struct parser *ps, struct ptx_word name, int range)
{
	for (struct symbol *s = *bucket_of(ps, name); s; s = s->next_in_bucket)
		if (s->name.len == name.len && (s->count != 0) == range &&
		    !memcmp(s->name.text, name.text, name.len))
			return s;
	return NULL;
}

static void
enter_scope(struct parser *ps)
{
	if (ps->nscopes >= MAX_SCOPES)
		ptx_lexer_fail(ps->lx, "too many blocks");
	if (ps->nscopes == ps->scope_room)
		ps->scope_parent =
			grow(ps, ps->scope_parent, &ps->scope_room, sizeof(*ps->scope_parent));
	ps->scope_parent[ps->nscopes] = ps->scope;
	ps->scope = ps->nscopes++;
	ps->depth++;
}

static void
leave_scope(struct parser *ps)
{
	while (ps->declared && ps->declared->scope_depth == ps->depth) {
		struct symbol *s = ps->declared;

		*bucket_of(ps, s->name) = s->next_in_bucket;
		ps->declared = s->next_declared;
	}
	ps->depth--;
	ps->scope = ps->scope_parent[ps->scope];
}

static uint32_t
new_registers(struct parser *ps, enum ptx_type type, uint32_t count)
{
	struct ptx_body *body = ps->body;
	uint32_t first = body->nregs;

	if (count > MAX_REGS || body->nregs + count > MAX_REGS)
		ptx_lexer_fail(ps->lx, "too many registers");
	while (body->nregs + count > ps->reg_room)
		body->reg_types = grow(ps, body->reg_types, &ps->reg_room, 1);
	memset(body->reg_types + first, type, count);
	body->nregs += count;
	return first;
}

/* Declarations */

static void
read_registers(struct parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_declaration decl = {.space = PTX_SPACE_REG};

	ptx_declare_prefix(lx, &decl);
	do {
		struct symbol *s = declare(ps, ptx_lexer_name(lx));

		if (ptx_lexer_accept(lx, '<')) {
			uint64_t count = ptx_lexer_number(lx).bits;

			ptx_lexer_expect(lx, '>');
			if (count > MAX_REGS)
				ptx_lexer_fail(lx, "too many registers");
			s->count = count ? (uint32_t)count : 1;
			s->reg = new_registers(ps, decl.type, s->count);
		} else {
			s->reg = new_registers(ps, decl.type, 1);
		}
	} while (ptx_lexer_accept(lx, ','));
	ptx_lexer_expect(lx, ';');
}

/* Gives a variable of the frame its place in local memory. */
static void
place_local(struct parser *ps, struct ptx_variable *var)
{
	struct ptx_body *body = ps->body;
	uint64_t align = var->align < 8 ? 8 : var->align;

	body->local_size = (body->local_size + align - 1) & ~(align - 1);
	var->offset = body->local_size;
	body->local_size += var->size;
	if (body->local_size > max_local)
		ptx_lexer_fail(ps->lx, "too much local memory");
}

static void
read_variables(struct parser *ps, enum ptx_space space)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_declaration decl = {.space = space};

	ptx_declare_prefix(lx, &decl);
	do {
		struct ptx_variable *var;

		if (space == PTX_SPACE_SHARED) /* launches look at it later */
			var = ptx_arena_alloc(&ps->body->function->module->arena, sizeof(*var));
		else
			var = ptx_lexer_alloc(lx, sizeof(*var));
		if (!var) {
			lx->no_memory = 1;
			ptx_lexer_fail(lx, "out of memory");
		}
		ptx_declare_name(lx, &decl, var);
		if (space == PTX_SPACE_GLOBAL || space == PTX_SPACE_CONST)
			ptx_lexer_fail(lx, "a %s variable inside a function is not supported",
				       space == PTX_SPACE_CONST ? ".const" : ".global");
		if (space == PTX_SPACE_LOCAL || space == PTX_SPACE_PARAM)
			place_local(ps, var);
		declare(ps, (struct ptx_word){var->name, strlen(var->name)})->var = var;
	} while (ptx_lexer_accept(lx, ','));
	ptx_lexer_expect(lx, ';');
}

static void
declare_parameters(struct parser *ps, struct ptx_variable *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ptx_variable *var = &list[i];
		struct symbol *s = declare(ps, (struct ptx_word){var->name, strlen(var->name)});

		if (var->space == PTX_SPACE_REG) {
			s->reg = new_registers(ps, var->type, 1);
			var->reg = s->reg;
			continue;
		}
		s->var = var;
		if (!var->kernel_param)
			place_local(ps, var);
	}
}

/* Operands */

static struct ptx_label *
new_label(struct parser *ps, struct ptx_word name)
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
note_reference(struct parser *ps, struct ptx_operand *op)
{
	if (ps->nreferences == ps->reference_room) {
		uint32_t room = ps->reference_room;

		ps->references = grow(ps, ps->references, &room, sizeof(*ps->references));
		room = ps->reference_room;
		ps->reference_scope =
			grow(ps, ps->reference_scope, &room, sizeof(*ps->reference_scope));
		ps->reference_room = room;
	}
	ps->references[ps->nreferences] = op;
	ps->reference_scope[ps->nreferences++] = ps->scope;
}

/* "%r17" of "%r<20>" */
static int
find_in_range(struct parser *ps, struct ptx_word word, uint32_t *ret_reg)
{
	size_t digits = 0;
	uint64_t n = 0, scale = 1;

	while (digits < word.len && digits < 9 && word.text[word.len - 1 - digits] >= '0' &&
	       word.text[word.len - 1 - digits] <= '9') {
		n += scale * (word.text[word.len - 1 - digits] - '0');
		scale *= 10;
		digits++;

		struct ptx_word prefix = {word.text, word.len - digits};
		struct symbol *s = find_symbol(ps, prefix, 1);

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
read_name(struct parser *ps, struct ptx_operand *op, struct ptx_word word)
{
	struct ptx_lexer *lx = ps->lx;
	struct symbol *s = find_symbol(ps, word, 0);

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

static void read_operand(struct parser *ps, struct ptx_operand *op, int depth);

/* The elements of "{a, b}" or "[a, b]" up to the bracket that closes it. */
static void
read_list(struct parser *ps, struct ptx_operand *op, char close, int depth)
{
	struct ptx_lexer *lx = ps->lx;
	uint32_t room = 4;

	op->elems = ptx_lexer_alloc(lx, room * sizeof(*op->elems));
	while (!ptx_lexer_accept(lx, close)) {
		if (op->count == MAX_OPERANDS)
			ptx_lexer_fail(lx, "too many operands");
		if (op->count == room) {
			struct ptx_operand *more = ptx_lexer_alloc(lx, 2 * room * sizeof(*more));

			/* Label references point at operands: lists of labels do not move,
			 * they are read by read_targets. */
			memcpy(more, op->elems, room * sizeof(*more));
			op->elems = more;
			room *= 2;
		}
		read_operand(ps, &op->elems[op->count++], depth + 1);
		if (ptx_lexer_peek(lx) != close)
			ptx_lexer_expect(lx, ',');
	}
}

static void
read_memory(struct parser *ps, struct ptx_operand *op, int depth)
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

static void
read_operand(struct parser *ps, struct ptx_operand *op, int depth)
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
		read_operand(ps, op, depth + 1);
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
		read_operand(ps, op, depth + 1);
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
		read_operand(ps, op->pair, depth + 1);
	}
}

/* Statements */

static struct ptx_stmt *
new_stmt(struct parser *ps)
{
	struct ptx_body *body = ps->body;

	if (body->nstmts >= MAX_STMTS)
		ptx_lexer_fail(ps->lx, "too many instructions");
	if (body->nstmts == ps->stmt_room)
		body->stmts = grow(ps, body->stmts, &ps->stmt_room, sizeof(*body->stmts));

	struct ptx_stmt *stmt = &body->stmts[body->nstmts++];

	*stmt = (struct ptx_stmt){.guard = PTX_NO_REG, .line = ps->lx->line};
	return stmt;
}

static void
read_guard(struct parser *ps, struct ptx_stmt *stmt)
{
	struct ptx_operand op;

	if (!ptx_lexer_accept(ps->lx, '@'))
		return;
	read_operand(ps, &op, 0);
	if (op.kind != PTX_O_REG || ps->body->reg_types[op.reg] != PTX_T_PRED)
		ptx_lexer_fail(ps->lx, "a guard that is no predicate");
	stmt->guard = op.reg;
	stmt->guard_negate = op.negate;
}

static void
read_modifiers(struct parser *ps, struct ptx_stmt *stmt)
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
read_arguments(struct parser *ps, struct ptx_operand **ret_list, uint32_t *ret_count)
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
		read_operand(ps, &list[count++], 0);
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
read_call(struct parser *ps, struct ptx_stmt *stmt)
{
	struct ptx_lexer *lx = ps->lx;

	if (ptx_lexer_peek(lx) == '(') {
		read_arguments(ps, &stmt->rets, &stmt->nrets);
		ptx_lexer_expect(lx, ',');
	}
	stmt->ops = ptx_lexer_alloc(lx, sizeof(*stmt->ops));
	stmt->nops = 1;
	read_operand(ps, &stmt->ops[0], 0);
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
read_instruction(struct parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_stmt *stmt = new_stmt(ps);
	struct ptx_operand ops[MAX_OPERANDS];
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
		if (stmt->nops == MAX_OPERANDS)
			ptx_lexer_fail(lx, "too many operands");
		read_operand(ps, &ops[stmt->nops++], 0);
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
read_targets(struct parser *ps, struct ptx_label *label)
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
		read_operand(ps, &list->elems[list->count++], 0);
	} while (ptx_lexer_accept(lx, ','));
	ptx_lexer_expect(lx, ';');
	label->targets = list;
}

/* A word at the start of a statement followed by a colon. */
static int
read_label(struct parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_lexer saved = *lx;
	struct ptx_word word = ptx_lexer_word(lx);

	if (!word.len || !ptx_lexer_accept(lx, ':')) {
		lx->p = saved.p;
		lx->line = saved.line;
		return 0;
	}

	struct ptx_label *label = new_label(ps, word);

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
read_directive(struct parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_word word = ptx_lexer_directive(lx);
	enum ptx_space space;

	if (ptx_space_find(word, &space)) {
		if (space == PTX_SPACE_REG)
			read_registers(ps);
		else
			read_variables(ps, space);
	} else if (ptx_word_is(word, ".loc") || ptx_word_is(word, ".file")) {
		ptx_lexer_skip_line(lx);
	} else if (ptx_word_is(word, ".pragma")) {
		ptx_lexer_skip_to(lx, ';');
	} else if (!ptx_word_is(word, ".extern") && !ptx_word_is(word, ".visible")) {
		ptx_lexer_fail(lx, "unknown directive \"%.*s\"", (int)word.len, word.text);
	}
}

static void
read_statements(struct parser *ps)
{
	struct ptx_lexer *lx = ps->lx;

	while (!ptx_lexer_at_end(lx)) {
		switch (*lx->p) {
		case '{':
			lx->p++;
			enter_scope(ps);
			break;
		case '}':
			if (ps->depth == 1)
				ptx_lexer_fail(lx, "a \"}\" too many");
			lx->p++;
			leave_scope(ps);
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
resolve_labels(struct parser *ps)
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
free_parser(struct parser *ps)
{
	free(ps->scope_parent);
	free(ps->references);
	free(ps->reference_scope);
}

void
ptx_body_parse(struct ptx_lexer *lx, struct ptx_function *function, struct ptx_body *body)
{
	struct parser ps = {.lx = lx, .body = body};
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

	enter_scope(&ps); /* number 0, depth 1 */
	declare_parameters(&ps, function->sig.rets, function->sig.nrets);
	declare_parameters(&ps, function->sig.params, function->sig.nparams);
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
