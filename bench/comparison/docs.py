"""docs/performance.md: written from stored results, never by hand."""

from __future__ import annotations

import os
import shlex

from comparison import report, store
from comparison.store import Json

HEAD = """# Performance

<!-- Written by `bench/compare --docs` from a stored result. Do not edit: run it again. -->

`bench/compare` runs each workload natively, through Genie over each transport, with `GENIE_SYNC=1` (one
call, one reply: what a remoting system that does not defer would do) and over an emulated network, in
random order, and checks that all results are the same bits.
"""

MEANINGS = """## What the columns mean

| setting | what |
|---|---|
| `native` | the program as it is, on the real driver |
| `shm`, `tcp` | through Genie, client and worker on this machine |
| `…:sync` | with `GENIE_SYNC=1` |
| `…:cold` | the server begins without any kernel image |
| `tcp@25gbit/20us` | over `bench-impair`, a proxy that delays bytes and limits their rate; what a raw ping-pong and a raw stream got over it is named under *Machine and method* |

Where the counters of a breakdown come from:

| part | counter | how it is taken |
|---|---|---|
| capture | `sampled_capture_ns` / `sampled_calls` | `GENIE_STATS`: from the entry point to the place in the ring, of one submitting call in about 128, less the clock's own cost; times the commands of a step |
| encode | `sampled_encode_ns` / `sampled_calls` | the same calls: from there until the command is published |
| transport | processor time of the threads `genie-…` of both processes | the kernel's, for the measured steps |
| decode, issue | `sampled_decode_ns`, `sampled_issue_ns` / `sampled_commands` | the worker's `GENIED_STATS`: one command in about 64 |
| wait | `wait_ns` = `wait_progress_ns` + `wait_reply_ns` + `wait_room_ns` + `wait_bulk_ns` | every wait of a program's thread, with the clock that spinning reads anyway |
"""


def commands(results: Json) -> list[str]:
    made = dict.fromkeys(shlex.join(session["command"]) for session in results["sessions"])
    return ["Made by:", "", *(f"    {command}" for command in made), ""]


def write(path: str, results: Json) -> None:
    """@path and a folder beside it with the plots and the results themselves."""
    stem = os.path.splitext(path)[0]
    os.makedirs(stem, exist_ok=True)
    plots = report.write_plots(results, stem)
    relative = os.path.basename(stem)
    body = report.markdown(results, {title: f"{relative}/{name}" for title, name in plots.items()})
    store.save(os.path.join(stem, "results.json"), results)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([HEAD, *commands(results), body, MEANINGS]))
