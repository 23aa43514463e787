/* MD2 against the vectors of RFC 1319, HMAC against its definition, the constant answers. */
#include "interpose/integrity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void
md2_hex(const char *text, char hex[33])
{
	struct genie_md2 md2;
	uint8_t digest[16];

	genie_md2_init(&md2);
	genie_md2_update(&md2, text, strlen(text));
	genie_md2_final(&md2, digest);
	for (int i = 0; i < 16; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
}

Test(integrity, md2_vectors)
{
	static const char *const vectors[][2] = {
		{"", "8350e5a3e24c153df2275c9f80692773"},
		{"a", "32ec01ec4a6dac72c0ab96fb34c0b5d1"},
		{"abc", "da853b0d3f88d99b30283a69e6ded6bb"},
		{"message digest", "ab4f496bfb2a530b219ff33031fe06b0"},
		{"abcdefghijklmnopqrstuvwxyz", "4e8ddff3650292ab5a4108c3aa47940b"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		 "da33def2a42df13975352846c30338cd"},
		{"1234567890123456789012345678901234567890123456789012345678901234567890123456789"
		 "0",
		 "d5976f79d83d3a0dc9806c3c66f3efd8"},
	};
	char hex[33];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		md2_hex(vectors[i][0], hex);
		cr_assert_str_eq(hex, vectors[i][1]);
	}
}

Test(integrity, md2_in_pieces)
{
	uint8_t whole[16], pieces[16];
	struct genie_md2 md2;
	char data[100];

	memset(data, 'x', sizeof(data));
	genie_md2_init(&md2);
	genie_md2_update(&md2, data, sizeof(data));
	genie_md2_final(&md2, whole);
	genie_md2_init(&md2);
	for (size_t i = 0; i < sizeof(data); i++)
		genie_md2_update(&md2, data + i, 1);
	genie_md2_final(&md2, pieces);
	cr_assert_arr_eq(whole, pieces, sizeof(whole));
}

Test(integrity, hmac_is_rfc_2104)
{
	static const uint8_t key[16] = "0123456789abcdef";
	uint8_t inner_pad[16], outer_pad[16], inner[16], expected[16], digest[16];
	struct genie_hmac_md2 hmac;
	struct genie_md2 md2;

	for (int i = 0; i < 16; i++) {
		inner_pad[i] = key[i] ^ 0x36;
		outer_pad[i] = key[i] ^ 0x5c;
	}
	genie_md2_init(&md2);
	genie_md2_update(&md2, inner_pad, sizeof(inner_pad));
	genie_md2_update(&md2, "text", 4);
	genie_md2_final(&md2, inner);
	genie_md2_init(&md2);
	genie_md2_update(&md2, outer_pad, sizeof(outer_pad));
	genie_md2_update(&md2, inner, sizeof(inner));
	genie_md2_final(&md2, expected);

	genie_hmac_md2_init(&hmac, key, sizeof(key));
	genie_md2_update(&hmac.inner, "text", 4);
	genie_hmac_md2_final(&hmac, digest);
	cr_assert_arr_eq(digest, expected, sizeof(digest));
}

Test(integrity, constant_answers)
{
	struct genie_integrity_message message = {.version = 13000};
	uint64_t answer[2];

	genie_integrity_answer(&message, NULL, 0, answer);
	cr_assert_eq(answer[0], UINT64_C(0x3341181c03cb675c));
	cr_assert_eq(answer[1], UINT64_C(0x8ed383aa1f4cd1e8));
	message.version = 13001;
	genie_integrity_answer(&message, NULL, 0, answer);
	cr_assert_eq(answer[0], UINT64_C(0x1841181c03cb675c));
}

Test(integrity, signed_answer_depends_on_everything)
{
	struct genie_integrity_message message = {.version = 13002, .unix_time = 1};
	struct genie_integrity_device device = {.pci_bus = 1};
	uint64_t first[2], second[2];

	genie_integrity_answer(&message, &device, 1, first);
	genie_integrity_answer(&message, &device, 1, second);
	cr_assert_eq(first[0], second[0]);
	device.pci_bus = 2;
	genie_integrity_answer(&message, &device, 1, second);
	cr_assert_neq(first[0], second[0]);
	device.pci_bus = 1;
	message.unix_time = 2;
	genie_integrity_answer(&message, &device, 1, second);
	cr_assert_neq(first[0], second[0]);
}
