"""How a study puts a comparison into words, and several that show the same into one sentence.

say(Compared("litert int8", "float", Interval(0.31, 0.12, 0.52, 14)), "mean IoU")
together("litert int8 against float", quiet, "mean IoU", "3 networks")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_seg.figures import figure
from edge_seg.study.intervals import Interval, Values, bootstrap


class Compared(NamedTuple):
    """One row against another: ``found`` is of the other's score minus this one's.

    ``rest`` ends the sentence: what seeds and pixels say.
    """

    name: str
    other: str
    found: Interval
    rest: str = ""

    @property
    def is_quiet(self) -> bool:
        """Say whether there is an interval, and no difference in two decimals."""
        shows = self.found.shows_a_difference and float(figure(self.found.mean)) != 0
        return self.found.low is not None and not shows

    @property
    def reach(self) -> float:
        """How far from zero the interval goes."""
        return max(abs(self.found.low or 0), abs(self.found.high or 0))


def say(one: Compared, measure: str) -> str:
    """Return the sentence of one comparison."""
    return sentence(one.name, one.found, one.other, measure) + one.rest


def together(subject: str, quiet: Sequence[Compared], measure: str, of: str) -> str:
    """Return one sentence for several comparisons that show nothing; ``of`` counts them."""
    widest = max(quiet, key=lambda one: one.reach)
    if widest.reach == 0:
        count = widest.found.count
        return f"{subject}: no difference in {of}, the same {measure} on all {count} frames"
    reach = figure(widest.reach) if float(figure(widest.reach)) else "under 0.005"
    return (
        f"{subject}: no difference in {measure} can be seen in {of}; the farthest that an interval "
        f"reaches is {reach} points ({widest.name} against {widest.other})"
    )


def sentence(name: str, found: Interval, other: str, measure: str = "mean IoU") -> str:
    """Return what an interval of ``other`` minus ``name`` says.

    >>> sentence("litert int8", Interval(0.31, 0.12, 0.52, 14), "float")
    'litert int8 loses 0.31 points of mean IoU against float (0.12 to 0.52, 14 frames)'
    """
    if found.low is None or found.high is None:
        return (
            f"{name} against {other}: {signed(-found.mean)} points of {measure} over "
            f"{found.count} frame{'s' if found.count > 1 else ''}, too few for an interval"
        )
    if found.low == found.high == 0:
        return (
            f"{name} against {other}: no difference, the same {measure} on all {found.count} frames"
        )
    if _under_two_decimals(found):
        return (
            f"{name} against {other}: no difference in {measure} can be seen in two decimals "
            f"(under 0.005 points, {found.count} frames)"
        )
    if not found.shows_a_difference:
        span = f"{signed(-found.high)} to {signed(-found.low)}, {found.count} frames"
        return (
            f"{name} against {other}: no difference in {measure} can be seen "
            f"({signed(-found.mean)} points, {span})"
        )
    loses = found.mean > 0
    low, high = sorted((abs(found.low), abs(found.high)))
    return (
        f"{name} {'loses' if loses else 'gains'} {figure(abs(found.mean))} points of {measure} "
        f"against {other} ({figure(low)} to {figure(high)}, {found.count} frames)"
    )


def _under_two_decimals(found: Interval) -> bool:
    """Say whether a difference, or all that an interval reaches, is 0.00 points as they are shown.

    Where it is not surely one and may be larger, the interval is worth more than that.
    """
    assert found.low is not None and found.high is not None
    widest = found.mean if found.shows_a_difference else max(-found.low, found.high)
    return float(figure(widest)) == 0


def signed(value: float) -> str:
    """Return points with their sign, none on zero."""
    text = figure(value)
    return text if value < 0 or float(text) == 0 else f"+{text}"


class Share(NamedTuple):
    """A row's median time over float's, with its interval."""

    ratio: float
    low: float | None
    high: float | None

    @property
    def side(self) -> int:
        """-1 where it is surely faster, 1 where surely slower, else 0."""
        if self.low is None or self.high is None:
            return 0
        return -1 if self.high < 1 else int(self.low > 1)


def share(mine: Sequence[float], floats: Sequence[float]) -> Share:
    """Return the ratio of two medians, of frames in milliseconds."""
    ours, theirs = np.asarray(mine), np.asarray(floats)
    ratio = float(np.median(ours) / np.median(theirs))
    return Share(ratio, *bootstrap(_ratio_of_medians, ours, theirs))


def _ratio_of_medians(mine: Values, floats: Values) -> Values:
    return np.asarray(np.median(mine, axis=1) / np.median(floats, axis=1))


def share_of_time(one: Share) -> str:
    """Return what a ratio of medians says.

    >>> share_of_time(Share(0.5, 0.45, 0.56))
    "takes 0.50 (0.45 to 0.56) of float's time"
    """
    ratio = figure(one.ratio)
    if one.low is None or one.high is None:
        return f"takes {ratio} of float's time over too few frames for an interval"
    if one.side == 0:
        span = f"{figure(one.low)} to {figure(one.high)}"
        return f"no difference to float's time can be seen ({ratio} of it, {span})"
    return f"takes {ratio} ({figure(one.low)} to {figure(one.high)}) of float's time"


def shares_of_time(several: Sequence[Share]) -> str:
    """Return the same of networks that are all faster, all slower, or none surely either."""
    if len(several) == 1:
        return share_of_time(several[0])
    ratios = span([one.ratio for one in several])
    ends = [end for one in several for end in (one.low, one.high) if end is not None]
    if len(ends) < 2 * len(several):
        return f"takes {ratios} of float's time over too few frames for an interval"
    reach = span(ends)
    if several[0].side == 0:
        return f"no difference to float's time can be seen ({ratios} of it, {reach})"
    return f"takes {ratios} (intervals from {reach}) of float's time"


def span(values: Sequence[float]) -> str:
    """Return the least and the largest, or the one that both are as they are shown.

    >>> span([0.254, 0.251]), span([0.3, 0.251])
    ('0.25', '0.25 to 0.30')
    """
    ends = dict.fromkeys((figure(min(values)), figure(max(values))))
    return " to ".join(ends)
