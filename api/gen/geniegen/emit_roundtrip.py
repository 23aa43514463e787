"""genie_roundtrip.c: for every call that travels, a test that encodes and decodes it.

The test reads and writes the args structs by field name, so it checks the descriptor rows (which
know offsets and sizes) independently of them. Helpers: tests/codegen/roundtrip.h.
"""

from typing import List, Set

from .ctext import banner
from .model import Direction, Function, Param, Spec

COUNT = 3  # elements of every array that a parameter counts
VERSIONED = 36  # bytes of every struct that begins with its size


def counters(function: Function) -> Set[str]:
    """Parameters that say how many elements another one has."""
    return {d.length.param for d in function.directions.values() if d.length.kind == "param"}


def elements(direction: Direction) -> int:
    length = direction.length
    return {"one": 1, "number": length.number, "param": COUNT, "str": 1,
            "versioned": VERSIONED}[length.kind]


def fill_pointer(function: Function, param: Param, direction: Direction) -> List[str]:
    if direction.length.kind == "str":
        return [f'\tsent.{param.name} = "a name: {param.name}";']
    in_bytes = param.pointee == "void" or direction.length.is_bytes
    ctype = "unsigned char" if in_bytes else param.pointee
    data = f"data_{param.name}"
    out = [f"\t{ctype} {data}[{elements(direction)}];",
           f"\troundtrip_fill({data}, sizeof({data}));"]
    if param.name in counters(function):
        out.append(f"\t*{data} = {COUNT};")
    if direction.length.kind == "versioned":
        out.append(f"\troundtrip_version({data}, sizeof({data}));")
    return out + [f"\tsent.{param.name} = (void *){data};"]


def compare_pointer(param: Param, direction: Direction) -> List[str]:
    name = param.name
    if direction.length.kind == "str":
        return [f"\troundtrip_same(got->{name}, sent.{name}, strlen(sent.{name}) + 1);"]
    if direction.verb in ("out", "ret"):
        return [f"\troundtrip_zero(got->{name}, sizeof(data_{name}));"]
    return [f"\troundtrip_same(got->{name}, sent.{name}, sizeof(data_{name}));"]


def answer_pointer(param: Param, direction: Direction) -> List[str]:
    """What the driver would write, whatever the type."""
    if direction.verb not in ("out", "inout", "ret"):
        return []
    return [f"\troundtrip_fill((void *)got->{param.name}, sizeof(data_{param.name}));",
            f"\tunsigned char answer_{param.name}[sizeof(data_{param.name})];",
            f"\tmemcpy(answer_{param.name}, got->{param.name}, sizeof(answer_{param.name}));"]


def check_answer(param: Param, direction: Direction) -> List[str]:
    if direction.verb not in ("out", "inout", "ret"):
        return []
    return [f"\troundtrip_same(data_{param.name}, answer_{param.name}, sizeof(data_{param.name}));"]


def full(function: Function) -> List[str]:
    name = function.name
    op = f"GENIE_OP_{name}"
    out = [f"Test(roundtrip, {name})", "{", f"\tstruct genie_args_{name} sent = {{0}}, *got;",
           "\tstruct roundtrip trip;", ""]
    pointers = [(p, function.directions[p.name]) for p in function.params if p.pointer]
    values = [p for p in function.params if not p.pointer]
    for param in values:
        if param.name in counters(function):
            out.append(f"\tsent.{param.name} = {COUNT};")
        else:
            out.append(f"\troundtrip_fill(&sent.{param.name}, sizeof(sent.{param.name}));")
    for param, direction in pointers:
        out += fill_pointer(function, param, direction)
    out.append(f"\tgot = roundtrip_up(&trip, {op}, &sent, sizeof(sent));")
    for param in values:
        out.append(f"\troundtrip_same(&got->{param.name}, &sent.{param.name}, "
                   f"sizeof(sent.{param.name}));")
    for step in (compare_pointer, answer_pointer):
        for param, direction in pointers:
            out += step(param, direction)
    out.append("\troundtrip_down(&trip, &sent);")
    for param, direction in pointers:
        out += check_answer(param, direction)
    if not function.params:
        out.append("\t(void)got;")
    return out + ["}", ""]


def absent(function: Function) -> List[str]:
    """Every pointer that may be NULL is."""
    name = function.name
    out = [f"Test(roundtrip, {name}_null)", "{", f"\tstruct genie_args_{name} sent = {{0}}, *got;",
           "\tstruct roundtrip trip;", ""]
    for param in function.params:
        if param.pointer and param.name not in function.nulls:
            out += fill_pointer(function, param, function.directions[param.name])
        elif not param.pointer and param.name in counters(function):
            out.append(f"\tsent.{param.name} = {COUNT};")
    out.append(f"\tgot = roundtrip_up(&trip, GENIE_OP_{name}, &sent, sizeof(sent));")
    for param in function.params:
        if param.pointer and param.name in function.nulls:
            out.append(f"\tcr_assert_null(got->{param.name});")
    return out + ["\troundtrip_down(&trip, &sent);", "}", ""]


def emit_roundtrip(spec: Spec) -> List[str]:
    out = banner("the .api and .sem files of api/") + [
        "#include <string.h>", "", '#include "genie_args.h"',
        '#include "tests/codegen/roundtrip.h"', ""]
    for function in spec.wire_functions():
        out += full(function)
        if any(p.pointer and p.name in function.nulls for p in function.params):
            out += absent(function)
    return out[:-1]
