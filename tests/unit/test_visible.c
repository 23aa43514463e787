#include <criterion/criterion.h>
#include <string.h>

#include "interpose/visible.h"

/* Four devices; PCI addresses run backwards, two UUIDs begin alike. */
static struct genie_device_info devices[4];

static void
start(void)
{
	for (int i = 0; i < 4; i++) {
		devices[i].attrs[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID] = 8 - i;
		memset(devices[i].uuid, 0x10 * (i + 1), sizeof(devices[i].uuid));
	}
	memset(devices[3].uuid, 0x30, 8);
}

#define SEEN(list, ...)                                                                            \
	do {                                                                                       \
		const int want[] = {-1, ##__VA_ARGS__};                                            \
		int got[GENIE_DEVICES_MAX], count;                                                 \
                                                                                                   \
		count = genie_visible_devices(list, false, devices, 4, got);                       \
		cr_assert_eq(count, sizeof(want) / sizeof(want[0]) - 1, "%d", count);              \
		cr_assert_arr_eq(got, want + 1, sizeof(want) - sizeof(want[0]));                   \
	} while (0)

Test(visible, all_when_it_is_not_set, .init = start)
{
	SEEN(NULL, 0, 1, 2, 3);
	SEEN("");
	SEEN("   ");
}

Test(visible, numbers_in_the_order_of_the_list, .init = start)
{
	SEEN("2,1", 2, 1);
	SEEN(" 3 , 0 ", 3, 0);
	SEEN("0,", 0);
	SEEN("1gpu2,2", 1, 2);
}

Test(visible, the_first_wrong_one_ends_the_list, .init = start)
{
	SEEN("0,2,-1,1", 0, 2);
	SEEN("0,4,1", 0);
	SEEN("7");
	SEEN("x,0");
	SEEN("0,,1", 0);
	SEEN("99999999999999999999");
}

Test(visible, the_same_twice_is_none, .init = start)
{
	SEEN("0,0");
	SEEN("1,2,1,3");
}

Test(visible, uuids_may_be_cut_short, .init = start)
{
	SEEN("GPU-10101010-1010-1010-1010-101010101010", 0);
	SEEN("GPU-2,GPU-1", 1, 0);
	SEEN("GPU-30303030-3030-3030-3030", 2);
	SEEN("GPU-30303030-3030-3030-4", 3);
	SEEN("GPU-3"); /* two of them */
	SEEN("GPU-");  /* all of them */
	SEEN("GPU-1,0", 0);
	SEEN("GPU-1010101010101010101010101010101010101010101010101010101010101010");
}

Test(visible, parts_of_a_gpu_are_not_given, .init = start)
{
	SEEN("MIG-GPU-10101010/1/0");
}

Test(visible, numbers_by_pci_address, .init = start)
{
	int got[GENIE_DEVICES_MAX];

	cr_assert_eq(genie_visible_devices(NULL, true, devices, 4, got), 4);
	cr_assert_arr_eq(got, ((int[]){3, 2, 1, 0}), 4 * sizeof(int));
	cr_assert_eq(genie_visible_devices("1", true, devices, 4, got), 1);
	cr_assert_eq(got[0], 2);
}
