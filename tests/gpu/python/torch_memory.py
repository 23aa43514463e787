"""PyTorch's allocators: the native one, expandable segments, cudaMallocAsync; their figures; running out."""

import os
import subprocess
import sys

from common import check, show, skip

try:
    import torch
except ImportError as error:
    skip(f"PyTorch: {error}")
if len(sys.argv) == 1:
    for settings in ("", "expandable_segments:True", "backend:cudaMallocAsync"):
        child = subprocess.run([sys.executable, __file__, settings], check=False,
                               env=dict(os.environ, PYTORCH_CUDA_ALLOC_CONF=settings), timeout=200)
        check(child.returncode == 0, f"settings '{settings}': exit status {child.returncode}")
    print("ok")
    sys.exit()

settings = sys.argv[1]
print(f"[{settings or 'default'}]", torch.cuda.get_allocator_backend())
torch.manual_seed(1)
tensors = [torch.randn(1 << n, device="cuda") for n in range(8, 25, 2)]
show("contents", torch.stack([t.double().sum() for t in tensors]).cpu())
for n in (3, 5, 7):
    tensors[n] = None
big = torch.zeros(300 << 18, device="cuda")  # needs new room, or old room put together
show("big", big[::65536].cpu())
print("allocated", torch.cuda.memory_allocated())
del tensors, big
torch.cuda.empty_cache()
print("allocated", torch.cuda.memory_allocated(), "reserved", torch.cuda.memory_reserved())
free, total = torch.cuda.mem_get_info()
check(0 < free <= total, "free memory")
try:
    torch.empty(total * 2, device="cuda", dtype=torch.uint8)
    check(False, "more than there is")
except torch.cuda.OutOfMemoryError:
    print("out of memory: as it should")
cached = [torch.empty(1 << 28, dtype=torch.uint8, device="cuda") for _ in range(8)]
del cached  # stays in the cache, and is given back where the rest is not enough
free, total = torch.cuda.mem_get_info()
check(torch.ones(1 << 20, device="cuda").sum().item() == 1 << 20, "after running out")
model = torch.nn.Linear(64, 64).cuda()
optimizer = torch.optim.Adam(model.parameters())
for step in range(5):
    loss = model(torch.ones(8, 64, device="cuda")).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: {loss.item().hex()}")
