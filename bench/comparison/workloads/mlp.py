"""A small network, where a step is nearly all calls."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, trainer

ABOUT = "MLP 784-512-10 training, batch 128, Adam"
SIZES = {"small": {"hidden": 32, "batch": 16}, "paper": {"hidden": 512, "batch": 128}}
STEPS = {"small": 5, "paper": 300}


def build(context: Context, hidden: int, batch: int) -> Workload:
    model = nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    batches = [(context.normal(batch, 784, salt=i), context.integers(10, batch, salt=10 + i))
               for i in range(8)]

    def loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(x), y)

    return trainer(context, model, batches, loss, "adam", batch)
