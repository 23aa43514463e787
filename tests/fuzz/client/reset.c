/*
 * Putting the client back, for libFuzzer, which runs everything in one process. The client is a
 * shared library here, so its variables are its writable segment.
 *
 * What it leaves behind is freed, too: all of that is legitimate (a session lives as long as its
 * process), but it would add up. Leaks are looked for before, by the sanitizer.
 */
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/client/inside.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- memory ---- */

/* The blocks that are not freed yet, by address: a hash table without chains. Kept out of the
 * library's variables, and disguised: the leak detector must not find them here. */
#define TABLE (1u << 16)

struct left {
	pthread_mutex_t lock; /* guards what follows */
	uintptr_t blocks[TABLE];
	struct {
		uintptr_t addr;
		size_t size;
	} maps[4096];
	unsigned map_count;
};
static struct left *left; /* mapped; NULL before the snapshot */

#define DISGUISE ((uintptr_t)0x5555555555555555)
#define REMOVED  ((uintptr_t)1)

static unsigned
slot_of(uintptr_t block)
{
	return (unsigned)(block >> 4) * 2654435761u >> 16;
}

static void
block_add(void *block)
{
	uintptr_t value = (uintptr_t)block ^ DISGUISE;
	unsigned at = slot_of((uintptr_t)block);

	if (!left || !block)
		return;
	pthread_mutex_lock(&left->lock);
	for (unsigned i = 0; i < TABLE; i++, at++) {
		uintptr_t *place = &left->blocks[at % TABLE];

		if (*place && *place != REMOVED)
			continue;
		*place = value;
		break;
	}
	pthread_mutex_unlock(&left->lock);
}

static void
block_remove(void *block)
{
	uintptr_t value = (uintptr_t)block ^ DISGUISE;
	unsigned at = slot_of((uintptr_t)block);

	if (!left || !block)
		return;
	pthread_mutex_lock(&left->lock);
	for (unsigned i = 0; i < TABLE; i++, at++) {
		uintptr_t *place = &left->blocks[at % TABLE];

		if (!*place)
			break;
		if (*place == value) {
			*place = REMOVED;
			break;
		}
	}
	pthread_mutex_unlock(&left->lock);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_reallocarray(void *block, size_t count, size_t size);
int __real_posix_memalign(void **ret_block, size_t align, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);
int __wrap_posix_memalign(void **ret_block, size_t align, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

void *
__wrap_malloc(size_t size)
{
	void *block = __real_malloc(size);

	block_add(block);
	return block;
}

void *
__wrap_calloc(size_t count, size_t size)
{
	void *block = __real_calloc(count, size);

	block_add(block);
	return block;
}

void *
__wrap_realloc(void *block, size_t size)
{
	void *made;

	block_remove(block);
	made = __real_realloc(block, size);
	block_add(made || !size ? made : block);
	return made;
}

void *
__wrap_reallocarray(void *block, size_t count, size_t size)
{
	void *made;

	block_remove(block);
	made = __real_reallocarray(block, count, size);
	block_add(made ? made : block);
	return made;
}

int
__wrap_posix_memalign(void **ret_block, size_t align, size_t size)
{
	int error = __real_posix_memalign(ret_block, align, size);

	if (!error)
		block_add(*ret_block);
	return error;
}

char *
__wrap_strdup(const char *text)
{
	char *copy = __real_strdup(text);

	block_add(copy);
	return copy;
}

void
__wrap_free(void *block)
{
	block_remove(block);
	__real_free(block);
}

/* ---- mappings ---- */

void *__real_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t size);
void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t size);

static void
map_forget_locked(uintptr_t addr)
{
	for (unsigned i = 0; i < left->map_count; i++)
		if (left->maps[i].addr == addr)
			left->maps[i--] = left->maps[--left->map_count];
}

void *
__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *got = __real_mmap64(addr, size, prot, flags, fd, offset);

	if (!left || got == MAP_FAILED)
		return got;
	pthread_mutex_lock(&left->lock);
	map_forget_locked((uintptr_t)got); /* MAP_FIXED, over one of ours */
	if (left->map_count == sizeof(left->maps) / sizeof(left->maps[0])) {
		fprintf(stderr, "the client maps without end\n");
		abort();
	}
	left->maps[left->map_count].addr = (uintptr_t)got;
	left->maps[left->map_count++].size = size;
	pthread_mutex_unlock(&left->lock);
	return got;
}

int
__wrap_munmap(void *addr, size_t size)
{
	if (left) {
		pthread_mutex_lock(&left->lock);
		map_forget_locked((uintptr_t)addr);
		pthread_mutex_unlock(&left->lock);
	}
	return __real_munmap(addr, size);
}

/* ---- what is made once a process ---- */

int __real_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

static pthread_key_t keys[8];
static void (*key_ends[8])(void *);

int
__wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
	for (unsigned i = 0; i < 8; i++) {
		if (key_ends[i] == end) {
			*key = keys[i];
			return 0;
		}
		if (key_ends[i])
			continue;
		key_ends[i] = end;
		if (__real_pthread_key_create(&keys[i], end))
			abort();
		*key = keys[i];
		return 0;
	}
	abort();
}

/* Nothing forks here. */
int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	(void)prepare;
	(void)parent;
	(void)child;
	return 0;
}

/* ---- variables ---- */

struct part {
	uint8_t *addr, *saved;
	size_t size;
};
#define PARTS 16
static struct part parts[PARTS];
static unsigned part_count;

/* Not ours to put back: what has been covered, and the variables of this file. */
extern uint8_t __start___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[] __attribute__((weak, visibility("hidden")));

__attribute__((no_sanitize("address"))) static void
copy(uint8_t *to, const uint8_t *from, size_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void
part_add(uintptr_t start, uintptr_t end)
{
	const uintptr_t holes[][2] = {
		{(uintptr_t)__start___sancov_cntrs, (uintptr_t)__stop___sancov_cntrs},
		{(uintptr_t)&left, (uintptr_t)(&left + 1)},
		{(uintptr_t)parts, (uintptr_t)(parts + PARTS)},
		{(uintptr_t)&part_count, (uintptr_t)(&part_count + 1)},
		{(uintptr_t)keys, (uintptr_t)(keys + 8)},
		{(uintptr_t)key_ends, (uintptr_t)(key_ends + 8)},
		{(uintptr_t)&fuzz_inside_connect, (uintptr_t)(&fuzz_inside_connect + 1)},
	};

	for (unsigned i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		if (holes[i][0] >= end || holes[i][1] <= start)
			continue;
		if (holes[i][0] > start)
			part_add(start, holes[i][0]);
		if (holes[i][1] < end)
			part_add(holes[i][1], end);
		return;
	}
	if (part_count == sizeof(parts) / sizeof(parts[0]))
		abort();
	parts[part_count++] = (struct part){.addr = (uint8_t *)start, .size = end - start};
}

/* The segment that can be written, without what is read-only once it was relocated. */
static int
library_look(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t here = (uintptr_t)library_look, relro = 0;
	bool is_this = false;

	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + header->p_vaddr;

		if (header->p_type == PT_LOAD && here >= start && here < start + header->p_memsz)
			is_this = true;
		if (header->p_type == PT_GNU_RELRO)
			relro = (start + header->p_memsz) & ~(uintptr_t)4095;
	}
	for (int i = 0; is_this && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + header->p_vaddr;
		uintptr_t end = start + header->p_memsz;

		if (header->p_type == PT_LOAD && header->p_flags & PF_W && end > relro)
			part_add(start > relro ? start : relro, end);
	}
	return is_this;
}

EXPORT void
fuzz_inside_snapshot(void)
{
	uint8_t *saved;

	dl_iterate_phdr(library_look, NULL);
	left = __real_mmap64(NULL, sizeof(*left), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!part_count || left == MAP_FAILED)
		abort();
	pthread_mutex_init(&left->lock, NULL);
	for (unsigned i = 0; i < part_count; i++) {
		/* Not from the heap: what points into it must not count as found. */
		saved = __real_mmap64(NULL, parts[i].size, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (saved == MAP_FAILED)
			abort();
		copy(saved, parts[i].addr, parts[i].size);
		parts[i].saved = saved;
	}
}

/* ---- leaks ---- */

#define TABLE_MAX ((size_t)2 << 30) /* what is larger is a window of addresses */

/* The client keeps pointers in tables that it mapped, which the detector does not look into. Only
 * pages that there are: most of a table is never touched. */
static void
tables_tell(void (*tell)(const void *start, size_t size))
{
	static unsigned char there[TABLE_MAX / 4096];

	for (unsigned i = 0; i < left->map_count; i++) {
		uintptr_t addr = left->maps[i].addr;
		size_t size = left->maps[i].size;

		if (size > TABLE_MAX || mincore((void *)addr, size, there) < 0)
			continue;
		for (size_t page = 0; page < (size + 4095) / 4096; page++)
			if (there[page] & 1)
				tell((void *)(addr + page * 4096), 4096);
	}
}

EXPORT bool
fuzz_inside_leaks(void)
{
	bool found;

	tables_tell(__lsan_register_root_region);
	found = __lsan_do_recoverable_leak_check() != 0;
	tables_tell(__lsan_unregister_root_region);
	return found;
}

EXPORT void
fuzz_inside_reset(void)
{
	for (unsigned i = 0; i < part_count; i++)
		copy(parts[i].addr, parts[i].saved, parts[i].size);
	for (unsigned i = 0; i < TABLE; i++)
		if (left->blocks[i] && left->blocks[i] != REMOVED)
			__real_free((void *)(left->blocks[i] ^ DISGUISE));
	memset(left->blocks, 0, sizeof(left->blocks));
	while (left->map_count > 0) {
		left->map_count--;
		__real_munmap((void *)left->maps[left->map_count].addr,
			      left->maps[left->map_count].size);
	}
}
