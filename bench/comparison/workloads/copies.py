"""How fast much data moves."""

from __future__ import annotations

import time

import torch

from .common import Context, Workload, hash_tensors

ABOUT = "copies of 512 MiB: to the device and back, pinned and pageable"
SIZES = {"small": {"size": 1 << 20, "times": 2}, "paper": {"size": 512 << 20, "times": 3}}
STEPS = {"small": 2, "paper": 3}


def build(context: Context, size: int, times: int) -> Workload:
    """A step is all four ways once; the rates of each are values of the result, in GiB/s."""
    pageable = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=context.generator())
    pinned = context.pinned(pageable.clone())
    there = torch.empty(size, dtype=torch.uint8, device=context.device)
    back = {"pageable": torch.empty_like(pageable), "pinned": context.pinned(torch.empty_like(pageable))}
    back["pageable"].zero_()  # the pages are there before the clock runs
    best: dict[str, float] = {}
    workload = Workload(lambda number: None, dict, 4.0 * size)

    def timed(name: str, to: torch.Tensor, source: torch.Tensor) -> None:
        context.synchronize()
        begin = time.perf_counter()
        for _ in range(times):
            to.copy_(source, non_blocking=True)
            context.synchronize()
        rate = times * size / (time.perf_counter() - begin) / (1 << 30)
        best[name] = max(best.get(name, 0.0), rate)

    def step(number: int) -> None:
        for word, host in (("pinned", pinned), ("pageable", pageable)):
            timed(f"to device, {word}, GiB/s", there, host)
            timed(f"to host, {word}, GiB/s", back[word], there)
        workload.values.update(best)

    workload.step = step
    workload.result = lambda: {word: hash_tensors([("back", tensor)]) for word, tensor in back.items()}
    return workload
