/*
 * Types of the prototypes in cudaGL.h, cudaEGL.h and cudaVDPAU.h, which a build cannot include:
 * they need headers of OpenGL, EGL and VDPAU. Nobody looks into one; what counts is how they are
 * passed.
 */
#ifndef GENIE_API_GRAPHICS_H
#define GENIE_API_GRAPHICS_H

#include <stdint.h>

typedef unsigned int GLenum;
typedef unsigned int GLuint;
typedef unsigned int CUGLDeviceList; /* an enum */

typedef int32_t EGLint;
typedef void *EGLImageKHR;
typedef void *EGLStreamKHR;
typedef void *EGLSyncKHR;
typedef struct CUeglStreamConnection_st *CUeglStreamConnection;
typedef struct {
	uint64_t words[8];
} CUeglFrame;

typedef uint32_t VdpDevice;
typedef uint32_t VdpVideoSurface;
typedef uint32_t VdpOutputSurface;
typedef int VdpGetProcAddress(VdpDevice device, uint32_t function, void **ret_function);

#endif
