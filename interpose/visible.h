/*
 * CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER: which of the server's devices the program sees, and
 * in what order.
 */
#ifndef GENIE_INTERPOSE_VISIBLE_H
#define GENIE_INTERPOSE_VISIBLE_H

#include "interpose/client.h"

/*
 * What a program that sets CUDA_VISIBLE_DEVICES to @list (NULL: not set) sees: @ret_order[n] is the
 * server's number of its device n. @pci_order: numbers in the list are by PCI address
 * (CUDA_DEVICE_ORDER=PCI_BUS_ID), not by the server's order. Returns how many there are.
 */
int genie_visible_devices(const char *list, bool pci_order, const struct genie_device_info *devices,
			  int count, int ret_order[GENIE_DEVICES_MAX]);

#endif
