/* Reading textures, reading and writing surfaces. */
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/image.h"
#include "remote/device_cpu/ptx/narrow.h"

struct texel {
	float f[4];
	uint32_t bits[4]; /* the same as integers, extended */
};

/* Textures */

static float
scaled(int64_t value, int64_t max)
{
	float f = (float)value / (float)max;

	return f < -1.0f ? -1.0f : f;
}

PTX_UNCHECKED static void
read_channel(const struct ptx_image *image, const uint8_t *p, struct texel *t, int k)
{
	uint32_t bits = 0;
	float f = 0;

	switch (image->format) {
	case PTX_IMAGE_U8:
		bits = p[0];
		f = scaled(bits, UINT8_MAX);
		break;
	case PTX_IMAGE_S8:
		bits = (uint32_t)(int8_t)p[0];
		f = scaled((int8_t)p[0], INT8_MAX);
		break;
	case PTX_IMAGE_U16:
		bits = p[0] | (uint32_t)p[1] << 8;
		f = scaled(bits, UINT16_MAX);
		break;
	case PTX_IMAGE_S16:
		bits = (uint32_t)(int16_t)(p[0] | p[1] << 8);
		f = scaled((int32_t)bits, INT16_MAX);
		break;
	case PTX_IMAGE_F16:
		f = narrow_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
		bits = narrow_bits_f32(f);
		break;
	case PTX_IMAGE_U32:
	case PTX_IMAGE_S32:
	case PTX_IMAGE_F32:
		bits = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		f = narrow_float_of(bits);
		break;
	}
	t->f[k] = f;
	t->bits[k] = bits;
}

static int64_t
floor_mod(int64_t a, int64_t n)
{
	int64_t r = a % n;

	return r < 0 ? r + n : r;
}

/* Where coordinate @i along an axis of @n elements is read; -1: the border. */
static int64_t
apply_address(const struct ptx_image *image, int axis, int64_t i, int64_t n)
{
	enum ptx_image_address mode = image->address[axis];

	if (i >= 0 && i < n)
		return i;
	if (image->buffer || mode == PTX_IMAGE_BORDER)
		return -1;
	if (image->normalized && mode == PTX_IMAGE_WRAP)
		return floor_mod(i, n);
	if (image->normalized && mode == PTX_IMAGE_MIRROR) {
		i = floor_mod(i, 2 * n);
		return i < n ? i : 2 * n - 1 - i;
	}
	return i < 0 ? 0 : n - 1;
}

static void
read_texel(const struct ptx_image *image, const int64_t at[3], int64_t layer, struct texel *ret)
{
	const int64_t size[3] = {image->width, image->height, image->depth};
	uint32_t element = ptx_image_element_size(image), channel = element / image->channels;
	int64_t i[3];

	*ret = (struct texel){{0, 0, 0, 1}, {0, 0, 0, 1}};
	for (int axis = 0; axis < 3; axis++) {
		i[axis] = apply_address(image, axis, at[axis], size[axis]);
		if (i[axis] >= 0)
			continue;
		for (int k = 0; k < 4; k++) {
			ret->f[k] = image->buffer ? 0 : image->border[k];
			ret->bits[k] = narrow_bits_f32(ret->f[k]);
		}
		return;
	}
	if (image->layers) /* layers are planes, and clamp */
		i[2] = layer < 0 ? 0 : layer >= image->layers ? (int64_t)image->layers - 1 : layer;

	const uint8_t *p = (const uint8_t *)image->data + (uint64_t)i[2] * image->slice +
			   (uint64_t)i[1] * image->pitch + (uint64_t)i[0] * element;

	for (uint32_t k = 0; k < image->channels; k++)
		read_channel(image, p + k * channel, ret, (int)k);
}

/* Weights have eight bits after the point. */
static float
weight(float fraction)
{
	return rintf(fraction * 256.0f) / 256.0f;
}

static void
sample(const struct ptx_image *image, int dimensions, const float at[3], int64_t layer,
       struct texel *ret)
{
	int64_t base[3] = {0};
	float w[3] = {0};

	for (int axis = 0; axis < dimensions; axis++) {
		/* far away is as good as at the edge, and fits an integer */
		float x = at[axis] != at[axis] ? 0.0f : fmaxf(fminf(at[axis], 1e9f), -1e9f);

		if (image->linear)
			x -= 0.5f;
		base[axis] = (int64_t)floorf(x);
		w[axis] = weight(x - floorf(x));
	}
	if (!image->linear) {
		read_texel(image, base, layer, ret);
		return;
	}
	*ret = (struct texel){0};
	for (int corner = 0; corner < 1 << dimensions; corner++) {
		int64_t i[3] = {0};
		struct texel t;
		float part = 1;

		for (int axis = 0; axis < dimensions; axis++) {
			int high = corner >> axis & 1;

			i[axis] = base[axis] + high;
			part *= high ? w[axis] : 1.0f - w[axis];
		}
		read_texel(image, i, layer, &t);
		for (int k = 0; k < 4; k++)
			ret->f[k] += part * t.f[k];
	}
}

/* A direction in a cube: the face, and coordinates 0…1 on it. */
static int64_t
cube_face(const float direction[3], float ret[3])
{
	float x = direction[0], y = direction[1], z = direction[2];
	float ax = fabsf(x), ay = fabsf(y), az = fabsf(z), major, s, t;
	int64_t face;

	if (ax >= ay && ax >= az) {
		face = x >= 0 ? 0 : 1;
		major = ax;
		s = x >= 0 ? -z : z;
		t = -y;
	} else if (ay >= az) {
		face = y >= 0 ? 2 : 3;
		major = ay;
		s = x;
		t = y >= 0 ? z : -z;
	} else {
		face = z >= 0 ? 4 : 5;
		major = az;
		s = z >= 0 ? x : -x;
		t = -y;
	}
	ret[0] = (s / major + 1.0f) / 2.0f;
	ret[1] = (t / major + 1.0f) / 2.0f;
	ret[2] = 0;
	return face;
}

static void
read_texture(const struct ptx_image_access *access, const struct ptx_image *image,
	     const uint32_t *coordinates, int64_t layer, struct texel *ret)
{
	int dimensions = access->dimensions;
	float at[3] = {0};

	if (access->integer) {
		int64_t i[3] = {0};

		for (int axis = 0; axis < dimensions; axis++)
			i[axis] = (int32_t)coordinates[axis];
		read_texel(image, i, layer, ret);
		return;
	}
	for (int axis = 0; axis < dimensions; axis++)
		at[axis] = narrow_float_of(coordinates[axis]);
	if (access->cube) {
		layer = 6 * layer + cube_face(at, at);
		dimensions = 2;
	}
	if (image->normalized || access->cube) {
		at[0] *= (float)image->width;
		at[1] *= (float)image->height;
		at[2] *= (float)image->depth;
	}
	sample(image, dimensions, at, layer, ret);
}

/* Finds a lane's image; lanes next to each other mostly have the same. */
struct lookup {
	uint64_t handle;
	int found;
	struct ptx_image image;
};

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

PTX_HANDLER(tex)
{
	const struct ptx_image_access *access = i->data;
	const uint32_t *r = access->regs + 4;
	struct lookup last = {0};

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t handle = PTX_REG(const uint64_t, r[0])[l];
		const struct ptx_image *image = look_up(&last, handle);
		uint32_t coordinates[3];
		int64_t layer = 0;
		struct texel t;

		if (!image)
			return no_image(i, w, l, handle);
		if (access->layered)
			layer = PTX_REG(const uint32_t, r[1])[l];
		for (int k = 0; k < access->dimensions; k++)
			coordinates[k] = PTX_REG(const uint32_t, r[1 + access->layered + k])[l];
		read_texture(access, image, coordinates, layer, &t);
		for (int k = 0; k < 4; k++) {
			uint32_t bits =
				access->type == PTX_T_F32 ? narrow_bits_f32(t.f[k]) : t.bits[k];

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
		uint64_t handle = PTX_REG(const uint64_t, r[0])[l];
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
		const struct ptx_image *image = look_up(&last, a[l]);

		if (!image)
			continue;
		const uint32_t answers[] = {image->width, image->height, image->depth,
					    image->layers, image->normalized != 0};

		values[l] = answers[i->imm];
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
