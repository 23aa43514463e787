"""What is read is checked, and what is put together is all there."""

import copy
import json
import os
import tempfile
import unittest

import made
from comparison import store


class Checks(unittest.TestCase):
    def setUp(self):
        self.results = made.results([made.run("native"), made.failed("shm")])

    def refused(self, words, change):
        bad = copy.deepcopy(self.results)
        change(bad)
        with self.assertRaises(store.Bad) as caught:
            store.check(bad)
        self.assertIn(words, str(caught.exception))

    def test_good(self):
        store.check(self.results)

    def test_each_field_is_needed(self):
        for name in store.RUN:
            self.refused(f"run 0 has no {name}", lambda r: r["runs"][0].pop(name))
        for name in store.SESSION:
            self.refused(f"session 0 has no {name}", lambda r: r["sessions"][0].pop(name))
        for name in store.MEASURED:
            self.refused(f"run 0 has no {name}", lambda r: r["runs"][0]["measured"].pop(name))

    def test_wrong_values(self):
        def put(name, value):
            return lambda r: r["runs"][0]["measured"].__setitem__(name, value)

        for value in ([], [-1], [float("nan")], ["1"], [True], "1", None):
            self.refused("step_wall_ms is not what it should be", put("step_wall_ms", value))
        self.refused("as many device times", put("step_device_ms", [1.0]))
        self.refused("import_s is not", put("import_s", float("inf")))
        self.refused("losses is not", put("losses", [1.0]))
        self.refused("values is not", put("values", {"x": "1"}))
        self.refused("status is not", lambda r: r["runs"][0].update(status="fine"))
        self.refused("does not go with", lambda r: r["runs"][1].update(status="ok"))
        self.refused("belongs to no session", lambda r: r["runs"][0].update(session="other"))
        self.refused("a setting that its session does not have",
                     lambda r: r["runs"][0].update(setting="tcp"))
        self.refused("version 2", lambda r: r.update(version=2))
        self.refused("not a file of bench/compare", lambda r: r.update(format="x"))
        self.refused("twice", lambda r: r["sessions"].append(r["sessions"][0]))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.json")
            store.save(path, self.results)
            self.assertEqual(store.load(path), self.results)
            self.assertEqual(os.listdir(folder), ["results.json"])
            for text in ("", "{", "[]", '"x"', "[" * 100000, "\xff"):
                with open(path, "w", encoding="latin-1") as file:
                    file.write(text)
                self.assertRaises(store.Bad, store.load, path)
            self.assertRaises(store.Bad, store.load, folder)
            self.assertRaises(store.Bad, store.save, os.path.join(folder, "no", "such"),
                              self.results)

    def test_not_written_when_wrong(self):
        self.results["runs"][0]["measured"]["step_wall_ms"] = [float("nan")]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.json")
            self.assertRaises(store.Bad, store.save, path, self.results)
            self.assertEqual(os.listdir(folder), [])


class Merging(unittest.TestCase):
    def test_two_sessions(self):
        a = made.results([made.run("native"), made.run("shm")])
        b = made.results([made.run("native", session="s2")], [made.session(["native"], "s2")])
        both = store.merge([b, a])
        self.assertEqual([s["id"] for s in both["sessions"]], ["s1", "s2"])
        self.assertEqual(len(both["runs"]), 3)
        store.check(both)

    def test_continued_session(self):
        first = made.results([made.run("native"), made.failed("shm")])
        second = made.results([made.run("native"), made.run("shm", times=(2.0,))])
        both = store.merge([first, second])
        self.assertEqual([r["status"] for r in both["runs"]], ["ok", "ok"])
        self.assertEqual(store.merge([second, first]), both)

    def test_idempotent(self):
        one = made.results([made.run("native"), made.run("shm")])
        self.assertEqual(store.merge([one, one]), store.merge([one]))

    def test_conflicts(self):
        one = made.results([made.run("native")])
        other = made.results([made.run("native", times=(9.0,))])
        self.assertRaises(store.Bad, store.merge, [one, other])
        other = copy.deepcopy(one)
        other["sessions"][0]["seed"] = 2
        self.assertRaises(store.Bad, store.merge, [one, other])

    def test_json_is_plain(self):
        one = made.results([made.run("native")])
        json.dumps(store.merge([one]), allow_nan=False)
