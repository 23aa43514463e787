"""How fast small operations are issued."""

from __future__ import annotations

import torch

from .common import Context, Workload, hash_tensors

ABOUT = "a.add_(1), 1,000 times a step: issue rate"
SIZES = {"small": {"calls": 50}, "paper": {"calls": 1000}}
STEPS = {"small": 5, "paper": 100}


def build(context: Context, calls: int) -> Workload:
    a = torch.zeros(16, device=context.device)

    def step(number: int) -> None:
        for _ in range(calls):
            a.add_(1)

    return Workload(step, lambda: {"sum": hash_tensors([("a", a)])}, calls)
