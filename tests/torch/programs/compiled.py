"""torch.compile: kernels of Triton, made here with the ptxas of its wheel, one after the other."""

import os
import tempfile

folder = tempfile.TemporaryDirectory(prefix="genie-torch-")
os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder.name, TORCHINDUCTOR_COMPILE_THREADS="1",
                  TRITON_CACHE_DIR=os.path.join(folder.name, "triton"))

from common import steps  # pylint: disable=wrong-import-position

import torch  # pylint: disable=wrong-import-position

model = torch.nn.Sequential(torch.nn.Linear(128, 128), torch.nn.GELU(), torch.nn.LayerNorm(128),
                            torch.nn.Linear(128, 8)).cuda()
run = torch.compile(model)
x = torch.randn(32, 128, device="cuda")


def step():
    model.zero_grad(set_to_none=True)
    loss = run(x).square().mean()
    loss.backward()
    return loss.detach()


steps(step)
print("ok")
