"""Kernels that launch kernels, linked at run time with the device's runtime library by nvJitLink."""

import ctypes
import os
import site

from common import check, show, skip

try:
    from cuda.bindings import driver, nvjitlink, nvrtc
except ImportError as error:
    skip(f"cuda-python: {error}")
import numpy as np


def find(name):
    """A file of the toolkit: its folder, or NVIDIA's packages."""
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda")]
    folders += [os.path.join(folder, "nvidia/cu13") for folder in site.getsitepackages()]
    for folder in folders:
        for part in ("include", "lib64", "lib"):
            if os.path.exists(os.path.join(folder, part, name)):
                return os.path.join(folder, part, name)
    skip(f"no {name}")


def call(result):
    check(int(result[0]) == 0, result)
    return result[1] if len(result) == 2 else result[1:]


SOURCE = b"""
extern "C" __global__ void leaf(int *out, int value) { atomicAdd(&out[threadIdx.x], value); }
extern "C" __global__ void root(int *out)
{
    if (threadIdx.x)
        return;
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    leaf<<<1, 32, 0, stream>>>(out, 7);
    leaf<<<1, 16>>>(out, 100);
    cudaStreamDestroy(stream);
}
"""

archive, header = find("libcudadevrt.a"), find("cuda_runtime.h")
call(driver.cuInit(0))
device = call(driver.cuDeviceGet(0))
call(driver.cuCtxSetCurrent(call(driver.cuDevicePrimaryCtxRetain(device))))
attribute = driver.CUdevice_attribute
major = call(driver.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device))
minor = call(driver.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device))
program = call(nvrtc.nvrtcCreateProgram(SOURCE, b"root.cu", 0, [], []))
options = [f"-arch=compute_{major}{minor}", "-rdc=true", "-I" + os.path.dirname(header)]
call(nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options]))
ptx = b" " * call(nvrtc.nvrtcGetPTXSize(program))
call(nvrtc.nvrtcGetPTX(program, ptx))

link = nvjitlink.create(1, [f"-arch=sm_{major}{minor}"])
nvjitlink.add_data(link, nvjitlink.InputType.PTX, ptx, len(ptx), "root")
nvjitlink.add_file(link, nvjitlink.InputType.LIBRARY, archive)
nvjitlink.complete(link)
cubin = bytearray(nvjitlink.get_linked_cubin_size(link))
nvjitlink.get_linked_cubin(link, cubin)

module = call(driver.cuModuleLoadData(bytes(cubin)))
root = call(driver.cuModuleGetFunction(module, b"root"))
out = np.zeros(64, dtype=np.int32)
memory = call(driver.cuMemAlloc(out.nbytes))
call(driver.cuMemcpyHtoD(memory, out.ctypes.data, out.nbytes))
call(driver.cuLaunchKernel(root, 1, 1, 1, 32, 1, 1, 0, 0, ((int(memory),), (ctypes.c_void_p,)), 0))
call(driver.cuCtxSynchronize())
call(driver.cuMemcpyDtoH(out.ctypes.data, memory, out.nbytes))
expected = np.zeros(64, dtype=np.int32)
expected[:32] += 7
expected[:16] += 100
check((out == expected).all(), f"children: {out}")
show("children", out)
print("ok")
