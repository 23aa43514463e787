"""What the description files say, as objects."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

# Names of enum genie_kind in base/token.h, without GENIE_KIND_, lower case.
KINDS = [
    "ctx", "stream", "event", "module", "library", "kernel", "function", "graph", "graphnode",
    "graphexec", "array", "miparray", "texobj", "surfobj", "mempool", "memhandle", "linkstate",
    "greenctx", "userobj", "nvmldev", "texref", "surfref", "devdesc",
    "nvmlset", "gpmsample", "nvmlgi", "nvmlci",
]

CLASSES = ["local", "async", "sync", "unsupported", "refused"]
NO_ANSWER = ("unsupported", "refused")  # classes whose stubs look at no parameter
ALIAS_HOWS = ["plain", "stream", "ptds"]


class SpecError(Exception):
    """A mistake in a description file."""

    def __init__(self, path: str, line: int, text: str) -> None:
        super().__init__(f"{path}:{line}: error: {text}")


@dataclass(frozen=True)
class Place:
    path: str
    line: int

    def error(self, text: str) -> SpecError:
        return SpecError(self.path, self.line, text)


@dataclass(frozen=True)
class Param:
    ctype: str  # "const void *", "size_t"
    name: str

    @property
    def pointer(self) -> bool:
        return self.ctype.endswith("*")

    @property
    def pointee(self) -> str:
        """Type of what it points to, without const: `const CUevent *` -> `CUevent`."""
        inner = self.ctype[:-1].strip()
        return inner[len("const "):] if inner.startswith("const ") else inner

    def declare(self) -> str:
        return f"{self.ctype}{self.name}" if self.pointer else f"{self.ctype} {self.name}"


@dataclass(frozen=True)
class Length:
    """How many elements a pointer points to."""

    kind: str  # "one" | "number" | "param" | "str" | "versioned"
    number: int = 0
    param: str = ""
    deref: bool = False  # the parameter is a pointer to the count
    is_bytes: bool = False  # counted in bytes, whatever the pointer's type


@dataclass
class Direction:
    """One `in`/`out`/`inout`/`handle`/`new`/`ret`/`frees` line."""

    verb: str
    length: Length
    kind: Optional[str]
    place: Place


@dataclass
class Effect:
    """One `reads`/`writes` line: what a call does to device memory."""

    verb: str
    param: str
    length: Optional[Length]


@dataclass
class Function:
    ret: str
    name: str
    params: List[Param]
    library: str  # "cuda" | "nvml" | "genie" | "native"
    declared: Place
    # from the .sem block
    place: Optional[Place] = None
    cls: str = ""
    unsupported: str = ""  # reason, of the class refused too
    manual: str = ""  # reason
    wire: bool = False
    exec_manual: bool = False
    early: bool = False
    steady: bool = False
    query: bool = False
    since: int = 0
    alias: str = ""
    alias_how: str = "plain"
    directions: Dict[str, Direction] = field(default_factory=dict)
    nulls: Set[str] = field(default_factory=set)
    effects: List[Effect] = field(default_factory=list)
    stream: str = ""
    devices: Set[str] = field(default_factory=set)  # parameters that number a device
    op: int = -1  # none yet

    def param(self, name: str) -> Optional[Param]:
        for param in self.params:
            if param.name == name:
                return param
        return None

    @property
    def on_wire(self) -> bool:
        """Has an args struct, a descriptor and a thunk."""
        if self.alias or self.cls not in ("async", "sync"):
            return False
        return not self.manual or self.wire

    @property
    def by_hand(self) -> bool:
        """The client's side is genie_<name>()."""
        return not self.alias and self.library in ("cuda", "nvml") and (
            self.cls == "local" or bool(self.manual))

    def prototype(self, prefix: str = "") -> str:
        params = ", ".join(p.declare() for p in self.params) or "void"
        space = "" if self.ret.endswith("*") else " "
        return f"{self.ret}{space}{prefix}{self.name}({params})"


@dataclass(frozen=True)
class OpaqueType:
    """A type that travels as so many bytes: nobody here looks into it."""

    name: str
    size: int
    align: int


@dataclass(frozen=True)
class Version:
    """One row of versions.txt."""

    name: str
    version: int
    export: str
    export_pt: str  # "" when there is none


@dataclass
class Spec:
    functions: List[Function]  # in the order of the .api files
    versions: List[Version]
    exports: List[str]  # further names that the library exports (hooks)
    opaque: List[OpaqueType]

    def by_name(self) -> Dict[str, Function]:
        return {f.name: f for f in self.functions}

    def of(self, *libraries: str) -> List[Function]:
        return [f for f in self.functions if f.library in libraries]

    def wire_functions(self) -> List[Function]:
        return sorted((f for f in self.functions if f.on_wire), key=lambda f: f.op)


def wire_order(function: Function) -> List[Tuple[Param, Optional[Direction]]]:
    """Parameters in the order in which they travel: values first, then what pointers point to;
    a pointer whose length is behind another pointer comes after that one."""

    def rank(param: Param) -> int:
        if not param.pointer:
            return 0
        direction = function.directions.get(param.name)
        return 2 if direction and direction.length.deref else 1

    ordered = sorted(function.params, key=rank)
    return [(p, function.directions.get(p.name)) for p in ordered]
