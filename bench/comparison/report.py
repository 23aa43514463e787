"""The tables of a result, in Markdown, and its plots."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from comparison import analysis, plot, stats
from comparison.analysis import NATIVE, Cell, Change, Contest
from comparison.store import Json

LATENCIES = "item"  # the workload whose samples are latencies


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Left column left, numbers right."""
    lines = ["| " + " | ".join(head) + " |",
             "|" + "|".join([" --- "] + [" ---: "] * (len(head) - 1)) + "|"]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                    for row in rows]


def number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}"
    size = len(str(int(abs(value))))
    return f"{value:,.{max(0, digits - size)}f}"


def p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def shown(interval: stats.Interval | None, digits: int = 3) -> str:
    """Estimate and bounds; ~ marks bounds that are a range with less than 95 % coverage."""
    if interval is None:
        return "–"
    if interval.count == 1:
        return f"{number(interval.estimate, digits)} (one run)"
    mark = "" if interval.coverage >= stats.LEVEL else "~"
    return (f"{number(interval.estimate, digits)} "
            f"{mark}[{number(interval.low, digits)}, {number(interval.high, digits)}]")


class Layout:
    """Cells by workload and setting, in the order of the plan."""

    def __init__(self, results: Json) -> None:
        self.results = results
        self.cells = {(cell.workload, cell.setting): cell for cell in analysis.analyse(results)}
        sessions = results["sessions"]
        self.settings = list(dict.fromkeys(n for s in sessions for n in s["settings"]))
        self.workloads = [name for name in dict.fromkeys(w for s in sessions for w in s["workloads"])
                          if any(name == workload for workload, _ in self.cells)]
        if NATIVE in self.settings:
            self.settings = [NATIVE, *(name for name in self.settings if name != NATIVE)]

    def get(self, workload: str, setting: str) -> Cell | None:
        return self.cells.get((workload, setting))

    def others(self) -> list[str]:
        return [name for name in self.settings if name != NATIVE]


def headline(layout: Layout) -> list[str]:
    def cell_text(workload: str, setting: str) -> str:
        cell = layout.get(workload, setting)
        if not cell:
            return "–"
        if cell.ratio:
            return shown(cell.ratio)
        return f"({number(cell.step_ms.estimate)} ms)"

    rows = []
    for workload in layout.workloads:
        native = layout.get(workload, NATIVE)
        rows.append([workload, shown(native.step_ms) if native else "–",
                     *(cell_text(workload, setting) for setting in layout.others())])
    return ["## Step time, ratio to native", "",
            "Median of blocks, 95 % confidence interval; a ratio below 1 is faster than native.", "",
            *table(["workload", "native, ms", *layout.others()], rows), ""]


def equality_table(layout: Layout) -> list[str]:
    rows = [[workload, *(cell.equality if (cell := layout.get(workload, setting)) else "–"
                         for setting in layout.settings)] for workload in layout.workloads]
    return ["## Results", "",
            "Hashes of everything read back and of the final weights, bit for bit.", "",
            *table(["workload", *layout.settings], rows), ""]


def details(layout: Layout) -> list[str]:
    lines = ["## Each workload", ""]
    for workload in layout.workloads:
        cells = [cell for setting in layout.settings if (cell := layout.get(workload, setting))]
        names = list(dict.fromkeys(name for cell in cells for name in cell.figures))
        rows = [[name, *(number(cell.figures.get(name)) for cell in cells)] for name in names]
        measured: list[list[str]] = [
            ["step, ms", *(shown(cell.step_ms) for cell in cells)],
            ["step on the device, ms", *(number(cell.device_ms) for cell in cells)],
            *([f"p{q * 100:g} of a step, ms", *(number(cell.quantiles_ms[i]) for cell in cells)]
              for i, q in enumerate(analysis.QUANTILES)),
            ["runs, steps, outliers",
             *(f"{len(cell.runs)}, {cell.steps}, {cell.outliers}" for cell in cells)]]
        lines += [f"### {workload}", "",
                  *table(["", *(cell.setting for cell in cells)], measured + rows), ""]
        values = list(dict.fromkeys(name for cell in cells for name in cell.values))
        if values:
            lines += [*table(["", *(cell.setting for cell in cells)],
                             [[name, *(shown(cell.values.get(name)) for cell in cells)]
                              for name in values]), ""]
    return lines


def latencies(layout: Layout) -> list[str]:
    cells = [cell for setting in layout.settings if (cell := layout.get(LATENCIES, setting))]
    names = list(dict.fromkeys(name for cell in cells for name in cell.samples_us))
    if not names:
        return []
    rows = [[name, *(" / ".join(number(v) for v in cell.samples_us[name])
                     if name in cell.samples_us else "–" for cell in cells)] for name in names]
    return ["## Latencies, µs", "", "p50 / p90 / p99, each the median over runs.", "",
            *table(["", *(cell.setting for cell in cells)], rows), ""]


def breakdown_table(layout: Layout) -> list[str]:
    rows = []
    for workload in layout.workloads:
        for setting in layout.others():
            cell = layout.get(workload, setting)
            if cell and cell.breakdown:
                rows.append([f"{workload}, {setting}",
                             *(number(cell.breakdown.get(part)) for part in analysis.BREAKDOWN)])
    if not rows:
        return []
    return ["## Where Genie's time goes, µs a step", "",
            "Parts overlap: *capture*, *encode* and *wait* are spent in the program's threads (wait "
            "includes the device's own work), *transport* is processor time of Genie's own threads at "
            "both ends, *decode* and *issue* are the worker's.", "",
            *table(["", *analysis.BREAKDOWN], rows), ""]


def troubles(results: Json) -> list[str]:
    lines = []
    failed, missing = analysis.failures(results), analysis.left_out(results)
    if failed:
        lines += ["## Runs that failed", ""]
        lines += [f"- {run['workload']}, {run['setting']}, repeat {run['repeat']}: {run['status']}: "
                  f"{run['reason']}" for run in failed] + [""]
    if missing:
        lines += [f"{len(missing)} runs were planned and not run: "
                  f"{', '.join(sorted({run['reason'] for run in missing}))}.", ""]
    unsupported: dict[str, float] = {}
    for run in results["runs"]:
        for name, count in (run["unsupported"] or {}).items():
            unsupported[name] = unsupported.get(name, 0) + count
    if unsupported:
        calls = ", ".join(f"{name} ({count:g})" for name, count in sorted(unsupported.items()))
        lines += [f"Unsupported calls: {calls}.", ""]
    return lines


def machines(results: Json) -> list[str]:
    lines = ["## Machine and method", ""]
    for session in results["sessions"]:
        m, gpu = session["machine"], session["machine"].get("gpu", {})
        what = [f"{gpu['name']}, driver {gpu['driver_version']}, SM clock {gpu['clocks.sm']} of "
                f"{gpu['clocks.max.sm']} at the start, {gpu['temperature.gpu']} °C"
                if gpu else "no GPU",
                f"{m.get('cpu')}, {m.get('cores')} cores{', virtual' if m.get('virtual') else ''}",
                f"{m.get('memory_gib')} GiB", f"kernel {m.get('kernel')}",
                f"load {m.get('load', 0):.1f}",
                f"commit {str(m.get('commit'))[:12]}{' with changes' if m.get('changed') else ''}",
                f"size {session['size']}", f"seed {session['seed']}",
                f"{session['repeats']} blocks planned"]
        versions: Json = next((run["measured"]["versions"] for run in results["runs"]
                         if run["session"] == session["id"] and run["measured"]), {})
        what += [f"{name} {value}" for name, value in versions.items()]
        if m.get("gpu_processes"):
            what.append(f"{m['gpu_processes']} other processes on the GPU")
        lines.append(f"- {session['started']}: {'; '.join(what)}")
        for name, setting in session["settings"].items():
            achieved = setting.get("achieved")
            if achieved:
                lines.append(f"    - {name}: raw TCP over the proxy had "
                             f"{achieved.get('round_trip_us', 0):.1f} µs and "
                             f"{achieved.get('bits_per_second', 0) / 1e9:.1f} Gb/s")
    return lines + ["", *METHOD, ""]


METHOD = (
    "Each run is a fresh process. A block is one workload under every setting, one after the other; "
    "workloads and settings are shuffled in every block by the seed. The value of a run is the median "
    "of its steps after the warm-up steps; ratios are made within a block. Intervals are percentile "
    "bootstraps over blocks; with fewer than six blocks no 95 % interval of a median exists, and the "
    "smallest and the largest are shown with a ~ (three blocks: 75 %). No value is dropped as an "
    "outlier; how many steps lie beyond three interquartile ranges is in the tables.",)


def markdown(results: Json, plots: dict[str, str] | None = None) -> str:
    layout = Layout(results)
    lines = headline(layout)
    for title, path in (plots or {}).items():
        lines += [f"![{title}]({path})", ""]
    lines += [*equality_table(layout), *latencies(layout), *breakdown_table(layout),
              *troubles(results), *details(layout), *machines(results)]
    return "\n".join(lines).rstrip() + "\n"


def ab_table(contests: Sequence[Contest], a: str, b: str) -> list[str]:
    rows = [[c.workload, shown(c.verdict.ratio), p_value(c.verdict.p_paired), p_value(c.adjusted_p),
             p_value(c.verdict.p_unpaired),
             f"{c.verdict.delta:+.2f} ({stats.cliffs_word(c.verdict.delta)})",
             f"{number(c.verdict.shift)} ms", c.word()] for c in contests]
    lines = [f"## {a} against {b}", "",
             *table(["workload", f"{a} / {b}", "p, sign flips", "p, Holm", "p, Mann-Whitney",
                     "Cliff's delta", "shift", "verdict"], rows), ""]
    fewest = min((c.verdict.ratio.count for c in contests), default=0)
    if contests and contests[0].verdict.smallest_p * len(contests) >= 0.05:
        lines += [f"With {fewest} blocks of {len(contests)} workloads no p can come below 0.05: "
                  "more --repeats or fewer --workloads are needed.", ""]
    return lines


def regress_table(changes: Sequence[Change], limit: float) -> list[str]:
    rows = [[c.workload, c.setting, c.what, shown(c.change), c.verdict] for c in changes]
    return [f"## Against the stored result, limit {limit * 100:g} %", "",
            *table(["workload", "setting", "of", "new / old", "verdict"], rows), ""]


def write_plots(results: Json, folder: str) -> dict[str, str]:
    """Title to file name, of those for which there is something to show."""
    layout = Layout(results)
    made = {}

    def keep(name: str, title: str, text: str) -> None:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        made[title] = name

    ratios: list[tuple[str, list[plot.Bar | None]]] = []
    for workload in layout.workloads:
        row: list[plot.Bar | None] = []
        for setting in layout.others():
            cell = layout.get(workload, setting)
            ratio = cell.ratio if cell else None
            row.append(plot.Bar(f"{workload}, {setting}: {shown(ratio)}", ratio.estimate, ratio.low,
                                ratio.high) if ratio else None)
        if any(row):
            ratios.append((workload, row))
    if ratios:
        title = "Step time, ratio to native"
        keep("ratios.svg", title, plot.bars(title, ratios, layout.others(), "ratio", 1.0))
    trips = [(workload, [
        plot.Bar(f"{workload}, {setting}", cell.figures["round trips a step"])
        if (cell := layout.get(workload, setting)) and "round trips a step" in cell.figures else None
        for setting in layout.others()]) for workload in layout.workloads]
    trips = [(workload, row) for workload, row in trips if any(row)]
    if trips:
        title = "Round trips a step"
        keep("round_trips.svg", title, plot.bars(title, trips, layout.others(), "round trips"))
    lines = [(setting, [value for run in cell.runs
                        for value in run["measured"]["samples_us"].get("item", [])])
             for setting in layout.settings if (cell := layout.get(LATENCIES, setting))]
    if any(values for _, values in lines):
        title = "tensor.item(), distribution"
        keep("item.svg", title, plot.curves(title, lines, "µs"))
    parts = [(f"{workload}, {setting}", [cell.breakdown.get(p, 0.0) for p in analysis.BREAKDOWN])
             for workload in layout.workloads for setting in layout.others()
             if (cell := layout.get(workload, setting)) and cell.breakdown]
    if parts:
        title = "Where Genie's time goes"
        keep("breakdown.svg", title, plot.stacked(title, parts, analysis.BREAKDOWN, "µs a step"))
    return made
