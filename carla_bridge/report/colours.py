"""The colours that the drive's charts have beyond those of `edge_seg.report.svg`.

    axes.plot(x, y, color=SERIES[0])
    svg = inline(figure, "curve", "what is to be seen", {})

They too are markers that become CSS variables of the page, so that one drawing is right in light
and in dark. Size of an error goes from blue over orange to dark red, which readers with a colour
vision deficiency tell apart, and which is steady in lightness.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.figure import Figure

from edge_seg.report.svg import inline_svg

ERROR_STEPS_M = (0.1, 0.25, 0.5, 1.0)
"""Cross-track errors at which the colour changes, metres."""
ERROR = ("#030301", "#030302", "#030303", "#030304", "#030305")
SERIES = ("#040401", "#040402", "#040403", "#040404")
"""One for each driver that is compared."""
ROAD = "#050501"
_VARIABLES = {
    **{marker: f"var(--error-{i + 1})" for i, marker in enumerate(ERROR)},
    **{marker: f"var(--series-{i + 1})" for i, marker in enumerate(SERIES)},
    ROAD: "var(--road)",
}


def error_step(cross_track_m: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the index into `ERROR` of each cross-track error, whichever side it is on."""
    return np.asarray(np.digitize(np.abs(np.asarray(cross_track_m, float)), ERROR_STEPS_M))


def error_names() -> list[str]:
    """Return what each colour of `ERROR` stands for.

    >>> error_names()[:2]
    ['up to 0.1 m', '0.1 to 0.25 m']
    """
    ends = [f"{step:g}" for step in ERROR_STEPS_M]
    between = [f"{low} to {high} m" for low, high in itertools.pairwise(ends)]
    return [f"up to {ends[0]} m", *between, f"over {ends[-1]} m"]


def inline(figure: Figure, key: str, alt: str, hover: dict[str, str]) -> Markup:
    """Return the figure as ``<svg>`` in the page's colours (see `inline_svg`)."""
    svg = str(inline_svg(figure, key, alt, hover))
    for marker, variable in _VARIABLES.items():
        svg = svg.replace(marker, variable)
    return Markup(svg)
