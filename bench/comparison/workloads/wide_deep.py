"""Wide & Deep (Cheng et al. 2016): a linear part beside a network."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload
from .tables import Tables, tower, train_clicks

ABOUT = "Wide & Deep training, batch 2048, 20 features of 10,000 x 32, Adam"
SIZES = {"small": {"batch": 8, "features": 3, "rows": 20, "width": 8},
         "paper": {"batch": 2048, "features": 20, "rows": 10000, "width": 32}}
STEPS = {"small": 3, "paper": 150}
DENSE = 10


class WideDeep(nn.Module):
    def __init__(self, features: int, rows: int, width: int) -> None:
        super().__init__()
        self.wide = Tables(features, rows, 1)
        self.tables = Tables(features, rows, width)
        self.deep = tower(DENSE + features * width, 1024, 512, 256)
        self.last = nn.Linear(256, 1)

    def forward(self, numbers: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        x = torch.cat((numbers, self.tables(which).flatten(1)), 1)
        return self.last(self.deep(x))[:, 0] + self.wide(which).sum((1, 2))


def build(context: Context, batch: int, features: int, rows: int, width: int) -> Workload:
    return train_clicks(context, WideDeep(features, rows, width), batch, DENSE, features, rows)
