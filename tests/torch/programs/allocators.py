"""PyTorch's allocators: allocators.py [SETTING], as PYTORCH_CUDA_ALLOC_CONF has it."""

import os
import sys

setting = sys.argv[1] if len(sys.argv) > 1 else ""
os.environ["PYTORCH_CUDA_ALLOC_CONF"] = setting

from common import check, counted, train  # pylint: disable=wrong-import-position

import torch  # pylint: disable=wrong-import-position

check(torch.cuda.get_allocator_backend() ==
      ("cudaMallocAsync" if "cudaMallocAsync" in setting else "native"), "the allocator")
model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.Tanh(),
                            torch.nn.Linear(1024, 256)).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(64, 256, device="cuda")
train(model, optimizer, lambda: (model(x) - x).square().mean())
for _ in range(3):  # grows, shrinks, is fragmented
    tensors = [torch.empty(1 << n, device="cuda") for n in range(10, 26)]
    del tensors[::2]
    big = torch.zeros(100 << 18, device="cuda")
    del tensors, big
    torch.cuda.empty_cache()
other = torch.cuda.Stream()
with torch.cuda.stream(other):
    y = torch.ones(1000, device="cuda")
y.record_stream(torch.cuda.current_stream())
del y
for _ in range(2):
    with counted("allocate and free", 0):
        z = torch.empty(64 << 20, device="cuda", dtype=torch.uint8)
        del z
torch.cuda.synchronize()
print("ok")
