/*
 * How long submitting takes, for GENIE_STATS: of one submitting call in about SAMPLE_MEAN, chosen
 * at random so that a program's own rhythm does not decide which. For all others this costs one
 * decrement of a thread's variable.
 */
#ifndef GENIE_INTERPOSE_SAMPLE_H
#define GENIE_INTERPOSE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct genie_sample {
	uint64_t begin_ns;  /* at the entry */
	uint64_t known_ns;  /* all that the command needs is known */
	uint64_t room_ns;   /* and it has its place in the ring, which it may have waited for */
	uint64_t commit_ns; /* it is published */
};
struct genie_sample_sums {
	uint64_t calls, capture_ns, encode_ns;
};

/* Of this thread: calls until the next sample. */
extern __thread uint32_t genie_sample_left __attribute__((tls_model("initial-exec")));

bool genie_sample_slow(void);
/* Is this call one? Asked once a call. Who is asked has its body twice, so that the usual one is as
 * if there were no samples: always_inline, with a sample or NULL. */
static inline bool
genie_sample_due(void)
{
	return __builtin_expect(genie_sample_left-- == 0, 0) && genie_sample_slow();
}
uint64_t genie_sample_now(void);
void genie_sample_add(const struct genie_sample *sample);

/* Statistics are asked for: samples are taken from now on. */
void genie_sample_init(void);
void genie_sample_sums(struct genie_sample_sums *ret_sums);

#endif
