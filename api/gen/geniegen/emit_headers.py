"""genie_ops.h, genie_args.h, genie_driver.h and genie_driver.c, genie_impl.h, genie_exec.h."""

import hashlib
from typing import List

from .ctext import banner, guard, string, wrap
from .model import NO_ANSWER, Function, Spec, wire_order

SOURCES = "the .api and .sem files of api/"


def describe(function: Function) -> str:
    """One line that changes whenever the encoding of the call does."""
    parts = [str(function.op), function.name, function.cls]
    for param, direction in wire_order(function):
        text = f"{param.ctype} {param.name}"
        if direction:
            text += f" {direction.verb} {direction.length} {direction.kind}"
        parts.append(text + (" null" if param.name in function.nulls else ""))
    return ";".join(parts)


def api_hash(spec: Spec) -> int:
    text = "\n".join(describe(f) for f in spec.wire_functions())
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def emit_ops(spec: Spec) -> List[str]:
    body = ["#include <stdint.h>", "", "enum genie_op {"]
    ordered = sorted(spec.functions, key=lambda f: f.op)
    body += [f"\tGENIE_OP_{f.name} = {f.op}," for f in ordered]
    body += ["};", "",
             f"#define GENIE_OP_MAX {ordered[-1].op + 1} /* one more than the last */", "",
             "/* Of ids, classes, parameters and directions of all calls that travel. */",
             f"#define GENIE_SPEC_HASH 0x{api_hash(spec):08x}u", "",
             "/* For HELLO and WELCOME: the same together with the sizes that this build's headers",
             " * gave to every value and element. Two builds with the same value encode alike. */",
             "uint32_t genie_api_hash(void);", "#define GENIE_API_HASH genie_api_hash()"]
    return banner("api/opcodes.txt") + guard("genie_ops.h", body)


def emit_args(spec: Spec) -> List[str]:
    body = ["#include <cuda.h>", "", '#include "api/native.h"', '#include "api/nvml.h"',
            '#include "genie_nvml_types.h"', ""]
    for function in spec.wire_functions():
        body.append(f"struct genie_args_{function.name} {{")
        body.append(f"\t{function.ret} ret;")
        body += [f"\t{p.declare()};" for p in function.params]
        body += ["};", ""]
    return banner(SOURCES) + guard("genie_args.h", body[:-1])


def member(function: Function) -> str:
    params = ", ".join(p.declare() for p in function.params) or "void"
    return wrap(f"\t{function.ret} (*{function.name})({params});", "\t")


def driver_functions(spec: Spec) -> List[Function]:
    return [f for f in spec.of("cuda", "native") if not f.alias]


def nvml_functions(spec: Spec) -> List[Function]:
    return [f for f in spec.of("nvml") if not f.alias and f.cls not in NO_ANSWER]


def emit_nvml_types(spec: Spec) -> List[str]:
    body = ["/* NVML's types that only travel: so many bytes. Others are in api/nvml.h. */"]
    for opaque in spec.opaque:
        if opaque.size == 4:
            body.append(f"typedef unsigned int {opaque.name};")
        else:
            body.append(f"typedef struct {{ _Alignas({opaque.align}) unsigned char "
                        f"bytes[{opaque.size}]; }} {opaque.name};")
    return banner("api/nvml-types.txt") + guard("genie_nvml_types.h", body)


def emit_driver(spec: Spec) -> List[str]:
    body = ["#include <cuda.h>", "#include <cudaProfiler.h>", "#include <stddef.h>", "",
            '#include "api/graphics.h"', '#include "api/native.h"', '#include "api/nvml.h"',
            '#include "genie_nvml_types.h"', "",
            "struct genie_driver {"]
    body += [member(f) for f in driver_functions(spec)]
    body += ["};", "", "struct genie_nvml {"]
    body += [member(f) for f in nvml_functions(spec)]
    body += ["};", "", "/* Where in the struct the function of that name is. */",
             "struct genie_driver_name {", "\tconst char *name;", "\tsize_t offset;", "};",
             "extern const struct genie_driver_name genie_driver_names[];",
             "extern const size_t genie_driver_name_count;",
             "extern const struct genie_driver_name genie_nvml_names[];",
             "extern const size_t genie_nvml_name_count;"]
    return banner(SOURCES) + guard("genie_driver.h", body)


def emit_driver_c(spec: Spec) -> List[str]:
    out = banner(SOURCES) + ['#include "genie_driver.h"']
    for name, functions in (("driver", driver_functions(spec)), ("nvml", nvml_functions(spec))):
        out += ["", f"const struct genie_driver_name genie_{name}_names[] = {{"]
        out += [wrap(f"\t{{{string(f.name)}, offsetof(struct genie_{name}, {f.name})}},", "\t")
                for f in functions]
        out += ["};", f"const size_t genie_{name}_name_count = {len(functions)};"]
    return out


def emit_impl(spec: Spec) -> List[str]:
    body = ["#include <cuda.h>", "#include <cudaProfiler.h>", "", '#include "api/nvml.h"',
            '#include "genie_nvml_types.h"', ""]
    body += [wrap(f.prototype("genie_") + ";") for f in spec.functions if f.by_hand]
    return banner(SOURCES) + guard("genie_impl.h", body)


EXEC_PROLOGUE = """\
#include <stdint.h>

#include "base/token.h"
#include "genie_args.h"
#include "genie_driver.h"
#include "genie_ops.h"

struct genie_session;

/*
 * Executes one decoded call: handles become the backend's, the function is called, handles that
 * came back become tokens. @args is the struct genie_args_<name> of @op. Returns (and leaves in
 * args->ret) the status for the reply.
 */
int32_t genie_invoke(struct genie_session *session, enum genie_op op, void *args);

/* ---- what the generated thunks ask of a session (remote/) ---- */

const struct genie_driver *genie_session_driver(struct genie_session *session);
const struct genie_nvml *genie_session_nvml(struct genie_session *session);

/* The backend's object behind @token; a stream that is resolved is about to be used. 0, or the
 * status the call fails with. */
int32_t genie_session_resolve(struct genie_session *session, enum genie_kind kind, uint64_t token,
			      void **ret_handle);
/* @token, made by the client, now stands for @handle. 0, or the status the call fails with. */
int32_t genie_session_bind(struct genie_session *session, enum genie_kind kind, uint64_t token,
			   void *handle);
/* A token for a handle that the backend named; the same handle has the same token. 0, or the
 * status the call fails with. */
int32_t genie_session_name(struct genie_session *session, enum genie_kind kind, void *handle,
			   uint64_t *ret_token);
/* The object is gone: the token means nothing any more. */
void genie_session_drop(struct genie_session *session, enum genie_kind kind, uint64_t token);

/* 0 when [@addr, @addr + @size) is device memory of the session, or the status the call fails
 * with. */
int32_t genie_session_address(struct genie_session *session, uint64_t addr, uint64_t size);

/* ---- calls that the worker executes by hand: args hold tokens, as the client sent them ---- */
"""


def emit_exec(spec: Spec) -> List[str]:
    body = EXEC_PROLOGUE.split("\n")
    for f in spec.wire_functions():
        if f.exec_manual:
            body.append(wrap(f"{f.ret} genie_exec_{f.name}(struct genie_session *session, "
                             f"struct genie_args_{f.name} *args);"))
    return banner(SOURCES) + guard("genie_exec.h", body)
