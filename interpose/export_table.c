#include "interpose/export_table.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "interpose/ctx.h"
#include "interpose/integrity.h"

/*
 * Slot 0 of a table is its size in bytes (only context-local storage has none); the sizes are
 * those of the vendor's driver, because a caller may check that a slot exists.
 */
#define CUDART_SLOTS        13
#define TOOLS_TLS_SLOTS     3
#define TOOLS_HOOKS_SLOTS   7
#define CTX_CHECKS_SLOTS    15
#define INTEGRITY_SLOTS     3
#define TOOLS_CONTEXT_SLOTS 93
#define TOOLS_MODULE_SLOTS  99
#define CUBLASLT_SLOTS      17

#define SIZE(slots) ((void *)(uintptr_t)((slots) * sizeof(void *)))

/* ---- slots nobody was seen to call ---- */

static CUresult
slot_unknown(void)
{
	static atomic_bool said;

	if (!atomic_exchange_explicit(&said, true, memory_order_relaxed))
		genie_warn("an unknown entry of an export table was called; please report which "
			   "library does (GENIE_LOG=debug)");
	return CUDA_ERROR_NOT_SUPPORTED;
}

/* Known, and every caller takes a no. */
static CUresult
slot_refused(void)
{
	return CUDA_ERROR_NOT_SUPPORTED;
}

/* ---- what the runtime asks about contexts and modules ---- */

static CUresult
cudart_primary_ctx(CUcontext *pctx, CUdevice device)
{
	struct genie_ctx *ctx = genie_ctx_primary(device);

	if (!ctx)
		return CUDA_ERROR_INVALID_DEVICE;
	*pctx = genie_ctx_handle(ctx); /* without retaining it */
	return CUDA_SUCCESS;
}

/* The three ways in which runtimes before 12.0 loaded their modules. */
static CUresult
cudart_module_load(CUmodule *module, const void *wrapper)
{
	CUresult status = genie_enter(GENIE_OP_genieNop, false);

	return status == CUDA_SUCCESS ? genie_cuModuleLoadData(module, wrapper) : status;
}

static CUresult
cudart_module_load_options(CUmodule *module, const void *wrapper, void *a, void *b, unsigned int c)
{
	(void)a;
	(void)b;
	(void)c;
	return cudart_module_load(module, wrapper);
}

static CUresult
cudart_module_load_fatbin(const void *fatbin, CUmodule *module, void *a, void *b, unsigned int c)
{
	CUresult status = genie_enter(GENIE_OP_genieNop, false);

	(void)a;
	(void)b;
	(void)c;
	return status == CUDA_SUCCESS ? genie_cuModuleLoadFatBinary(module, fatbin) : status;
}

static void
cudart_nothing(void *unused)
{
	(void)unused;
}

static CUresult
cudart_load_compilers(void)
{
	return CUDA_SUCCESS; /* images are compiled where the device is */
}

/* ---- tools: zeroed buffers mean that no tool is attached ---- */

static void
tools_hooks(void **buffer, size_t *count)
{
	static char hooks[4096];

	*buffer = hooks;
	*count = 1024;
}

static void
tools_hooks_small(void **buffer, size_t *count)
{
	static char hooks[56];

	*buffer = hooks;
	*count = 14;
}

static CUresult
tools_current_ctx(void **ret_ctx)
{
	struct genie_ctx *ctx = genie_thread_self()->ctx;

	*ret_ctx = ctx ? genie_ctx_handle(ctx) : NULL;
	return CUDA_SUCCESS;
}

static CUresult
tools_ctx_id(CUcontext handle, uint64_t *ret_id)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	*ret_id = ctx->id;
	return CUDA_SUCCESS;
}

/* The object behind a stream: 0 and 1 are the same one, and it is never NULL. */
static CUresult
tools_stream_object(CUcontext handle, CUstream stream_handle, void **ret_object)
{
	struct genie_stream *stream = genie_stream_get(stream_handle);

	(void)handle;
	if (!stream)
		return genie_stream_missing();
	*ret_object = stream->legacy ? (void *)CU_STREAM_LEGACY : genie_stream_wire(stream);
	return CUDA_SUCCESS;
}

static CUresult
tools_stream_id(CUcontext handle, void *object, uint64_t *ret_id)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);
	struct genie_stream *stream;

	if (object == (void *)CU_STREAM_LEGACY && ctx)
		stream = ctx->legacy;
	else
		stream = genie_stream_get(object);
	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_id = stream->id;
	return CUDA_SUCCESS;
}

/* Calls @fn for each function of a module until it returns 0. The caller expects 1. */
static int
tools_module_functions(CUcontext handle, CUmodule module,
		       int (*fn)(void *data, CUfunction function, void *a, void *b), void *data)
{
	enum { FUNCTIONS_MAX = 4096 };
	static char nothing[2][64]; /* what the last two parameters point to is not known */
	static CUfunction functions[FUNCTIONS_MAX];
	/* Guards functions. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	unsigned int count = 0;

	(void)handle;
	if (genie_enter(GENIE_OP_genieNop, false) != CUDA_SUCCESS ||
	    genie_cuModuleGetFunctionCount(&count, module) != CUDA_SUCCESS)
		return 0;
	if (count > FUNCTIONS_MAX)
		count = FUNCTIONS_MAX;
	pthread_mutex_lock(&lock);
	if (genie_cuModuleEnumerateFunctions(functions, count, module) != CUDA_SUCCESS)
		count = 0;
	for (unsigned int i = 0; i < count; i++)
		if (!fn(data, functions[i], nothing[0], nothing[1]))
			break;
	pthread_mutex_unlock(&lock);
	return 1;
}

/* ---- checks ---- */

static CUresult
ctx_check(CUcontext ctx, unsigned int *flag, void **unused)
{
	(void)ctx;
	(void)unused;
	*flag = 0;
	return CUDA_SUCCESS;
}

static CUresult
ctx_check_global(void)
{
	return CUDA_SUCCESS;
}

static CUresult integrity_check(uint32_t version, uint64_t unix_time, uint64_t ret_answer[2]);

/* ---- the tables ---- */

#define SLOT(number, function) [number] = (void *)(function)

static void *const cudart_interface[CUDART_SLOTS] = {
	[0] = SIZE(CUDART_SLOTS),
	SLOT(1, cudart_module_load),
	SLOT(2, cudart_primary_ctx),
	[3 ... 5] = (void *)slot_unknown,
	SLOT(6, cudart_module_load_options),
	SLOT(7, cudart_nothing),
	SLOT(8, cudart_module_load_fatbin),
	[9 ... 11] = (void *)slot_unknown,
	SLOT(12, cudart_load_compilers),
};

static void *const tools_tls[TOOLS_TLS_SLOTS] = {
	[0] = SIZE(TOOLS_TLS_SLOTS),
	SLOT(1, slot_unknown),
	SLOT(2, tools_current_ctx),
};

static void *const tools_hooks_table[TOOLS_HOOKS_SLOTS] = {
	[0] = SIZE(TOOLS_HOOKS_SLOTS),    SLOT(1, slot_unknown),      SLOT(2, tools_hooks),
	[3 ... 5] = (void *)slot_unknown, SLOT(6, tools_hooks_small),
};

static void *const local_storage[] = {
	SLOT(0, genie_cls_put),
	SLOT(1, genie_cls_delete),
	SLOT(2, genie_cls_get),
	SLOT(3, slot_unknown),
};

static void *const ctx_checks[CTX_CHECKS_SLOTS] = {
	[0] = SIZE(CTX_CHECKS_SLOTS),
	SLOT(1, slot_unknown),
	SLOT(2, ctx_check),
	SLOT(3, ctx_check_global),
	[4 ... CTX_CHECKS_SLOTS - 1] = (void *)slot_unknown,
};

static void *const integrity[INTEGRITY_SLOTS] = {
	[0] = SIZE(INTEGRITY_SLOTS),
	SLOT(1, integrity_check),
	SLOT(2, slot_unknown),
};

static void *const tools_context[TOOLS_CONTEXT_SLOTS] = {
	[0] = SIZE(TOOLS_CONTEXT_SLOTS), [1 ... 3] = (void *)slot_unknown,
	SLOT(4, tools_ctx_id),           [5 ... 38] = (void *)slot_unknown,
	SLOT(39, tools_stream_id),       [40 ... 50] = (void *)slot_unknown,
	SLOT(51, tools_stream_object),   [52 ... TOOLS_CONTEXT_SLOTS - 1] = (void *)slot_unknown,
};

static void *const tools_module[TOOLS_MODULE_SLOTS] = {
	[0] = SIZE(TOOLS_MODULE_SLOTS),
	[1 ... 6] = (void *)slot_unknown,
	SLOT(7, tools_module_functions),
	[8 ... TOOLS_MODULE_SLOTS - 1] = (void *)slot_unknown,
};

/* cuBLASLt calls slot 4 for its half-precision kernels without looking whether it got the table;
 * any refusal by the slot itself is taken. */
static void *const cublaslt_optional[CUBLASLT_SLOTS] = {
	[0] = SIZE(CUBLASLT_SLOTS),
	[1 ... CUBLASLT_SLOTS - 1] = (void *)slot_refused,
};

#undef SLOT

/* Bytes 0-3, 4-5 and 6-7 of an id are in memory as they are written. */
struct export_table {
	const char *name;
	unsigned char id[16];
	const void *table; /* NULL: known, and refused because every caller does without */
	atomic_bool said;
	const char *consequence; /* of the refusal, where the user should know of it */
};

#define ID(a, b, c, d, e)                                                                          \
	{                                                                                          \
		(a) >> 24 & 0xff, (a) >> 16 & 0xff, (a) >> 8 & 0xff, (a)&0xff, (b) >> 8 & 0xff,    \
			(b)&0xff, (c) >> 8 & 0xff, (c)&0xff, (d) >> 8 & 0xff, (d)&0xff,            \
			(e) >> 40 & 0xff, (e) >> 32 & 0xff, (e) >> 24 & 0xff, (e) >> 16 & 0xff,    \
			(e) >> 8 & 0xff, (e)&0xff                                                  \
	}

static struct export_table export_tables[] = {
	{"cudart interface", ID(0x6bd5fb6cu, 0x5bf4, 0xe74a, 0x8987, 0xd93912fd9df9ull),
	 cudart_interface, false},
	{"tools runtime hooks", ID(0xa094798cu, 0x2e74, 0x2e74, 0x93f2, 0x0800200c0a66ull),
	 tools_hooks_table, false},
	{"tools thread storage", ID(0x42d85a81u, 0x23f6, 0xcb47, 0x8298, 0xf6e78a3aecdcull),
	 tools_tls, false},
	{"context-local storage", ID(0xc693336eu, 0x1121, 0xdf11, 0xa8c3, 0x68f355d89593ull),
	 local_storage, false},
	{"context checks", ID(0x263e8860u, 0x7cd2, 0x6143, 0x92f6, 0xbbd5006dfa7eull), ctx_checks,
	 false},
	{"integrity check", ID(0xd4082055u, 0xbde6, 0x704b, 0x8d34, 0xba123c66e1f2ull), integrity,
	 false},
	{"tools context", ID(0x21318c60u, 0x9714, 0x3248, 0x8ca6, 0x41ff7324c8f2ull), tools_context,
	 false},
	{"tools module", ID(0x6e163fbeu, 0xb958, 0x444d, 0x835c, 0xe182aff1991eull), tools_module,
	 false},
	{"cudart optional", ID(0xf8cff951u, 0x2146, 0x8b4e, 0xb9e2, 0xfb469e7c0dd9ull), NULL,
	 false},
	{"cublasLt optional", ID(0x1734dc26u, 0x800d, 0x4745, 0x8726, 0xc0f1e7dd8bcaull),
	 cublaslt_optional, false},
	{"context create bypass", ID(0x0ca50b8cu, 0x1004, 0x929a, 0x89a7, 0xd0df10e77286ull), NULL,
	 false},
	{"heap access", ID(0x195bcbf4u, 0xd67d, 0x024a, 0xacc5, 0x1d29cea631aeull), NULL, false},
	{"device extended", ID(0xb10541e1u, 0xf7c7, 0xc74a, 0x9f64, 0xf223be99f1e2ull), NULL,
	 false},
	{"hybrid runtime", ID(0xdd9e98a4u, 0xf410, 0x4844, 0x99b0, 0xe2aeb7b432b5ull), NULL, false},
	{"profiling 1", ID(0xda9151d3u, 0x3ae6, 0xcc41, 0xa5c0, 0x4f26d533e328ull), NULL, false},
	{"profiling 2", ID(0x69a28e9fu, 0x2449, 0x8b47, 0xb030, 0xc5da330ea4e9ull), NULL, false},
	/* What cuptiSubscribe() of CUDA 13.0 asks for first. It asks again at each attempt. */
	{"profiling callbacks", ID(0x2c8e0ad8u, 0x0710, 0xab4e, 0x90dd, 0x54719fe5f74bull), NULL,
	 false,
	 "a profiler (CUPTI) finds no GPU activities through genie: they will be missing from its "
	 "profile, of which the CPU part is complete"},
};
#undef ID

/* The signed answer names the tables by address, so it is made from the same ones. */
static CUresult
integrity_check(uint32_t version, uint64_t unix_time, uint64_t ret_answer[2])
{
	struct genie_integrity_device devices[GENIE_DEVICES_MAX];
	struct genie_integrity_message message = {
		.version = version,
		.pid = (uint32_t)getpid(),
		.thread = (uint32_t)(uintptr_t)pthread_self(),
		.cudart_interface = (uintptr_t)cudart_interface,
		.integrity_check = (uintptr_t)integrity,
		.integrity_function = (uintptr_t)integrity[1],
		.unix_time = unix_time,
	};
	int driver_version = 0, count = genie_client.device_count;

	genie_cuDriverGetVersion(&driver_version);
	message.driver_version = (uint32_t)driver_version;
	for (int i = 0; i < count; i++) {
		CUuuid uuid;

		genie_cuDeviceGetUuid_v2(&uuid, i);
		memcpy(devices[i].uuid, &uuid, sizeof(devices[i].uuid));
		genie_cuDeviceGetAttribute(&devices[i].pci_domain,
					   CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, i);
		genie_cuDeviceGetAttribute(&devices[i].pci_bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, i);
		genie_cuDeviceGetAttribute(&devices[i].pci_device,
					   CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, i);
	}
	genie_integrity_answer(&message, devices, (size_t)count, ret_answer);
	return CUDA_SUCCESS;
}

static void
id_format(const CUuuid *id, char text[37])
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = (const unsigned char *)id->bytes;
	char *out = text;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

CUresult
genie_cuGetExportTable(const void **ppExportTable, const CUuuid *pExportTableId)
{
	struct export_table *found = NULL;
	char id[37];

	if (!ppExportTable || !pExportTableId)
		return CUDA_ERROR_INVALID_VALUE;
	*ppExportTable = NULL;
	for (size_t i = 0; i < sizeof(export_tables) / sizeof(export_tables[0]); i++)
		if (!memcmp(export_tables[i].id, pExportTableId, sizeof(export_tables[i].id)))
			found = &export_tables[i];
	if (found && found->table) {
		*ppExportTable = found->table;
		return CUDA_SUCCESS;
	}
	if (!found || !atomic_exchange_explicit(&found->said, true, memory_order_relaxed)) {
		id_format(pExportTableId, id);
		genie_info("export table %s (%s) is refused", id, found ? found->name : "unknown");
		if (found && found->consequence)
			genie_warn("%s", found->consequence);
	}
	return CUDA_ERROR_INVALID_HANDLE;
}
