"""DataLoader with worker processes that fork after CUDA has begun, pinned batches, copies that
overlap."""

import os

from common import check, counted

import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, index):
        return torch.full((256,), float(index)), index % 10, os.getpid()


model = torch.nn.Linear(256, 10).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(Numbers(), batch_size=8, num_workers=2, pin_memory=True,
                    multiprocessing_context="fork")
pids = set()
for epoch in range(2):
    for inputs, labels, process in loader:
        pids.update(process.tolist())
        check(inputs.is_pinned(), "pinned batches")
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(
            model(inputs.to("cuda", non_blocking=True)), labels.to("cuda", non_blocking=True))
        loss.backward()
        optimizer.step()
check(len(pids) == 4 and os.getpid() not in pids, "workers are other processes")
for _ in range(2):  # the loader's threads are gone: nobody else makes calls
    with counted("step with pinned memory", 1):
        inputs.pin_memory().to("cuda", non_blocking=True).sum().item()

child = os.fork()
if not child:  # CUDA does not survive fork(): PyTorch says so, and nothing hangs
    try:
        torch.zeros(1, device="cuda")
        os._exit(1)
    except RuntimeError as error:
        os._exit(0 if "forked subprocess" in str(error) else 2)
check(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "CUDA in a forked child")
loss.item()
print("ok")
