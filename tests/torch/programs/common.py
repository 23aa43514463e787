"""What the programs share: steps that are counted apart.

Each counted block is one range of GENIE_STATS (cudaProfilerStart and cudaProfilerStop), and one line
"range TRIPS NAME" on standard output says what may be in it: how many round trips (- when that is
not said), and blocks of the same name launch the same number of kernels. tests/torch/run compares.
What a read gives is never looked at: the record device gives zeros.
"""

import contextlib
import sys

import torch


def check(condition, text):
    if not condition:
        sys.exit(f"FAIL: {text}")


@contextlib.contextmanager
def counted(name, trips=None):
    cudart = torch.cuda.cudart()
    check(int(cudart.cudaProfilerStart()) == 0, "cudaProfilerStart")
    yield
    check(int(cudart.cudaProfilerStop()) == 0, "cudaProfilerStop")
    print("range", "-" if trips is None else trips, name, flush=True)


def steps(step, read=1, unread=0):
    """Two steps to warm up (an optimizer may do other things in its second), two whose result is
    read, two whose result is not."""
    for _ in range(2):
        with counted("warm-up"):
            step().item()
    for _ in range(2):
        with counted("step", read):
            step().item()
    for _ in range(2):
        with counted("step", unread):
            step()
    torch.cuda.synchronize()


def train(model, optimizer, loss_of, **trips):
    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    model.train()
    steps(step, **trips)
