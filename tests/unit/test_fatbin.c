/* Images: recognised, picked from, taken apart; damaged ones refused. Kernel layouts. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fatbin.h"
#include "wire/proto.h"

/* ---- fat binaries made here ---- */

struct builder {
	uint8_t data[65536];
	size_t size;
};

static void
start(struct builder *b)
{
	static const uint8_t header[16] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0};

	memset(b, 0, sizeof(*b));
	memcpy(b->data, header, sizeof(header));
	b->size = sizeof(header);
}

static void
add(struct builder *b, uint16_t kind, uint32_t arch, uint64_t flags, const void *payload,
    size_t size)
{
	uint8_t *entry = b->data + b->size;
	uint8_t packed[32768];
	size_t stored = size, padded;
	uint32_t value;
	uint64_t wide;

	memcpy(packed, payload, size);
	if (flags & GENIE_ENTRY_ZSTD)
		stored = ZSTD_compress(packed, sizeof(packed), payload, size, 3);
	if (flags & GENIE_ENTRY_LZ4)
		stored = (size_t)LZ4_compress_default(payload, (char *)packed, (int)size,
						      sizeof(packed));
	padded = (stored + 7) & ~(size_t)7;
	memcpy(entry, &kind, 2);
	entry[2] = entry[3] = 1;
	value = 64;
	memcpy(entry + 4, &value, 4);
	wide = padded;
	memcpy(entry + 8, &wide, 8);
	if (stored != size || flags & (GENIE_ENTRY_ZSTD | GENIE_ENTRY_LZ4)) {
		value = (uint32_t)stored;
		memcpy(entry + 16, &value, 4);
		wide = size;
		memcpy(entry + 56, &wide, 8);
	}
	memcpy(entry + 28, &arch, 4);
	memcpy(entry + 40, &flags, 8);
	memcpy(entry + 64, packed, stored);
	b->size += 64 + padded;
	wide = b->size - 16;
	memcpy(b->data + 8, &wide, 8);
}

static const char text[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
			   ".visible .entry k(.param .u64 a, .param .u32 n) { ret; }\n";

/* Architecture (and letter) of the entry a device takes; "-" for none. */
static const char *
picked(const struct builder *b, uint32_t kinds, int cc)
{
	static char name[32];
	struct genie_image image;
	struct genie_image_entry entry;

	cr_assert_eq(genie_image_open(&image, b->data, b->size), 0);
	if (genie_image_pick(&image, kinds, cc / 10, cc % 10, &entry) < 0)
		return "-";
	snprintf(name, sizeof(name), "%s%u%s", entry.kind == GENIE_ENTRY_PTX ? "ptx" : "elf",
		 entry.arch,
		 entry.flags & GENIE_ENTRY_ARCH     ? "a"
		 : entry.flags & GENIE_ENTRY_FAMILY ? "f"
						    : "");
	return name;
}

Test(fatbin, picks_what_fits)
{
	struct builder b;

	start(&b);
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS | GENIE_IMAGE_PTX, 90), "-");
	add(&b, 2, 75, 0, "x", 1);
	add(&b, 2, 80, 0, "x", 1);
	add(&b, 2, 86, 0, "x", 1);
	add(&b, 2, 90, 0, "x", 1);
	add(&b, 2, 90, GENIE_ENTRY_ARCH, "x", 1);
	add(&b, 2, 100, GENIE_ENTRY_FAMILY, "x", 1);
	add(&b, 1, 70, 0, text, sizeof(text));
	add(&b, 1, 90, 0, text, sizeof(text));
	add(&b, 1, 120, GENIE_ENTRY_ARCH, text, sizeof(text));
	add(&b, 7, 90, 0, "unknown kind", 12);
	/* machine code: the same major version, not a later minor one, the nearest */
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS | GENIE_IMAGE_PTX, 80), "elf80");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS | GENIE_IMAGE_PTX, 89), "elf86");
	/* 'a' only on exactly that one, and then first */
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS, 90), "elf90a");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS, 103), "elf100f");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS, 120), "-");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS, 70), "-");
	/* PTX: any later device */
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX, 80), "ptx70");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX, 121), "ptx90");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX, 120), "ptx120a");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX, 50), "-");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_SASS | GENIE_IMAGE_PTX, 110), "ptx90");
	/* anything rather than nothing */
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_ANY, 80), "elf80");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_ANY, 50), "ptx120a");
}

Test(fatbin, says_what_it_carries)
{
	struct genie_image image;
	struct builder b;
	char words[128], few[8];

	start(&b);
	cr_assert_eq(genie_image_open(&image, b.data, b.size), 0);
	genie_image_describe(&image, words, sizeof(words));
	cr_assert_str_eq(words, "no code at all");
	add(&b, 2, 90, GENIE_ENTRY_ARCH, "x", 1);
	add(&b, 2, 75, 0, "x", 1);
	add(&b, 2, 75, 0, "x", 1);
	cr_assert_eq(genie_image_open(&image, b.data, b.size), 0);
	genie_image_describe(&image, words, sizeof(words));
	cr_assert_str_eq(words, "machine code for sm_75 sm_90a, no PTX");
	genie_image_describe(&image, few, sizeof(few));
	cr_assert_str_eq(few, "machine");
	add(&b, 1, 90, 0, text, sizeof(text));
	cr_assert_eq(genie_image_open(&image, b.data, b.size), 0);
	genie_image_describe(&image, words, sizeof(words));
	cr_assert_str_eq(words, "machine code for sm_75 sm_90a, PTX for sm_90");
}

Test(fatbin, unpacks_both_compressions)
{
	static const uint64_t flags[] = {0, GENIE_ENTRY_LZ4, GENIE_ENTRY_ZSTD};
	struct genie_image_entry entry;
	struct genie_image image;
	struct builder b;
	size_t size;
	void *data;

	for (int i = 0; i < 3; i++) {
		start(&b);
		add(&b, 1, 80, flags[i], text, sizeof(text));
		cr_assert_eq(genie_image_open(&image, b.data, b.size), 0);
		cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_PTX, 9, 0, &entry), 0);
		cr_assert_eq(genie_image_entry_unpack(&entry, 4096, &data, &size), 0);
		cr_assert_eq(size, sizeof(text) - 1);
		cr_assert_str_eq((char *)data, text);
		free(data);
		cr_assert_eq(genie_image_entry_unpack(&entry, 20, &data, &size), -E2BIG);
	}
}

/* One entry alone is a fat binary again, and still the same. */
Test(fatbin, entries_travel_alone)
{
	struct genie_image_entry entry, again;
	struct genie_image image, alone;
	struct builder b;
	size_t size, text_size;
	void *data, *unpacked;

	start(&b);
	add(&b, 2, 75, 0, "other", 5);
	add(&b, 1, 80, GENIE_ENTRY_ZSTD, text, sizeof(text));
	cr_assert_eq(genie_image_open(&image, b.data, b.size), 0);
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_PTX, 9, 0, &entry), 0);
	cr_assert_eq(genie_image_entry_extract(&entry, &data, &size), 0);
	cr_assert_eq(genie_image_open(&alone, data, size), 0);
	cr_assert_eq(genie_image_pick(&alone, GENIE_IMAGE_PTX, 9, 0, &again), 0);
	cr_assert_eq(again.size, entry.size);
	cr_assert_eq(genie_image_entry_unpack(&again, 4096, &unpacked, &text_size), 0);
	cr_assert_str_eq((char *)unpacked, text);
	free(unpacked);
	free(data);
	/* text travels with its NUL */
	cr_assert_eq(genie_image_open(&image, text, sizeof(text) - 1), 0);
	cr_assert_eq(image.form, GENIE_IMAGE_FORM_PTX);
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_PTX, 5, 0, &entry), 0);
	cr_assert_eq(entry.arch, 80);
	cr_assert_eq(genie_image_entry_extract(&entry, &data, &size), 0);
	cr_assert_eq(size, sizeof(text));
	free(data);
}

Test(fatbin, recognises_text)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{".version 8.0", 0},
		{"  \n\t// a comment\n/* another */ .version 8.0", 0},
		{"", -EINVAL},
		{"/", -EINVAL},
		{"// only a comment", -EINVAL},
		{"/* not closed .version", -EINVAL},
		{".versio", -EINVAL},
		{"P", -EINVAL},
		{"\x7f"
		 "EL",
		 -EINVAL},
		{"\x7f"
		 "ELF",
		 -EINVAL},
	};
	struct genie_image image;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = strlen(cases[i].text);
		char *copy = malloc(size + 1);

		memcpy(copy, cases[i].text, size + 1);
		cr_assert_eq(genie_image_open(&image, copy, size), cases[i].result, "%s", copy);
		/* a lone ELF magic is followed, so it would be read past its end */
		if (size < 4)
			cr_assert_eq(genie_image_open_local(&image, copy), cases[i].result);
		free(copy);
	}
	cr_assert_eq(genie_image_open(&image, NULL, 0), -EINVAL);
	cr_assert_eq(genie_image_open_local(&image, NULL), -EINVAL);
}

struct wrapper {
	uint32_t magic, version;
	const void *data, *more;
};

Test(fatbin, wrappers_of_both_versions)
{
	struct builder linked, first, second;
	const void *list[] = {first.data, second.data, NULL};
	struct wrapper w = {0x466243b1, 1, linked.data, "a file name"};
	struct genie_image_cursor cursor = {0};
	struct genie_image_entry entry;
	struct genie_image image;
	int entries = 0;

	start(&linked);
	start(&first);
	start(&second);
	add(&linked, 2, 80, 0, "x", 1);
	add(&first, 1, 90, 0, text, sizeof(text));
	add(&second, 1, 80, 0, text, sizeof(text));
	cr_assert_eq(genie_image_open_local(&image, &w), 0);
	while (genie_image_next(&image, &cursor, &entry) > 0)
		entries++;
	cr_assert_eq(entries, 1);
	/* its pointers mean nothing in another process */
	cr_assert_eq(genie_image_open(&image, &w, sizeof(w)), -EINVAL);
	w.version = 2;
	w.more = list;
	cr_assert_eq(genie_image_open_local(&image, &w), 0);
	cursor = (struct genie_image_cursor){0};
	entries = 0;
	while (genie_image_next(&image, &cursor, &entry) > 0)
		cr_assert_eq(entry.prelinked, entries++ > 0);
	cr_assert_eq(entries, 3);
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_PTX, 8, 0, &entry), 0);
	cr_assert_eq(entry.arch, 80);
	w.version = 3;
	cr_assert_eq(genie_image_open_local(&image, &w), -EINVAL);
}

/* Looks at all there is, wherever it leads: for damaged images, under a sanitizer. */
static void
explore(const void *data, size_t size)
{
	struct genie_image_cursor cursor = {0};
	struct genie_kernel_table table;
	struct genie_image_entry entry;
	struct genie_image image;
	char words[256];
	void *out;
	size_t out_size;

	if (genie_image_open(&image, data, size) < 0)
		return;
	genie_image_describe(&image, words, sizeof(words));
	genie_image_pick(&image, GENIE_IMAGE_SASS, 9, 0, &entry);
	while (genie_image_next(&image, &cursor, &entry) > 0) {
		if (genie_image_entry_extract(&entry, &out, &out_size) == 0)
			free(out);
		if (genie_image_entry_unpack(&entry, 1 << 20, &out, &out_size) < 0)
			continue;
		if ((entry.kind == GENIE_ENTRY_PTX
			     ? genie_kernel_table_init_ptx(&table, out, out_size)
			     : genie_kernel_table_init_elf(&table, out, out_size)) == 0)
			genie_kernel_table_fini(&table);
		free(out);
	}
}

/* Explores @data cut off at every length, and with bytes changed. */
static void
damage(const uint8_t *data, size_t size, size_t changes)
{
	unsigned int seed = 7;

	for (size_t cut = 0; cut<size; cut += size> 4096 ? 97 : 1) {
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, data, cut);
		explore(copy, cut);
		free(copy);
	}
	for (size_t i = 0; i < changes; i++) {
		uint8_t *copy = malloc(size);

		memcpy(copy, data, size);
		for (int k = 0; k < 4; k++) {
			static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, 0x17, 0x45};
			size_t at;

			seed = seed * 1103515245 + 12345;
			at = (seed >> 4) % size;
			/* headers decide: look there half of the time */
			if (seed & 1)
				at %= 256;
			copy[at] = values[(seed >> 20) % sizeof(values)];
		}
		explore(copy, size);
		free(copy);
	}
}

Test(fatbin, damaged_ones_are_harmless)
{
	struct builder b;

	start(&b);
	add(&b, 1, 80, GENIE_ENTRY_ZSTD, text, sizeof(text));
	add(&b, 1, 80, GENIE_ENTRY_LZ4, text, sizeof(text));
	add(&b, 1, 80, 0, text, sizeof(text));
	damage(b.data, b.size, 20000);
	damage((const uint8_t *)text, sizeof(text), 20000);
}

/* ---- kernels ---- */

static struct genie_kernel_table
table_of(const char *ptx)
{
	struct genie_kernel_table table;

	cr_assert_eq(genie_kernel_table_init_ptx(&table, ptx, strlen(ptx)), 0);
	return table;
}

Test(kernels, parameters_of_ptx)
{
	struct genie_kernel_table table = table_of(
		".version 8.0 .target sm_80 .address_size 64\n"
		"// .entry not_this_one()\n"
		"/* nor .entry this() */ .file 1 \"or .entry that()\"\n"
		".visible .func (.param .b32 r) helper(.param .b64 x) { ret; }\n"
		".visible .entry declared(.param .u8 a);\n"
		".visible .entry one(\n"
		"	.param .u8 one_0, .param .u16 one_1, .param .f64 one_2,\n"
		"	.param .align 16 .b8 one_3[20], .param .u64 .ptr .global .align 1 one_4,\n"
		"	.param .align 4 .b8 one_5[4][3], .param .v4 .f32 one_6)\n"
		".maxntid 128, 2, 1\n"
		".minnctapersm 2\n"
		"{ .shared .align 4 .b8 a[10]; { .shared .f64 b; } .shared .b8 c[2][40000]; ret; "
		"}\n"
		".shared .align 4 .b8 not_a_kernels[4];\n"
		".entry none { ret; }\n"
		".entry $a.b%c_d() .reqntid 32 { ret; }\n");
	static const struct genie_kernel_param want[] = {
		{0, 1}, {2, 2}, {8, 8}, {16, 20}, {40, 8}, {48, 12}, {60, 16},
	};
	const struct genie_kernel_desc *one;

	cr_assert_eq(table.count, 3);
	one = genie_kernel_table_find(&table, "one");
	cr_assert_not_null(one);
	cr_assert_eq(one->param_count, 7);
	for (int i = 0; i < 7; i++) {
		cr_assert_eq(one->params[i].offset, want[i].offset, "%d: %u", i,
			     one->params[i].offset);
		cr_assert_eq(one->params[i].size, want[i].size);
	}
	cr_assert_eq(one->max_threads, 256);
	cr_assert_eq(one->static_shared, 80024);
	cr_assert_not_null(genie_kernel_table_find(&table, "none"));
	cr_assert_eq(genie_kernel_table_find(&table, "$a.b%c_d")->max_threads, 32);
	cr_assert_null(genie_kernel_table_find(&table, "declared"));
	genie_kernel_table_fini(&table);
	cr_assert_null(genie_kernel_table_find(&table, "one"));
}

Test(kernels, damaged_ptx)
{
	static const char *const bad[] = {
		".entry",
		".entry k",
		".entry k(",
		".entry k(.param",
		".entry k(.param .u64 a",
		".entry k(.param .u64 a)",
		".entry k(.param .nothing a) {",
		".entry k(.param .align 3 .b8 a[8]) {",
		".entry k(.param .b8 a[99999999999]) {",
		".entry k(.param .b8 a[30000][30000]) {",
		".entry k(.param .b8 a[-1]) {",
		".entry k(.param .align 0 .b8 a[1]) {",
		".entry k(.param .b8 a[32765]) {",
		".entry ( ) {",
	};
	struct genie_kernel_table table;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(genie_kernel_table_init_ptx(&table, bad[i], strlen(bad[i])), -EINVAL,
			     "%s", bad[i]);
}

Test(kernels, names_of_any_length)
{
	size_t length = 100000;
	char *ptx = malloc(length + 64), *name = malloc(length + 1);
	struct genie_kernel_table table;

	memset(name, 'n', length);
	name[length] = 0;
	sprintf(ptx, ".entry %s() { ret; }", name);
	table = table_of(ptx);
	cr_assert_not_null(genie_kernel_table_find(&table, name));
	genie_kernel_table_fini(&table);
	free(ptx);
	free(name);
}

/* ---- real files ---- */

struct file {
	const uint8_t *data;
	size_t size;
};

static bool
map_file(const char *path, struct file *ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	cr_assert_eq(fstat(fd, &st), 0);
	ret->size = (size_t)st.st_size;
	ret->data = mmap(NULL, ret->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return ret->data != MAP_FAILED;
}

/* What is known of a kernel name: its layout, and in which kinds of code it was seen. */
struct seen {
	char *name;
	struct genie_kernel_param *params;
	uint32_t count, size;
	enum genie_entry_kind kind;
};

static int
compare_seen(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (int)x->kind - (int)y->kind;
}

struct census {
	struct seen *all;
	size_t count, capacity, entries, both;
};

static void
note(struct census *census, const struct genie_kernel_desc *desc, enum genie_entry_kind kind)
{
	struct seen *seen;

	if (census->count == census->capacity) {
		census->capacity = census->capacity ? census->capacity * 2 : 1024;
		census->all = realloc(census->all, census->capacity * sizeof(*census->all));
	}
	seen = &census->all[census->count++];
	seen->name = strdup(desc->name);
	seen->kind = kind;
	seen->count = desc->param_count;
	seen->size = desc->param_size;
	seen->params = malloc((desc->param_count + 1) * sizeof(*seen->params));
	memcpy(seen->params, desc->params, desc->param_count * sizeof(*seen->params));
}

static void
take_census(struct census *census, const uint8_t *data, size_t size)
{
	for (size_t at = 0; at + 16 <= size;) {
		struct genie_image_cursor cursor = {0};
		struct genie_image_entry entry;
		struct genie_image image;

		if (memcmp(data + at, "\x50\xed\x55\xba", 4) ||
		    genie_image_open(&image, data + at, size - at) < 0) {
			at += 8;
			continue;
		}
		for (;;) {
			struct genie_kernel_table table;
			int r = genie_image_next(&image, &cursor, &entry);

			cr_assert_geq(r, 0);
			if (!r)
				break;
			census->entries++;
			cr_assert_eq(genie_kernel_table_init(&table, &entry), 0);
			for (size_t i = 0; i < table.count; i++) {
				note(census, &table.kernels[i], entry.kind);
				if (entry.kind == GENIE_ENTRY_ELF)
					cr_assert_gt(table.kernels[i].registers, 0);
			}
			genie_kernel_table_fini(&table);
		}
		at += (image.size + 7) & ~(size_t)7;
	}
}

/* Wherever a kernel is there as machine code and as PTX, both say the same of its parameters. */
static void
compare_census(struct census *census)
{
	if (census->count)
		qsort(census->all, census->count, sizeof(*census->all), compare_seen);
	for (size_t i = 1; i < census->count; i++) {
		const struct seen *a = &census->all[i - 1], *b = &census->all[i];

		if (strcmp(a->name, b->name))
			continue;
		census->both += a->kind != b->kind;
		cr_assert_eq(a->count, b->count, "%s", a->name);
		cr_assert_eq(a->size, b->size, "%s", a->name);
		cr_assert_eq(memcmp(a->params, b->params, a->count * sizeof(*a->params)), 0, "%s",
			     a->name);
	}
	for (size_t i = 0; i < census->count; i++) {
		free(census->all[i].name);
		free(census->all[i].params);
	}
	free(census->all);
}

Test(kernels, printf_is_seen)
{
	static const char quiet[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
				    ".entry k() { ret; }\n";
	static const char loud[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
				   ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param "
				   ".b64 a);\n.entry k() { ret; }\n";
	struct genie_kernel_table table;

	cr_assert_eq(genie_kernel_table_init_ptx(&table, quiet, sizeof(quiet) - 1), 0);
	cr_assert_not(table.prints);
	genie_kernel_table_fini(&table);
	cr_assert_eq(genie_kernel_table_init_ptx(&table, loud, sizeof(loud) - 1), 0);
	cr_assert(table.prints);
	genie_kernel_table_fini(&table);
}

Test(kernels, a_table_grows_by_another)
{
	static const char first[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
				    ".entry b(.param .u32 b_0) { ret; }\n.entry d() { ret; }\n";
	static const char second[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
				     ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param "
				     ".b64 a);\n"
				     ".entry c(.param .u64 c_0, .param .u8 c_1) { ret; }\n"
				     ".entry b(.param .u64 b_0) { ret; }\n.entry a() { ret; }\n";
	static const char names[] = "abcd";
	struct genie_kernel_table table, more;
	const struct genie_kernel_desc *desc;

	cr_assert_eq(genie_kernel_table_init_ptx(&table, first, sizeof(first) - 1), 0);
	cr_assert_eq(genie_kernel_table_init_ptx(&more, second, sizeof(second) - 1), 0);
	cr_assert_eq(genie_kernel_table_add(&table, &more), 0);
	genie_kernel_table_fini(&more); /* what was added is a copy */
	cr_assert_eq(table.count, 4);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(table.kernels[i].name[0], names[i]);
	cr_assert(table.prints);
	desc = genie_kernel_table_find(&table, "b");
	cr_assert_eq(desc->param_size, 4, "the first of two with one name stays");
	desc = genie_kernel_table_find(&table, "c");
	cr_assert_eq(desc->param_count, 2);
	cr_assert_eq(desc->params[1].offset, 8);
	cr_assert_eq(desc->params[1].size, 1);
	genie_kernel_table_fini(&table);
}

/* GENIE_TEST_FATBIN: what nvcc makes of tests/unit/fatbin_kernels.cu, where there is an nvcc. */
Test(kernels, nvcc_made, .timeout = 60)
{
	const char *path = getenv("GENIE_TEST_FATBIN");
	const struct genie_kernel_desc *desc;
	struct genie_kernel_table table;
	struct genie_image_entry entry;
	struct census census = {0};
	struct genie_image image;
	struct file file;

	if (!path || !map_file(path, &file))
		cr_skip_test("no fat binary made by nvcc");
	take_census(&census, file.data, file.size);
	cr_assert_geq(census.entries, 3);
	compare_census(&census);
	cr_assert_geq(census.both, 4);
	cr_assert_eq(genie_image_open(&image, file.data, file.size), 0);
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_SASS, 9, 0, &entry), 0);
	cr_assert_eq(entry.arch, 90);
	cr_assert_eq(genie_kernel_table_init(&table, &entry), 0);
	cr_assert(table.prints);
	desc = genie_kernel_table_find(&table, "bounded");
	cr_assert_not_null(desc);
	cr_assert_eq(desc->max_threads, 256);
	desc = genie_kernel_table_find(&table, "shared400");
	cr_assert_eq(desc->static_shared, 400);
	desc = genie_kernel_table_find(&table, "odd");
	cr_assert_eq(desc->param_count, 5);
	cr_assert_eq(desc->params[3].offset, 32);
	desc = genie_kernel_table_find(&table, "big");
	cr_assert_geq(desc->param_size, 4096 + 8);
	genie_kernel_table_fini(&table);
	damage(file.data, file.size, 2000);
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_SASS, 9, 0, &entry), 0);
	if (!(entry.flags & (GENIE_ENTRY_ZSTD | GENIE_ENTRY_LZ4)))
		damage(entry.payload, entry.stored_size, 20000);
}

/* The smallest ELF file that has sections: no section but the names of sections. */
static size_t
make_cubin(uint8_t *data)
{
	Elf64_Ehdr header = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0x33, 8},
		.e_machine = 190,
		.e_flags = 90 << 8,
		.e_shoff = 80,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 2,
		.e_shstrndx = 1,
	};
	Elf64_Shdr names = {.sh_type = SHT_STRTAB, .sh_name = 1, .sh_offset = 64, .sh_size = 11};

	memset(data, 0, 80 + 2 * sizeof(names));
	memcpy(data, &header, sizeof(header));
	memcpy(data + 65, ".shstrtab", 10);
	memcpy(data + 80 + sizeof(names), &names, sizeof(names));
	return 80 + 2 * sizeof(names);
}

/* What comes out as text for a device that takes PTX. */
static char *
attached_text(const void *data, size_t size, bool local)
{
	struct genie_image_entry entry;
	struct genie_image image;
	size_t text_size;
	void *found;

	if (local)
		cr_assert_eq(genie_image_open_local(&image, data), 0);
	else
		cr_assert_eq(genie_image_open(&image, data, size), 0);
	if (genie_image_pick(&image, GENIE_IMAGE_PTX, 9, 0, &entry) != 0)
		return NULL;
	cr_assert_eq(entry.kind, GENIE_ENTRY_PTX);
	cr_assert_eq(entry.arch, 80);
	cr_assert_eq(genie_image_entry_unpack(&entry, 1 << 20, &found, &text_size), 0);
	cr_assert_eq(text_size, strlen(found));
	return found;
}

Test(attached, text_in_a_cubin)
{
	uint8_t cubin[512];
	size_t size = make_cubin(cubin), both_size, again_size;
	struct genie_image_entry entry;
	struct genie_image image;
	struct builder b;
	void *both, *again;
	char words[128], *found;

	cr_assert_null(attached_text(cubin, size, false));
	cr_assert_eq(genie_cubin_attach(cubin, size, text, strlen(text), &both, &both_size), 0);
	found = attached_text(both, both_size, false);
	cr_assert_str_eq(found, text);
	free(found);
	found = attached_text(both, both_size, true); /* its size from its headers */
	cr_assert_str_eq(found, text);
	free(found);
	genie_image_open(&image, both, both_size);
	genie_image_describe(&image, words, sizeof(words));
	cr_assert_str_eq(words, "machine code for sm_90, PTX for sm_80");

	/* a GPU takes the machine code, and reads it as before */
	cr_assert_eq(genie_image_pick(&image, GENIE_IMAGE_SASS | GENIE_IMAGE_PTX, 9, 0, &entry), 0);
	cr_assert_eq(entry.kind, GENIE_ENTRY_ELF);
	cr_assert_eq(entry.size, both_size);
	cr_assert_eq(memcmp((char *)both + 64, cubin + 64, size - 64), 0);

	/* the last one counts */
	cr_assert_eq(genie_cubin_attach(both, both_size, text, 20, &again, &again_size), 0);
	cr_assert_eq(strncmp(genie_cubin_attached(again, again_size, &size), text, 20), 0);
	cr_assert_eq(size, 20);
	free(again);

	/* in a fat binary, as nvcc makes one of what ptxas wrote */
	start(&b);
	add(&b, 2, 90, 0, both, both_size);
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX, 90), "ptx80");
	cr_assert_str_eq(picked(&b, GENIE_IMAGE_PTX | GENIE_IMAGE_SASS, 90), "elf90");
	damage(b.data, b.size, 5000);
	damage(both, both_size, 5000);
	free(both);
}

Test(attached, only_to_a_cubin_with_sections)
{
	uint8_t cubin[512];
	size_t size = make_cubin(cubin), ignored;
	void *both;

	cr_assert_eq(genie_cubin_attach(cubin, 40, text, 8, &both, &ignored), -EINVAL);
	cr_assert_eq(genie_cubin_attach(cubin, size - 1, text, 8, &both, &ignored), -EINVAL);
	cubin[62] = 2; /* e_shstrndx: there is no such section */
	cr_assert_eq(genie_cubin_attach(cubin, size, text, 8, &both, &ignored), -EINVAL);
	make_cubin(cubin);
	cubin[80 + 64 + 24 + 4] = 1; /* the names lie 4 GiB away */
	cr_assert_eq(genie_cubin_attach(cubin, size, text, 8, &both, &ignored), -EINVAL);
	cr_assert_null(genie_cubin_attached(cubin, size, &ignored));
}

/* A library with thousands of kernels in both forms, where CUDA is installed. */
Test(kernels, of_a_library, .timeout = 120)
{
	struct census census = {0};
	struct file file;

	if (!map_file(GENIE_CUDA_LIB "/libcurand.so.10", &file) &&
	    !map_file(GENIE_CUDA_LIB "/libcurand.so", &file))
		cr_skip_test("no libcurand");
	take_census(&census, file.data, file.size);
	compare_census(&census);
	cr_assert_gt(census.entries, 10);
	cr_assert_gt(census.both, 100);
}
