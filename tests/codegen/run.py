#!/usr/bin/env python3
"""Tests of the generator.

    run.py golden      good/ generates exactly golden/ (run.py update rewrites golden/)
    run.py bad         every bad/*.sem, *.api, *.txt is refused with the words of its .err file
    run.py self        this harness notices a wrong golden and an accepted mistake
    run.py names LIB   the generated export list holds every name of the driver of CUDA 13.0
                       (driver_names.txt), which are those of its stub library LIB if that is here
    run.py kinds       the generator and base/token.h know the same kinds of handles
    run.py nvml NVML_H api/nvml.h agrees with the vendor's header
    run.py headers GENERATED CUDA_INCLUDE  every header of api/ and wire/ compiles by itself
    run.py types       the generator passes mypy --strict
Exit status: 0 pass, 1 fail, 77 skip.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Tuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
API = ROOT / "api"
sys.path.insert(0, str(API / "gen"))

from geniegen.main import main as geniegen_main  # noqa: E402
from geniegen.model import KINDS  # noqa: E402

SKIP = 77
WHEELS = ROOT / ".deps/check"  # what tools/install-deps fetched for tests


def generate(api: Path, out: Path) -> Tuple[int, str]:
    """Exit status and messages of the generator, run in this process: there are many mistakes."""
    messages = io.StringIO()
    with contextlib.redirect_stderr(messages):
        status = geniegen_main([str(api), str(out)])
    return status, messages.getvalue()


def compare(got: Path, want: Path) -> List[str]:
    """Names of files that differ or are only on one side."""
    names = {p.name for p in got.iterdir()} | {p.name for p in want.iterdir()}
    return sorted(n for n in names if not (got / n).exists() or not (want / n).exists()
                  or (got / n).read_text() != (want / n).read_text())


def golden(want: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        status, error = generate(HERE / "good", Path(folder))
        if status:
            print(error)
            return 1
        first = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
        generate(HERE / "good", Path(folder))
        if first != {p.name: p.read_bytes() for p in Path(folder).iterdir()}:
            print("two runs differ")
            return 1
        different = compare(Path(folder), want)
        for name in different:
            subprocess.run(["diff", "-u", str(want / name), str(Path(folder) / name)])
    print(f"golden: {len(first)} files, {len(different)} differ")
    return 1 if different else 0


def update() -> int:
    shutil.rmtree(HERE / "golden", ignore_errors=True)
    return generate(HERE / "good", HERE / "golden")[0]


def refusal(mistake: Path) -> str:
    """What the generator says when the files of bad/NAME replace those of good/."""
    with tempfile.TemporaryDirectory() as folder:
        api = Path(folder) / "api"
        shutil.copytree(HERE / "good", api)
        for name in mistake.iterdir():
            if name.name != "err":
                shutil.copy(name, api / name.name)
        status, error = generate(api, Path(folder) / "out")
    return error.strip() if status == 1 else f"exit status {status}: {error.strip()}"


def bad() -> int:
    failed = 0
    mistakes = sorted(p for p in (HERE / "bad").iterdir() if p.is_dir())
    for mistake in mistakes:
        want = (mistake / "err").read_text().strip()
        got = refusal(mistake)
        if got != want:
            failed += 1
            print(f"{mistake.name}:\n  want {want}\n  got  {got}")
    print(f"bad: {len(mistakes)} mistakes, {failed} not refused as they should be")
    return 1 if failed or not mistakes else 0


def self_test() -> int:
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / "golden"
        shutil.copytree(HERE / "golden", wrong)
        (wrong / "genie_ops.h").write_text("enum genie_op { };\n")
        if golden(wrong) == 0:
            print("a wrong golden was accepted")
            return 1
        fine = Path(folder) / "fine"
        fine.mkdir()
        shutil.copy(HERE / "good/cuda.sem", fine)
        if not refusal(fine).startswith("exit status 0"):
            print("a correct description was refused")
            return 1
    return 0


def names(library: Path) -> int:
    want = set((HERE / "driver_names.txt").read_text().split())
    with tempfile.TemporaryDirectory() as folder:
        if generate(API, Path(folder))[0]:
            return 1
        exported = (Path(folder) / "libgenie.map").read_text()
    got = {line.strip(" \t;") for line in exported.splitlines() if line.startswith("\t\tcu")}
    got -= set((API / "exports.txt").read_text().split())
    # those of cudaGL.h, cudaEGL.h and cudaVDPAU.h: the library that programs are linked with at
    # build time has none of them
    graphics = set((HERE / "graphics_names.txt").read_text().split())
    print(f"names: {len(want)} in the driver, {len(graphics)} for graphics, {len(got)} described")
    wrong = (want | graphics) ^ got
    if library.exists() and cuda_version(library.parents[2]) == 13000:
        text = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True,
                              text=True, check=True).stdout
        wrong |= want ^ {line.split()[-1] for line in text.splitlines() if " T " in line}
    for name in sorted(wrong):
        print("only on one side:", name)
    return 1 if wrong else 0


def cuda_version(root: Path) -> int:
    found = re.search(r"^#define CUDA_VERSION (\d+)", (root / "include/cuda.h").read_text(), re.M)
    return int(found.group(1)) if found else 0


def kinds() -> int:
    text = (ROOT / "base/token.h").read_text()
    want = [k.lower() for k in re.findall(r"GENIE_KIND_(\w+) = \d+", text) if k != "NONE"]
    for name in sorted(set(want) ^ set(KINDS)):
        print("only on one side:", name)
    return 1 if set(want) != set(KINDS) else 0


def nvml(header: Path) -> int:
    fetched = WHEELS / "nvidia/cu13/include/nvml.h"
    header = fetched if fetched.exists() else header
    if not header.exists():
        print("skipped: no nvml.h of the vendor (tools/install-deps fetches it)")
        return SKIP
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "layout")
        for flags in ([f"-I{ROOT}"], ["-DVENDOR", f"-I{header.parent}"]):
            subprocess.run(["cc", str(HERE / "nvml_layout.c"), "-o", program] + flags, check=True)
            answers.append(subprocess.run([program], capture_output=True, text=True,
                                          check=True).stdout.splitlines())
    for ours, theirs in zip(*answers):
        if ours != theirs:
            print(f"ours {ours}, the vendor's {theirs}")
    return 0 if answers[0] == answers[1] else 1


def headers(generated: Path, cuda: Path) -> int:
    failed = 0
    found = [p for d in (API, ROOT / "wire", generated) for p in sorted(d.glob("*.h"))]
    for header in found:
        done = subprocess.run(
            ["cc", "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c", "-",
             "-D_GNU_SOURCE", "-D__CUDA_API_VERSION_INTERNAL", "-isystem", str(cuda),
             f"-I{ROOT}", f"-I{generated}"],
            input=f'#include "{header}"\n#include "{header}"\n', capture_output=True, text=True)
        if done.returncode:
            failed += 1
            print(done.stderr)
    print(f"headers: {len(found)}, {failed} do not compile by themselves")
    return 1 if failed or not found else 0


def types() -> int:
    environment = {**os.environ, "MYPYPATH": str(API / "gen"), "PYTHONPATH": str(WHEELS)}
    mypy = [sys.executable, "-m", "mypy"]
    if subprocess.run(mypy + ["--version"], env=environment, capture_output=True).returncode:
        print("skipped: no mypy (tools/install-deps fetches it)")
        return SKIP
    return subprocess.run(mypy + ["--strict", "--cache-dir=/dev/null", str(API / "gen/geniegen"),
                                  str(API / "gen/extract.py"), str(HERE / "run.py")],
                          env=environment).returncode


def main(argv: List[str]) -> int:
    if argv[1:] == ["golden"]:
        return golden(HERE / "golden")
    if argv[1:] == ["update"]:
        return update()
    if argv[1:] == ["bad"]:
        return bad()
    if argv[1:] == ["self"]:
        return self_test()
    if argv[1:] == ["types"]:
        return types()
    if argv[1:] == ["kinds"]:
        return kinds()
    if len(argv) == 4 and argv[1] == "headers":
        return headers(Path(argv[2]), Path(argv[3]))
    if len(argv) == 3 and argv[1] == "nvml":
        return nvml(Path(argv[2]))
    if len(argv) == 3 and argv[1] == "names":
        return names(Path(argv[2]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
