#!/usr/bin/env python3
"""Trains ResNet-18 on synthetic images with PyTorch.

Every step prints its loss, also as a hexadecimal number, so that two runs can be compared bit for
bit; step times go to standard error. The same seed gives the same losses on the same kind of GPU.

    train.py [--steps 20] [--batch 32] [--amp fp16]

It is an ordinary PyTorch program: LD_PRELOAD=libgenie.so runs it on a remote GPU.
"""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS: the same order every time

import torch
from torch import nn

IMAGE_SIZE = 224
CLASSES = 1000


class Block(nn.Module):
    """Two 3x3 convolutions and what goes around them."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                          nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18():
    """torchvision's where it is installed, the same network otherwise."""
    try:
        from torchvision.models import resnet18 as model
        return model(num_classes=CLASSES)
    except ImportError:
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64),
                  nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
            inputs = outputs
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES)]
        return nn.Sequential(*layers)


def make_repeatable():
    torch.manual_seed(0)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def report(times):
    """Step times without the first five, in which libraries load and tune."""
    steady = sorted(times[5:] or times)
    print(f"step: median {statistics.median(steady):.2f} ms, fastest {steady[0]:.2f} ms, "
          f"first {times[0]:.0f} ms", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--amp", choices=("off", "fp16"), default="off",
                        help="mixed precision (default: off)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("train.py: PyTorch finds no CUDA device")

    make_repeatable()
    half = options.amp == "fp16"
    model = resnet18().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler("cuda", enabled=half)
    criterion = nn.CrossEntropyLoss()

    # Made on the host, copied from pinned memory: as a data loader does.
    images = [torch.randn(options.batch, 3, IMAGE_SIZE, IMAGE_SIZE).pin_memory() for _ in range(2)]
    labels = [torch.randint(CLASSES, (options.batch,)).pin_memory() for _ in range(2)]

    print(f"ResNet-18, batch {options.batch}, mixed precision {options.amp}", flush=True)
    times = []
    for step in range(options.steps):
        begin = time.perf_counter()
        x = images[step % 2].cuda(non_blocking=True)
        y = labels[step % 2].cuda(non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=half):
            loss = criterion(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        value = loss.item()
        times.append((time.perf_counter() - begin) * 1000)
        print(f"step {step + 1:2d}  loss {value!r}  {value.hex()}", flush=True)
    report(times)


if __name__ == "__main__":
    main()
