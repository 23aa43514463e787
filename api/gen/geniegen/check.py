"""What must hold between the files. Every refusal has a test in tests/codegen/bad."""

from pathlib import Path
from typing import Dict

from .model import NO_ANSWER, Function, Place, Spec

REPLY_TYPES = ("CUresult", "nvmlReturn_t")
PARAMS_MAX = 32  # GENIE_ARGS_MAX of wire/codec.h
SIGNED = ("char", "short", "int", "long", "long long")


def check_alias(function: Function, by_name: Dict[str, Function]) -> None:
    assert function.place
    place = function.place
    if function.cls or function.manual:
        raise place.error(f"'{function.name}' is an alias: it has no class of its own")
    target = by_name.get(function.alias)
    if not target:
        raise place.error(f"'{function.name}' is an alias of '{function.alias}', which is unknown")
    if target.alias:
        raise place.error(f"'{function.name}' is an alias of the alias '{function.alias}'")
    if target.cls in NO_ANSWER:
        raise place.error(f"'{function.name}' is an alias of '{function.alias}', which is "
                          f"{target.cls}: give it a class of its own")
    if [p.ctype for p in target.params] != [p.ctype for p in function.params]:
        raise place.error(f"'{function.name}' and '{function.alias}' have different parameters")
    if function.alias_how == "stream" and not target.stream:
        raise place.error(f"'{function.alias}' has no 'stream', so no alias can replace it")


def check_wire(function: Function) -> None:
    """A call that travels must say all about its pointers."""
    assert function.place
    place = function.place
    if function.ret not in REPLY_TYPES:
        raise place.error(f"'{function.name}' returns '{function.ret}', which cannot travel")
    if len(function.params) > PARAMS_MAX:
        raise place.error(f"'{function.name}' has more than {PARAMS_MAX} parameters")
    for param in function.params:
        direction = function.directions.get(param.name)
        if not param.pointer:
            continue
        if not direction:
            raise place.error(f"pointer '{param.name}' of '{function.name}' has no direction")
        length = direction.length
        if param.pointee == "void" and not length.is_bytes:
            raise direction.place.error(f"'{param.name}' points to void: give its length in bytes")
        if param.pointee.endswith("*"):
            raise direction.place.error(f"'{param.name}' points to pointers, which cannot travel")
        if length.kind == "str" and (direction.verb != "in" or param.pointee != "char"):
            raise direction.place.error(f"'{param.name}' is not an 'in' of char: no [str]")
        if length.kind == "versioned" and (direction.verb != "inout" or
                                           not param.pointee.endswith("_t")):
            raise direction.place.error(f"'{param.name}' is not an 'inout' of a struct that begins "
                                        "with its version: no [versioned]")
        if param.ctype.startswith("const ") and direction.verb in ("out", "inout", "new", "ret"):
            raise direction.place.error(f"'{param.name}' points to const: it cannot be written")
        if length.deref:
            counted = function.directions.get(length.param)
            if not counted or counted.verb not in ("in", "inout") or counted.length.kind != "one":
                raise direction.place.error(
                    f"'{length.param}' counts '{param.name}', so it must be 'in' or 'inout'")
        counter = function.param(length.param)
        if direction.kind and counter and counter.ctype in SIGNED:
            raise direction.place.error(
                f"'{counter.name}' counts handles but is signed: make the call 'manual'")
        if direction.verb == "new" and length.kind != "one":
            raise direction.place.error(f"'new {param.name}' names one object, not an array")
        if direction.verb in ("out", "inout", "ret") and function.cls != "sync":
            raise direction.place.error(
                f"'{direction.verb} {param.name}' needs an answer, but the class is not sync")
    for name, direction in function.directions.items():
        value = function.param(name)
        assert value
        if direction.verb == "new" and not value.pointer and not function.exec_manual:
            raise direction.place.error(
                f"'new {name}' is passed by value: only 'exec manual' can make it")
    for param in function.params:
        if param.ctype == "CUdeviceptr" and not function.exec_manual and not any(
                e.param == param.name and e.length for e in function.effects):
            raise place.error(f"device address '{param.name}' of '{function.name}' cannot be "
                              "checked: say what is read or written, with its length in bytes, "
                              "or 'exec manual'")
    for name in function.devices:
        number = function.param(name)
        assert number
        if function.manual or number.ctype not in ("CUdevice", "int"):
            raise place.error(f"'device {name}' is for generated calls, and for numbers of devices")
    if function.query and (function.cls != "sync" or function.manual):
        raise place.error("'query' is for generated sync calls")


def check_function(function: Function, by_name: Dict[str, Function]) -> None:
    if not function.place:
        raise function.declared.error(f"'{function.name}' has no block in a .sem file")
    place = function.place
    if function.alias:
        check_alias(function, by_name)
        return
    if not function.cls:
        raise place.error(f"'{function.name}' has no class")
    if function.cls in ("local",) + NO_ANSWER and (function.wire or function.exec_manual):
        raise place.error(f"'{function.name}' is {function.cls}: nothing of it travels")
    if function.wire and not function.manual and function.library in ("cuda", "nvml"):
        raise place.error("'wire' is for manual functions: generated ones travel anyway")
    if function.exec_manual and not function.on_wire:
        raise place.error(f"'exec manual', but '{function.name}' does not travel: add 'wire'")
    if function.on_wire:
        check_wire(function)


def check(spec: Spec, opcodes: Path) -> None:
    by_name: Dict[str, Function] = {}
    for function in spec.functions:
        if function.name in by_name:
            raise function.declared.error(f"'{function.name}' is declared twice")
        by_name[function.name] = function
    for function in spec.functions:
        check_function(function, by_name)
    for function in spec.functions:
        if function.op < 0:
            last = max((f.op for f in spec.functions), default=-1)
            raise Place(opcodes.name, len(opcodes.read_text().splitlines())).error(
                f"'{function.name}' has no id: append '{last + 1} {function.name}'")
