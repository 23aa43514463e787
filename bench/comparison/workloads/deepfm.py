"""DeepFM (Guo et al. 2017): a factorisation machine and a network over the same embeddings."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload
from .tables import Tables, tower, train_clicks

ABOUT = "DeepFM training, batch 2048, 39 features of 10,000 x 16, Adam"
SIZES = {"small": {"batch": 8, "features": 3, "rows": 20, "width": 8},
         "paper": {"batch": 2048, "features": 39, "rows": 10000, "width": 16}}
STEPS = {"small": 3, "paper": 150}
DENSE = 13


class DeepFm(nn.Module):
    def __init__(self, features: int, rows: int, width: int) -> None:
        super().__init__()
        self.first = Tables(features, rows, 1)
        self.tables = Tables(features, rows, width)
        self.dense = nn.Linear(DENSE, 1)
        self.deep = tower(DENSE + features * width, 400, 400, 400)
        self.last = nn.Linear(400, 1)

    def forward(self, numbers: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        v = self.tables(which)
        pairs = (v.sum(1).pow(2) - v.pow(2).sum(1)).sum(1) / 2
        linear = self.first(which).sum((1, 2)) + self.dense(numbers)[:, 0]
        return linear + pairs + self.last(self.deep(torch.cat((numbers, v.flatten(1)), 1)))[:, 0]


def build(context: Context, batch: int, features: int, rows: int, width: int) -> Workload:
    return train_clicks(context, DeepFm(features, rows, width), batch, DENSE, features, rows)
