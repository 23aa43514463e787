/* Image files: written whole or not at all, believed only if their hash is right. */
#ifndef GENIE_REMOTE_STORE_FILE_H
#define GENIE_REMOTE_STORE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Opens (makes) the folder. A descriptor, or negative errno: also when somebody else could write
 * to it. */
int genie_store_file_open(const char *dir);

/* Reads and checks an image: 0 and *ret_data (free with free(); zeros behind its end), -ENOENT, or
 * what went wrong; a file that is not what its name says is removed. */
int genie_store_file_load(int dir, const uint8_t *hash, uint8_t **ret_data, size_t *ret_size);

/* Writes an image. 0 or negative errno. */
int genie_store_file_save(int dir, const uint8_t *hash, const uint8_t *data, size_t size);

/* The file of that name is used now: 0, or negative errno (-ENOENT: there is none). */
int genie_store_file_touch(int dir, const uint8_t *hash);

/* The first eight bytes of the names of at most @max files: how many. */
size_t genie_store_file_names(int dir, uint64_t *ret_heads, size_t max);

/* Removes the files not used for the longest time until at most @max bytes are left. */
void genie_store_file_trim(int dir, uint64_t max);

void genie_store_hash(const void *data, size_t size, uint8_t *ret_hash);

/* Room behind an image's end, filled with zeros: PTX text ends with one, and parsers that look a
 * little too far find nothing. */
#define GENIE_STORE_PAD 64

#endif
