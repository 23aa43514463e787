"""Two GPUs: copies between them, a model on both, NCCL in one process and in two."""

import os
import tempfile

from common import check, show, skip

try:
    import torch
    import torch.distributed as distributed
    import torch.multiprocessing as multiprocessing
except ImportError as error:
    skip(f"PyTorch: {error}")


def rank_main(rank, size, path):
    torch.cuda.set_device(rank)
    distributed.init_process_group("nccl", init_method=f"file://{path}", rank=rank, world_size=size)
    x = torch.arange(1000, device="cuda", dtype=torch.float32) * (rank + 1)
    distributed.all_reduce(x)
    check(torch.equal(x.cpu(), torch.arange(1000.0) * 3), "all_reduce")
    parts = [torch.empty(10, device="cuda") for _ in range(size)]
    distributed.all_gather(parts, torch.full((10,), float(rank), device="cuda"))
    check(all((part == number).all() for number, part in enumerate(parts)), "all_gather")
    other = torch.empty(1 << 20, device="cuda")
    if rank == 0:
        distributed.send(torch.arange(1 << 20, device="cuda", dtype=torch.float32), 1)
    else:
        distributed.recv(other, 0)
        check(torch.equal(other.cpu(), torch.arange(1 << 20, dtype=torch.float32)), "recv")
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 8).cuda(), [rank])
    model(torch.ones(4, 8, device="cuda") * (rank + 1)).sum().backward()
    check(torch.allclose(model.module.weight.grad.cpu(), torch.full((8, 8), 6.0)), "gradients")
    distributed.destroy_process_group()


def main():
    if torch.cuda.device_count() < 2:
        skip("there is one device")
    print("peer access", torch.cuda.can_device_access_peer(0, 1))
    a = torch.arange(1 << 20, device="cuda:0", dtype=torch.float32)
    b = a.to("cuda:1")
    show("copied", (b * 2).to("cuda:0").cpu())
    show("back", b.cpu())
    torch.manual_seed(0)
    model = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(),
                                                      torch.nn.Linear(64, 4)).cuda())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(5):  # broadcasts and reductions by NCCL, in one process
        loss = model(torch.ones(32, 64, device="cuda")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: {loss.item():.6f}")
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(rank_main, (2, os.path.join(folder, "meeting")), nprocs=2)
    print("two processes: all_reduce, all_gather, send, recv, gradients")
    print("ok")


if __name__ == "__main__":
    main()
