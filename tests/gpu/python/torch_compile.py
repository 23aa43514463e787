"""torch.compile: Inductor's Triton kernels, forward and backward, dynamic shapes, CUDA graphs mode."""

import os
import tempfile

cache = tempfile.mkdtemp(prefix="genie-inductor-")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
os.environ["TRITON_CACHE_DIR"] = cache

import shutil

from common import check, show, skip

try:
    import torch
    import torch._inductor.config
    import triton
except ImportError as error:
    skip(f"PyTorch: {error}")
import atexit

atexit.register(shutil.rmtree, cache, ignore_errors=True)
torch.manual_seed(0)
if hasattr(torch._inductor.config, "deterministic"):
    torch._inductor.config.deterministic = True  # no choice between kernels by their times


class Block(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))))


for mode in (None, "reduce-overhead"):
    torch.manual_seed(0)
    model = torch.nn.Sequential(Block(64), Block(64)).cuda()
    compiled = torch.compile(model, mode=mode)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(6):
        x = torch.randn(32, 64, device="cuda")
        loss = (compiled(x) - x.roll(1, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"{mode} step {number}: {loss.item().hex()}")


@torch.compile(dynamic=True)
def reduce(x, y):
    return torch.softmax(x * 2 + y, -1).sum(0), (x - y).amax(-1)


for n in (5, 17, 130):
    x, y = torch.randn(n, 50, device="cuda"), torch.randn(n, 50, device="cuda")
    one, two = reduce(x, y)
    check(torch.allclose(one, torch.softmax(x * 2 + y, -1).sum(0), atol=1e-4), f"dynamic {n}")
    show(f"dynamic {n}", torch.cat([one, two]).cpu())
print("ok")
