"""Counts: a window holds what came since the last one, quantiles are numpy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ros_nodes.segmentation.counts import RECENT, STAGES, Counts

STAGES_S = {stage: number / 1e3 for number, stage in enumerate(STAGES, 1)}


def test_a_window_begins_where_the_last_one_ended() -> None:
    counts = Counts()
    counts.add("received", 3)
    counts.add("dropped")
    first = counts.window()
    assert first.fresh == first.total == {"received": 3, "dropped": 1}
    counts.add("received")
    second = counts.window()
    assert second.fresh == {"received": 1, "dropped": 0}
    assert second.total == {"received": 4, "dropped": 1}
    assert second.rate("received") == pytest.approx(1 / second.seconds)
    assert second.rate("masks") == 0.0


def test_quantiles_of_the_recent_frames_only() -> None:
    counts = Counts()
    rng = np.random.default_rng(0)
    times = rng.uniform(0.0, 1.0, RECENT + 50)
    for seconds in times:
        counts.took({"total": float(seconds)})
    p50, p99 = counts.window().stages_ms["total"]
    assert (p50, p99) == pytest.approx(tuple(1e3 * np.percentile(times[50:], (50, 99))))


def test_what_nobody_knows_is_no_figure() -> None:
    counts = Counts()
    counts.took({**STAGES_S, "transport": math.nan, "total": math.nan})
    window = counts.window()
    assert "transport" not in window.stages_ms
    assert window.stages_ms["queue"] == pytest.approx((2.0, 2.0))
    assert window.total == {"masks": 1}


def test_the_largest_skew_and_lateness_of_a_window() -> None:
    counts = Counts()
    for seconds in (0.1, 0.3, 0.2):
        counts.skewed(seconds)
        counts.late(seconds / 10)
    window = counts.window()
    assert (window.skew_ms, window.late_ms) == pytest.approx((300.0, 30.0))
    assert counts.window().skew_ms == 0.0


def test_the_last_mask_s_age() -> None:
    counts = Counts()
    assert math.isinf(counts.mask_age_s)
    assert math.isinf(counts.window().mask_age_s)
    counts.took(STAGES_S)
    assert 0.0 <= counts.mask_age_s < 1.0


def test_a_malformed_message_keeps_its_reason() -> None:
    counts = Counts()
    counts.malformed("rows of 5 bytes")
    assert counts.window().last_malformed == "rows of 5 bytes"
    assert counts.window().total["malformed"] == 1
