/*
 * Several devices: peer access. Several processes are share.c's.
 */
#include "interpose/client.h"

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
		return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
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
