/* What the CPU device says of itself: shared by the driver's and the NVML table. */
#ifndef GENIE_REMOTE_DEVICE_CPU_IDENTITY_H
#define GENIE_REMOTE_DEVICE_CPU_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define GENIE_CPU_DRIVER_VERSION    13000
#define GENIE_CPU_PCI_BUS           0xfe /* no machine's root complex gives out that many */
#define GENIE_CPU_PCI_BUS_ID        "0000:FE:00.0"
#define GENIE_CPU_PRIORITY_GREATEST (-5)

/* "Genie CPU device (16 cores)" */
void genie_cpu_identity_name(char *name, size_t size);
/* The same on every run on this machine. */
void genie_cpu_identity_uuid(uint8_t uuid[16]);
/* Bytes the device offers: GENIE_CPU_MEMORY (a number, K, M, G or T), else half of the memory. */
size_t genie_cpu_identity_memory(void);
/* Of the first core. */
int genie_cpu_identity_clock_khz(void);

#endif
