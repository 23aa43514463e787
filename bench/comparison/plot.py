"""Plots as SVG, without a library. Every plot is a picture of numbers that the tables have too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

# Colours that are told apart with any eyes (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#444444")
FONT = "font-family='sans-serif' font-size='11'"
LEFT, TOP, ROW, BAR_WIDTH = 130, 40, 15, 520


@dataclass
class Bar:
    label: str
    value: float
    low: float | None = None
    high: float | None = None


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {more}>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return (f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' "
            f"stroke='{colour}' {more}/>")


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers that cover the range."""
    span = max(high - low, 1e-12)
    step = 10.0 ** math.floor(math.log10(span / count))
    step *= next(f for f in (1, 2, 5, 10) if span / (step * f) <= count)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _document(width: float, height: float, title: str, body: Sequence[str]) -> str:
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' {FONT} role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{width:.0f}' height='{height:.0f}' fill='white'/>",
        _text(10, 18, title, more="font-size='14' font-weight='bold'"), *body, "</svg>"]) + "\n"


def _legend(names: Sequence[str], y: float) -> list[str]:
    parts, x = [], float(LEFT)
    for i, name in enumerate(names):
        parts += [f"<rect x='{x:.0f}' y='{y - 9:.0f}' width='10' height='10' "
                  f"fill='{COLOURS[i % len(COLOURS)]}'/>", _text(x + 14, y, name)]
        x += 26 + 6.5 * len(name)
    return parts


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar | None]]], names: Sequence[str],
         unit: str, mark: float | None = None) -> str:
    """Horizontal bars in groups, one bar for each name (None: nothing there), whiskers from low to
    high. @mark: a line at that value. What is beyond four times the third quartile's reach is cut
    off and says its number."""
    values = [bar.high or bar.value for _, row in groups for bar in row if bar]
    if not values:
        return _document(400, 60, title, [_text(10, 40, "no values")])
    largest = _cut(values, mark)
    scale = BAR_WIDTH / largest
    height = TOP + sum(len(row) * ROW + 10 for _, row in groups) + 60
    body, y = [], float(TOP)
    bottom = height - 50
    for tick in ticks(0, largest):
        x = LEFT + tick * scale
        body += [_line(x, TOP - 5, x, bottom, "#dddddd"), _text(x, bottom + 14, f"{tick:g}",
                                                               "middle")]
    for group, row in groups:
        body.append(_text(LEFT - 8, y + len(row) * ROW / 2 + 4, group, "end"))
        for i, bar in enumerate(row):
            if bar:
                body += _bar(bar, y, scale, largest, COLOURS[i % len(COLOURS)])
            y += ROW
        y += 10
    if mark is not None:
        x = LEFT + mark * scale
        body.append(_line(x, TOP - 5, x, bottom, "#000000", "stroke-dasharray='4 3'"))
    body += [_text(LEFT + BAR_WIDTH / 2, bottom + 28, unit, "middle"),
             *_legend(names, height - 6)]
    return _document(LEFT + BAR_WIDTH + 90, height, title, body)


def _cut(values: Sequence[float], mark: float | None) -> float:
    ordered = sorted(values)
    usual = ordered[len(ordered) * 3 // 4] * 4
    return max(min(ordered[-1], max(usual, mark or 0)), mark or 0, 1e-9) * 1.05


def _bar(bar: Bar, y: float, scale: float, largest: float, colour: str) -> list[str]:
    end = min(bar.value, largest)
    parts = [f"<rect x='{LEFT}' y='{y + 2:.1f}' width='{max(end * scale, 0.5):.1f}' "
             f"height='{ROW - 4}' fill='{colour}'><title>{escape(bar.label)}</title></rect>"]
    if bar.low is not None and bar.high is not None:
        low, high = (LEFT + min(v, largest) * scale for v in (bar.low, bar.high))
        middle = y + ROW / 2
        parts += [_line(low, middle, high, middle, "#000000"),
                  _line(low, middle - 3, low, middle + 3, "#000000"),
                  _line(high, middle - 3, high, middle + 3, "#000000")]
    x = LEFT + min(max(end, bar.high or 0), largest) * scale + 4
    return [*parts, _text(x, y + ROW - 4, f"{bar.value:.3g}", more="font-size='9'")]


def stacked(title: str, rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str],
            unit: str) -> str:
    """One bar a row, made of one piece for each name."""
    largest = max((sum(pieces) for _, pieces in rows), default=0.0)
    if largest <= 0:
        return _document(400, 60, title, [_text(10, 40, "no values")])
    scale, height = BAR_WIDTH / largest / 1.05, TOP + len(rows) * (ROW + 6) + 60
    bottom, body, y = height - 50, [], float(TOP)
    left = LEFT + 90
    for tick in ticks(0, largest):
        body += [_line(left + tick * scale, TOP - 5, left + tick * scale, bottom, "#dddddd"),
                 _text(left + tick * scale, bottom + 14, f"{tick:g}", "middle")]
    for label, pieces in rows:
        x = float(left)
        body.append(_text(left - 8, y + ROW - 4, label, "end"))
        for i, piece in enumerate(pieces):
            body.append(f"<rect x='{x:.1f}' y='{y:.1f}' width='{piece * scale:.1f}' "
                        f"height='{ROW}' fill='{COLOURS[i % len(COLOURS)]}'>"
                        f"<title>{escape(names[i])}: {piece:.4g}</title></rect>")
            x += piece * scale
        y += ROW + 6
    body += [_text(left + BAR_WIDTH / 2, bottom + 28, unit, "middle"),
             *_legend(names, height - 6)]
    return _document(left + BAR_WIDTH + 30, height, title, body)


def curves(title: str, lines: Sequence[tuple[str, Sequence[float]]], unit: str) -> str:
    """Distribution functions: how much of the sample is at most x, on a logarithmic axis."""
    positive = [value for _, values in lines for value in values if value > 0]
    if not positive:
        return _document(400, 60, title, [_text(10, 40, "no values")])
    low, high = math.log10(min(positive)), math.log10(max(positive))
    high = max(high, low + 0.1)
    width, deep = BAR_WIDTH, 220

    def place(value: float) -> float:
        return LEFT + (math.log10(max(value, 10**low)) - low) / (high - low) * width

    body = []
    for power in range(math.floor(low), math.ceil(high) + 1):
        for factor in (1, 2, 5):
            value = factor * 10.0**power
            if low <= math.log10(value) <= high:
                body += [_line(place(value), TOP, place(value), TOP + deep, "#dddddd"),
                         _text(place(value), TOP + deep + 14, f"{value:g}", "middle")]
    for share in (0, 0.25, 0.5, 0.75, 0.9, 1):
        y = TOP + deep * (1 - share)
        body += [_line(LEFT, y, LEFT + width, y, "#eeeeee"), _text(LEFT - 6, y + 4, f"{share:g}",
                                                                  "end")]
    for i, (_, values) in enumerate(lines):
        ordered = sorted(v for v in values if v > 0)
        shown = ordered[::max(1, len(ordered) // 400)]
        points = " ".join(
            f"{place(v):.1f},{TOP + deep * (1 - (k + 1) / len(shown)):.1f}"
            for k, v in enumerate(shown))
        body.append(f"<polyline points='{points}' fill='none' stroke-width='1.5' "
                    f"stroke='{COLOURS[i % len(COLOURS)]}'/>")
    body += [_text(LEFT + width / 2, TOP + deep + 30, unit, "middle"),
             *_legend([name for name, _ in lines], TOP + deep + 50)]
    return _document(LEFT + width + 40, TOP + deep + 60, title, body)
