"""From runs to what is reported: one cell for each workload and setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from comparison import stats
from comparison.store import Json

NATIVE = "native"
QUANTILES = (0.5, 0.9, 0.99)
# Threads of Genie that move bytes, by name (transport/).
TRANSPORT_THREADS = ("genie-send", "genie-receive", "genie-events", "genie-watch", "genie-copy",
                     "genie-bulk-in", "genie-bulk-out")
BREAKDOWN = ("capture", "encode", "transport", "decode", "issue", "wait")


@dataclass
class Cell:
    workload: str
    setting: str
    runs: list[Json]
    step_ms: stats.Interval
    ratio: stats.Interval | None = None  # to native, block by block
    device_ms: float | None = None
    device_ratio: stats.Interval | None = None
    quantiles_ms: list[float] = field(default_factory=list)
    outliers: int = 0
    steps: int = 0
    figures: dict[str, float] = field(default_factory=dict)  # by name, see figures_of
    breakdown: dict[str, float] = field(default_factory=dict)  # µs a step
    samples_us: dict[str, list[float]] = field(default_factory=dict)  # QUANTILES by name
    values: dict[str, stats.Interval] = field(default_factory=dict)
    equality: str = ""


def measured_runs(results: Json) -> list[Json]:
    return [run for run in results["runs"] if run["status"] == "ok" and run["role"] == "measure"]


def groups(runs: Iterable[Json]) -> dict[str, dict[str, list[Json]]]:
    found: dict[str, dict[str, list[Json]]] = {}
    for run in runs:
        found.setdefault(run["workload"], {}).setdefault(run["setting"], []).append(run)
    return found


def step_ms(run: Json) -> float:
    return stats.median(run["measured"]["step_wall_ms"])


def device_ms(run: Json) -> float | None:
    times = run["measured"]["step_device_ms"]
    return stats.median(times) if times else None


def block(run: Json) -> tuple[str, int]:
    return (run["session"], run["repeat"])


def pairs(a: Iterable[Json], b: Iterable[Json],
          value: Callable[[Json], float | None] = step_ms) -> tuple[list[float], list[float]]:
    """Values of the blocks that both have."""
    of_b = {block(run): value(run) for run in b}
    left, right = [], []
    for run in a:
        x, y = value(run), of_b.get(block(run))
        if x is not None and y is not None and x > 0 and y > 0:
            left.append(x)
            right.append(y)
    return left, right


def ratio_interval(a: Iterable[Json], b: Iterable[Json],
                   value: Callable[[Json], float | None] = step_ms) -> stats.Interval | None:
    left, right = pairs(a, b, value)
    return stats.interval([x / y for x, y in zip(left, right)]) if left else None


def _median_of(runs: list[Json], value: Callable[[Json], float | None]) -> float | None:
    found = [v for v in map(value, runs) if v is not None]
    return stats.median(found) if found else None


def per_step(run: Json, counter: str) -> float | None:
    """From the counters of the measured steps only; None where there are none."""
    window = run["measured"]["genie_window"]
    return window[counter] / len(run["measured"]["step_wall_ms"]) if counter in window else None


FIGURES: dict[str, Callable[[Json], float | None]] = {
    "round trips a step": lambda run: per_step(run, "round_trips"),
    "launches a step": lambda run: per_step(run, "launches"),
    "calls a step": lambda run: per_step(run, "calls"),
    "KB sent a step": lambda run: _scale(per_step(run, "bytes_sent"), 1e-3),
    "KB received a step": lambda run: _scale(per_step(run, "bytes_received"), 1e-3),
    "client CPU, ms a step": lambda run: run["measured"]["client_cpu_s"] * 1e3 / _steps(run),
    "server CPU, ms a step": lambda run: _scale(run["measured"]["server_cpu_s"], 1e3 / _steps(run)),
    "client peak, MB": lambda run: run["measured"]["client_peak_bytes"] / 1e6,
    "server peak, MB": lambda run: _scale(run["measured"]["server_peak_bytes"], 1e-6),
    "device peak, MB": lambda run: _scale(run["measured"]["device_peak_bytes"], 1e-6),
    "import, s": lambda run: run["measured"]["import_s"],
    "first kernel, s": lambda run: run["measured"]["first_kernel_s"],
    "items a second": lambda run: run["measured"]["items_a_step"] * 1e3 / step_ms(run),
}


def _steps(run: Json) -> int:
    return len(run["measured"]["step_wall_ms"])


def _scale(value: float | None, by: float) -> float | None:
    return None if value is None else value * by


def breakdown(run: Json) -> dict[str, float]:
    """Where Genie's own time goes, µs a step. What runs at the same time is not added up: capture,
    encode and wait are the program's thread's, transport that of Genie's own threads at both ends,
    decode and issue the worker's."""
    measured, found = run["measured"], {}
    steps, window = _steps(run), run["measured"]["genie_window"]
    if not window:
        return {}
    sampled = window.get("sampled_calls", 0)
    commands = window.get("commands", 0)
    if sampled > 0:
        for part in ("capture", "encode"):
            found[part] = window.get(f"sampled_{part}_ns", 0) / sampled * commands / steps / 1e3
    moved = sum(threads.get(name, 0.0) for name in TRANSPORT_THREADS
                for threads in (measured["thread_cpu_s"], measured["server_thread_cpu_s"]))
    found["transport"] = moved * 1e6 / steps
    server = run["server_counters"] or {}
    if server.get("sampled_commands", 0) > 0:
        for part in ("decode", "issue"):
            mean = server.get(f"sampled_{part}_ns", 0) / server["sampled_commands"]
            found[part] = mean * commands / steps / 1e3
    if "wait_ns" in window:
        found["wait"] = window["wait_ns"] / steps / 1e3
    return found


def _cell(workload: str, setting: str, runs: list[Json], native: list[Json]) -> Cell:
    cell = Cell(workload, setting, runs, stats.interval([step_ms(run) for run in runs]))
    times = [run["measured"]["step_wall_ms"] for run in runs]
    cell.quantiles_ms = [stats.median([stats.quantile(t, q) for t in times]) for q in QUANTILES]
    cell.outliers = sum(map(stats.count_outliers, times))
    cell.steps = sum(map(len, times))
    cell.device_ms = _median_of(runs, device_ms)
    if setting != NATIVE and all(run["measured"]["computes"] for run in runs):
        cell.ratio = ratio_interval(runs, native)
        cell.device_ratio = ratio_interval(runs, native, device_ms)
    for name, value in FIGURES.items():
        figure = _median_of(runs, value)
        if figure is not None:
            cell.figures[name] = figure
    parts = [breakdown(run) for run in runs]
    for part in BREAKDOWN:
        found = [each[part] for each in parts if part in each]
        if found:
            cell.breakdown[part] = stats.median(found)
    for name in dict.fromkeys(name for run in runs for name in run["measured"]["samples_us"]):
        lists = [run["measured"]["samples_us"].get(name) for run in runs]
        cell.samples_us[name] = [stats.median([stats.quantile(s, q) for s in lists if s])
                                 for q in QUANTILES]
    for name in dict.fromkeys(name for run in runs for name in run["measured"]["values"]):
        cell.values[name] = stats.interval([run["measured"]["values"][name] for run in runs
                                            if name in run["measured"]["values"]])
    return cell


# ---- are results equal? ----

def _loss_difference(run: Json, reference: Json) -> float:
    """The largest relative difference of what was read back."""
    worst = 0.0
    for a, b in zip(run["measured"]["losses"], reference["measured"]["losses"]):
        x, y = float.fromhex(a), float.fromhex(b)
        if x != y:
            worst = max(worst, abs(x - y) / max(abs(x), abs(y), 1e-30))
    return worst


def _comparable(run: Json, sessions: dict[str, Json]) -> tuple[object, ...]:
    """Runs with the same key must have the same results."""
    session = sessions[run["session"]]
    return (session["seed"], session["size"], session["device"],
            session["machine"].get("gpu", {}).get("name"), len(run["measured"]["step_wall_ms"]),
            run["measured"]["warmup"], run["measured"]["versions"].get("torch"))


def equality(results: Json) -> dict[tuple[str, str], str]:
    """By workload and setting: "equal", "DIFFERS: …", "counters only", or what could not be said.
    Of native too: how it compares with itself."""
    sessions = {session["id"]: session for session in results["sessions"]}
    ok = [run for run in results["runs"] if run["status"] == "ok"]
    found: dict[tuple[str, str], str] = {}
    for workload, by_setting in groups(ok).items():
        natives: dict[tuple[object, ...], list[Json]] = {}
        for run in by_setting.get(NATIVE, []):
            natives.setdefault(_comparable(run, sessions), []).append(run)
        unstable: set[str] = set()
        for same in natives.values():
            for name in {n for run in same for n in run["measured"]["hashes"]}:
                if len({run["measured"]["hashes"].get(name) for run in same}) > 1:
                    unstable.add(name)
        most = max(map(len, natives.values()), default=0)
        if natives:
            found[workload, NATIVE] = (
                f"differs from run to run: {', '.join(sorted(unstable))}" if unstable else
                "the same every time" if most > 1 else "run once")
        for setting, runs in by_setting.items():
            if setting != NATIVE:
                found[workload, setting] = _equality_of(runs, natives, unstable, sessions)
    return found


def _equality_of(runs: list[Json], natives: dict[tuple[object, ...], list[Json]],
                 unstable: set[str], sessions: dict[str, Json]) -> str:
    if not all(run["measured"]["computes"] for run in runs):
        return "counters only"
    differing: dict[str, float] = {}
    compared = 0
    for run in runs:
        same = natives.get(_comparable(run, sessions))
        if not same:
            continue
        compared += 1
        own, theirs = run["measured"]["hashes"], same[0]["measured"]["hashes"]
        for name in sorted(set(own) | set(theirs)):
            if own.get(name) != theirs.get(name) and name not in unstable:
                differing[name] = max(differing.get(name, 0.0), _loss_difference(run, same[0]))
    if not compared:
        return "not compared: no native run"
    if differing:
        worst = max(differing.values())
        return f"DIFFERS: {', '.join(differing)} (largest relative difference {worst:.1e})"
    if unstable:
        return f"equal but for what differs natively: {', '.join(sorted(unstable))}"
    return "equal"


def analyse(results: Json) -> list[Cell]:
    equal = equality(results)
    cells = []
    for workload, by_setting in groups(measured_runs(results)).items():
        native = by_setting.get(NATIVE, [])
        for setting, runs in by_setting.items():
            cell = _cell(workload, setting, runs, native)
            cell.equality = equal.get((workload, setting), "")
            cells.append(cell)
    return cells


def failures(results: Json) -> list[Json]:
    """Runs that did not end well and were not replaced."""
    return [run for run in results["runs"] if run["status"] not in ("ok", "not run")]


def left_out(results: Json) -> list[Json]:
    return [run for run in results["runs"] if run["status"] == "not run"]


# ---- one against another ----

@dataclass
class Contest:
    workload: str
    verdict: stats.Verdict
    adjusted_p: float = 1.0

    def word(self, alpha: float = 0.05) -> str:
        if self.adjusted_p >= alpha:
            return "not shown to differ"
        return "slower" if self.verdict.ratio.estimate > 1 else "faster"


def contest(results: Json, a: str, b: str) -> list[Contest]:
    """Setting @a against @b in every workload that has both in the same blocks."""
    found = []
    for workload, by_setting in groups(measured_runs(results)).items():
        left, right = pairs(by_setting.get(a, []), by_setting.get(b, []))
        if left:
            found.append(Contest(workload, stats.compare_pairs(left, right)))
    for each, p in zip(found, stats.holm([each.verdict.p_paired for each in found])):
        each.adjusted_p = p
    return found


# ---- against a stored result ----

@dataclass
class Change:
    workload: str
    setting: str
    what: str  # "ratio to native", or "step time" where there is no native
    change: stats.Interval  # new / old
    verdict: str  # ok, faster, unclear, REGRESSION, gone


def regress(new: Json, old: Json, limit: float) -> list[Change]:
    """Compares @new with @old. A regression is an estimate more than @limit (0.05: 5 %) above, with
    an interval that leaves out "no change"; "unclear" is one above whose interval does not."""
    found = []
    new_groups, old_groups = groups(measured_runs(new)), groups(measured_runs(old))
    for workload, old_settings in sorted(old_groups.items()):
        new_settings = new_groups.get(workload)
        if not new_settings:
            continue  # not asked for this time
        for setting, old_runs in sorted(old_settings.items()):
            if setting == NATIVE or not all(r["measured"]["computes"] for r in old_runs):
                continue
            new_runs = new_settings.get(setting)
            if not new_runs:
                if any(run["workload"] == workload and run["setting"] == setting
                       for run in new["runs"]):
                    found.append(Change(workload, setting, "runs", stats.Interval(1, 1, 1, 0, 0),
                                        "gone"))
                continue
            found.append(_change(workload, setting, (new_runs, new_settings.get(NATIVE, [])),
                                 (old_runs, old_settings.get(NATIVE, [])), limit))
    return found


def _change(workload: str, setting: str, new: tuple[list[Json], list[Json]],
            old: tuple[list[Json], list[Json]], limit: float) -> Change:
    sides = []
    for runs, native in (new, old):
        left, right = pairs(runs, native)
        sides.append([x / y for x, y in zip(left, right)])
    what = "ratio to native"
    if not all(sides):
        what, sides = "step time", [[step_ms(run) for run in runs] for runs, _ in (new, old)]
    change = stats.difference_interval(sides[0], sides[1])
    verdict = "ok"
    if change.estimate > 1 + limit:
        verdict = "REGRESSION" if change.low > 1 else "unclear"
    elif change.high < 1:
        verdict = "faster"
    return Change(workload, setting, what, change, verdict)


def same_machine(new: Json, old: Json) -> str:
    """Empty, or why times of the two cannot be compared."""
    def kinds(results: Json) -> set[tuple[object, ...]]:
        return {(s["machine"].get("gpu", {}).get("name", "no GPU"), s["machine"].get("cpu"),
                 s["device"], s["size"]) for s in results["sessions"]}

    if kinds(new) <= kinds(old) or kinds(old) <= kinds(new):
        return ""
    return f"other machines: {kinds(new)} and {kinds(old)}"
