"""The table as a picture: an SVG of bars, written by hand."""

from __future__ import annotations

import math
from html import escape

from sides import OURS, THEIRS, Figure

_COLORS = {THEIRS: "#c9c9c9", OURS: "#2a78b5"}
_LEFT, _WIDTH, _BAR, _GAP = 440, 420, 12, 16
_FONT = "font-family='sans-serif' font-size='12'"


def shows(figure: Figure) -> bool:
    """Whether it is for the picture: a time, and no comment on another."""
    return figure.unit == "ms" and figure.question[0] != " "


def svg(figures: list[Figure]) -> str:
    """Bars on a logarithmic axis, a tick at each goal."""
    values = [figure.median(side) for figure in figures for side in _COLORS]
    values += [figure.goal for figure in figures]
    values = [value for value in values if value]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        share = math.log10(max(value, low) / low) / math.log10(high / low)
        return _LEFT + share * _WIDTH

    height = 56 + len(figures) * (2 * _BAR + _GAP)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_LEFT + _WIDTH + 90}' height='{height}'>",
        "<rect width='100%' height='100%' fill='white'/>",
    ]
    power = low
    while power <= high:
        parts.append(
            f"<line x1='{x(power):.1f}' x2='{x(power):.1f}' y1='24' y2='{height - 24}' "
            f"stroke='#e6e6e6'/><text x='{x(power):.1f}' y='{height - 8}' {_FONT} "
            f"text-anchor='middle'>{power:g} ms</text>"
        )
        power *= 10
    for number, (side, color) in enumerate(_COLORS.items()):
        parts.append(
            f"<rect x='{_LEFT + number * 130}' y='6' width='12' height='12' fill='{color}'/>"
            f"<text x='{_LEFT + 16 + number * 130}' y='16' {_FONT}>{escape(side)}</text>"
        )
    y = 32
    for figure in figures:
        parts.append(
            f"<text x='{_LEFT - 8}' y='{y + _BAR + 4}' {_FONT} text-anchor='end'>"
            f"{escape(figure.question.split(' (')[0])}</text>"
        )
        for number, (side, color) in enumerate(_COLORS.items()):
            value = figure.median(side)
            if value is None:
                continue
            top = y + number * _BAR
            parts.append(
                f"<rect x='{_LEFT}' y='{top}' width='{max(x(value) - _LEFT, 1):.1f}' "
                f"height='{_BAR - 1}' fill='{color}'/>"
                f"<text x='{x(value) + 4:.1f}' y='{top + _BAR - 2}' {_FONT}>{value:.3g}</text>"
            )
        if figure.goal is not None:
            goal = x(figure.goal)
            parts.append(
                f"<line x1='{goal:.1f}' x2='{goal:.1f}' y1='{y - 2}' y2='{y + 2 * _BAR}' "
                "stroke='#d0342c' stroke-width='2'/>"
            )
        y += 2 * _BAR + _GAP
    return "\n".join([*parts, "</svg>", ""])
