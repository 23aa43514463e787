"""Inference: a convnet in half precision and greedy decoding with a cache, in inference mode."""

from common import counted, steps

import torch
from torch import nn
from torch.nn import functional

convnet = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
                        nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.SiLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
convnet = convnet.cuda().half().eval()
image = torch.randn(1, 3, 64, 64)
with torch.inference_mode():
    steps(lambda: convnet(image.cuda(non_blocking=True).half()).softmax(-1).argmax())
    for _ in range(2):
        with counted("read all", 1):
            convnet(image.cuda(non_blocking=True).half()).float().cpu()

WIDTH, HEADS, WORDS = 256, 4, 1000
words = nn.Embedding(WORDS, WIDTH).cuda().bfloat16()
qkv, out = (nn.Linear(WIDTH, n * WIDTH).cuda().bfloat16() for n in (3, 1))
keys, values = (torch.zeros(1, HEADS, 32, WIDTH // HEADS, device="cuda", dtype=torch.bfloat16)
                for _ in range(2))
state = {"token": torch.zeros(1, 1, dtype=torch.long, device="cuda"), "place": 0}


def decode():
    """One token: its key and value join the cache; which token comes next stays on the device."""
    place = state["place"]
    q, k, v = (t.view(1, 1, HEADS, -1).transpose(1, 2)
               for t in qkv(words(state["token"])).chunk(3, -1))
    keys[:, :, place:place + 1], values[:, :, place:place + 1] = k, v
    y = functional.scaled_dot_product_attention(q, keys[:, :, :8], values[:, :, :8])
    logits = out(y.transpose(1, 2).reshape(1, 1, WIDTH)) @ words.weight.t()
    state["token"] = logits.argmax(-1)
    state["place"] += 1
    return state["token"]


with torch.inference_mode():
    steps(decode)
print("ok")
