/* The copy crew: every byte arrives, from several threads at once, whatever the length. */
#include "transport/crew.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SIZE    (1u << 20)
#define ROUNDS  200
#define THREADS 3

static void
fill(uint8_t *bytes, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 9) + seed);
}

static void
copy_and_look(struct genie_crew *crew, unsigned rounds)
{
	static const size_t lens[] = {0, 1, 4096, 262143, 262144, 262145, 393217, SIZE - 1, SIZE};
	uint8_t *src = malloc(SIZE), *dst = malloc(SIZE + 1);

	for (unsigned i = 0; i < rounds; i++) {
		size_t len = lens[i % (sizeof(lens) / sizeof(lens[0]))];

		fill(src, len, i);
		memset(dst, 0xee, SIZE + 1);
		genie_crew_copy(crew, dst, src, len);
		cr_assert(!memcmp(dst, src, len), "round %u, %zu bytes", i, len);
		cr_assert_eq(dst[len], 0xee, "round %u: a byte too many", i);
	}
	free(src);
	free(dst);
}

Test(crew, copies)
{
	for (int threads = -1; threads <= GENIE_CREW_MAX + 1; threads++) {
		struct genie_crew crew = {0};

		genie_crew_init(&crew, threads);
		cr_assert_leq(crew.wanted, GENIE_CREW_MAX);
		copy_and_look(&crew, ROUNDS);
		cr_assert_eq(crew.started, crew.wanted);
		genie_crew_fini(&crew);
	}
}

static void *
copy_thread(void *data)
{
	copy_and_look(data, ROUNDS);
	return NULL;
}

Test(crew, several_threads)
{
	struct genie_crew crew = {0};
	pthread_t threads[THREADS];

	genie_crew_init(&crew, 2);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, copy_thread, &crew);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	genie_crew_fini(&crew);
}
