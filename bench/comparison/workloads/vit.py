"""A vision transformer in mixed precision."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload
from .images import train_classifier
from .layers import ImageEncoder

ABOUT = "ViT-B/16 training, batch 32, bf16 autocast, AdamW"
SIZES = {"small": {"batch": 2, "image": 32, "patch": 8, "width": 32, "layers": 2, "heads": 2,
                   "classes": 10},
         "paper": {"batch": 32, "image": 224, "patch": 16, "width": 768, "layers": 12, "heads": 12,
                   "classes": 1000}}
STEPS = {"small": 3, "paper": 40}


class Vit(nn.Module):
    def __init__(self, image: int, patch: int, width: int, layers: int, heads: int,
                 classes: int) -> None:
        super().__init__()
        self.encoder = ImageEncoder(image, patch, width, layers, heads)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x)[:, 0])


def build(context: Context, batch: int, image: int, patch: int, width: int, layers: int, heads: int,
          classes: int) -> Workload:
    return train_classifier(context, Vit(image, patch, width, layers, heads, classes), batch, image,
                            classes, "bf16", "adamw")
