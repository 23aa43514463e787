/*
 * Several devices: peer access. Several processes are share.c's.
 */
#include "interpose/client.h"

/* Guards what follows. */
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;
static bool enabled[GENIE_DEVICES_MAX][GENIE_DEVICES_MAX];
static uint8_t reach[GENIE_DEVICES_MAX][GENIE_DEVICES_MAX]; /* 0: not asked; 1: no; 2: yes */

CUresult
genie_cuDeviceCanAccessPeer(int *canAccessPeer, CUdevice dev, CUdevice peerDev)
{
	struct genie_args_cuDeviceCanAccessPeer args = {.canAccessPeer = canAccessPeer};
	CUresult status = CUDA_SUCCESS;
	uint8_t known;

	if (!canAccessPeer)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_ctx_primary(dev) || !genie_ctx_primary(peerDev))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&peer_lock);
	known = reach[dev][peerDev];
	pthread_mutex_unlock(&peer_lock);
	*canAccessPeer = known == 2;
	if (known || dev == peerDev)
		return CUDA_SUCCESS;
	/* The worker maps memory for all devices that its driver says reach it. */
	args.dev = genie_device_wire(dev);
	args.peerDev = genie_device_wire(peerDev);
	status = genie_call_ctx(GENIE_OP_cuDeviceCanAccessPeer, &args, NULL, NULL);
	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&peer_lock);
	reach[dev][peerDev] = *canAccessPeer ? 2 : 1;
	pthread_mutex_unlock(&peer_lock);
	return CUDA_SUCCESS;
}

/*
 * Which contexts may access which is kept as CUDA reports it; the worker gives every device that
 * reaches it access to what the client places, so nothing has to be told.
 */

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
	int device = 0, peer = 0, can = 0;
	CUresult status;

	if (Flags)
		return CUDA_ERROR_INVALID_VALUE;
	status = peer_pair(peerContext, &device, &peer);
	if (status == CUDA_SUCCESS)
		status = genie_cuDeviceCanAccessPeer(&can, device, peer);
	if (status == CUDA_SUCCESS && !can)
		status = CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
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
