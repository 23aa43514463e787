/*
 * A server that answers rightly until its script says otherwise: one thread in the client's own
 * process, over socket pairs, so that a run takes no port and no file.
 */
#ifndef GENIE_TESTS_FUZZ_CLIENT_HOSTILE_H
#define GENIE_TESTS_FUZZ_CLIENT_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTILE_LIES_MAX  16
#define HOSTILE_BYTES_MAX 64

/* What a lie waits for: only messages of its class count. */
enum hostile_class {
	HOSTILE_ANY,
	HOSTILE_PREAMBLE,
	HOSTILE_WELCOME,
	HOSTILE_DEVICES,
	HOSTILE_REPLY,
	HOSTILE_PROGRESS,
	HOSTILE_BULK,
	HOSTILE_COMMAND, /* no message: a command has come */
	HOSTILE_CLASSES
};

enum hostile_kind {
	HOSTILE_XOR,       /* the byte at .where */
	HOSTILE_SET32,     /* at .where */
	HOSTILE_SET64,     /* at .where */
	HOSTILE_TRUNCATE,  /* to .where bytes */
	HOSTILE_DROP,      /* it is never sent */
	HOSTILE_DUPLICATE, /* it is sent twice */
	HOSTILE_CLOSE,     /* .value & 1: the first connection, & 2: the second */
	HOSTILE_RAW,       /* .bytes on the first connection, before it */
	HOSTILE_RAW_BULK,  /* .bytes on the second */
	HOSTILE_FRAME,     /* a frame of type .where with .bytes */
	HOSTILE_STATUS,    /* the call failed with .value */
	HOSTILE_PAYLOAD,   /* .bytes into the answer at .where, which stays well formed */
	HOSTILE_SCRIBBLE,  /* .value into the shared memory, .where says in what */
	HOSTILE_SILENCE,   /* from here on nothing is sent */
	HOSTILE_MEMORY,    /* the descriptors of WELCOME: 4 bits of .value each */
	HOSTILE_SHRINK,    /* descriptor .value is cut to .where pages */
	HOSTILE_NOTE,      /* progress, host function: .where says which, .value the slot or id */
	HOSTILE_DATA,      /* a bulk frame for slot .where with .value bytes */
	HOSTILE_ERROR,     /* an asynchronous error with status .value */
	HOSTILE_RESIZE,    /* an answer of .where bytes, well formed but for that */
	HOSTILE_KINDS
};

struct hostile_lie {
	enum hostile_kind kind;
	enum hostile_class target;
	unsigned after; /* so many messages of that class are still right */
	uint16_t where;
	uint64_t value;
	uint8_t bytes[HOSTILE_BYTES_MAX];
	size_t len;
};

/* What is true of the whole session. */
enum hostile_mode {
	HOSTILE_TCP = 1,
	HOSTILE_APART = 2,   /* the pinned window is not shared */
	HOSTILE_RANGES = 4,  /* wants to hear of allocations */
	HOSTILE_ONE = 8,     /* one device instead of two */
	HOSTILE_SASS = 16,   /* they run machine code, too */
	HOSTILE_CACHED = 32, /* knows every image */
};

struct hostile_script {
	unsigned mode;
	unsigned lie_count;
	struct hostile_lie lies[HOSTILE_LIES_MAX];
};

void hostile_start(const struct hostile_script *script);
/* The client connects; 0 or negative errno. Any thread. */
int hostile_connect(bool is_shm, int *ret_fd);
/* The server is gone. */
void hostile_end(void);

#endif
