"""What programs ask about memory and load."""

from common import check, counted

import torch

tensors = [torch.zeros(1 << 20, device="cuda") for _ in range(4)]
check(torch.cuda.memory_allocated() >= 4 * 4 << 20, "allocated")
check(torch.cuda.memory_reserved() >= torch.cuda.memory_allocated(), "reserved")
check(torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated(), "peak")
torch.cuda.reset_peak_memory_stats()
check(torch.cuda.memory_stats()["active.all.current"] >= 4, "statistics")
check("Allocated memory" in torch.cuda.memory_summary(), "summary")
check(len(torch.cuda.memory_snapshot()) > 0, "snapshot")
torch.cuda.memory._record_memory_history(max_entries=100)
check(torch.cuda.memory._snapshot()["segments"], "history")
torch.cuda.memory._record_memory_history(enabled=None)
free, total = torch.cuda.mem_get_info()
check(0 < free < total, "free memory")
with counted("own figures", 0):
    torch.cuda.memory_allocated()
    torch.cuda.memory_reserved()
torch.cuda.set_per_process_memory_fraction(0.5)
try:
    torch.empty(total, dtype=torch.uint8, device="cuda")
    check(False, "more than the limit")
except torch.cuda.OutOfMemoryError:
    pass
torch.cuda.set_per_process_memory_fraction(1.0)
del tensors
torch.cuda.empty_cache()
check(torch.cuda.memory_allocated() == 0, "all freed")
# NVML, through the package that PyTorch asks for. What a device does not have, NVML refuses.
import pynvml  # pylint: disable=wrong-import-position

check(0 <= torch.cuda.utilization() <= 100, "utilization")
for question in (torch.cuda.temperature, torch.cuda.power_draw, torch.cuda.clock_rate,
                 torch.cuda.memory_usage):
    try:
        check(question() >= 0, question.__name__)
    except pynvml.NVMLError_NotSupported:
        pass
check(isinstance(torch.cuda.list_gpu_processes(), str), "processes")
print("ok")
