/* Textures and surfaces: tex, tld4, suld, sust, txq, suq. */
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE, MAX_REGS = 20 };

/* 1d, 2d, 3d, a1d, a2d, cube, acube */
static int
find_geometry(const struct ptx_stmt *stmt, struct ptx_image_access *access)
{
	static const struct {
		enum ptx_modifier modifier;
		uint8_t dimensions, layered, cube;
	} geometries[] = {
		{PTX_M_D1, 1, 0, 0},    {PTX_M_D2, 2, 0, 0},  {PTX_M_D3, 3, 0, 0},
		{PTX_M_A1D, 1, 1, 0},   {PTX_M_A2D, 2, 1, 0}, {PTX_M_CUBE, 3, 0, 1},
		{PTX_M_ACUBE, 3, 1, 1},
	};

	for (size_t i = 0; i < sizeof(geometries) / sizeof(*geometries); i++) {
		if (ptx_has(stmt, geometries[i].modifier)) {
			access->dimensions = geometries[i].dimensions;
			access->layered = geometries[i].layered;
			access->cube = geometries[i].cube;
			return 1;
		}
	}
	return 0;
}

/* The texture references of CUDA before 12: a variable that holds the handle. */
static int
is_reference(const struct ptx_operand *op)
{
	return op->kind == PTX_O_VARIABLE &&
	       (op->var->type == PTX_T_TEXREF || op->var->type == PTX_T_SURFREF);
}

/* "[handle, {x, y}]": the handle, the layer, the coordinates. */
static int
add_place(struct ptx_lower *l, const struct ptx_operand *memory, struct ptx_image_access *access,
	  uint32_t *list, uint32_t *count)
{
	const struct ptx_operand *place, *elems;
	uint32_t n, needed = access->dimensions + access->layered;

	/* A sampler of its own would stand between the two. */
	if (memory->kind != PTX_O_MEMORY || memory->count != 2 || memory->imm)
		return 0;
	place = &memory->elems[1];
	elems = place->kind == PTX_O_VECTOR ? place->elems : place;
	n = place->kind == PTX_O_VECTOR ? place->count : 1;
	if (n < needed)
		return 0;
	access->reference = (uint8_t)is_reference(&memory->elems[0]);
	list[(*count)++] = ptx_use_size(l, &memory->elems[0], 8);
	for (uint32_t k = 0; k < needed; k++)
		list[(*count)++] = ptx_use_size(l, &elems[k], 4);
	return 1;
}

static void
emit(struct ptx_lower *l, enum ptx_handler handler, struct ptx_image_access *access,
     const uint32_t *regs, uint32_t ndefs, uint32_t count)
{
	uint32_t *list = ptx_list(l, count);
	struct ptx_ir *ir;

	for (uint32_t k = 0; k < count; k++)
		list[k] = regs[k];
	access->regs = list;
	ir = ptx_emit(l, handler, NONE, NONE, NONE, NONE);
	ir->list = list;
	ir->nlist = count;
	ir->ndefs = ndefs;
	ir->roles |= PTX_LIST_DEF | PTX_LIST_USE | PTX_LIST_DATA;
	ir->insn.data = access;
}

/* The n numbers of "{a, b}" or "a". */
static int
add_numbers(struct ptx_lower *l, const struct ptx_operand *op, uint32_t n, uint32_t *list,
	    uint32_t *count)
{
	const struct ptx_operand *elems = op->kind == PTX_O_VECTOR ? op->elems : op;

	if (n > (op->kind == PTX_O_VECTOR ? op->count : 1))
		return 0;
	for (uint32_t k = 0; k < n; k++)
		list[(*count)++] = ptx_use_size(l, &elems[k], 4);
	return 1;
}

/*
 * tex.2d.v4.f32.f32 {r, g, b, a}, [texture, {x, y}]
 * tex.level.2d.v4.f32.f32 …, lod; tex.grad.2d.v4.f32.f32 …, {dxx, dyx}, {dxy, dyy}
 * tld4.r.2d.v4.f32.f32 {…}, [texture, {x, y}]: one component of the four texels around
 */
static void
lower_tex(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_image_access *access = ptx_lower_alloc(l, sizeof(*access));
	uint32_t regs[MAX_REGS], count = 0;

	if (stmt->ntypes != 2 || stmt->nops < 2 || stmt->ops[0].kind != PTX_O_VECTOR ||
	    stmt->ops[0].count != 4 || stmt->ops[0].pair || ptx_type_size(stmt->types[0]) != 4 ||
	    !find_geometry(stmt, access) ||
	    (stmt->types[1] != PTX_T_F32 && stmt->types[1] != PTX_T_S32)) {
		ptx_unsupported(l);
		return;
	}
	access->type = stmt->types[0];
	access->integer = stmt->types[1] == PTX_T_S32;
	access->count = 4;
	if (stmt->opcode == PTX_OP_tld4)
		access->gather = ptx_has(stmt, PTX_M_G)   ? 2
				 : ptx_has(stmt, PTX_M_B) ? 3
				 : ptx_has(stmt, PTX_M_A) ? 4
							  : 1;
	access->lod = ptx_has(stmt, PTX_M_LEVEL)  ? PTX_IMAGE_LOD
		      : ptx_has(stmt, PTX_M_GRAD) ? PTX_IMAGE_GRADIENT
						  : PTX_IMAGE_NO_LOD;
	for (; count < 4; count++)
		regs[count] = ptx_result(l, &stmt->ops[0].elems[count], 4);
	/* More operands than these are offsets and depths, which programs in CUDA do not have. */
	if (stmt->nops != 2 + (uint32_t)access->lod ||
	    !add_place(l, &stmt->ops[1], access, regs, &count)) {
		ptx_unsupported(l);
		return;
	}
	for (uint32_t k = 0; k < (uint32_t)access->lod; k++) {
		uint32_t n = access->lod == PTX_IMAGE_LOD ? 1 : access->dimensions;

		if (!add_numbers(l, &stmt->ops[2 + k], n, regs, &count)) {
			ptx_unsupported(l);
			return;
		}
	}
	emit(l, PTX_H_tex, access, regs, 4, count);
}

/* suld.b.2d.v2.b32.trap {a, b}, [surface, {x, y}]; sust the other way */
static void
lower_surface(struct ptx_lower *l, const struct ptx_stmt *stmt, int store)
{
	struct ptx_image_access *access = ptx_lower_alloc(l, sizeof(*access));
	const struct ptx_operand *values = &stmt->ops[store ? 1 : 0];
	const struct ptx_operand *memory = &stmt->ops[store ? 0 : 1];
	enum ptx_type type = stmt->ntypes == 1 ? stmt->types[0] : PTX_T_NONE;
	uint32_t regs[MAX_REGS], count = 0;

	if (stmt->nops < 2 || !type || ptx_type_size(type) > 8 || !find_geometry(stmt, access) ||
	    !ptx_has(stmt, PTX_M_B) || access->cube) {
		ptx_unsupported(l);
		return;
	}
	access->store = (uint8_t)store;
	access->bytes = (uint8_t)ptx_type_size(type);
	access->count = values->kind == PTX_O_VECTOR ? (uint8_t)values->count : 1;
	access->outside = ptx_has(stmt, PTX_M_ZERO)    ? PTX_IMAGE_ZERO
			  : ptx_has(stmt, PTX_M_CLAMP) ? PTX_IMAGE_TO_EDGE
						       : PTX_IMAGE_TRAP;
	if (access->count > 4) {
		ptx_unsupported(l);
		return;
	}
	for (; count < access->count; count++) {
		const struct ptx_operand *op =
			values->kind == PTX_O_VECTOR ? &values->elems[count] : values;

		regs[count] = store ? ptx_use(l, op, type)
				    : ptx_result(l, op, (uint8_t)ptx_type_reg_size(type));
	}
	if (!add_place(l, memory, access, regs, &count)) {
		ptx_unsupported(l);
		return;
	}
	emit(l, PTX_H_surface, access, regs, store ? 0 : access->count, count);
}

static void
lower_query(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	static const uint16_t queries[] = {PTX_M_WIDTH, PTX_M_HEIGHT, PTX_M_DEPTH, PTX_M_ARRAY_SIZE,
					   PTX_M_NORMALIZED_COORDS};

	for (uint32_t k = 0; k < sizeof(queries) / sizeof(*queries); k++) {
		if (!ptx_has(stmt, queries[k]) || stmt->nops != 2 ||
		    stmt->ops[1].kind != PTX_O_MEMORY || stmt->ops[1].count != 1)
			continue;
		uint32_t handle = ptx_use_size(l, &stmt->ops[1].elems[0], 8);

		ptx_emit(l, PTX_H_image_query, ptx_result(l, &stmt->ops[0], 4), handle, NONE, NONE)
			->insn.imm =
			k | (is_reference(&stmt->ops[1].elems[0]) ? PTX_QUERY_REFERENCE : 0);
		return;
	}
	ptx_unsupported(l);
}

void
ptx_lower_image(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_tex:
	case PTX_OP_tld4:
		lower_tex(l, stmt);
		break;
	case PTX_OP_suld:
		lower_surface(l, stmt, 0);
		break;
	case PTX_OP_sust:
		lower_surface(l, stmt, 1);
		break;
	default:
		lower_query(l, stmt);
		break;
	}
}
