/*
 * Running PTX on the CPU: a warp at a time, all lanes of an instruction together, blocks on all
 * cores. Used by the CPU device; knows nothing of CUDA's objects.
 *
 * Global addresses are host addresses: the worker has device memory mapped where the client
 * placed it. An access that faults ends the launch with PTX_FAULT and says kernel, thread and
 * address.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_H

#include <stddef.h>
#include <stdint.h>

struct ptx_module;
struct ptx_kernel;

enum ptx_status {
	PTX_OK = 0,
	PTX_SYNTAX = -1,      /* the text is not PTX we understand; error names line and cause */
	PTX_UNSUPPORTED = -2, /* an instruction this machine does not have */
	PTX_NOMEM = -3,
	PTX_FAULT = -4,   /* illegal address, misaligned, trap, assert */
	PTX_INVALID = -5, /* bad launch configuration */
	PTX_ABORTED = -6,
};

struct ptx_fault {
	enum {
		PTX_FAULT_ADDRESS,
		PTX_FAULT_MISALIGNED,
		PTX_FAULT_TRAP,
		PTX_FAULT_INSTRUCTION, /* what it asks for is not possible */
		PTX_FAULT_ASSERT,
		PTX_FAULT_UNSUPPORTED
	} kind;
	uint64_t address;
	uint32_t block[3], thread[3];
	char text[384]; /* one line: kernel, line of PTX, what happened */
};

/*
 * Compiles PTX text (NUL-terminated at text[len]). Function bodies may be compiled at their first
 * launch: libraries carry thousands. Module variables are allocated with @alloc (zeroed, at least
 * 256-byte aligned, readable by the host; freed with @release).
 */
struct ptx_memory {
	void *(*alloc)(void *data, size_t size);
	void (*release)(void *data, void *ptr, size_t size);
	void *data;
};
enum ptx_status ptx_module_load(const char *text, size_t len, const struct ptx_memory *memory,
				struct ptx_module **ret_module, char *err, size_t err_size);
void ptx_module_unload(struct ptx_module *module);

/* NULL: no such kernel. Owned by the module. */
struct ptx_kernel *ptx_module_kernel(struct ptx_module *module, const char *name);
/* i-th kernel's name, NULL past the end. */
const char *ptx_module_kernel_name(const struct ptx_module *module, size_t i);
/* A .global or .const variable; 0 or -1. */
int ptx_module_global(const struct ptx_module *module, const char *name, uint64_t *ret_addr,
		      size_t *ret_size);
/* A .texref (.surfref) variable of that name: where its handle is; NULL: none. */
uint64_t *ptx_module_reference(const struct ptx_module *module, const char *name, int surface);
/* Does @addr lie in a .managed variable of it? */
int ptx_module_managed(const struct ptx_module *module, uint64_t addr);

struct ptx_kernel_info {
	const char *name;
	uint32_t param_count, param_size;
	uint32_t static_shared, local, constant, registers; /* bytes; registers are an estimate */
	uint32_t max_threads;                               /* .maxntid or 1024 */
	uint32_t req_threads[3];                            /* .reqntid, 0 = none */
	uint32_t cluster[3];                                /* .reqnctapercluster, 0 = none */
	uint32_t ptx_version;                               /* 90 for 9.0 */
	uint32_t target;                                    /* 120 for sm_120 */
};
/* Compiles the kernel and all it calls directly. 0, or a negative enum ptx_status. */
int ptx_kernel_prepare(struct ptx_kernel *kernel);
int ptx_kernel_info(struct ptx_kernel *kernel, struct ptx_kernel_info *ret_info);
int ptx_kernel_param(struct ptx_kernel *kernel, uint32_t i, uint32_t *ret_offset,
		     uint32_t *ret_size);

struct ptx_launch {
	uint32_t grid[3], block[3], cluster[3]; /* cluster 0 = 1 */
	uint32_t dynamic_shared;
	int cooperative;    /* all blocks must make progress together (grid sync) */
	const void *params; /* packed buffer */
	size_t params_size;
	void (*output)(void *data, const char *text, size_t len); /* device printf */
	/* what an assertion that fails says; NULL: output gets it */
	void (*complain)(void *data, const char *text, size_t len);
	void *output_data;
	/* A race in shared memory, if they are looked for: one line. */
	void (*report)(void *data, const char *line);
	uint32_t depth; /* of a launch by a kernel; 0: by the host */
	/* In a graph: its handle, if kernels may launch it, and what launches one (on any thread
	 * that runs the kernel; a cudaError_t). NULL: the kernel is not in a graph. */
	uint64_t graph_exec;
	uint32_t (*graph_launch)(void *data, uint64_t exec, uint64_t stream);
	void *graph_data;
	/* The multiprocessors to use, a thread for each; NULL: all. */
	const uint16_t *sms;
	uint32_t sm_count;
};
/* Runs the kernel to its end on all cores. Thread-safe for different launches. */
enum ptx_status ptx_run(struct ptx_kernel *kernel, const struct ptx_launch *launch,
			struct ptx_fault *ret_fault);

/*
 * A texture or a surface: what a 64-bit handle in a program stands for. Bind it when the object is
 * made, unbind it before its memory goes. Thread-safe. Rows and planes are linear in memory.
 */
enum ptx_image_format {
	PTX_IMAGE_U8,
	PTX_IMAGE_S8,
	PTX_IMAGE_U16,
	PTX_IMAGE_S16,
	PTX_IMAGE_U32,
	PTX_IMAGE_S32,
	PTX_IMAGE_F16,
	PTX_IMAGE_F32,
};

enum ptx_image_address { /* the values of CUaddress_mode */
			 PTX_IMAGE_WRAP,
			 PTX_IMAGE_CLAMP,
			 PTX_IMAGE_MIRROR,
			 PTX_IMAGE_BORDER,
};

enum { PTX_IMAGE_SMALLER = 16 };

struct ptx_image_level {
	void *data;
	uint32_t width, height, depth;
	size_t pitch, slice;
};

struct ptx_image {
	void *data;
	uint32_t width, height, depth; /* in elements; 1 where there is no such dimension */
	uint32_t layers;               /* 0: not layered; a cube has 6, a cube array 6 each */
	size_t pitch, slice;           /* bytes from row to row, from plane or layer to the next */
	enum ptx_image_format format;
	uint32_t channels; /* 1, 2, 4 */
	/* textures only */
	int buffer;             /* linear memory: nothing outside of it, read by tex1Dfetch */
	int read_as_float;      /* integers become 0…1 or -1…1 */
	int normalized, linear; /* coordinates 0…1; interpolation */
	enum ptx_image_address address[3];
	float border[4];
	int srgb;     /* 8-bit colours are encoded so */
	int seamless; /* a cube's faces are filtered across their edges */
	/* levels of detail behind the first one */
	uint32_t smaller_count;
	struct ptx_image_level smaller[PTX_IMAGE_SMALLER];
	int level_linear; /* interpolate between levels */
	float level_bias, level_min, level_max;
};

/* 0, or -1: out of memory. A handle that is bound already is bound anew. */
int ptx_image_bind(uint64_t handle, const struct ptx_image *image);
void ptx_image_unbind(uint64_t handle);
/* Bytes. */
uint32_t ptx_image_element_size(const struct ptx_image *image);

/*
 * What a program passes as a tensor map: 128 bytes that only who made it understands. The address
 * comes first, as in the maps of GPUs: it may be exchanged without asking.
 */
enum ptx_tensor_swizzle { PTX_SWIZZLE_NONE, PTX_SWIZZLE_32, PTX_SWIZZLE_64, PTX_SWIZZLE_128 };
enum { PTX_TENSOR_MAGIC = 0x704d5447, PTX_TENSOR_RANK = 5 };

struct ptx_tensor_map {
	uint64_t address;
	uint32_t magic;
	uint8_t element; /* bytes */
	uint8_t rank;
	uint8_t swizzle;                      /* of 16-byte pieces in shared memory */
	uint8_t fill;                         /* bytes of what is outside: 2, 4, 8: a NaN */
	uint64_t stride[PTX_TENSOR_RANK - 1]; /* bytes from one to the next in dimension 1, 2, … */
	uint32_t last[PTX_TENSOR_RANK];       /* elements, less one */
	uint16_t box[PTX_TENSOR_RANK];        /* elements copied at a time */
	uint8_t step[PTX_TENSOR_RANK];        /* every how many of them */
	uint8_t bfloat, pad[44];
};
_Static_assert(sizeof(struct ptx_tensor_map) == 128, "a CUtensorMap");

/*
 * Checked execution (GENIE_CPU_CHECK=bounds,race). With bounds, who hands out global memory says
 * where it lies; memory on pages of 2 MiB about which nothing was said is not looked at.
 */
enum { PTX_CHECK_BOUNDS = 1, PTX_CHECK_RACE = 2 };
unsigned int ptx_check_flags(void);
void ptx_bounds_note(uint64_t base, uint64_t size);
void ptx_bounds_freed(uint64_t base);
/* Nothing of it is there any more. */
void ptx_bounds_forget(uint64_t base, uint64_t size);

/*
 * A condition that kernels set by cudaGraphSetConditional: its handle is made known before and
 * forgotten when nothing can set it any more. Thread-safe. An unknown one reads as 0.
 */
int ptx_condition_bind(uint64_t handle); /* 0, or -1: out of memory */
void ptx_condition_unbind(uint64_t handle);
int ptx_condition_set(uint64_t handle, uint32_t value); /* -1: no such condition */
uint32_t ptx_condition_get(uint64_t handle);

/* Threads used (GENIE_CPU_THREADS, default: all cores). */
int ptx_threads(void);

#endif
