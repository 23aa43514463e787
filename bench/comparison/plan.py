"""Which run comes when. Blocks in random order: in each repeat every workload has its turn, and in
its turn every setting runs once, all of it shuffled by the seed that the results name.

The first run of a workload is a native one of its own (its "twin"): what differs between it and the
next native run is the workload's own, and no fault of anybody else. Its times are not used.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    order: int
    workload: str
    setting: str
    repeat: int
    role: str  # measure, twin


def make(workloads: Sequence[str], settings: Sequence[str], repeats: int, seed: int) -> list[Step]:
    return list(_steps(workloads, settings, repeats, seed))


def _steps(workloads: Sequence[str], settings: Sequence[str], repeats: int,
           seed: int) -> Iterator[Step]:
    rng = random.Random(seed)
    order = 0
    for repeat in range(repeats):
        for workload in rng.sample(list(workloads), len(workloads)):
            if repeat == 0 and "native" in settings:
                yield Step(order, workload, "native", 0, "twin")
                order += 1
            for setting in rng.sample(list(settings), len(settings)):
                yield Step(order, workload, setting, repeat, "measure")
                order += 1
