"""genie_desc.c: what wire/codec.c knows of each call."""

from typing import List, Optional

from .ctext import banner, kind_macro, string, wrap
from .model import Direction, Function, Length, Param, Spec, wire_order

VERB_KINDS = {"in": "IN", "out": "OUT", "inout": "INOUT", "handle": "IN", "new": "IN", "ret": "OUT"}


def length_fields(function: Function, param: Param, length: Length) -> List[str]:
    """Initialisers that say how many elements, and how large one is."""
    if length.is_bytes or param.pointee == "void":
        fields = [".size = 1", ".align = 1"]
    else:
        where = f"FIELD({function.name}, {param.name})"
        fields = [f".size = sizeof(*{where})", f".align = _Alignof(__typeof__(*{where}))"]
    if length.kind == "versioned":
        fields.append(".versioned = 1")
    elif length.kind == "number":
        fields.append(f".count = {length.number}")
    elif length.kind == "one":
        fields.append(".count = 1")
    elif length.kind == "param":
        counter = function.param(length.param)
        assert counter
        field = f"FIELD({function.name}, {length.param})"
        value = f"*{field}" if length.deref else field
        fields.append(f".len_offset = OFFSET({function.name}, {length.param})")
        fields.append(f".len_size = sizeof({value})")
        fields.append(f".len_signed = SIGNED({value})")
        if length.deref:
            fields.append(".len_deref = 1")
    return fields


def row(function: Function, param: Param, direction: Optional[Direction]) -> str:
    name = function.name
    fields = [f".offset = OFFSET({name}, {param.name})"]
    if not param.pointer:
        fields += [".kind = GENIE_ARG_VALUE", f".size = sizeof(FIELD({name}, {param.name}))"]
    else:
        assert direction
        if direction.length.kind == "str":
            fields += [".kind = GENIE_ARG_STRING", ".size = 1", ".align = 1"]
        else:
            fields.append(f".kind = GENIE_ARG_{VERB_KINDS[direction.verb]}")
            fields += length_fields(function, param, direction.length)
    if direction and direction.kind:
        fields.append(f".handle = {kind_macro(direction.kind)}")
        fields.append(f".use = GENIE_USE_{direction.verb.upper()}")
    if param.name in function.nulls:
        fields.append(".nullable = 1")
    for effect in function.effects:
        if effect.param != param.name:
            continue
        fields.append(f".{effect.verb} = 1")
        if effect.length and effect.length.kind == "param":
            target = effect.length.param
            fields.append(f".len_offset = OFFSET({name}, {target})")
            fields.append(f".len_size = sizeof(FIELD({name}, {target}))")
    if function.stream == param.name:
        fields.append(".stream = 1")
    return wrap(f"\t{{{', '.join([f'.name = {string(param.name)}'] + fields)}}},", "\t")


def emit_desc(spec: Spec) -> List[str]:
    out = banner("the .api and .sem files of api/")
    out += ["#include <stddef.h>", "", '#include "base/token.h"', '#include "genie_args.h"',
            '#include "genie_ops.h"',
            '#include "wire/desc.h"', "",
            "#define FIELD(call, name)  (((struct genie_args_##call *)0)->name)",
            "#define OFFSET(call, name) offsetof(struct genie_args_##call, name)",
            "#define PAD(call, name)    ((sizeof(FIELD(call, name)) + 3) & ~3ul)",
            "#define SIGNED(value)      ((__typeof__(value))-1 < (__typeof__(value))1)", ""]
    functions = spec.wire_functions()
    for function in functions:
        if not function.params:
            continue
        out.append(f"static const struct genie_arg_desc {function.name}_args[] = {{")
        out += [row(function, p, d) for p, d in wire_order(function)]
        out += ["};", ""]
    out.append("const struct genie_op_desc genie_op_descs[GENIE_OP_MAX] = {")
    for function in functions:
        pointers = sum(1 for p in function.params if p.pointer)
        fields = [f".name = {string(function.name)}",
                  f".args_size = sizeof(struct genie_args_{function.name})",
                  f".arg_count = {len(function.params)}", f".pointer_count = {pointers}"]
        values = [f"PAD({function.name}, {p.name})" for p in function.params if not p.pointer]
        if values:
            fields.append(f".value_size = {' + '.join(values)}")
        if function.params:
            fields.append(f".args = {function.name}_args")
        if function.cls == "sync":
            fields.append(".sync = 1")
        if function.query:
            fields.append(".query = 1")
        out.append(wrap(f"\t[GENIE_OP_{function.name}] = {{{', '.join(fields)}}},", "\t"))
    out.append("};")
    return out
