"""Reads *.api, *.sem, opcodes.txt, versions.txt, exports.txt and nvml-types.txt."""

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from .model import (ALIAS_HOWS, CLASSES, KINDS, NO_ANSWER, Direction, Effect, Function, Length,
                    OpaqueType, Param, Place, Version)

DIRECTIONS = ("in", "out", "inout", "handle", "new", "ret", "frees")
NEED_KIND = ("handle", "new", "ret", "frees")


def lines_of(path: Path) -> Iterator[Tuple[Place, str]]:
    """Lines without comments and trailing blanks; empty ones are left out."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if line:
            yield Place(path.name, number), line


def parse_param(place: Place, text: str) -> Param:
    match = re.match(r"(.*?[ *])(\w+)$", text)
    if not match:
        raise place.error(f"no parameter name in '{text}'")
    return Param(match[1].strip(), match[2])


def parse_api(path: Path, library: str) -> List[Function]:
    functions = []
    for place, line in lines_of(path):
        match = re.match(r"([\w ]+?[ *])(\w+)\((.*)\)$", line)
        if not match:
            raise place.error("not a prototype")
        params = [] if match[3] == "void" else [parse_param(place, p) for p in match[3].split(", ")]
        functions.append(Function(match[1].strip(), match[2], params, library, place))
    return functions


def parse_length(place: Place, function: Function, text: Optional[str]) -> Length:
    """What stands between the brackets: a number, a parameter, `*parameter`, `str`, `versioned`;
    ` bytes`."""
    if text is None:
        return Length("one")
    if text == "str":
        return Length("str", is_bytes=True)
    if text == "versioned":
        return Length("versioned", is_bytes=True)
    match = re.match(r"(\*?)(\w+)( bytes)?$", text)
    if not match:
        raise place.error(f"'{text}' is not a length: a parameter or a number, then 'bytes' or not")
    is_bytes = match[3] is not None
    if match[2].isdigit():
        if match[1]:
            raise place.error(f"'{text}' is not a length")
        return Length("number", number=int(match[2]), is_bytes=is_bytes)
    param = function.param(match[2])
    if not param:
        raise place.error(f"'{function.name}' has no parameter '{match[2]}'")
    deref = match[1] == "*"
    if param.pointer != deref:
        hint = "a pointer: write *" if param.pointer else "not a pointer: no *"
        raise place.error(f"length '{match[2]}' is {hint}")
    return Length("param", param=match[2], deref=deref, is_bytes=is_bytes)


def parse_target(place: Place, function: Function, rest: str) -> Tuple[str, Optional[Length], str]:
    """`name`, `name[length]`, `name : kind` -> (name, length or None, kind or "")."""
    match = re.match(r"(\w+)(?:\[([^\]]*)\])?(?: : (\w+))?$", rest)
    if not match:
        raise place.error(f"cannot read '{rest}'")
    if not function.param(match[1]):
        raise place.error(f"'{function.name}' has no parameter '{match[1]}'")
    length = parse_length(place, function, match[2]) if match[2] is not None else None
    return match[1], length, match[3] or ""


def parse_direction(place: Place, function: Function, verb: str, rest: str) -> None:
    name, length, kind = parse_target(place, function, rest)
    if verb in NEED_KIND:
        if not kind:
            raise place.error(f"'{verb} {name}' needs a kind: '{verb} {name} : stream'")
        if kind not in KINDS:
            raise place.error(f"unknown kind '{kind}'")
    elif kind:
        raise place.error(f"'{verb}' takes no kind")
    if name in function.directions:
        raise place.error(f"'{name}' is described twice")
    param = function.param(name)
    assert param
    if not param.pointer and (length or verb in ("in", "out", "inout", "ret")):
        raise place.error(f"'{name}' is not a pointer")
    if param.pointer and verb == "frees":
        raise place.error(f"'{name}' is a pointer: 'frees' takes a handle")
    function.directions[name] = Direction(verb, length or Length("one"), kind or None, place)


def parse_class(place: Place, function: Function, rest: str) -> None:
    name, _, reason = rest.partition(" ")
    if name not in CLASSES:
        raise place.error(f"unknown class '{name}'")
    if name in NO_ANSWER:
        if not reason.strip():
            raise place.error(f"'{name}' needs a reason")
        function.unsupported = reason.strip()
    elif reason:
        raise place.error(f"class '{name}' takes nothing more")
    function.cls = name


def parse_word(place: Place, function: Function, line: str) -> None:
    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if word in DIRECTIONS:
        parse_direction(place, function, word, rest)
    elif word == "class":
        if function.cls:
            raise place.error(f"'{function.name}' has a class already")
        parse_class(place, function, rest)
    elif word == "manual":
        if not rest:
            raise place.error("'manual' needs a reason")
        function.manual = rest
    elif word in ("reads", "writes"):
        name, length, _ = parse_target(place, function, rest)
        function.effects.append(Effect(word, name, length))
    elif word == "null":
        name, _, _ = parse_target(place, function, rest)
        function.nulls.add(name)
    elif word == "stream":
        name, _, _ = parse_target(place, function, rest)
        function.stream = name
        function.directions.setdefault(name, Direction("handle", Length("one"), "stream", place))
    elif word == "device":
        name, _, _ = parse_target(place, function, rest)
        function.devices.add(name)
    elif word == "alias":
        target, _, how = rest.partition(" ")
        function.alias, function.alias_how = target, how or "plain"
        if function.alias_how not in ALIAS_HOWS:
            raise place.error(f"unknown alias form '{how}': plain, stream or ptds")
    elif word == "since":
        if not rest.isdigit():
            raise place.error(f"'{rest}' is not a version: 12020")
        function.since = int(rest)
    elif word == "exec" and rest == "manual":
        function.exec_manual = True
    elif word in ("query", "early", "steady", "wire") and not rest:
        setattr(function, word, True)
    else:
        raise place.error(f"unknown word '{line.strip()}'")


def parse_sem(path: Path, by_name: Dict[str, Function]) -> None:
    function: Optional[Function] = None
    for place, line in lines_of(path):
        if not line[0].isspace():
            if line not in by_name:
                raise place.error(f"'{line}' is not in the api file")
            function = by_name[line]
            if function.place:
                raise place.error(
                    f"'{line}' has a block already, at {function.place.path}:{function.place.line}")
            function.place = place
        elif function:
            parse_word(place, function, line)
        else:
            raise place.error("a word before the first function")


def parse_opcodes(path: Path, by_name: Dict[str, Function]) -> None:
    seen: Dict[int, str] = {}
    for place, line in lines_of(path):
        match = re.match(r"(\d+) (\w+)( retired)?$", line)
        if not match:
            raise place.error("not 'NUMBER NAME'")
        number, name = int(match[1]), match[2]
        if number in seen:
            raise place.error(f"id {number} is taken by '{seen[number]}'")
        if number >= 0x10000:
            raise place.error(f"id {number} does not fit 16 bits")
        seen[number] = name
        if match[3]:
            continue
        if name not in by_name:
            raise place.error(
                f"'{name}' is in no api file (a removed function stays, as 'retired')")
        if by_name[name].op >= 0:
            raise place.error(f"'{name}' has an id already: {by_name[name].op}")
        by_name[name].op = number


def parse_versions(path: Path, by_name: Dict[str, Function]) -> List[Version]:
    versions = []
    for place, line in lines_of(path):
        match = re.match(r"(\w+) (\d+) (\w+)(?: (\w+))?$", line)
        if not match:
            raise place.error("not 'NAME VERSION EXPORT [EXPORT_PT]'")
        for name in (match[3], match[4]):
            if name and name not in by_name:
                raise place.error(f"'{name}' is in no api file")
        versions.append(Version(match[1], int(match[2]), match[3], match[4] or ""))
    return versions


def parse_exports(path: Path) -> List[str]:
    names = []
    for place, line in lines_of(path):
        if not re.match(r"\w+$", line):
            raise place.error("not a name")
        names.append(line)
    return names


def parse_types(path: Path) -> List[OpaqueType]:
    """nvml-types.txt. What holds pointers is left out: it cannot travel as bytes."""
    types = []
    for place, line in lines_of(path):
        match = re.match(r"(\w+) (\d+) (\d+)((?: versioned| pointers)*)$", line)
        if not match:
            raise place.error("not 'NAME SIZE ALIGNMENT [versioned] [pointers]'")
        if "pointers" not in match[4]:
            types.append(OpaqueType(match[1], int(match[2]), int(match[3])))
    return types
