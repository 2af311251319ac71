"""A matplotlib figure as inline SVG that takes its colours and its font from the page.

    with drawing():
        figure = canvas(520, 200)
        axes = figure.add_subplot()
        axes.plot([1], [2], "o", color=INK, gid="p0")
        svg = inline_svg(figure, key="demo", alt="one point", hover={"p0": "the point"})

Matplotlib knows no CSS variables, so figures are drawn in marker colours (`INK`, ...), one for
each variable, which are exchanged for ``var(--ink)`` and so on in the finished drawing. One
drawing is thus right in light and in dark. The same figure always gives the same text.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, LINE, SURFACE = "#010101", "#010102", "#010103", "#010104"
STATUS_COLOUR = {
    "winner": "#020201",
    "passed": "#020202",
    "rejected": "#020203",
    "failed": "#020204",
    "baseline": "#020205",
}
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    SURFACE: "--surface",
    **{colour: f"--{status}" for status, colour in STATUS_COLOUR.items()},
}
WIDE, MEDIUM, NARROW = 680, 520, 340
"""Widths of drawings in CSS pixels: across a desktop page, half of one, a phone."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # real text: the page's font, and it can be selected and read out
    "svg.hashsalt": "edge-seg",  # ids from the content, not from chance
    "text.parse_math": False,  # a layer may be called "$x"
    "font.family": "DejaVu Sans",  # ships with matplotlib; wide, so labels measured in it fit
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw in the page's style inside this block, whatever matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The browser has glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of a size in CSS pixels; its texts can be measured."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def short(name: str, width: int) -> str:
    """Return a name cut in its middle to what a chart of this width has room for."""
    room = 20 if width <= NARROW else 30
    if len(name) <= room:
        return name
    return f"{name[: room // 2 - 1]}\u2026{name[-(room - room // 2) :]}"


def inline_svg(figure: Figure, key: str, alt: str, hover: dict[str, str]) -> Markup:
    """Return the figure as an ``<svg>`` element.

    ``key`` keeps its ids apart from those of other drawings on the page; ``hover`` is the
    text shown over the artists with those gids.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # The style sheet in there would reach the whole page; page.css has its rules.
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _simplify(element, key, hover)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": alt,
        "style": f"max-width: {float(root.attrib['viewBox'].split()[2]) * 1.2:.0f}px",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _simplify(element: ElementTree.Element, key: str, hover: dict[str, str]) -> None:
    """Drop namespaces, exchange colours and font, keep ids apart, add the hover text."""
    element.tag = element.tag.split("}")[-1]
    attributes = {name.split("}")[-1]: value for name, value in element.attrib.items()}
    if attributes.get("id") in hover:
        title = ElementTree.Element("title")
        title.text = hover[attributes["id"]]
        element.insert(0, title)
        attributes["class"] = "point"
    for name, value in attributes.items():
        if name == "id":
            value = f"{key}-{value}"
        elif name == "href":
            value = f"#{key}-{value[1:]}"
        else:
            value = value.replace("url(#", f"url(#{key}-")
        if name == "style":
            value = re.sub(r"#0[12]0[12]0[1-5]", lambda m: f"var({_VARIABLES[m[0]]})", value)
            value = re.sub(r"font: ((?:[a-z]+ )*)([\d.]+px)[^;]*", _font, value)
        attributes[name] = value
    element.attrib = attributes


def _font(match: re.Match[str]) -> str:
    weight = "; font-weight: 600" if "bold" in match[1] else ""
    return f"font-size: {match[2]}{weight}"
