"""Inference of single images: latency."""

from __future__ import annotations

from .common import Context, Workload
from .images import ask_classifier
from .resnet import ResNet

ABOUT = "ResNet-18 inference, batch 1, read back"
SIZES = {"small": {"batch": 1, "image": 32, "width": 8, "classes": 10},
         "paper": {"batch": 1, "image": 224, "width": 64, "classes": 1000}}
STEPS = {"small": 3, "paper": 200}


def build(context: Context, batch: int, image: int, width: int, classes: int) -> Workload:
    return ask_classifier(context, ResNet(18, classes, width), batch, image)
