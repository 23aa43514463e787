#include "interpose/integrity.h"

#include <string.h>

#include "md2_sbox.h"

#define MD2_BLOCK  16
#define MD2_ROUNDS 18

void
genie_md2_init(struct genie_md2 *md2)
{
	memset(md2, 0, sizeof(*md2));
}

/* RFC 1319, 3.2 and 3.4: one full block into the checksum and the state. */
static void
md2_block(struct genie_md2 *md2)
{
	unsigned int t = 0;

	for (unsigned int i = 0; i < MD2_BLOCK; i++) {
		md2->checksum[i] ^= md2_sbox[md2->block[i] ^ md2->last];
		md2->last = md2->checksum[i];
	}
	for (unsigned int i = 0; i < MD2_BLOCK; i++) {
		md2->state[MD2_BLOCK + i] = md2->block[i];
		md2->state[2 * MD2_BLOCK + i] = md2->block[i] ^ md2->state[i];
	}
	for (unsigned int round = 0; round < MD2_ROUNDS; round++) {
		for (unsigned int i = 0; i < sizeof(md2->state); i++) {
			md2->state[i] ^= md2_sbox[t];
			t = md2->state[i];
		}
		t = (t + round) & 0xff;
	}
	md2->used = 0;
}

void
genie_md2_update(struct genie_md2 *md2, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		md2->block[md2->used++] = bytes[i];
		if (md2->used == MD2_BLOCK)
			md2_block(md2);
	}
}

void
genie_md2_final(struct genie_md2 *md2, uint8_t digest[16])
{
	uint8_t padding[MD2_BLOCK], checksum[MD2_BLOCK];
	unsigned int n = MD2_BLOCK - md2->used;

	memset(padding, (int)n, n);
	genie_md2_update(md2, padding, n);
	memcpy(checksum, md2->checksum, sizeof(checksum));
	genie_md2_update(md2, checksum, sizeof(checksum));
	memcpy(digest, md2->state, MD2_BLOCK);
}

void
genie_hmac_md2_init(struct genie_hmac_md2 *hmac, const void *key, size_t len)
{
	uint8_t inner[MD2_BLOCK], outer[MD2_BLOCK];

	memset(inner, 0x36, sizeof(inner));
	memset(outer, 0x5c, sizeof(outer));
	for (size_t i = 0; i < len && i < MD2_BLOCK; i++) {
		inner[i] ^= ((const uint8_t *)key)[i];
		outer[i] ^= ((const uint8_t *)key)[i];
	}
	genie_md2_init(&hmac->inner);
	genie_md2_update(&hmac->inner, inner, sizeof(inner));
	genie_md2_init(&hmac->outer);
	genie_md2_update(&hmac->outer, outer, sizeof(outer));
}

void
genie_hmac_md2_final(struct genie_hmac_md2 *hmac, uint8_t digest[16])
{
	uint8_t inner[16];

	genie_md2_final(&hmac->inner, inner);
	genie_md2_update(&hmac->outer, inner, sizeof(inner));
	genie_md2_final(&hmac->outer, digest);
}

void
genie_integrity_answer(const struct genie_integrity_message *message,
		       const struct genie_integrity_device *devices, size_t count,
		       uint64_t ret_answer[2])
{
	static const uint8_t key[] = {0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
				      0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};
	struct genie_hmac_md2 hmac;
	uint8_t digest[16];

	_Static_assert(sizeof(*message) == 48, "the signed message has no padding");
	_Static_assert(sizeof(*devices) == 28, "the signed message has no padding");

	/* The first two questions of the handshake have constant answers. */
	if (message->version % 10 < 2) {
		ret_answer[0] = message->version % 10 ? UINT64_C(0x1841181c03cb675c)
						      : UINT64_C(0x3341181c03cb675c);
		ret_answer[1] = UINT64_C(0x8ed383aa1f4cd1e8);
		return;
	}
	genie_hmac_md2_init(&hmac, key, sizeof(key));
	genie_md2_update(&hmac.inner, message, sizeof(*message));
	genie_md2_update(&hmac.inner, devices, count * sizeof(*devices));
	genie_hmac_md2_final(&hmac, digest);
	memcpy(ret_answer, digest, sizeof(digest));
}
