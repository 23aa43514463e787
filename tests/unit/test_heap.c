/*
 * The address allocator against a model: what is live never overlaps, lies in mapped memory, is
 * found by every interior address, and is never handed out again without the order that its free
 * needs.
 */
#include "interpose/heap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BASE   UINT64_C(0x200000000000)
#define WINDOW (UINT64_C(8) << 30)
#define PAGES  (WINDOW / GENIE_HEAP_PAGE)

/* What the worker would do, as far as the heap can see it. */
struct model {
	pthread_mutex_t lock;
	uint64_t ticket; /* last command */
	uint64_t fence;  /* last order */
	unsigned int maps, unmaps, orders;
	uint64_t mapped_size[PAGES]; /* by first page: size of the mapping */
	uint8_t mapped[PAGES];
	uint64_t budget; /* what credit() may still grant */
	int map_error;
};

static int
model_map(void *data, uint64_t addr, uint64_t size)
{
	struct model *model = data;
	uint64_t first = (addr - BASE) / GENIE_HEAP_PAGE;

	pthread_mutex_lock(&model->lock);
	cr_assert(model->map_error == 0 || model->map_error == -ENOMEM);
	if (model->map_error != 0) {
		pthread_mutex_unlock(&model->lock);
		return model->map_error;
	}
	for (uint64_t i = 0; i < size / GENIE_HEAP_PAGE; i++) {
		cr_assert(first + i < PAGES && !model->mapped[first + i], "mapped twice");
		model->mapped[first + i] = 1;
	}
	model->mapped_size[first] = size;
	model->ticket++;
	model->maps++;
	pthread_mutex_unlock(&model->lock);
	return 0;
}

static void
model_unmap(void *data, uint64_t addr, uint64_t size)
{
	struct model *model = data;
	uint64_t first = (addr - BASE) / GENIE_HEAP_PAGE;

	pthread_mutex_lock(&model->lock);
	cr_assert_eq(model->mapped_size[first], size, "unmapped in parts");
	model->mapped_size[first] = 0;
	memset(model->mapped + first, 0, size / GENIE_HEAP_PAGE);
	model->ticket++;
	model->unmaps++;
	pthread_mutex_unlock(&model->lock);
}

static uint64_t
model_now(void *data)
{
	struct model *model = data;
	uint64_t ticket;

	pthread_mutex_lock(&model->lock);
	ticket = model->ticket;
	pthread_mutex_unlock(&model->lock);
	return ticket;
}

static bool
model_ordered(void *data, uint64_t ticket)
{
	struct model *model = data;
	bool ordered;

	pthread_mutex_lock(&model->lock);
	ordered = ticket <= model->fence;
	pthread_mutex_unlock(&model->lock);
	return ordered;
}

static int
model_order(void *data, uint64_t ticket)
{
	struct model *model = data;

	pthread_mutex_lock(&model->lock);
	cr_assert(ticket <= model->ticket);
	model->fence = ++model->ticket;
	model->orders++;
	pthread_mutex_unlock(&model->lock);
	return 0;
}

static uint64_t
model_credit(void *data, uint64_t want)
{
	struct model *model = data;
	uint64_t granted;

	pthread_mutex_lock(&model->lock);
	granted = want < model->budget ? want : model->budget;
	model->budget -= granted;
	pthread_mutex_unlock(&model->lock);
	return granted;
}

static const struct genie_heap_ops model_ops = {
	.map = model_map,
	.unmap = model_unmap,
	.now = model_now,
	.ordered = model_ordered,
	.order = model_order,
	.credit = model_credit,
};

static struct model model;
static struct genie_heap heap;

static void
setup(uint64_t credit, uint64_t cache)
{
	memset(&model, 0, sizeof(model));
	pthread_mutex_init(&model.lock, NULL);
	cr_assert_eq(genie_heap_init(&heap, BASE, WINDOW, credit, cache, 512, &model_ops, &model),
		     0);
}

static uint64_t
alloc(uint64_t size)
{
	struct genie_block_info info = {.type = 1};
	uint64_t addr = 0;

	return genie_heap_alloc(&heap, size, &info, 0, &addr) == 0 ? addr : 0;
}

static int
release(uint64_t addr)
{
	struct genie_block_info info;

	return genie_heap_free(&heap, addr, 0, &info);
}

Test(heap, classes_cover_all_small_sizes)
{
	for (uint64_t size = 1; size <= GENIE_HEAP_SMALL_MAX; size += size < 9000 ? 1 : 509) {
		unsigned int index = genie_heap_class(size);

		cr_assert(index < GENIE_HEAP_CLASSES);
		cr_assert(genie_heap_class_size(index) >= size);
		cr_assert(index == 0 || genie_heap_class_size(index - 1) < size);
		cr_assert(genie_heap_class_size(index) % 512 == 0);
	}
	cr_assert_eq(genie_heap_class_size(GENIE_HEAP_CLASSES - 1), GENIE_HEAP_SMALL_MAX);
	cr_assert_eq(genie_heap_class_size(GENIE_HEAP_CLASSES), 0);
}

Test(heap, pairs_send_nothing)
{
	setup(WINDOW, 1 << 30);
	for (int large = 0; large < 2; large++) {
		uint64_t size = large ? 64 << 20 : 100;

		for (int i = 0; i < 10000; i++) {
			uint64_t addr = alloc(size);

			cr_assert_neq(addr, 0);
			cr_assert_eq(release(addr), 0);
		}
	}
	cr_assert_eq(model.maps, 2);
	cr_assert_eq(model.unmaps, 0);
	/* No work came between, so one order at most for each reused piece of memory. */
	cr_assert(model.orders <= 2, "%u orders", model.orders);
	genie_heap_fini(&heap);
}

Test(heap, work_between_is_ordered_in_batches)
{
	setup(WINDOW, 1 << 30);
	for (int i = 0; i < 10000; i++) {
		uint64_t addr = alloc(512);

		model.ticket++; /* a launch that uses it */
		cr_assert_eq(release(addr), 0);
	}
	/* 4096 slots are used one after the other before the first is used again. */
	cr_assert(model.orders <= 3, "%u orders", model.orders);
	genie_heap_fini(&heap);
}

Test(heap, stream_order_needs_no_order)
{
	struct genie_block_info info = {0};
	uint64_t addr;

	setup(WINDOW, 1 << 30);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(genie_heap_alloc(&heap, 32 << 20, &info, 7, &addr), 0);
		model.ticket++;
		cr_assert_eq(genie_heap_free(&heap, addr, 7, &info), 0);
	}
	cr_assert_eq(model.orders, 0);
	cr_assert_eq(genie_heap_alloc(&heap, 32 << 20, &info, 8, &addr), 0);
	cr_assert_eq(model.orders, 1, "another stream must be ordered");
	genie_heap_fini(&heap);
}

Test(heap, refuses_what_is_not_a_block)
{
	uint64_t small, large;

	setup(WINDOW, 1 << 30);
	small = alloc(1000);
	large = alloc(10 << 20);
	cr_assert_eq(small % 512, 0);
	cr_assert_eq(release(small + 512), -EINVAL);
	cr_assert_eq(release(large + GENIE_HEAP_PAGE), -EINVAL);
	cr_assert_eq(release(BASE - 512), -EINVAL);
	cr_assert_eq(release(BASE + WINDOW), -EINVAL);
	cr_assert_eq(release(0), -EINVAL);
	cr_assert_eq(release(small), 0);
	cr_assert_eq(release(small), -EINVAL, "double free");
	cr_assert_eq(release(large), 0);
	cr_assert_eq(release(large), -EINVAL, "double free");
	genie_heap_fini(&heap);
}

Test(heap, pressure_trims_then_asks_then_fails)
{
	uint64_t a, b;

	setup(64 << 20, 64 << 20);
	model.budget = 16 << 20;
	a = alloc(32 << 20);
	b = alloc(32 << 20);
	cr_assert(a != 0 && b != 0);
	cr_assert_eq(release(a), 0);
	cr_assert_eq(model.unmaps, 0, "stays cached");
	a = alloc(48 << 20); /* 32 from the cache, 16 from the worker */
	cr_assert_neq(a, 0);
	cr_assert_eq(model.unmaps, 1);
	cr_assert_eq(alloc(2 << 20), 0, "nothing left");
	cr_assert_eq(release(b), 0);
	cr_assert_neq(alloc(512), 0);
	cr_assert_eq(alloc(UINT64_MAX), 0);
	cr_assert_eq(alloc(WINDOW + 1), 0);
	genie_heap_fini(&heap);
}

Test(heap, pressure_takes_the_spare_pages_of_small_blocks)
{
	uint64_t addrs[GENIE_HEAP_CLASSES];

	setup(80 << 20, 80 << 20);
	for (unsigned int i = 0; i < GENIE_HEAP_CLASSES; i++) {
		addrs[i] = alloc(genie_heap_class_size(i));
		cr_assert_neq(addrs[i], 0);
	}
	cr_assert_eq(alloc(2 << 20), 0);
	for (unsigned int i = 0; i < GENIE_HEAP_CLASSES; i++)
		cr_assert_eq(release(addrs[i]), 0);
	cr_assert_neq(alloc(80 << 20), 0);
	genie_heap_fini(&heap);
}

/* What was unmapped is not this heap's for ever, and what is cached is only given up when there is
 * no more to be had. */
Test(heap, credit_goes_back)
{
	uint64_t large, addrs[20];

	setup(2ull << 30, 4ull << 30);
	large = alloc(1ull << 30);
	cr_assert_eq(heap.credit, 1ull << 30);
	cr_assert_eq(release(large), 0);
	genie_heap_trim(&heap, 0);
	cr_assert_eq(heap.credit, GENIE_CREDIT_MAX);
	model.budget = 600 << 20;
	for (int i = 0; i < 20; i++)
		cr_assert_neq(addrs[i] = alloc((10 + i) << 20), 0);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(release(addrs[i]), 0);
	model.unmaps = 0;
	cr_assert_neq(large = alloc(100 << 20), 0);
	cr_assert_eq(model.unmaps, 0, "asked first");
	model.budget = 0;
	cr_assert_neq(alloc(200 << 20), 0);
	cr_assert_gt(model.unmaps, 0);
	cr_assert_eq(alloc(4ull << 30), 0);
	genie_heap_fini(&heap);
}

Test(heap, failed_map_leaves_nothing)
{
	setup(WINDOW, 1 << 30);
	model.map_error = -ENOMEM;
	cr_assert_eq(alloc(100), 0);
	cr_assert_eq(alloc(100 << 20), 0);
	model.map_error = 0;
	cr_assert_eq(heap.mapped, 0);
	cr_assert_eq(heap.credit, WINDOW);
	cr_assert_neq(alloc(WINDOW), 0);
	genie_heap_fini(&heap);
}

Test(heap, cache_is_bounded)
{
	uint64_t addrs[600];

	setup(WINDOW, 64 << 20);
	for (int i = 0; i < 600; i++)
		addrs[i] = alloc(2 << 20);
	for (int i = 0; i < 600; i++)
		cr_assert_eq(release(addrs[i]), 0);
	cr_assert(heap.cache_bytes <= 64 << 20);
	genie_heap_trim(&heap, 0);
	cr_assert_eq(heap.mapped, 0);
	cr_assert_eq(model.maps, model.unmaps);
	genie_heap_fini(&heap);
}

struct live {
	uint64_t addr, size, id;
};

static void
count_block(const struct genie_block_info *info, void *data)
{
	uint64_t *sums = data;

	sums[0]++;
	sums[1] += info->size;
}

static uint64_t
random_size(unsigned int *seed)
{
	switch (rand_r(seed) % 4) {
	case 0:
		return 1 + rand_r(seed) % 2048;
	case 1:
		return 1 + rand_r(seed) % (1 << 20);
	case 2:
		return 1 + rand_r(seed) % (8 << 20);
	default:
		return (1 + rand_r(seed) % 32) * GENIE_HEAP_PAGE;
	}
}

static void
check_found(const struct live *live, unsigned int *seed)
{
	struct genie_block_info info;
	uint64_t offset = ((uint64_t)rand_r(seed) << 20 ^ (uint64_t)rand_r(seed)) % live->size;

	cr_assert(genie_heap_find(&heap, live->addr + offset, &info));
	cr_assert(info.base == live->addr && info.size == live->size && info.id == live->id);
	cr_assert(model.mapped[(live->addr + offset - BASE) / GENIE_HEAP_PAGE]);
	if (genie_heap_find(&heap, live->addr + live->size, &info))
		cr_assert_eq(info.base, live->addr + live->size);
}

static int
by_addr(const void *a, const void *b)
{
	const struct live *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

Test(heap, torture)
{
	enum { MAX = 400 };
	static struct live live[MAX], sorted[MAX];
	unsigned int seed = 20251122, count = 0;

	setup(2u << 30, 256 << 20);
	for (int round = 0; round < 200000; round++) {
		struct genie_block_info info = {.type = 1};

		model.ticket++;
		if (count < MAX && rand_r(&seed) % 100 < (count < 200 ? 60 : 45)) {
			struct live *new = &live[count];

			new->size = random_size(&seed);
			new->addr = alloc(new->size);
			if (new->addr == 0)
				continue;
			cr_assert(genie_heap_find(&heap, new->addr, &info));
			new->id = info.id;
			count++;
		} else if (count > 0) {
			unsigned int i = rand_r(&seed) % count;

			check_found(&live[i], &seed);
			cr_assert_eq(release(live[i].addr), 0);
			cr_assert(!genie_heap_find(&heap, live[i].addr, &info));
			live[i] = live[--count];
		}
		if (round % 5000 == 0) {
			uint64_t sums[2] = {0}, expected = 0;

			memcpy(sorted, live, count * sizeof(*live));
			qsort(sorted, count, sizeof(*sorted), by_addr);
			for (unsigned int i = 0; i < count; i++) {
				expected += sorted[i].size;
				if (i + 1 < count)
					cr_assert(sorted[i].addr + sorted[i].size <=
						  sorted[i + 1].addr);
			}
			genie_heap_each(&heap, count_block, sums);
			cr_assert_eq(sums[0], count);
			cr_assert_eq(sums[1], expected);
			cr_assert_eq(heap.live_blocks, count);
		}
	}
	while (count > 0)
		cr_assert_eq(release(live[--count].addr), 0);
	cr_assert_eq(heap.live, 0);
	genie_heap_trim(&heap, 0);
	cr_assert_eq(heap.mapped, 0);
	cr_assert_leq(heap.credit, 2u << 30);
	genie_heap_fini(&heap);
}

static void *
hammer(void *data)
{
	unsigned int seed = (unsigned int)(uintptr_t)data;
	uint64_t held[32] = {0};

	for (int i = 0; i < 20000; i++) {
		unsigned int slot = rand_r(&seed) % 32;
		struct genie_block_info info = {0};

		if (held[slot] == 0) {
			held[slot] = alloc(random_size(&seed));
		} else {
			cr_assert(genie_heap_find(&heap, held[slot] + info.size / 2, &info));
			cr_assert_eq(info.base, held[slot]);
			cr_assert_eq(release(held[slot]), 0);
			held[slot] = 0;
		}
	}
	for (int i = 0; i < 32; i++) {
		if (held[i] != 0)
			cr_assert_eq(release(held[i]), 0);
	}
	return NULL;
}

Test(heap, threads)
{
	pthread_t threads[4];

	setup(2u << 30, 64 << 20);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(heap.live, 0);
	genie_heap_trim(&heap, 0);
	cr_assert_leq(heap.credit, 2u << 30);
	genie_heap_fini(&heap);
}
