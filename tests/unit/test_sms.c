/* remote/device_cpu/sms.c: how multiprocessors are divided, and what a split says of itself. */
#include <criterion/criterion.h>
#include <string.h>

#include "remote/device_cpu/sms.h"

static const struct genie_sms_device hopper = {.total = 132, .major = 9};

static CUdevResource
whole(const struct genie_sms_device *device)
{
	CUdevResource resource;
	struct genie_sms set;

	genie_sms_all(device, &set);
	cr_assert_eq(genie_sms_describe(device, &set, CU_DEV_RESOURCE_TYPE_SM, &resource),
		     CUDA_SUCCESS);
	return resource;
}

/* The examples of CUDA's programming guide, for 132 multiprocessors. */
Test(sms, examples_of_the_guide)
{
	static const struct {
		unsigned int groups, min_count, flags, got, each, rest;
	} rows[] = {
		{2, 72, 0, 1, 72, 60},
		{6, 11, 0, 6, 16, 36},
		{6, 11, CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING, 6, 12, 60},
		{2, 1, 0, 2, 8, 116},
		{5, 8, 0, 5, 8, 92},
	};
	CUdevResource input = whole(&hopper);

	cr_assert_eq(input.sm.smCount, 132);
	cr_assert_eq(input.sm.minSmPartitionSize, 8);
	cr_assert_eq(input.sm.smCoscheduledAlignment, 8);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CUdevResource list[8], rest;
		unsigned int groups = rows[i].groups, most = 0;

		cr_assert_eq(genie_sms_split(&hopper, list, &groups, &input, &rest, rows[i].flags,
					     rows[i].min_count),
			     CUDA_SUCCESS);
		cr_assert_eq(groups, rows[i].got, "row %zu: %u groups", i, groups);
		for (unsigned int k = 0; k < groups; k++)
			cr_assert_eq(list[k].sm.smCount, rows[i].each, "row %zu", i);
		cr_assert_eq(rest.sm.smCount, rows[i].rest, "row %zu: %u left", i, rest.sm.smCount);
		cr_assert_eq(genie_sms_split(&hopper, NULL, &most, &input, NULL, rows[i].flags,
					     rows[i].min_count),
			     CUDA_SUCCESS);
		cr_assert_eq(most, 132 / rows[i].each);
	}
}

Test(sms, older_devices_and_small_ones)
{
	static const struct {
		struct genie_sms_device device;
		unsigned int min, align;
	} rows[] = {
		{{108, 8}, 4, 2}, {{80, 7}, 2, 2},  {{2, 12}, 1, 1},
		{{15, 12}, 1, 1}, {{16, 12}, 8, 8},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CUdevResource input = whole(&rows[i].device), group;
		unsigned int groups = 1;

		cr_assert_eq(input.sm.minSmPartitionSize, rows[i].min);
		cr_assert_eq(input.sm.smCoscheduledAlignment, rows[i].align);
		cr_assert_eq(genie_sms_split(&rows[i].device, &group, &groups, &input, NULL, 0, 0),
			     CUDA_SUCCESS);
		cr_assert_eq(group.sm.smCount, rows[i].min);
	}
}

/* Everybody gets other ones, and what is left is all the rest: 133 is odd. */
Test(sms, parts_are_disjoint)
{
	static const struct genie_sms_device odd = {.total = 133, .major = 9};
	CUdevResource input = whole(&odd), list[4], rest;
	uint16_t numbers[GENIE_SMS_MAX];
	bool seen[133] = {false};
	unsigned int groups = 4, total = 0;

	cr_assert_eq(genie_sms_split(&odd, list, &groups, &input, &rest, 0, 24), CUDA_SUCCESS);
	cr_assert_eq(groups, 4);
	for (unsigned int i = 0; i < 5; i++) {
		struct genie_sms set;
		uint32_t n;

		cr_assert_eq(genie_sms_join(i < 4 ? &list[i] : &rest, 1, &set), CUDA_SUCCESS);
		n = genie_sms_list(&odd, &set, numbers);
		cr_assert_eq(n, i < 4 ? 24 : 37);
		total += n;
		for (uint32_t k = 0; k < n; k++) {
			cr_assert_lt(numbers[k], 133);
			cr_assert_not(seen[numbers[k]]);
			seen[numbers[k]] = true;
		}
	}
	cr_assert_eq(total, 133);
}

Test(sms, joined)
{
	CUdevResource input = whole(&hopper), list[3], other, rest, both[2];
	struct genie_sms set;
	unsigned int groups = 3, one = 1;

	genie_sms_split(&hopper, list, &groups, &input, &rest, 0, 8);
	genie_sms_split(&hopper, &other, &one, &input, NULL, 0, 8);
	cr_assert_eq(genie_sms_join(list, 3, &set), CUDA_SUCCESS);
	cr_assert_eq(genie_sms_count(&hopper, &set), 24);
	both[0] = list[1];
	both[1] = rest;
	cr_assert_eq(genie_sms_join(both, 2, &set), CUDA_SUCCESS);
	cr_assert_eq(genie_sms_count(&hopper, &set), 8 + 108);
	both[1] = other; /* of another split */
	cr_assert_eq(genie_sms_join(both, 2, &set), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
	both[1] = list[1]; /* twice */
	cr_assert_eq(genie_sms_join(both, 2, &set), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
	both[0] = both[1] = input; /* of no split */
	cr_assert_eq(genie_sms_join(both, 2, &set), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
	cr_assert_eq(genie_sms_join(both, 0, &set), CUDA_ERROR_INVALID_VALUE);
}

Test(sms, refused)
{
	CUdevResource input = whole(&hopper), list[2], again, none = {0};
	unsigned int groups = 2;
	struct genie_sms set;

	cr_assert_eq(genie_sms_split(&hopper, list, &groups, &input, NULL, 0, 133),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_sms_split(&hopper, list, &groups, &input, NULL, 4, 8),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_sms_split(&hopper, list, NULL, &input, NULL, 0, 8),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_sms_split(&hopper, list, &groups, &none, NULL, 0, 8),
		     CUDA_ERROR_INVALID_RESOURCE_TYPE);
	cr_assert_eq(genie_sms_split(&hopper, list, &groups, &input, NULL, 0, 8), CUDA_SUCCESS);
	/* a result must become a context before it is split again */
	groups = 1;
	cr_assert_eq(genie_sms_split(&hopper, &again, &groups, &list[0], NULL, 0, 8),
		     CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
	cr_assert_eq(genie_sms_join(&list[0], 1, &set), CUDA_SUCCESS);
	cr_assert_eq(genie_sms_describe(&hopper, &set, CU_DEV_RESOURCE_TYPE_SM, &again),
		     CUDA_SUCCESS);
	cr_assert_eq(genie_sms_split(&hopper, list, &groups, &again, NULL, 0, 8), CUDA_SUCCESS);
	cr_assert_eq(genie_sms_describe(&hopper, &set, CU_DEV_RESOURCE_TYPE_INVALID, &again),
		     CUDA_ERROR_INVALID_RESOURCE_TYPE);
}
