"""What /proc says of a process and of those it started: processor time, memory, threads."""

from __future__ import annotations

import os

TICK = os.sysconf("SC_CLK_TCK")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else -1


def tree(root: int) -> list[int]:
    """@root and everything below it."""
    parents = {int(entry): parent(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
    found = [root]
    for pid in found:
        found += [child for child, its_parent in parents.items() if its_parent == pid]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system, threads that ended included."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK if len(fields) > 12 else 0.0


def thread_cpu(pid: int, into: dict[str, float]) -> None:
    """Adds the seconds of each thread that runs now, by name; numbers at the end of a name are
    those of a pool and are left out."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        name = _read(f"/proc/{pid}/task/{thread}/comm").strip().rstrip("0123456789") or "?"
        spent = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
        if spent:
            into[name] = into.get(name, 0.0) + int(spent[0]) / 1e9


def peak_bytes(pid: int) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
