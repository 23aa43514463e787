"""Training and asking an image classifier: what the image workloads share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, inference, trainer


def train_classifier(context: Context, model: nn.Module, batch: int, image: int, classes: int,
                     precision: str = "fp32", optimizer: str = "sgd") -> Workload:
    batches = [(context.normal(batch, 3, image, image, salt=i),
                context.integers(classes, batch, salt=10 + i)) for i in range(2)]

    def loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(images), labels)

    return trainer(context, model, batches, loss, optimizer, batch, precision)


def ask_classifier(context: Context, model: nn.Module, batch: int, image: int) -> Workload:
    inputs = [(context.normal(batch, 3, image, image, salt=i),) for i in range(2)]
    return inference(context, model, inputs, lambda model, x: model(x), batch)
