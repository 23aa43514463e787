"""A perceptron with Adam."""

from common import train

import torch

model = torch.nn.Sequential(torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Dropout(0.1),
                            torch.nn.Linear(512, 10)).cuda()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
inputs = torch.randn(128, 784)
labels = torch.randint(0, 10, (128,))
train(model, optimizer,
      lambda: torch.nn.functional.cross_entropy(model(inputs.cuda(non_blocking=True)),
                                                labels.cuda(non_blocking=True)))
print("ok")
