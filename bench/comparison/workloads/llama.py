"""A decoder of LLaMA's kind: rotary positions, grouped queries, gated feed-forward, bf16."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .common import Context, Workload, hash_tensors
from .layers import Attention, rotary_angles

ABOUT = "LLaMA-like decoder (1.1 G weights, bf16): prompt of 128, then 64 tokens, one at a time"
SIZES = {"small": {"vocabulary": 100, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2,
                   "hidden": 64, "prompt": 4, "new": 3},
         "paper": {"vocabulary": 32000, "width": 2048, "layers": 22, "heads": 32, "kv_heads": 4,
                   "hidden": 5632, "prompt": 128, "new": 64}}
STEPS = {"small": 2, "paper": 5}


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5)
        return self.weight * y.to(x.dtype)


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.attention = Attention(width, heads, kv_heads, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, rotary: torch.Tensor,
                cache: list[torch.Tensor]) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), causal=True, cache=cache, rotary=rotary)
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, kv_heads: int,
                 hidden: int) -> None:
        super().__init__()
        self.size = width // heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads, kv_heads, hidden) for _ in range(layers))
        self.norm = Norm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor, rotary: torch.Tensor,
                caches: list[list[torch.Tensor]]) -> torch.Tensor:
        x = self.tokens(tokens)
        for layer, cache in zip(self.layers, caches):
            x = layer(x, rotary, cache)
        return self.head(self.norm(x[:, -1]))


def build(context: Context, vocabulary: int, width: int, layers: int, heads: int, kv_heads: int,
          hidden: int, prompt: int, new: int) -> Workload:
    # Made on the device: on the host the random weights alone would take half a minute.
    with torch.device(context.device):
        torch.manual_seed(context.seed)
        model = Llama(vocabulary, width, layers, heads, kv_heads, hidden).to(torch.bfloat16).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.02)
    prompts = [context.integers(vocabulary, 1, prompt, salt=i) for i in range(2)]
    rotary = rotary_angles(prompt + new, width // heads, context.device)
    last: list[torch.Tensor] = []

    @torch.inference_mode()
    def step(number: int) -> float:
        token = context.to_device(prompts[number % 2])
        caches: list[list[torch.Tensor]] = [[] for _ in range(layers)]
        written, place, scores = [], 0, torch.empty(0)
        for _ in range(new):
            scores = model(token, rotary[:, place:place + token.shape[1]], caches)
            place += token.shape[1]
            token = scores.argmax(-1, keepdim=True)
            written.append(int(token))
        last[:] = [torch.tensor(written), scores]
        return float(sum(written))

    return Workload(step, lambda: {"output": hash_tensors((str(i), t) for i, t in enumerate(last))},
                    new)
