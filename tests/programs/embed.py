#!/usr/bin/env python3
"""embed.py TEXT NAME HEADER: the text as a C string of that name."""
import sys

text, name, header = sys.argv[1:]
with open(text, encoding="ascii") as source, open(header, "w", encoding="ascii") as out:
    out.write(f"static const char {name}[] =\n")
    for line in source:
        line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        out.write(f'\t"{line}\\n"\n')
    out.write("\t;\n")
