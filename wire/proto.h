/*
 * What travels: the fixed structs of the command stream. docs/wire-format.md is the prose.
 *
 * Everything is little endian and naturally aligned; every struct size is asserted below. Values
 * are never reused: retired ones stay, marked so. A change here changes GENIE_WIRE_VERSION, the
 * table in docs/wire-format.md and tests/vectors, in one commit.
 */
#ifndef GENIE_WIRE_PROTO_H
#define GENIE_WIRE_PROTO_H

#include <stddef.h>
#include <stdint.h>

#define GENIE_WIRE_MAGIC   UINT64_C(0x0031454e4945471a) /* "\x1aGENIE1\0" */
#define GENIE_WIRE_VERSION 2

/* Limits both sides rely on. */
#define GENIE_LANES_MAX   64           /* command rings of one session */
#define GENIE_LANE_RING   (512u << 10) /* bytes of one command ring, a power of two */
#define GENIE_CMD_MAX     (64u << 10)  /* bytes of one command, header included */
#define GENIE_REPLY_MAX   (64u << 10)  /* payload bytes of one reply */
#define GENIE_INLINE_MAX  (16u << 10)  /* copies up to this size travel in the command */
#define GENIE_SLOTS_MAX   (1u << 20)   /* progress slots, see below */
#define GENIE_DEVICES_MAX 64           /* devices of one session */
#define GENIE_ATTRS_MAX   256          /* device attributes, index = CUdevice_attribute */
#define GENIE_BULK_CHUNK  (1u << 20)   /* bytes of one staging slot */
#define GENIE_UPLOAD_MIN  (64u << 10)  /* bytes of a chunk that is kept and named: less is sent */
#define GENIE_BULK_UP     32           /* staging slots, client to worker */
#define GENIE_BULK_DOWN   32           /* staging slots, worker to client */
#define GENIE_BYTES_MAX   (UINT64_C(1) << 46)   /* no size that a peer names may exceed this */
#define GENIE_CREDIT_MAX  (UINT64_C(256) << 20) /* credit kept of memory that was unmapped */

/*
 * Windows of addresses. Asked for by the client in HELLO, granted by the worker in WELCOME: they
 * are negotiated because another driver or a sanitizer build may need another place.
 */
#define GENIE_DEVICE_WINDOW_BASE UINT64_C(0x200000000000)
#define GENIE_DEVICE_WINDOW_SIZE UINT64_C(0x100000000000) /* 16 TiB */
#define GENIE_PINNED_WINDOW_BASE UINT64_C(0x300000000000)
#define GENIE_PINNED_WINDOW_SIZE UINT64_C(0x004000000000) /* 256 GiB */

/*
 * Progress slots: slot n holds the ticket up to which "what n stands for" is done. Which slot an
 * object uses follows from its token's index, so it needs no message.
 */
#define GENIE_SLOT_STREAM    0u /* + index of the stream's token */
#define GENIE_SLOT_STREAMS   65536u
#define GENIE_SLOT_EVENT     65536u /* + index of the event's token */
#define GENIE_SLOT_EVENTS    786432u
#define GENIE_SLOT_BULK_UP   851968u /* + staging slot, client to worker: free again */
#define GENIE_SLOT_BULK_DOWN 852032u /* + staging slot, worker to client: filled */
#define GENIE_SLOT_CTX       852096u /* + index of the context's token: all its streams */
#define GENIE_SLOT_CTXS      1024u
#define GENIE_SLOT_OUTPUT    853120u /* no ticket: bytes of text sent so far, see frame.h */

/* A command. The payload follows: the args struct of op, encoded by wire/codec.c. */
struct genie_cmd {
	uint32_t len;    /* header and payload, a multiple of 8, at most GENIE_CMD_MAX */
	uint16_t op;     /* api/opcodes.txt; GENIE_OP_NOP pads a ring to its end */
	uint16_t flags;  /* enum genie_cmd_flag */
	uint32_t ctx;    /* index of the context token the call runs in, 0 = none */
	uint32_t lane;   /* of the calling thread; a reply goes back there */
	uint64_t ticket; /* position in the program's order, from 1, no gaps */
};

enum genie_cmd_flag {
	GENIE_CMD_REPLY = 1, /* the caller waits for a struct genie_reply */
	GENIE_CMD_WAIT = 2,  /* the caller waits for its progress at once: it sends by itself */
};

/* An answer to a command with GENIE_CMD_REPLY. The payload follows. */
struct genie_reply {
	uint32_t len;    /* header and payload, a multiple of 8 */
	int32_t status;  /* CUresult (or nvmlReturn_t) of the call */
	uint64_t ticket; /* of the command */
};

/*
 * The first failure of a command nobody waits for. Published by the worker, picked up by the next
 * call that may report it.
 */
struct genie_async_error {
	uint64_t ticket; /* command that failed; 0 = none */
	int32_t status;  /* CUresult */
	uint32_t op;     /* what failed */
	uint32_t sticky; /* the context is lost: every later call reports it too */
	uint32_t pad;
};

/* "Everything that slot stood for is done up to and including ticket." */
struct genie_progress {
	uint64_t ticket;
	uint32_t slot;
	uint32_t pad;
	uint64_t bulk; /* TCP: valid once the client received this many bulk bytes */
};

/* Handshake, in this order: PREAMBLE (server), HELLO (client), WELCOME (server). */
struct genie_preamble {
	uint64_t magic;
	uint32_t version_min, version_max;
	uint8_t nonce[32]; /* HMAC-SHA-256 over it, keyed with the token, proves the client */
	uint32_t flags;    /* GENIE_PREAMBLE_* */
	uint32_t pad;
};
#define GENIE_PREAMBLE_TOKEN 1 /* the server wants a token */

enum genie_hello_kind {
	GENIE_HELLO_SESSION = 1, /* open a session */
	GENIE_HELLO_BULK = 2,    /* TCP: add the bulk connection to session join_id */
	GENIE_HELLO_QUERY =
		3, /* only ask what is there (genie doctor); server closes after WELCOME */
};

struct genie_hello {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;
	uint8_t mac[32];       /* zero when no token is set */
	uint8_t join_id[16];   /* GENIE_HELLO_BULK: from WELCOME */
	uint32_t struct_sizes; /* genie_struct_sizes(): both sides agree on every struct here */
	uint32_t api_hash;     /* of op ids and descriptor rows: generated */
	uint32_t cmd_max;      /* limits this client was built with */
	uint32_t reply_max;
	uint64_t device_window, device_window_size;
	uint64_t pinned_window, pinned_window_size;
	uint32_t pid; /* for the server's log only */
	uint32_t flags;
	char program[64]; /* for the server's log only */
};

enum genie_welcome_status {
	GENIE_WELCOME_OK = 0,
	GENIE_WELCOME_VERSION = 1,  /* no common version, or struct sizes differ */
	GENIE_WELCOME_DENIED = 2,   /* wrong or missing token */
	GENIE_WELCOME_FULL = 3,     /* quota */
	GENIE_WELCOME_NODEVICE = 4, /* the device could not be opened; reason says why */
	GENIE_WELCOME_BAD = 5,      /* malformed hello */
};

struct genie_welcome {
	uint64_t magic;
	uint32_t version;
	uint32_t status; /* enum genie_welcome_status */
	uint8_t session_id[16];
	uint32_t struct_sizes;
	uint32_t api_hash;
	uint32_t driver_version; /* cuDriverGetVersion of the server, e.g. 13000 */
	uint32_t device_count;   /* struct genie_device_info follow */
	uint64_t device_window, device_window_size;
	uint64_t pinned_window, pinned_window_size;
	uint32_t device_kind; /* enum genie_device_kind */
	uint32_t flags;       /* GENIE_WELCOME_F_* */
	char device_name[32]; /* "cuda", "cpu", "record" */
	char reason[128];     /* when status is not OK: what to tell the user */
};
#define GENIE_WELCOME_F_SHARED_PINNED 1 /* the pinned window is the same memory on both sides */
#define GENIE_WELCOME_F_RANGES        2 /* wants to know of every allocation (genieNativeRange) */
#define GENIE_WELCOME_F_UPLOADS       4 /* has uploads of earlier sessions (genieUploadNames) */

enum genie_device_kind {
	GENIE_DEVICE_CUDA = 1,
	GENIE_DEVICE_CPU = 2,
	GENIE_DEVICE_RECORD = 3,
};

/* Everything a program asks about a device, so that asking costs nothing. */
struct genie_device_info {
	char name[256];
	uint8_t uuid[16];
	uint8_t luid[8];
	uint32_t luid_mask;
	uint32_t luid_valid;
	uint64_t total_mem;
	uint64_t credit; /* bytes the client may map before it must ask for more */
	char pci_bus_id[32];
	int32_t stream_priority_low, stream_priority_high;
	uint64_t limits[16];  /* index = CUlimit */
	uint32_t image_kinds; /* GENIE_IMAGE_*: what this device can run */
	uint32_t attr_count;
	int32_t attrs[GENIE_ATTRS_MAX]; /* index = CUdevice_attribute */
};
#define GENIE_IMAGE_PTX  1 /* PTX text */
#define GENIE_IMAGE_SASS 2 /* cubins of this device's architecture */
#define GENIE_IMAGE_ANY  4 /* takes any image, runs none (record) */

/* genieModuleLoad: flags. */
#define GENIE_MODULE_PRINTS 1u /* its kernels may call printf: ask the device for text */

_Static_assert(sizeof(struct genie_cmd) == 24, "wire");
_Static_assert(sizeof(struct genie_reply) == 16, "wire");
_Static_assert(sizeof(struct genie_async_error) == 24, "wire");
_Static_assert(sizeof(struct genie_progress) == 24, "wire");
_Static_assert(sizeof(struct genie_preamble) == 56, "wire");
_Static_assert(sizeof(struct genie_hello) == 184, "wire");
_Static_assert(sizeof(struct genie_welcome) == 248, "wire");
_Static_assert(sizeof(struct genie_device_info) == 1504, "wire");

#endif
