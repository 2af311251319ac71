"""The mean of a few values, and how far it would move with other ones of their kind.

    interval(drops)              # Interval(mean=0.31, low=0.12, high=0.52, count=14)

A 95 % percentile bootstrap (Efron, "Bootstrap methods: another look at the jackknife", Annals of
Statistics 1979), expanded for few values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 5000
FEWEST = 8
"""Values under which there is no interval: resamples of fewer take too few different means."""

Values = npt.NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True):
    """A mean with its interval; ``low`` and ``high`` are None where there are too few values."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def shows_a_difference(self) -> bool:
        """Say whether zero is outside."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of values with its bootstrap interval; equal values give equal numbers."""
    array = np.asarray(values, np.float64)
    low, high = bootstrap(lambda rows: rows.mean(axis=1), array)
    return Interval(float(array.mean()), low, high, len(array))


def bootstrap(
    statistic: Callable[..., Values], *samples: Values
) -> tuple[float | None, float | None]:
    """Return the 95 % percentile interval of a statistic of resampled rows.

    ``statistic`` gets one array (`RESAMPLES`, n) for each sample, resampled apart, and returns
    (`RESAMPLES`,). (None, None) where a sample has fewer than `FEWEST` values.
    """
    if min(map(len, samples)) < FEWEST:
        return None, None
    random = np.random.default_rng(0)
    drawn = [
        sample[random.integers(0, len(sample), (RESAMPLES, len(sample)))] for sample in samples
    ]
    outside = 100 * tail(min(map(len, samples)))
    low, high = np.percentile(statistic(*drawn), (outside, 100 - outside))
    return float(low), float(high)


def tail(count: int) -> float:
    """Return the part of the resamples to leave out at each end, for so many values.

    The plain percentile interval of 2.5 % is too short for few values: this is the expanded one,
    as long as Student's t would be (Hesterberg 2015, "What teachers should know about the
    bootstrap", arXiv:1411.5279). The t quantile is the expansion of Abramowitz and Stegun, 26.7.5.

    >>> round(tail(10), 4), round(tail(64), 4), round(tail(10_000), 4)
    (0.0086, 0.022, 0.025)
    """
    normal = NormalDist()
    z, free = normal.inv_cdf(0.5 + LEVEL / 2), count - 1
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return normal.cdf(-math.sqrt(count / free) * student)
