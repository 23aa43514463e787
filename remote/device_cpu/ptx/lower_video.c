/* Video instructions: vadd, vabsdiff4 and their like, without operand selectors. */
#include "remote/device_cpu/ptx/lower.h"

static int
describe(const struct ptx_stmt *stmt, struct ptx_video *v)
{
	static const struct {
		enum ptx_opcode opcode;
		uint8_t operation, parts;
	} operations[] = {
		{PTX_OP_vadd, PTX_VIDEO_ADD, 1},          {PTX_OP_vsub, PTX_VIDEO_SUB, 1},
		{PTX_OP_vabsdiff, PTX_VIDEO_ABSDIFF, 1},  {PTX_OP_vmin, PTX_VIDEO_MIN, 1},
		{PTX_OP_vmax, PTX_VIDEO_MAX, 1},          {PTX_OP_vshl, PTX_VIDEO_SHL, 1},
		{PTX_OP_vshr, PTX_VIDEO_SHR, 1},          {PTX_OP_vset, PTX_VIDEO_SET, 1},
		{PTX_OP_vmad, PTX_VIDEO_MAD, 1},          {PTX_OP_vadd2, PTX_VIDEO_ADD, 2},
		{PTX_OP_vsub2, PTX_VIDEO_SUB, 2},         {PTX_OP_vavrg2, PTX_VIDEO_AVRG, 2},
		{PTX_OP_vabsdiff2, PTX_VIDEO_ABSDIFF, 2}, {PTX_OP_vmin2, PTX_VIDEO_MIN, 2},
		{PTX_OP_vmax2, PTX_VIDEO_MAX, 2},         {PTX_OP_vset2, PTX_VIDEO_SET, 2},
		{PTX_OP_vadd4, PTX_VIDEO_ADD, 4},         {PTX_OP_vsub4, PTX_VIDEO_SUB, 4},
		{PTX_OP_vavrg4, PTX_VIDEO_AVRG, 4},       {PTX_OP_vabsdiff4, PTX_VIDEO_ABSDIFF, 4},
		{PTX_OP_vmin4, PTX_VIDEO_MIN, 4},         {PTX_OP_vmax4, PTX_VIDEO_MAX, 4},
		{PTX_OP_vset4, PTX_VIDEO_SET, 4},
	};
	static const uint16_t comparisons[] = {PTX_M_EQ, PTX_M_NE, PTX_M_LT,
					       PTX_M_LE, PTX_M_GT, PTX_M_GE};

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		if (operations[i].opcode == stmt->opcode) {
			v->operation = operations[i].operation;
			v->parts = operations[i].parts;
		}
	}
	for (int i = 0; i < 6; i++)
		if (ptx_has(stmt, comparisons[i]))
			v->compare = i;
	v->saturate = (uint8_t)ptx_has(stmt, PTX_M_SAT);
	v->wrap = (uint8_t)ptx_has(stmt, PTX_M_WRAP);
	v->then = ptx_has(stmt, PTX_M_ADD)   ? PTX_VIDEO_THEN_ADD
		  : ptx_has(stmt, PTX_M_MIN) ? PTX_VIDEO_THEN_MIN
		  : ptx_has(stmt, PTX_M_MAX) ? PTX_VIDEO_THEN_MAX
					     : PTX_VIDEO_NOTHING;

	/* vset names the types of a and b alone */
	int set = v->operation == PTX_VIDEO_SET;

	if (stmt->ntypes != (set ? 2 : 3))
		return 0;
	for (int i = 0; i < stmt->ntypes; i++)
		if (stmt->types[i] != PTX_T_U32 && stmt->types[i] != PTX_T_S32)
			return 0;
	v->signed_d = !set && stmt->types[0] == PTX_T_S32;
	v->signed_a = stmt->types[!set] == PTX_T_S32;
	v->signed_b = stmt->types[1 + !set] == PTX_T_S32;
	return 1;
}

void
ptx_lower_video(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_video *v = ptx_lower_alloc(l, sizeof(*v));
	uint32_t a, b, c;

	if (!describe(stmt, v) || stmt->nops < 3 || stmt->nops > 4) {
		ptx_unsupported(l);
		return;
	}
	a = ptx_use_size(l, &stmt->ops[1], 4);
	b = ptx_use_size(l, &stmt->ops[2], 4);
	c = stmt->nops > 3 ? ptx_use_size(l, &stmt->ops[3], 4) : ptx_value_literal(l, 4, 0);
	ptx_emit(l, PTX_H_video, ptx_result(l, &stmt->ops[0], 4), a, b, c)->insn.data = v;
}
