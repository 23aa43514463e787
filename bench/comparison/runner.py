"""Starts what a run needs (a genied, the proxy, another system's server), the measured process, and
ends all of it. Whatever goes wrong in one run becomes its status and a reason, never an exception."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from comparison import machine, store
from comparison.measure import NO_DEVICE
from comparison.plan import Step
from comparison.settings import Setting, fill_in, needs_port
from comparison.store import Json

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
START_SECONDS = 60
STOP_SECONDS = 10
COUNTERS_SECONDS = 3
OUT_MAX = 64 << 20
OWN_GROUP: dict[str, Any] = ({"process_group": 0} if sys.version_info >= (3, 11)
                             else {"start_new_session": True})


class Trouble(Exception):
    """This run cannot be; the text says why."""


def find_built(build: str, name: str) -> str:
    for folder in ("", "interpose", "remote", "tools", "bench"):
        path = os.path.join(build, folder, name)
        if os.path.exists(path):
            return os.path.abspath(path)
    raise Trouble(f"{name} is not in {build}: build first (ninja -C {build})")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def end_of(path: str, lines: int = 4) -> str:
    """The last words of a log."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return " | ".join(text.strip().splitlines()[-lines:])[-600:]


class Helper:
    """A process that serves the measured one; ended with all it started."""

    def __init__(self, command: list[str], log: str, env: dict[str, str] | None = None,
                 ready: bool = False) -> None:
        """@ready: it takes --ready-fd N and writes a line when clients can come."""
        read_end, write_end = os.pipe()
        try:
            with open(log, "ab") as file:
                more = ["--ready-fd", str(write_end)] if ready else []
                self.process = subprocess.Popen(
                    [*command, *more], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                    env={**os.environ, **(env or {})}, pass_fds=[write_end], **OWN_GROUP)
        except OSError as error:
            os.close(read_end)
            raise Trouble(f"{command[0]}: {error.strerror}") from error
        finally:
            os.close(write_end)
        self.log, self.command, self._ready = log, command, read_end

    def first_line(self) -> str:
        """What it wrote when it was ready."""
        text, deadline = b"", time.monotonic() + START_SECONDS
        os.set_blocking(self._ready, False)
        while not text.endswith(b"\n"):
            try:
                part = os.read(self._ready, 4096)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Trouble(f"{self.command[0]} is not ready after {START_SECONDS} s: "
                                  f"{end_of(self.log)}") from None
                time.sleep(0.005)
                continue
            if not part:
                raise Trouble(f"{os.path.basename(self.command[0])} did not start: "
                              f"{end_of(self.log)}")
            text += part
        return text.decode(errors="replace").splitlines()[0]

    def wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise Trouble(f"{self.command[0]} ended: {end_of(self.log)}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Trouble(f"{self.command[0]} does not listen on port {port} after "
                                  f"{START_SECONDS} s") from None
                time.sleep(0.05)

    def stop(self) -> None:
        if self._ready < 0:
            return
        os.close(self._ready)
        self._ready = -1
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        end_group(self.process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


@dataclass
class Options:
    """What all runs of a session share."""

    build: str
    device: str  # cuda, cpu
    size: str
    seed: int
    steps: int | None
    warmup: int
    timeout: float
    python: str
    cache: str = ""  # of kernel images, kept from run to run
    achieved: dict[str, Json] = field(default_factory=dict)  # of the proxy, by setting


class Run:
    """One run: the context manager ends whatever it started."""

    def __init__(self, options: Options, setting: Setting, step: Step) -> None:
        self.options, self.setting, self.step = options, setting, step
        self.folder = tempfile.mkdtemp(prefix="genie-compare-")
        self.helpers: list[Helper] = []
        self.env: dict[str, str] = dict(setting.env)
        self.prefix: list[str] = []
        self.server_pid = 0

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        for helper in reversed(self.helpers):
            helper.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def start(self, command: list[str], name: str, env: dict[str, str] | None = None,
              ready: bool = False) -> Helper:
        helper = Helper(command, self.path(name + ".log"), env, ready)
        self.helpers.append(helper)
        return helper

    def prepare(self) -> None:
        if self.setting.kind == "genie":
            self._prepare_genie()
        elif self.setting.kind == "baseline":
            self._prepare_baseline()

    @property
    def recorded(self) -> bool:
        """Without a GPU Genie's device only records."""
        return self.setting.kind == "genie" and self.options.device == "cpu"

    def _prepare_genie(self) -> None:
        build = self.setting.build or self.options.build
        shm = self.setting.transport == "shm"
        where = f"shm:{self.path('socket')}" if shm else "tcp://127.0.0.1:0"
        cache = self.path("cache") if self.setting.cold else self.options.cache
        command = [find_built(build, "genied"), "--device", "record" if self.recorded else "cuda",
                   "--listen", where]
        env = {"GENIE_CACHE_DIR": cache, "GENIED_STATS": self.path("server-%p.json")}
        env.update({name: value for name, value in self.setting.env.items()
                    if name.startswith("GENIE_")})
        server = self.start(command, "genied", env, ready=True)
        address = server.first_line()
        self.server_pid = server.process.pid
        if self.setting.impairment:
            address = self._prepare_proxy(build, address)
        self.env.update(GENIE_SERVER=address, GENIE_STATS=self.path("client-%p.json"),
                        LD_PRELOAD=find_built(build, "libgenie.so"))

    def _prepare_proxy(self, build: str, address: str) -> str:
        impairment = self.setting.impairment
        assert impairment
        proxy = self.start([find_built(build, "bench-impair"), "--rate",
                            f"{impairment.bits_per_second:.0f}", "--round-trip-us",
                            f"{impairment.round_trip_s * 1e6:g}", "--calibrate", "--to",
                            address.removeprefix("tcp://")], "proxy", ready=True)
        listening, _, achieved = proxy.first_line().partition(" ")
        try:
            self.options.achieved.setdefault(self.setting.name, json.loads(achieved))
        except ValueError as error:
            raise Trouble(f"the proxy says {achieved!r}") from error
        return f"tcp://{listening}"

    def _prepare_baseline(self) -> None:
        port = free_port() if needs_port(self.setting) else 0
        self.env = dict(zip(self.setting.env, fill_in(list(self.setting.env.values()), port)))
        self.prefix = fill_in(self.setting.prefix, port)
        if self.setting.server:
            server = self.start(fill_in(self.setting.server, port), "server")
            self.server_pid = server.process.pid
            if port:
                server.wait_for_port(port)

    def measure(self) -> tuple[str, str, Json | None]:
        """Status, reason, what it measured."""
        options = self.options
        out, log = self.path("out.json"), self.path("program.log")
        on_cpu = options.device == "cpu" and not self.recorded
        command = [*self.prefix, options.python, os.path.join(HERE, "measure.py"),
                   self.step.workload, "--out", out, "--size", options.size, "--device",
                   "cpu" if on_cpu else "cuda", "--seed", str(options.seed), "--warmup",
                   str(options.warmup), "--server-pid", str(self.server_pid)]
        command += ["--steps", str(options.steps)] if options.steps else []
        command += ["--recorded"] if self.recorded else []
        command += ["--begin", str(time.clock_gettime_ns(time.CLOCK_MONOTONIC))]
        try:
            with open(log, "ab") as file:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file,
                                           stderr=file, env={**os.environ, **self.env},
                                           **OWN_GROUP)
        except OSError as error:
            return "failed", f"{command[0]}: {error.strerror}", None
        try:
            status = process.wait(options.timeout)
        except subprocess.TimeoutExpired:
            return "timeout", f"still running after {options.timeout:.0f} s", None
        finally:
            end_group(process)
        if status:
            how = (signal.Signals(-status).name if status < 0 else
                   "no CUDA device" if status == NO_DEVICE else f"exit status {status}")
            return "failed", f"{how}: {end_of(log)}", None
        return self._read(out)

    def _read(self, out: str) -> tuple[str, str, Json | None]:
        try:
            if os.path.getsize(out) > OUT_MAX:
                return "failed", f"its result is larger than {OUT_MAX >> 20} MiB", None
            with open(out, encoding="utf-8") as file:
                measured = json.load(file)
            store.check_measured(measured)
        except (OSError, ValueError, store.Bad) as error:
            return "failed", f"its result: {error}", None
        return "ok", "", measured

    def wait_for_server_counters(self) -> None:
        """The worker writes them when it has noticed the client's end."""
        deadline = time.monotonic() + COUNTERS_SECONDS
        while self.setting.kind == "genie" and time.monotonic() < deadline:
            if any(name.startswith("server-") and name.endswith(".json")
                   for name in os.listdir(self.folder)):
                return
            time.sleep(0.01)

    def counters(self, whose: str) -> tuple[Json | None, Json | None]:
        """Of GENIE_STATS: the numbers, and the unsupported calls. Of several processes the one that
        made the most calls."""
        best: Json = {}
        for name in os.listdir(self.folder):
            if not name.startswith(whose + "-") or not name.endswith(".json"):
                continue
            try:
                with open(self.path(name), encoding="utf-8") as file:
                    found = json.load(file)
            except (OSError, ValueError):
                continue  # it did not end by itself
            if isinstance(found, dict) and found.get("commands", 0) >= best.get("commands", 0):
                best = found
        if not best:
            return None, None
        return ({name: value for name, value in best.items()
                 if isinstance(value, (int, float)) and not isinstance(value, bool)
                 and name != "pid"}, best.get("unsupported"))


def run_step(options: Options, setting: Setting, step: Step, session: str) -> Json:
    begin = time.monotonic()
    result: Json = {"session": session, "workload": step.workload, "setting": setting.name,
                    "repeat": step.repeat, "order": step.order, "role": step.role,
                    "load": machine.load(), "measured": None, "counters": None,
                    "server_counters": None, "unsupported": None}
    with Run(options, setting, step) as run:
        try:
            run.prepare()
            result["status"], result["reason"], result["measured"] = run.measure()
        except (Trouble, OSError) as trouble:
            result["status"], result["reason"] = "failed", str(trouble)
        if result["status"] == "ok":
            run.wait_for_server_counters()
        for helper in reversed(run.helpers):
            helper.stop()
        result["counters"], result["unsupported"] = run.counters("client")
        result["server_counters"] = run.counters("server")[0]
        run.helpers.clear()
        if result["status"] == "ok" and setting.kind == "genie" and not result["counters"]:
            result.update(status="failed", measured=None,
                          reason="no statistics: it did not run through Genie")
    result["seconds"] = time.monotonic() - begin
    return result


def not_run(step: Step, session: str, why: str) -> Json:
    return {"session": session, "workload": step.workload, "setting": step.setting,
            "repeat": step.repeat, "order": step.order, "role": step.role, "status": "not run",
            "reason": why, "seconds": 0.0, "load": machine.load(), "measured": None,
            "counters": None, "server_counters": None, "unsupported": None}


def has_device(python: str) -> str:
    """Empty if PyTorch finds a GPU, else what is wrong."""
    code = ("import torch,sys; sys.exit('PyTorch finds no CUDA device' "
            "if not torch.cuda.is_available() else 0)")
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120,
                              check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]
