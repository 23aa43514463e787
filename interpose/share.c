#include "interpose/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpose/memory.h"
#include "interpose/refuse.h"
#include "interpose/vmm.h"

/* What a handle or descriptor says. The id is what the server knows it by; the rest is for the
 * process that opens it, and checked there. */
struct share_stub {
	char magic[8];
	uint8_t id[16];
	uint8_t scope[16]; /* the session that made it; of a pool and its pointers: the pool */
	uint64_t offset, size;
	int32_t device;
	uint32_t types;
};
_Static_assert(sizeof(struct share_stub) == sizeof(CUipcMemHandle), "it travels in that");
_Static_assert(sizeof(struct share_stub) == sizeof(CUipcEventHandle), "and in that");
_Static_assert(sizeof(struct share_stub) == sizeof(CUmemPoolPtrExportData), "and in that");
_Static_assert(sizeof(struct share_stub) == sizeof(CUmemFabricHandle), "and in that");

#define MAGIC_MEMORY  "geniemem"
#define MAGIC_EVENT   "genieevt"
#define MAGIC_HANDLE  "geniehnd"
#define MAGIC_POOL    "geniepoo"
#define MAGIC_POINTER "genieptr"

static bool
is_magic(const struct share_stub *stub, const char *magic)
{
	return memcmp(stub->magic, magic, sizeof(stub->magic)) == 0;
}

static struct share_stub
stub_make(const char *magic)
{
	struct share_stub stub = {0};

	memcpy(stub.magic, magic, sizeof(stub.magic));
	memcpy(stub.scope, genie_client.welcome->session_id, sizeof(stub.scope));
	return stub;
}

static bool
is_own(const struct share_stub *stub)
{
	return memcmp(stub->scope, genie_client.welcome->session_id, sizeof(stub->scope)) == 0;
}

/* ---- descriptors: a sealed memory file that holds the stub ---- */

static CUresult
stub_to_fd(const struct share_stub *stub, int *ret_fd)
{
	int fd = memfd_create("genie-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return CUDA_ERROR_OPERATING_SYSTEM;
	if (write(fd, stub, sizeof(*stub)) != (ssize_t)sizeof(*stub) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
		close(fd);
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
	*ret_fd = fd;
	return CUDA_SUCCESS;
}

/* A descriptor may be anything: one that is no such file is not read, as reading could wait. */
static bool
stub_from_fd(int fd, struct share_stub *ret_stub)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)sizeof(*ret_stub) &&
	       pread(fd, ret_stub, sizeof(*ret_stub), 0) == (ssize_t)sizeof(*ret_stub);
}

static CUresult
stub_give(const struct share_stub *stub, CUmemAllocationHandleType type, void *ret)
{
	if (type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return stub_to_fd(stub, ret);
	memcpy(ret, stub, sizeof(*stub));
	return CUDA_SUCCESS;
}

static bool
stub_take(void *os_handle, CUmemAllocationHandleType type, struct share_stub *ret_stub)
{
	if (type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return stub_from_fd((int)(intptr_t)os_handle, ret_stub);
	if (type != CU_MEM_HANDLE_TYPE_FABRIC || os_handle == NULL)
		return false;
	memcpy(ret_stub, os_handle, sizeof(*ret_stub));
	return true;
}

static atomic_bool in_use;

bool
genie_share_in_use(void)
{
	return atomic_load_explicit(&in_use, memory_order_relaxed);
}

/* ---- handles of memory that the program maps ---- */

CUresult
genie_cuMemExportToShareableHandle(void *shareableHandle, CUmemGenericAllocationHandle token,
				   CUmemAllocationHandleType handleType, unsigned long long flags)
{
	const struct genie_memhandle *handle = genie_memhandle_get(token);
	struct share_stub stub = stub_make(MAGIC_HANDLE);
	struct genie_args_genieShareHandle args = {.handle = token, .id = stub.id};
	CUresult status;

	if (shareableHandle == NULL || handle == NULL || flags != 0 ||
	    (handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
	     handleType != CU_MEM_HANDLE_TYPE_FABRIC) ||
	    (handle->prop.requestedHandleTypes & handleType) == 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_call_ctx(GENIE_OP_genieShareHandle, &args, NULL, NULL);
	if (status != CUDA_SUCCESS)
		return status;
	atomic_store(&in_use, true);
	stub.size = handle->size;
	stub.device = genie_device_wire(handle->device);
	stub.types = (uint32_t)handle->prop.requestedHandleTypes;
	return stub_give(&stub, handleType, shareableHandle);
}

/* Asks the server for the memory behind @id. */
static CUresult
memory_import(const uint8_t *id, uint32_t types, struct genie_memhandle **ret_handle)
{
	struct genie_memhandle *handle =
		genie_object_new(GENIE_KIND_MEMHANDLE, sizeof(*handle), NULL);
	size_t size = 0;
	int device = 0;
	struct genie_args_genieShareImport args = {
		.id = (void *)(uintptr_t)id, .size = &size, .device = &device};
	CUresult status;

	if (handle == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.handle = handle->object.token;
	status = genie_call_ctx(GENIE_OP_genieShareImport, &args, NULL, NULL);
	device = genie_device_from_wire(device);
	if (status == CUDA_SUCCESS && device < 0) { /* CUDA_VISIBLE_DEVICES hides it */
		struct genie_args_genieVmmRelease release = {.handle = args.handle};

		(void)genie_call_ctx(GENIE_OP_genieVmmRelease, &release, NULL, NULL);
		status = CUDA_ERROR_INVALID_DEVICE;
	}
	if (status != CUDA_SUCCESS) {
		genie_object_free(handle);
		return status;
	}
	atomic_store(&in_use, true);
	genie_memhandle_adopt(handle, size, device, (CUmemAllocationHandleType)types);
	*ret_handle = handle;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret_handle, void *osHandle,
				     CUmemAllocationHandleType shHandleType)
{
	struct genie_memhandle *handle;
	struct share_stub stub;
	CUresult status;

	if (ret_handle == NULL || !stub_take(osHandle, shHandleType, &stub) ||
	    !is_magic(&stub, MAGIC_HANDLE))
		return CUDA_ERROR_INVALID_VALUE;
	status = memory_import(stub.id, stub.types, &handle);
	if (status == CUDA_SUCCESS)
		*ret_handle = handle->object.token;
	return status;
}

/* ---- memory that is opened by a handle of the device's or a pool's ---- */

struct opened {
	struct opened *next;
	struct share_stub stub;
	uint64_t addr;
	unsigned int refs;
	struct genie_ctx *ctx;
	struct genie_mempool *pool;
};

/* Guards the list; held while the server is asked, so that one handle is opened once. */
static pthread_mutex_t opened_lock = PTHREAD_MUTEX_INITIALIZER;
static struct opened *opened_list;

/* What is at @addr, for others. */
static CUresult
memory_share(const struct genie_mem *mem, struct share_stub *stub)
{
	CUdeviceptr base = 0;
	size_t size = 0;
	struct genie_args_genieShareMemory args = {
		.addr = mem->base, .id = stub->id, .base = &base, .size = &size};
	CUresult status = genie_call_ctx(GENIE_OP_genieShareMemory, &args, NULL, NULL);

	if (status != CUDA_SUCCESS)
		return status;
	atomic_store(&in_use, true);
	stub->offset = mem->base - base;
	stub->size = mem->size;
	stub->device = mem->device;
	return CUDA_SUCCESS;
}

static CUresult
open_new_locked(const struct share_stub *stub, struct genie_ctx *ctx, struct genie_mempool *pool,
		struct opened **ret_opened)
{
	const struct genie_mem how = {.type = GENIE_MEM_SHARED,
				      .base = stub->offset,
				      .size = stub->size,
				      .ctx = ctx,
				      .pool = pool};
	struct opened *opened = calloc(1, sizeof(*opened));
	struct genie_memhandle *handle = NULL;
	CUresult status;

	if (opened == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = memory_import(stub->id, 0, &handle);
	if (status != CUDA_SUCCESS)
		goto err_free;
	if (stub->size == 0 || stub->offset > handle->size ||
	    stub->size > handle->size - stub->offset)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = genie_vmm_open(handle, &how, &opened->addr);
	if (status != CUDA_SUCCESS)
		goto err_release;
	opened->stub = *stub;
	opened->ctx = ctx;
	opened->pool = pool;
	opened->next = opened_list;
	opened_list = opened;
	*ret_opened = opened;
	return CUDA_SUCCESS;

err_release:
	(void)genie_cuMemRelease(handle->object.token);
err_free:
	free(opened);
	return status;
}

/* Opening what is open already counts, and gives the same address. */
static CUresult
open_shared(const struct share_stub *stub, struct genie_ctx *ctx, struct genie_mempool *pool,
	    CUdeviceptr *ret_addr)
{
	CUresult status = CUDA_SUCCESS;
	struct opened *opened;

	pthread_mutex_lock(&opened_lock);
	opened = opened_list;
	while (opened != NULL && (memcmp(&opened->stub, stub, sizeof(*stub)) != 0 ||
				  opened->ctx != ctx || opened->pool != pool))
		opened = opened->next;
	if (opened == NULL)
		status = open_new_locked(stub, ctx, pool, &opened);
	if (status == CUDA_SUCCESS) {
		opened->refs++;
		*ret_addr = opened->addr;
	}
	pthread_mutex_unlock(&opened_lock);
	return status;
}

static void
close_locked(struct opened **link)
{
	struct opened *opened = *link;

	*link = opened->next;
	genie_vmm_close(opened->addr);
	free(opened);
}

bool
genie_share_close(uint64_t addr)
{
	struct opened **link = &opened_list;
	bool found;

	pthread_mutex_lock(&opened_lock);
	while (*link != NULL && (*link)->addr != addr)
		link = &(*link)->next;
	found = *link != NULL;
	if (found && --(*link)->refs == 0)
		close_locked(link);
	pthread_mutex_unlock(&opened_lock);
	return found;
}

static void
forget(const struct genie_ctx *ctx, const struct genie_mempool *pool)
{
	pthread_mutex_lock(&opened_lock);
	for (struct opened **link = &opened_list; *link != NULL;)
		if ((ctx != NULL && (*link)->ctx == ctx) || (pool != NULL && (*link)->pool == pool))
			close_locked(link);
		else
			link = &(*link)->next;
	pthread_mutex_unlock(&opened_lock);
}

void
genie_share_forget_ctx(const struct genie_ctx *ctx)
{
	forget(ctx, NULL);
}

void
genie_share_forget_pool(const struct genie_mempool *pool)
{
	forget(NULL, pool);
}

CUresult
genie_cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
	struct share_stub stub = stub_make(MAGIC_MEMORY);
	struct genie_mem mem;
	CUresult status;

	if (pHandle == NULL || !genie_mem_find(dptr, &mem) || mem.type != GENIE_MEM_DEVICE ||
	    mem.pool != NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = memory_share(&mem, &stub);
	if (status == CUDA_SUCCESS)
		memcpy(pHandle, &stub, sizeof(stub));
	return status;
}

CUresult
genie_cuIpcOpenMemHandle_v2(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct share_stub stub;

	memcpy(&stub, &handle, sizeof(stub));
	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (pdptr == NULL || Flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS)
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_magic(&stub, MAGIC_MEMORY))
		return CUDA_ERROR_INVALID_HANDLE;
	if (is_own(&stub)) /* as the driver does: only another process opens it */
		return CUDA_ERROR_INVALID_CONTEXT;
	return open_shared(&stub, ctx, NULL, pdptr);
}

CUresult
genie_cuIpcCloseMemHandle(CUdeviceptr dptr)
{
	struct genie_mem mem;

	if (genie_ctx_current() == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!genie_mem_find(dptr, &mem) || mem.type != GENIE_MEM_SHARED || mem.pool != NULL)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_share_close(dptr) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- pools: the descriptor names the pool, a pointer's data the memory ---- */

CUresult
genie_cuMemPoolExportToShareableHandle(void *handle_out, CUmemoryPool pool,
				       CUmemAllocationHandleType handleType,
				       unsigned long long flags)
{
	struct share_stub stub = stub_make(MAGIC_POOL);
	int device = 0;

	if (handle_out == NULL || flags != 0 ||
	    (handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
	     handleType != CU_MEM_HANDLE_TYPE_FABRIC) ||
	    !genie_mempool_export(pool, (unsigned int)handleType, stub.scope, &device))
		return CUDA_ERROR_INVALID_VALUE;
	stub.device = genie_device_wire(device);
	return stub_give(&stub, handleType, handle_out);
}

CUresult
genie_cuMemPoolImportFromShareableHandle(CUmemoryPool *pool_out, void *handle,
					 CUmemAllocationHandleType handleType,
					 unsigned long long flags)
{
	struct share_stub stub;

	if (pool_out == NULL || flags != 0 || !stub_take(handle, handleType, &stub) ||
	    !is_magic(&stub, MAGIC_POOL) || genie_device_from_wire(stub.device) < 0)
		return CUDA_ERROR_INVALID_VALUE;
	*pool_out = genie_mempool_import(stub.scope, genie_device_from_wire(stub.device));
	return *pool_out != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult
genie_cuMemPoolExportPointer(CUmemPoolPtrExportData *shareData_out, CUdeviceptr ptr)
{
	struct share_stub stub = stub_make(MAGIC_POINTER);
	struct genie_mem mem;
	CUresult status;

	if (shareData_out == NULL || !genie_mem_find(ptr, &mem) || mem.type != GENIE_MEM_DEVICE ||
	    mem.pool == NULL || !genie_mempool_exported(mem.pool, stub.scope))
		return CUDA_ERROR_INVALID_VALUE;
	status = memory_share(&mem, &stub);
	if (status == CUDA_SUCCESS)
		memcpy(shareData_out, &stub, sizeof(stub));
	return status;
}

CUresult
genie_cuMemPoolImportPointer(CUdeviceptr *ptr_out, CUmemoryPool handle,
			     CUmemPoolPtrExportData *shareData)
{
	struct genie_mempool *pool;
	struct share_stub stub;

	if (ptr_out == NULL || shareData == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(&stub, shareData, sizeof(stub));
	if (!is_magic(&stub, MAGIC_POINTER))
		return CUDA_ERROR_INVALID_VALUE;
	pool = genie_mempool_imported(handle, stub.scope);
	return pool != NULL ? open_shared(&stub, NULL, pool, ptr_out) : CUDA_ERROR_INVALID_VALUE;
}

/* ---- events ---- */

CUresult
genie_cuIpcGetEventHandle(CUipcEventHandle *pHandle, CUevent hEvent)
{
	struct genie_event *event = genie_event_get(hEvent);
	struct share_stub stub = stub_make(MAGIC_EVENT);
	struct genie_args_genieShareEvent args = {.event = hEvent, .id = stub.id};
	CUresult status;

	if (pHandle == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (event == NULL || !(event->flags & CU_EVENT_INTERPROCESS))
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_call_ctx(GENIE_OP_genieShareEvent, &args, event->object.ctx, NULL);
	if (status != CUDA_SUCCESS)
		return status;
	atomic_store_explicit(&event->shared, true, memory_order_relaxed);
	atomic_store_explicit(&event->remote, true, memory_order_relaxed);
	memcpy(pHandle, &stub, sizeof(stub));
	return CUDA_SUCCESS;
}

CUresult
genie_cuIpcOpenEventHandle(CUevent *phEvent, CUipcEventHandle handle)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_args_genieShareEventOpen args = {0};
	struct genie_event *event;
	struct share_stub stub;
	CUresult status;

	memcpy(&stub, &handle, sizeof(stub));
	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (phEvent == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_magic(&stub, MAGIC_EVENT))
		return CUDA_ERROR_INVALID_HANDLE;
	if (is_own(&stub))
		return CUDA_ERROR_INVALID_CONTEXT;
	event = genie_object_new(GENIE_KIND_EVENT, sizeof(*event), ctx);
	if (event == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	event->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
	atomic_store_explicit(&event->shared, true, memory_order_relaxed);
	atomic_store_explicit(&event->remote, true, memory_order_relaxed);
	args.event = (CUevent)(uintptr_t)event->object.token;
	args.id = stub.id;
	status = genie_call_ctx(GENIE_OP_genieShareEventOpen, &args, ctx, NULL);
	if (status != CUDA_SUCCESS) {
		genie_object_free(event);
		return status;
	}
	*phEvent = (CUevent)(uintptr_t)event->object.token;
	return CUDA_SUCCESS;
}
