"""A language model that writes: one token after the other, each looked at by the program."""

from __future__ import annotations

import torch

from .common import Context, Workload, inference
from .layers import Decoder

ABOUT = "GPT-2 small, fp16, 32 tokens generated with a cache"
SIZES = {"small": {"vocabulary": 100, "width": 32, "layers": 2, "heads": 2, "prompt": 4, "new": 4},
         "paper": {"vocabulary": 50257, "width": 768, "layers": 12, "heads": 12, "prompt": 32,
                   "new": 32}}
STEPS = {"small": 2, "paper": 12}


def build(context: Context, vocabulary: int, width: int, layers: int, heads: int, prompt: int,
          new: int) -> Workload:
    model = Decoder(vocabulary, 1024, width, layers, heads)
    prompts = [(context.integers(vocabulary, 1, prompt, salt=i),) for i in range(2)]
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    return inference(context, model, prompts, lambda model, tokens: model.generate(tokens, new),
                     new, dtype)
