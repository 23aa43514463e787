/* Declarations of variables and parameters, and the initialisers of module variables. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_DECLARE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_DECLARE_H

#include "remote/device_cpu/ptx/lexer.h"
#include "remote/device_cpu/ptx/module.h"

/* What stands before the name: alignment, vector, type. */
struct ptx_declaration {
	enum ptx_space space;
	enum ptx_type type;
	uint32_t align; /* 0: natural */
	uint32_t vector;
	int managed; /* .attribute(.managed) */
};

/* ".shared" → the space; 0: the word is no state space. */
int ptx_space_find(struct ptx_word directive, enum ptx_space *ret_space);
void ptx_declare_prefix(struct ptx_lexer *lx, struct ptx_declaration *decl);
/* Reads a name and its dimensions into @var. */
void ptx_declare_name(struct ptx_lexer *lx, const struct ptx_declaration *decl,
		      struct ptx_variable *var);
/* "(.param .b32 a, .reg .b64 b)"; @ret_list is allocated in the lexer's arena. */
void ptx_declare_params(struct ptx_lexer *lx, struct ptx_variable **ret_list, uint32_t *ret_count);
/* Gives each parameter its offset, aligned; returns the size of all. */
uint64_t ptx_declare_layout(struct ptx_variable *list, uint32_t count);
/* Counts the elements of an initialiser (for "[]") and moves past it. */
uint64_t ptx_initialiser_count(struct ptx_lexer *lx);
/* Writes @var's initialiser to its memory; all names of @module are known. */
void ptx_initialiser_write(struct ptx_lexer *lx, struct ptx_module *module,
			   struct ptx_variable *var);

#endif
