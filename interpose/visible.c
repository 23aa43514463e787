#include "interpose/visible.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UUID_TEXT 41 /* GPU-01234567-89ab-cdef-0123-456789abcdef */

static int
pci_compare(const struct genie_device_info *a, const struct genie_device_info *b)
{
	static const CUdevice_attribute keys[] = {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID,
						  CU_DEVICE_ATTRIBUTE_PCI_BUS_ID,
						  CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (a->attrs[keys[i]] != b->attrs[keys[i]])
			return a->attrs[keys[i]] < b->attrs[keys[i]] ? -1 : 1;
	return 0;
}

/* Few devices: insertion keeps equal ones in the server's order. */
static void
sort_by_pci(const struct genie_device_info *devices, int count, int *order)
{
	for (int i = 1; i < count; i++) {
		int device = order[i], k = i;

		for (; k > 0 && pci_compare(&devices[device], &devices[order[k - 1]]) < 0; k--)
			order[k] = order[k - 1];
		order[k] = device;
	}
}

static void
uuid_text(const struct genie_device_info *device, char text[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	char *out = text + 4;

	memcpy(text, "GPU-", 4);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[device->uuid[i] >> 4];
		*out++ = digits[device->uuid[i] & 15];
	}
	*out = '\0';
}

/* The one device whose UUID begins so; -1: none, or several. */
static int
find_uuid(const char *name, size_t len, const struct genie_device_info *devices, int count)
{
	char text[UUID_TEXT];
	int found = -1;

	for (int i = 0; i < count; i++) {
		uuid_text(&devices[i], text);
		if (len >= UUID_TEXT || strncasecmp(text, name, len))
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

/* A number and anything behind it, as strtoul reads it; -1: none of the devices. */
static int
find_number(const char *text, const int *natural, int count)
{
	char *end;
	long number = strtol(text, &end, 10);

	return end == text || number < 0 || number >= count ? -1 : natural[number];
}

int
genie_visible_devices(const char *list, bool pci_order, const struct genie_device_info *devices,
		      int count, int ret_order[GENIE_DEVICES_MAX])
{
	int natural[GENIE_DEVICES_MAX], visible = 0;
	bool by_uuid;

	for (int i = 0; i < count; i++)
		natural[i] = i;
	if (pci_order)
		sort_by_pci(devices, count, natural);
	if (!list) {
		memcpy(ret_order, natural, (size_t)count * sizeof(*natural));
		return count;
	}
	while (isspace((unsigned char)*list))
		list++;
	if (!strncmp(list, "MIG-", 4))
		genie_warn("CUDA_VISIBLE_DEVICES names a part of a GPU (MIG); servers give whole "
			   "ones, so no device is visible");
	by_uuid = !strncmp(list, "GPU-", 4);
	while (*list) {
		size_t len = strcspn(list, ",");
		size_t word = len;
		int device;

		while (word && isspace((unsigned char)list[word - 1]))
			word--;
		/* The first one that is wrong ends the list (CUDA programming guide, 5.2.1.1). */
		if (by_uuid)
			device = word > 4 ? find_uuid(list, word, devices, count) : -1;
		else
			device = find_number(list, natural, count);
		if (device < 0)
			break;
		/* The same device twice: none at all, as PyTorch's own reading of the list has
		 * it (torch.cuda._parse_visible_devices). */
		for (int i = 0; i < visible; i++)
			if (ret_order[i] == device)
				return 0;
		ret_order[visible++] = device;
		list += len;
		list += *list == ',';
		while (isspace((unsigned char)*list))
			list++;
	}
	return visible;
}
