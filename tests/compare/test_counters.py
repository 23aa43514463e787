"""The counters that a breakdown is made of: of a program that only makes calls, on the recording
device."""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

from comparison import runner

BUILD = os.environ.get("COMPARE_BUILD", "")
READ = """
import ctypes
library = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(b"x" * 70000)
length = library.genieStatsRead(buffer, ctypes.c_size_t(65536))
assert length == len(buffer.value), (length, len(buffer.value))
print(buffer.value.decode())
for size in (0, 1, 100, length):  # no room for the zero at its end
    assert library.genieStatsRead(buffer, ctypes.c_size_t(size)) == -1, size
assert library.genieStatsRead(buffer, ctypes.c_size_t(length + 1)) == length
"""


class Counters(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="genie-counters-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.library = runner.find_built(BUILD, "libgenie.so")

    def through(self, transport, env=None):
        where = f"shm:{self.folder}/socket" if transport == "shm" else "tcp://127.0.0.1:0"
        server = runner.Helper([runner.find_built(BUILD, "genied"), "--device", "record", "--listen",
                                where], self.folder + "/log",
                               {"GENIED_STATS": self.folder + "/server-%p.json"}, ready=True)
        try:
            subprocess.run([runner.find_built(BUILD, "bench-calls")], check=True, timeout=100,
                           capture_output=True,
                           env={**os.environ, "LD_PRELOAD": self.library,
                                "GENIE_SERVER": server.first_line(),
                                "GENIE_STATS": self.folder + "/client.json", **(env or {})})
            deadline = time.monotonic() + 20
            while not self.server_files() and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            server.stop()
        found = []
        for name in ["client.json", *self.server_files()]:
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                found.append(json.load(file))
        return found

    def server_files(self):
        return [n for n in os.listdir(self.folder) if n.startswith("server-") and n.endswith("json")]

    def check(self, client, server):
        # One call in 128: of 400,000 the number is nearly certain to 10 %.
        calls = client["async_calls"]
        self.assertGreater(calls, 300000)
        self.assertTrue(0.9 < client["sampled_calls"] * 128 / calls < 1.1, client)
        # What is faster than a nanosecond or slower than a millisecond was not measured.
        for what in ("sampled_capture_ns", "sampled_encode_ns"):
            self.assertTrue(1 <= client[what] / client["sampled_calls"] < 1e6, client)
        self.assertEqual(client["wait_ns"], sum(client[f"wait_{why}_ns"] for why in
                                                ("progress", "reply", "room", "bulk")))
        self.assertGreater(client["wait_ns"], 1000 * client["round_trips"] // 10)
        self.assertTrue(0.9 < server["sampled_commands"] * 64 / server["commands"] < 1.1, server)
        self.assertGreaterEqual(server["commands"], calls)
        for what in ("sampled_decode_ns", "sampled_issue_ns"):
            self.assertTrue(1 <= server[what] / server["sampled_commands"] < 1e7, server)

    def test_shm(self):
        self.check(*self.through("shm"))

    def test_tcp(self):
        self.check(*self.through("tcp"))

    def test_read_while_it_runs(self):
        done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True,
                              timeout=60, env={**os.environ, "LD_PRELOAD": self.library})
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(found["sampled_calls"], 0)
        self.assertEqual(found["transport"], "none")

    def test_without_genie_there_is_nothing_to_read(self):
        self.assertFalse(hasattr(ctypes.CDLL(None), "genieStatsRead"))
