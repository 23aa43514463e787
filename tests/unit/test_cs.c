/* The bounded cursors and the pool. */
#include "wire/cs.h"

#include <criterion/criterion.h>
#include <string.h>

Test(writer, pads_items_with_zeros)
{
	uint8_t buf[16];
	struct genie_writer writer;

	memset(buf, 0xff, sizeof(buf));
	genie_writer_init(&writer, buf, sizeof(buf));
	genie_writer_put(&writer, "abcde", 5);
	cr_assert_eq(genie_writer_len(&writer), 8);
	genie_writer_put(&writer, "f", 1);
	genie_writer_align(&writer, 8);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), 16);
	cr_assert_arr_eq(buf, "abcde\0\0\0f\0\0\0\0\0\0\0", 16);
}

Test(writer, failure_is_sticky_and_writes_nothing)
{
	uint8_t buf[8] = {0};
	struct genie_writer writer;

	genie_writer_init(&writer, buf, sizeof(buf));
	genie_writer_put(&writer, "123456789", 9);
	cr_assert(writer.fatal);
	genie_writer_put(&writer, "1", 1);
	cr_assert(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), 0);
	cr_assert_eq(buf[0], 0);
}

Test(writer, size_near_the_top_of_memory_does_not_wrap)
{
	uint8_t buf[8];
	struct genie_writer writer;

	genie_writer_init(&writer, buf, sizeof(buf));
	genie_writer_put(&writer, buf, SIZE_MAX - 1);
	cr_assert(writer.fatal);
}

Test(writer, align_beyond_the_end_fails)
{
	uint8_t buf[12];
	struct genie_writer writer;

	genie_writer_init(&writer, buf, sizeof(buf));
	genie_writer_put(&writer, "123456789012", 12);
	genie_writer_align(&writer, 8);
	cr_assert(writer.fatal);
}

Test(writer, nothing_into_nothing)
{
	struct genie_writer writer;

	genie_writer_init(&writer, NULL, 0);
	genie_writer_put(&writer, NULL, 0);
	genie_writer_align(&writer, 8);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), 0);
}

Test(reader, takes_what_the_writer_put)
{
	uint8_t buf[16] = "abcde\0\0\0wxyz";
	struct genie_reader reader;
	char text[5];

	genie_reader_init(&reader, buf, sizeof(buf));
	genie_reader_get(&reader, text, 5);
	cr_assert_arr_eq(text, "abcde", 5);
	cr_assert_eq(genie_reader_take(&reader, 4), buf + 8);
	genie_reader_align(&reader, 8);
	genie_reader_end(&reader);
	cr_assert_not(reader.fatal);
}

Test(reader, a_short_message_gives_zeros_and_says_why)
{
	uint8_t buf[4] = {1, 2, 3, 4};
	struct genie_reader reader;
	uint64_t value = 77;

	genie_reader_init(&reader, buf, sizeof(buf));
	genie_reader_get(&reader, &value, sizeof(value));
	cr_assert_eq(value, 0);
	cr_assert(reader.fatal);
	cr_assert_str_eq(reader.why, "cut short");
	cr_assert_null(genie_reader_take(&reader, 0));
}

Test(reader, the_first_reason_stays)
{
	struct genie_reader reader;

	genie_reader_init(&reader, NULL, 0);
	genie_reader_fail(&reader, "first");
	genie_reader_fail(&reader, "second");
	cr_assert_str_eq(reader.why, "first");
}

Test(reader, size_near_the_top_of_memory_does_not_wrap)
{
	uint8_t buf[8] = {0};
	struct genie_reader reader;

	genie_reader_init(&reader, buf, sizeof(buf));
	cr_assert_null(genie_reader_take(&reader, SIZE_MAX));
	cr_assert(reader.fatal);
}

Test(reader, padding_must_be_there)
{
	uint8_t buf[5] = {0};
	struct genie_reader reader;

	genie_reader_init(&reader, buf, sizeof(buf));
	cr_assert_null(genie_reader_take(&reader, 5));
	cr_assert(reader.fatal);
}

Test(reader, what_is_left_over_is_an_error)
{
	uint8_t buf[8] = {0};
	struct genie_reader reader;

	genie_reader_init(&reader, buf, sizeof(buf));
	genie_reader_take(&reader, 4);
	genie_reader_end(&reader);
	cr_assert(reader.fatal);
}

Test(pool, gives_aligned_zeros_until_it_is_used_up)
{
	uint8_t buf[1024];
	struct genie_pool pool;
	uint8_t *first, *second;

	memset(buf, 0xff, sizeof(buf));
	genie_pool_init(&pool, buf + 1, sizeof(buf) - 1);
	first = genie_pool_alloc(&pool, 100);
	second = genie_pool_alloc(&pool, 0);
	cr_assert_not_null(first);
	cr_assert_not_null(second);
	cr_assert_eq((uintptr_t)first % GENIE_POOL_ALIGN, 0);
	cr_assert_eq(second, first + 128);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(first[i], 0);
	cr_assert_null(genie_pool_alloc(&pool, 1024));
	cr_assert_null(genie_pool_alloc(&pool, SIZE_MAX));
	cr_assert_eq(genie_pool_alloc(&pool, 1), first + 128);
	genie_pool_reset(&pool);
	first[0] = 1;
	cr_assert_eq(genie_pool_alloc(&pool, 1), first);
	cr_assert_eq(first[0], 0);
}

Test(pool, smaller_than_its_alignment)
{
	uint8_t buf[8];
	struct genie_pool pool;

	genie_pool_init(&pool, buf + 1, 2);
	cr_assert_null(genie_pool_alloc(&pool, 1));
}
