"""Command line: genie-gen API_DIR OUT_DIR [--check]."""

import argparse
import sys
from pathlib import Path
from typing import Callable, Dict, List

from . import emit_client, emit_desc, emit_headers, emit_roundtrip, emit_worker
from .check import check
from .model import CLASSES, Function, Spec, SpecError
from .parse import (parse_api, parse_exports, parse_opcodes, parse_sem, parse_types,
                    parse_versions)

LIBRARIES = ["genie", "native", "cuda", "nvml"]

OUTPUTS: Dict[str, Callable[[Spec], List[str]]] = {
    "genie_ops.h": emit_headers.emit_ops,
    "genie_args.h": emit_headers.emit_args,
    "genie_driver.h": emit_headers.emit_driver,
    "genie_driver.c": emit_headers.emit_driver_c,
    "genie_impl.h": emit_headers.emit_impl,
    "genie_exec.h": emit_headers.emit_exec,
    "genie_nvml_types.h": emit_headers.emit_nvml_types,
    "genie_desc.c": emit_desc.emit_desc,
    "genie_stubs.c": lambda spec: emit_client.emit_stubs(spec, "cuda"),
    "genie_nvml_stubs.c": lambda spec: emit_client.emit_stubs(spec, "nvml"),
    "genie_procs.c": emit_client.emit_procs,
    "genie_info.c": emit_client.emit_info,
    "libgenie.map": emit_client.emit_map,
    "genie_thunks.c": emit_worker.emit_thunks,
    "genie_roundtrip.c": emit_roundtrip.emit_roundtrip,
}


def load(api: Path) -> Spec:
    """Reads and checks a folder; a library whose .api file is missing is left out."""
    functions: List[Function] = []
    present = [name for name in LIBRARIES if (api / f"{name}.api").exists()]
    for name in present:
        functions += parse_api(api / f"{name}.api", name)
    for name in present:
        own = {f.name: f for f in functions if f.library == name}
        parse_sem(api / f"{name}.sem", own)
    by_name = {f.name: f for f in functions}
    parse_opcodes(api / "opcodes.txt", by_name)
    versions = parse_versions(api / "versions.txt", by_name)
    types = api / "nvml-types.txt"
    spec = Spec(functions, versions, parse_exports(api / "exports.txt"),
                parse_types(types) if types.exists() else [])
    check(spec, api / "opcodes.txt")
    return spec


def write_if_changed(path: Path, text: str) -> None:
    """An unchanged file keeps its time, so that nothing is compiled again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="genie-gen", description=__doc__)
    parser.add_argument("api", type=Path, help="folder with the *.api and *.sem files")
    parser.add_argument("out", type=Path, nargs="?", help="folder for the generated files")
    parser.add_argument("--check", action="store_true", help="only check; write nothing")
    parser.add_argument("--summary", action="store_true", help="print how many of each class")
    options = parser.parse_args(argv)
    try:
        spec = load(options.api)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    if options.summary:
        print(summary(spec))
    if not options.check and options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, emit in OUTPUTS.items():
            write_if_changed(options.out / name, "\n".join(emit(spec)) + "\n")
    return 0


def summary(spec: Spec) -> str:
    lines = []
    for library in LIBRARIES:
        functions = spec.of(library)
        counts = {cls: sum(f.cls == cls for f in functions)
                  for cls in CLASSES}
        counts["alias"] = sum(bool(f.alias) for f in functions)
        counts["by hand"] = sum(f.by_hand for f in functions)
        counts["on the wire"] = sum(f.on_wire for f in functions)
        text = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        lines.append(f"{library}: {len(functions)} functions: {text}")
    return "\n".join(lines)
