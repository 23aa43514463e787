"""From runs to verdicts: ratios within blocks, equality, regressions."""

import unittest

import made
from comparison import analysis, stats


def cell(results, workload, setting):
    return next(c for c in analysis.analyse(results)
                if (c.workload, c.setting) == (workload, setting))


class Ratios(unittest.TestCase):
    def test_within_blocks(self):
        """The machine becomes twice as slow in every block: ratios do not see it."""
        found = cell(made.results(made.blocks({"native": [1, 2, 4, 8, 16, 32],
                                               "shm": [1.1, 2.2, 4.4, 8.8, 17.6, 35.2]})),
                     "mlp", "shm")
        self.assertAlmostEqual(found.ratio.low, 1.1)
        self.assertAlmostEqual(found.ratio.high, 1.1)
        self.assertAlmostEqual(found.device_ratio.estimate, 1.1)

    def test_blocks_of_other_sessions_are_others(self):
        runs = made.blocks({"native": [1.0]}) + made.blocks({"shm": [5.0]}, session_id="s2")
        results = made.results(runs, [made.session(["native", "shm"]),
                                      made.session(["native", "shm"], "s2")])
        self.assertIsNone(cell(results, "mlp", "shm").ratio)

    def test_the_twin_is_not_timed(self):
        results = made.results([made.run("native", role="twin", times=(99.0,)),
                                made.run("native", times=(1.0,))])
        self.assertEqual(cell(results, "mlp", "native").step_ms.estimate, 1.0)

    def test_steps_are_not_runs(self):
        """A thousand equal steps of one process are one value."""
        results = made.results([made.run("native", times=(1.0,) * 1000)])
        self.assertEqual(cell(results, "mlp", "native").step_ms.count, 1)

    def test_a_recording_device_has_no_ratio(self):
        results = made.results([made.run("native"), made.run("shm", computes=False)])
        self.assertIsNone(cell(results, "mlp", "shm").ratio)
        self.assertEqual(cell(results, "mlp", "shm").equality, "counters only")

    def test_figures_and_breakdown(self):
        shm = made.run("shm", genie_window={
            "round_trips": 3, "bytes_sent": 6000, "commands": 300, "sampled_calls": 10,
            "sampled_capture_ns": 500, "sampled_encode_ns": 300, "wait_ns": 9000},
            thread_cpu_s={"genie-send": 3e-6, "python": 5.0},
            server_thread_cpu_s={"genie-bulk-in": 3e-6})
        shm["server_counters"] = {"sampled_commands": 5, "sampled_decode_ns": 250,
                                  "sampled_issue_ns": 5000}
        found = cell(made.results([made.run("native"), shm]), "mlp", "shm")
        self.assertEqual(found.figures["round trips a step"], 1)
        self.assertEqual(found.figures["KB sent a step"], 2)
        # 100 commands a step, each 50 ns capture, 30 encode, 50 decode, 1000 issue.
        for part, want in {"capture": 5, "encode": 3, "decode": 5, "issue": 100, "wait": 3,
                           "transport": 2}.items():
            self.assertAlmostEqual(found.breakdown[part], want, msg=part)


class Equality(unittest.TestCase):
    def verdict(self, *runs, setting="shm"):
        return analysis.equality(made.results(list(runs)))["mlp", setting]

    def test_equal(self):
        self.assertEqual(self.verdict(made.run("native"), made.run("shm")), "equal")
        self.assertEqual(self.verdict(made.run("native"), made.run("native", role="twin"),
                                      setting="native"), "the same every time")
        self.assertEqual(self.verdict(made.run("native"), setting="native"), "run once")

    def test_one_bit(self):
        got = self.verdict(made.run("native"), made.run("native", 1), made.run("shm", weights="ab"))
        self.assertTrue(got.startswith("DIFFERS: weights"), got)
        got = self.verdict(made.run("native"),
                           made.run("shm", losses=("0x1.0000000000001p+0",)))
        self.assertIn("largest relative difference 2.2e-16", got)

    def test_a_later_run_counts_too(self):
        self.assertIn("DIFFERS", self.verdict(made.run("native"), made.run("shm"),
                                              made.run("native", 1),
                                              made.run("shm", 1, weights="ab")))

    def test_missing_is_no_agreement(self):
        shm = made.run("shm")
        del shm["measured"]["hashes"]["weights"]
        self.assertIn("DIFFERS", self.verdict(made.run("native"), shm))

    def test_nondeterministic_natively(self):
        twin = made.run("native", role="twin", weights="zz")
        runs = (twin, made.run("native"), made.run("shm", weights="yy"))
        self.assertEqual(self.verdict(*runs, setting="native"),
                         "differs from run to run: weights")
        self.assertEqual(self.verdict(*runs), "equal but for what differs natively: weights")
        self.assertIn("DIFFERS: losses",
                      self.verdict(*runs[:2], made.run("shm", losses=("0x1p+1",))))

    def test_only_like_is_compared(self):
        other = made.run("shm", times=(1.0,))  # fewer steps
        self.assertEqual(self.verdict(made.run("native"), other), "not compared: no native run")


class Contests(unittest.TestCase):
    def test_a_difference_is_found(self):
        noise = [1.0, 1.02, 0.98, 1.01, 0.99, 1.03, 0.97, 1.0]
        results = made.results(made.blocks({"a": [2 * n for n in noise],
                                            "b": [n * m for n, m in zip(noise, noise[::-1])]}))
        found = analysis.contest(results, "a", "b")[0]
        self.assertEqual(found.word(), "slower")
        self.assertAlmostEqual(found.verdict.p_paired, 2 / 256)
        self.assertEqual(analysis.contest(results, "b", "a")[0].word(), "faster")

    def test_few_blocks_show_nothing(self):
        found = analysis.contest(made.results(made.blocks({"a": [2.0] * 5, "b": [1.0] * 5})),
                                 "a", "b")[0]
        self.assertEqual(found.word(), "not shown to differ")
        self.assertGreater(found.verdict.smallest_p, 0.05)

    def test_many_workloads_are_adjusted(self):
        runs = []
        for i in range(4):
            runs += made.blocks({"a": [2.0] * 6, "b": [1.0] * 6}, f"w{i}")
        found = analysis.contest(made.results(runs), "a", "b")
        self.assertEqual(len(found), 4)
        self.assertAlmostEqual(found[0].adjusted_p, 4 * 2 / 64)
        self.assertEqual(found[0].word(), "not shown to differ")


class Regressions(unittest.TestCase):
    old = made.results(made.blocks({"native": [1.0] * 8, "shm": [1.0, 1.01, 0.99] * 2 + [1, 1]}))

    def verdicts(self, shm, native=None, limit=0.05):
        new = made.results(made.blocks({"native": native or [1.0] * len(shm), "shm": shm}))
        return [c.verdict for c in analysis.regress(new, self.old, limit)]

    def test_verdicts(self):
        self.assertEqual(self.verdicts([1.02] * 8), ["ok"])
        self.assertEqual(self.verdicts([1.10, 1.11] * 4), ["REGRESSION"])
        self.assertEqual(self.verdicts([0.9] * 8), ["faster"])
        self.assertEqual(self.verdicts([1.10, 1.11] * 4, limit=0.2), ["ok"])

    def test_noise_is_unclear(self):
        self.assertEqual(self.verdicts([0.6, 0.7, 0.8, 1.06, 1.07, 2.0, 2.1, 2.2]), ["unclear"])

    def test_a_slower_machine_is_no_regression(self):
        self.assertEqual(self.verdicts([2.0] * 8, [2.0] * 8), ["ok"])

    def test_what_does_not_run_any_more(self):
        new = made.results(made.blocks({"native": [1.0] * 8}) + [made.failed("shm")])
        self.assertEqual([c.verdict for c in analysis.regress(new, self.old, 0.05)], ["gone"])

    def test_what_was_not_asked_for(self):
        new = made.results(made.blocks({"native": [1.0] * 8}, "item"))
        self.assertEqual(analysis.regress(new, self.old, 0.05), [])

    def test_without_native_times_are_compared(self):
        old = made.results(made.blocks({"shm": [1.0] * 6}))
        new = made.results(made.blocks({"shm": [1.2] * 6}))
        found = analysis.regress(new, old, 0.05)[0]
        self.assertEqual((found.what, found.verdict), ("step time", "REGRESSION"))
        self.assertEqual(found.change, stats.Interval(1.2, 1.2, 1.2, 6, 0.95))

    def test_machines(self):
        self.assertEqual(analysis.same_machine(self.old, self.old), "")
        other = made.results(made.blocks({"shm": [1.0]}), [made.session(
            ["shm"], machine={"cpu": "another", "gpu": {"name": "X"}})])
        self.assertIn("other machines", analysis.same_machine(other, self.old))
