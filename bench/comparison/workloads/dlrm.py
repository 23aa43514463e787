"""A recommendation model (Naumov et al. 2019): two towers, and products of all pairs between."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload
from .tables import Tables, tower, train_clicks

ABOUT = "DLRM training, batch 2048, 26 tables of 40,000 x 64, SGD"
SIZES = {"small": {"batch": 8, "features": 3, "rows": 20, "width": 8},
         "paper": {"batch": 2048, "features": 26, "rows": 40000, "width": 64}}
STEPS = {"small": 3, "paper": 100}
DENSE = 13


class Dlrm(nn.Module):
    def __init__(self, features: int, rows: int, width: int) -> None:
        super().__init__()
        self.bottom = tower(DENSE, 512, 256, width)
        self.tables = Tables(features, rows, width)
        pairs = torch.triu_indices(features + 1, features + 1, 1)
        self.register_buffer("pairs", pairs)
        self.top = tower(width + pairs.shape[1], 512, 256)
        self.last = nn.Linear(256, 1)

    def forward(self, numbers: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        x = self.bottom(numbers)
        all_of = torch.cat((x[:, None], self.tables(which)), 1)
        products = torch.bmm(all_of, all_of.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return self.last(self.top(torch.cat((x, products), 1)))[:, 0]


def build(context: Context, batch: int, features: int, rows: int, width: int) -> Workload:
    return train_clicks(context, Dlrm(features, rows, width), batch, DENSE, features, rows, "sgd")
