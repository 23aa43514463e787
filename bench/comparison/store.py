"""Results as they are kept: one JSON object, checked when it is read and before it is written.

    {"format": "genie-compare", "version": 1,
     "sessions": [one for each call of bench/compare],
     "runs": [one for each process that was measured, or was to be]}

A session has an id; runs name their session, so files from several machines or slices can be put
together (merge): nothing is averaged before it is reported.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

FORMAT = "genie-compare"
VERSION = 1
FILE_MAX = 512 << 20
STATUSES = ("ok", "failed", "timeout", "not run")
ROLES = ("measure", "twin")

Json = dict[str, Any]


class Bad(Exception):
    """A file is not what it should be; the text says where."""


def new() -> Json:
    return {"format": FORMAT, "version": VERSION, "sessions": [], "runs": []}


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_times(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(v) and v >= 0 for v in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value)) and all(
        map(_is_number, value.values()))


def _is_hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_lists(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_times, value.values()))


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


Fields = dict[str, Callable[[Any], bool]]

SESSION: Fields = {
    "id": _is_text,
    "started": _is_text,
    "command": _is_texts,
    "seed": _is_count,
    "device": lambda value: value in ("cuda", "cpu"),
    "size": _is_text,
    "workloads": _is_texts,
    "repeats": _is_count,
    "settings": lambda value: isinstance(value, dict) and all(map(_is_dict, value.values())),
    "machine": _is_dict,
}
RUN: Fields = {
    "session": _is_text,
    "workload": _is_text,
    "setting": _is_text,
    "repeat": _is_count,
    "order": _is_count,
    "role": lambda value: value in ROLES,
    "status": lambda value: value in STATUSES,
    "reason": _is_text,
    "seconds": _is_number,
    "measured": _or_none(_is_dict),
    "counters": _or_none(_is_numbers),
    "server_counters": _or_none(_is_numbers),
    "unsupported": _or_none(_is_numbers),
}
MEASURED: Fields = {
    "warmup": _is_count,
    "step_wall_ms": lambda value: _is_times(value) and bool(value),
    "step_device_ms": _or_none(_is_times),
    "items_a_step": _is_number,
    "computes": lambda value: isinstance(value, bool),
    "import_s": _is_number,
    "first_kernel_s": _is_number,
    "build_s": _is_number,
    "window_s": _is_number,
    "client_cpu_s": _is_number,
    "server_cpu_s": _or_none(_is_number),
    "client_peak_bytes": _is_count,
    "server_peak_bytes": _or_none(_is_count),
    "device_peak_bytes": _or_none(_is_count),
    "thread_cpu_s": _is_numbers,
    "server_thread_cpu_s": _is_numbers,
    "losses": _is_texts,
    "hashes": _is_hashes,
    "samples_us": _is_lists,
    "values": _is_numbers,
    "versions": _is_hashes,
    "genie_window": _is_numbers,
}


def _check_fields(what: str, value: Any, fields: Fields) -> None:
    if not isinstance(value, dict):
        raise Bad(f"{what} is no object")
    for name, check in fields.items():
        if name not in value:
            raise Bad(f"{what} has no {name}")
        if not check(value[name]):
            raise Bad(f"{what}: {name} is not what it should be: {str(value[name])[:80]}")


def check_measured(value: Any, what: str = "measured") -> None:
    """What a measured process says of itself: it is somebody else's, like anything from outside."""
    _check_fields(what, value, MEASURED)
    device = value["step_device_ms"]
    if device is not None and len(device) != len(value["step_wall_ms"]):
        raise Bad(f"{what}: as many device times as steps are needed")


def check(results: Any, what: str = "results") -> None:
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise Bad(f"{what}: not a file of bench/compare")
    if results.get("version") != VERSION:
        raise Bad(f"{what}: version {results.get('version')}, and this knows {VERSION}")
    for part in ("sessions", "runs"):
        if not isinstance(results.get(part), list):
            raise Bad(f"{what}: {part} is no list")
    known = set()
    for i, session in enumerate(results["sessions"]):
        _check_fields(f"{what}: session {i}", session, SESSION)
        if session["id"] in known:
            raise Bad(f"{what}: session {session['id']} twice")
        known.add(session["id"])
    settings = {session["id"]: session["settings"] for session in results["sessions"]}
    for i, run in enumerate(results["runs"]):
        name = f"{what}: run {i}"
        _check_fields(name, run, RUN)
        if run["session"] not in known:
            raise Bad(f"{name} belongs to no session")
        if run["setting"] not in settings[run["session"]]:
            raise Bad(f"{name} has a setting that its session does not have: {run['setting']}")
        if (run["measured"] is not None) != (run["status"] == "ok"):
            raise Bad(f"{name} is {run['status']}, and that does not go with what it measured")
        if run["measured"] is not None:
            check_measured(run["measured"], name)


def load(path: str) -> Json:
    try:
        if os.path.getsize(path) > FILE_MAX:
            raise Bad(f"{path}: larger than {FILE_MAX >> 20} MiB")
        with open(path, encoding="utf-8") as file:
            results: Json = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise Bad(f"{path}: {error}") from error
    check(results, path)
    return results


def save(path: str, results: Json) -> None:
    """All of it or nothing: written beside and renamed."""
    check(results)
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1, sort_keys=True, allow_nan=False)
            file.write("\n")
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise Bad(f"{path}: {error}") from error


def run_key(run: Json) -> tuple[str, str, str, int, str]:
    return (run["session"], run["workload"], run["setting"], run["repeat"], run["role"])


def merge(all_results: Iterable[Json]) -> Json:
    """Everything that is in any of them. The same session in two files is a session that was
    continued: its runs are put together, and one that ended well replaces one that did not."""
    merged = new()
    sessions: dict[str, Json] = {}
    runs: dict[tuple[str, str, str, int, str], Json] = {}
    for results in all_results:
        check(results)
        for session in results["sessions"]:
            other = sessions.setdefault(session["id"], session)
            if {k: v for k, v in other.items() if k != "command"} != {
                    k: v for k, v in session.items() if k != "command"}:
                raise Bad(f"session {session['id']} is not the same in both files")
        for run in results["runs"]:
            key = run_key(run)
            if key not in runs or runs[key]["status"] != "ok":
                runs[key] = run
            elif run["status"] == "ok" and run != runs[key]:
                raise Bad(f"two results of one run: {', '.join(map(str, key))}")
    merged["sessions"] = sorted(sessions.values(), key=lambda s: (s["started"], s["id"]))
    place = {session["id"]: i for i, session in enumerate(merged["sessions"])}
    merged["runs"] = sorted(runs.values(), key=lambda r: (place[r["session"]], r["order"]))
    return merged
