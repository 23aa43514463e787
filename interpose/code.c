#include "interpose/code.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpose/parts.h"

/* Images up to this size are sent without asking whether the server has them. */
#define ASK_ABOVE (16u << 10)
/* Of an image that travels in commands; larger ones use the staging slots. */
#define INLINE_CHUNK (48u << 10)

/* ---- opening ---- */

/* Takes over @owned. */
static CUresult
code_make(const struct genie_image *image, void *owned, struct genie_code **ret_code)
{
	struct genie_code *code = calloc(1, sizeof(*code));

	if (code == NULL) {
		free(owned);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	code->refs = 1;
	code->image = *image;
	code->owned = owned;
	pthread_mutex_init(&code->lock, NULL);
	*ret_code = code;
	return CUDA_SUCCESS;
}

/* A part alone is worth nothing. */
static bool
must_link(const struct genie_image_entry *entry)
{
	return entry->prelinked;
}

/* What the first device takes of a linked fat binary with parts: the only piece worth a copy. */
static int
extract_fitting(const struct genie_image *image, void **ret_data, size_t *ret_size)
{
	const struct genie_device_info *info = &genie_client.devices[0];
	int major = info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR];
	int minor = info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];
	struct genie_image_entry entry;
	char *text;
	int error;

	error = genie_image_pick(image, info->image_kinds | GENIE_IMAGE_ANY, major, minor, &entry);
	if (error != 0)
		return error;
	if (!must_link(&entry))
		return genie_image_entry_extract(&entry, ret_data, ret_size);
	error = genie_parts_link(image, major, minor, &text, ret_size);
	if (error == 0 && info->image_kinds & GENIE_IMAGE_SASS && !genie_parts_complete(text)) {
		free(text);
		error = -ENOENT;
	}
	if (error == 0)
		*ret_data = text;
	return error;
}

static CUresult
code_copy(const struct genie_image *image, struct genie_code **ret_code)
{
	struct genie_image copy;
	size_t size = image->size;
	void *owned;

	if (image->prelinked != NULL) {
		int error = extract_fitting(image, &owned, &size);

		/* The server links them when they are used. Parts lie in the program's binary,
		 * which stays as long as it uses them. */
		if (error == -ENOENT)
			return code_make(image, NULL, ret_code);
		if (error != 0)
			return CUDA_ERROR_INVALID_IMAGE;
	} else {
		owned = malloc(size + 1);
		if (owned == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
		memcpy(owned, image->data, size);
		((char *)owned)[size] = '\0'; /* PTX stays text */
	}
	if (genie_image_open(&copy, owned, size) != 0) {
		free(owned);
		return CUDA_ERROR_INVALID_IMAGE;
	}
	return code_make(&copy, owned, ret_code);
}

CUresult
genie_code_new(const void *data, bool preserve, struct genie_code **ret_code)
{
	struct genie_image image;

	if (data == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_image_open_local(&image, data) != 0)
		return CUDA_ERROR_INVALID_IMAGE;
	return preserve ? code_make(&image, NULL, ret_code) : code_copy(&image, ret_code);
}

/* The whole file, with a NUL behind it. */
static CUresult
file_read(const char *path, char **ret_data, size_t *ret_size)
{
	struct stat st;
	char *data = NULL;
	size_t done = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return CUDA_ERROR_FILE_NOT_FOUND;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size > GENIE_IMAGE_UNPACK_MAX) {
		close(fd);
		return CUDA_ERROR_INVALID_IMAGE;
	}
	data = malloc((size_t)st.st_size + 1);
	while (data != NULL && done < (size_t)st.st_size) {
		ssize_t got = read(fd, data + done, (size_t)st.st_size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	close(fd);
	if (data == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	data[done] = '\0';
	*ret_data = data;
	*ret_size = done;
	return CUDA_SUCCESS;
}

CUresult
genie_code_read_file(const char *path, void **ret_data, size_t *ret_size)
{
	char *data = NULL;
	CUresult status = file_read(path, &data, ret_size);

	*ret_data = data;
	return status;
}

CUresult
genie_code_load_file(const char *path, struct genie_code **ret_code)
{
	struct genie_image image;
	CUresult status;
	char *data;
	size_t size;

	if (path == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = file_read(path, &data, &size);
	if (status != CUDA_SUCCESS)
		return status;
	if (genie_image_open(&image, data, size) != 0) {
		free(data);
		return CUDA_ERROR_INVALID_IMAGE;
	}
	return code_make(&image, data, ret_code);
}

struct genie_code *
genie_code_ref(struct genie_code *code)
{
	atomic_fetch_add_explicit(&code->refs, 1, memory_order_relaxed);
	return code;
}

void
genie_code_unref(struct genie_code *code)
{
	struct genie_code_entry *entry, *next;

	/* acq_rel: what others did to it before their unref is seen before it is freed */
	if (code == NULL || atomic_fetch_sub_explicit(&code->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (entry = code->entries; entry != NULL; entry = next) {
		next = entry->next;
		free(entry->linked);
		free(entry);
	}
	genie_kernel_table_fini(&code->table);
	pthread_mutex_destroy(&code->lock);
	free(code->owned);
	free(code);
}

/* ---- what fits ---- */

/* What the device takes is what the files make together. 0 or negative errno. */
static int
entry_link(const struct genie_code *code, struct genie_code_entry *entry)
{
	bool links = (entry->kinds & GENIE_IMAGE_SASS) != 0; /* its driver does */
	struct genie_image image;
	size_t size;
	int error;

	error = genie_parts_link(&code->image, entry->major, entry->minor, &entry->linked, &size);
	entry->elsewhere =
		links && (error == -ENOENT || (error == 0 && !genie_parts_complete(entry->linked)));
	if (error == -ENOENT && links)
		return 0; /* no text: the part that was picked stands for all */
	if (error == 0)
		error = genie_image_open(&image, entry->linked, size);
	if (error == 0)
		error = genie_image_pick(&image, entry->kinds | GENIE_IMAGE_ANY, entry->major,
					 entry->minor, &entry->entry);
	return error;
}

/* The entry for a kind of device; NULL: out of memory. */
static struct genie_code_entry *
entry_for_locked(struct genie_code *code, uint32_t kinds, int major, int minor)
{
	struct genie_code_entry *entry = code->entries;

	while (entry != NULL &&
	       (entry->kinds != kinds || entry->major != major || entry->minor != minor))
		entry = entry->next;
	if (entry != NULL)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return NULL;
	entry->kinds = kinds;
	entry->major = major;
	entry->minor = minor;
	entry->picked = genie_image_pick(&code->image, kinds, major, minor, &entry->entry);
	if (entry->picked == 0 && must_link(&entry->entry))
		entry->picked = entry_link(code, entry);
	if (entry->picked == -ENOMEM) {
		free(entry->linked);
		free(entry);
		return NULL;
	}
	entry->next = code->entries;
	code->entries = entry;
	return entry;
}

static struct genie_code_entry *
entry_for_device_locked(struct genie_code *code, int device, uint32_t more_kinds)
{
	const struct genie_device_info *info = &genie_client.devices[device];

	return entry_for_locked(code, info->image_kinds | more_kinds,
				info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR],
				info->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR]);
}

static CUresult
code_list_locked(struct genie_code *code)
{
	struct genie_code_entry *entry = NULL;
	int error;

	if (code->listed)
		return CUDA_SUCCESS;
	/* Names and parameters are the same in every entry: any will do, one that fits is best
	 * because it is unpacked for the upload too. */
	for (int i = 0; i < genie_client.device_count; i++) {
		entry = entry_for_device_locked(code, i, 0);
		if (entry == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
		if (entry->picked == 0)
			break;
	}
	if (entry == NULL || entry->picked != 0)
		entry = entry_for_device_locked(code, 0, GENIE_IMAGE_ANY);
	if (entry == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	/* A fat binary without code is legal: nvlink leaves one in every program. */
	error = entry->picked == 0 ? genie_kernel_table_init(&code->table, &entry->entry)
				   : entry->picked;
	if (error == 0 && entry->elsewhere)
		error = genie_parts_list(&code->image, entry->kinds, entry->major, entry->minor,
					 &code->table);
	if (error == -ENOMEM)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (error != 0 && error != -ENOENT)
		return CUDA_ERROR_INVALID_IMAGE;
	code->listed = true;
	return CUDA_SUCCESS;
}

CUresult
genie_code_table(struct genie_code *code, const struct genie_kernel_table **ret_table)
{
	CUresult status;

	pthread_mutex_lock(&code->lock);
	status = code_list_locked(code);
	pthread_mutex_unlock(&code->lock);
	*ret_table = &code->table;
	return status;
}

bool
genie_code_prints(struct genie_code *code)
{
	bool prints;

	pthread_mutex_lock(&code->lock);
	prints = !code->listed || code->table.prints; /* not looked at: it may */
	pthread_mutex_unlock(&code->lock);
	return prints;
}

static CUresult
code_check_locked(struct genie_code *code, int device, const char *what,
		  struct genie_code_entry **ret_entry)
{
	const struct genie_device_info *info = &genie_client.devices[device];
	struct genie_code_entry *entry = entry_for_device_locked(code, device, 0);
	char carries[256];

	*ret_entry = entry;
	if (entry == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (entry->picked == 0)
		return CUDA_SUCCESS;
	if (!code->told) {
		bool machine_code = entry->kinds & GENIE_IMAGE_SASS;

		code->told = true;
		genie_image_describe(&code->image, carries, sizeof(carries));
		/* On a GPU a library may ask just to know (NCCL does); the CPU device is where
		 * programs are surprised. */
		genie_log(machine_code ? GENIE_LOG_INFO : GENIE_LOG_WARN,
			  "%s cannot run on device %d (%s, sm_%d%d%s): its code is %s", what,
			  device, info->name, entry->major, entry->minor,
			  machine_code ? "" : ", takes PTX only", carries);
	}
	return entry->picked == -EINVAL ? CUDA_ERROR_INVALID_IMAGE : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult
genie_code_check(struct genie_code *code, int device, const char *what)
{
	struct genie_code_entry *entry;
	CUresult status;

	pthread_mutex_lock(&code->lock);
	status = code_check_locked(code, device, what, &entry);
	pthread_mutex_unlock(&code->lock);
	return status;
}

/* ---- upload ---- */

static CUresult
image_send_inline(const uint8_t *hash, const uint8_t *data, size_t size)
{
	CUresult status = CUDA_SUCCESS;

	for (size_t done = 0; done < size && status == CUDA_SUCCESS;) {
		struct genie_args_genieImageData args = {
			.hash = hash,
			.total = size,
			.offset = done,
			.data = data + done,
			.size = size - done < INLINE_CHUNK ? size - done : INLINE_CHUNK,
		};

		status = genie_call_ctx(GENIE_OP_genieImageData, &args, NULL, NULL);
		done += args.size;
	}
	return status;
}

static CUresult
image_send_bulk(const uint8_t *hash, const uint8_t *data, size_t size)
{
	struct genie_chan *chan = genie_client_chan();
	CUresult status = CUDA_SUCCESS;

	for (size_t done = 0; done < size && status == CUDA_SUCCESS;) {
		struct genie_args_genieImageBulk args = {
			.hash = hash,
			.total = size,
			.offset = done,
			.size = size - done < GENIE_BULK_CHUNK ? size - done : GENIE_BULK_CHUNK,
		};
		uint64_t ref, ticket = 0;
		int error;

		error = genie_chan_bulk_send(chan, data + done, args.size, &ref);
		if (error == 0) {
			args.ref = ref;
			status = genie_call_ctx(GENIE_OP_genieImageBulk, &args, NULL, &ticket);
			if (ticket != 0)
				genie_chan_bulk_sent(chan, ref, ticket);
		} else {
			status = genie_chan_failed(error);
		}
		done += args.size;
	}
	return status;
}

static CUresult
image_send(const uint8_t *hash, const uint8_t *data, size_t size)
{
	struct genie_args_genieImageHave args = {.hash = hash};
	CUresult status;
	int have = 0;

	args.have = &have;
	if (size > ASK_ABOVE && genie_perf(GENIE_PERF_CACHE)) {
		status = genie_call_ctx(GENIE_OP_genieImageHave, &args, NULL, NULL);
		if (status != CUDA_SUCCESS || have)
			return status;
	}
	return size <= INLINE_CHUNK ? image_send_inline(hash, data, size)
				    : image_send_bulk(hash, data, size);
}

static CUresult
entry_upload(struct genie_code_entry *entry)
{
	struct sha256_ctx sha;
	CUresult status;
	size_t size;
	void *data;

	if (genie_image_entry_extract(&entry->entry, &data, &size) != 0)
		return CUDA_ERROR_OUT_OF_MEMORY;
	sha256_init(&sha);
	sha256_update(&sha, size, data);
	sha256_digest(&sha, sizeof(entry->hash), entry->hash);
	status = image_send(entry->hash, data, size);
	free(data);
	entry->uploaded = status == CUDA_SUCCESS;
	return status;
}

static CUresult
entry_link_there(const struct genie_code *code, struct genie_code_entry *entry,
		 const struct genie_ctx *ctx)
{
	CUresult status = genie_parts_link_there(&code->image, ctx, entry->kinds, entry->major,
						 entry->minor, entry->hash);

	entry->uploaded = status == CUDA_SUCCESS;
	return status;
}

CUresult
genie_code_upload(struct genie_code *code, const struct genie_ctx *ctx, const char *what,
		  uint8_t ret_hash[GENIE_HASH_SIZE])
{
	struct genie_code_entry *entry;
	CUresult status;

	pthread_mutex_lock(&code->lock);
	status = code_check_locked(code, ctx->device, what, &entry);
	if (status == CUDA_SUCCESS && !entry->uploaded)
		status =
			entry->elsewhere ? entry_link_there(code, entry, ctx) : entry_upload(entry);
	if (status == CUDA_SUCCESS)
		memcpy(ret_hash, entry->hash, GENIE_HASH_SIZE);
	pthread_mutex_unlock(&code->lock);
	return status;
}

CUresult
genie_code_send(const void *data, size_t size, uint8_t ret_hash[GENIE_HASH_SIZE])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, size, data);
	sha256_digest(&sha, GENIE_HASH_SIZE, ret_hash);
	return image_send(ret_hash, data, size);
}
