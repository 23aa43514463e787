/* What the CPU device says of itself: shared by the driver's and the NVML table. */
#ifndef GENIE_REMOTE_DEVICE_CPU_IDENTITY_H
#define GENIE_REMOTE_DEVICE_CPU_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define GENIE_CPU_DRIVER_VERSION    13050
#define GENIE_CPU_PCI_BUS           0xfe /* no machine's root complex gives out that many */
#define GENIE_CPU_DEVICES_MAX       16   /* the n-th is device n of that bus */
#define GENIE_CPU_PRIORITY_GREATEST (-5)

/* "Genie CPU device (16 cores)" */
void genie_cpu_identity_name(char *name, size_t size);
/* How many devices there are: GENIE_CPU_DEVICES, else one. */
int genie_cpu_identity_count(void);
/* The same on every run on this machine. */
void genie_cpu_identity_uuid(int device, uint8_t uuid[16]);
/* Bytes each of @count devices offers: GENIE_CPU_MEMORY (a number, K, M, G or T), else its part of
 * half of the memory. */
size_t genie_cpu_identity_memory(int count);
/* Of the first core. */
int genie_cpu_identity_clock_khz(void);

#endif
