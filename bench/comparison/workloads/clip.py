"""CLIP (Radford et al. 2021): images and texts, each told its own partner among the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, trainer
from .layers import Block, ImageEncoder

ABOUT = "CLIP ViT-B/32 training, batch 64, fp16 autocast and scaling, AdamW"
SIZES = {"small": {"batch": 2, "image": 32, "patch": 16, "width": 32, "text": 16, "layers": 1,
                   "vocabulary": 100, "length": 8, "common": 16},
         "paper": {"batch": 64, "image": 224, "patch": 32, "width": 768, "text": 512, "layers": 12,
                   "vocabulary": 49408, "length": 77, "common": 512}}
STEPS = {"small": 3, "paper": 40}
HEAD = 64  # wide


class Clip(nn.Module):
    def __init__(self, image: int, patch: int, width: int, text: int, layers: int, vocabulary: int,
                 length: int, common: int) -> None:
        super().__init__()
        self.images = ImageEncoder(image, patch, width, layers, max(1, width // HEAD))
        self.tokens = nn.Embedding(vocabulary, text)
        self.positions = nn.Parameter(torch.randn(length, text) * 0.01)
        self.blocks = nn.ModuleList(Block(text, max(1, text // HEAD), 4 * text)
                                    for _ in range(layers))
        self.norm = nn.LayerNorm(text)
        self.from_image = nn.Linear(width, common, bias=False)
        self.from_text = nn.Linear(text, common, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.6593))

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions
        for block in self.blocks:
            x = block(x, causal=True)
        texts = F.normalize(self.from_text(self.norm(x)[:, -1]).float(), dim=-1)
        seen = F.normalize(self.from_image(self.images(images)[:, 0]).float(), dim=-1)
        return self.scale.exp() * seen @ texts.T


def build(context: Context, batch: int, vocabulary: int, length: int, image: int,
          **size: int) -> Workload:
    model = Clip(image=image, vocabulary=vocabulary, length=length, **size)
    batches = [(context.normal(batch, 3, image, image, salt=i),
                context.integers(vocabulary, batch, length, salt=10 + i)) for i in range(2)]

    def loss(model: nn.Module, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        scores = model(images, tokens)
        partner = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.T, partner)) / 2

    precision = "fp16" if context.device.type == "cuda" else "fp32"
    return trainer(context, model, batches, loss, "adamw", batch, precision)
