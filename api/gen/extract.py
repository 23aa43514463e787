#!/usr/bin/env python3
"""Reads public headers and writes what the generator starts from.

    extract.py cuda CUDA_ROOT OUT_DIR   cuda.api and versions.txt, from cuda.h, cudaGL.h and the
                                        like, and their …Typedefs.h
    extract.py nvml NVML_H    OUT_DIR   nvml.api and nvml-types.txt, from nvml.h

Run by hand when a new CUDA release is taken in; its output is in git, so that a build needs
neither this program nor more of the toolkit than its headers.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

CUDA_HEADERS = ["cuda.h", "cudaProfiler.h", "cudaTypedefs.h", "cudaProfilerTypedefs.h"]

# The driver exports what these declare, the toolkit's stub library does not.
GRAPHICS_HEADERS = ["vdpau/vdpau.h", "cudaGL.h", "cudaEGL.h", "cudaVDPAU.h", "cudaGLTypedefs.h",
                    "cudaEGLTypedefs.h", "cudaVDPAUTypedefs.h"]

# What those need of headers that no CUDA toolkit has; api/graphics.h says the same.
GRAPHICS_STANDINS = {
    "GL/gl.h": "typedef unsigned int GLenum; typedef unsigned int GLuint;",
    "EGL/egl.h": "#include <stdint.h>\ntypedef int32_t EGLint;",
    "EGL/eglext.h": "typedef void *EGLImageKHR; typedef void *EGLStreamKHR; "
                    "typedef void *EGLSyncKHR;",
    "vdpau/vdpau.h": "#include <stdint.h>\ntypedef uint32_t VdpDevice; "
                     "typedef uint32_t VdpVideoSurface; typedef uint32_t VdpOutputSurface; "
                     "typedef int VdpGetProcAddress(VdpDevice, uint32_t, void **);",
}


@dataclass(frozen=True)
class Prototype:
    ret: str
    name: str
    params: Tuple[Tuple[str, str], ...]

    def line(self) -> str:
        args = ", ".join(join_param(t, n) for t, n in self.params) or "void"
        return f"{join_param(self.ret, self.name)}({args})"


def join_param(ctype: str, name: str) -> str:
    """A declaration: no space after a star, as the rest of the project writes it."""
    return f"{ctype}{name}" if ctype.endswith("*") else f"{ctype} {name}"


def write_standins(folder: Path) -> None:
    for name, text in GRAPHICS_STANDINS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text + "\n")


def preprocess(include: Path, headers: List[str], defines: List[str]) -> str:
    """The headers as the compiler sees them: no comments, no macros, one token stream."""
    text = "".join(f"#include <{h}>\n" for h in headers)
    with tempfile.TemporaryDirectory() as standins:
        write_standins(Path(standins))
        command = ["cc", "-E", "-P", "-x", "c", "-", f"-I{include}", f"-I{standins}"]
        return subprocess.run(command + [f"-D{d}" for d in defines], input=text,
                              capture_output=True, text=True, check=True).stdout


def parse_params(text: str) -> Tuple[Tuple[str, str], ...]:
    text = text.strip()
    if text in ("", "void"):
        return ()
    params = []
    for part in text.split(","):
        part = re.sub(r"\s+", " ", part.strip())
        array = re.search(r"\[\w*\]$", part)
        if array:  # an array parameter is a pointer
            part = part[: array.start()]
        match = re.match(r"(.*?[\s*])(\w+)$", part)
        if not match:
            raise SystemExit(f"extract.py: no name in parameter '{part}'")
        ctype = match[1].strip() + (" *" if array else "")
        ctype = re.sub(r"\s*\*\s*", "*", ctype)
        ctype = re.sub(r"(\*+)$", r" \1", ctype)
        ctype = re.sub(r"(\*+)const$", r" \1const", ctype)
        params.append((ctype, match[2]))
    return tuple(params)


def parse_prototypes(text: str, ret: str, prefix: str) -> List[Prototype]:
    """Every `RET PREFIXname(params);` of @text, in the order of the header."""
    found = []
    pattern = rf"(?<!\w)({ret})\s+({prefix}\w+)\s*\(([^()]*)\)\s*;"
    for match in re.finditer(pattern, text):
        before = text[: match.start()].rstrip()
        if before.endswith("typedef"):
            continue
        result = re.sub(r"\s*\*", " *", match[1])
        found.append(Prototype(result, match[2], parse_params(match[3])))
    return found


def exported_names(library: Path) -> List[str]:
    text = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True,
                          text=True, check=True).stdout
    return sorted(line.split()[-1] for line in text.splitlines() if " T " in line)


def write_api(path: Path, source: str, protos: List[Prototype]) -> None:
    seen: Dict[str, Prototype] = {}
    for proto in protos:
        if seen.setdefault(proto.name, proto) != proto:
            raise SystemExit(f"extract.py: {proto.name} is declared twice, differently")
    with path.open("w") as out:
        out.write(f"# Extracted from {source} by api/gen/extract.py; do not edit.\n")
        for proto in seen.values():
            out.write(proto.line() + "\n")
    print(f"{path}: {len(seen)} prototypes")


# ---- versions.txt ----


def split_export(name: str) -> Tuple[str, int, str]:
    """cuMemcpyHtoD_v2_ptds -> ("cuMemcpyHtoD", 2, "_ptds")."""
    match = re.match(r"(\w+?)(?:_v(\d+))?(_ptds|_ptsz)?$", name)
    assert match
    return match[1], int(match[2] or 1), match[3] or ""


def read_typedefs(text: str) -> Dict[str, Dict[str, List[int]]]:
    """name -> "" or "pt" -> the versions that cudaTypedefs.h knows, ascending."""
    versions: Dict[str, Dict[str, List[int]]] = {}
    for match in re.finditer(r"\*\s*PFN_(cu\w+?)_v(\d+)(_ptds|_ptsz)?\s*\)", text):
        kind = "pt" if match[3] else ""
        versions.setdefault(match[1], {}).setdefault(kind, []).append(int(match[2]))
    for kinds in versions.values():
        for numbers in kinds.values():
            numbers.sort()
    return versions


def types_match(include: Path, pairs: List[Tuple[str, str]]) -> List[bool]:
    """For each (typedef, export): does the compiler find the types compatible?"""
    lines = ["#define __CUDA_API_VERSION_INTERNAL"]
    lines += [f"#include <{header}>" for header in CUDA_HEADERS + GRAPHICS_HEADERS + ["stdio.h"]]
    lines.append("int main(void) {")
    for typedef, export in pairs:
        same = f"__builtin_types_compatible_p({typedef}, __typeof__(&{export}))"
        lines.append(f'putchar("01"[{same}]);')
    lines.append("}")
    with tempfile.TemporaryDirectory() as folder:
        write_standins(Path(folder))
        program = str(Path(folder) / "match")
        subprocess.run(["cc", "-w", "-x", "c", "-", f"-I{include}", f"-I{folder}", "-o", program],
                       input="\n".join(lines), text=True, check=True)
        text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return [c == "1" for c in text]


def pair_versions(numbers: List[int], exports: List[str], typedef: str, suffix: str,
                  compatible: Dict[Tuple[str, str], bool]) -> List[Tuple[int, str]]:
    """Versions and exports both ascend; a version takes the first export, from the one its
    predecessor took on, that has its type. A new version with an unchanged type takes the next
    export (cuDeviceGetUuid at 11040 is cuDeviceGetUuid_v2)."""
    result: List[Tuple[int, str]] = []
    start = 0
    for position, number in enumerate(numbers):
        name = f"{typedef}_v{number}{suffix}"
        fits = [i for i in range(start, len(exports)) if compatible[name, exports[i]]]
        if not fits:
            raise SystemExit(f"extract.py: no export has the type {name}")
        # leave at least one export for each version still to come, if there are enough
        left = len(numbers) - position - 1
        room = [i for i in fits if len(exports) - i - 1 >= left]
        chosen = (room or fits)[0]
        result.append((number, exports[chosen]))
        start = min(chosen + 1, len(exports) - 1)
    return result


def write_versions(path: Path, include: Path, typedef_text: str, names: List[str]) -> None:
    typedefs = read_typedefs(typedef_text)
    by_base: Dict[Tuple[str, bool], List[str]] = {}
    for name in sorted(names, key=lambda n: split_export(n)[1]):
        base, _, suffix = split_export(name)
        by_base.setdefault((base, suffix != ""), []).append(name)

    pairs: List[Tuple[str, str]] = []
    for base, kinds in typedefs.items():
        for kind, numbers in kinds.items():
            for export in by_base.get((base, kind == "pt"), []):
                suffix = split_export(export)[2]
                pairs += [(f"PFN_{base}_v{number}{suffix}", export) for number in numbers]
    compatible = dict(zip(pairs, types_match(include, pairs)))

    rows: List[Tuple[str, int, str, Optional[str]]] = []
    for base in sorted(typedefs):
        plain = by_base.get((base, False), [])
        threaded = by_base.get((base, True), [])
        if not plain:  # of Windows
            continue
        per_thread: List[Tuple[int, str]] = []
        if typedefs[base].get("pt") and threaded:
            suffix = split_export(threaded[0])[2]
            per_thread = pair_versions(typedefs[base]["pt"], threaded, f"PFN_{base}", suffix,
                                       compatible)
        normal = pair_versions(typedefs[base].get("", []), plain, f"PFN_{base}", "", compatible)
        for number, export in normal:
            same = [e for e in threaded if split_export(e)[1] == split_export(export)[1]]
            rows.append((base, number, export, same[0] if same else None))
        # a per-thread variant that came later than its plain function adds nothing: every
        # version that may be asked for with the flag already finds it
        known = {row[3] for row in rows}
        for number, export in per_thread:
            if export not in known:
                raise SystemExit(f"extract.py: {export}@{number} has no plain counterpart")
    missing = sorted({n for n in names} - {r[2] for r in rows} - {r[3] or "" for r in rows})
    with path.open("w") as out:
        out.write("# NAME VERSION EXPORT [EXPORT_PT], extracted from cudaTypedefs.h by "
                  "api/gen/extract.py; do not edit.\n")
        for name, number, export, per in rows:
            out.write(f"{name} {number} {export}" + (f" {per}" if per else "") + "\n")
    print(f"{path}: {len(rows)} rows; exports without a version: {' '.join(missing) or 'none'}")


# ---- the two sources ----


def extract_cuda(root: Path, out: Path) -> None:
    include = root / "include"
    names = exported_names(root / "lib64/stubs/libcuda.so")
    text = preprocess(include, CUDA_HEADERS, ["__CUDA_API_VERSION_INTERNAL"])
    protos = [p for p in parse_prototypes(text, "CUresult", "cu") if p.name in set(names)]
    undeclared = sorted(set(names) - {p.name for p in protos})
    if undeclared:
        raise SystemExit("extract.py: exported but declared nowhere: " + " ".join(undeclared))
    text = preprocess(include, CUDA_HEADERS + GRAPHICS_HEADERS, ["__CUDA_API_VERSION_INTERNAL"])
    protos += [p for p in parse_prototypes(text, "CUresult", "cu")
               if p.name not in set(names) and not p.name.startswith("cuWGL")]
    names = sorted({p.name for p in protos})
    write_api(out / "cuda.api", "cuda.h, cudaProfiler.h, cudaGL.h, cudaEGL.h and cudaVDPAU.h of "
              "CUDA 13.0", protos)
    write_versions(out / "versions.txt", include, text, names)


# ---- nvml-types.txt ----


def type_bodies(text: str) -> Dict[str, Tuple[str, str]]:
    """Name -> (struct | union | enum | alias | handle, what is between its braces)."""
    found: Dict[str, Tuple[str, str]] = {}
    tags: Dict[str, Tuple[str, str]] = {}
    for match in re.finditer(r"\b(struct|union|enum)\s*(\w*)\s*{", text):
        end, depth = match.end(), 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        body = (match[1], text[match.end() : end - 1])
        if match[2]:
            tags[match[2]] = body
        name = re.match(r"\s*(\w+)\s*;", text[end:])
        if name and text[: match.start()].rstrip().endswith("typedef"):
            found[name[1]] = body
    for match in re.finditer(r"typedef\s+struct\s+(\w+)\s*(\**)\s*(\w+)\s*;", text):
        found[match[3]] = ("handle", "") if match[2] else tags[match[1]]
    for match in re.finditer(r"typedef\s+((?:\w+\s+)+?)(\w+)\s*;", text):
        found.setdefault(match[2], ("alias", match[1].strip()))
    return found


def has_pointers(name: str, bodies: Dict[str, Tuple[str, str]]) -> bool:
    """Would a driver that gets such a value follow an address in it?"""
    kind, body = bodies.get(name, ("", ""))
    if kind == "handle" or "*" in body:
        return True
    return any(has_pointers(inner, bodies)
               for inner in set(re.findall(r"\bnvml\w+_t\b", body)) - {name})


def is_versioned(name: str, bodies: Dict[str, Tuple[str, str]]) -> bool:
    """Does it begin with its own size and version, as newer NVML structs do?"""
    kind, body = bodies.get(name, ("", ""))
    if kind == "alias":
        return is_versioned(body, bodies)
    return kind == "struct" and re.match(r"\s*unsigned int version\b", body) is not None


def write_nvml_types(path: Path, header: Path, text: str, protos: List[Prototype]) -> None:
    """Sizes of the types that prototypes name: the generator declares them as so many bytes, so
    that they can travel. Types that somebody looks into are in nvml.h instead."""
    bodies = type_bodies(text)
    ours = set(re.findall(r"\b(nvml\w+_t)\b", (path.parent / "nvml.h").read_text()))
    names = sorted({name for proto in protos for ctype, _ in proto.params
                    for name in re.findall(r"\bnvml\w+_t\b", ctype)} - ours)
    program = "".join(f'printf("%zu %zu\\n", sizeof({n}), _Alignof({n}));\n' for n in names)
    source = f'#include <stdio.h>\n#include <{header.name}>\nint main(void) {{ {program} }}\n'
    with tempfile.TemporaryDirectory() as folder:
        binary = str(Path(folder) / "sizes")
        subprocess.run(["cc", "-w", "-x", "c", "-", f"-I{header.parent}", "-o", binary],
                       input=source, text=True, check=True)
        sizes = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
    with path.open("w") as out:
        out.write("# NAME SIZE ALIGNMENT [versioned] [pointers] of the types that nvml.h of ours "
                  "does not have,\n# extracted from the vendor's by api/gen/extract.py; do not "
                  "edit.\n")
        for name, size in zip(names, sizes.splitlines()):
            words = [name, size]
            if is_versioned(name, bodies):
                words.append("versioned")
            if has_pointers(name, bodies):
                words.append("pointers")
            out.write(" ".join(words) + "\n")
    print(f"{path}: {len(names)} types")


def extract_nvml(header: Path, out: Path) -> None:
    text = preprocess(header.parent, [header.name], ["NVML_NO_UNVERSIONED_FUNC_DEFS"])
    protos = parse_prototypes(text, r"nvmlReturn_t|const char\s*\*", "nvml")
    write_api(out / "nvml.api", "nvml.h of CUDA 13.0", protos)
    write_nvml_types(out / "nvml-types.txt", header, text, protos)


def main(argv: List[str]) -> int:
    if len(argv) != 4 or argv[1] not in ("cuda", "nvml"):
        print(__doc__, file=sys.stderr)
        return 2
    {"cuda": extract_cuda, "nvml": extract_nvml}[argv[1]](Path(argv[2]), Path(argv[3]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
