"""How a program is run: natively, through Genie in one of its ways, or by another system.

    native                      as it is
    shm, tcp                    through Genie
    shm:sync                    with GENIE_SYNC=1: one call, one reply
    shm:cold                    the server begins with no kernel image
    tcp@25gbit/20us             over the impairment proxy: rate, round trip
    shm:GENIE_PERF=no_inline    with an environment variable
    shm:build=DIR               as built in DIR

Words after ":" may be put together: tcp@25gbit/20us:sync:build=/tmp/other. Another system is a
baseline, NAME='ENV=VALUE … PREFIX …', see docs/baselines.md.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

TRANSPORTS = ("shm", "tcp")
RATE_UNITS = {"gbit": 9, "mbit": 6, "kbit": 3}  # powers of ten
TIME_UNITS = {"us": -6, "ms": -3, "s": 0}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
OWN = ("GENIE_SERVER", "GENIE_STATS", "LD_PRELOAD", "GENIE_TOKEN")


class Wrong(Exception):
    """What was typed means nothing; the text says what."""


@dataclass(frozen=True)
class Impairment:
    bits_per_second: float
    round_trip_s: float

    def describe(self) -> str:
        return f"{self.bits_per_second / 1e9:g} Gb/s, {self.round_trip_s * 1e6:g} µs round trip"


@dataclass
class Setting:
    name: str
    kind: str  # native, genie, baseline
    transport: str = ""
    impairment: Impairment | None = None
    cold: bool = False
    build: str = ""
    env: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)
    server: list[str] = field(default_factory=list)  # of a baseline

    def describe(self) -> dict[str, object]:
        """For the result file."""
        found: dict[str, object] = {"kind": self.kind, "env": dict(self.env)}
        if self.transport:
            found["transport"] = self.transport
        if self.impairment:
            found["rate_bits"] = self.impairment.bits_per_second
            found["round_trip_s"] = self.impairment.round_trip_s
        for name in ("cold", "build", "prefix", "server"):
            if value := getattr(self, name):
                found[name] = value
        return found


def _parse_quantity(text: str, units: dict[str, int]) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    if not match or match[2] not in units or not float(match[1]) > 0:
        raise Wrong(f"{text!r} is none of {', '.join('1' + unit for unit in units)}")
    return float(f"{match[1]}e{units[match[2]]}")


def parse_impairment(text: str) -> Impairment:
    rate, slash, trip = text.partition("/")
    if not slash:
        raise Wrong(f"{text!r} is no RATE/ROUNDTRIP, like 25gbit/20us")
    return Impairment(_parse_quantity(rate, RATE_UNITS), _parse_quantity(trip, TIME_UNITS))


def parse_setting(text: str, baselines: dict[str, Setting] | None = None) -> Setting:
    if baselines and text in baselines:
        return baselines[text]
    head, *words = text.split(":")
    base, at, where = head.partition("@")
    if base == "native" and not at:
        setting = Setting(text, "native")
    elif base in TRANSPORTS:
        setting = Setting(text, "genie", base)
        if at:
            if base != "tcp":
                raise Wrong(f"{text}: only tcp can be impaired")
            setting.impairment = parse_impairment(where)
    else:
        raise Wrong(f"no setting {text!r}: native, {', '.join(TRANSPORTS)}, tcp@RATE/ROUNDTRIP, "
                    "or the name of a --baseline")
    for word in words:
        if word in ("sync", "cold") or word.startswith("build="):
            if setting.kind != "genie":
                raise Wrong(f"{text}: {word} means nothing without Genie")
        if word == "sync":
            setting.env["GENIE_SYNC"] = "1"
        elif word == "cold":
            setting.cold = True
        elif word.startswith("build="):
            setting.build = word.removeprefix("build=")
        elif VARIABLE.match(word):
            name, _, value = word.partition("=")
            if name in OWN:
                raise Wrong(f"{text}: {name} is set by bench/compare itself")
            setting.env[name] = value
        else:
            raise Wrong(f"{text}: {word!r} is neither sync, cold, build=DIR nor a variable")
    return setting


def _split_named(text: str, what: str) -> tuple[str, list[str]]:
    name, equals, rest = text.partition("=")
    if not equals or not NAME.fullmatch(name):
        raise Wrong(f"{what} {text!r}: NAME='…' is needed")
    try:
        return name, shlex.split(rest)
    except ValueError as error:
        raise Wrong(f"{what} {name}: {error}") from error


def _split_env(words: list[str]) -> tuple[dict[str, str], list[str]]:
    env = {}
    while words and VARIABLE.match(words[0]):
        name, _, value = words[0].partition("=")
        env[name] = value
        words = words[1:]
    return env, words


def parse_baselines(commands: list[str], servers: list[str]) -> dict[str, Setting]:
    """--baseline and --baseline-server, by name. {port} in either is a free port of the loopback."""
    found: dict[str, Setting] = {}
    for text in commands:
        name, words = _split_named(text, "--baseline")
        if name in found or name in ("native", *TRANSPORTS):
            raise Wrong(f"--baseline {name}: that name is taken")
        env, prefix = _split_env(words)
        if not env and not prefix:
            raise Wrong(f"--baseline {name}: neither a variable nor a command")
        found[name] = Setting(name, "baseline", env=env, prefix=prefix)
    for text in servers:
        name, words = _split_named(text, "--baseline-server")
        if name not in found:
            raise Wrong(f"--baseline-server {name}: there is no --baseline {name}")
        if not words:
            raise Wrong(f"--baseline-server {name}: no command")
        found[name].server = words
    return found


def fill_in(words: list[str], port: int) -> list[str]:
    return [word.replace("{port}", str(port)) for word in words]


def needs_port(setting: Setting) -> bool:
    return any("{port}" in word
               for word in [*setting.env.values(), *setting.prefix, *setting.server])
