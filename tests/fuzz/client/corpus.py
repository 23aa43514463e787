#!/usr/bin/env python3
"""corpus.py FOLDER: writes the inputs of tests/fuzz/corpus_client, each named after what it does.

Those that begin with "right" are sessions without a lie, one for each way that data and events
take; the others repeat what was found, and lie once in each place where the client looks.
fuzz_client.c says how an input is read."""

import os
import struct
import sys

CALLS = ("devices contexts synchronize streams events host memory pinned registered up down 2d set "
         "pointers shared vmm modules launch occupancy link any graphs captures textures nvml pools "
         "tensor fill threads").split()
KINDS = ("XOR SET32 SET64 TRUNCATE DROP DUPLICATE CLOSE RAW RAW_BULK FRAME STATUS PAYLOAD SCRIBBLE "
         "SILENCE MEMORY SHRINK NOTE DATA ERROR RESIZE").split()
CLASSES = "ANY PREAMBLE WELCOME DEVICES REPLY PROGRESS BULK COMMAND".split()
SCRIBBLES = ("head tail space length status ticket bell progress error bells work count data slots "
             "pinned payload").split()
SHM, TCP, APART, ONE, SASS, CLOSES_FIRST = 0, 1, 2, 8, 16, 128
HEAD = 0x8000  # where: from the beginning of the message, what frames it included
MAX = 2 ** 64 - 1

# Where in struct genie_welcome and struct genie_device_info.
DEVICE_WINDOW, PINNED_WINDOW = 48, 64
BUS_ID, ATTRS = 304, 480
WARP, TEXTURE, PROCESSORS, PITCH, CAPABILITY = 10, 14, 16, 51, 75

SLOT_DATA = 852032  # GENIE_SLOT_BULK_DOWN
SLOT_OUTPUT = 853120


def call(name: str, a: int = 0, b: int = 0) -> bytes:
    return bytes((CALLS.index(name), a, b))


def lie(kind: str, cls: str, after: int = 0, where: int = 0, value: int = 0,
        data: bytes = b"") -> bytes:
    head = bytes((0x80 | KINDS.index(kind), after << 3 | CLASSES.index(cls)))
    return head + struct.pack("<HQ", where, len(data) if data else value & MAX) + data


def each(count: int, kind: str, cls: str, where: int = 0, value: int = 0,
         data: bytes = b"") -> bytes:
    """The same lie about the first @count messages."""
    return b"".join(lie(kind, cls, min(i, 1), where, value, data) for i in range(count))


MEMORY = call("memory", 0, 7 << 3)   # 1 MiB
LARGE = call("memory", 0, 8 << 3)    # 3 MiB
DOWN = call("down", 0, 8 << 3)       # all of that
INFO = call("memory", 0, 4)          # an answer of two numbers
ALL = (MEMORY + call("streams", 1, 0) + call("events", 0, 0) + call("modules", 0, 0) +
       call("modules", 0, 2) + call("pinned", 0, 30))


def right(inputs: dict[str, bytes]) -> None:
    for mode, name in ((SHM, "shm"), (TCP, "tcp"), (APART, "apart")):
        head = bytes((mode, 0))
        inputs[f"right-copies-{name}"] = (
            head + LARGE + call("up", 0, 8 << 3) + DOWN + call("down", 0, 1 | 8 << 3) +
            call("pinned", 1, 30) + call("down", 1, 2 | 7 << 3) + call("synchronize") +
            call("2d", 0, 9))
        inputs[f"right-kernels-{name}"] = (
            bytes((mode | SASS, 0)) + ALL + call("launch", 0, 3) + call("occupancy", 0, 32) +
            call("link", 0, 3) + call("synchronize"))
        inputs[f"right-managed-{name}"] = (
            head + ALL + call("pinned", 0, 33) + call("launch", 0, 3) + call("synchronize") +
            call("modules", 0, 9) + call("launch", 0, 3) + call("synchronize"))
        inputs[f"right-graphs-{name}"] = (
            head + ALL + call("graphs", 0, 0) + call("graphs", 2, 1) + call("graphs", 4, 1) +
            call("graphs", 0, 3) + call("graphs", 0, 4) + call("graphs", 14, 5) +
            call("captures", 1, 0) + call("captures", 1, 2) + call("captures", 1, 1))
        inputs[f"right-functions-{name}"] = (
            bytes((mode | CLOSES_FIRST, 0)) + ALL +
            b"".join(call("host", i & 1, i & 1) for i in range(6)) + call("synchronize") +
            call("synchronize", 1, 1))
        inputs[f"right-shares-{name}"] = (
            head + ALL + call("shared", 0, 3) + call("shared", 0, 2) + call("vmm", 0, 1) +
            call("pools", 31, 3))


def handshake(inputs: dict[str, bytes]) -> None:
    for attribute, name, value in (
            (WARP, "warp", 0), (WARP, "negative-warp", -1), (TEXTURE, "texture", 0),
            (PITCH, "pitch", 0), (PROCESSORS, "processors", 0x7fffffff),
            (CAPABILITY, "capability", 0x7fffffff)):
        inputs[f"device-{name}"] = (
            bytes((ONE, 0)) + ALL + call("occupancy", 0, 32) + call("textures", 0, 3) +
            lie("SET32", "DEVICES", 0, ATTRS + 4 * attribute, value & 0xffffffff))
    inputs["device-bus-id"] = bytes((TCP | ONE, 0)) + call("devices", 0, 60) + b"".join(
        lie("SET64", "DEVICES", 0, BUS_ID + 8 * i, 0x7878787878787878) for i in range(6))
    for base, size, name in (
            (2 ** 45, 0, "empty"), (2 ** 45, 4096, "page"), (MAX - 4095, 4096, "last"),
            (2 ** 45, MAX - 4095, "wrapping"), (2 ** 45 + 1, 2 ** 30, "odd")):
        for what, place, use in (("window", DEVICE_WINDOW, MEMORY + call("pointers", 0, 1)),
                                 ("pinned-window", PINNED_WINDOW, call("pinned", 0, 30))):
            inputs[f"{what}-{name}"] = (
                bytes((TCP, 0)) + use + lie("SET64", "WELCOME", 0, place, base) +
                lie("SET64", "WELCOME", 0, place + 8, size))
    for fd, name in enumerate(("area", "staging", "pinned")):
        head = bytes((APART if fd == 1 else SHM, 0))
        inputs[f"memory-loose-{name}"] = (
            head + ALL + LARGE + DOWN + call("pinned", 0, 30) +
            lie("MEMORY", "WELCOME", 0, 0, 3 << 4 * fd) + lie("SHRINK", "COMMAND", 3, 0, fd))
        for kind, wrong in ((1, "missing"), (2, "short"), (7, "file")):
            inputs[f"memory-{wrong}-{name}"] = (
                head + ALL + lie("MEMORY", "WELCOME", 0, 0, kind << 4 * fd))


def answers(inputs: dict[str, bytes]) -> None:
    head = bytes((SHM, 0)) + ALL
    for value, name in ((-1, "negative"), (1000, "beyond"), (-2 ** 31, "smallest")):
        inputs[f"status-{name}"] = (
            bytes((SHM, 0)) + MEMORY + INFO + lie("STATUS", "REPLY", 0, 0, value & 0xffffffff))
    inputs["error-without-status"] = (
        bytes((SHM, 0)) + MEMORY + call("synchronize") + INFO + lie("ERROR", "COMMAND", 0, 4, 0))
    inputs["variable-2-60"] = head + call("modules", 0, 3) + each(
        4, "PAYLOAD", "REPLY", 8, data=struct.pack("<QQ", 1 << 60, 1))
    inputs["variable-2-45"] = head + call("modules", 0, 9) + each(
        4, "PAYLOAD", "REPLY", 8, data=struct.pack("<QQ", 1 << 45, 1))
    inputs["variable-at-the-end"] = head + call("modules", 0, 3) + call("pointers", 0, 1) + each(
        4, "PAYLOAD", "REPLY", 0, data=struct.pack("<QQ", MAX - 7, 64))
    inputs["blocks-without-end"] = head + call("occupancy", 0, 255) + each(
        8, "PAYLOAD", "REPLY", 0, data=struct.pack("<ii", 0x7fffffff, 0x7fffffff))
    inputs["link-result-2-60"] = bytes((SASS, 0)) + ALL + call("link", 0, 2) + b"".join(
        lie("PAYLOAD", "REPLY", 3 * (i == 0), 8 * i, data=struct.pack("<Q", 1 << 60))
        for i in range(12))
    inputs["serial-without-end"] = bytes((TCP, 0)) + call("nvml", 0, 7) + each(
        6, "PAYLOAD", "REPLY", 0, data=b"x" * 8)
    inputs["reply-too-long"] = (
        bytes((SHM, 0)) + MEMORY + INFO + lie("SET32", "REPLY", 0, HEAD | 8, 2 ** 32 - 1))
    inputs["reply-to-another"] = (
        bytes((TCP, 0)) + MEMORY + INFO + lie("SET64", "REPLY", 0, HEAD | 16, MAX))
    inputs["reply-cut"] = bytes((TCP, 0)) + MEMORY + INFO + lie("TRUNCATE", "REPLY", 0, 4)
    for mode, name in ((SHM, "shm"), (TCP, "tcp")):
        head = bytes((mode, 0))
        inputs[f"reply-shorter-{name}"] = head + MEMORY + INFO + lie("RESIZE", "REPLY", 0, 8)
        inputs[f"reply-longer-{name}"] = head + MEMORY + INFO + lie("RESIZE", "REPLY", 0, 24)
        inputs[f"reply-longest-{name}"] = head + MEMORY + INFO + lie("RESIZE", "REPLY", 0, 65535)
        inputs[f"any-call-{name}"] = head + MEMORY + b"".join(
            call("any", 10 * i, i % 4 | 4 * i) for i in range(25))
        for where, sort in ((0, "once"), (4, "sticky")):
            inputs[f"error-{sort}-{name}"] = (
                head + ALL + call("synchronize") + INFO + call("launch", 0, 1) +
                call("synchronize") + lie("ERROR", "COMMAND", 3, where, 700))
    inputs["frame-too-long"] = (
        bytes((TCP, 0)) + MEMORY + INFO + lie("SET32", "REPLY", 0, HEAD, 2 ** 32 - 1))


def data_and_events(inputs: dict[str, bytes]) -> None:
    head = bytes((TCP, 0)) + LARGE
    inputs["data-only-spoken-of"] = head + DOWN + b"".join(
        lie("NOTE", "COMMAND", 0, 2, SLOT_DATA + i) for i in range(4))
    inputs["data-of-the-future"] = (
        head + DOWN + DOWN + DOWN + each(3, "SET64", "BULK", HEAD | 8, MAX))
    inputs["data-twice"] = head + DOWN + DOWN + lie("DUPLICATE", "BULK", 1)
    inputs["data-unasked"] = head + DOWN + lie("DATA", "COMMAND", 0, 5, 1 << 20)
    inputs["data-dropped"] = head + DOWN + lie("DROP", "BULK", 1)
    inputs["functions-unknown"] = bytes((SHM, 0)) + ALL + call("host", 0, 1) + b"".join(
        lie("NOTE", "COMMAND", 0, 8, i) for i in range(12))
    inputs["output-empty"] = bytes((TCP, 0)) + MEMORY + INFO + call("synchronize") + b"".join(
        lie("FRAME", "COMMAND", 0, 5 + 3 * (i & 1)) for i in range(12))
    inputs["output-spoken-of"] = bytes((TCP, 0)) + ALL + call("synchronize") + lie(
        "NOTE", "COMMAND", 0, 2, SLOT_OUTPUT)
    for mode, name in ((SHM, "shm"), (TCP, "tcp")):
        inputs[f"right-full-{name}"] = bytes((mode, 0)) + MEMORY + call("fill") * 3 + INFO
        inputs[f"full-and-silent-{name}"] = (
            bytes((mode, 0)) + MEMORY + call("fill") * 3 + INFO + lie("CLOSE", "COMMAND", 4, 0, 3))
        inputs[f"right-threads-{name}"] = (
            bytes((mode, 0)) + LARGE + call("threads", 0, 8 << 3) + call("threads", 0, 1 | 7 << 3))
        inputs[f"threads-closed-{name}"] = (
            bytes((mode, 0)) + LARGE + call("threads", 0, 8 << 3) + call("threads", 0, 8 << 3) +
            lie("CLOSE", "COMMAND", 9, 0, 3))
    for i, name in enumerate(SCRIBBLES):
        inputs[f"scribble-{name}"] = (
            bytes((SHM, 0)) + ALL + LARGE + call("up", 0, 8 << 3) + DOWN + INFO +
            call("synchronize") + lie("SCRIBBLE", "COMMAND", 5, i, MAX) +
            lie("SCRIBBLE", "COMMAND", 1, i | 16, 1 << 33))
    for i in range(4):
        inputs[f"close-{i}"] = (
            head + ALL + DOWN + INFO + lie("CLOSE", "ANY", 3 * i, 0, 1 + i % 3))


def main() -> None:
    inputs: dict[str, bytes] = {}
    for add in (right, handshake, answers, data_and_events):
        add(inputs)
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in inputs.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(data)
    print(f"{len(inputs)} inputs in {sys.argv[1]}")


if __name__ == "__main__":
    main()
