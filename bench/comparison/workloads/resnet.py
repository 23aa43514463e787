"""ResNet (He et al. 2015): 18 with basic blocks, 50 with bottlenecks."""

from __future__ import annotations

import torch
from torch import nn

LAYERS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    def __init__(self, inputs: int, middle: int, stride: int, expansion: int) -> None:
        super().__init__()
        outputs = middle * expansion
        parts: list[nn.Module]
        if expansion == 1:
            parts = [*unit(inputs, middle, 3, stride), nn.ReLU(True), *unit(middle, middle, 3)]
        else:
            parts = [*unit(inputs, middle, 1), nn.ReLU(True), *unit(middle, middle, 3, stride),
                     nn.ReLU(True), *unit(middle, outputs, 1)]
        self.body = nn.Sequential(*parts)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(*unit(inputs, outputs, 1, stride))
        self.relu = nn.ReLU(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, depth: int, classes: int, width: int = 64) -> None:
        super().__init__()
        expansion = 4 if depth >= 50 else 1
        self.stem = nn.Sequential(*unit(3, width, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, 1))
        stages, inputs = [], width
        for i, count in enumerate(LAYERS[depth]):
            for j in range(count):
                stages.append(Residual(inputs, width << i, 2 if i and not j else 1, expansion))
                inputs = (width << i) * expansion
        self.stages = nn.Sequential(*stages)
        self.channels = inputs
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(x)))
