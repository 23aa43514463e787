"""Streams, events and what is timed with them; priorities; memory that streams share."""

from common import check, counted

import torch

first, second = torch.cuda.Stream(), torch.cuda.Stream(priority=-1)
a = torch.randn(256, 256, device="cuda")
begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
pinned = torch.empty(256, 256, pin_memory=True)


def work():
    begin.record()
    first.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(first):
        b = a @ a
        done = first.record_event()
    second.wait_event(done)
    with torch.cuda.stream(second):
        b.record_stream(second)
        c = b.relu()
        pinned.copy_(c, non_blocking=True)
    torch.cuda.current_stream().wait_stream(second)
    end.record()


work()
end.synchronize()
for _ in range(2):
    with counted("work", 0):
        work()
    with counted("wait", 1):
        end.synchronize()
    with counted("known", 0):
        check(end.query() and begin.query() and second.query(), "done")
for _ in range(2):
    with counted("time", 1):
        check(begin.elapsed_time(end) >= 0, "a time")
for _ in range(2):
    work()
    with counted("synchronize", 1):
        torch.cuda.synchronize()
    with counted("again", 0):
        torch.cuda.current_stream().synchronize()
external = torch.cuda.ExternalStream(first.cuda_stream)
with torch.cuda.stream(external):
    a.add_(1)
external.synchronize()
print("ok")
