"""Tables, plots and the document that is made of them."""

import os
import tempfile
import unittest
import xml.etree.ElementTree as xml

import made
from comparison import analysis, docs, plot, report, stats


def some_results():
    runs = made.blocks({"native": [1.0, 1.1, 1.2], "shm": [1.0, 1.2, 1.3]})
    runs += [made.run("native", workload="item", samples_us={"item": [5.0, 6.0, 7.0]}),
             made.run("shm", workload="item", samples_us={"item": [7.0, 8.0, 900.0]},
                      values={"rate, GiB/s": 2.5},
                      genie_window={"round_trips": 300, "wait_ns": 6000, "launches": 0})]
    runs.append(made.failed("shm", workload="mlp", repeat=7, reason="a | b"))
    found = made.results(runs)
    found["sessions"][0]["settings"]["shm"]["achieved"] = {"round_trip_us": 21.5,
                                                           "bits_per_second": 24e9}
    return found


class Words(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual([report.number(v) for v in (None, 0, 1.23456, 1234.5678, 12.345, 0.0000123)],
                         ["–", "0.00", "1.23", "1,235", "12.3", "1.2e-05"])

    def test_intervals(self):
        self.assertEqual(report.shown(stats.Interval(1.5, 1, 2, 8, 0.95)), "1.50 [1.00, 2.00]")
        self.assertEqual(report.shown(stats.Interval(1.5, 1, 2, 3, 0.75)), "1.50 ~[1.00, 2.00]")
        self.assertEqual(report.shown(stats.Interval(1.5, 1.5, 1.5, 1, 0)), "1.50 (one run)")
        self.assertEqual(report.shown(None), "–")


class Tables(unittest.TestCase):
    def test_everything_is_there(self):
        text = report.markdown(some_results())
        for words in ("| mlp | 1.10 ~[1.00, 1.20] | 1.08 ~[1.00, 1.09] |", "| item |",
                      "8.00 / 722 / 882", "- mlp, shm, repeat 7: failed: a | b", "round trips a step",
                      "rate, GiB/s", "no GPU", "seed 1", "torch 2.11",
                      "raw TCP over the proxy had 21.5 µs and 24.0 Gb/s"):
            self.assertIn(words, text)
        for line in text.splitlines():
            if line.startswith("|"):
                self.assertTrue(line.endswith("|"))

    def test_every_row_has_all_columns(self):
        width = 0
        for line in report.markdown(some_results()).splitlines():
            count = line.replace("\\|", "").count("|") if line.startswith("|") else 0
            if count and width:
                self.assertEqual(count, width, line)
            width = count

    def test_nothing_measured(self):
        self.assertIn("Runs that failed", report.markdown(made.results([made.failed("shm")])))

    def test_contests(self):
        results = made.results(made.blocks({"a": [2.0] * 3, "b": [1.0] * 3}))
        text = "\n".join(report.ab_table(analysis.contest(results, "a", "b"), "a", "b"))
        self.assertIn("not shown to differ", text)
        self.assertIn("more --repeats", text)


class Plots(unittest.TestCase):
    def parse(self, text):
        root = xml.fromstring(text)
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        return root

    def test_bars_have_their_length(self):
        text = plot.bars("a < b & c", [("x", [plot.Bar("one", 1.0), plot.Bar("two", 2.0, 1.5, 2.5)]),
                                       ("y", [None, plot.Bar("three", 1.0)])], ["p", "q"], "ratio", 1)
        root = self.parse(text)
        widths = [float(r.get("width")) for r in root.iter("{http://www.w3.org/2000/svg}rect")
                  if r.find("{http://www.w3.org/2000/svg}title") is not None]
        self.assertEqual(len(widths), 3)
        self.assertAlmostEqual(widths[1] / widths[0], 2, 1)
        self.assertIn("a < b & c", root.find("{http://www.w3.org/2000/svg}title").text)

    def test_one_huge_value_does_not_hide_the_others(self):
        rows = [(str(i), [plot.Bar("", 1.0)]) for i in range(9)] + [("far", [plot.Bar("", 1e6)])]
        root = self.parse(plot.bars("t", rows, ["a"], "x"))
        widths = sorted(float(r.get("width")) for r in root.iter("{http://www.w3.org/2000/svg}rect")
                        if r.find("{http://www.w3.org/2000/svg}title") is not None)
        self.assertGreater(widths[0], 50)
        self.assertIn("1e+06", "".join(root.itertext()))

    def test_empty(self):
        for text in (plot.bars("t", [], [], ""), plot.stacked("t", [], [], ""),
                     plot.stacked("t", [("a", [0.0])], ["x"], ""), plot.curves("t", [("a", [])], "")):
            self.assertIn("no values", text)
            self.parse(text)

    def test_curves_and_stacks(self):
        self.parse(plot.curves("t", [("a", [1.0, 2.0, 3.0]), ("b", [5.0])], "µs"))
        self.parse(plot.stacked("t", [("a", [1.0, 2.0])], ["x", "y"], "µs"))

    def test_ticks(self):
        self.assertEqual(plot.ticks(0, 1, 5), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0])
        self.assertEqual(plot.ticks(0, 60, 6), [0, 10, 20, 30, 40, 50, 60])

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            made_plots = report.write_plots(some_results(), folder)
            self.assertEqual(sorted(made_plots.values()), sorted(os.listdir(folder)))
            self.assertIn("ratios.svg", os.listdir(folder))
            self.assertIn("item.svg", os.listdir(folder))
            for name in os.listdir(folder):
                self.parse(open(os.path.join(folder, name), encoding="utf-8").read())


class Document(unittest.TestCase):
    def test_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "performance.md")
            results = some_results()
            results["sessions"][0]["command"] = ["bench/compare", "--workloads", "mlp,item"]
            docs.write(path, results)
            text = open(path, encoding="utf-8").read()
            self.assertIn("bench/compare --workloads mlp,item", text)
            self.assertIn("## Step time, ratio to native", text)
            for part in text.split("](")[1:]:
                target = part.split(")")[0]
                if not target.startswith("http"):
                    self.assertTrue(os.path.exists(os.path.join(folder, target)), target)
