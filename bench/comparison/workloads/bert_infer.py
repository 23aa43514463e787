"""A text encoder, normalised after each part as BERT is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, inference
from .layers import Block

ABOUT = "BERT base inference, batch 1 x 128 tokens, read back"
SIZES = {"small": {"vocabulary": 100, "width": 32, "layers": 2, "heads": 2, "length": 8},
         "paper": {"vocabulary": 30522, "width": 768, "layers": 12, "heads": 12, "length": 128}}
STEPS = {"small": 3, "paper": 150}


class Bert(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.kinds = nn.Embedding(vocabulary, width), nn.Embedding(2, width)
        self.positions = nn.Embedding(512, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, norm_first=False)
                                    for _ in range(layers))
        self.pool = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places) + self.kinds(torch.zeros_like(tokens))
        x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        return torch.cat((x, F.tanh(self.pool(x[:, :1]))), 1)


def build(context: Context, vocabulary: int, width: int, layers: int, heads: int,
          length: int) -> Workload:
    inputs = [(context.integers(vocabulary, 1, length, salt=i),) for i in range(2)]
    return inference(context, Bert(vocabulary, width, layers, heads), inputs,
                     lambda model, tokens: model(tokens), 1)
