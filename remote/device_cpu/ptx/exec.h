/*
 * The machine while it runs: launches, blocks, warps, frames.
 *
 * A warp is a set of fragments: lanes at the same instruction of the same frame. A warp that has
 * not diverged is one fragment. The fragment with the deepest frame and the lowest instruction
 * runs; when it reaches an instruction where another fragment of its frame waits, they merge.
 * Lowering lays blocks out so that this is the earliest point where they can meet.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_H

#include <pthread.h>
#include <stdint.h>

#include "remote/device_cpu/ptx.h"
#include "remote/device_cpu/ptx/code.h"

enum {
	PTX_BARRIERS = 16,
	PTX_MAX_THREADS = 1024, /* of a block */
	PTX_MAX_WARPS = PTX_MAX_THREADS / PTX_LANES,
	PTX_BUDGET = 4096,    /* backward branches before other warps get a turn */
	PTX_MAX_DEPTH = 4096, /* of calls */
	/* Behind a block's shared memory, for programs that ask where the system's own part is. */
	PTX_RESERVED_SHARED = 2048,
};

/* What insn->n says of instructions that come in several kinds. */
enum { PTX_SHFL_IDX, PTX_SHFL_UP, PTX_SHFL_DOWN, PTX_SHFL_BFLY };
enum { PTX_VOTE_ALL, PTX_VOTE_ANY, PTX_VOTE_UNI, PTX_VOTE_BALLOT };
enum {
	PTX_MBAR_INIT,
	PTX_MBAR_ARRIVE,
	PTX_MBAR_ARRIVE_EXPECT,
	PTX_MBAR_ARRIVE_DROP,
	PTX_MBAR_EXPECT,
	PTX_MBAR_COMPLETE,
};
enum { PTX_BAR_SYNC, PTX_BAR_ARRIVE, PTX_BAR_POPC, PTX_BAR_AND, PTX_BAR_OR };

enum ptx_event {
	PTX_EVENT_NONE,
	PTX_EVENT_SWITCH,  /* the fragments changed: choose again */
	PTX_EVENT_BLOCKED, /* the fragment waits */
	PTX_EVENT_YIELD,   /* let others run, then go on */
	PTX_EVENT_FAULT,
};

enum ptx_fragment_state {
	PTX_READY,
	PTX_WAIT_WARP,    /* at an instruction that needs more lanes of the warp */
	PTX_WAIT_BARRIER, /* arrived; goes on behind it when it completes */
	PTX_WAIT_CLUSTER, /* the same at the cluster's barrier */
};

struct ptx_frame {
	const struct ptx_code *code;
	struct ptx_frame *parent;
	const struct ptx_insn *call; /* that made this frame */
	struct ptx_frame *next;      /* in a list of free frames */
	uint32_t live;               /* lanes in this frame or in frames called from it */
	uint32_t depth;
	uint32_t local_base; /* where this frame begins in a lane's local memory */
	_Alignas(64) uint8_t regs[];
};

struct ptx_fragment {
	struct ptx_frame *frame;
	const struct ptx_insn *pc;
	uint32_t mask;
	uint8_t state;
	uint8_t barrier;    /* PTX_WAIT_BARRIER */
	uint8_t behind;     /* used up its turn; others go first */
	uint8_t released;   /* all lanes it waited for have come */
	uint32_t sync_mask; /* PTX_WAIT_WARP: the lanes that must come */
};

/* A range of addresses that begin at 0: shared memory, kernel parameters. */
struct ptx_window {
	uint8_t *base;
	uint64_t size;
};

enum { PTX_WINDOW_SHARED, PTX_WINDOW_PARAM, PTX_WINDOW_COUNT };

struct ptx_warp {
	uint32_t mask; /* active lanes of the running fragment */
	uint32_t budget;
	enum ptx_event event;
	uint32_t current;          /* the running fragment */
	const struct ptx_insn *pc; /* where it stopped, or the access that may fault */
	struct ptx_frame *frame;
	struct ptx_window windows[PTX_WINDOW_COUNT];
	uint8_t *local; /* of lane 0 */
	uint64_t local_stride;
	struct ptx_block *block;
	const struct ptx_launch_state *launch;
	struct ptx_frame *root; /* the kernel's frame */
	uint32_t id;            /* in the block */
	uint32_t live;          /* lanes that have not exited */
	uint32_t nfragments;
	struct ptx_fragment fragments[PTX_LANES];
	/* Per barrier: lanes that have arrived and wait or have passed by .arrive. */
	uint32_t arrived[PTX_BARRIERS];
	uint32_t cluster_arrived; /* the same at the cluster's barrier */
};

struct ptx_barrier {
	uint32_t expected; /* threads; 0: all of the block */
	uint32_t count;    /* .red: how many predicates were true */
	uint32_t votes;    /* .red: how many took part */
};

struct ptx_frame_pool {
	const struct ptx_code *code;
	struct ptx_frame *free;
	struct ptx_frame_pool *next;
};

/* A block in execution, or the place where blocks are executed one after another. */
struct ptx_block {
	const struct ptx_launch_state *launch;
	uint32_t id[3];
	uint32_t nwarps, live_threads;
	struct ptx_warp *warps;
	struct ptx_barrier barriers[PTX_BARRIERS];
	uint32_t active_barriers; /* mask of those that somebody has reached */
	uint8_t *shared;
	uint64_t shared_size;
	uint8_t *local; /* mapped */
	uint64_t local_size;
	struct ptx_frame_pool *pools;
	struct ptx_fault *fault; /* where to report */
	int faulted;
	struct ptx_cluster *cluster;
	struct ptx_race *race; /* NULL: races are not looked for */
	uint64_t turns;        /* times it yielded without finishing */
	struct ptx_block *next;
	uint32_t worker; /* the thread that runs it */
};

/* Blocks that run together on one thread and see each other's shared memory; often just one. */
struct ptx_cluster {
	uint32_t size, unfinished;
	struct ptx_cluster *next;     /* of a worker's, in use or spare */
	struct ptx_cluster *next_all; /* of all that a worker made */
	struct ptx_block *blocks[];
};

/* What all blocks of a launch share. */
struct ptx_launch_state {
	const struct ptx_kernel *kernel;
	const struct ptx_launch *args;
	uint64_t nclusters;
	uint32_t nthreads, nwarps; /* of a block */
	uint32_t cluster[3];
	uint32_t shared_total;
	uint64_t local_stride;
	uint32_t param_size;
	uint8_t *params; /* a copy, padded */
	uint64_t grid_id;
	uint32_t *workspace; /* of cooperative launches: its size, the grid's barrier */
	_Atomic uint64_t next_cluster;
	_Atomic int stop; /* a fault: no more instructions */
	_Atomic int no_memory;
	pthread_mutex_t output_lock; /* held while output is called */
	pthread_mutex_t lock;        /* guards fault, faulted, and the children */
	struct ptx_fault fault;
	int faulted;
	/* What its threads launch (children.c): prepared, and launched in this order. */
	struct ptx_child *prepared, *launched, *last_launched;
	uint32_t child_count;
};

/* warp.c */
/* Runs until the warp ends, waits, yields or faults. */
enum ptx_event ptx_warp_run(struct ptx_warp *warp);
void ptx_warp_begin(struct ptx_warp *warp, uint32_t lanes);
/* Handlers stop the running fragment with these; they return NULL for the handler to return. */
const struct ptx_insn *ptx_warp_stop(struct ptx_warp *warp, const struct ptx_insn *resume,
				     enum ptx_event event);
/* Splits the lanes of @taken off the running fragment to go on at @target. */
const struct ptx_insn *ptx_warp_split(struct ptx_warp *warp, uint32_t taken,
				      const struct ptx_insn *target, const struct ptx_insn *next);
/*
 * A branch that only the lanes of @taken take. Lanes that leave a loop one after another gather
 * where the first of them waits, and the rest goes on at once: the instruction is returned.
 */
const struct ptx_insn *ptx_warp_branch(struct ptx_warp *warp, uint32_t taken,
				       const struct ptx_insn *target, const struct ptx_insn *next);
const struct ptx_insn *ptx_warp_exit(struct ptx_warp *warp, uint32_t lanes,
				     const struct ptx_insn *next);
const struct ptx_insn *ptx_warp_call(struct ptx_warp *warp, const struct ptx_insn *insn);
const struct ptx_insn *ptx_warp_return(struct ptx_warp *warp);
/*
 * For instructions that need all lanes of @mask: 1: they are here; 0: the fragment must wait (the
 * handler returns NULL at once).
 */
int ptx_warp_gather(struct ptx_warp *warp, const struct ptx_insn *insn, uint32_t mask);

/* Lets all fragments go on that wait for lanes of their warp; 0: there are none. */
int ptx_warp_release_all(struct ptx_warp *warp);

/* frame.c */
struct ptx_frame *ptx_frame_new(struct ptx_warp *warp, const struct ptx_code *code,
				struct ptx_frame *parent);
void ptx_frame_drop(struct ptx_block *block, struct ptx_frame *frame);
void ptx_frame_pools_free(struct ptx_block *block);
/* Fills in the values that change from block to block. */
void ptx_frame_enter_block(struct ptx_warp *warp, struct ptx_frame *frame);
uint64_t ptx_special_value(const struct ptx_warp *warp, enum ptx_special special, uint32_t lane);

/* barrier.c */
struct ptx_barrier_request {
	uint32_t id, expected; /* 0: the whole block */
	int wait;              /* 0: .arrive */
	int reduce;            /* .red: predicate takes part */
	uint32_t predicate;    /* of the arriving lanes */
};
/* 1: complete, go on; 0: the fragment now waits. */
int ptx_barrier_arrive(struct ptx_warp *warp, const struct ptx_insn *insn,
		       const struct ptx_barrier_request *request);
/* Threads have exited: barriers of the whole block may be complete. */
void ptx_barrier_recheck(struct ptx_block *block);

/* cluster.c */
/* barrier.cluster.arrive (@arrive) and .wait: 1: go on; 0: the fragment now waits. */
int ptx_cluster_barrier(struct ptx_warp *warp, const struct ptx_insn *insn, int arrive);
void ptx_cluster_recheck(struct ptx_cluster *cluster);
/* The host address of an address of the cluster's shared memory; 0: there is none. */
uint64_t ptx_cluster_address(const struct ptx_warp *warp, uint32_t address);
/* The same place in the shared memory of block @rank; 0: there is none. */
uint32_t ptx_cluster_map_32(const struct ptx_warp *warp, uint32_t address, uint32_t rank);
uint64_t ptx_cluster_map_64(const struct ptx_warp *warp, uint64_t address, uint32_t rank);
uint32_t ptx_cluster_rank(const struct ptx_block *block);
uint32_t ptx_cluster_rank_of(const struct ptx_warp *warp, uint64_t address);

/* fault.c */
const struct ptx_insn *ptx_fault(struct ptx_warp *warp, const struct ptx_insn *insn, int kind,
				 uint32_t lane, uint64_t address, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
void ptx_fault_install(void);
/* Reports the access that ended in a signal, of the warp that this thread ran. */
void ptx_fault_signal(void);

/* printf.c, heap.c */
const struct ptx_insn *ptx_builtin_call(struct ptx_warp *warp, const struct ptx_insn *insn,
					struct ptx_function *function);

#endif
