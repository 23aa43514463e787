"""CuPy: arrays, kernels written in CUDA C++, reductions, sorting, random numbers, linear algebra, FFTs,
streams, events, graphs, memory pools."""

from common import check, show, skip

try:
    import cupy as cp
except ImportError as error:
    skip(f"CuPy: {error}")
import numpy as np

x = cp.arange(1 << 20, dtype=cp.float32).reshape(1024, 1024) / 1000
show("elementwise", cp.asnumpy(cp.sin(x) * cp.exp(-x / 1000) + x ** 2))
show("sum rows", cp.asnumpy(x.sum(axis=1)))
show("argmax", cp.asnumpy(x.argmax(axis=0)))
show("scan", cp.asnumpy(cp.cumsum(cp.arange(100000, dtype=cp.int64))))
keys = (cp.arange(200000, dtype=cp.uint32) * cp.uint32(2654435761)) % cp.uint32(1 << 20)
show("sort", cp.asnumpy(cp.sort(keys)))
show("argsort", cp.asnumpy(cp.argsort(keys)))
show("unique", cp.asnumpy(cp.unique(keys % 1000)))
show("histogram", cp.asnumpy(cp.bincount((keys % 256).astype(cp.int32))))

axpy = cp.RawKernel(r'''
extern "C" __global__ void axpy(float a, const float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}''', "axpy")
y = cp.ones(100000, dtype=cp.float32)
axpy((391,), (256,), (np.float32(2.5), cp.arange(100000, dtype=cp.float32), y, np.int32(100000)))
show("raw kernel", cp.asnumpy(y))
module = cp.RawModule(code=r'''
__constant__ float weights[4];
template <typename T> __global__ void weigh(T *x) { x[threadIdx.x] *= (T)weights[threadIdx.x & 3]; }
''', options=("-std=c++17",), name_expressions=["weigh<float>", "weigh<double>"])
address = module.get_global("weights")
cp.ndarray(4, cp.float32, address)[:] = cp.array([1, 2, 3, 4], dtype=cp.float32)
for kind, name in ((cp.float32, "weigh<float>"), (cp.float64, "weigh<double>")):
    z = cp.ones(32, dtype=kind)
    module.get_function(name)((1,), (32,), (z,))
    show(name, cp.asnumpy(z))
square = cp.ElementwiseKernel("T x, T y", "T z", "z = (x - y) * (x - y)", "square")
show("elementwise kernel", cp.asnumpy(square(x, x.T)))
norm = cp.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "euclidean")
show("reduction kernel", cp.asnumpy(norm(x, axis=0)))


@cp.fuse()
def fused(a, b):
    return cp.maximum(a * 2 + b, 0) / 3


show("fused", cp.asnumpy(fused(x, x.T)))

cp.random.seed(7)
show("random", cp.asnumpy(cp.random.standard_normal(10000)))
show("permutation", cp.asnumpy(cp.random.permutation(1000)))
generator = cp.random.default_rng(3)
show("generator", cp.asnumpy(generator.random(10000)))

a = cp.asarray(np.random.RandomState(0).rand(256, 256) + 256 * np.eye(256))
show("matmul", cp.asnumpy(a @ a))
show("solve", cp.asnumpy(cp.linalg.solve(a, cp.ones(256))))
q, r = cp.linalg.qr(a)
check(float(cp.abs(q @ r - a).max()) < 1e-8, "qr")
u, s, v = cp.linalg.svd(a)
show("singular values", np.round(cp.asnumpy(s), 6))
show("cholesky", cp.asnumpy(cp.linalg.cholesky(a @ a.T)))
show("fft", cp.asnumpy(cp.fft.fft2(x)))
show("inverse fft", cp.asnumpy(cp.fft.irfft(cp.fft.rfft(x[0]))))

import cupyx.scipy.sparse as sparse

matrix = sparse.random(500, 500, density=0.02, format="csr", random_state=3, dtype=cp.float64)
show("sparse", cp.asnumpy((matrix @ cp.ones(500)).round(9)))

streams = [cp.cuda.Stream(non_blocking=True) for _ in range(4)]
parts = [cp.zeros(1 << 16, dtype=cp.float32) for _ in streams]
events = []
for number, (stream, part) in enumerate(zip(streams, parts)):
    with stream:
        for _ in range(20):
            part += number
        events.append(stream.record())
for event in events:
    cp.cuda.Stream.null.wait_event(event)
show("streams", cp.asnumpy(sum(parts)))

stream = cp.cuda.Stream(non_blocking=True)
with stream:
    z = cp.ones(1000, dtype=cp.float32)
    stream.synchronize()
    stream.begin_capture()
    z *= 2
    z += 1
    graph = stream.end_capture()
    for _ in range(5):
        graph.launch(stream)
    stream.synchronize()
show("graph", cp.asnumpy(z))

pinned = cp.cuda.alloc_pinned_memory(4096)
host = np.frombuffer(pinned, np.float32, 1024)
host[:] = np.arange(1024)
device = cp.empty(1024, cp.float32)
device.set(host)
show("pinned", cp.asnumpy(device * 2))
with cp.cuda.using_allocator(cp.cuda.MemoryAsyncPool().malloc):
    show("asynchronous pool", cp.asnumpy(cp.arange(1000) * 2))
with cp.cuda.using_allocator(cp.cuda.malloc_managed):
    show("managed", cp.asnumpy(cp.arange(1000) * 3))
try:
    cp.cuda.alloc(1 << 50)
    check(False, "a petabyte")
except cp.cuda.memory.OutOfMemoryError:
    print("out of memory: as it should")
print("ok")
