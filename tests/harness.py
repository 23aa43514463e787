"""What tests/run, tests/fault and tests/gpu/run share: finding what was built, starting a genied of
one's own, running programs under a time limit and counting results. Python's standard library only."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 60  # opening a GPU takes a while
STOP_SECONDS = 10
SKIPPED = 77  # exit status of a program that the device cannot run
# What leads a group of its own stays in the session of the test where that is possible: Linux gives
# each session its own share of the processors, and a test in the background is to stay there.
OWN_GROUP = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}


class Failure(Exception):
    """A test that did not hold; the text says which and how."""


def find_built(build, name):
    """A product by name: at the top of the build folder or where its part was built."""
    for folder in ("", "interpose", "remote", "tools", "examples"):
        path = os.path.join(build, folder, name)
        if os.path.exists(path):
            return path
    raise SystemExit(f"{name} is not in {build}: build first (meson setup build && ninja -C build)")


def end_group(process):
    """Ends a process that leads its own group, with everything it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def group_lives(process):
    """A process that leads its own group has ended: others of the group still run."""
    if process.poll() is None:
        return True
    try:
        os.killpg(process.pid, 0)
        return True
    except (ProcessLookupError, PermissionError):
        return False


class Outcome:
    """How a program ended, and what it said."""

    def __init__(self, status, out, err, seconds, stats, outlived=False):
        self.status, self.out, self.err = status, out, err
        self.seconds, self.stats = seconds, stats  # stats: dict, or None
        self.outlived = outlived  # processes that it started were still there at its end

    @property
    def timed_out(self):
        return self.status is None

    def describe(self):
        if self.timed_out:
            return f"still running after {self.seconds:.0f} s"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}"
        return f"exit status {self.status}"


def run_program(command, timeout, server=None, library=None, env=None, cwd=None):
    """Runs a program, through Genie when @server is given, and collects its GENIE_STATS."""
    environment = dict(os.environ, **(env or {}))
    stats_path = None
    if server:
        folder = tempfile.mkdtemp(prefix="genie-stats-")
        stats_path = os.path.join(folder, "%p")
        environment.update(GENIE_SERVER=server, GENIE_STATS=stats_path,
                           LD_PRELOAD=library)
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   env=environment, cwd=cwd, **OWN_GROUP)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - begin
        outlived = group_lives(process)
        end_group(process)
        out.seek(0)
        err.seek(0)
        texts = [f.read().decode(errors="replace") for f in (out, err)]
    stats = None
    if stats_path:
        own = str(process.pid)  # or of a process that it started
        for name in sorted(os.listdir(folder), key=lambda name: name != own):
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    stats = json.load(file)
                break
            except (OSError, ValueError):
                pass  # it did not end by itself
        shutil.rmtree(os.path.dirname(stats_path), ignore_errors=True)
    return Outcome(status, texts[0], texts[1], seconds, stats, outlived)


class Server:
    """A genied of our own on any port of the loopback, on a socket in a folder of our own, or on
    both: @transport is "shm", "tcp" or a list of them with commas."""

    def __init__(self, build, transport, device, log=None, extra=(), env=None):
        self.folder = tempfile.mkdtemp(prefix="genie-test-")
        self.log_path = log or os.path.join(self.folder, "genied.log")
        self.process = None
        where = {"shm": f"shm:{self.folder}/socket", "tcp": "tcp://127.0.0.1:0"}
        transports = transport.split(",")
        read_end, write_end = os.pipe()
        try:
            with open(self.log_path, "ab") as log_file:
                self.process = subprocess.Popen(
                    [find_built(build, "genied"), "--device", device,
                     *(word for each in transports for word in ("--listen", where[each])),
                     "--ready-fd", str(write_end), *extra],
                    stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
                    env={**os.environ, "GENIE_CACHE_DIR": os.path.join(self.folder, "cache"),
                         **(env or {})}, pass_fds=[write_end], **OWN_GROUP)
            os.close(write_end)
            write_end = -1
            self.addresses = dict(zip(transports, self._read_addresses(read_end, len(transports))))
            self.address = self.addresses[transports[0]]
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _read_addresses(self, descriptor, count):
        text, deadline = b"", time.monotonic() + START_SECONDS
        while text.count(b"\n") < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise Failure(f"genied is not ready after {START_SECONDS} s; log: {self.log()}")
            part = os.read(descriptor, 4096)
            if not part:
                break
            text += part
        if text.count(b"\n") < count:
            raise Failure(f"genied did not start: {self.log()}")
        return text.decode().split("\n")[:count]

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def workers(self):
        """Process ids of its workers: its children, and theirs."""
        found, parents = set(), {self.process.pid}
        while parents:
            children = set()
            for entry in os.listdir("/proc"):
                if entry.isdigit() and parent_of(int(entry)) in parents:
                    children.add(int(entry))
            parents = children - found
            found |= children
        return found

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it as a user would; a genied that does not end by itself is a failure."""
        stuck = False
        if self.process:
            if self.alive():
                self.process.terminate()
                try:
                    self.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    stuck = True
            end_group(self.process)
        text = self.log() if stuck else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        if stuck:
            raise Failure(f"genied did not end {STOP_SECONDS} s after SIGTERM: {text}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


def parent_of(pid):
    """Of a process that still runs; -1 when it is gone or only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in "ZX" else int(fields[1])


def wait_until(condition, seconds):
    """True as soon as @condition() holds, False when it does not within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


class Tally:
    """Counts, prints a line for each result and the closing line."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.skips = {}

    def result(self, kind, name, text=""):
        if kind == "ok":
            self.passed += 1
        elif kind == "skip":
            self.skipped += 1
            self.skips.setdefault(text, []).append(name)
        else:
            self.failed += 1
        print(f"{kind:<5} {name:<44} {text}".rstrip(), flush=True)

    def close(self):
        for reason, names in self.skips.items():
            print(f"skipped, {reason}: {', '.join(sorted(set(names)))}")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0


def indent(text, lines=15):
    """The end of a program's output, for a failure."""
    kept = text.rstrip().splitlines()[-lines:]
    return "".join(f"      | {line[:300]}\n" for line in kept)


def main_guard(main):
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
