"""A detector with a transformer (Carion et al. 2020): ResNet-50, encoder, decoder, queries."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload, inference
from .layers import Block
from .resnet import ResNet

ABOUT = "DETR (ResNet-50) inference, 800 x 800, batch 1, read back"
SIZES = {"small": {"image": 64, "base": 8, "width": 32, "layers": 1, "heads": 2, "queries": 5,
                   "classes": 4},
         "paper": {"image": 800, "base": 64, "width": 256, "layers": 6, "heads": 8, "queries": 100,
                   "classes": 91}}
STEPS = {"small": 2, "paper": 60}


class Detr(nn.Module):
    def __init__(self, base: int, width: int, layers: int, heads: int, queries: int,
                 classes: int) -> None:
        super().__init__()
        self.base = ResNet(50, 1, base)
        self.project = nn.Conv2d(self.base.channels, width, 1)
        self.rows = nn.Parameter(torch.rand(50, width // 2))
        self.columns = nn.Parameter(torch.rand(50, width // 2))
        self.queries = nn.Parameter(torch.rand(queries, width))
        self.encoder = nn.ModuleList(Block(width, heads, 8 * width, norm_first=False)
                                     for _ in range(layers))
        self.decoder = nn.ModuleList(Block(width, heads, 8 * width, True, norm_first=False)
                                     for _ in range(layers))
        self.kind = nn.Linear(width, classes + 1)
        self.box = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width),
                                 nn.ReLU(), nn.Linear(width, 4), nn.Sigmoid())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.project(self.base.stages(self.base.stem(image)))
        high, wide = x.shape[2:]
        places = torch.cat((self.columns[:wide].expand(high, -1, -1),
                            self.rows[:high, None].expand(-1, wide, -1)), -1).flatten(0, 1)
        memory = x.flatten(2).transpose(1, 2) + places
        for block in self.encoder:
            memory = block(memory)
        found = self.queries.expand(len(image), -1, -1)
        for block in self.decoder:
            found = block(found, memory)
        return torch.cat((self.kind(found).softmax(-1), self.box(found)), -1)


def build(context: Context, image: int, base: int, width: int, layers: int, heads: int,
          queries: int, classes: int) -> Workload:
    inputs = [(context.normal(1, 3, image, image, salt=i),) for i in range(2)]
    return inference(context, Detr(base, width, layers, heads, queries, classes), inputs,
                     lambda model, x: model(x), 1)
