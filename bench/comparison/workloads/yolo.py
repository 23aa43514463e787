"""A detector of YOLO's kind, with its boxes chosen on the host's command: how many there are is
known only when the device has said so."""

from __future__ import annotations

import torch
from torch import nn

from .common import Context, Workload, inference
from .efficientnet import unit

ABOUT = "YOLO-like detector, 640 x 640, batch 1: boxes, non-maximum suppression, read back"
SIZES = {"small": {"image": 64, "width": 4, "classes": 4, "kept": 20},
         "paper": {"image": 640, "width": 32, "classes": 80, "kept": 300}}
STEPS = {"small": 3, "paper": 100}
STRIDES = (8, 16, 32)


class Csp(nn.Module):
    """Half of the channels pass through bottlenecks; all pieces are put together."""

    def __init__(self, inputs: int, outputs: int, count: int, keeps: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.first, self.last = unit(inputs, outputs, 1), unit(half * (count + 2), outputs, 1)
        self.parts = nn.ModuleList(nn.Sequential(unit(half, half, 3), unit(half, half, 3))
                                   for _ in range(count))
        self.keeps = keeps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces = list(self.first(x).chunk(2, 1))
        for part in self.parts:
            y = part(pieces[-1])
            pieces.append(y + pieces[-1] if self.keeps else y)
        return self.last(torch.cat(pieces, 1))


class Yolo(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(unit(3, w, 3, 2), unit(w, 2 * w, 3, 2), Csp(2 * w, 2 * w, 1))
        self.down = nn.ModuleList(nn.Sequential(unit(c, 2 * c, 3, 2), Csp(2 * c, 2 * c, n))
                                  for c, n in ((2 * w, 2), (4 * w, 2), (8 * w, 1)))
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.spread = unit(64 * w, 16 * w, 1)
        self.up = nn.Upsample(scale_factor=2)
        self.join = nn.ModuleList((Csp(24 * w, 8 * w, 1, False), Csp(12 * w, 4 * w, 1, False)))
        self.heads = nn.ModuleList(nn.Conv2d(c, 4 + classes, 1) for c in (4 * w, 8 * w, 16 * w))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Boxes as (centre, size) in pixels and class scores, [batch, places, 4 + classes]."""
        a, b, c = self._features(self.stem(x))
        b = self.join[0](torch.cat((self.up(c), b), 1))
        a = self.join[1](torch.cat((self.up(b), a), 1))
        found = []
        for head, stride, features in zip(self.heads, STRIDES, (a, b, c)):
            y = head(features)
            rows, columns = (torch.arange(n, device=y.device, dtype=y.dtype) for n in y.shape[2:])
            grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
            centre, size, scores = y.split((2, 2, y.shape[1] - 4), 1)
            centre = (centre.sigmoid() * 2 - 0.5 + grid) * stride
            size = (size.sigmoid() * 2) ** 2 * stride * 4
            found.append(torch.cat((centre, size, scores.sigmoid()), 1).flatten(2).transpose(1, 2))
        return torch.cat(found, 1)

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        pooled = [x, self.pool(x)]
        pooled += [self.pool(pooled[-1])]
        pooled += [self.pool(pooled[-1])]
        levels[-1] = self.spread(torch.cat(pooled, 1))
        return levels


def suppress(boxes: torch.Tensor, limit: float = 0.5) -> torch.Tensor:
    """Which of @boxes (corners, best first) no better one covers."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = (high - low).clamp(min=0).prod(2)
    covers = (common / (area[:, None] + area[None] - common) > limit).triu(1)
    kept = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for _ in range(64):  # until nothing changes; each pass settles at least one more box
        again = ~(covers & kept[:, None]).any(0)
        if torch.equal(again, kept):
            break
        kept = again
    return kept


def detect(model: nn.Module, image: torch.Tensor, kept: int) -> torch.Tensor:
    found = model(image)[0]
    scores, kinds = found[:, 4:].max(1)
    best, places = scores.topk(min(kept, len(scores)))
    chosen = found[places]
    corners = torch.cat((chosen[:, :2] - chosen[:, 2:4] / 2, chosen[:, :2] + chosen[:, 2:4] / 2), 1)
    rows = torch.cat((corners, best[:, None], kinds[places][:, None].float()), 1)
    return rows[suppress(corners)]


def build(context: Context, image: int, width: int, classes: int, kept: int) -> Workload:
    inputs = [(context.normal(1, 3, image, image, salt=i),) for i in range(2)]
    return inference(context, Yolo(width, classes), inputs,
                     lambda model, x: detect(model, x, kept), 1)
