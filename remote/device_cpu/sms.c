#include "remote/device_cpu/sms.h"

#include <stddef.h>
#include <string.h>

/* What of a resource only its maker reads. */
struct inner {
	uint64_t split; /* the split that it is a result of, 0: none */
	uint64_t rest;  /* 1: what that split left over */
	struct genie_sms set;
};
_Static_assert(sizeof(struct inner) <= sizeof(((CUdevResource *)0)->_internal_padding),
	       "room for what a resource is");

static _Atomic uint64_t splits;

/* ---- the rules ---- */

/* How a device may be divided. */
struct rules {
	uint32_t min, align;
};

/*
 * By compute capability: 9.0 and later: at least 8, a multiple of 8; 8.x: 4 and 2; before: 2 and 2.
 * Those that ignore which multiprocessors lie together get down to 2. A machine with too few cores
 * to be divided that way gives them out one by one: programs that ask for the minimum find it in
 * the resource of the device, as CUDA's documentation tells them to.
 */
static struct rules
rules(const struct genie_sms_device *device, bool fine)
{
	if (device->total < 16)
		return (struct rules){1, 1};
	if (fine || device->major < 8)
		return (struct rules){2, 2};
	return device->major < 9 ? (struct rules){4, 2} : (struct rules){8, 8};
}

/* ---- sets ---- */

/* Multiprocessors in a unit; the last unit may have less. */
static uint32_t
unit_size(const struct genie_sms_device *device)
{
	return device->total < 16 ? 1 : 2;
}

static uint32_t
unit_count(const struct genie_sms_device *device)
{
	return (device->total + unit_size(device) - 1) / unit_size(device);
}

static bool
has(const struct genie_sms *set, uint32_t unit)
{
	return set->units[unit / 64] >> unit % 64 & 1;
}

static void
put(struct genie_sms *set, uint32_t unit)
{
	set->units[unit / 64] |= UINT64_C(1) << unit % 64;
}

void
genie_sms_all(const struct genie_sms_device *device, struct genie_sms *ret_set)
{
	*ret_set = (struct genie_sms){0};
	for (uint32_t i = 0; i < unit_count(device); i++)
		put(ret_set, i);
}

uint32_t
genie_sms_list(const struct genie_sms_device *device, const struct genie_sms *set,
	       uint16_t *ret_list)
{
	uint32_t size = unit_size(device), n = 0;

	for (uint32_t i = 0; i < device->total; i++)
		if (has(set, i / size))
			ret_list[n++] = (uint16_t)i;
	return n;
}

uint32_t
genie_sms_count(const struct genie_sms_device *device, const struct genie_sms *set)
{
	uint16_t list[GENIE_SMS_MAX];

	return genie_sms_list(device, set, list);
}

/* ---- resources ---- */

static void
resource_make(const struct genie_sms_device *device, const struct inner *inner, struct rules how,
	      CUdevResource *ret_resource)
{
	CUdevResource resource = {0};

	resource.sm.smCount = genie_sms_count(device, &inner->set);
	if (resource.sm.smCount) {
		resource.type = CU_DEV_RESOURCE_TYPE_SM;
		resource.sm.minSmPartitionSize = how.min;
		resource.sm.smCoscheduledAlignment = how.align;
		memcpy(resource._internal_padding, inner, sizeof(*inner));
	}
	*ret_resource = resource;
}

CUresult
genie_sms_describe(const struct genie_sms_device *device, const struct genie_sms *set,
		   CUdevResourceType type, CUdevResource *ret_resource)
{
	const struct inner inner = {.set = *set};

	if (!ret_resource)
		return CUDA_ERROR_INVALID_VALUE;
	if (type != CU_DEV_RESOURCE_TYPE_SM)
		return CUDA_ERROR_INVALID_RESOURCE_TYPE;
	resource_make(device, &inner, rules(device, false), ret_resource);
	return CUDA_SUCCESS;
}

/* Moves the first @count multiprocessors of @from. */
static void
take(const struct genie_sms_device *device, struct genie_sms *from, uint32_t count,
     struct genie_sms *to)
{
	for (uint32_t i = 0; i < unit_count(device) && count; i++)
		if (has(from, i)) {
			put(to, i);
			from->units[i / 64] &= ~(UINT64_C(1) << i % 64);
			count -= unit_size(device);
		}
}

CUresult
genie_sms_split(const struct genie_sms_device *device, CUdevResource *ret_list,
		unsigned int *groups, const CUdevResource *input, CUdevResource *remaining,
		unsigned int flags, unsigned int min_count)
{
	const unsigned int known = CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING |
				   CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE;
	struct rules how = rules(device, flags & CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING);
	struct inner left;
	uint32_t size, most;
	uint64_t split;

	if (!groups || !input || flags & ~known)
		return CUDA_ERROR_INVALID_VALUE;
	if (input->type != CU_DEV_RESOURCE_TYPE_SM)
		return CUDA_ERROR_INVALID_RESOURCE_TYPE;
	memcpy(&left, input->_internal_padding, sizeof(left));
	if (left.split && !left.rest)
		return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
	if (min_count > input->sm.smCount || (ret_list && !*groups))
		return CUDA_ERROR_INVALID_VALUE;
	size = (min_count + how.align - 1) / how.align * how.align;
	if (size < how.min)
		size = how.min;
	most = genie_sms_count(device, &left.set) / size;
	if (!ret_list || *groups > most)
		*groups = most;
	split = ++splits;
	for (unsigned int i = 0; i < *groups; i++) {
		struct inner inner = {.split = split};

		take(device, &left.set, size, &inner.set);
		if (ret_list)
			resource_make(device, &inner, how, &ret_list[i]);
	}
	left.split = split;
	left.rest = 1;
	if (remaining)
		resource_make(device, &left, rules(device, true), remaining);
	return CUDA_SUCCESS;
}

CUresult
genie_sms_join(const CUdevResource *list, unsigned int count, struct genie_sms *ret_set)
{
	struct genie_sms set = {0};
	uint64_t split = 0;

	if (!list || !count)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < count; i++) {
		struct inner inner;

		if (list[i].type != CU_DEV_RESOURCE_TYPE_SM)
			return CUDA_ERROR_INVALID_RESOURCE_TYPE;
		memcpy(&inner, list[i]._internal_padding, sizeof(inner));
		/* several must come from one split, each of them once */
		if (i && (!inner.split || inner.split != split))
			return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
		split = inner.split;
		for (size_t k = 0; k < sizeof(set.units) / sizeof(set.units[0]); k++) {
			if (set.units[k] & inner.set.units[k])
				return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
			set.units[k] |= inner.set.units[k];
		}
	}
	*ret_set = set;
	return CUDA_SUCCESS;
}
