"""Importing, and what programs ask first."""

from common import check, counted

import torch

check(torch.cuda.is_available() and torch.cuda.device_count() >= 1, "a device")
with counted("first", None):
    properties = torch.cuda.get_device_properties(0)
check(properties.total_memory > 0 and properties.multi_processor_count > 0, "properties")
check(torch.cuda.get_device_name(0) == properties.name, "its name")
check(torch.cuda.get_device_capability(0) == (properties.major, properties.minor), "capability")
check(torch.cuda.is_bf16_supported() and torch.cuda.is_initialized(), "bf16")
check(len(torch.cuda.get_arch_list()) > 0, "architectures")
check(torch.backends.cudnn.is_available() and torch.backends.cudnn.version() > 0, "cuDNN")
x = torch.zeros(4, device="cuda")
for _ in range(2):
    with counted("questions", 0):
        torch.cuda.get_device_properties(0)
        torch.cuda.current_device()
        torch.cuda.current_stream()
        torch.cuda.is_current_stream_capturing()
        torch.cuda.can_device_access_peer(0, 0) if torch.cuda.device_count() > 1 else None
        torch.cuda.memory_allocated()
x.sum().item()  # the first launch asks whether the server has the kernel's image
for _ in range(2):
    with counted("read", 1):
        x.sum().item()
for _ in range(2):
    with counted("copy back", 1):
        x.cpu()
for _ in range(2):
    with counted("copy there", 0):
        torch.zeros(1000).cuda(non_blocking=True)
for _ in range(2):
    with counted("copy there and wait", 1):  # PyTorch waits for the stream
        torch.zeros(1000).cuda()
print("ok")
