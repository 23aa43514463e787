#include "interpose/link.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A module is a sequence of statements: directives of one line, declarations and definitions of
 * variables and functions. Linking sorts the statements of all modules: prototypes, variables,
 * functions, so that everything is declared before it is used. Of a name that several modules
 * define (weak functions of headers) the first definition stays. A declaration `.extern` goes when
 * some module defines the name. Names that are internal to a module are made unique.
 */
enum linkage {
	LINKAGE_INTERNAL,
	LINKAGE_EXTERN,
	LINKAGE_VISIBLE, /* .visible, .weak or .common: one for all modules */
};

enum kind {
	KIND_DIRECTIVE, /* .version, .target, .address_size */
	KIND_DROPPED,   /* debug information, file names */
	KIND_VARIABLE,
	KIND_PROTOTYPE,
	KIND_FUNCTION,
	KIND_OTHER, /* .pragma, .alias… */
};

struct text {
	const char *start;
	size_t len;
};

struct statement {
	enum kind kind;
	enum linkage linkage;
	struct text text, name;
	size_t head; /* of a function: bytes before its body */
	unsigned int module;
	bool dropped;
};

struct linker {
	struct statement *statements;
	size_t count, room;
	char *out;
	size_t len, size;
	bool failed; /* out of memory */
};

/* ---- reading ---- */

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%';
}

static bool
text_equal(const struct text *a, const struct text *b)
{
	return a->len == b->len && memcmp(a->start, b->start, a->len) == 0;
}

static bool
text_is(const struct text *text, const char *string)
{
	return text->len == strlen(string) && memcmp(text->start, string, text->len) == 0;
}

/* The first byte from @p on that is neither space nor comment. */
static const char *
skip_space(const char *p)
{
	for (;;) {
		const char *end;

		if (isspace((unsigned char)*p)) {
			p++;
		} else if (p[0] == '/' && p[1] == '/') {
			p += strcspn(p, "\n");
		} else if (p[0] == '/' && p[1] == '*') {
			end = strstr(p + 2, "*/");
			p = end != NULL ? end + 2 : p + strlen(p);
		} else {
			return p;
		}
	}
}

/* The next token: a word with its leading dot, a string, or one character. Empty at the end. */
static struct text
next_token(const char **at)
{
	const char *start = skip_space(*at), *p = start;

	if (*p == '"') {
		p += 1 + strcspn(p + 1, "\"\n");
		p += *p == '"';
	} else if (*p == '.' || is_word(*p)) {
		for (p++; is_word(*p);)
			p++;
	} else if (*p != '\0') {
		p++;
	}
	*at = p;
	return (struct text){start, (size_t)(p - start)};
}

/* Behind the brace that closes the one before @p; NULL: there is none. */
static const char *
skip_block(const char *p)
{
	int depth = 1;

	while (depth > 0) {
		struct text token = next_token(&p);

		if (token.len == 0)
			return NULL;
		depth += text_is(&token, "{") - text_is(&token, "}");
	}
	return p;
}

static bool
ends_with_line(const struct text *first)
{
	return text_is(first, ".version") || text_is(first, ".target") ||
	       text_is(first, ".address_size") || text_is(first, ".file");
}

/* Reads a declaration or definition from @p on; its linkage, its name, and where it ends. */
static const char *
read_declaration(struct statement *statement, const char *p)
{
	bool function = false, initial = false;
	int parens = 0;

	for (;;) {
		const char *before = skip_space(p);
		struct text token = next_token(&p);

		if (token.len == 0)
			return NULL;
		if (text_is(&token, ".extern"))
			statement->linkage = LINKAGE_EXTERN;
		else if (text_is(&token, ".visible") || text_is(&token, ".weak") ||
			 text_is(&token, ".common"))
			statement->linkage = LINKAGE_VISIBLE;
		else if (text_is(&token, ".func") || text_is(&token, ".entry"))
			function = true;
		else if (text_is(&token, "("))
			parens++;
		else if (text_is(&token, ")"))
			parens--;
		else if (text_is(&token, "="))
			initial = true;
		else if (text_is(&token, ";"))
			break;
		else if (text_is(&token, "{") && function && !initial) {
			statement->kind = KIND_FUNCTION;
			statement->head = (size_t)(before - statement->text.start);
			return skip_block(p);
		} else if (parens == 0 && !initial && statement->name.len == 0 &&
			   is_word(token.start[0]) && !isdigit((unsigned char)token.start[0]))
			statement->name = token;
	}
	statement->kind = function ? KIND_PROTOTYPE : KIND_VARIABLE;
	return p;
}

/* The statement that begins at @p. Returns where it ends, NULL: this is not PTX. */
static const char *
read_statement(struct statement *statement, const char *p)
{
	const char *after = p;
	struct text first = next_token(&after);

	statement->text.start = p;
	if (ends_with_line(&first)) {
		statement->kind = text_is(&first, ".file") ? KIND_DROPPED : KIND_DIRECTIVE;
		return p + strcspn(p, "\n");
	}
	if (text_is(&first, ".section")) { /* debug information */
		statement->kind = KIND_DROPPED;
		after = strchr(after, '{');
		return after != NULL ? skip_block(after + 1) : NULL;
	}
	if (first.start[0] != '.')
		return NULL;
	p = read_declaration(statement, p);
	if (statement->name.len == 0 || text_is(&first, ".pragma") || text_is(&first, ".alias"))
		statement->kind = KIND_OTHER;
	return p;
}

static int
read_module(struct linker *linker, const char *text, unsigned int module)
{
	const char *p = skip_space(text);

	while (*p != '\0') {
		struct statement statement = {.module = module};
		const char *end = read_statement(&statement, p);

		if (end == NULL)
			return -EINVAL;
		statement.text.len = (size_t)(end - p);
		if (linker->count == linker->room) {
			size_t room = linker->room != 0 ? linker->room * 2 : 256;
			struct statement *grown =
				reallocarray(linker->statements, room, sizeof(*grown));

			if (grown == NULL)
				return -ENOMEM;
			linker->statements = grown;
			linker->room = room;
		}
		linker->statements[linker->count++] = statement;
		p = skip_space(end);
	}
	return 0;
}

/* ---- resolving ---- */

static bool
is_definition(const struct statement *statement)
{
	return statement->linkage != LINKAGE_EXTERN &&
	       (statement->kind == KIND_VARIABLE || statement->kind == KIND_FUNCTION);
}

/* The first definition of a name that all modules share; NULL: none. */
static const struct statement *
find_definition(const struct linker *linker, const struct text *name)
{
	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];

		if (statement->linkage == LINKAGE_VISIBLE && is_definition(statement) &&
		    text_equal(&statement->name, name))
			return statement;
	}
	return NULL;
}

/* Is there the same `.extern` declaration before statement @index? */
static bool
declared_before(const struct linker *linker, size_t index)
{
	const struct statement *statement = &linker->statements[index];

	for (size_t i = 0; i < index; i++) {
		const struct statement *other = &linker->statements[i];

		if (other->linkage == LINKAGE_EXTERN && other->kind == statement->kind &&
		    text_equal(&other->name, &statement->name))
			return true;
	}
	return false;
}

static void
resolve(struct linker *linker)
{
	for (size_t i = 0; i < linker->count; i++) {
		struct statement *statement = &linker->statements[i];
		const struct statement *definition;

		if (statement->linkage == LINKAGE_INTERNAL)
			continue;
		definition = find_definition(linker, &statement->name);
		if (statement->linkage == LINKAGE_EXTERN)
			statement->dropped = definition != NULL || declared_before(linker, i);
		else if (is_definition(statement))
			statement->dropped = definition != statement;
	}
}

/* Does another module define this internal name too, so that it must get another one here? */
static bool
needs_rename(const struct linker *linker, unsigned int module, const struct text *word)
{
	bool here = false, elsewhere = false;

	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];

		if (!is_definition(statement) || !text_equal(&statement->name, word))
			continue;
		if (statement->module == module)
			here |= statement->linkage == LINKAGE_INTERNAL;
		else
			elsewhere = true;
	}
	return here && elsewhere;
}

/* ---- writing ---- */

static void
put(struct linker *linker, const char *data, size_t len)
{
	if (linker->failed)
		return;
	if (linker->len + len + 1 > linker->size) {
		size_t size = (linker->len + len + 1) * 2;
		char *grown = realloc(linker->out, size);

		if (grown == NULL) {
			linker->failed = true;
			return;
		}
		linker->out = grown;
		linker->size = size;
	}
	memcpy(linker->out + linker->len, data, len);
	linker->len += len;
	linker->out[linker->len] = '\0';
}

/* Copies @len bytes of a statement, with the names that need it made unique. */
static void
put_text(struct linker *linker, const struct statement *statement, size_t len,
	 const struct statement *const *renames, size_t rename_count)
{
	const char *p = statement->text.start, *end = p + len;

	while (p < end) {
		const char *start = p;
		struct text word;
		char suffix[16];

		while (p < end && !is_word(*p))
			p++;
		put(linker, start, (size_t)(p - start));
		start = p;
		while (p < end && is_word(*p))
			p++;
		word = (struct text){start, (size_t)(p - start)};
		put(linker, word.start, word.len);
		for (size_t i = 0; i < rename_count && word.len != 0; i++) {
			if (renames[i]->module != statement->module ||
			    !text_equal(&renames[i]->name, &word))
				continue;
			snprintf(suffix, sizeof(suffix), "$m%u", statement->module);
			put(linker, suffix, strlen(suffix));
			break;
		}
	}
}

/* The directive with the highest number: the newest version, the most capable target. */
static void
put_directive(struct linker *linker, const char *name)
{
	const struct statement *best = NULL;
	double highest = -1;

	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];
		double number;

		if (statement->kind != KIND_DIRECTIVE ||
		    strncmp(statement->text.start, name, strlen(name)) != 0)
			continue;
		number = strtod(
			statement->text.start + strcspn(statement->text.start, "0123456789"), NULL);
		if (number > highest) {
			highest = number;
			best = statement;
		}
	}
	if (best != NULL) {
		put(linker, best->text.start, best->text.len);
		put(linker, "\n", 1);
	}
}

/* All statements of a kind, in order. */
static void
put_kind(struct linker *linker, enum kind kind, const struct statement *const *renames,
	 size_t rename_count)
{
	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];

		if (statement->kind != kind || statement->dropped)
			continue;
		put_text(linker, statement, statement->text.len, renames, rename_count);
		put(linker, "\n", 1);
	}
}

/* A prototype for each function that another module calls. */
static void
put_prototypes(struct linker *linker)
{
	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];
		const struct statement *definition;

		if (statement->kind != KIND_PROTOTYPE || statement->linkage != LINKAGE_EXTERN ||
		    declared_before(linker, i))
			continue;
		definition = find_definition(linker, &statement->name);
		if (definition == NULL || definition->kind != KIND_FUNCTION)
			continue;
		put(linker, definition->text.start, definition->head);
		put(linker, ";\n", 2);
	}
}

static int
write_module(struct linker *linker)
{
	const struct statement **renames = calloc(linker->count + 1, sizeof(*renames));
	size_t count = 0;

	if (renames == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < linker->count; i++) {
		const struct statement *statement = &linker->statements[i];

		if (statement->module != 0 && statement->linkage == LINKAGE_INTERNAL &&
		    is_definition(statement) &&
		    needs_rename(linker, statement->module, &statement->name))
			renames[count++] = statement;
	}
	put_directive(linker, ".version");
	put_directive(linker, ".target");
	put_directive(linker, ".address_size");
	put_prototypes(linker);
	put_kind(linker, KIND_PROTOTYPE, renames, count);
	put_kind(linker, KIND_VARIABLE, renames, count);
	put_kind(linker, KIND_FUNCTION, renames, count);
	put_kind(linker, KIND_OTHER, renames, count);
	free(renames);
	return linker->failed ? -ENOMEM : 0;
}

int
genie_link_ptx(const char *const *texts, size_t count, char **ret_text, size_t *ret_size)
{
	struct linker linker = {0};
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++)
		error = read_module(&linker, texts[i], (unsigned int)i);
	if (error == 0) {
		resolve(&linker);
		error = write_module(&linker);
	}
	free(linker.statements);
	if (error != 0) {
		free(linker.out);
		return error;
	}
	*ret_text = linker.out;
	*ret_size = linker.len;
	return 0;
}

static bool
begins(const struct text *name, const char *prefix)
{
	return name->len > strlen(prefix) && memcmp(name->start, prefix, strlen(prefix)) == 0;
}

/* Functions that the device itself supplies: to programs, and to libcudadevrt. */
static bool
is_supplied(const struct text *name)
{
	static const char *const supplied[] = {"vprintf", "__assertfail", "malloc", "free"};

	if (begins(name, "__cuda_syscall_") || begins(name, "cnp"))
		return true;

	for (size_t i = 0; i < sizeof(supplied) / sizeof(supplied[0]); i++)
		if (text_is(name, supplied[i]))
			return true;
	return false;
}

int
genie_link_undefined(const char *text, char *ret_name, size_t size)
{
	struct linker linker = {0};
	int found = read_module(&linker, text, 0);

	if (found == 0)
		resolve(&linker);
	for (size_t i = 0; i < linker.count && found == 0; i++) {
		const struct statement *statement = &linker.statements[i];
		bool needed = statement->kind == KIND_PROTOTYPE || statement->kind == KIND_VARIABLE;

		/* .extern .shared is memory that a launch gives */
		if (!needed || statement->dropped || statement->linkage != LINKAGE_EXTERN ||
		    is_supplied(&statement->name) ||
		    memmem(statement->text.start, statement->text.len, ".shared", 7) != NULL)
			continue;
		snprintf(ret_name, size, "%.*s", (int)statement->name.len, statement->name.start);
		found = 1;
	}
	free(linker.statements);
	return found;
}
