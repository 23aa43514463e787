#!/usr/bin/env python3
"""Writes the substitution table of MD2 as a C array, worked out as RFC 1319 describes it.

The RFC calls its table a "random" permutation "constructed from the digits of pi". Its errata and
the literature give the procedure: a Durstenfeld shuffle of 0..255 whose random numbers are drawn
from the decimal digits 3 1 4 1 5 9 ... . Nothing is copied: the digits come from Machin's formula,
and the test vectors of the RFC (tests/unit/test_integrity.c) check the result.
"""

import sys
from typing import Iterator

DIGITS = 900  # about 720 are drawn


def pi_digits(count: int) -> Iterator[int]:
    """The first digits of pi, by Machin: pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    guard = 10
    one = 10 ** (count + guard)

    def arctan_inverse(x: int) -> int:
        power = one // x
        total = power
        n = 1
        while power:
            power //= -x * x
            n += 2
            total += power // n
        return total

    pi = 16 * arctan_inverse(5) - 4 * arctan_inverse(239)
    return (int(digit) for digit in str(pi)[:count])


def draw(digits: Iterator[int], n: int) -> int:
    """A uniform number in 0..n-1: as few digits as n needs, drawn again when it would be biased."""
    while True:
        x, limit = next(digits), 10
        while limit < n:
            x, limit = x * 10 + next(digits), limit * 10
        if x < limit // n * n:
            return x % n


def sbox() -> list[int]:
    digits = pi_digits(DIGITS)
    table = list(range(256))
    for i in range(2, 257):
        j = draw(digits, i)
        table[j], table[i - 1] = table[i - 1], table[j]
    return table


def main() -> None:
    table = sbox()
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("/* made by interpose/md2_sbox.py, do not edit */\n")
        out.write("static const unsigned char md2_sbox[256] = {\n")
        for row in range(0, 256, 16):
            out.write("\t" + ", ".join(f"{x}" for x in table[row : row + 16]) + ",\n")
        out.write("};\n")


if __name__ == "__main__":
    main()
