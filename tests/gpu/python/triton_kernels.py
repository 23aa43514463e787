"""Triton without torch.compile: an addition, a softmax, a tiled product, atomics, a scan, a persistent loop, printing."""

from common import check, show, skip

try:
    import torch
    import triton
    import triton.language as tl
except ImportError as error:
    skip(f"Triton: {error}")


@triton.jit
def add(x, y, z, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(z + offsets, tl.load(x + offsets, mask) + tl.load(y + offsets, mask), mask)


@triton.jit
def softmax(x, y, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + row * columns + offsets, offsets < columns, other=-float("inf"))
    values = tl.exp(values - tl.max(values, 0))
    tl.store(y + row * columns + offsets, values / tl.sum(values, 0), offsets < columns)


@triton.jit
def product(a, b, c, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), dtype=tl.float32)
    for first in range(0, k, K):
        inner = first + tl.arange(0, K)
        total = tl.dot(tl.load(a + rows[:, None] * k + inner[None, :]),
                       tl.load(b + inner[:, None] * n + columns[None, :]), total)
    tl.store(c + rows[:, None] * n + columns[None, :], total.to(c.dtype.element_ty))


@triton.jit
def histogram(x, bins, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(bins + tl.load(x + offsets, offsets < n, other=0), 1, offsets < n)


@triton.jit
def scan(x, y, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(y + offsets, tl.cumsum(tl.load(x + offsets), 0))


@triton.autotune([triton.Config({"BLOCK": block}) for block in (256, 1024)], key=["n"])
@triton.jit
def scale(x, y, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + offsets, tl.load(x + offsets, offsets < n) * 3, offsets < n)


torch.manual_seed(0)
x, y = torch.randn(2, 98432, device="cuda")
z = torch.empty_like(x)
add[(triton.cdiv(98432, 1024),)](x, y, z, 98432, BLOCK=1024)
check(torch.equal(z, x + y), "add")
show("add", z.cpu())
m = torch.randn(512, 781, device="cuda")
s = torch.empty_like(m)
softmax[(512,)](m, s, 781, BLOCK=1024)
check(torch.allclose(s, m.softmax(1), atol=1e-6), "softmax")
show("softmax", s.cpu())
for kind in (torch.float16, torch.bfloat16, torch.float32):
    a, b = torch.randn(256, 128, device="cuda").to(kind), torch.randn(128, 192, device="cuda").to(kind)
    c = torch.empty(256, 192, device="cuda", dtype=kind)
    product[(4, 3)](a, b, c, 256, 192, 128, M=64, N=64, K=32)
    check(torch.allclose(c.float(), a.float() @ b.float(), atol=0.25, rtol=0.05), f"product {kind}")
    show(f"product {kind}", c.float().cpu())
numbers = torch.randint(0, 64, (10000,), device="cuda", dtype=torch.int32)
bins = torch.zeros(64, device="cuda", dtype=torch.int32)
histogram[(10,)](numbers, bins, 10000, BLOCK=1024)
check(torch.equal(bins.long(), torch.bincount(numbers, minlength=64)), "histogram")
show("histogram", bins.cpu())
ones = torch.ones(1024, device="cuda", dtype=torch.int32)
sums = torch.empty_like(ones)
scan[(1,)](ones, sums, BLOCK=1024)
show("scan", sums.cpu())
w = torch.empty_like(x)
scale[lambda meta: (triton.cdiv(98432, meta["BLOCK"]),)](x, w, 98432)
check(torch.equal(w, x * 3), "autotuned")
show("autotuned", w.cpu())
print("ok")
