"""CUDA graphs: a whole training step is captured and replayed; a graphed callable."""

from common import check, counted, steps

import torch

model = torch.nn.Sequential(torch.nn.Linear(128, 256), torch.nn.GELU(), torch.nn.Dropout(0.1),
                            torch.nn.Linear(256, 10)).cuda()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, capturable=True)
inputs = torch.randn(64, 128, device="cuda")
labels = torch.randint(0, 10, (64,), device="cuda")


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss


side = torch.cuda.Stream()
side.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(side):
    for _ in range(3):
        step()
torch.cuda.current_stream().wait_stream(side)
graph = torch.cuda.CUDAGraph()
with counted("capture"), torch.cuda.graph(graph):
    loss = step()
batch = torch.randn(64, 128)


def replay():
    inputs.copy_(batch, non_blocking=True)
    graph.replay()
    return loss


steps(replay)
callable_model = torch.cuda.make_graphed_callables(torch.nn.Linear(128, 32).cuda(),
                                                   (inputs.clone().requires_grad_(),))
sample = torch.randn(64, 128, device="cuda", requires_grad=True)


def graphed():
    value = callable_model(sample).square().mean()
    value.backward()
    return value.detach()


steps(graphed)
check(sample.grad is not None, "a gradient")
print("ok")
