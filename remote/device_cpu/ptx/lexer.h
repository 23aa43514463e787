/*
 * Reading PTX text. The text ends with a NUL at @end, so looking one character ahead is safe.
 * Errors leave through a jump to the place that started the parse: everything allocated while
 * parsing lives in arenas.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_LEXER_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_LEXER_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/device_cpu/ptx/arena.h"

struct ptx_lexer {
	const char *p, *end;
	uint32_t line;
	struct ptx_arena *arena;
	jmp_buf *failed; /* where errors go */
	int no_memory;   /* the error was lack of memory */
	char *err;
	size_t err_size;
};

struct ptx_word {
	const char *text;
	size_t len;
};

struct ptx_number {
	uint64_t bits; /* an integer, or the bits of a double */
	int is_float;
	int is_single; /* written 0f…: bits are those of a float */
};

void ptx_lexer_fail(struct ptx_lexer *lx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
void *ptx_lexer_alloc(struct ptx_lexer *lx, size_t size); /* zeroed; fails the parse */
char *ptx_lexer_string(struct ptx_lexer *lx, struct ptx_word word);

void ptx_lexer_space(struct ptx_lexer *lx); /* skips blanks and comments */
int ptx_lexer_at_end(struct ptx_lexer *lx); /* after blanks */
int ptx_lexer_peek(struct ptx_lexer *lx);   /* next character after blanks, 0 at the end */
int ptx_lexer_accept(struct ptx_lexer *lx, char c);
void ptx_lexer_expect(struct ptx_lexer *lx, char c);
/* An identifier ("foo", "%r1", "$L_1"), without dots; len 0: there is none. */
struct ptx_word ptx_lexer_word(struct ptx_lexer *lx);
/* The word after a dot: ".reg", ".shared::cta"; the dot is at the front. len 0: there is none. */
struct ptx_word ptx_lexer_directive(struct ptx_lexer *lx);
int ptx_word_is(struct ptx_word word, const char *text);
/* An identifier, or the parse fails. */
struct ptx_word ptx_lexer_name(struct ptx_lexer *lx);
int ptx_lexer_at_number(struct ptx_lexer *lx);
struct ptx_number ptx_lexer_number(struct ptx_lexer *lx);
/* A constant expression of integers, as far as it is one. */
struct ptx_number ptx_lexer_constant(struct ptx_lexer *lx);
void ptx_lexer_skip_to(struct ptx_lexer *lx, char c); /* past the next @c */
void ptx_lexer_skip_line(struct ptx_lexer *lx);
/* Past the "}" that closes a "{" already read. */
void ptx_lexer_skip_braces(struct ptx_lexer *lx);

#endif
