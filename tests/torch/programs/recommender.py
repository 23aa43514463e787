"""A recommender like DLRM: embedding bags, pairwise products of features, Adagrad."""

from common import train

import torch
from torch import nn

TABLES, ROWS, WIDTH, BATCH = 6, 1000, 32, 64


class Recommender(nn.Module):
    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(ROWS, WIDTH, mode="sum") for _ in range(TABLES))
        self.bottom = nn.Sequential(nn.Linear(13, 128), nn.ReLU(), nn.Linear(128, WIDTH), nn.ReLU())
        pairs = (TABLES + 1) * TABLES // 2
        self.top = nn.Sequential(nn.Linear(WIDTH + pairs, 128), nn.ReLU(), nn.Linear(128, 1))
        self.register_buffer("lower", torch.tril_indices(TABLES + 1, TABLES + 1, -1))

    def forward(self, dense, indices, offsets):
        x = self.bottom(dense)
        features = torch.stack([x] + [bag(indices[i], offsets[i])
                                      for i, bag in enumerate(self.bags)], 1)
        products = torch.bmm(features, features.transpose(1, 2))
        return self.top(torch.cat([x, products[:, self.lower[0], self.lower[1]]], 1))


model = Recommender().cuda()
optimizer = torch.optim.Adagrad(model.parameters(), lr=1e-2)
dense = torch.randn(BATCH, 13, device="cuda")
indices = torch.randint(0, ROWS, (TABLES, 4 * BATCH), device="cuda")
offsets = torch.arange(0, 4 * BATCH, 4, device="cuda").expand(TABLES, BATCH).contiguous()
clicks = torch.rand(BATCH, 1, device="cuda")
train(model, optimizer, lambda: nn.functional.binary_cross_entropy_with_logits(
    model(dense, indices, offsets), clicks))
print("ok")
