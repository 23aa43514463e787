/*
 * The pages behind a range of addresses of this process, replaced while the program uses them.
 *
 * Memory that the program has registered is to be the worker's memory too. So the pages of the
 * pinned window take the place of those that were there, with the same contents, and private pages
 * take their place again later. To the program's other threads that is one instant: who reads sees
 * the same bytes before and after it, who writes is held back while the bytes are copied
 * (userfaultfd's write protection, taken away with the mapping it was for). A thread of the program
 * has its system calls held back too where this process may ask for that; else one that writes
 * there in those microseconds fails with EFAULT. Where the kernel holds nobody back, nothing is
 * replaced unless the calling thread is the only one of the program.
 * A few MiB are replaced at a time, so nobody waits long.
 */
#ifndef GENIE_INTERPOSE_REMAP_H
#define GENIE_INTERPOSE_REMAP_H

#include <stdbool.h>
#include <stdint.h>

/* All ranges here are whole pages. Functions return 0 or -errno, and keep errno. */

/*
 * Why the pages of [@addr, @addr + @size) have to stay, or NULL: private memory without a file,
 * readable and writable, without a property that the window's pages do not have. Not the calling
 * thread's own stack or thread-local storage either.
 */
const char *genie_remap_obstacle(uint64_t addr, uint64_t size);

/*
 * Makes @size bytes of the shared mapping at @window appear at @addr, with the contents that are
 * at @addr now. -EPERM: other threads cannot be held back. After a failure @addr is as it was,
 * except after -EUCLEAN: parts could not be put back, and are still the window's.
 */
int genie_remap_in(uint64_t addr, uint64_t window, uint64_t size);

/*
 * Makes private memory of all of [@addr, @addr + @size) that still is the memory at @window, which
 * the program may have unmapped or moved. -EUCLEAN: something of @window can still be seen, or its
 * place in the file must stay unused for another reason. @fd: the window's file, or -1; it is used
 * where nobody can be held back.
 */
int genie_remap_out(uint64_t addr, uint64_t window, uint64_t size, int fd);

/* Calls @fn for each part of [@addr, @addr + @size) that still is the memory at @window. */
int genie_remap_each(uint64_t addr, uint64_t window, uint64_t size,
		     void (*fn)(uint64_t addr, uint64_t size, void *data), void *data);

/*
 * For a fork. Makes the page at @addr private; and later the window's again, which gets the bytes
 * that were changed in between. @was: two pages, for the first function's use and the second's.
 */
int genie_remap_page_out(uint64_t addr, void *was);
int genie_remap_page_in(uint64_t addr, uint64_t window, void *was);

/* Copies between places of this process; -EFAULT where something is not mapped. */
int genie_remap_copy(uint64_t dst, uint64_t src, uint64_t size);
/* Moves @size bytes of private memory from @from to @addr, over what is there. */
int genie_remap_move(uint64_t addr, uint64_t from, uint64_t size);

uint64_t genie_remap_page_size(void);

#endif
