"""The state of the machine that a comparison ran on. No name of it, no address."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from typing import Any

GPU_FIELDS = ("name", "driver_version", "pstate", "clocks.sm", "clocks.mem", "clocks.max.sm",
              "temperature.gpu", "power.draw", "utilization.gpu", "memory.used", "memory.total",
              "compute_mode", "persistence_mode")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _output(command: list[str], seconds: float = 20) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def gpu_state() -> dict[str, str]:
    """What nvidia-smi says of the first GPU; empty where there is none."""
    text = _output(["nvidia-smi", "-i", "0", f"--query-gpu={','.join(GPU_FIELDS)}",
                    "--format=csv,noheader"])
    values = [value.strip() for value in text.splitlines()[0].split(",")] if text else []
    return dict(zip(GPU_FIELDS, values)) if len(values) == len(GPU_FIELDS) else {}


def gpu_processes() -> int:
    """Compute processes of others on it: a measurement is worth nothing beside them."""
    text = _output(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"])
    return len([line for line in text.splitlines() if line.strip().isdigit()])


def load() -> float:
    return os.getloadavg()[0]


def describe(root: str) -> dict[str, Any]:
    cpuinfo = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": bool(re.search(r"\bhypervisor\b", cpuinfo)),
        "governor": governor or "unknown",
        "memory_gib": round(int(memory[1]) / (1 << 20), 1) if memory else 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _output(["git", "-C", root, "rev-parse", "HEAD"]) or "unknown",
        "changed": bool(_output(["git", "-C", root, "status", "--porcelain", "-uno"])),
        "load": load(),
        "gpu": gpu_state(),
        "gpu_processes": gpu_processes(),
    }
