"""Attention and transformer blocks that several models share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Multi-head; of @x to itself or to @memory. @cache, a list, keeps keys and values of what came
    before, one entry a position."""

    def __init__(self, width: int, heads: int, kv_heads: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        self.size = width // heads
        self.query = nn.Linear(width, heads * self.size, bias)
        self.key = nn.Linear(width, self.kv_heads * self.size, bias)
        self.value = nn.Linear(width, self.kv_heads * self.size, bias)
        self.output = nn.Linear(heads * self.size, width, bias)

    def split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], heads, self.size).transpose(1, 2)

    def forward(self, x: torch.Tensor, memory: torch.Tensor | None = None, causal: bool = False,
                cache: list[torch.Tensor] | None = None, rotary: torch.Tensor | None = None,
                bias: torch.Tensor | None = None) -> torch.Tensor:
        q = self.split(self.query(x), self.heads)
        if memory is not None and cache:
            k, v = cache  # of a memory that does not change
        else:
            source = x if memory is None else memory
            k = self.split(self.key(source), self.kv_heads)
            v = self.split(self.value(source), self.kv_heads)
            if rotary is not None:
                q, k = rotate(q, rotary), rotate(k, rotary)
            if cache is not None:
                if memory is None and cache:
                    k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
                cache[:] = [k, v]
        if self.kv_heads != self.heads:
            repeats = self.heads // self.kv_heads
            k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias,
                                           is_causal=causal and q.shape[2] > 1)
        return self.output(y.transpose(1, 2).flatten(2))


def rotary_angles(positions: int, size: int, device: torch.device) -> torch.Tensor:
    """Cosines and sines, [2, positions, size]."""
    frequencies = 10000.0 ** (-torch.arange(0, size, 2, device=device).float() / size)
    angles = torch.arange(positions, device=device).float()[:, None] * frequencies
    angles = torch.cat((angles, angles), -1)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: torch.Tensor, rotary: torch.Tensor) -> torch.Tensor:
    cos, sin = rotary[0].to(x.dtype), rotary[1].to(x.dtype)
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Block(nn.Module):
    """Attention, perhaps attention to a memory, and a feed-forward part; normalised before or
    after."""

    def __init__(self, width: int, heads: int, hidden: int, cross: bool = False,
                 norm_first: bool = True) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention, self.norm1 = Attention(width, heads), nn.LayerNorm(width)
        self.cross = Attention(width, heads) if cross else None
        self.norm_cross = nn.LayerNorm(width) if cross else None
        self.hidden, self.back = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, memory: torch.Tensor | None = None, causal: bool = False,
                cache: list[list[torch.Tensor]] | None = None) -> torch.Tensor:
        own, other = cache if cache is not None else (None, None)
        if self.norm_first:
            x = x + self.attention(self.norm1(x), causal=causal, cache=own)
            if self.cross is not None and self.norm_cross is not None:
                x = x + self.cross(self.norm_cross(x), memory, cache=other)
            return x + self.back(F.gelu(self.hidden(self.norm2(x))))
        x = self.norm1(x + self.attention(x, causal=causal, cache=own))
        if self.cross is not None and self.norm_cross is not None:
            x = self.norm_cross(x + self.cross(x, memory, cache=other))
        return self.norm2(x + self.back(F.gelu(self.hidden(x))))


def new_cache(layers: int) -> list[list[list[torch.Tensor]]]:
    """For Block: of each layer its own keys and values and those of the memory."""
    return [[[], []] for _ in range(layers)]


class Decoder(nn.Module):
    """Tokens to scores: GPT-2's shape, with an optional memory to attend to."""

    def __init__(self, vocabulary: int, positions: int, width: int, layers: int, heads: int,
                 cross: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, cross) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                scale = 0.02 / math.sqrt(2 * layers) if name.endswith("back.weight") else 0.02
                nn.init.normal_(weight, 0, scale)

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor | None = None, start: int = 0,
                cache: list[list[list[torch.Tensor]]] | None = None) -> torch.Tensor:
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for i, block in enumerate(self.blocks):
            x = block(x, memory, causal=True, cache=cache[i] if cache is not None else None)
        return F.linear(self.norm(x), self.tokens.weight)

    @torch.inference_mode()
    def generate(self, prompt: torch.Tensor, count: int,
                 memory: torch.Tensor | None = None) -> torch.Tensor:
        """Greedy, with a cache; the program looks at every token, as one that waits for an end
        of text does."""
        cache = new_cache(len(self.blocks))
        tokens, new = prompt, prompt
        for _ in range(count):
            scores = self(new, memory, tokens.shape[1] - new.shape[1], cache)[:, -1]
            new = scores.argmax(-1, keepdim=True)
            tokens = torch.cat((tokens, new), 1)
            if int(new[0, 0]) == -1:
                break
        return tokens


def next_token_loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    scores = model(tokens)
    return F.cross_entropy(scores[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


class Patches(nn.Module):
    """An image as a sequence of patches, with a class token and positions: ViT's beginning."""

    def __init__(self, image: int, patch: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, width) * 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.project(x).flatten(2).transpose(1, 2)
        return torch.cat((self.first.expand(x.shape[0], -1, -1).to(x.dtype), x), 1) + self.positions


class ImageEncoder(nn.Module):
    """ViT without its head: [batch, patches + 1, width]."""

    def __init__(self, image: int, patch: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.patches = Patches(image, patch, width)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
