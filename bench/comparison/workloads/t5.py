"""An encoder and a decoder (Raffel et al. 2019): relative positions, no biases, T5's own norm."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, trainer
from .layers import Attention

ABOUT = "T5 small training, 8 x 128 tokens, AdamW"
SIZES = {"small": {"vocabulary": 100, "width": 32, "layers": 1, "heads": 2, "hidden": 64, "batch": 2,
                   "length": 8},
         "paper": {"vocabulary": 32128, "width": 512, "layers": 6, "heads": 8, "hidden": 2048,
                   "batch": 8, "length": 128}}
STEPS = {"small": 3, "paper": 40}
BUCKETS, FARTHEST = 32, 128


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class Relative(nn.Module):
    """A bias for each head and distance; far distances share logarithmic buckets."""

    def __init__(self, heads: int, both_ways: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(BUCKETS, heads)
        self.both_ways = both_ways

    def forward(self, length: int, device: torch.device) -> torch.Tensor:
        places = torch.arange(length, device=device)
        away = places[None] - places[:, None]
        count, bucket = BUCKETS, torch.zeros_like(away)
        if self.both_ways:
            count //= 2
            bucket = (away > 0).long() * count
            away = away.abs()
        else:
            away = (-away).clamp(min=0)
        near = count // 2
        far = near + (torch.log(away.float().clamp(min=1) / near) / math.log(FARTHEST / near)
                      * (count - near)).long().clamp(min=0, max=count - near - 1)
        bias = self.table(bucket + torch.where(away < near, away, far)).permute(2, 0, 1)[None]
        if not self.both_ways:
            later = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
            bias = bias.masked_fill(later, float("-inf"))
        return bias


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, cross: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(Norm(width) for _ in range(3 if cross else 2))
        self.attention = Attention(width, heads, bias=False)
        self.cross = Attention(width, heads, bias=False) if cross else None
        self.hidden = nn.Linear(width, hidden, bias=False)
        self.back = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, bias: torch.Tensor,
                memory: torch.Tensor | None) -> torch.Tensor:
        x = x + self.attention(self.norms[0](x), bias=bias)
        if self.cross is not None:
            x = x + self.cross(self.norms[1](x), memory)
        return x + self.back(F.relu(self.hidden(self.norms[-1](x))))


class T5(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.encoder = nn.ModuleList(Layer(width, heads, hidden, False) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(width, heads, hidden, True) for _ in range(layers))
        self.positions = nn.ModuleList((Relative(heads, True), Relative(heads, False)))
        self.norms = nn.ModuleList((Norm(width), Norm(width)))
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, 0, 0.05)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        memory, x = self.tokens(source), self.tokens(target)
        bias = self.positions[0](source.shape[1], source.device)
        for layer in self.encoder:
            memory = layer(memory, bias, None)
        memory = self.norms[0](memory)
        bias = self.positions[1](target.shape[1], target.device)
        for layer in self.decoder:
            x = layer(x, bias, memory)
        return F.linear(self.norms[1](x), self.tokens.weight)


def build(context: Context, vocabulary: int, width: int, layers: int, heads: int, hidden: int,
          batch: int, length: int) -> Workload:
    batches = [(context.integers(vocabulary, batch, length, salt=i),
                context.integers(vocabulary, batch, length, salt=10 + i)) for i in range(4)]

    def loss(model: nn.Module, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        scores = model(source, target)
        return F.cross_entropy(scores[:, :-1].flatten(0, 1), target[:, 1:].flatten())

    return trainer(context, T5(vocabulary, width, layers, heads, hidden), batches, loss, "adamw",
                   batch * length)
