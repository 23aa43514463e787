"""The worker's side: genie_thunks.c."""

from typing import List

from .ctext import banner, kind_macro, wrap
from .model import Direction, Effect, Function, Param, Spec

INVALID = {"cuda": "CUDA_ERROR_NOT_SUPPORTED", "genie": "CUDA_ERROR_NOT_SUPPORTED",
           "native": "CUDA_ERROR_NOT_SUPPORTED", "nvml": "NVML_ERROR_NOT_SUPPORTED"}


class Thunk:
    """Collects what happens before and after the driver's function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.before: List[str] = []
        self.after: List[str] = []
        self.declare: List[str] = []
        self.arguments: List[str] = []
        self.tokens = False

    def resolve(self, param: Param, direction: Direction) -> None:
        """A handle by value."""
        kind = kind_macro(direction.kind or "")
        field = f"args->{param.name}"
        handle = f"handle_{param.name}"
        optional = f"{field} && " if param.name in self.function.nulls else ""
        self.declare.append(f"\tvoid *{handle} = NULL;")
        self.before += [
            f"\tif ({optional}(status = genie_session_resolve(session, {kind}, "
            f"(uint64_t)(uintptr_t){field}, &{handle})))", "\t\treturn status;"]
        if direction.verb == "frees":
            self.after.append(f"\tif (!status)\n\t\tgenie_session_drop(session, {kind}, "
                              f"(uint64_t)(uintptr_t){field});")
        self.arguments.append(f"({param.ctype})(uintptr_t){handle}")

    def resolve_array(self, param: Param, direction: Direction) -> None:
        """An array of handles: translated in a copy that the decoder's memory has room for."""
        kind = kind_macro(direction.kind or "")
        count = self.count(param, direction)
        plain = f"({param.pointee} *)(uintptr_t)args->{param.name}"
        self.before += [
            f"\tfor (size_t i = 0; args->{param.name} && i < {count}; i++) {{",
            f"\t\t{param.pointee} *item = {plain} + i;", "\t\tvoid *handle;", "",
            f"\t\tif ((status = genie_session_resolve(session, {kind}, (uint64_t)(uintptr_t)*item, "
            "&handle)))", "\t\t\treturn status;",
            f"\t\t*item = ({param.pointee})(uintptr_t)handle;", "\t}"]
        self.arguments.append(f"args->{param.name}")

    def count(self, param: Param, direction: Direction) -> str:
        length = direction.length
        if length.kind == "one":
            return "1"
        if length.kind == "number":
            return str(length.number)
        value = f"args->{length.param}"
        return f"(size_t)*{value}" if length.deref else f"(size_t){value}"

    def address(self, effect: Effect) -> None:
        """A device address: all that the call touches must be the session's."""
        length = effect.length
        assert length
        size = str(length.number) if length.kind == "number" else f"args->{length.param}"
        self.before += [
            f"\tif ((status = genie_session_address(session, args->{effect.param}, {size})))",
            "\t\treturn status;"]

    def new(self, param: Param, direction: Direction) -> None:
        kind = kind_macro(direction.kind or "")
        self.declare.append(f"\t{param.pointee} made_{param.name} = 0;")
        self.arguments.append(f"&made_{param.name}")
        self.after.append(
            f"\tif (!status)\n\t\tstatus = genie_session_bind(session, {kind}, "
            f"(uint64_t)(uintptr_t)*args->{param.name}, (void *)(uintptr_t)made_{param.name});")

    def ret(self, param: Param, direction: Direction) -> None:
        kind = kind_macro(direction.kind or "")
        count = self.count(param, direction)
        room = f"room_{param.name}"
        self.declare.append(f"\tsize_t {room} = args->{param.name} ? {count} : 0;")
        self.arguments.append(f"args->{param.name}")
        self.after += [
            f"\tfor (size_t i = 0; !status && i < {room}; i++) {{", "\t\tuint64_t token = 0;", "",
            f"\t\tif (args->{param.name}[i])",
            f"\t\t\tstatus = genie_session_name(session, {kind}, "
            f"(void *)(uintptr_t)args->{param.name}[i], &token);",
            f"\t\targs->{param.name}[i] = ({param.pointee})(uintptr_t)token;", "\t}"]

    def build(self) -> List[str]:
        function = self.function
        for param in function.params:
            direction = function.directions.get(param.name)
            if not direction or direction.verb in ("in", "out", "inout"):
                self.arguments.append(f"args->{param.name}")
            elif direction.verb in ("handle", "frees") and not param.pointer:
                self.resolve(param, direction)
            elif direction.verb == "handle":
                self.resolve_array(param, direction)
            elif direction.verb == "new":
                self.new(param, direction)
            else:
                self.ret(param, direction)
        for effect in function.effects:
            self.address(effect)
        table = "nvml" if function.library == "nvml" else "driver"
        call = (f"\tstatus = (int32_t)genie_session_{table}(session)->{function.name}("
                f"{', '.join(self.arguments)});")
        body = self.before + [call] + self.after
        out = ["static int32_t",
               f"invoke_{function.name}(struct genie_session *session, void *data)", "{"]
        if function.params:
            out.append(f"\tstruct genie_args_{function.name} *args = data;")
        out += self.declare + ["\tint32_t status;", ""]
        if not function.params:
            out.append("\t(void)data;")
        return out + [wrap(line, "\t") if "\n" not in line else line for line in body] + [
            "\treturn status;", "}", ""]


def by_hand(function: Function) -> List[str]:
    return ["static int32_t", f"invoke_{function.name}(struct genie_session *session, void *data)",
            "{", f"\treturn (int32_t)genie_exec_{function.name}(session, data);", "}", ""]


def emit_thunks(spec: Spec) -> List[str]:
    out = banner("the .api and .sem files of api/")
    out += ["#include <stddef.h>", "", '#include "genie_exec.h"', ""]
    functions = spec.wire_functions()
    for function in functions:
        out += by_hand(function) if function.exec_manual else Thunk(function).build()
    out += ["typedef int32_t (*invoke_fn)(struct genie_session *session, void *args);", "",
            "static const invoke_fn invokers[GENIE_OP_MAX] = {"]
    out += [f"\t[GENIE_OP_{f.name}] = invoke_{f.name}," for f in functions]
    out += ["};", "", "int32_t",
            "genie_invoke(struct genie_session *session, enum genie_op op, void *args)", "{",
            "\tint32_t status = CUDA_ERROR_NOT_SUPPORTED;", "",
            "\tif ((unsigned)op < GENIE_OP_MAX && invokers[op])",
            "\t\tstatus = invokers[op](session, args);",
            "\t/* every args struct begins with its ret, a status of this size */",
            "\t*(int32_t *)args = status;", "\treturn status;", "}"]
    return out
