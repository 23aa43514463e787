"""The client's side: genie_stubs.c, genie_nvml_stubs.c, genie_procs.c, genie_info.c and
libgenie.map."""

from dataclasses import dataclass
from typing import Dict, List

from .ctext import arguments, banner, kind_macro, signature, string, wrap
from .model import NO_ANSWER, Direction, Function, Param, Spec

SOURCES = "the .api and .sem files of api/"


@dataclass(frozen=True)
class Library:
    """How the stubs of a library speak."""

    success: str
    invalid_value: str
    invalid_handle: str
    out_of_memory: str
    enter: str
    call: str
    unsupported: str
    refused: str
    version_mismatch: str


LIBRARIES: Dict[str, Library] = {
    "cuda": Library("CUDA_SUCCESS", "CUDA_ERROR_INVALID_VALUE", "CUDA_ERROR_INVALID_HANDLE",
                    "CUDA_ERROR_OUT_OF_MEMORY", "genie_enter", "genie_call_ticket",
                    "genie_unsupported", "CUDA_ERROR_NOT_PERMITTED", "CUDA_ERROR_INVALID_VALUE"),
    "nvml": Library("NVML_SUCCESS", "NVML_ERROR_INVALID_ARGUMENT", "NVML_ERROR_INVALID_ARGUMENT",
                    "NVML_ERROR_MEMORY", "genie_nvml_enter", "genie_nvml_call",
                    "genie_nvml_unsupported", "NVML_ERROR_NO_PERMISSION",
                    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH"),
}


def handle_check(function: Function, param: Param, direction: Direction, lib: Library) -> List[str]:
    """Refuses what is not a handle of that kind; makes stream handles what travels."""
    name = param.name
    kind = kind_macro(direction.kind or "")
    optional = f"{name} && " if name in function.nulls else ""
    if direction.kind == "stream":
        variable = f"genie_{name}"
        return [f"\tstruct genie_stream *{variable} = genie_stream_get({name});", "",
                f"\tif (!{variable})",
                "\t\treturn genie_stream_missing();",
                f"\tgenie_args.{name} = genie_stream_wire({variable});"]
    return [f"\tif ({optional}genie_token_kind((uint64_t)(uintptr_t){name}) != {kind})",
            f"\t\treturn {lib.invalid_handle};"]


def generated_call(function: Function) -> List[str]:
    """static RET call_<name>(): the whole client side of a call that needs no hand."""
    lib = LIBRARIES[function.library]
    out = signature(function, "call_", static=True) + ["{"]
    out.append(f"\tstruct genie_args_{function.name} genie_args = {{")
    out += [f"\t\t.{p.name} = {p.name}," for p in function.params]
    out.append("\t};")
    if function.library == "cuda":
        out.append("\tuint64_t genie_ticket = 0;")
    out.append(f"\t{function.ret} genie_status;")
    news = [p for p in function.params
            if function.directions.get(p.name) and function.directions[p.name].verb == "new"]
    frees = [p for p in function.params
             if function.directions.get(p.name) and function.directions[p.name].verb == "frees"]
    for param in function.params:
        direction = function.directions.get(param.name)
        if not direction:
            continue
        if param.pointer:
            if param.name not in function.nulls:
                out += [f"\tif (!{param.name})", f"\t\treturn {lib.invalid_value};"]
            if direction.length.kind == "versioned":
                out += [f"\tif (!genie_versioned_size({param.name}))",
                        f"\t\treturn {lib.version_mismatch};"]
        elif direction.verb in ("handle", "frees"):
            out += handle_check(function, param, direction, lib)
    for name in sorted(function.devices):
        out += [f"\tif ({name} < 0 || {name} >= genie_client.device_count)",
                "\t\treturn CUDA_ERROR_INVALID_DEVICE;",
                f"\tgenie_args.{name} = genie_device_wire({name});"]
    for param in news:
        kind = kind_macro(function.directions[param.name].kind or "")
        variable = f"genie_{param.name}"
        out += [f"\tstruct genie_object *{variable} =",
                f"\t\tgenie_object_new({kind}, sizeof(*{variable}), genie_ctx_current());", "",
                f"\tif (!{variable})", f"\t\treturn {lib.out_of_memory};",
                f"\t{param.pointee} {variable}_token = "
                f"({param.pointee})(uintptr_t){variable}->token;",
                f"\tgenie_args.{param.name} = &{variable}_token;"]
    ticket = ", &genie_ticket" if function.library == "cuda" else ""
    out.append(f"\tgenie_status = {lib.call}(GENIE_OP_{function.name}, &genie_args{ticket});")
    if function.stream:
        out += ["\tif (genie_ticket)",
                f"\t\tgenie_stream_submitted(genie_{function.stream}, genie_ticket);"]
    for param in news:
        out += [f"\tif (genie_status == {lib.success})",
                f"\t\t*{param.name} = genie_{param.name}_token;", "\telse",
                f"\t\tgenie_object_free(genie_{param.name});"]
    for param in frees:
        kind = kind_macro(function.directions[param.name].kind or "")
        out += [f"\tif (genie_status == {lib.success}) {{",
                f"\t\tvoid *genie_object = genie_object_get({kind}, "
                f"(uint64_t)(uintptr_t){param.name});",
                "", "\t\tif (genie_object)", "\t\t\tgenie_object_free(genie_object);", "\t}"]
    out += ["\treturn genie_status;", "}", ""]
    return out


def stub(function: Function, target: Function) -> List[str]:
    """The exported entry point; @target is the function itself, or what it is an alias of."""
    lib = LIBRARIES[function.library]
    visible = ['__attribute__((visibility("default")))']
    if function.library == "nvml" and target.cls in NO_ANSWER:
        # its types need not be known: the caller's arguments are never looked at
        out = visible + [function.ret, f"{function.name}(void)", "{"]
    else:
        out = visible + signature(function) + ["{"]
    if target.ret != f"{'CUresult' if function.library == 'cuda' else 'nvmlReturn_t'}":
        # answers with text, not with a status: nothing to enter
        return out + [f"\treturn genie_{target.name}({arguments(function)});", "}", ""]
    if target.cls == "refused":
        return out + [f"\treturn {lib.refused};", "}", ""]
    out.append("\tint genie_errno = errno;")
    if target.cls == "unsupported":
        out.append(f"\t{target.ret} genie_result =")
        out.append(f"\t\t{lib.unsupported}({string(function.name)}, __builtin_return_address(0));")
        return out + ["", "\terrno = genie_errno;", "\treturn genie_result;", "}", ""]
    early = "true" if target.early else "false"
    op = f"GENIE_OP_{function.name}"
    enter = f"{lib.enter}_steady({op})" if target.steady else f"{lib.enter}({op}, {early})"
    out += [f"\t{target.ret} genie_result = {enter};", ""]
    prefix = "genie_" if target.by_hand else "call_"
    values = []
    for param, original in zip(function.params, target.params):
        if function.alias_how == "stream" and function.alias and original.name == target.stream:
            values.append(f"{param.name} ? {param.name} : CU_STREAM_PER_THREAD")
        else:
            values.append(param.name)
    call = f"genie_result = {prefix}{target.name}({', '.join(values)});"
    if function.alias and function.alias_how == "ptds":
        out += [f"\tif (genie_result == {lib.success}) {{",
                "\t\tstruct genie_thread *genie_thread = genie_thread_self();",
                "\t\tbool genie_ptds = genie_thread->ptds;", "",
                "\t\tgenie_thread->ptds = true;", wrap("\t\t" + call, "\t\t"),
                "\t\tgenie_thread->ptds = genie_ptds;", "\t}"]
    else:
        out += [f"\tif (genie_result == {lib.success})", wrap("\t\t" + call, "\t\t")]
    if function.library == "cuda" and not target.steady:
        out.append(f"\tgenie_error_log({string(function.name)}, genie_result);")
    return out + ["\terrno = genie_errno;", "\treturn genie_result;", "}", ""]


def emit_stubs(spec: Spec, library: str) -> List[str]:
    by_name = spec.by_name()
    out = banner(SOURCES) + ["#include <errno.h>", "", '#include "api/graphics.h"',
                             '#include "interpose/client.h"',
                             '#include "interpose/error_log.h"',
                             '#include "wire/codec.h"']
    if library == "nvml":
        out.append('#include "interpose/nvml.h"')
        functions = [f for f in spec.of("nvml") if f.cls in NO_ANSWER]
        out += [""] + [f"{f.ret} {f.name}(void);" for f in functions]
        functions = [f for f in spec.of("nvml") if f.cls not in NO_ANSWER]
        out += [wrap(f.prototype() + ";") for f in functions]
    out += ["", "/* An unsupported entry point looks at none of its parameters. */",
            '#pragma GCC diagnostic ignored "-Wunused-parameter"', ""]
    functions = spec.of(library)
    for function in functions:
        if not function.alias and function.on_wire and not function.by_hand:
            out += generated_call(function)
    for function in functions:
        out += stub(function, by_name[function.alias] if function.alias else function)
    return out[:-1]


def emit_procs(spec: Spec) -> List[str]:
    out = banner("api/versions.txt") + ["#include <cuda.h>", "#include <cudaProfiler.h>", "",
                                        '#include "api/graphics.h"',
                                        '#include "api/tables.h"', ""]
    rows = sorted(spec.versions, key=lambda v: (v.name, v.version))
    by_name = spec.by_name()
    exports = sorted({e for v in rows for e in (v.export, v.export_pt) if e})
    # the headers that declare the graphics ones cannot be included
    out += [wrap(by_name[name].prototype() + ";") for name in exports]
    out += ["", "const struct genie_proc genie_procs[] = {"]
    for version in rows:
        pt = f"(void *){version.export_pt}" if version.export_pt else "NULL"
        out.append(wrap(f"\t{{{string(version.name)}, {version.version}, (void *){version.export}, "
                        f"{pt}}},", "\t"))
    return out + ["};", "", f"const size_t genie_proc_count = {len(rows)};"]


def emit_info(spec: Spec) -> List[str]:
    by_name = spec.by_name()
    out = banner(SOURCES) + ["#include <stddef.h>", "", '#include "api/tables.h"',
                             '#include "genie_ops.h"', "",
                             "const struct genie_api_entry genie_api_entries[GENIE_OP_MAX] = {"]
    for f in sorted(spec.functions, key=lambda f: f.op):
        target = by_name[f.alias] if f.alias else f
        fields = [f".name = {string(f.name)}", f".library = GENIE_LIBRARY_{f.library.upper()}",
                  f".cls = GENIE_CLASS_{target.cls.upper()}"]
        if f.alias:
            fields.append(f".alias = {string(f.alias)}")
        if target.by_hand:
            fields.append(".manual = 1")
        reason = target.unsupported or target.manual
        if reason:
            fields.append(f".reason = {string(reason)}")
        out.append(wrap(f"\t[GENIE_OP_{f.name}] = {{{', '.join(fields)}}},", "\t"))
    return out + ["};"]


def emit_map(spec: Spec) -> List[str]:
    names = sorted([f.name for f in spec.of("cuda", "nvml")] + spec.exports)
    return ["# Generated by genie-gen from the .api files and api/exports.txt; do not edit.", "{",
            "\tglobal:"] + [f"\t\t{name};" for name in names] + ["\tlocal:", "\t\t*;", "};"]
