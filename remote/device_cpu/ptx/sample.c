/*
 * Sampling a texture: where a coordinate falls, what lies there, and the mean of several texels.
 * The CUDA C++ Programming Guide, "Texture Fetching", says how; weights have eight bits after the
 * point as there.
 */
#include "remote/device_cpu/ptx/sample.h"

#include <math.h>
#include <string.h>

#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/image.h"
#include "remote/device_cpu/ptx/narrow.h"

/* A texture with one of its levels chosen. */
struct view {
	const struct ptx_image *image;
	struct ptx_image_level level;
	uint32_t element, channel; /* bytes */
};

static float
scaled(int64_t value, int64_t max)
{
	float f = (float)value / (float)max;

	return f < -1.0f ? -1.0f : f;
}

static float
from_srgb(float c)
{
	return c <= 0.04045f ? c / 12.92f : powf((c + 0.055f) / 1.055f, 2.4f);
}

PTX_UNCHECKED static void
read_channel(const struct ptx_image *image, const uint8_t *p, struct ptx_texel *t, int k)
{
	uint32_t bits = 0;
	float f = 0;

	switch (image->format) {
	case PTX_IMAGE_U8:
		bits = p[0];
		f = scaled(bits, UINT8_MAX);
		if (image->srgb && k < 3)
			f = from_srgb(f);
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
read_texel(const struct view *v, const int64_t at[3], int64_t layer, struct ptx_texel *ret)
{
	const struct ptx_image *image = v->image;
	const int64_t size[3] = {v->level.width, v->level.height, v->level.depth};
	int64_t i[3];

	*ret = (struct ptx_texel){{0, 0, 0, 1}, {0, 0, 0, 1}};
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

	const uint8_t *p = (const uint8_t *)v->level.data + (uint64_t)i[2] * v->level.slice +
			   (uint64_t)i[1] * v->level.pitch + (uint64_t)i[0] * v->element;

	for (uint32_t k = 0; k < image->channels; k++)
		read_channel(image, p + k * v->channel, ret, (int)k);
}

/* Cubes */

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

/* The direction of a point of a face, -1…1 on it; also beyond its edges. */
static void
cube_direction(int64_t face, float s, float t, float ret[3])
{
	const float directions[6][3] = {{1, -t, -s}, {-1, -t, s}, {s, 1, t},
					{s, -1, -t}, {s, -t, 1},  {-s, -t, -1}};

	memcpy(ret, directions[face], sizeof(directions[face]));
}

/* A texel beyond the edge of a face is one of the face that lies there. */
static int64_t
cross_edge(const struct view *v, int64_t layer, int64_t at[3])
{
	int64_t n = v->level.width;
	float direction[3], on[3];

	if ((at[0] >= 0 && at[0] < n && at[1] >= 0 && at[1] < n) || layer < 0)
		return layer;
	cube_direction(layer % 6, (2.0f * (float)at[0] + 1.0f) / (float)n - 1.0f,
		       (2.0f * (float)at[1] + 1.0f) / (float)n - 1.0f, direction);
	layer = layer / 6 * 6 + cube_face(direction, on);
	for (int axis = 0; axis < 2; axis++) {
		at[axis] = (int64_t)floorf(on[axis] * (float)n);
		at[axis] = at[axis] < 0 ? 0 : at[axis] >= n ? n - 1 : at[axis];
	}
	return layer;
}

/* Filtering */

static float
weight(float fraction)
{
	return rintf(fraction * 256.0f) / 256.0f;
}

/* The texel at or before a place, and how far it is to the next. */
static void
find_base(int dimensions, const float at[3], float shift, int64_t ret_base[3], float ret_weight[3])
{
	for (int axis = 0; axis < dimensions; axis++) {
		/* far away is as good as at the edge, and fits an integer */
		float x = at[axis] != at[axis] ? 0.0f : fmaxf(fminf(at[axis], 1e9f), -1e9f);

		x -= shift;
		ret_base[axis] = (int64_t)floorf(x);
		ret_weight[axis] = weight(x - floorf(x));
	}
}

static void
sample_level(const struct view *v, int dimensions, const float at[3], int64_t layer, int cube,
	     struct ptx_texel *ret)
{
	int64_t base[3] = {0};
	float w[3] = {0};

	find_base(dimensions, at, v->image->linear ? 0.5f : 0.0f, base, w);
	if (!v->image->linear) {
		read_texel(v, base, layer, ret);
		return;
	}
	*ret = (struct ptx_texel){0};
	for (int corner = 0; corner < 1 << dimensions; corner++) {
		int64_t i[3] = {0}, plane = layer;
		struct ptx_texel t;
		float part = 1;

		for (int axis = 0; axis < dimensions; axis++) {
			int high = corner >> axis & 1;

			i[axis] = base[axis] + high;
			part *= high ? w[axis] : 1.0f - w[axis];
		}
		/* A border that is not a number stays out where it has no part. */
		if (part == 0)
			continue;
		if (cube && v->image->seamless)
			plane = cross_edge(v, layer, i);
		read_texel(v, i, plane, &t);
		for (int k = 0; k < 4; k++)
			ret->f[k] += part * t.f[k];
	}
}

/* tld4: one component of the four texels, against the clock from the lower left one. */
static void
gather(const struct view *v, const float at[3], int64_t layer, int cube, int component,
       struct ptx_texel *ret)
{
	static const int8_t corners[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
	int64_t base[3] = {0};
	float w[3];

	find_base(2, at, 0.5f, base, w);
	for (int k = 0; k < 4; k++) {
		int64_t i[3] = {base[0] + corners[k][0], base[1] + corners[k][1], 0};
		int64_t plane = layer;
		struct ptx_texel t;

		if (cube && v->image->seamless)
			plane = cross_edge(v, layer, i);
		read_texel(v, i, plane, &t);
		ret->f[k] = t.f[component];
		ret->bits[k] = t.bits[component];
	}
}

/* Levels */

static void
choose_level(struct view *v, uint32_t level)
{
	const struct ptx_image *image = v->image;

	if (level > 0) {
		v->level = image->smaller[level - 1];
		return;
	}
	v->level = (struct ptx_image_level){
		.data = image->data,
		.width = image->width,
		.height = image->height,
		.depth = image->depth,
		.pitch = image->pitch,
		.slice = image->slice,
	};
}

/* How many texels of the first level one step on the screen covers, as a power of two. */
static float
gradient_lod(const struct ptx_image_access *access, const struct ptx_image *image,
	     const struct ptx_sample_place *place)
{
	const float size[3] = {(float)image->width, (float)image->height, (float)image->depth};
	float x = 0, y = 0, scale = 1;

	if (access->cube) {
		float major = 0;

		for (int axis = 0; axis < 3; axis++)
			major = fmaxf(major, fabsf(narrow_float_of(place->coordinates[axis])));
		scale = 0.5f / major;
	}
	for (int axis = 0; axis < access->dimensions; axis++) {
		float n = scale * (access->cube ? size[0] : image->normalized ? size[axis] : 1);

		x += place->dx[axis] * n * place->dx[axis] * n;
		y += place->dy[axis] * n * place->dy[axis] * n;
	}
	return 0.5f * log2f(fmaxf(x, y));
}

/* The level of detail within what the texture has: 0 is the first level. */
static float
find_lod(const struct ptx_image_access *access, const struct ptx_image *image,
	 const struct ptx_sample_place *place)
{
	float lod = 0;

	if (!image->smaller_count)
		return 0;
	if (access->lod == PTX_IMAGE_LOD)
		lod = place->lod;
	else if (access->lod == PTX_IMAGE_GRADIENT)
		lod = gradient_lod(access, image, place);
	lod += image->level_bias;
	/* Of a NaN, and of the logarithm of 0, the clamps make a number. */
	lod = fmaxf(fminf(lod, image->level_max), image->level_min);
	return fmaxf(fminf(lod, (float)image->smaller_count), 0);
}

static void
sample_float(const struct ptx_image_access *access, struct view *v, uint32_t level,
	     const struct ptx_sample_place *place, struct ptx_texel *ret)
{
	const struct ptx_image *image = v->image;
	int dimensions = access->dimensions;
	int64_t layer = (int32_t)place->layer;
	float at[3] = {0};

	choose_level(v, level);
	for (int axis = 0; axis < dimensions; axis++)
		at[axis] = narrow_float_of(place->coordinates[axis]);
	if (access->cube) {
		int64_t cubes = image->layers / 6;

		layer = layer >= cubes ? cubes - 1 : layer < 0 ? 0 : layer;
		layer = 6 * layer + cube_face(at, at);
		dimensions = 2;
	}
	if (image->normalized || access->cube) {
		at[0] *= (float)v->level.width;
		at[1] *= (float)v->level.height;
		at[2] *= (float)v->level.depth;
	}
	if (access->gather)
		gather(v, at, layer, access->cube, access->gather - 1, ret);
	else
		sample_level(v, dimensions, at, layer, access->cube, ret);
}

void
ptx_sample(const struct ptx_image_access *access, const struct ptx_image *image,
	   const struct ptx_sample_place *place, struct ptx_texel *ret)
{
	struct view v = {.image = image, .element = ptx_image_element_size(image)};

	v.channel = v.element / image->channels;
	if (access->integer) {
		int64_t i[3] = {0};

		for (int axis = 0; axis < access->dimensions; axis++)
			i[axis] = (int32_t)place->coordinates[axis];
		choose_level(&v, 0);
		read_texel(&v, i, (int32_t)place->layer, ret);
		return;
	}
	float lod = find_lod(access, image, place);
	uint32_t level = (uint32_t)lod;

	if (!image->level_linear) {
		sample_float(access, &v, (uint32_t)(lod + 0.5f), place, ret);
		return;
	}
	sample_float(access, &v, level, place, ret);

	float part = weight(lod - (float)level);
	struct ptx_texel next;

	if (part == 0)
		return;
	sample_float(access, &v, level + 1, place, &next);
	for (int k = 0; k < 4; k++)
		ret->f[k] = (1.0f - part) * ret->f[k] + part * next.f[k];
}
