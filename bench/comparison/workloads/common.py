"""What workloads share: the interface, data from a seed, and what a result is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Context:
    """Where a workload runs."""

    device: torch.device
    seed: int

    def generator(self, salt: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1000 + salt)

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        """As a data loader hands it over."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, non_blocking=True)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def normal(self, *shape: int, salt: int = 0) -> torch.Tensor:
        return self.pinned(torch.randn(*shape, generator=self.generator(salt)))

    def integers(self, high: int, *shape: int, salt: int = 0) -> torch.Tensor:
        return self.pinned(torch.randint(high, shape, generator=self.generator(salt)))


def hash_tensors(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Of names, types, shapes and every bit."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_model(model: nn.Module) -> str:
    """Weights and buffers as they are now."""
    return hash_tensors(sorted(model.state_dict().items()))


@dataclass
class Workload:
    """@step does one step and returns what it read back from the device, or None when it read
    nothing (the caller then waits for the device). @result gives hashes of what must be equal."""

    step: Callable[[int], float | None]
    result: Callable[[], dict[str, str]]
    items_a_step: float = 1.0  # images, tokens, calls
    # After the steps: lists of microseconds by name, and single values by name.
    samples: Callable[[], dict[str, list[float]]] = dict
    values: dict[str, float] = field(default_factory=dict)


def make_optimizer(model: nn.Module, kind: str) -> torch.optim.Optimizer:
    weights = model.parameters()
    if kind == "sgd":
        return torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=1e-4)
    if kind == "adam":
        return torch.optim.Adam(weights, lr=1e-3)
    return torch.optim.AdamW(weights, lr=1e-4)


def trainer(context: Context, model: nn.Module, batches: list[tuple[torch.Tensor, ...]],
            loss_of: Callable[..., torch.Tensor], optimizer: str, items: float,
            precision: str = "fp32") -> Workload:
    """The usual loop: upload a batch from pinned memory, forward, backward, update, read the loss.
    @loss_of(model, *batch) gives the loss. @precision: fp32, bf16 (autocast) or fp16 (and scaling)."""
    model = model.to(context.device).train()
    updates = make_optimizer(model, optimizer)
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    scaler = torch.amp.GradScaler(context.device.type, enabled=precision == "fp16")

    def step(number: int) -> float:
        batch = [context.to_device(part) for part in batches[number % len(batches)]]
        updates.zero_grad(set_to_none=True)
        with torch.autocast(context.device.type, kinds.get(precision, torch.bfloat16),
                            enabled=precision in kinds):
            loss = loss_of(model, *batch)
        scaler.scale(loss).backward()
        scaler.step(updates)
        scaler.update()
        return float(loss.item())

    return Workload(step, lambda: {"weights": hash_model(model)}, items)


def inference(context: Context, model: nn.Module, inputs: list[tuple[torch.Tensor, ...]],
              run: Callable[..., torch.Tensor], items: float,
              dtype: torch.dtype = torch.float32) -> Workload:
    """Upload an input, compute, read the whole answer back."""
    model = model.to(context.device, dtype).eval()
    last: list[torch.Tensor] = []

    @torch.inference_mode()
    def step(number: int) -> float:
        answer = run(model, *map(context.to_device, inputs[number % len(inputs)])).cpu()
        last[:] = [answer]
        return float(answer.double().sum())

    return Workload(step, lambda: {"output": hash_tensors(("output", t) for t in last)}, items)
