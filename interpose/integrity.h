/*
 * The question a CUDA runtime asks to learn whether the driver below it is the one it was built
 * for. Without the right answer the vendor's runtime refuses to work
 * (cudaErrorSoftwareValidityNotEstablished), so an implementation of the driver interface has to
 * know it; docs/interoperability.md says where the facts come from.
 */
#ifndef GENIE_INTERPOSE_INTEGRITY_H
#define GENIE_INTERPOSE_INTEGRITY_H

#include <stddef.h>
#include <stdint.h>

struct genie_md2 {
	uint8_t state[48];
	uint8_t checksum[16];
	uint8_t block[16];
	unsigned int used; /* bytes in block */
	uint8_t last;      /* last checksum byte */
};

/* MD2 as in RFC 1319. */
void genie_md2_init(struct genie_md2 *md2);
void genie_md2_update(struct genie_md2 *md2, const void *data, size_t len);
void genie_md2_final(struct genie_md2 *md2, uint8_t digest[16]);

/* HMAC over MD2 (RFC 2104), for keys of at most 16 bytes. */
struct genie_hmac_md2 {
	struct genie_md2 inner, outer;
};
void genie_hmac_md2_init(struct genie_hmac_md2 *hmac, const void *key, size_t len);
void genie_hmac_md2_final(struct genie_hmac_md2 *hmac, uint8_t digest[16]);

/* What is signed, in this order, followed by one struct genie_integrity_device per device. */
struct genie_integrity_message {
	uint32_t driver_version;
	uint32_t version; /* as asked */
	uint32_t pid;
	uint32_t thread; /* low half of pthread_self() */
	uint64_t cudart_interface, integrity_check, integrity_function; /* addresses */
	uint64_t unix_time;
};
struct genie_integrity_device {
	uint8_t uuid[16];
	int32_t pci_domain, pci_bus, pci_device;
};

/* The answer for @version; @devices may be NULL when @count is 0. */
void genie_integrity_answer(const struct genie_integrity_message *message,
			    const struct genie_integrity_device *devices, size_t count,
			    uint64_t ret_answer[2]);

#endif
