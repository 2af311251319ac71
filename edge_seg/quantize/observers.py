"""From what was seen of a tensor to its range: five rules, all pure functions.

    low, high = range_of("mse", seen)

    minmax          every value that was seen
    moving-average  the extremes of a frame, averaged over the frames
    percentile      all but the rarest values
    mse             what has the least expected squared error on the grid
    entropy         what keeps most of the histogram's information on the grid

But for min-max, which is what was seen and nothing else, every range holds zero: zero has to be on
the grid (padding), and ONNX Runtime's quantizer widens a range until it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

LEVELS = 256
"""Of the uint8 grid of activations."""
AVERAGING = 0.01
"""The new frame's part in the average: ``averaging_constant`` of PyTorch's
`MovingAverageMinMaxObserver`. Jacob et al. ask for "close to 1" for the old part."""
PERCENT = 99.99
"""One of the four that Wu et al. 2020 (arXiv:2004.09602) compare."""
NEXT_TO_NOTHING = 1e-4
"""Of a value: what an empty bin counts as, in ONNX Runtime's ``smooth_distribution``."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often a tensor took which values.

    ``counts`` int64 (bins,) are of equal bins from ``low`` to ``high``, which hold zero between
    them, and leave out the values that are exactly zero: those are ``zeros``. Half of what a ReLU
    gives is zero, which every grid has, and would count as noise or as information to lose.
    """

    low: float
    high: float
    counts: npt.NDArray[np.int64]
    zeros: int = 0

    def __add__(self, other: Histogram) -> Histogram:
        """Return the histogram of both; their bins must be the same."""
        if (self.low, self.high) != (other.low, other.high):
            raise ValueError("histograms of other bins cannot be added")
        counts = self.counts + other.counts
        return replace(self, counts=counts, zeros=self.zeros + other.zeros)

    @property
    def edges(self) -> Floats:
        """The bins' borders, float64 (bins + 1,)."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)

    @property
    def zero(self) -> float:
        """Where zero lies, in bins from ``low``."""
        return len(self.counts) * -self.low / (self.high - self.low)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of a tensor: the extremes of every frame, in their order, and how often what.

    ``lows`` and ``highs`` are float64 (frames,). There is no histogram of a constant.
    """

    lows: Floats
    highs: Floats
    histogram: Histogram | None = None

    def of(self, frames: Sequence[int]) -> Seen:
        """Return what was seen on these frames alone, still without a histogram."""
        return Seen(self.lows[list(frames)], self.highs[list(frames)])


Rule = Callable[[Seen], Range]


def minmax(seen: Seen) -> Range:
    """Return the lowest and the highest value."""
    return float(seen.lows.min()), float(seen.highs.max())


def moving_average(seen: Seen, constant: float = AVERAGING) -> Range:
    """Return the exponential moving averages of the frames' extremes, the first frame the start.

    Jacob et al. 2018 (arXiv:1712.05877), section 3.1. The only rule that minds the order.
    """
    low, high = seen.lows[0], seen.highs[0]
    for new_low, new_high in zip(seen.lows[1:], seen.highs[1:], strict=True):
        low += constant * (new_low - low)
        high += constant * (new_high - high)
    return _with_zero(seen, low, high)


def percentile(seen: Seen, percent: float = PERCENT) -> Range:
    """Return the bins' borders between which at least ``percent`` of the values lie.

    What is cut is cut in equal parts on both sides, as in ONNX Runtime's ``PercentileCalibrater``.
    """
    histogram = _histogram(seen)
    counts = histogram.counts.copy()
    counts[min(int(histogram.zero), len(counts) - 1)] += histogram.zeros
    share = np.cumsum(counts) / counts.sum()
    cut = (100 - percent) / 200
    first, last = np.searchsorted(share, [cut, 1 - cut])
    edges = histogram.edges
    return _with_zero(seen, edges[first], edges[min(last + 1, len(counts))])


def mse(seen: Seen, levels: int = LEVELS) -> Range:
    """Return the bins' borders with the least expected squared error, searched on both sides.

    The error is the clipped values' distance from the border, and ``step ** 2 / 12`` for all others
    (rounding noise, Widrow 1956): the trade of Banner et al. 2019 (arXiv:1810.05723, "ACIQ"), with
    the histogram in the place of their Laplace or Gauss curve. In a bin values lie evenly.
    """
    histogram = _histogram(seen)
    bins = len(histogram.counts)
    # In units of bins: the sums of counts, of their places and of the places' squares.
    places = np.arange(bins) + 0.5
    powers = np.stack([np.ones(bins), places, places**2 + 1 / 12])
    sums: Floats = np.pad(np.cumsum(powers * histogram.counts, axis=1), ((0, 0), (1, 0)))
    lows = np.arange(int(histogram.zero) + 1)
    highs = np.arange(int(np.ceil(histogram.zero)), bins + 1)
    clipped_low = _squares_from(lows, sums[:, lows])
    clipped_high = _squares_from(highs, sums[:, -1:] - sums[:, highs])
    steps = (highs - lows[:, None]) / (levels - 1)
    noise = steps**2 / 12 * (sums[0, highs] - sums[0, lows][:, None])
    error = noise + clipped_low[:, None] + clipped_high
    error[steps <= 0] = np.inf
    low, high = np.unravel_index(np.argmin(error), error.shape)
    edges = histogram.edges
    return _with_zero(seen, edges[lows[low]], edges[highs[high]])


def _squares_from(border: Places, sums: Floats) -> Floats:
    """Return the sum of (place - border)² of values whose power sums are given (3, borders)."""
    count, first, second = sums
    return second - 2 * border * first + border.astype(float) ** 2 * count


def entropy(seen: Seen, levels: int = LEVELS) -> Range:
    """Return the borders whose grid loses the least information: TensorRT's entropy calibration.

    Migacz 2017 ("8-bit Inference with TensorRT", GTC S7310): of growing windows, the one for which
    the histogram P, its outliers in the window's end bins, has the least divergence from Q, the
    same bins merged into as many as the grid has levels and spread out again. His windows start at
    zero, his values have no sign. Here a window reaches as far to both sides, and no further than
    the values do: the affine grid has all its levels there. Where P has outliers and Q nothing, Q
    gets `NEXT_TO_NOTHING`, or a lone outlier would keep every window from ending in front of it.
    """
    histogram = _histogram(seen)
    first, last = _windows(histogram, levels)
    lost = divergences(histogram.counts.astype(float), first, last, levels)
    # Of equal ones the widest: the sums are good for some twelve digits.
    best = len(lost) - 1 - int(np.argmin(lost.round(12)[::-1]))
    edges = histogram.edges
    return _with_zero(seen, edges[first[best]], edges[last[best]])


def divergences(counts: Floats, first: Places, last: Places, levels: int) -> Floats:
    """Return the divergence of P from Q, in nats, of the windows of bins ``first`` to ``last``.

    ``last`` is the end, behind the window. Running sums do for all windows at once.
    """
    parts = np.arange(levels + 1) * (last - first)[:, None] / levels
    cells = first[:, None] + np.rint(parts).astype(int)
    total, filled = _running(counts), _running(counts > 0)
    below, above = total[first], total[-1] - total[last]
    mass = np.diff(total[cells])
    places = np.diff(filled[cells])
    places[:, 0] += (below > 0) & (counts[first] == 0)
    places[:, -1] += (above > 0) & (counts[last - 1] == 0)
    reference = mass.copy()
    reference[:, 0] += below
    reference[:, -1] += above
    own = _running(_x_log_x(counts))
    information = own[last] - own[first]
    for edge, outliers in ((first, below), (last - 1, above)):
        information += _x_log_x(counts[edge] + outliers) - _x_log_x(counts[edge])
    there = reference > 0
    height = np.maximum(mass[there], NEXT_TO_NOTHING) / places[there]
    crossed = np.zeros_like(mass)
    crossed[there] = reference[there] * np.log(height)
    inside = np.maximum(total[last] - total[first], NEXT_TO_NOTHING)
    return (information - crossed.sum(1)) / total[-1] - np.log(total[-1] / inside)


def _windows(histogram: Histogram, levels: int) -> tuple[Places, Places]:
    """Return the windows' first bins and the ends after their last, narrow to wide."""
    bins = len(histogram.counts)
    reach = np.arange(1, bins + 1)
    first = np.maximum(np.floor(histogram.zero - reach), 0).astype(int)
    last = np.minimum(np.ceil(histogram.zero + reach), bins).astype(int)
    wide = (last - first >= levels) | ((first == 0) & (last == bins))
    pairs = np.unique(np.stack([-first, last])[:, wide], axis=1)
    return -pairs[0], pairs[1]


def _running(values: npt.NDArray[np.generic]) -> Floats:
    """Return the sums of the first none, one, two... values."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=float)])


def _x_log_x(values: Floats) -> Floats:
    return values * np.log(np.where(values > 0, values, 1.0))


def _with_zero(seen: Seen, low: float, high: float) -> Range:
    """Return a range no wider than what was seen and zero, with zero in it."""
    lowest, highest = minmax(seen)
    return min(max(float(low), lowest), 0.0), max(min(float(high), highest), 0.0)


def _histogram(seen: Seen) -> Histogram:
    if seen.histogram is None:
        raise ValueError("this rule needs a histogram")
    return seen.histogram


FROM_EXTREMES: dict[str, Rule] = {"minmax": minmax, "moving-average": moving_average}
"""Rules that one pass over the frames is enough for."""
FROM_HISTOGRAMS: dict[str, Rule] = {"percentile": percentile, "mse": mse, "entropy": entropy}
"""Rules that need a second pass."""
RULES: dict[str, Rule] = {**FROM_EXTREMES, **FROM_HISTOGRAMS}


def range_of(rule: str, seen: Seen) -> Range:
    """Return a tensor's range by one of `RULES`; min-max where it has but one value besides zero.

    There is nothing to trade then: any cut would take that value.
    """
    low, high = minmax(seen)
    if low == high:
        return low, high
    if rule in FROM_HISTOGRAMS:
        histogram = seen.histogram
        if histogram is None or np.count_nonzero(histogram.counts) < 2:
            return low, high
    return RULES[rule](seen)
