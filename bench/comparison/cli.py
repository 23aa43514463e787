"""What bench/compare does with its arguments."""

from __future__ import annotations

import argparse
import datetime
import math
import os
import secrets
import shutil
import sys
import tempfile
import time
from typing import Any

from comparison import analysis, machine, plan, report, runner, settings, store, workloads
from comparison.settings import Setting
from comparison.store import Json

OK, BAD, USAGE, UNCLEAR = 0, 1, 2, 3
DEFAULT_SETTINGS = "native,shm,tcp,shm:sync,tcp@25gbit/20us"
REPEATS = 3
AB_REPEATS = 8
RUN_SECONDS = {"paper": 15.0, "small": 8.0}  # until some have been timed


def parse(doc: str, arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/compare", description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--workloads", default="eight", metavar="NAMES",
        help=f"names or groups, with commas: {', '.join(workloads.GROUPS)} (default: eight)")
    add("--settings", default=DEFAULT_SETTINGS, help=f"default: {DEFAULT_SETTINGS}")
    add("--baseline", action="append", default=[], metavar="NAME='ENV=… PREFIX'")
    add("--baseline-server", action="append", default=[], metavar="NAME='COMMAND'")
    add("--repeats", type=int, help=f"blocks (default {REPEATS}; --ab: {AB_REPEATS})")
    add("--seconds", type=float, default=540, help="for this slice (default 540)")
    add("--timeout", type=float, default=180, help="seconds for one run")
    add("--steps", type=int, help="instead of what each workload says")
    add("--warmup", type=int, default=5, help="steps that are not counted (default 5)")
    add("--size", choices=("small", "paper"), help="of the models (default: paper; on cpu small)")
    add("--seed", type=int, help="of the order and of the data (default: random, recorded)")
    add("--device", choices=("cuda", "cpu"), default="cuda",
        help="cpu: natively on the processors, and Genie's counters on its recording device")
    add("--build", default="build", metavar="DIR")
    add("--python", default=sys.executable, help="the one that has PyTorch")
    add("--out", metavar="DIR", help="for results (default: build/compare)")
    add("--continue", dest="resume", metavar="DIR", help="what is still missing of that result")
    add("--ab", nargs=2, metavar=("A", "B"), help="compares two settings")
    add("--regress", metavar="FILE", help="compares with a stored result")
    add("--limit", type=float, default=5, help="of --regress, percent (default 5)")
    add("--from", dest="source", metavar="FILE", help="runs nothing: reports what is stored")
    add("--merge", nargs="+", metavar="FILE", help="runs nothing: puts results together")
    add("--docs", metavar="FILE", help="writes the report as docs/performance.md, plots beside it")
    add("--dry-run", action="store_true", help="only says what would be run")
    add("--list", action="store_true", help="only names the workloads")
    options = parser.parse_args(arguments)
    for name in ("seconds", "timeout", "limit"):
        value = getattr(options, name)
        if not math.isfinite(value) or value <= 0:
            parser.error(f"--{name} {value} is not positive")
    for name in ("repeats", "steps"):
        value = getattr(options, name)
        if value is not None and not 0 < value <= 100000:
            parser.error(f"--{name} {value}: 1 to 100000")
    if not 0 <= options.warmup <= 100000 or (options.seed or 0) < 0:
        parser.error("--warmup and --seed are not negative")
    return options


def chosen_workloads(text: str) -> list[str]:
    names: list[str] = []
    for word in text.split(","):
        if word in workloads.GROUPS:
            names += workloads.GROUPS[word]
        elif word in workloads.NAMES:
            names.append(word)
        else:
            raise settings.Wrong(f"no workload {word!r}: --list names them")
    return list(dict.fromkeys(names))


def chosen_settings(options: argparse.Namespace) -> dict[str, Setting]:
    baselines = settings.parse_baselines(options.baseline, options.baseline_server)
    texts = list(options.ab) if options.ab else options.settings.split(",")
    if options.ab and options.ab[0] == options.ab[1]:
        raise settings.Wrong("--ab: two different settings are needed")
    if options.ab and "native" not in texts:
        texts.append("native")
    found = {text: settings.parse_setting(text, baselines) for text in texts}
    return {**found, **baselines}


def new_session(options: argparse.Namespace, chosen: dict[str, Setting], names: list[str]) -> Json:
    return {
        "id": secrets.token_hex(6),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": ["bench/compare", *sys.argv[1:]],
        "seed": options.seed if options.seed is not None else secrets.randbelow(1 << 31),
        "device": options.device,
        "size": options.size or ("small" if options.device == "cpu" else "paper"),
        "workloads": names,
        "repeats": options.repeats or (AB_REPEATS if options.ab else REPEATS),
        "steps": options.steps,
        "warmup": options.warmup,
        "settings": {name: setting.describe() for name, setting in chosen.items()},
        "baselines": [options.baseline, options.baseline_server],
        "ab": options.ab,
        "machine": machine.describe(runner.ROOT),
    }


def resume_session(options: argparse.Namespace, results: Json) -> tuple[Json, dict[str, Setting]]:
    """The plan is that of the last session; runs that ended well stay."""
    if not results["sessions"]:
        raise settings.Wrong(f"{options.resume} has no session to continue")
    session: Json = results["sessions"][-1]
    now = machine.describe(runner.ROOT)
    for what in ("cpu", "commit"):
        if now[what] != session["machine"].get(what):
            raise settings.Wrong(f"the {what} is another one than when it began: start anew, and "
                                 "--merge the two")
    if now["gpu"].get("name") != session["machine"].get("gpu", {}).get("name"):
        raise settings.Wrong("the GPU is another one than when it began: start anew, and --merge")
    options.baseline, options.baseline_server = session["baselines"]
    options.device, options.ab = session["device"], session["ab"] or options.ab
    baselines = settings.parse_baselines(options.baseline, options.baseline_server)
    chosen = {name: settings.parse_setting(name, baselines) for name in session["settings"]}
    return session, chosen


def say(text: str) -> None:
    print(text, flush=True)


def run_line(place: str, run: Json) -> str:
    if run["status"] != "ok":
        text = f"{run['status']}: {run['reason']}"
    else:
        text = f"{analysis.step_ms(run):.3f} ms a step"
        trips = analysis.per_step(run, "round_trips")
        text += f", {trips:.1f} round trips" if trips is not None else ""
    return f"{place} {run['workload']:<15} {run['setting']:<22} {text} ({run['seconds']:.0f} s)"


class Slice:
    """Runs what is missing of a plan until the time is over."""

    def __init__(self, options: argparse.Namespace, results: Json, session: Json,
                 chosen: dict[str, Setting], path: str) -> None:
        self.results, self.session, self.chosen, self.path = results, session, chosen, path
        self.deadline = time.monotonic() + options.seconds
        self.cache = tempfile.mkdtemp(prefix="genie-compare-cache-")
        self.run_options = runner.Options(
            os.path.join(runner.ROOT, options.build), session["device"], session["size"],
            session["seed"], session["steps"], session["warmup"], options.timeout, options.python,
            self.cache)
        self.timeout = options.timeout
        self.times: dict[str, float] = {}

    def expected(self, step: plan.Step) -> float:
        usual = RUN_SECONDS[self.session["size"]]
        return self.times.get(step.workload, max(self.times.values(), default=usual))

    def todo(self) -> list[plan.Step]:
        done = {store.run_key(run) for run in self.results["runs"] if run["status"] == "ok"}
        steps = plan.make(self.session["workloads"], list(self.session["settings"]),
                          self.session["repeats"], self.session["seed"])
        return [step for step in steps
                if (self.session["id"], step.workload, step.setting, step.repeat, step.role)
                not in done]

    def run(self) -> None:
        steps = self.todo()
        runs: list[Json] = []
        try:
            for number, step in enumerate(steps):
                left = self.deadline - time.monotonic()
                if left < self.expected(step) * 1.2:
                    runs += [runner.not_run(each, self.session["id"], "no time left")
                             for each in steps[number:]]
                    break
                self.run_options.timeout = min(self.timeout, left)
                run = runner.run_step(self.run_options, self.chosen[step.setting], step,
                                      self.session["id"])
                if run["status"] == "timeout" and self.run_options.timeout < self.timeout:
                    run = runner.not_run(step, self.session["id"], "no time left")
                runs.append(run)
                if run["status"] == "ok":
                    self.times[step.workload] = max(run["seconds"],
                                                    self.times.get(step.workload, 0))
                say(run_line(f"{number + 1}/{len(steps)}", run))
                self._keep(runs)
        finally:
            for name, achieved in self.run_options.achieved.items():
                self.session["settings"][name].setdefault("achieved", achieved)
            self._keep(runs)
            shutil.rmtree(self.cache, ignore_errors=True)

    def _keep(self, runs: list[Json]) -> None:
        """After each run: a slice that is killed loses one run, not all."""
        new = {store.run_key(run) for run in runs}
        old = [run for run in self.results["runs"] if store.run_key(run) not in new]
        store.save(self.path, {**self.results, "runs": old + runs})
        self._all = old + runs

    def all_runs(self) -> list[Json]:
        return self._all


def dry_run(todo: list[plan.Step], session: Json) -> int:
    for step in todo:
        say(f"{step.order:4d} repeat {step.repeat} {step.workload:<15} {step.setting}"
            f"{' (twin)' if step.role == 'twin' else ''}")
    seconds = len(todo) * RUN_SECONDS[session["size"]]
    say(f"{len(todo)} runs, about {seconds / 60:.0f} minutes, {math.ceil(seconds / 540)} slices; "
        f"seed {session['seed']}")
    return OK


def measure(options: argparse.Namespace) -> tuple[Json | None, str]:
    """The results, and where they are. None: there was only something to say."""
    folder = options.resume or options.out or os.path.join(runner.ROOT, "build", "compare")
    path = os.path.join(folder, "results.json")
    if options.resume:
        results = store.load(path)
        session, chosen = resume_session(options, results)
    else:
        chosen = chosen_settings(options)
        results = store.new()
        session = new_session(options, chosen, chosen_workloads(options.workloads))
        results["sessions"].append(session)
    piece = Slice(options, results, session, chosen, path)
    try:
        if options.dry_run:
            dry_run(piece.todo(), session)
            return None, folder
        for setting in chosen.values():
            if setting.kind == "genie":
                for name in ("genied", "libgenie.so", *(["bench-impair"] if setting.impairment
                                                        else [])):
                    runner.find_built(setting.build or piece.run_options.build, name)
        if options.device == "cuda" and (why := runner.has_device(options.python)):
            raise settings.Wrong(f"{why}; --device cpu tries out everything but results")
        os.makedirs(folder, exist_ok=True)
        piece.run()
    finally:
        shutil.rmtree(piece.cache, ignore_errors=True)
    results["runs"] = piece.all_runs()
    return store.load(path), folder


def judge(options: argparse.Namespace, results: Json, lines: list[str]) -> int:
    """The exit status; adds what is to be said to @lines."""
    status = BAD if analysis.failures(results) else OK
    if any(text.startswith("DIFFERS") for text in analysis.equality(results).values()):
        status = BAD
    if not analysis.measured_runs(results):
        status = BAD
    if options.ab:
        contests = analysis.contest(results, *options.ab)
        lines[:0] = report.ab_table(contests, *options.ab)
    if options.regress:
        old = store.load(options.regress)
        if why := analysis.same_machine(results, old):
            raise settings.Wrong(f"--regress {options.regress}: {why}")
        changes = analysis.regress(results, old, options.limit / 100)
        lines[:0] = report.regress_table(changes, options.limit / 100)
        verdicts = {change.verdict for change in changes}
        if not changes:
            raise settings.Wrong(f"--regress {options.regress}: nothing in common")
        if verdicts & {"REGRESSION", "gone"}:
            status = BAD
        elif "unclear" in verdicts and status == OK:
            status = UNCLEAR
    return status


def write(options: argparse.Namespace, results: Json, folder: str, status_lines: list[str]) -> None:
    os.makedirs(folder, exist_ok=True)
    plots = report.write_plots(results, folder)
    with open(os.path.join(folder, "report.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(["# Comparison", "", *status_lines]) + "\n"
                   + report.markdown(results, plots))
    if options.docs:
        from comparison import docs

        docs.write(options.docs, results)


def main(doc: str, arguments: list[str] | None = None) -> int:
    options = parse(doc, sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(options)
    except (settings.Wrong, store.Bad, runner.Trouble, OSError) as error:
        print(f"bench/compare: {error}", file=sys.stderr)
        return USAGE


def _main(options: argparse.Namespace) -> int:
    if options.list:
        for name in workloads.NAMES:
            say(f"{name:<15} {about(name)}")
        return OK
    found: tuple[Json | None, str]
    if options.merge or options.source:
        files: list[str] = options.merge or [options.source]
        found = (store.merge([store.load(path) for path in files]),
                 options.out or os.path.dirname(os.path.abspath(files[0])))
        if options.merge:
            if not options.out:
                raise settings.Wrong("--merge: --out DIR is needed")
            os.makedirs(options.out, exist_ok=True)
            store.save(os.path.join(options.out, "results.json"), found[0] or {})
    else:
        found = measure(options)
    results, folder = found
    if results is None:
        return OK
    lines: list[str] = []
    status = judge(options, results, lines)
    write(options, results, folder, lines)
    layout = report.Layout(results)
    say("\n".join([*lines, *report.headline(layout), *report.equality_table(layout),
                   *report.troubles(results)]))
    missing = len(analysis.left_out(results))
    if missing:
        say(f"{missing} runs are still to be made: bench/compare --continue {folder}")
    say(f"written to {folder}")
    return status


def about(name: str) -> str:
    """A workload's own line, without importing PyTorch."""
    path = os.path.join(runner.HERE, "workloads", name + ".py")
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("ABOUT = "):
                text: Any = line.removeprefix("ABOUT = ").strip().strip('"')
                return str(text)
    return ""
