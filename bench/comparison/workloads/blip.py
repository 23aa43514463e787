"""BLIP's kind (Li et al. 2022): an image is described by a decoder that attends to it."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload, inference
from .layers import Decoder, ImageEncoder

ABOUT = "BLIP-like captioning: ViT-B/16 at 384, then 20 tokens of a decoder, batch 1, fp16"
SIZES = {"small": {"image": 32, "patch": 16, "width": 32, "layers": 1, "heads": 2, "vocabulary": 100,
                   "new": 3},
         "paper": {"image": 384, "patch": 16, "width": 768, "layers": 12, "heads": 12,
                   "vocabulary": 30524, "new": 20}}
STEPS = {"small": 2, "paper": 15}


class Blip(nn.Module):
    def __init__(self, image: int, patch: int, width: int, layers: int, heads: int,
                 vocabulary: int) -> None:
        super().__init__()
        self.images = ImageEncoder(image, patch, width, layers, heads)
        self.texts = Decoder(vocabulary, 512, width, layers, heads, cross=True)


def build(context: Context, image: int, vocabulary: int, new: int, **size: int) -> Workload:
    model = Blip(image=image, vocabulary=vocabulary, **size)
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    inputs = [(context.normal(1, 3, image, image, salt=i).to(dtype),
               context.integers(vocabulary, 1, 1, salt=10)) for i in range(2)]

    def describe(model: nn.Module, image: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return model.texts.generate(first, new, model.images(image))

    return inference(context, model, inputs, describe, 1, dtype)
