"""What people type for settings and baselines, and the order of runs."""

import unittest

from comparison import plan, settings
from comparison.settings import Wrong, parse_baselines, parse_setting


class Settings(unittest.TestCase):
    def test_each(self):
        self.assertEqual(parse_setting("native").kind, "native")
        shm = parse_setting("shm")
        self.assertEqual((shm.kind, shm.transport, shm.env), ("genie", "shm", {}))
        self.assertEqual(parse_setting("tcp:sync").env, {"GENIE_SYNC": "1"})
        self.assertTrue(parse_setting("shm:cold").cold)
        several = parse_setting("tcp@25gbit/20us:sync:build=/tmp/x:GENIE_PERF=no_inline,no_cache")
        self.assertEqual(several.impairment, settings.Impairment(25e9, 20e-6))
        self.assertEqual(several.build, "/tmp/x")
        self.assertEqual(several.env, {"GENIE_SYNC": "1", "GENIE_PERF": "no_inline,no_cache"})
        self.assertEqual(parse_setting("native:OMP_NUM_THREADS=1").env, {"OMP_NUM_THREADS": "1"})
        self.assertEqual(settings.parse_impairment("1.5mbit/2ms"),
                         settings.Impairment(1.5e6, 2e-3))

    def test_wrong(self):
        for text in ("", "rdma", "shm@25gbit/20us", "tcp@", "tcp@25gbit", "tcp@25/20us",
                     "tcp@0gbit/20us", "tcp@25gbit/20", "native:sync", "native:cold", "shm:fast",
                     "shm:GENIE_SERVER=x", "shm:LD_PRELOAD=x", "native@25gbit/20us",
                     "tcp@-1gbit/20us", "tcp@1e9gbit/1us", "shm:1X=2"):
            with self.assertRaises(Wrong, msg=text):
                parse_setting(text)

    def test_describe_is_enough_to_know_it(self):
        self.assertEqual(parse_setting("tcp@1gbit/1ms:cold").describe(), {
            "kind": "genie", "env": {}, "transport": "tcp", "rate_bits": 1e9,
            "round_trip_s": 1e-3, "cold": True})


class Baselines(unittest.TestCase):
    def test_command_lines(self):
        found = parse_baselines(
            ["rcuda=RCUDA_DEVICE_COUNT=1 RCUDA_DEVICE_0=127.0.0.1:{port} LD_LIBRARY_PATH='/opt/r c'",
             "other=wrap --to '{port}' --"],
            ["rcuda=/opt/rCUDA/bin/rCUDAd -p {port}"])
        rcuda, other = found["rcuda"], found["other"]
        self.assertEqual(rcuda.env, {"RCUDA_DEVICE_COUNT": "1",
                                     "RCUDA_DEVICE_0": "127.0.0.1:{port}",
                                     "LD_LIBRARY_PATH": "/opt/r c"})
        self.assertEqual(rcuda.prefix, [])
        self.assertEqual(rcuda.server, ["/opt/rCUDA/bin/rCUDAd", "-p", "{port}"])
        self.assertEqual(other.prefix, ["wrap", "--to", "{port}", "--"])
        self.assertTrue(settings.needs_port(other))
        self.assertEqual(settings.fill_in(other.prefix, 7), ["wrap", "--to", "7", "--"])
        self.assertIs(parse_setting("rcuda", found), rcuda)

    def test_a_variable_after_the_command_is_an_argument(self):
        found = parse_baselines(["x=A=1 env B=2 run"], [])
        self.assertEqual((found["x"].env, found["x"].prefix),
                         ({"A": "1"}, ["env", "B=2", "run"]))

    def test_wrong(self):
        for commands, servers in (([""], []), (["x"], []), (["x="], []), (["native=A=1"], []),
                                  (["x=A=1", "x=A=2"], []), (["x='"], []), ([], ["x=run"]),
                                  (["x=A=1"], ["x="]), (["a b=A=1"], [])):
            with self.assertRaises(Wrong, msg=(commands, servers)):
                parse_baselines(commands, servers)


class Plans(unittest.TestCase):
    workloads = ["a", "b", "c"]
    settings = ["native", "shm", "tcp"]

    def test_complete_and_repeatable(self):
        steps = plan.make(self.workloads, self.settings, 4, 9)
        self.assertEqual(steps, plan.make(self.workloads, self.settings, 4, 9))
        self.assertNotEqual(steps, plan.make(self.workloads, self.settings, 4, 10))
        measured = [s for s in steps if s.role == "measure"]
        self.assertEqual(len({(s.workload, s.setting, s.repeat) for s in measured}), 36)
        self.assertEqual(len(measured), 36)
        self.assertEqual([s.order for s in steps], list(range(len(steps))))

    def test_blocks_lie_together(self):
        steps = [s for s in plan.make(self.workloads, self.settings, 3, 1) if s.role == "measure"]
        for i in range(0, len(steps), 3):
            self.assertEqual(len({(s.workload, s.repeat) for s in steps[i:i + 3]}), 1)
            self.assertEqual({s.setting for s in steps[i:i + 3]}, set(self.settings))

    def test_the_twin_is_first_of_its_workload(self):
        steps = plan.make(self.workloads, self.settings, 2, 3)
        for name in self.workloads:
            own = [s for s in steps if s.workload == name]
            self.assertEqual([s.role for s in own].count("twin"), 1)
            self.assertEqual((own[0].role, own[0].setting), ("twin", "native"))
        self.assertFalse([s for s in plan.make(["a"], ["shm"], 1, 1) if s.role == "twin"])

    def test_every_order_occurs(self):
        """Shuffled, not rotated: each setting is first about as often as another."""
        first = [0, 0, 0]
        for seed in range(300):
            step = plan.make(["a"], self.settings, 1, seed)[1]
            first[self.settings.index(step.setting)] += 1
        self.assertTrue(all(70 <= n <= 130 for n in first), first)
