"""A decoder like GPT-2: attention through SDPA, fp16 with a gradient scaler, AdamW."""

from common import check, steps

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, WORDS, LENGTH = 256, 4, 3, 1000, 128


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(approximate="tanh"),
                                 nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1))

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (t.view(batch, length, HEADS, -1).transpose(1, 2)
                   for t in self.qkv(self.norm1(x)).chunk(3, -1))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, words):
        x = self.words(words) + self.places(torch.arange(words.shape[1], device=words.device))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) @ self.words.weight.t()


model = Decoder().cuda().train()
text = torch.randint(0, WORDS, (4, LENGTH + 1), device="cuda")


def loss_of():
    return functional.cross_entropy(model(text[:, :-1]).flatten(0, 1).float(),
                                    text[:, 1:].flatten())


def plain():
    """fp32: the memory-efficient kernels."""
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def scaled():
    """fp16: flash attention. The scaler looks whether a gradient was infinite: one more read."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda", dtype=torch.float16):
        loss = loss_of()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
steps(plain)
scaler = torch.amp.GradScaler("cuda")
steps(scaled, read=2, unread=1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
scaler = torch.amp.GradScaler("cuda")
steps(scaled)  # a fused optimizer looks for itself, on the device
check(scaler.get_scale() is not None, "a scale")
print("ok")
