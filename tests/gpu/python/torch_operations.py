"""PyTorch's libraries: attention in every kind, recurrent networks, channels-last convolutions, FFTs, linear algebra,
sparse products, sorting, fp8 products, complex numbers, streams and events."""

import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from common import check, show, skip

try:
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError as error:
    skip(f"PyTorch: {error}")

torch.use_deterministic_algorithms(True, warn_only=True)
torch.manual_seed(0)
q, k, v = (torch.randn(2, 8, 256, 64, device="cuda", dtype=torch.float16, requires_grad=True) for _ in range(3))
for kind in ("MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"):
    with sdpa_kernel(getattr(SDPBackend, kind)):
        try:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        except RuntimeError as error:
            print(f"attention {kind}: {str(error).splitlines()[0]}")
            continue
        show(f"attention {kind}", out.detach().cpu())
        show(f"its gradient {kind}", torch.autograd.grad(out.float().square().sum(), v)[0].cpu())
for cell in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN):
    layer = cell(32, 64, num_layers=2, bidirectional=True).cuda()
    x = torch.randn(20, 4, 32, device="cuda", requires_grad=True)
    out, _ = layer(x)
    show(cell.__name__, out.detach().cpu())
    show(f"{cell.__name__} gradient", torch.autograd.grad(out.sum(), x)[0].cpu())
x = torch.randn(8, 16, 40, 40, device="cuda").to(memory_format=torch.channels_last)
for kind in (torch.float32, torch.float16, torch.bfloat16):
    layer = torch.nn.Conv2d(16, 32, 3, padding=1).cuda().to(kind).to(memory_format=torch.channels_last)
    show(f"convolution {kind}", layer(x.to(kind)).float().detach().cpu())
show("transposed", torch.nn.ConvTranspose3d(4, 6, 3).cuda()(torch.randn(2, 4, 6, 6, 6, device="cuda")).detach().cpu())
show("fft", torch.fft.fftn(x).cpu())
a = torch.randn(6, 40, 40, device="cuda", dtype=torch.float64)
spd = a @ a.mT + 40 * torch.eye(40, device="cuda", dtype=torch.float64)
show("cholesky", torch.linalg.cholesky(spd).cpu())
show("solve", torch.linalg.solve(spd, a).cpu())
show("inverse", torch.linalg.inv(spd).cpu())
show("eigenvalues", torch.linalg.eigvalsh(spd).cpu().numpy().round(8))
show("singular values", torch.linalg.svdvals(a).cpu().numpy().round(8))
show("qr", torch.linalg.qr(a)[1].abs().cpu().numpy().round(8))
show("lu", torch.linalg.lu(a)[2].cpu().numpy().round(8))
sparse = torch.randn(100, 100, device="cuda").relu().to_sparse_csr()
show("sparse", (sparse @ torch.randn(100, 30, device="cuda")).cpu())
y = torch.randn(100000, device="cuda")
for name, value in (("sort", y.sort()[0]), ("topk", y.topk(100)[0]), ("cumsum", y.cumsum(0)), ("unique", (y * 10).int().unique()),
                    ("median", y.median()), ("nonzero", (y > 2).nonzero()), ("histc", torch.histc(y.cpu(), 20)),
                    ("multinomial", torch.multinomial(y.abs(), 1000)), ("randperm", torch.randperm(100000, device="cuda")),
                    ("kthvalue", y.kthvalue(500)[0]), ("quantile", y.quantile(0.3))):
    show(name, value.cpu())
show("embedding", F.embedding(torch.arange(100, device="cuda") % 7, torch.randn(7, 16, device="cuda")).cpu())
show("complex", (torch.view_as_complex(torch.randn(50, 50, 2, device="cuda")) @ torch.randn(50, 50, device="cuda", dtype=torch.cfloat)).cpu())
show("int8", torch._int_mm(torch.ones(64, 64, device="cuda", dtype=torch.int8), torch.ones(64, 64, device="cuda", dtype=torch.int8)).cpu())
if torch.cuda.get_device_capability() >= (8, 9):
    one = torch.tensor(1.0, device="cuda")
    left = torch.randn(64, 64, device="cuda").to(torch.float8_e4m3fn)
    right = torch.randn(64, 64, device="cuda").to(torch.float8_e4m3fn).t()
    show("fp8", torch._scaled_mm(left, right, one, one, out_dtype=torch.bfloat16).float().cpu())
streams = [torch.cuda.Stream(priority=p) for p in (0, -1)]
begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
begin.record()
for stream in streams:
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        z = y * 2
        z.record_stream(stream)
    torch.cuda.current_stream().wait_stream(stream)
end.record()
end.synchronize()
check(0 <= begin.elapsed_time(end) < 10000, "elapsed time")
show("streams", z.cpu())
try:
    torch.ones(3, device="cuda")[torch.tensor([5], device="cuda")].cpu()
    check(False, "an index out of bounds")
except (RuntimeError, torch.AcceleratorError) as error:
    print("index out of bounds:", str(error).splitlines()[0])
print("ok")
