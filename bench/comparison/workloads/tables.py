"""What recommendation models share: clicks made from a seed, and tables of embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, trainer


def tower(*widths: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*parts)


class Tables(nn.Module):
    """One table for all features, each with its own rows: [batch, features, width]."""

    def __init__(self, features: int, rows: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(features * rows, width)
        nn.init.normal_(self.rows.weight, 0, 0.01)
        self.register_buffer("begins", torch.arange(features) * rows)

    def forward(self, which: torch.Tensor) -> torch.Tensor:
        return self.rows(which + self.begins)


def train_clicks(context: Context, model: nn.Module, batch: int, dense: int, features: int,
                 rows: int, optimizer: str = "adam") -> Workload:
    batches = [(context.normal(batch, dense, salt=i),
                context.integers(rows, batch, features, salt=10 + i),
                context.integers(2, batch, salt=20 + i).float()) for i in range(4)]

    def loss(model: nn.Module, numbers: torch.Tensor, which: torch.Tensor,
             clicked: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(model(numbers, which), clicked)

    return trainer(context, model, batches, loss, optimizer, batch)
