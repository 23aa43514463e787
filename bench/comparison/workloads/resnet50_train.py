"""A deeper one: the GPU is what a step waits for."""

from __future__ import annotations

from .common import Context, Workload
from .images import train_classifier
from .resnet import ResNet

ABOUT = "ResNet-50 training, batch 64, SGD"
SIZES = {"small": {"batch": 2, "image": 32, "width": 8, "classes": 10},
         "paper": {"batch": 64, "image": 224, "width": 64, "classes": 1000}}
STEPS = {"small": 3, "paper": 40}


def build(context: Context, batch: int, image: int, width: int, classes: int) -> Workload:
    return train_classifier(context, ResNet(50, classes, width), batch, image, classes)
