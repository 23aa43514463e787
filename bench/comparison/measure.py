#!/usr/bin/env python3
"""One measured process: builds a workload, runs its steps, writes what it saw as JSON. Started by
bench/compare; it knows nothing of how it is run, but for counters that Genie's library may offer.

    measure.py WORKLOAD --out FILE [--size paper] [--device cuda] [--seed 0] [--steps N]
               [--warmup 5] [--begin NS] [--server-pid PID] [--recorded]
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import resource
import sys
import time
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS: the same order every time
NO_DEVICE = 78  # exit status
HERE = os.path.dirname(os.path.abspath(__file__))


def monotonic_s() -> float:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9


def genie_counters() -> dict[str, float]:
    """Genie's own counters as they are now; empty without Genie."""
    read = getattr(ctypes.CDLL(None), "genieStatsRead", None)
    if read is None:
        return {}
    buffer = ctypes.create_string_buffer(1 << 16)
    if not 0 < read(buffer, ctypes.c_size_t(len(buffer))) < len(buffer):
        return {}
    found = json.loads(buffer.value.decode(errors="replace"))
    return {name: value for name, value in found.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)}


class Usage:
    """Processor time of this process and of the server, by thread, between two moments."""

    def __init__(self, server_pid: int) -> None:
        from comparison import processes

        self.processes, self.server_pid = processes, server_pid
        self.begin = self._now()

    def _now(self) -> tuple[float, float, dict[str, float], dict[str, float]]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        threads: dict[str, float] = {}
        self.processes.thread_cpu(os.getpid(), threads)
        server, server_threads = 0.0, dict[str, float]()
        if self.server_pid:
            for pid in self.processes.tree(self.server_pid):
                server += self.processes.cpu_seconds(pid)
                self.processes.thread_cpu(pid, server_threads)
        return own.ru_utime + own.ru_stime, server, threads, server_threads

    def end(self) -> dict[str, Any]:
        now = self._now()

        def since(new: dict[str, float], old: dict[str, float]) -> dict[str, float]:
            return {name: max(0.0, value - old.get(name, 0.0)) for name, value in new.items()}

        return {
            "client_cpu_s": max(0.0, now[0] - self.begin[0]),
            "server_cpu_s": max(0.0, now[1] - self.begin[1]) if self.server_pid else None,
            "thread_cpu_s": since(now[2], self.begin[2]),
            "server_thread_cpu_s": since(now[3], self.begin[3]),
        }

    def server_peak(self) -> int | None:
        if not self.server_pid:
            return None
        return sum(map(self.processes.peak_bytes, self.processes.tree(self.server_pid)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="one measured process of bench/compare")
    parser.add_argument("workload")
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", default="paper")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--begin", type=int, help="when it was started, CLOCK_MONOTONIC")
    parser.add_argument("--server-pid", type=int, default=0)
    parser.add_argument("--recorded", action="store_true", help="the device computes nothing")
    return parser.parse_args()


def make_repeatable(torch: Any, seed: int) -> None:
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would fill whatever torch.empty() makes: launches that programs do not have.
    torch.utils.deterministic.fill_uninitialized_memory = False


def run_steps(torch: Any, workload: Any, first: int, count: int, on_cuda: bool,
              losses: list[str]) -> tuple[list[float], list[Any]]:
    """Milliseconds by the wall clock, and pairs of events. A step that reads nothing back is waited
    for: a time without its work would be none."""
    wall, events = [], []
    for number in range(first, first + count):
        if on_cuda:
            pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            pair[0].record()
            events.append(pair)
        begin = time.perf_counter_ns()
        value = workload.step(number)
        if on_cuda:
            pair[1].record()
        if value is None and on_cuda:
            torch.cuda.synchronize()
        wall.append((time.perf_counter_ns() - begin) / 1e6)
        if value is not None:
            losses.append(float(value).hex())
    return wall, events


def measure(options: argparse.Namespace) -> dict[str, Any]:
    begin = options.begin / 1e9 if options.begin else monotonic_s()
    import torch

    imported = monotonic_s()
    on_cuda = options.device == "cuda"
    if on_cuda and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device", file=sys.stderr)
        sys.exit(NO_DEVICE)
    device = torch.device(options.device)
    make_repeatable(torch, options.seed)
    if not on_cuda:
        torch.set_num_threads(1)  # a try-out: not to fight for processors
    torch.ones(1, device=device).add_(1)
    if on_cuda:
        torch.cuda.synchronize()
    first_kernel = monotonic_s()

    from comparison.workloads.common import Context

    module = importlib.import_module(f"comparison.workloads.{options.workload}")
    workload = module.build(Context(device, options.seed), **module.SIZES[options.size])
    steps = options.steps or module.STEPS[options.size]
    losses: list[str] = []
    run_steps(torch, workload, 0, options.warmup, on_cuda, losses)
    if on_cuda:
        torch.cuda.synchronize()
    built = monotonic_s()

    counters, usage = genie_counters(), Usage(options.server_pid)
    window = monotonic_s()
    wall, events = run_steps(torch, workload, options.warmup, steps, on_cuda, losses)
    window_s = monotonic_s() - window
    used, counters_after = usage.end(), genie_counters()
    if on_cuda:
        torch.cuda.synchronize()

    device_ms = [pair[0].elapsed_time(pair[1]) for pair in events] if on_cuda else None
    hashes = dict(workload.result())
    if losses:
        hashes["losses"] = hashlib.sha256("\n".join(losses).encode()).hexdigest()
    samples = workload.samples()
    return {
        "warmup": options.warmup,
        "step_wall_ms": wall,
        "step_device_ms": None if options.recorded else device_ms,
        "items_a_step": float(workload.items_a_step),
        "computes": not options.recorded,
        "import_s": max(0.0, imported - begin),
        "first_kernel_s": max(0.0, first_kernel - begin),
        "build_s": built - first_kernel,
        "window_s": window_s,
        **used,
        "client_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "server_peak_bytes": usage.server_peak(),
        "device_peak_bytes": int(torch.cuda.max_memory_reserved()) if on_cuda else None,
        "losses": losses,
        "hashes": hashes,
        "samples_us": samples,
        "values": dict(workload.values),
        "versions": {"python": sys.version.split()[0], "torch": str(torch.__version__),
                     "cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())},
        "genie_window": {name: value - counters.get(name, 0.0)
                         for name, value in counters_after.items()},
    }


def main() -> None:
    options = parse()
    sys.path.insert(0, os.path.dirname(HERE))
    result = measure(options)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(result, file, allow_nan=False)


if __name__ == "__main__":
    main()
