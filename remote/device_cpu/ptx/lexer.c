#include "remote/device_cpu/ptx/lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 }; /* of parentheses in a constant expression */

void
ptx_lexer_fail(struct ptx_lexer *lx, const char *fmt, ...)
{
	va_list args;
	int n = snprintf(lx->err, lx->err_size, "line %u: ", lx->line);

	if (n >= 0 && (size_t)n < lx->err_size) {
		va_start(args, fmt);
		vsnprintf(lx->err + n, lx->err_size - n, fmt, args);
		va_end(args);
	}
	longjmp(*lx->failed, 1);
}

void *
ptx_lexer_alloc(struct ptx_lexer *lx, size_t size)
{
	void *p = ptx_arena_alloc(lx->arena, size);

	if (!p) {
		lx->no_memory = 1;
		ptx_lexer_fail(lx, "out of memory");
	}
	return p;
}

char *
ptx_lexer_string(struct ptx_lexer *lx, struct ptx_word word)
{
	char *s = ptx_lexer_alloc(lx, word.len + 1);

	memcpy(s, word.text, word.len);
	return s;
}

void
ptx_lexer_space(struct ptx_lexer *lx)
{
	const char *p = lx->p;

	while (p < lx->end) {
		if (*p == '\n') {
			lx->line++;
			p++;
		} else if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\f' || *p == '\v') {
			p++;
		} else if (p[0] == '/' && p[1] == '/') {
			while (p < lx->end && *p != '\n')
				p++;
		} else if (p[0] == '/' && p[1] == '*') {
			p += 2;
			while (p < lx->end && !(p[0] == '*' && p[1] == '/'))
				lx->line += *p++ == '\n';
			p = p < lx->end ? p + 2 : p;
		} else {
			break;
		}
	}
	lx->p = p;
}

int
ptx_lexer_at_end(struct ptx_lexer *lx)
{
	ptx_lexer_space(lx);
	return lx->p >= lx->end;
}

int
ptx_lexer_peek(struct ptx_lexer *lx)
{
	return ptx_lexer_at_end(lx) ? 0 : (unsigned char)*lx->p;
}

int
ptx_lexer_accept(struct ptx_lexer *lx, char c)
{
	if (ptx_lexer_peek(lx) != c)
		return 0;
	lx->p++;
	return 1;
}

void
ptx_lexer_expect(struct ptx_lexer *lx, char c)
{
	if (!ptx_lexer_accept(lx, c)) {
		int got = ptx_lexer_peek(lx);

		if (got > ' ' && got < 127)
			ptx_lexer_fail(lx, "\"%c\" where \"%c\" should be", got, c);
		ptx_lexer_fail(lx, "\"%c\" is missing", c);
	}
}

static int
is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$';
}

struct ptx_word
ptx_lexer_word(struct ptx_lexer *lx)
{
	struct ptx_word word = {0};
	int c = ptx_lexer_peek(lx);

	if (c == 0 || (!is_word_char(c) && c != '%') || (c >= '0' && c <= '9'))
		return word;
	const char *p = lx->p + 1;
	while (p < lx->end && is_word_char(*p))
		p++;
	word = (struct ptx_word){lx->p, p - lx->p};
	lx->p = p;
	return word;
}

struct ptx_word
ptx_lexer_directive(struct ptx_lexer *lx)
{
	struct ptx_word word = {0};

	if (ptx_lexer_peek(lx) != '.')
		return word;
	const char *p = lx->p + 1;
	while (p < lx->end &&
	       (is_word_char(*p) || (p[0] == ':' && p[1] == ':' && is_word_char(p[2]))))
		p += *p == ':' ? 2 : 1;
	word = (struct ptx_word){lx->p, p - lx->p};
	lx->p = p;
	return word;
}

int
ptx_word_is(struct ptx_word word, const char *text)
{
	return strlen(text) == word.len && !memcmp(word.text, text, word.len);
}

struct ptx_word
ptx_lexer_name(struct ptx_lexer *lx)
{
	struct ptx_word word = ptx_lexer_word(lx);

	if (!word.len)
		ptx_lexer_fail(lx, "a name is missing");
	return word;
}

int
ptx_lexer_at_number(struct ptx_lexer *lx)
{
	int c = ptx_lexer_peek(lx);

	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '~' || c == '!' || c == '(';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static const char *
read_digits(const char *p, const char *end, int base, int max, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (int n = 0; p < end && n < max && hex_digit(*p) < base; n++)
		value = value * base + hex_digit(*p++);
	*ret_value = value;
	return p;
}

/* "1.5", "1e-3", "3.": a decimal floating point number. */
static int
is_decimal_float(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return *p == '.' || *p == 'e' || *p == 'E';
}

struct ptx_number
ptx_lexer_number(struct ptx_lexer *lx)
{
	struct ptx_number n = {0};

	ptx_lexer_space(lx);
	const char *p = lx->p;
	if (p >= lx->end || *p < '0' || *p > '9')
		ptx_lexer_fail(lx, "a number is missing");

	char kind = p[0] == '0' ? p[1] | 0x20 : 0;
	if (kind == 'f' && hex_digit(p[2]) < 16) {
		n.is_float = n.is_single = 1;
		p = read_digits(p + 2, lx->end, 16, 8, &n.bits);
	} else if (kind == 'd' && hex_digit(p[2]) < 16) {
		n.is_float = 1;
		p = read_digits(p + 2, lx->end, 16, 16, &n.bits);
	} else if (kind == 'x') {
		p = read_digits(p + 2, lx->end, 16, 64, &n.bits);
	} else if (kind == 'b' && hex_digit(p[2]) < 2) {
		p = read_digits(p + 2, lx->end, 2, 64, &n.bits);
	} else if (is_decimal_float(p, lx->end)) {
		char *after;
		double value = strtod(p, &after); /* the text ends with a NUL */

		memcpy(&n.bits, &value, sizeof(value));
		n.is_float = 1;
		p = after;
	} else {
		int octal = p[0] == '0';

		p = read_digits(p, lx->end, octal ? 8 : 10, 64, &n.bits);
	}
	if (*p == 'U')
		p++;
	lx->p = p;
	return n;
}

/*
 * Constant expressions, in a small grammar that covers what compilers and people write:
 * unary - + ~ !, binary + - * / % << >> & | ^, parentheses. No precedence beyond
 * products before sums before the rest.
 */
static struct ptx_number constant_sum(struct ptx_lexer *lx, int depth);

static struct ptx_number
constant_unary(struct ptx_lexer *lx, int depth)
{
	if (depth > MAX_DEPTH)
		ptx_lexer_fail(lx, "an expression nested too deeply");
	if (ptx_lexer_accept(lx, '-')) {
		struct ptx_number n = constant_unary(lx, depth + 1);

		if (n.is_single)
			n.bits ^= 1u << 31;
		else if (n.is_float)
			n.bits ^= 1ull << 63;
		else
			n.bits = -n.bits;
		return n;
	}
	if (ptx_lexer_accept(lx, '+'))
		return constant_unary(lx, depth + 1);
	if (ptx_lexer_accept(lx, '~')) {
		struct ptx_number n = constant_unary(lx, depth + 1);

		n.bits = ~n.bits;
		return n;
	}
	if (ptx_lexer_accept(lx, '!')) {
		struct ptx_number n = constant_unary(lx, depth + 1);

		n.bits = !n.bits;
		return n;
	}
	if (ptx_lexer_accept(lx, '(')) {
		/* "(.s64)" and "(.u64)" are casts; all our integers have 64 bits already. */
		if (ptx_lexer_peek(lx) == '.') {
			ptx_lexer_directive(lx);
			ptx_lexer_expect(lx, ')');
			return constant_unary(lx, depth + 1);
		}
		struct ptx_number n = constant_sum(lx, depth + 1);

		ptx_lexer_expect(lx, ')');
		return n;
	}
	return ptx_lexer_number(lx);
}

static struct ptx_number
constant_product(struct ptx_lexer *lx, int depth)
{
	struct ptx_number n = constant_unary(lx, depth);

	for (;;) {
		if (ptx_lexer_accept(lx, '*')) {
			n.bits *= constant_unary(lx, depth).bits;
		} else if (ptx_lexer_peek(lx) == '/' || ptx_lexer_peek(lx) == '%') {
			char op = *lx->p;

			/* "%" also starts a register's name. */
			if (op == '%' && !(lx->p[1] == ' ' || (lx->p[1] >= '0' && lx->p[1] <= '9')))
				return n;
			lx->p++;
			uint64_t by = constant_unary(lx, depth).bits;

			if (!by)
				ptx_lexer_fail(lx, "division by zero in a constant");
			n.bits = op == '/' ? n.bits / by : n.bits % by;
		} else {
			return n;
		}
	}
}

static struct ptx_number
constant_sum(struct ptx_lexer *lx, int depth)
{
	struct ptx_number n = constant_product(lx, depth);

	for (;;) {
		int c = ptx_lexer_peek(lx);

		if (c == '+' || c == '-') {
			lx->p++;
			uint64_t other = constant_product(lx, depth).bits;

			n.bits = c == '+' ? n.bits + other : n.bits - other;
		} else if ((c == '<' || c == '>') && lx->p[1] == c) {
			lx->p += 2;
			uint64_t by = constant_product(lx, depth).bits & 63;

			n.bits = c == '<' ? n.bits << by : n.bits >> by;
		} else if ((c == '&' || c == '|' || c == '^') && lx->p[1] != c) {
			/* "a|b" in an operand list is a pair of registers: only numbers here. */
			lx->p++;
			uint64_t other = constant_product(lx, depth).bits;

			n.bits = c == '&'   ? n.bits & other
				 : c == '|' ? n.bits | other
					    : n.bits ^ other;
		} else {
			return n;
		}
	}
}

struct ptx_number
ptx_lexer_constant(struct ptx_lexer *lx)
{
	return constant_sum(lx, 0);
}

void
ptx_lexer_skip_to(struct ptx_lexer *lx, char c)
{
	for (;;) {
		if (ptx_lexer_at_end(lx))
			ptx_lexer_fail(lx, "\"%c\" is missing", c);
		if (*lx->p == '"') {
			lx->p++;
			while (lx->p < lx->end && *lx->p != '"')
				lx->line += *lx->p++ == '\n';
			if (lx->p < lx->end)
				lx->p++;
			continue;
		}
		if (*lx->p++ == c)
			return;
	}
}

void
ptx_lexer_skip_line(struct ptx_lexer *lx)
{
	while (lx->p < lx->end && *lx->p != '\n')
		lx->p++;
}

void
ptx_lexer_skip_braces(struct ptx_lexer *lx)
{
	size_t depth = 1;

	/* Tens of megabytes pass through here: one character at a time, no calls. */
	for (const char *p = lx->p; p < lx->end; p++) {
		switch (*p) {
		case '\n':
			lx->line++;
			break;
		case '{':
			depth++;
			break;
		case '}':
			if (--depth == 0) {
				lx->p = p + 1;
				return;
			}
			break;
		case '"':
			for (p++; p < lx->end && *p != '"'; p++)
				lx->line += *p == '\n';
			break;
		case '/':
			if (p[1] == '/') {
				while (p + 1 < lx->end && p[1] != '\n')
					p++;
			} else if (p[1] == '*') {
				for (p += 2; p < lx->end && !(p[0] == '*' && p[1] == '/'); p++)
					lx->line += *p == '\n';
				p++;
			}
			break;
		default:
			break;
		}
	}
	ptx_lexer_fail(lx, "a \"{\" is never closed");
}
