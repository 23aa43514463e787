"""PyTorch's CUDA graphs: capture with side streams, replay with changed inputs, graphed callables, a whole training
step, random numbers inside, pools shared by graphs."""

from common import check, show, skip

try:
    import torch
except ImportError as error:
    skip(f"PyTorch: {error}")

torch.manual_seed(0)
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
with torch.cuda.graph(graph):
    loss = step()
for number in range(20):
    inputs.copy_(torch.randn(64, 128, device="cuda"))
    graph.replay()
    if number % 5 == 4:
        print(f"step {number + 1}: {loss.item().hex()}")
show("weights", model[0].weight.detach().cpu())

forked = torch.cuda.CUDAGraph()
a, b = torch.ones(1000, device="cuda"), torch.ones(1000, device="cuda")
with torch.cuda.graph(forked, pool=graph.pool()):
    other = torch.cuda.Stream()
    other.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(other):
        d = b * 3
    c = a * 2
    torch.cuda.current_stream().wait_stream(other)
    e = c + d
for number in range(3):
    a.fill_(number)
    b.fill_(number + 1)
    forked.replay()
    show(f"forked {number}", e.cpu())

torch.manual_seed(5)
callable_model = torch.cuda.make_graphed_callables(torch.nn.Linear(128, 32).cuda(), (inputs.clone().requires_grad_(),))
sample = torch.randn(64, 128, device="cuda", requires_grad=True)
callable_model(sample).square().mean().backward()
show("graphed callable", sample.grad.cpu())
noise = torch.cuda.CUDAGraph()
with torch.cuda.graph(noise):
    drawn = torch.rand(100, device="cuda")
noise.replay()
first = drawn.cpu()
noise.replay()
check(not torch.equal(first, drawn.cpu()), "new random numbers at each replay")
show("random", drawn.cpu())
try:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.ones(3, device="cuda").sum().item()
    check(False, "a read in a capture")
except RuntimeError as error:
    print("a read in a capture:", str(error).split("\n")[0][:80])
show("afterwards", (torch.ones(3, device="cuda") * 2).cpu())
print("ok")
