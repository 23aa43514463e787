"""bench/compare as people call it, with a program that pretends to measure."""

import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
import unittest

import made
from comparison import cli, store

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = os.path.join(HERE, "fake_python")
OK, BAD, USAGE, UNCLEAR = 0, 1, 2, 3
SERVER = ("import os,signal,socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1])));"
          "open(sys.argv[2],'w').write(str(os.getpid())); time.sleep(600)")


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="genie-compare-test-")
        self.addCleanup(self.folder.cleanup)

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def call(self, *arguments, status=OK, out="out", settings="native", workloads="mlp", device="cpu"):
        command = list(arguments)
        if not {"--from", "--merge", "--continue"} & set(arguments):
            command += ["--python", FAKE, "--seed", "1", "--workloads", workloads, "--out",
                        self.path(out), "--device", device]
            command += [] if "--ab" in arguments else ["--settings", settings]
        elif "--continue" in arguments:
            command += ["--python", FAKE]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                ended = cli.main("bench/compare", command)
            except SystemExit as end:  # argparse
                ended = end.code
        self.assertEqual(ended, status, said.getvalue())
        return said.getvalue()

    def stored(self, name, **setting_times):
        """A result file made by hand: run medians by setting and block."""
        store.save(self.path(name), made.results(made.blocks(setting_times)))
        return self.path(name)

    def results(self, out="out"):
        return store.load(self.path(out, "results.json"))

    def test_a_comparison(self):
        text = self.call("--baseline", "slow=FAKE_FACTOR=1.5", "--repeats", "2", workloads="mlp,add")
        self.assertIn("1.50 ~[1.50, 1.50]", text)
        found = self.results()
        self.assertEqual(len(found["runs"]), 2 * (1 + 2 * 2))
        self.assertEqual({r["status"] for r in found["runs"]}, {"ok"})
        self.assertEqual(found["sessions"][0]["seed"], 1)
        for name in ("report.md", "ratios.svg"):
            self.assertTrue(os.path.getsize(self.path("out", name)))

    def test_prefix_server_and_port(self):
        """A baseline's command wraps the program, its server is started for each run and ended."""
        pid_file = self.path("pid")
        text = self.call("--repeats", "1", "--baseline", "other=FAKE_PORT={port} env FAKE_FACTOR=2",
                         "--baseline-server", "other=" + shlex.join(
                             [sys.executable, "-c", SERVER, "{port}", pid_file]))
        self.assertIn("2.00 (one run)", text)
        run = next(r for r in self.results()["runs"] if r["setting"] == "other")
        self.assertGreater(run["measured"]["values"]["port"], 1023)
        with open(pid_file, encoding="utf-8") as file:
            self.assertFalse(os.path.exists(f"/proc/{file.read()}"))

    def test_a_server_that_does_not_start(self):
        text = self.call("--repeats", "1", "--baseline", "other=FAKE_PORT={port} env",
                         "--baseline-server", "other=sh -c 'echo no licence >&2; exit 3'", status=BAD)
        self.assertIn("no licence", text)
        self.assertIn("| mlp | 1.00", text)

    def test_failures_do_not_end_the_rest(self):
        text = self.call("--repeats", "1", "--timeout", "30",
                         *(word for how in ("exit", "hang", "kill", "garbage")
                           for word in ("--baseline", f"{how}=FAKE_END={how}")),
                         "--baseline", "none=/no/such/program",
                         "--baseline", "good=FAKE_FACTOR=2", status=BAD)
        for words in ("exit status 1: the fake was told to fail", "still running after 30 s",
                      "SIGSEGV", "its result:", "/no/such/program: No such file", "2.00 (one run)"):
            self.assertIn(words, text)
        self.assertEqual({r["setting"]: r["status"] for r in self.results()["runs"]}, {
            "native": "ok", "exit": "failed", "hang": "timeout", "kill": "failed",
            "garbage": "failed", "none": "failed", "good": "ok"})

    def test_wrong_results_are_found(self):
        text = self.call("--repeats", "1", "--baseline", "wrong=FAKE_WEIGHTS=bb", status=BAD)
        self.assertIn("DIFFERS: weights", text)

    def test_no_gpu(self):
        text = self.call(device="cuda", status=USAGE)
        self.assertIn("PyTorch finds no CUDA device", text)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_slices(self):
        """A slice without time leaves the rest for --continue, which finishes the same plan."""
        text = self.call("--repeats", "2", "--seconds", "0.001", "--baseline", "b=FAKE_FACTOR=2",
                         status=BAD)  # nothing was measured
        first = self.results()
        self.assertEqual([r["status"] for r in first["runs"]], ["not run"] * 5)
        self.assertIn("5 runs are still to be made", text)
        first["runs"][0] = dict(made.run("native"), **{
            name: first["runs"][0][name] for name in ("session", "setting", "repeat", "order", "role")})
        store.save(self.path("out", "results.json"), first)
        self.call("--continue", self.path("out"))
        found = self.results()
        self.assertEqual(len(found["sessions"]), 1)
        self.assertEqual([r["status"] for r in found["runs"]], ["ok"] * 5)
        self.assertIn(first["runs"][0], found["runs"])  # it was not run again

    def test_merge(self):
        a = self.stored("a.json", native=[1.0])
        other = made.results([made.run("native", workload="item", session="s2")],
                             [made.session(["native"], "s2")])
        store.save(self.path("b.json"), other)
        text = self.call("--merge", a, self.path("b.json"), "--out", self.path("both"))
        self.assertIn("| mlp |", text)
        self.assertIn("| item |", text)
        self.assertEqual(len(self.results("both")["sessions"]), 2)
        self.call("--merge", a, status=USAGE)

    def test_ab(self):
        self.call("--ab", "a", "b", "--repeats", "1", "--baseline", "a=FAKE_FACTOR=1.2",
                  "--baseline", "b=FAKE_FACTOR=1")
        self.assertEqual(self.results()["sessions"][0]["ab"], ["a", "b"])
        stored = self.stored("s.json", native=[1.0] * 6, a=[1.2] * 6, b=[1.0] * 6)
        text = self.call("--from", stored, "--ab", "a", "b")
        self.assertIn("## a against b", text)
        self.assertIn("| slower |", text)
        self.assertIn("0.031", text)
        self.call("--ab", "a", "a", "--baseline", "a=FAKE_FACTOR=1", status=USAGE)

    def test_regress(self):
        def against(old, new, *more, status=OK):
            return self.call("--from", self.stored("new.json", native=[1.0] * 6, shm=new),
                             "--regress", self.stored("old.json", native=[1.0] * 6, shm=old), *more,
                             status=status)

        one = [1.0] * 6
        against(one, one)
        against(one, [1.04] * 6)
        self.assertIn("REGRESSION", against(one, [1.06] * 6, status=BAD))
        against(one, [1.06] * 6, "--limit", "10")
        self.assertIn("unclear", against(one, [0.5, 0.6, 0.7, 1.5, 1.6, 1.7], status=UNCLEAR))
        new = self.path("new.json")
        self.call("--from", new, "--regress", self.path("none"), status=USAGE)
        store.save(self.path("item.json"), made.results([made.run("native", workload="item")]))
        self.assertIn("nothing in common", self.call("--from", new, "--regress",
                                                     self.path("item.json"), status=USAGE))

    def test_regress_of_a_run(self):
        self.call("--repeats", "1", "--baseline", "g=FAKE_FACTOR=1", out="old")
        old = self.path("old", "results.json")
        self.call("--repeats", "1", "--baseline", "g=FAKE_FACTOR=1.06", "--regress", old, status=BAD)
        self.call("--repeats", "1", "--baseline", "g=FAKE_END=exit", "--regress", old, status=BAD)

    def test_other_machines_are_not_compared(self):
        self.call("--repeats", "1")
        found = self.results()
        found["sessions"][0]["machine"]["cpu"] = "another"
        store.save(self.path("other.json"), found)
        self.assertIn("other machines", self.call(
            "--from", self.path("out", "results.json"), "--regress", self.path("other.json"),
            status=USAGE))

    def test_wrong_use(self):
        for arguments, words in ((["--seconds", "0"], "not positive"),
                                 (["--seconds", "nan"], "not positive"),
                                 (["--repeats", "0"], "1 to 100000"),
                                 (["--baseline", "x"], "NAME="),
                                 (["--merge", "/none"], "/none")):
            self.assertIn(words, self.call(*arguments, status=USAGE))
        self.assertIn("no workload 'x'", self.call(workloads="x", status=USAGE))
        self.assertIn("no setting 'x'", self.call(settings="x", status=USAGE))
        self.assertIn("build first", self.call(
            "--build", self.path("none"), settings="native,shm", status=USAGE))

    def test_list_and_dry_run(self):
        self.assertIn("resnet50_train", self.call("--list"))
        self.assertIn("(twin)", self.call("--dry-run"))
        self.assertFalse(os.path.exists(self.path("out")))

    def test_document(self):
        self.call("--repeats", "1", "--docs", self.path("performance.md"))
        with open(self.path("performance.md"), encoding="utf-8") as file:
            self.assertIn("Made by:", file.read())
        with open(self.path("performance", "results.json"), encoding="utf-8") as file:
            store.check(json.load(file))
