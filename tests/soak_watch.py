"""What tests/soak looks at: the log of genied, everything that genied holds, and two clients that
work all the time."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading

from harness import OWN_GROUP, Failure, end_group, find_built, run_program, wait_until

GONE_SECONDS = 60.0  # after the last client: until its worker has gone, on a loaded machine
READY_SECONDS = 120.0
KIB = 1024

# By how much more than in the warm-up each figure may be, and why. Thousands of clients come and go
# meanwhile: a few hundred bytes lost with each, or one descriptor with every thousandth, is more.
BOUNDS = {
    # A page table of its own for the heap, a larger table for poll(), a few buckets of malloc: what
    # the most clients at one moment needed, which the warm-up may not have had.
    "genied: memory of its own": 64 * KIB,
    # The ledger: 520 bytes for each session at a time, entries are used again.
    "genied: shared memory": 64 * KIB,
    "genied: mappings": 2,
    "genied: threads": 0,
    "genied: descriptors": 0,
    "genied: memory files": 0,
    "genied: children without a client": 0,
    "genied: zombies": 0,
    # /dev/shm and the folder for temporary files, sockets among them.
    "files in /dev/shm": 0,
    "files beside it": 0,
    "device memory that is missing": 0,
    # Of a client that does the same all the time and of its worker: both may still learn
    # something (the C library's caches, deferred frees), but not in proportion to the time. Over
    # TCP its command ring, of 512 KiB, is memory of its own that it writes to piece by piece.
    "client: memory of its own": 1024 * KIB,
    "client: descriptors": 0,
    "client: threads": 0,
    "client: mappings": 4,
    "worker: memory of its own": 512 * KIB,
    "worker: descriptors": 0,
    "worker: threads": 0,
    "worker: mappings": 4,
}
# The vendor's driver, which is in the worker there, has caches of its own.
MORE_ON_A_GPU = {"worker: memory of its own": 4096 * KIB, "worker: mappings": 32}
IN_BYTES = ("memory of its own", "shared memory", "device memory that is missing")

# Asks how much memory is free, and whether that can be had: what a session was promised that is no
# more would be missing.
PROBE = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    status = getattr(cuda, name)(*arguments)
    if status:
        sys.exit(f"{name}: error {status}")
device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
call("cuInit", 0)
call("cuDeviceGet", ctypes.byref(device), 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call("cuCtxSetCurrent", context)
call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
size = free.value - int(sys.argv[1])
call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
call("cuMemFree_v2", address)
print(free.value)
"""
# Left alone by the probe: what the sessions that are there were promised (64 MiB each), and its own.
# On a GPU, where the next warm worker may open its context meanwhile, more.
PROMISED = {"cpu": 256 << 20, "cuda": 3 << 30}
# By how much the free memory may differ from one time to the other: on a GPU that worker's context.
UNSTEADY = {"cpu": 0, "cuda": 1 << 30}


class Journal:
    """The log of genied, read as it is written: who serves whom, and how sessions ended."""

    BEGINS = re.compile(r"session (\d+): .*\[(\d+)\] from .*: begins, worker (\d+)$")
    ENDED = re.compile(r"session (\d+): .*: ended after [\d.]+ s: (.*)$")

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.file = open(server.log_path, encoding="utf-8", errors="replace")
        self.rest = ""
        self.open = {}     # session -> (client, worker)
        self.killed = set()  # sessions whose worker was killed by us
        self.count = 0
        self.reasons = {}  # how sessions ended -> count
        self.bad = []      # sessions that ended as none should
        self.other = {}    # other lines -> count

    def _read_locked(self):
        self.rest += self.file.read()
        *lines, self.rest = self.rest.split("\n")
        for line in lines:
            begins, ended = self.BEGINS.search(line), self.ENDED.search(line)
            if begins:
                session, client, worker = map(int, begins.groups())
                self.open[session] = (client, worker)
                self.count += 1
            elif ended:
                self._ended_locked(int(ended[1]), ended[2], line)
            else:
                line = re.sub(r"\d+", "N", line)
                if len(self.other) < 1000:
                    self.other[line] = self.other.get(line, 0) + 1

    def _ended_locked(self, session, reason, line):
        self.open.pop(session, None)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        crashed = "killed by signal" in reason
        if crashed and not (reason.endswith("signal 9") and session in self.killed):
            self.bad.append(line)
        self.killed.discard(session)

    def _session_of_locked(self, client):
        self._read_locked()
        return max((s for s, (pid, _) in self.open.items() if pid == client), default=None)

    def worker_of(self, client):
        with self.lock:
            session = self._session_of_locked(client)
            return self.open[session][1] if session is not None else None

    def kill_worker(self, client, worker):
        """False when it serves that client no more."""
        with self.lock:
            session = self._session_of_locked(client)
            if session is None or self.open[session][1] != worker:
                return False
            self.killed.add(session)
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True

    def workers(self):
        with self.lock:
            self._read_locked()
            return {worker for _, worker in self.open.values()}

    def words(self):
        with self.lock:
            self._read_locked()
            ends = sorted(self.reasons.items(), key=lambda item: -item[1])
            lines = [f"{self.count}, {len(self.open)} open; ended: "
                     + "; ".join(f"{reason} ({count})" for reason, count in ends)]
            lines += [f"log, {count} times: {line}" for line, count in
                      sorted(self.other.items(), key=lambda item: -item[1])[:12]]
        return "\n".join(lines)

    def verdicts(self):
        bad = "".join(f"\n      | {line}" for line in self.bad[:10])
        yield ("workers end by themselves or by our hand",
               bad and f"{len(self.bad)} did not:{bad}", f"{self.count} sessions")


def status_of(pid):
    """Fields of /proc/PID/status: numbers, sizes in bytes."""
    fields = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            words = value.split()
            if words and words[0].isdigit():
                fields[name] = int(words[0]) * (KIB if words[-1] == "kB" else 1)
            elif name == "State":
                fields[name] = words[0]
    return fields


def lines_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return sum(1 for _ in file)


def descriptors(pid):
    """What each open descriptor is."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except OSError:
            pass  # closed meanwhile
    return found


def children(pid):
    """Children of a process -> their state."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found[int(entry)] = fields[0]
    return found


class Sample(dict):
    """Figure -> value, at one moment."""

    def words(self):
        return (f"{self['genied: memory of its own'] // KIB} KiB, "
                f"{self['genied: descriptors']} descriptors, "
                f"{self['genied: children without a client']} idle workers, "
                f"worker {self['worker: memory of its own'] // KIB} KiB")


class Watch:
    """Samples, and the two clients that work all the time."""

    def __init__(self, soak, warm_up, warm_up_most):
        self.soak, self.server = soak, soak.server
        self.warm_up, self.warm_up_most = warm_up, warm_up_most
        self.samples = []
        self.wrong = []  # what could not even be measured
        self.steady = []
        self.free = None
        self.beside = set()

    def __enter__(self):
        try:
            for transport in ("shm", "tcp"):
                self.steady.append(self._start(transport))
        except BaseException:
            self.__exit__()
            raise
        self.beside = set(os.listdir(self.soak.folder))
        return self

    def _start(self, transport):
        program = os.path.join(self.soak.options.programs, "victim.static")
        output = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [program, "steady", "2000000000"], stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, **OWN_GROUP,
            env=dict(os.environ, LD_PRELOAD=self.soak.library,
                     GENIE_SERVER=self.server.addresses[transport]))

        def text():
            output.seek(0)
            return output.read().decode(errors="replace")

        process.text = text
        if not wait_until(lambda: "ready" in text() or process.poll() is not None,
                          READY_SECONDS) or "ready" not in text():
            end_group(process)
            raise Failure(f"the client that works all the time, {transport}: {text()}")
        return process

    def __exit__(self, *unused):
        for process in self.steady:
            end_group(process)

    def _gone(self):
        """Only the workers of the clients that work all the time, and idle ones, are left."""
        busy = len(self.soak.journal.workers())
        return busy <= len(self.steady)

    def sample(self):
        if not wait_until(self._gone, GONE_SECONDS):
            extra = len(self.soak.journal.workers()) - len(self.steady)
            self.wrong.append(f"{extra} workers {GONE_SECONDS:.0f} s after their clients")
        for process in self.steady:
            if process.poll() is not None:
                raise Failure("a client that nobody disturbed ended: " + process.text()
                              + self.server.log()[-1000:])
        sample = Sample()
        sample.update(self._device())  # its worker has gone when the rest is looked at
        wait_until(self._gone, GONE_SECONDS)
        sample.update(self._genied())
        sample.update(self._files())
        sample.update(self._steady())
        self.samples.append(sample)
        return sample

    def _genied(self):
        pid = self.server.process.pid
        serving = self.soak.journal.workers()
        # A greeter or a worker that ends at this very moment is no leak: it is gone at once.
        wait_until(lambda: not any(state == "Z" for state in children(pid).values()), 5)
        others = {child: state for child, state in children(pid).items() if child not in serving}
        status = status_of(pid)
        opened = descriptors(pid)
        return {
            "genied: memory of its own": status["RssAnon"],
            "genied: shared memory": status["RssShmem"],
            "genied: mappings": lines_of(f"/proc/{pid}/maps"),
            "genied: threads": status["Threads"],
            # an idle worker has one
            "genied: descriptors": len(opened) - len(others),
            "genied: memory files": sum("memfd:" in name for name in opened),
            "genied: children without a client": len(others),
            "genied: zombies": sum(state == "Z" for state in others.values()),
        }

    def _files(self):
        folder = self.soak.folder
        known = self.beside | {"genie"}  # the cache of images is looked at below
        return {
            "files in /dev/shm": sum("genie" in name for name in os.listdir("/dev/shm")),
            "files beside it": len(set(os.listdir(folder)) - known)
            + len(os.listdir(self.server.folder)),
        }

    def _device(self):
        """What a new client finds, against what the first one found."""
        device = self.soak.options.device
        outcome = run_program([sys.executable, "-c", PROBE, str(PROMISED[device])], 120,
                              self.server.address, self.soak.library)
        if outcome.status != 0:
            raise Failure("the memory of clients that are no more cannot be had: "
                          + outcome.describe() + ": " + outcome.out + outcome.err)
        free = int(outcome.out)
        if self.free is None:
            self.free = free
        missing = self.free - free
        return {"device memory that is missing": 0 if abs(missing) <= UNSTEADY[device] else missing}

    def _steady(self):
        """The larger figure of the two."""
        figures = {}
        journal = self.soak.journal
        for process in self.steady:
            worker = journal.worker_of(process.pid)
            if not worker:
                raise Failure("a client that nobody disturbed has lost its worker")
            for who, pid in (("client", process.pid), ("worker", worker)):
                status = status_of(pid)
                for what, value in (("memory of its own", status["RssAnon"]),
                                    ("descriptors", len(descriptors(pid))),
                                    ("threads", status["Threads"]),
                                    ("mappings", lines_of(f"/proc/{pid}/maps"))):
                    name = f"{who}: {what}"
                    figures[name] = max(figures.get(name, 0), value)
        return figures

    def verdicts(self):
        """One for each figure: what the most is after the warm-up, against the most in it."""
        count = len(self.samples)
        warm = max(1, min(self.warm_up_most, int(count * self.warm_up) + 1))
        if count <= warm:
            yield "samples", f"only {count}: too little time", ""
            return
        wrong = "; ".join(self.wrong[:5])
        yield "workers go with their clients", wrong, f"{count} samples, {warm} of them warm-up"
        bounds = dict(BOUNDS, **(MORE_ON_A_GPU if self.soak.options.device == "cuda" else {}))
        for what, bound in bounds.items():
            usual = max(sample[what] for sample in self.samples[:warm])
            most = max(sample[what] for sample in self.samples[warm:])
            last = self.samples[-1][what]
            unit, name = (KIB, " KiB") if what.endswith(IN_BYTES) else (1, "")
            text = (f"{usual // unit}{name} at first, at most {most // unit}{name} later, "
                    f"{last // unit}{name} last")
            limit = f", may be {bound // unit}{name} more" if bound else ", may not be more"
            yield what, f"grew: {text}{limit}" if most > usual + bound else "", text
