/*
 * Several devices, several processes: peer access and handles for other processes.
 */
#include "interpose/client.h"

#include <string.h>

CUresult
genie_cuDeviceCanAccessPeer(int *canAccessPeer, CUdevice dev, CUdevice peerDev)
{
	if (!canAccessPeer)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_ctx_primary(dev) || !genie_ctx_primary(peerDev))
		return CUDA_ERROR_INVALID_DEVICE;
	/* All devices of a session belong to one worker, which maps memory for all of them. */
	*canAccessPeer = dev != peerDev;
	return CUDA_SUCCESS;
}

/*
 * Which contexts may access which is kept as CUDA reports it; the worker gives every device access
 * to what the client places, so nothing has to be told.
 */
/* Guards enabled. */
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;
static bool enabled[GENIE_DEVICES_MAX][GENIE_DEVICES_MAX];

/* Finds the pair; CUDA_SUCCESS, or why there is none. */
static CUresult
peer_pair(CUcontext peer_handle, int *ret_device, int *ret_peer)
{
	const struct genie_ctx *ctx = genie_ctx_current();
	const struct genie_ctx *peer = peer_handle ? genie_ctx_get(peer_handle) : NULL;

	if (!ctx || !peer)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (ctx->device == peer->device)
		return CUDA_ERROR_INVALID_DEVICE;
	*ret_device = ctx->device;
	*ret_peer = peer->device;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int Flags)
{
	int device = 0, peer = 0;
	CUresult status;

	if (Flags)
		return CUDA_ERROR_INVALID_VALUE;
	status = peer_pair(peerContext, &device, &peer);
	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&peer_lock);
	if (enabled[device][peer])
		status = CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
	enabled[device][peer] = true;
	pthread_mutex_unlock(&peer_lock);
	return status;
}

CUresult
genie_cuCtxDisablePeerAccess(CUcontext peerContext)
{
	int device = 0, peer = 0;
	CUresult status;

	status = peer_pair(peerContext, &device, &peer);
	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&peer_lock);
	if (!enabled[device][peer])
		status = CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
	enabled[device][peer] = false;
	pthread_mutex_unlock(&peer_lock);
	return status;
}

/* ---- handles for other processes ---- */

/*
 * A handle can be made, and says which session and address it is about; opening one in another
 * process is not supported yet and fails there, by name (api/cuda.sem).
 */
struct ipc_handle {
	char magic[8];
	uint8_t session_id[16];
	uint64_t value;
};
_Static_assert(sizeof(struct ipc_handle) <= sizeof(CUipcMemHandle), "it travels in that struct");
_Static_assert(sizeof(struct ipc_handle) <= sizeof(CUipcEventHandle), "it travels in that struct");

static void
ipc_fill(void *handle, size_t size, uint64_t value)
{
	struct ipc_handle ipc = {.magic = "genie1", .value = value};

	memcpy(ipc.session_id, genie_client.welcome->session_id, sizeof(ipc.session_id));
	memset(handle, 0, size);
	memcpy(handle, &ipc, sizeof(ipc));
}

CUresult
genie_cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
	struct genie_mem mem;

	if (!pHandle)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mem_find(dptr, &mem) || mem.type != GENIE_MEM_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	ipc_fill(pHandle, sizeof(*pHandle), dptr);
	return CUDA_SUCCESS;
}

CUresult
genie_cuIpcGetEventHandle(CUipcEventHandle *pHandle, CUevent hEvent)
{
	const struct genie_event *event = genie_event_get(hEvent);

	if (!pHandle)
		return CUDA_ERROR_INVALID_VALUE;
	if (!event || !(event->flags & CU_EVENT_INTERPROCESS))
		return CUDA_ERROR_INVALID_HANDLE;
	ipc_fill(pHandle, sizeof(*pHandle), event->object.token);
	return CUDA_SUCCESS;
}
