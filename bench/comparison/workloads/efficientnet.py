"""Depthwise convolutions and squeeze-and-excitation: many small kernels."""

from __future__ import annotations

import math

import torch
from torch import nn

from .common import Context, Workload
from .images import train_classifier

ABOUT = "EfficientNet-B0 training, batch 32, SGD"
SIZES = {"small": {"batch": 2, "image": 32, "width": 0.25, "depth": 0.3, "classes": 10},
         "paper": {"batch": 32, "image": 224, "width": 1.0, "depth": 1.0, "classes": 1000}}
STEPS = {"small": 3, "paper": 40}
# Expansion, channels, repeats, stride, kernel (Tan and Le 2019, table 1).
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
          (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
         active: bool = True) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups,
                                        bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts, *([nn.SiLU(True)] if active else []))


class Squeeze(nn.Module):
    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, middle, 1),
                                   nn.SiLU(True), nn.Conv2d(middle, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weigh(x)


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        parts: list[nn.Module] = [] if expansion == 1 else [unit(inputs, middle, 1)]
        parts += [unit(middle, middle, kernel, stride, middle), Squeeze(middle, max(1, inputs // 4)),
                  unit(middle, outputs, 1, active=False)]
        self.body = nn.Sequential(*parts)
        self.keeps = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.keeps else self.body(x)


def network(width: float, depth: float, classes: int) -> nn.Sequential:
    def channels(count: int) -> int:
        return max(8, int(count * width + 4) // 8 * 8)

    inputs = channels(32)
    parts: list[nn.Module] = [unit(3, inputs, 3, 2)]
    for expansion, count, repeats, stride, kernel in STAGES:
        for i in range(math.ceil(repeats * depth)):
            parts.append(Inverted(inputs, channels(count), expansion, kernel, 1 if i else stride))
            inputs = channels(count)
    last = channels(1280)
    return nn.Sequential(*parts, unit(inputs, last, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Dropout(0.2), nn.Linear(last, classes))


def build(context: Context, batch: int, image: int, width: float, depth: float,
          classes: int) -> Workload:
    return train_classifier(context, network(width, depth, classes), batch, image, classes)
