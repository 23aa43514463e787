"""An encoder like BERT: padding masks, AMP in bf16, AdamW with a schedule."""

from common import train

import torch
from torch import nn

WORDS, WIDTH, LENGTH = 2000, 256, 64


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, words, padding):
        x = self.words(words) + self.places.weight
        return self.head(self.layers(x, src_key_padding_mask=padding))


model = Encoder().cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
words = torch.randint(0, WORDS, (4, LENGTH), device="cuda")
targets = torch.randint(0, WORDS, (4, LENGTH), device="cuda")
padding = torch.arange(LENGTH, device="cuda").expand(4, LENGTH) >= 50


def loss_of():
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = model(words, padding)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(),
                                           ignore_index=-100)
    return loss


train(model, optimizer, loss_of)
schedule.step()
print("ok")
