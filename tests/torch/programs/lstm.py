"""Recurrent layers of cuDNN: LSTM and GRU, both directions, dropout between layers."""

from common import train

import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(500, 64)
        self.lstm = nn.LSTM(64, 128, 2, batch_first=True, bidirectional=True, dropout=0.1)
        self.gru = nn.GRU(256, 64, batch_first=True)
        self.out = nn.Linear(64, 10)

    def forward(self, words):
        x, _ = self.lstm(self.words(words))
        x, _ = self.gru(x)
        return self.out(x)


model = Tagger().cuda()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
words = torch.randint(0, 500, (8, 20), device="cuda")
tags = torch.randint(0, 10, (8, 20), device="cuda")
train(model, optimizer, lambda: nn.functional.cross_entropy(model(words).flatten(0, 1),
                                                            tags.flatten()))
print("ok")
