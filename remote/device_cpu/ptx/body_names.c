/* Names of a body: registers, ranges of them, variables; in which scope they are visible. */
#include "remote/device_cpu/ptx/parser.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_REGS = 1 << 20, MAX_SCOPES = 1 << 20 };
static const uint64_t max_local = 1 << 24; /* bytes of one frame, per thread */

void *
ptx_parser_grow(struct ptx_parser *ps, void *array, uint32_t *room, size_t size)
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

static struct ptx_symbol **
bucket_of(struct ptx_parser *ps, struct ptx_word name)
{
	return &ps->buckets[ptx_names_hash(name.text, name.len) % PTX_PARSER_BUCKETS];
}

static struct ptx_symbol *
declare(struct ptx_parser *ps, struct ptx_word name)
{
	struct ptx_symbol *s = ptx_lexer_alloc(ps->lx, sizeof(*s));
	struct ptx_symbol **bucket = bucket_of(ps, name);

	*s = (struct ptx_symbol){.name = name, .scope_depth = ps->depth, .reg = PTX_NO_REG};
	s->next_in_bucket = *bucket;
	*bucket = s;
	s->next_declared = ps->declared;
	ps->declared = s;
	return s;
}

struct ptx_symbol *
ptx_parser_find(struct ptx_parser *ps, struct ptx_word name, int range)
{
	for (struct ptx_symbol *s = *bucket_of(ps, name); s; s = s->next_in_bucket)
		if (s->name.len == name.len && (s->count != 0) == range &&
		    !memcmp(s->name.text, name.text, name.len))
			return s;
	return NULL;
}

void
ptx_parser_enter_scope(struct ptx_parser *ps)
{
	if (ps->nscopes >= MAX_SCOPES)
		ptx_lexer_fail(ps->lx, "too many blocks");
	if (ps->nscopes == ps->scope_room)
		ps->scope_parent = ptx_parser_grow(ps, ps->scope_parent, &ps->scope_room,
						   sizeof(*ps->scope_parent));
	ps->scope_parent[ps->nscopes] = ps->scope;
	ps->scope = ps->nscopes++;
	ps->depth++;
}

void
ptx_parser_leave_scope(struct ptx_parser *ps)
{
	while (ps->declared && ps->declared->scope_depth == ps->depth) {
		struct ptx_symbol *s = ps->declared;

		*bucket_of(ps, s->name) = s->next_in_bucket;
		ps->declared = s->next_declared;
	}
	ps->depth--;
	ps->scope = ps->scope_parent[ps->scope];
}

static uint32_t
new_registers(struct ptx_parser *ps, enum ptx_type type, uint32_t count)
{
	struct ptx_body *body = ps->body;
	uint32_t first = body->nregs;

	if (count > MAX_REGS || body->nregs + count > MAX_REGS)
		ptx_lexer_fail(ps->lx, "too many registers");
	while (body->nregs + count > ps->reg_room)
		body->reg_types = ptx_parser_grow(ps, body->reg_types, &ps->reg_room, 1);
	memset(body->reg_types + first, type, count);
	body->nregs += count;
	return first;
}

/* Declarations */

void
ptx_parser_registers(struct ptx_parser *ps)
{
	struct ptx_lexer *lx = ps->lx;
	struct ptx_declaration decl = {.space = PTX_SPACE_REG};

	ptx_declare_prefix(lx, &decl);
	do {
		struct ptx_symbol *s = declare(ps, ptx_lexer_name(lx));

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
place_local(struct ptx_parser *ps, struct ptx_variable *var)
{
	struct ptx_body *body = ps->body;
	uint64_t align = var->align < 8 ? 8 : var->align;

	body->local_size = (body->local_size + align - 1) & ~(align - 1);
	var->offset = body->local_size;
	body->local_size += var->size;
	if (body->local_size > max_local)
		ptx_lexer_fail(ps->lx, "too much local memory");
}

void
ptx_parser_variables(struct ptx_parser *ps, enum ptx_space space)
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

void
ptx_parser_parameters(struct ptx_parser *ps, struct ptx_variable *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ptx_variable *var = &list[i];
		struct ptx_symbol *s = declare(ps, (struct ptx_word){var->name, strlen(var->name)});

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
