"""A language model in training."""

from __future__ import annotations

from .common import Context, Workload, trainer
from .layers import Decoder, next_token_loss

ABOUT = "GPT-2 small training, 4 x 256 tokens, AdamW"
SIZES = {"small": {"vocabulary": 100, "width": 32, "layers": 2, "heads": 2, "batch": 2, "length": 16},
         "paper": {"vocabulary": 50257, "width": 768, "layers": 12, "heads": 12, "batch": 4,
                   "length": 256}}
STEPS = {"small": 3, "paper": 40}


def build(context: Context, vocabulary: int, width: int, layers: int, heads: int, batch: int,
          length: int) -> Workload:
    model = Decoder(vocabulary, 1024, width, layers, heads)
    batches = [(context.integers(vocabulary, batch, length, salt=i),) for i in range(4)]
    return trainer(context, model, batches, next_token_loss, "adamw", batch * length)
