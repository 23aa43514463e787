/* Reading textures, reading and writing surfaces. */
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/image.h"
#include "remote/device_cpu/ptx/narrow.h"
#include "remote/device_cpu/ptx/sample.h"

/* Finds a lane's image; lanes next to each other mostly have the same. */
struct lookup {
	uint64_t handle;
	int found;
	struct ptx_image image;
};

/* What a reference variable holds. Its address is the module's own. */
PTX_UNCHECKED static uint64_t
follow(uint64_t handle, int reference)
{
	return reference ? __atomic_load_n((const uint64_t *)(uintptr_t)handle, __ATOMIC_RELAXED)
			 : handle;
}

static const struct ptx_image *
look_up(struct lookup *last, uint64_t handle)
{
	if (!last->found || last->handle != handle) {
		last->handle = handle;
		last->found = ptx_image_find(handle, &last->image) == 0;
	}
	return last->found ? &last->image : NULL;
}

static const struct ptx_insn *
no_image(const struct ptx_insn *i, struct ptx_warp *w, uint32_t l, uint64_t handle)
{
	return ptx_fault(w, i, PTX_FAULT_UNSUPPORTED, l, handle,
			 "0x%llx is no texture or surface that the CPU device knows",
			 (unsigned long long)handle);
}

/* What the image gives is a float, whatever type the instruction has for the register: code for
 * texture references has .u32 for all. */
static int
gives_float(const struct ptx_image *image)
{
	switch (image->format) {
	case PTX_IMAGE_U8:
	case PTX_IMAGE_S8:
	case PTX_IMAGE_U16:
	case PTX_IMAGE_S16:
		return image->read_as_float;
	case PTX_IMAGE_F16:
	case PTX_IMAGE_F32:
		return 1;
	case PTX_IMAGE_U32:
	case PTX_IMAGE_S32:
		break;
	}
	return 0;
}

PTX_HANDLER(tex)
{
	const struct ptx_image_access *access = i->data;
	const uint32_t *r = access->regs + 4;
	struct lookup last = {0};

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t handle = follow(PTX_REG(const uint64_t, r[0])[l], access->reference);
		const struct ptx_image *image = look_up(&last, handle);
		struct ptx_sample_place place = {0};
		struct ptx_texel t;
		const uint32_t *next = r + 1;

		if (!image)
			return no_image(i, w, l, handle);
		if (access->layered)
			place.layer = PTX_REG(const uint32_t, *next++)[l];
		for (int k = 0; k < access->dimensions; k++)
			place.coordinates[k] = PTX_REG(const uint32_t, *next++)[l];
		if (access->lod == PTX_IMAGE_LOD)
			place.lod = PTX_REG(const float, *next)[l];
		for (int k = 0; access->lod == PTX_IMAGE_GRADIENT && k < access->dimensions; k++) {
			place.dx[k] = PTX_REG(const float, next[k])[l];
			place.dy[k] = PTX_REG(const float, next[access->dimensions + k])[l];
		}
		ptx_sample(access, image, &place, &t);
		for (int k = 0; k < 4; k++) {
			uint32_t bits = access->type == PTX_T_F32 || gives_float(image)
						? narrow_bits_f32(t.f[k])
						: t.bits[k];

			PTX_REG(uint32_t, access->regs[k])[l] = bits;
		}
	}
	return i + 1;
}

/* Surfaces: x counts bytes. */

/* The element's address; NULL: outside. */
static uint8_t *
surface_pointer(const struct ptx_image_access *access, const struct ptx_image *image,
		const int32_t at[3], uint32_t layer)
{
	int64_t bytes = access->bytes * access->count;
	int64_t size[3] = {(int64_t)image->width * ptx_image_element_size(image) - bytes + 1,
			   image->height, image->depth};
	int64_t i[3] = {0};

	for (int axis = 0; axis < access->dimensions; axis++) {
		i[axis] = at[axis];
		if (i[axis] >= 0 && i[axis] < size[axis])
			continue;
		if (access->outside != PTX_IMAGE_TO_EDGE || size[axis] <= 0)
			return NULL;
		i[axis] = i[axis] < 0 ? 0 : size[axis] - 1;
	}
	if (access->layered) {
		if (layer >= image->layers)
			return NULL;
		i[2] = layer;
	}
	return (uint8_t *)image->data + (uint64_t)i[2] * image->slice +
	       (uint64_t)i[1] * image->pitch + (uint64_t)i[0];
}

PTX_UNCHECKED static void
transfer(const struct ptx_image_access *access, uint8_t *regs, uint32_t l, uint8_t *p)
{
	for (uint32_t k = 0; k < access->count; k++) {
		uint32_t size = access->bytes < 2 ? 2 : access->bytes;
		uint8_t *lane = regs + access->regs[k] + (size_t)l * size;
		uint64_t value = 0;

		if (access->store) {
			for (uint32_t n = 0; n < access->bytes; n++)
				p[k * access->bytes + n] = lane[n];
			continue;
		}
		for (uint32_t n = 0; p && n < access->bytes; n++)
			value |= (uint64_t)p[k * access->bytes + n] << 8 * n;
		memcpy(lane, &value, size);
	}
}

PTX_HANDLER(surface)
{
	const struct ptx_image_access *access = i->data;
	const uint32_t *r = access->regs + access->count;
	struct lookup last = {0};

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t handle = follow(PTX_REG(const uint64_t, r[0])[l], access->reference);
		const struct ptx_image *image = look_up(&last, handle);
		int32_t at[3] = {0};
		uint32_t layer = 0;
		uint8_t *p;

		if (!image)
			return no_image(i, w, l, handle);
		if (access->layered)
			layer = PTX_REG(const uint32_t, r[1])[l];
		for (int k = 0; k < access->dimensions; k++)
			at[k] = PTX_REG(const int32_t, r[1 + access->layered + k])[l];
		p = surface_pointer(access, image, at, layer);
		if (!p && access->outside == PTX_IMAGE_TRAP)
			return ptx_fault(w, i, PTX_FAULT_ADDRESS, l, handle,
					 "(%d, %d, %d) is outside of the surface", at[0], at[1],
					 at[2]);
		if (p || !access->store)
			transfer(access, regs, l, p);
	}
	return i + 1;
}

PTX_HANDLER(image_query)
{
	const uint64_t *a = PTX_REG(const uint64_t, i->a);
	uint32_t values[PTX_LANES] = {0};
	struct lookup last = {0};

	PTX_EACH_ACTIVE(l, w->mask)
	{
		const struct ptx_image *image =
			look_up(&last, follow(a[l], (int)(i->imm & PTX_QUERY_REFERENCE)));

		if (!image)
			continue;
		const uint32_t answers[] = {image->width, image->height, image->depth,
					    image->layers, image->normalized != 0};

		values[l] = answers[i->imm & (PTX_QUERY_REFERENCE - 1)];
	}
	memcpy(regs + i->dst, values, sizeof(values));
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_image)(ptx_exec_fn *table)
{
	table[PTX_H_tex] = exec_tex;
	table[PTX_H_surface] = exec_surface;
	table[PTX_H_image_query] = exec_image_query;
}
