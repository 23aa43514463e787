/* Sizes as people write them. */
#ifndef GENIE_BASE_SIZE_H
#define GENIE_BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* "512M": a number of bytes, or of K, M, G, T (powers of 1024), upper or lower case. False: it is
 * no such text, or too large; *@ret_size is as it was. */
bool genie_size_parse(const char *text, uint64_t *ret_size);

#endif
