/*
 * Linking PTX: separately compiled modules (nvcc -rdc=true) made one. A device that has no machine
 * code of a program's architecture gets the text of all its parts, and calls and variables cross
 * them.
 */
#ifndef GENIE_INTERPOSE_LINK_H
#define GENIE_INTERPOSE_LINK_H

#include <stddef.h>

/*
 * Makes one module of @count texts. 0, -EINVAL: a text is not PTX that can be understood, -ENOMEM.
 * *@ret_text ends with a NUL that *@ret_size does not count (free with free()). What remains
 * undefined stays so: the device's compiler says what is missing.
 */
int genie_link_ptx(const char *const *texts, size_t count, char **ret_text, size_t *ret_size);

/* 1: @text needs a function or variable that it does not define, whose name goes to @ret_name; 0:
 * it is complete; negative errno. */
int genie_link_undefined(const char *text, char *ret_name, size_t size);

#endif
