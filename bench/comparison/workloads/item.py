"""What a program waits for when it reads something small, or sends it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .common import Context, Workload, hash_tensors

ABOUT = "tensor.item() and small copies: latencies"
SIZES = {"small": {"reads": 20, "samples": 20}, "paper": {"reads": 100, "samples": 1000}}
STEPS = {"small": 3, "paper": 30}
COPIES = (4, 4096, 65536)


def sample(count: int, call: Callable[[], object], before: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(count):
        before()
        begin = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begin) / 1000)
    return times


def build(context: Context, reads: int, samples: int) -> Workload:
    a = torch.ones(16, device=context.device)

    def step(number: int) -> float:
        total = 0.0
        for _ in range(reads):
            total += a[0].item()
        return total

    def latencies() -> dict[str, list[float]]:
        one, wait = a[0], context.synchronize
        found = {"item": sample(samples, one.item, wait),
                 "add, then item": sample(samples, lambda: one.add_(1).item(), wait)}
        for size in COPIES:
            there = torch.zeros(size, dtype=torch.uint8, device=context.device)
            here = torch.zeros(size, dtype=torch.uint8)
            pinned = context.pinned(here.clone())
            for word, host in (("pageable", here), ("pinned", pinned)):
                found[f"to device, {size} B, {word}"] = sample(
                    samples, lambda: (there.copy_(host), wait()), wait)
                found[f"to host, {size} B, {word}"] = sample(
                    samples, lambda: host.copy_(there), wait)
        return found

    return Workload(step, lambda: {"a": hash_tensors([("a", a)])}, reads, latencies)
