#include "wire/codec.h"

#include <string.h>

/* What pointers point to starts at a multiple of this, so that it need not be copied to be used. */
#define DATA_ALIGN 8

static size_t
round_up8(size_t size)
{
	return (size + (DATA_ALIGN - 1)) & ~(size_t)(DATA_ALIGN - 1);
}

const struct genie_op_desc *
genie_op_desc(uint32_t op)
{
	if (op >= GENIE_OP_MAX || !genie_op_descs[op].name)
		return NULL;
	return &genie_op_descs[op];
}

static void *
load_pointer(const struct genie_arg_desc *arg, const void *args)
{
	void *pointer;

	memcpy(&pointer, (const uint8_t *)args + arg->offset, sizeof(pointer));
	return pointer;
}

static void
store_pointer(const struct genie_arg_desc *arg, void *args, const void *pointer)
{
	memcpy((uint8_t *)args + arg->offset, &pointer, sizeof(pointer));
}

/* One value. Nearly all are of 4 or 8 bytes: those are two instructions, not a call. */
static inline uint8_t *
copy_value(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size == 8) {
		memcpy(to, from, 8);
		return to + 8;
	}
	if (size == 4) {
		memcpy(to, from, 4);
		return to + 4;
	}
	memcpy(to, from, size);
	return to + size;
}

uint32_t
genie_versioned_size(const void *data)
{
	uint32_t word;

	memcpy(&word, data, sizeof(word));
	word &= 0xffffff;
	return word < sizeof(word) || word > GENIE_VERSIONED_MAX ? 0 : word;
}

/* How many elements a parameter has. A negative number counts as none, as drivers have it. */
static uint64_t
load_count(const struct genie_arg_desc *arg, const void *args)
{
	const void *field = (const uint8_t *)args + arg->len_offset;
	uint64_t count = 0;

	if (arg->len_size == 0)
		return arg->count;
	if (arg->len_deref) {
		memcpy(&field, field, sizeof(field));
		if (!field)
			return 0;
	}
	copy_value((uint8_t *)&count, field, arg->len_size); /* little endian: low bytes first */
	if (arg->len_signed && count >> (arg->len_size * 8 - 1))
		return 0;
	return count;
}

/* Bytes that @arg points to; false when there are more than a message can have. */
static bool
data_len(const struct genie_arg_desc *arg, const void *args, size_t *ret_len)
{
	uint64_t len;

	if (arg->versioned) {
		*ret_len = genie_versioned_size(load_pointer(arg, args));
		return *ret_len != 0;
	}
	if (__builtin_mul_overflow(load_count(arg, args), (uint64_t)arg->size, &len) ||
	    len > GENIE_CMD_MAX)
		return false;
	*ret_len = len;
	return true;
}

/* Of the presence bits and the values. */
static size_t
fixed_size(const struct genie_op_desc *desc)
{
	return round_up8(desc->value_size + (desc->pointer_count ? sizeof(uint64_t) : 0));
}

static bool
travels_up(const struct genie_arg_desc *arg)
{
	return arg->kind == GENIE_ARG_IN || arg->kind == GENIE_ARG_INOUT;
}

static bool
travels_down(const struct genie_arg_desc *arg, int32_t status)
{
	return arg->kind == GENIE_ARG_INOUT || (arg->kind == GENIE_ARG_OUT && status == 0);
}

/* ---- the client ---- */

size_t
genie_encoded_size(enum genie_op op, const void *args)
{
	const struct genie_op_desc *desc = &genie_op_descs[op];
	size_t up = fixed_size(desc);
	size_t down = 0;

	for (unsigned i = desc->arg_count - desc->pointer_count; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		const char *pointer = load_pointer(arg, args);
		size_t len;

		if (!pointer)
			continue;
		if (arg->kind == GENIE_ARG_STRING) {
			up += sizeof(uint64_t) + round_up8(strnlen(pointer, GENIE_CMD_MAX) + 1);
			continue;
		}
		if (!data_len(arg, args, &len))
			return SIZE_MAX;
		if (travels_up(arg))
			up += round_up8(len);
		if (travels_down(arg, 0))
			down += round_up8(len);
	}
	return up > GENIE_PAYLOAD_MAX || down > GENIE_REPLY_MAX ? SIZE_MAX : up;
}

/* One bit a pointer, in the order of the rows: set when it is not NULL. */
static uint64_t
presence(const struct genie_op_desc *desc, const void *args)
{
	unsigned first = desc->arg_count - desc->pointer_count;
	uint64_t present = 0;

	for (unsigned i = 0; i < desc->pointer_count; i++)
		if (load_pointer(&desc->args[first + i], args))
			present |= UINT64_C(1) << i;
	return present;
}

/* Bytes of padding after a value of @size bytes. */
static inline size_t
value_pad(size_t size)
{
	return -size & 3;
}

/* Presence bits and values, the whole fixed part: its size is known, so one check is enough. */
static void
encode_fixed(struct genie_writer *writer, const struct genie_op_desc *desc, const uint8_t *args)
{
	unsigned values = desc->arg_count - desc->pointer_count;
	size_t size = fixed_size(desc);
	uint8_t *to = writer->cur;

	if (writer->fatal || size > (size_t)(writer->end - writer->cur)) {
		writer->fatal = true;
		return;
	}
	if (desc->pointer_count) {
		uint64_t present = presence(desc, args);

		to = copy_value(to, (const uint8_t *)&present, sizeof(present));
	}
	for (unsigned i = 0; i < values; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];

		to = copy_value(to, args + arg->offset, arg->size);
		for (size_t pad = value_pad(arg->size); pad > 0; pad--)
			*to++ = 0;
	}
	writer->cur += size;
	while (to < writer->cur)
		*to++ = 0;
}

static void
encode_string(struct genie_writer *writer, const char *string)
{
	uint64_t len = strnlen(string, GENIE_CMD_MAX) + 1;

	genie_writer_put(writer, &len, sizeof(len));
	genie_writer_put(writer, string, len);
	genie_writer_align(writer, DATA_ALIGN);
}

void
genie_encode_args(struct genie_writer *writer, enum genie_op op, const void *args)
{
	const struct genie_op_desc *desc = &genie_op_descs[op];
	unsigned values = desc->arg_count - desc->pointer_count;

	encode_fixed(writer, desc, args);
	for (unsigned i = values; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		const void *pointer = load_pointer(arg, args);
		size_t len;

		if (!pointer)
			continue;
		if (arg->kind == GENIE_ARG_STRING) {
			encode_string(writer, pointer);
		} else if (travels_up(arg)) {
			if (!data_len(arg, args, &len)) {
				writer->fatal = true;
				return;
			}
			genie_writer_put(writer, pointer, len);
			genie_writer_align(writer, DATA_ALIGN);
		}
	}
}

void
genie_decode_reply(struct genie_reader *reader, enum genie_op op, void *args, int32_t status)
{
	const struct genie_op_desc *desc = &genie_op_descs[op];
	unsigned first = desc->arg_count - desc->pointer_count;
	size_t lens[GENIE_ARGS_MAX] = {0};

	/* All lengths first: an answer may overwrite the number that counts another one. */
	for (unsigned i = first; i < desc->arg_count; i++)
		if (load_pointer(&desc->args[i], args) && !data_len(&desc->args[i], args, &lens[i]))
			genie_reader_fail(reader, "a length changed during the call");
	for (unsigned i = first; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		void *pointer = load_pointer(arg, args);
		const void *data;

		if (!pointer || !travels_down(arg, status))
			continue;
		data = genie_reader_take(reader, lens[i]);
		genie_reader_align(reader, DATA_ALIGN);
		if (data && lens[i])
			memcpy(pointer, data, lens[i]);
	}
	genie_reader_end(reader);
}

/* ---- the worker ---- */

static void
decode_string(struct genie_reader *reader, const struct genie_arg_desc *arg, void *args)
{
	uint64_t len = 0;
	const char *string;

	genie_reader_get(reader, &len, sizeof(len));
	if (len == 0 || len > GENIE_CMD_MAX) {
		genie_reader_fail(reader, "a string without its end");
		return;
	}
	string = genie_reader_take(reader, len);
	genie_reader_align(reader, DATA_ALIGN);
	if (!string)
		return;
	if (memchr(string, 0, len) != string + len - 1) {
		genie_reader_fail(reader, "a string without its end");
		return;
	}
	store_pointer(arg, args, string);
}

/* Data that only the driver reads stays where it is, unless it must be changed or moved: handles
 * are translated in place, and a struct may need more alignment than the buffer happens to have. */
static bool
can_borrow(const struct genie_arg_desc *arg, const void *data)
{
	return arg->kind == GENIE_ARG_IN && arg->use != GENIE_USE_HANDLE &&
	       ((uintptr_t)data & (arg->align - 1u)) == 0;
}

static void
decode_data(struct genie_reader *reader, struct genie_pool *pool, const struct genie_arg_desc *arg,
	    void *args, size_t *ret_len)
{
	const void *data = NULL;
	void *copy;
	size_t len;

	if (arg->versioned) { /* its length is in its first word, which is looked at in place */
		if ((size_t)(reader->end - reader->cur) < sizeof(uint32_t)) {
			genie_reader_fail(reader, "a struct without its size");
			return;
		}
		store_pointer(arg, args, reader->cur);
	}
	if (!data_len(arg, args, &len)) {
		genie_reader_fail(reader, "a length beyond every limit");
		return;
	}
	if (travels_up(arg)) {
		data = genie_reader_take(reader, len);
		genie_reader_align(reader, DATA_ALIGN);
		if (reader->fatal)
			return;
		if (can_borrow(arg, data)) {
			store_pointer(arg, args, data);
			return;
		}
	}
	copy = genie_pool_alloc(pool, len);
	if (!copy) {
		genie_reader_fail(reader, "needs more memory than a command may");
		return;
	}
	if (data && len)
		memcpy(copy, data, len);
	store_pointer(arg, args, copy);
	*ret_len = len;
}

/* The mirror of encode_fixed(); returns the presence bits. */
static uint64_t
decode_fixed(struct genie_reader *reader, const struct genie_op_desc *desc, uint8_t *args)
{
	unsigned values = desc->arg_count - desc->pointer_count;
	const uint8_t *from = genie_reader_take(reader, fixed_size(desc));
	uint64_t present = 0;

	if (!from)
		return 0;
	if (desc->pointer_count) {
		memcpy(&present, from, sizeof(present));
		from += sizeof(present);
		if (present >> desc->pointer_count)
			genie_reader_fail(reader, "more pointers than parameters");
	}
	for (unsigned i = 0; i < values; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];

		copy_value(args + arg->offset, from, arg->size);
		from += arg->size + value_pad(arg->size);
	}
	return present;
}

bool
genie_decode_args(struct genie_reader *reader, struct genie_pool *pool, enum genie_op op,
		  struct genie_call *ret_call)
{
	const struct genie_op_desc *desc = genie_op_desc(op);
	uint64_t present;
	unsigned values;
	void *args;

	if (!desc) {
		genie_reader_fail(reader, "no such call");
		return false;
	}
	args = genie_pool_alloc(pool, desc->args_size);
	if (!args) {
		genie_reader_fail(reader, "needs more memory than a command may");
		return false;
	}
	values = desc->arg_count - desc->pointer_count;
	present = decode_fixed(reader, desc, args);
	for (unsigned i = 0; i < desc->pointer_count && !reader->fatal; i++) {
		const struct genie_arg_desc *arg = &desc->args[values + i];

		ret_call->out_len[i] = 0;
		if (!(present >> i & 1)) {
			if (!arg->nullable)
				genie_reader_fail(reader, "a pointer that must not be NULL is");
		} else if (arg->kind == GENIE_ARG_STRING) {
			decode_string(reader, arg, args);
		} else {
			decode_data(reader, pool, arg, args, &ret_call->out_len[i]);
		}
	}
	genie_reader_end(reader);
	ret_call->op = op;
	ret_call->args = args;
	if (!reader->fatal && genie_reply_size(ret_call, 0) > GENIE_REPLY_MAX)
		genie_reader_fail(reader, "an answer beyond every limit");
	return !reader->fatal;
}

size_t
genie_reply_size(const struct genie_call *call, int32_t status)
{
	const struct genie_op_desc *desc = &genie_op_descs[call->op];
	unsigned first = desc->arg_count - desc->pointer_count;
	size_t size = 0;

	for (unsigned i = 0; i < desc->pointer_count; i++)
		if (travels_down(&desc->args[first + i], status))
			size += round_up8(call->out_len[i]);
	return size;
}

void
genie_encode_reply(struct genie_writer *writer, const struct genie_call *call, int32_t status)
{
	const struct genie_op_desc *desc = &genie_op_descs[call->op];
	unsigned first = desc->arg_count - desc->pointer_count;

	for (unsigned i = 0; i < desc->pointer_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[first + i];

		if (!travels_down(arg, status) || !load_pointer(arg, call->args))
			continue;
		genie_writer_put(writer, load_pointer(arg, call->args), call->out_len[i]);
		genie_writer_align(writer, DATA_ALIGN);
	}
}
