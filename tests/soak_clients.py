"""The clients of tests/soak: what they are, what is done to them, and how they may end."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from harness import OWN_GROUP, SKIPPED, Failure, end_group

# Not programs of the ordinary kind, or such as take all the memory there is.
NOT_IN_IT = {"victim", "wrong_kernels", "memory_limit"}
CUDARTS = ("static", "shared")
# tests/programs/victim.cu: ways that never end by themselves, and ways that do.
ENDLESS = ("launch", "sync", "wait", "poll", "copy-up", "copy-down", "allocate")
WITH_END = ("exec", "steady 20")
# What is done to a client, and how often.
DISTURBANCES = {
    "none": 50,       # finishes
    "pause": 4,       # is stopped for a while, goes on, finishes
    "kill": 12,       # SIGKILL
    "terminate": 8,   # SIGTERM
    "stop, kill": 6,  # SIGSTOP, a while later SIGKILL
    "worker": 12,     # SIGKILL for its worker
    "cut": 8,         # its connections are shut down, one or all
}
UNHARMED = ("none", "pause")
# Libraries of the vendor that do not look at what a call returned.
CARELESS = {
    # divides by the occupancy that it was not told
    ("cusparse_matrices", signal.SIGFPE),
}
# What a client says that waited ten seconds for a greeting, or a minute for an answer, on a machine
# that has far too much to do: a clear error. There may be few of them (tests/soak).
TOO_BUSY = re.compile(r"no device at .*: Connection timed out")
ALONE_SECONDS = 300.0  # for a client that nobody disturbs, on a machine that is much too small
ERROR_SECONDS = 60.0   # from the loss of its worker to its end, likewise, and never less than
ERROR_RUNS = 5         # so many times what the program usually takes: it may do host work first
SESSION_SECONDS = 120.0  # until a client that uses CUDA has a session
KILL_SECONDS = 30.0    # from SIGKILL to the end
LOOK = 0.02
PIDFD_GETFD = 438  # the system call, on every machine


def kinds_of_clients(folder):
    found = {}
    for entry in sorted(os.listdir(folder)):
        name, _, cudart = entry.rpartition(".")
        if cudart in CUDARTS and name not in NOT_IN_IT:
            found.setdefault(name, [os.path.join(folder, name)])
    if not found:
        raise SystemExit(f"no programs in {folder}: build first")
    for way in WITH_END + ENDLESS:
        found[f"victim {way}"] = [os.path.join(folder, "victim"), *way.split()]
    return found


class Plan:
    """One client and its fate."""

    def __init__(self, source, programs):
        endless = [f"victim {way}" for way in ENDLESS]
        self.disturbance = source.choices(list(DISTURBANCES), list(DISTURBANCES.values()))[0]
        self.program = source.choice([name for name in programs if name not in endless])
        if self.disturbance not in UNHARMED and source.random() < 0.3:
            self.program = source.choice(endless)
        self.cudart = source.choice(CUDARTS)
        self.transport = source.choice(("shm", "tcp"))
        self.sync = source.random() < 0.1
        # Of what it usually takes; more often at its beginning.
        self.moment = source.random() ** 1.5 * 1.2
        self.stop_seconds = source.random() * 2
        self.cut_all = source.random() < 0.5
        first, *arguments = programs[self.program]
        self.command = [f"{first}.{self.cudart}", *arguments]

    def __str__(self):
        return (f"{self.program} {self.cudart} {self.transport}"
                f"{' GENIE_SYNC' if self.sync else ''}, disturbed: {self.disturbance} "
                f"at {self.moment:.2f}")


def grab(pid, descriptor):
    """Another process's descriptor, as a socket of ours; None where it has gone."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        ours = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, descriptor, 0)
        error = ctypes.get_errno()
    finally:
        os.close(process)
    if ours >= 0:
        return socket.socket(fileno=ours)
    if error == 1:  # EPERM
        raise Failure("no permission to take a child's descriptor (pidfd_getfd)")
    return None


def connections(pid, addresses):
    """A client's connections to its genied, as descriptors of ours."""
    found = []
    try:
        entries = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for entry in entries:
        try:
            if not os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:"):
                continue
        except OSError:
            continue
        sock = grab(pid, int(entry))
        if not sock:
            continue
        try:
            peer = sock.getpeername()
        except OSError:
            peer = None
        if peer and (peer == addresses["shm"].removeprefix("shm:") or isinstance(peer, tuple)
                     and addresses["tcp"].endswith(f":{peer[1]}")):
            found.append(sock)
        else:
            sock.close()
    return found


def where_it_stands(pids):
    """What the threads of these processes wait for, for a client that hangs."""
    lines = []
    for pid in sorted(pids):
        with contextlib.suppress(OSError):
            for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
                words = []
                for name in ("comm", "wchan", "syscall"):
                    with contextlib.suppress(OSError):
                        with open(f"/proc/{pid}/task/{task}/{name}", encoding="utf-8") as file:
                            words.append(file.read().strip()[:60])
                with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                    words.append(file.read().rpartition(")")[2].split()[0])
                lines.append(f"\n      | {pid}/{task}: {' '.join(words)}")
    return "".join(lines)


class Client:
    """One run of a program. Its thread does nothing else meanwhile."""

    def __init__(self, plan, soak, usual):
        self.plan, self.soak, self.usual = plan, soak, usual
        self.done_to_it = ""  # what was really done
        self.begin = time.monotonic()
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        environment = dict(os.environ, GENIE_SERVER=soak.server.addresses[plan.transport],
                           LD_PRELOAD=soak.library)
        if plan.sync:
            environment["GENIE_SYNC"] = "1"
        self.process = subprocess.Popen(
            plan.command, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
            env=environment, **OWN_GROUP)

    def wait(self, seconds):
        """True when it has ended. Also ends when the soak is in a hurry."""
        until = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() >= until or self.soak.hurrying.is_set():
                return False
            time.sleep(LOOK)
        return True

    def wait_for(self, ask, seconds):
        """What @ask() answers when that is something; None when it ends before, or in a hurry."""
        until = time.monotonic() + seconds
        while not self.soak.hurrying.is_set() and time.monotonic() < until:
            answer = ask()
            if answer:
                return answer
            if self.process.poll() is not None:
                return None
            time.sleep(LOOK)
        return None

    def signal(self, number):
        """Not its children: those must notice by themselves."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
            return True
        return False

    # ---- what is done to it ----

    def disturb(self):
        plan = self.plan
        if plan.disturbance == "none" or self.wait(plan.moment * self.usual):
            return
        if plan.disturbance == "worker":
            worker = self.wait_for(lambda: self.soak.journal.worker_of(self.process.pid),
                                   SESSION_SECONDS)
            # Only while it is the client's: its number may be another process's later.
            if worker and self.soak.journal.kill_worker(self.process.pid, worker):
                self.done_to_it = "worker"
        elif plan.disturbance == "cut":
            self.cut()
        elif plan.disturbance in ("pause", "stop, kill"):
            if self.signal(signal.SIGSTOP):
                self.soak.hurrying.wait(plan.stop_seconds)
                if plan.disturbance == "pause":
                    self.signal(signal.SIGCONT)
                else:
                    self.done_to_it = "kill"
                    self.signal(signal.SIGKILL)
        elif self.signal(signal.SIGKILL if plan.disturbance == "kill" else signal.SIGTERM):
            self.done_to_it = plan.disturbance

    def cut(self):
        socks = self.wait_for(
            lambda: connections(self.process.pid, self.soak.server.addresses), SESSION_SECONDS)
        for number, sock in enumerate(socks or ()):
            with sock, contextlib.suppress(OSError):
                if number == 0 or self.plan.cut_all:
                    sock.shutdown(socket.SHUT_RDWR)
                    self.done_to_it = "cut"

    # ---- how it ended ----

    def text(self, file):
        file.seek(0)
        return file.read().decode(errors="replace")

    def run(self):
        """Returns how it ended in a word, and what is wrong with that, or nothing."""
        try:
            self.disturb()
            return self.judge()
        finally:
            with contextlib.suppress(ProcessLookupError):
                end_group(self.process)
            self.out.close()
            self.err.close()

    def judge(self):
        limit = {"": ALONE_SECONDS, "kill": KILL_SECONDS, "terminate": KILL_SECONDS}.get(
            self.done_to_it, max(ERROR_SECONDS, ERROR_RUNS * self.usual))
        if not self.wait(limit):
            if self.soak.hurrying.is_set():
                return "killed at a pause", ""
            worker = self.soak.journal.worker_of(self.process.pid)
            return "hangs", (f"still running {limit:.0f} s later: "
                             + where_it_stands({self.process.pid, worker} - {None}) + self.said())
        return self.judge_end(self.process.returncode, self.text(self.out))

    def judge_end(self, status, out):
        seconds = time.monotonic() - self.begin
        name = self.plan.program
        if self.done_to_it == "kill" and status == -signal.SIGKILL:
            return "killed", ""
        if self.done_to_it == "terminate" and status == -signal.SIGTERM:
            return "killed", ""
        if status == SKIPPED and not self.done_to_it:
            self.soak.skip(name, (out.strip().splitlines() or [""])[-1])
            return "skipped", ""
        if status == 0:
            # Whatever was done to it: one that ends well has the right results.
            if not out.endswith("ok\n"):
                return "wrong", f"exit status 0, but no closing ok:{self.said()}"
            wrong = self.soak.known(name, out, seconds if not self.done_to_it else self.usual)
            return ("wrong" if wrong else "done"), wrong
        if not self.done_to_it:
            if TOO_BUSY.search(self.text(self.err)):
                return "no session in time", ""
            return "wrong", f"{self.how(status)}:{self.said()}"
        if status > 0:
            return "error", ""
        # C++ programs end so at an error that they do not catch.
        if status == -signal.SIGABRT and "terminate called" in self.text(self.err):
            return "error", ""
        if (self.plan.program, -status) in CARELESS:
            return "error", ""
        return "wrong", f"after {self.done_to_it}: {self.how(status)}:{self.said()}"

    @staticmethod
    def how(status):
        return f"exit status {status}" if status >= 0 else f"ended by {signal.Signals(-status).name}"

    def said(self):
        lines = (self.text(self.out) + self.text(self.err)).rstrip().splitlines()[-12:]
        return "".join(f"\n      | {line[:300]}" for line in lines)
