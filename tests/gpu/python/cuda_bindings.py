"""cuda-python: the driver's and the runtime's functions, NVRTC, nvJitLink, by name from Python."""

import ctypes

from common import check, show, skip

try:
    from cuda.bindings import driver, nvrtc, runtime
except ImportError as error:
    skip(f"cuda-python: {error}")
import numpy as np


def call(result):
    check(int(result[0]) == 0, result)
    return result[1] if len(result) == 2 else result[1:]


call(driver.cuInit(0))
device = call(driver.cuDeviceGet(0))
print(call(driver.cuDeviceGetName(64, device)).decode().rstrip("\0"))
context = call(driver.cuDevicePrimaryCtxRetain(device))
call(driver.cuCtxSetCurrent(context))
major = call(driver.cuDeviceGetAttribute(driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device))
minor = call(driver.cuDeviceGetAttribute(driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device))
source = b"""extern "C" __global__ void twice(float *x, int n)
{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= 2; }"""
program = call(nvrtc.nvrtcCreateProgram(source, b"twice.cu", 0, [], []))
option = f"--gpu-architecture=compute_{major}{minor}".encode()
call(nvrtc.nvrtcCompileProgram(program, 1, [option]))
ptx = b" " * call(nvrtc.nvrtcGetPTXSize(program))
call(nvrtc.nvrtcGetPTX(program, ptx))
module = call(driver.cuModuleLoadData(ptx))
kernel = call(driver.cuModuleGetFunction(module, b"twice"))
host = np.arange(1000, dtype=np.float32)
memory = call(driver.cuMemAlloc(host.nbytes))
stream = call(driver.cuStreamCreate(0))
call(driver.cuMemcpyHtoDAsync(memory, host.ctypes.data, host.nbytes, stream))
arguments = ((int(memory), 1000), (ctypes.c_void_p, ctypes.c_int))
call(driver.cuLaunchKernel(kernel, 4, 1, 1, 256, 1, 1, 0, stream, arguments, 0))
back = np.zeros_like(host)
call(driver.cuMemcpyDtoHAsync(back.ctypes.data, memory, host.nbytes, stream))
call(driver.cuStreamSynchronize(stream))
check((back == host * 2).all(), "the kernel's result")
show("twice", back)
print(call(runtime.cudaGetDeviceCount()) > 0, call(runtime.cudaRuntimeGetVersion()) >= 12000)
call(driver.cuMemFree(memory))
call(driver.cuModuleUnload(module))
print("ok")
