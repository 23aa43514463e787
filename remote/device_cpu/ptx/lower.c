#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t max_frame = 64u << 20; /* bytes of registers of one warp */

void *
ptx_lower_grow(struct ptx_lower *l, void *array, uint32_t *room, size_t size)
{
	uint32_t more = *room ? *room * 2 : 64;
	void *bigger = *room > UINT32_MAX / 4 ? NULL : realloc(array, more * size);

	if (!bigger) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	*room = more;
	return bigger;
}

void *
ptx_lower_alloc(struct ptx_lower *l, size_t size)
{
	void *p = ptx_arena_alloc(&l->code->arena, size);

	if (!p) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	return p;
}

uint32_t *
ptx_list(struct ptx_lower *l, uint32_t count)
{
	return ptx_lower_alloc(l, count * sizeof(uint32_t));
}

void
ptx_unsupported(struct ptx_lower *l)
{
	l->unsupported = 1;
}

/* Emitting */

static int
is_temporary(struct ptx_lower *l, uint32_t value)
{
	return value != PTX_NO_VALUE && l->values[value].temporary;
}

/*
 * The handlers of pure instructions read and write whole registers: all must have the sizes they
 * count on, whatever the program says.
 */
static void
check_sizes(struct ptx_lower *l, enum ptx_handler handler, uint32_t dst, const uint32_t src[4])
{
	if (dst == PTX_NO_VALUE || l->values[dst].size != ptx_handler_result(handler) ||
	    l->values[dst].fixed)
		ptx_unsupported(l);
	for (int i = 0; i < 4; i++) {
		int size = ptx_handler_operand(handler, i);

		if (size >= 0 && (src[i] == PTX_NO_VALUE || l->values[src[i]].size != size))
			ptx_unsupported(l);
	}
}

struct ptx_ir *
ptx_emit4(struct ptx_lower *l, enum ptx_handler handler, uint32_t dst, uint32_t a, uint32_t b,
	  uint32_t c, uint32_t d)
{
	if (l->nir == l->ir_room)
		l->ir = ptx_lower_grow(l, l->ir, &l->ir_room, sizeof(*l->ir));

	struct ptx_ir *ir = &l->ir[l->nir++];
	int pure = ptx_handler_result(handler) >= 0;

	*ir = (struct ptx_ir){
		.insn = {.dst = dst, .a = a, .b = b, .c = c, .d = d, .guard = PTX_NO_VALUE},
		.target = PTX_NO_BLOCK,
	};
	ir->insn.op = (uint16_t)handler;
	ir->insn.line = l->stmt ? l->stmt->line : 0;
	if (dst != PTX_NO_VALUE)
		ir->roles |= PTX_DEF_DST;
	if (a != PTX_NO_VALUE)
		ir->roles |= PTX_USE_A;
	if (b != PTX_NO_VALUE)
		ir->roles |= PTX_USE_B;
	if (c != PTX_NO_VALUE)
		ir->roles |= PTX_USE_C;
	if (d != PTX_NO_VALUE)
		ir->roles |= PTX_USE_D;
	if (pure) {
		check_sizes(l, handler, dst, (const uint32_t[4]){a, b, c, d});
		ir->insn.flags |= PTX_INSN_PURE;
	}
	/* A temporary may be computed for all lanes whatever the guard says. */
	if (l->guard != PTX_NO_REG && !(pure && is_temporary(l, dst))) {
		ir->insn.guard = l->guard;
		if (l->guard_negate)
			ir->insn.flags |= PTX_INSN_NEGATE;
	}
	return ir;
}

struct ptx_ir *
ptx_emit(struct ptx_lower *l, enum ptx_handler handler, uint32_t dst, uint32_t a, uint32_t b,
	 uint32_t c)
{
	return ptx_emit4(l, handler, dst, a, b, c, PTX_NO_VALUE);
}

uint32_t
ptx_temp(struct ptx_lower *l, enum ptx_handler handler, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t dst = ptx_value_new(l, (uint8_t)ptx_handler_result(handler));

	ptx_emit(l, handler, dst, a, b, c);
	return dst;
}

void
ptx_ir_values(struct ptx_lower *l, struct ptx_ir *ir,
	      void (*visit)(struct ptx_lower *l, uint32_t *value, int is_def, void *data),
	      void *data)
{
	uint32_t defs = 0;

	if (ir->roles & PTX_LIST_DEF)
		defs = ir->roles & PTX_LIST_USE ? ir->ndefs : ir->nlist;
	/* Uses first: an instruction reads before it writes. */
	if (ir->roles & PTX_USE_A)
		visit(l, &ir->insn.a, 0, data);
	if (ir->roles & PTX_USE_B)
		visit(l, &ir->insn.b, 0, data);
	if (ir->roles & PTX_USE_C)
		visit(l, &ir->insn.c, 0, data);
	if (ir->roles & PTX_USE_D)
		visit(l, &ir->insn.d, 0, data);
	if (ir->insn.guard != PTX_NO_VALUE)
		visit(l, &ir->insn.guard, 0, data);
	for (uint32_t i = defs; (ir->roles & PTX_LIST_USE) && i < ir->nlist; i++)
		visit(l, &ir->list[i], 0, data);
	if (ir->roles & PTX_USE_DST)
		visit(l, &ir->insn.dst, 0, data);
	if (ir->roles & PTX_DEF_DST)
		visit(l, &ir->insn.dst, 1, data);
	for (uint32_t i = 0; i < defs; i++)
		visit(l, &ir->list[i], 1, data);
}

/* Modifiers */

enum ptx_round
ptx_round_of(const struct ptx_stmt *stmt)
{
	if (ptx_has(stmt, PTX_M_RZ))
		return PTX_ROUND_RZ;
	if (ptx_has(stmt, PTX_M_RM))
		return PTX_ROUND_RM;
	if (ptx_has(stmt, PTX_M_RP))
		return PTX_ROUND_RP;
	return PTX_ROUND_RN;
}

enum ptx_space
ptx_space_of(const struct ptx_stmt *stmt)
{
	if (ptx_has(stmt, PTX_M_GLOBAL))
		return PTX_SPACE_GLOBAL;
	if (ptx_has(stmt, PTX_M_SHARED) || ptx_has(stmt, PTX_M_SHARED_CTA) ||
	    ptx_has(stmt, PTX_M_SHARED_CLUSTER))
		return PTX_SPACE_SHARED;
	if (ptx_has(stmt, PTX_M_LOCAL))
		return PTX_SPACE_LOCAL;
	if (ptx_has(stmt, PTX_M_CONST))
		return PTX_SPACE_CONST;
	if (ptx_has(stmt, PTX_M_PARAM) || ptx_has(stmt, PTX_M_PARAM_ENTRY) ||
	    ptx_has(stmt, PTX_M_PARAM_FUNC))
		return PTX_SPACE_PARAM;
	return PTX_SPACE_GENERIC;
}

int
ptx_vector_of(const struct ptx_stmt *stmt)
{
	return ptx_has(stmt, PTX_M_V2)   ? 2
	       : ptx_has(stmt, PTX_M_V4) ? 4
	       : ptx_has(stmt, PTX_M_V8) ? 8
					 : 1;
}

int
ptx_type_index(enum ptx_type type)
{
	return 2 * ptx_size_index(ptx_type_size(type)) + ptx_type_is_signed(type);
}

/* Blocks */

static uint32_t
new_block(struct ptx_lower *l)
{
	if (l->nblocks == l->block_room)
		l->blocks = ptx_lower_grow(l, l->blocks, &l->block_room, sizeof(*l->blocks));
	l->blocks[l->nblocks] = (struct ptx_bb){.next = PTX_NO_BLOCK, .order = PTX_NO_BLOCK};
	return l->nblocks++;
}

uint32_t
ptx_block_of(struct ptx_lower *l, const struct ptx_operand *label)
{
	if (label->kind != PTX_O_LABEL || label->label->stmt > l->body->nstmts) {
		ptx_unsupported(l);
		return 0;
	}
	return l->stmt_block[label->label->stmt];
}

static int
ends_block(const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_bra:
	case PTX_OP_brx:
	case PTX_OP_ret:
	case PTX_OP_exit:
		return 1;
	default:
		return 0;
	}
}

/* After these control never falls to the next statement. */
static int
never_falls(const struct ptx_stmt *stmt)
{
	return ends_block(stmt) && stmt->guard == PTX_NO_REG;
}

/*
 * Instructions at which a fragment may stop: a guard on them becomes a branch around them, so that
 * only the lanes that execute them stop.
 */
static int
may_stop(const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_call:
	case PTX_OP_ret:
	case PTX_OP_exit:
	case PTX_OP_bar:
	case PTX_OP_barrier:
	case PTX_OP_shfl:
	case PTX_OP_vote:
	case PTX_OP_match:
	case PTX_OP_redux:
	case PTX_OP_elect:
	case PTX_OP_ldmatrix:
	case PTX_OP_stmatrix:
	case PTX_OP_movmatrix:
	case PTX_OP_mma:
	case PTX_OP_wmma:
	case PTX_OP_mbarrier:
	case PTX_OP_brx:
		return 1;
	default:
		return 0;
	}
}

static void
find_blocks(struct ptx_lower *l)
{
	struct ptx_body *body = l->body;

	l->stmt_block = malloc((body->nstmts + 1) * sizeof(*l->stmt_block));
	if (!l->stmt_block) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	for (uint32_t i = 0; i <= body->nstmts; i++)
		l->stmt_block[i] = PTX_NO_BLOCK;
	l->stmt_block[0] = 0;
	for (const struct ptx_label *label = body->labels; label; label = label->next)
		l->stmt_block[label->stmt] = 0;
	for (uint32_t i = 0; i < body->nstmts; i++)
		if (ends_block(&body->stmts[i]))
			l->stmt_block[i + 1] = 0;
	l->stmt_block[body->nstmts] = 0;
	for (uint32_t i = 0; i <= body->nstmts; i++)
		if (l->stmt_block[i] == 0)
			l->stmt_block[i] = new_block(l);
}

static void
begin_block(struct ptx_lower *l, uint32_t block)
{
	l->blocks[block].first = l->nir;
}

static void
end_block(struct ptx_lower *l, uint32_t block, uint32_t next)
{
	l->blocks[block].count = l->nir - l->blocks[block].first;
	l->blocks[block].next = next;
}

/* Statements */

static void
lower_opcode(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_add:
	case PTX_OP_sub:
	case PTX_OP_mul:
	case PTX_OP_mad:
	case PTX_OP_div:
	case PTX_OP_min:
	case PTX_OP_max:
	case PTX_OP_abs:
	case PTX_OP_neg:
		switch (stmt->ntypes ? stmt->types[0] : PTX_T_NONE) {
		case PTX_T_F16:
		case PTX_T_BF16:
		case PTX_T_F32:
		case PTX_T_F64:
		case PTX_T_F16X2:
		case PTX_T_BF16X2:
		case PTX_T_F32X2:
			ptx_lower_float(l, stmt);
			break;
		default:
			ptx_lower_int(l, stmt);
			break;
		}
		break;
	case PTX_OP_addc:
	case PTX_OP_subc:
	case PTX_OP_madc:
	case PTX_OP_mul24:
	case PTX_OP_mad24:
	case PTX_OP_rem:
	case PTX_OP_sad:
	case PTX_OP_and:
	case PTX_OP_or:
	case PTX_OP_xor:
	case PTX_OP_not:
	case PTX_OP_cnot:
	case PTX_OP_shl:
	case PTX_OP_shr:
	case PTX_OP_shf:
	case PTX_OP_bfe:
	case PTX_OP_bfi:
	case PTX_OP_bfind:
	case PTX_OP_bmsk:
	case PTX_OP_brev:
	case PTX_OP_clz:
	case PTX_OP_popc:
	case PTX_OP_fns:
	case PTX_OP_szext:
	case PTX_OP_lop3:
	case PTX_OP_prmt:
	case PTX_OP_dp4a:
	case PTX_OP_dp2a:
		ptx_lower_int(l, stmt);
		break;
	case PTX_OP_setp:
	case PTX_OP_set:
	case PTX_OP_selp:
	case PTX_OP_slct:
	case PTX_OP_testp:
		ptx_lower_compare(l, stmt);
		break;
	case PTX_OP_fma:
	case PTX_OP_rcp:
	case PTX_OP_sqrt:
	case PTX_OP_rsqrt:
	case PTX_OP_sin:
	case PTX_OP_cos:
	case PTX_OP_ex2:
	case PTX_OP_lg2:
	case PTX_OP_tanh:
	case PTX_OP_copysign:
		ptx_lower_float(l, stmt);
		break;
	case PTX_OP_cvt:
		ptx_lower_cvt(l, stmt);
		break;
	case PTX_OP_mov:
	case PTX_OP_cvta:
	case PTX_OP_isspacep:
		ptx_lower_mov(l, stmt);
		break;
	case PTX_OP_ld:
	case PTX_OP_ldu:
	case PTX_OP_st:
	case PTX_OP_cp:
	case PTX_OP_prefetch:
	case PTX_OP_prefetchu:
	case PTX_OP_applypriority:
	case PTX_OP_discard:
	case PTX_OP_createpolicy:
	case PTX_OP_membar:
	case PTX_OP_fence:
		ptx_lower_memory(l, stmt);
		break;
	case PTX_OP_atom:
	case PTX_OP_red:
		ptx_lower_atomic(l, stmt);
		break;
	case PTX_OP_shfl:
	case PTX_OP_vote:
	case PTX_OP_match:
	case PTX_OP_redux:
	case PTX_OP_elect:
	case PTX_OP_activemask:
	case PTX_OP_bar:
	case PTX_OP_barrier:
	case PTX_OP_nanosleep:
	case PTX_OP_griddepcontrol:
	case PTX_OP_pmevent:
	case PTX_OP_setmaxnreg:
		ptx_lower_warp(l, stmt);
		break;
	case PTX_OP_vadd:
	case PTX_OP_vsub:
	case PTX_OP_vabsdiff:
	case PTX_OP_vmin:
	case PTX_OP_vmax:
	case PTX_OP_vshl:
	case PTX_OP_vshr:
	case PTX_OP_vmad:
	case PTX_OP_vset:
	case PTX_OP_vadd2:
	case PTX_OP_vsub2:
	case PTX_OP_vavrg2:
	case PTX_OP_vabsdiff2:
	case PTX_OP_vmin2:
	case PTX_OP_vmax2:
	case PTX_OP_vset2:
	case PTX_OP_vadd4:
	case PTX_OP_vsub4:
	case PTX_OP_vavrg4:
	case PTX_OP_vabsdiff4:
	case PTX_OP_vmin4:
	case PTX_OP_vmax4:
	case PTX_OP_vset4:
		ptx_lower_video(l, stmt);
		break;
	case PTX_OP_tex:
	case PTX_OP_tld4:
	case PTX_OP_suld:
	case PTX_OP_sust:
	case PTX_OP_txq:
	case PTX_OP_suq:
		ptx_lower_image(l, stmt);
		break;
	case PTX_OP_mbarrier:
	case PTX_OP_mapa:
	case PTX_OP_getctarank:
		ptx_lower_sync(l, stmt);
		break;
	case PTX_OP_ldmatrix:
	case PTX_OP_stmatrix:
	case PTX_OP_movmatrix:
	case PTX_OP_mma:
	case PTX_OP_wmma:
		ptx_lower_matrix(l, stmt);
		break;
	case PTX_OP_bra:
	case PTX_OP_brx:
	case PTX_OP_call:
	case PTX_OP_ret:
	case PTX_OP_exit:
	case PTX_OP_trap:
	case PTX_OP_brkpt:
		ptx_lower_flow(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}

/* Results that were not of their register's size go there now. */
static void
finish_results(struct ptx_lower *l)
{
	for (uint32_t i = 0; i < l->nresize; i++) {
		struct ptx_resize *r = &l->resize[i];
		uint32_t value = ptx_resized(l, r->from, l->values[r->to].size, r->is_signed);
		enum ptx_handler mov = PTX_H_mov_16 + ptx_size_index(l->values[r->to].size);

		if (!l->unsupported)
			ptx_emit(l, mov, r->to, value, PTX_NO_VALUE, PTX_NO_VALUE);
	}
	l->nresize = 0;
}

/* The statement becomes a fault that says what it was. */
static void
emit_unsupported(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_ir *ir = ptx_emit(l, PTX_H_unsupported, PTX_NO_VALUE, PTX_NO_VALUE, PTX_NO_VALUE,
				     PTX_NO_VALUE);
	char *text = ptx_lower_alloc(l, stmt->text.len + 1);

	memcpy(text, stmt->text.text, stmt->text.len);
	ir->insn.data = text;
	l->code->unsupported++;
}

static void
lower_one(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t nir = l->nir;

	l->unsupported = stmt->unknown || stmt->opcode == PTX_OP_UNKNOWN;
	l->nresize = 0;
	if (!l->unsupported)
		lower_opcode(l, stmt);
	if (!l->unsupported)
		finish_results(l);
	if (l->unsupported) {
		l->nir = nir;
		emit_unsupported(l, stmt);
	}
}

static void
lower_statements(struct ptx_lower *l)
{
	struct ptx_body *body = l->body;
	uint32_t block = PTX_NO_BLOCK;

	for (uint32_t i = 0; i < body->nstmts; i++) {
		const struct ptx_stmt *stmt = &body->stmts[i];

		if (l->stmt_block[i] != PTX_NO_BLOCK) {
			if (block != PTX_NO_BLOCK)
				end_block(l, block, l->stmt_block[i]);
			block = l->stmt_block[i];
			begin_block(l, block);
		}
		l->stmt = stmt;
		l->lx->line = stmt->line;
		l->guard = stmt->guard;
		l->guard_negate = stmt->guard_negate;

		if (stmt->guard != PTX_NO_REG && may_stop(stmt)) {
			/* branch around it */
			uint32_t inside = new_block(l);
			uint32_t after = l->stmt_block[i + 1];

			l->guard = PTX_NO_REG;
			if (after == PTX_NO_BLOCK)
				after = new_block(l);
			struct ptx_ir *ir = ptx_emit(l, PTX_H_bra_if, PTX_NO_VALUE, stmt->guard,
						     PTX_NO_VALUE, PTX_NO_VALUE);

			ir->target = after;
			if (!stmt->guard_negate)
				ir->insn.flags |= PTX_INSN_NEGATE;
			end_block(l, block, inside);
			begin_block(l, inside);
			lower_one(l, stmt);
			if (stmt->opcode == PTX_OP_ret || stmt->opcode == PTX_OP_exit ||
			    stmt->opcode == PTX_OP_brx)
				end_block(l, inside, PTX_NO_BLOCK);
			else
				end_block(l, inside, after);
			block = PTX_NO_BLOCK;
			if (l->stmt_block[i + 1] == PTX_NO_BLOCK) {
				begin_block(l, after);
				block = after;
			}
			continue;
		}
		lower_one(l, stmt);
		if (never_falls(stmt)) {
			end_block(l, block, PTX_NO_BLOCK);
			block = PTX_NO_BLOCK;
		}
	}

	/* The end of the text returns. */
	uint32_t last = l->stmt_block[body->nstmts];

	if (block != PTX_NO_BLOCK && block != last)
		end_block(l, block, last);
	l->guard = PTX_NO_REG;
	begin_block(l, last);
	ptx_emit(l, body->function->entry ? PTX_H_exit : PTX_H_ret, PTX_NO_VALUE, PTX_NO_VALUE,
		 PTX_NO_VALUE, PTX_NO_VALUE);
	end_block(l, last, PTX_NO_BLOCK);
}

static void
free_lower(struct ptx_lower *l)
{
	for (uint32_t i = 0; i < l->nblocks; i++) {
		free(l->blocks[i].live_in);
		free(l->blocks[i].live_out);
	}
	free(l->values);
	free(l->ir);
	free(l->blocks);
	free(l->layout);
	free(l->fixed);
	free(l->fixed_hash);
	free(l->stmt_block);
	free(l->callees);
	free(l->shared);
}

static void
declare_values(struct ptx_lower *l)
{
	for (uint32_t i = 0; i < l->body->nregs; i++) {
		enum ptx_type type = l->body->reg_types[i];
		uint32_t size = ptx_type_reg_size(type);

		ptx_value_new(l, type == PTX_T_PRED ? PTX_PREDICATE : (uint8_t)size);
		l->values[i].temporary = 0;
	}
	l->carry = ptx_value_new(l, PTX_PREDICATE);
	l->values[l->carry].temporary = 0;

	const struct ptx_signature *sig = &l->code->function->sig;

	for (uint32_t i = 0; i < sig->nparams; i++)
		if (sig->params[i].space == PTX_SPACE_REG)
			l->values[sig->params[i].reg].pinned = 1;
	for (uint32_t i = 0; i < sig->nrets; i++)
		if (sig->rets[i].space == PTX_SPACE_REG)
			l->values[sig->rets[i].reg].pinned = 1;
}

struct ptx_code *
ptx_lower(struct ptx_lexer *lx, struct ptx_body *body)
{
	struct ptx_code *code = calloc(1, sizeof(*code));
	struct ptx_lower l = {.lx = lx, .body = body, .code = code, .guard = PTX_NO_REG};
	jmp_buf *outer = lx->failed;
	jmp_buf failed;

	if (!code) {
		lx->no_memory = 1;
		ptx_lexer_fail(lx, "out of memory");
	}
	code->function = body->function;
	if (setjmp(failed)) {
		free_lower(&l);
		ptx_code_free(code);
		lx->failed = outer;
		longjmp(*outer, 1);
	}
	lx->failed = &failed;

	declare_values(&l);
	find_blocks(&l);
	lower_statements(&l);
	ptx_layout(&l);
	ptx_propagate(&l);
	ptx_place(&l);
	if (code->frame_size > max_frame)
		ptx_lexer_fail(lx, "the function needs too many registers");
	code->local_size = (uint32_t)((body->local_size + 15) & ~15ull);
	ptx_write_code(&l);

	free_lower(&l);
	lx->failed = outer;
	return code;
}

void
ptx_code_free(struct ptx_code *code)
{
	if (!code)
		return;
	free(code->insns);
	free(code->fixed);
	free(code->image);
	ptx_arena_fini(&code->arena);
	free(code);
}
