#include "transport/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/net.h"

#define BUFFER_SIZE (256u << 10)

_Static_assert(BUFFER_SIZE >= 2 * (sizeof(struct genie_frame) + GENIE_FRAME_MAX),
	       "room for a whole frame wherever one begins");

int
genie_frames_init(struct genie_frames *frames)
{
	*frames = (struct genie_frames){.buf = malloc(BUFFER_SIZE), .size = BUFFER_SIZE};
	return frames->buf ? 0 : -ENOMEM;
}

void
genie_frames_fini(struct genie_frames *frames)
{
	free(frames->buf);
	*frames = (struct genie_frames){0};
}

int
genie_frames_fill(struct genie_frames *frames, int fd)
{
	ssize_t n;

	if (frames->start == frames->end) {
		frames->start = frames->end = 0;
	} else if (frames->start > frames->size / 2) {
		memmove(frames->buf, frames->buf + frames->start, frames->end - frames->start);
		frames->end -= frames->start;
		frames->start = 0;
	}
	if (frames->end == frames->size)
		return 0; /* full of frames that the caller holds back */
	n = genie_net_recv(fd, frames->buf + frames->end, frames->size - frames->end);
	if (n > 0)
		frames->end += (size_t)n;
	return (int)n;
}

int
genie_frames_next(struct genie_frames *frames, struct genie_frame *ret_frame,
		  const void **ret_payload)
{
	size_t have = frames->end - frames->start;
	struct genie_frame frame;

	if (have < sizeof(frame))
		return 0;
	memcpy(&frame, frames->buf + frames->start, sizeof(frame));
	if (frame.len > GENIE_FRAME_MAX)
		return -EPROTO;
	if (have < sizeof(frame) + frame.len)
		return 0;
	*ret_payload = frames->buf + frames->start + sizeof(frame);
	*ret_frame = frame;
	frames->start += sizeof(frame) + frame.len;
	return 1;
}
