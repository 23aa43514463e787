"""PyTorch between processes: CUDA tensors and events through torch.multiprocessing's queues, pinned memory of a
DataLoader's workers, a fork before CUDA starts."""

from common import check, show, skip

try:
    import torch
    import torch.multiprocessing as multiprocessing
except ImportError as error:
    skip(f"PyTorch: {error}")


def work(requests, answers):
    while True:
        tensor = requests.get()
        if tensor is None:
            return
        answers.put((tensor * 2).contiguous())
        tensor.add_(1)  # the parent's memory
        torch.cuda.synchronize()
        requests.task_done() if hasattr(requests, "task_done") else None
        answers.put("done")
        del tensor


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.full((1000,), float(index)), index


def main():
    context = multiprocessing.get_context("spawn")
    requests, answers = context.Queue(), context.Queue()
    child = context.Process(target=work, args=(requests, answers))
    child.start()
    kept = []
    for number in range(4):
        tensor = torch.arange(1000, device="cuda", dtype=torch.float32) + number
        torch.cuda.synchronize()
        requests.put(tensor)
        doubled = answers.get(timeout=120)
        show(f"from the child {number}", doubled.cpu())
        check(answers.get(timeout=120) == "done", "the child")
        show(f"changed by the child {number}", tensor.cpu())
        kept.append(tensor)
        del doubled
    requests.put(None)
    child.join(60)
    check(child.exitcode == 0, f"the child's exit status is {child.exitcode}")

    loader = torch.utils.data.DataLoader(Numbers(), batch_size=8, num_workers=2, pin_memory=True)
    total = torch.zeros(1000, device="cuda")
    for data, index in loader:
        check(data.is_pinned(), "pinned")
        total += data.to("cuda", non_blocking=True).sum(0)
    show("loader", total.cpu())
    print("ok")


if __name__ == "__main__":
    main()
