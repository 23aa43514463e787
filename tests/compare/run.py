#!/usr/bin/env python3
"""Tests of bench/compare, without a GPU and without PyTorch.

    run.py MODULE [BUILD]     stats, store, settings, analysis, report, command, impair, counters
    run.py types              it passes mypy --strict
"""

import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SKIPPED = 77


def check_types():
    environment = dict(os.environ, PYTHONPATH=os.path.join(ROOT, ".deps", "check"))
    mypy = [sys.executable, "-m", "mypy"]
    if subprocess.run(mypy + ["--version"], env=environment, capture_output=True).returncode:
        print("skipped: no mypy (tools/install-deps fetches it)")
        return SKIPPED
    # PyTorch has no part in the check: what workloads inherit from it and get from it is unknown.
    return subprocess.run(mypy + ["--strict", "--cache-dir=/dev/null", "--ignore-missing-imports",
                                  "--allow-subclassing-any", "--allow-untyped-decorators",
                                  "--no-warn-return-any", "-p", "comparison"],
                          env=environment, cwd=os.path.join(ROOT, "bench")).returncode


def main():
    name = sys.argv[1]
    if name == "types":
        return check_types()
    if len(sys.argv) > 2:
        os.environ["COMPARE_BUILD"] = sys.argv[2]  # a build folder, or the program to try
    sys.path[:0] = [os.path.join(ROOT, "bench"), HERE]
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test_{name}")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.testsRun:
        return 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
