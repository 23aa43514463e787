"""torch.profiler: without CUPTI its CPU part is complete, and it is said once what is missing."""

import os
import tempfile

from common import check

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

x = torch.ones(64, 64, device="cuda")


def work():
    with record_function("my part"):
        return (x @ x).relu().sum().item()


work()
for _ in range(2):
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], profile_memory=True,
                 record_shapes=True) as profiler:
        for _ in range(3):
            work()
    names = {event.key: event.count for event in profiler.key_averages()}
    check(names.get("my part") == 3 and names.get("aten::mm") == 3, f"the profile: {names}")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.export_chrome_trace(path)
        with open(path, encoding="utf-8") as file:
            check("aten::mm" in file.read(), "the trace")
traces = []
with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA],
             schedule=schedule(wait=1, warmup=1, active=2),
             on_trace_ready=lambda profiler: traces.append(len(profiler.events()))) as profiler:
    for _ in range(4):
        work()
        profiler.step()
check(len(traces) == 1 and traces[0] > 0, f"traces: {traces}")
with torch.autograd.profiler.emit_nvtx():
    work()
print("ok")
