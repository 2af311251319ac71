"""Ranges by five rules: histograms worked by hand, brute force, and other libraries' observers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from every_operator import every_operator
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnxruntime.quantization.calibrate import HistogramCollector
from small_graphs import conv_net, model_of, noise_frame, recipe_for
from torch.ao.quantization import HistogramObserver, MovingAverageMinMaxObserver

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import Recipe, collect_ranges, float_graph, quantize_graph
from edge_seg.quantize.histograms import BINS, count, count_values, extremes, spans
from edge_seg.quantize.observer_search import held_out, search_ranges
from edge_seg.quantize.observers import (
    RULES,
    Histogram,
    Seen,
    divergences,
    entropy,
    minmax,
    moving_average,
    mse,
    percentile,
    range_of,
)
from edge_seg.quantize.ranges import kept_tensors
from edge_seg.quantize.sensitivity import simulate, sqnr_db

SPEC = InputSpec(16, 24)
Values = npt.NDArray[np.float32]


def binned(low: float, high: float, counts: Sequence[int], zeros: int = 0) -> Seen:
    histogram = Histogram(low, high, np.array(counts), zeros)
    return Seen(np.array([low]), np.array([high]), histogram)


def seen_of(values: Values, bins: int = BINS) -> Seen:
    low, high = float(values.min()), float(values.max())
    histogram = count(values, min(low, 0.0), max(high, 0.0), bins)
    return Seen(np.array([low]), np.array([high]), histogram)


def by_frames(*extremes_of: tuple[float, float]) -> Seen:
    lows, highs = zip(*extremes_of, strict=True)
    return Seen(np.array(lows, float), np.array(highs, float))


def test_the_rules_have_an_order() -> None:
    assert list(RULES) == ["minmax", "moving-average", "percentile", "mse", "entropy"]


def test_minmax_is_what_was_seen() -> None:
    assert minmax(by_frames((-1, 2), (-3, 1))) == (-3, 2)
    assert minmax(by_frames((1, 2), (0.5, 4))) == (0.5, 4)


def test_a_moving_average_by_hand() -> None:
    seen = by_frames((-1, 2), (-3, 1), (-6, 5.5))
    assert moving_average(seen, constant=0.5) == (-4, 3.5)
    assert moving_average(by_frames((-1, 2))) == (-1, 2)
    assert moving_average(by_frames((1, 2), (3, 4)), constant=0.5) == (0, 3)


def test_a_moving_average_is_that_of_pytorch() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.normal(0, 1 + k, 50).astype(np.float32) for k in range(20)]
    peer = MovingAverageMinMaxObserver()
    for frame in frames:
        peer(torch.from_numpy(frame))
    found = moving_average(by_frames(*((f.min(), f.max()) for f in frames)))
    assert found == pytest.approx((float(peer.min_val), float(peer.max_val)), rel=1e-5)


TEN_BINS = [1, 9, 10, 10, 20, 20, 10, 10, 9, 1]


@pytest.mark.parametrize(
    ("percent", "zeros", "expected"),
    [
        (100, 0, (-5, 5)),
        (96, 0, (-4, 4)),  # 2 of the 100 values on each side: the single ones go
        (70, 0, (-3, 3)),  # 15 on each side: 10 go, 20 would be too many
        (96, 9900, (0, 1)),  # zeros are values too: 200 on each side
    ],
)
def test_percentiles_by_hand(percent: float, zeros: int, expected: tuple[float, float]) -> None:
    assert percentile(binned(-5, 5, TEN_BINS, zeros), percent) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("few", "many", "levels", "highest"),
    [
        # Two levels, zero and the end, so that rounding noise is end² / 12 a value of the first
        # bin. Cut by 1, 2, 3 bins a value of the last is off by 1/3, 7/3, 19/3, squared.
        (1, 1, 2, 3),  # 2.67, 1.08, 2.67, 6.42
        (1, 12, 2, 2),  # 17.3, 9.33, 6.33, 7.33
        (1, 24, 2, 1),  # 33.3, 18.3, 10.3, 8.33
        (1, 12, 256, 4),  # a fine grid has no noise to save
        (0, 12, 2, 1),
    ],
)
def test_the_least_squared_error_by_hand(few: int, many: int, levels: int, highest: float) -> None:
    assert mse(binned(0, 4, [many, 0, 0, few]), levels) == (0, highest)
    assert mse(binned(-4, 0, [few, 0, 0, many]), levels) == (-highest, 0)


def test_zeros_cost_nothing() -> None:
    """They are on every grid: a million of them do not make a finer one worth a cut."""
    counts = [12, 0, 0, 1]
    assert mse(binned(0, 4, counts, 10**6), 2) == mse(binned(0, 4, counts), 2)
    assert entropy(binned(0, 4, counts, 10**6), 2) == entropy(binned(0, 4, counts), 2)


@pytest.mark.parametrize(
    ("counts", "highest", "lowest"),
    [
        ([8, 8, 1, 1], 4, -4),  # two levels of two bins each, both even: Q is P
        ([8, 8, 0, 2], 4, -4),  # what is empty stays empty
        # 0.161 for all four, 0.189 for three, 0.049 for two. Of three bins the first two make a
        # level: mirrored those are the small ones, which is 0.009.
        ([8, 2, 1, 1], 2, -3),
    ],
)
def test_the_least_divergence_by_hand(counts: list[int], highest: float, lowest: float) -> None:
    assert entropy(binned(0, 4, counts), levels=2) == (0, highest)
    assert entropy(binned(-4, 0, counts[::-1]), levels=2) == (lowest, 0)


def slow_divergence(counts: npt.NDArray[np.int64], first: int, last: int, levels: int) -> float:
    """Migacz's slide, bin by bin."""
    p = counts[first:last].astype(float)
    q = np.zeros_like(p)
    outside = [counts[:first].sum(), counts[last:].sum()]
    whole = p.copy()
    whole[0] += outside[0]
    whole[-1] += outside[1]
    borders = [round(k * (last - first) / levels) for k in range(levels + 1)]
    for start, end in pairwise(borders):
        filled = whole[start:end] > 0
        if filled.any():
            q[start:end][filled] = p[start:end].sum() / filled.sum()
    inside = q.sum()
    q[(q == 0) & (whole > 0)] = 1e-4
    p, q = whole[whole > 0] / counts.sum(), q[whole > 0] / inside
    return float(np.sum(p * np.log(p / q)))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=12, max_size=40).filter(lambda c: sum(c) > 0),
    st.integers(0, 12),
    st.integers(2, 6),
)
def test_divergences_are_those_of_the_slow_way(counts: list[int], zero: int, levels: int) -> None:
    bins = np.array(counts)
    windows = [
        (first, last)
        for first, last in product(range(zero + 1), range(zero, len(counts) + 1))
        if last - first >= levels and bins[first:last].sum() > 0
    ]
    first, last = np.array(windows).T
    found = divergences(bins.astype(float), first, last, levels)
    slow = [slow_divergence(bins, *window, levels) for window in windows]
    assert found == pytest.approx(slow, abs=1e-9)


def test_entropy_takes_the_window_that_loses_least() -> None:
    rng = np.random.default_rng(1)
    seen = seen_of(rng.standard_t(2, 4000).astype(np.float32), bins=64)
    assert seen.histogram is not None
    edges, counts = seen.histogram.edges, seen.histogram.counts
    lost = {}
    for reach in range(1, 65):
        first = max(0, math.floor(seen.histogram.zero - reach))
        last = min(64, math.ceil(seen.histogram.zero + reach))
        if last - first >= 8:
            lost[edges[first], edges[last]] = slow_divergence(counts, first, last, 8)
    assert entropy(seen, levels=8) == pytest.approx(min(lost, key=lost.__getitem__))


def on_grid(values: Values, low: float, high: float, levels: int = 256) -> npt.NDArray[np.float64]:
    """Quantize and back, as an engine does: the zero point is a whole number."""
    step = (high - low) / (levels - 1)
    zero_point = round(-low / step)
    places = np.clip(np.rint(values.astype(float) / step) + zero_point, 0, levels - 1)
    return (places - zero_point) * step


def squared_error(values: Values, low: float, high: float, levels: int = 256) -> float:
    return float(np.mean((on_grid(values, low, high, levels) - values) ** 2))


SAMPLES: dict[str, Callable[[np.random.Generator], Values]] = {
    "normal": lambda rng: rng.normal(0, 1, 4000).astype(np.float32),
    "heavy": lambda rng: rng.standard_t(3, 4000).astype(np.float32),
    "relu": lambda rng: np.maximum(rng.standard_t(3, 4000), 0).astype(np.float32),
    "skewed": lambda rng: (rng.gamma(1.0, 1.0, 4000) - 0.3).astype(np.float32),
    "negative": lambda rng: -rng.gamma(1.0, 1.0, 4000).astype(np.float32),
    "outlier": lambda rng: np.append(rng.normal(0, 1, 4000), 30).astype(np.float32),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("levels", [64, 256])
def test_no_borders_of_bins_have_a_lower_error(name: str, levels: int) -> None:
    values = SAMPLES[name](np.random.default_rng(2))
    seen = seen_of(values, bins=48)
    assert seen.histogram is not None
    edges = seen.histogram.edges
    tried = [
        squared_error(values, min(low, 0.0), max(high, 0.0), levels)
        for low, high in product(edges[edges <= 1e-6], edges[edges >= -1e-6])
        if high - low > 0.1
    ]
    found = squared_error(values, *mse(seen, levels), levels)
    assert found <= 1.1 * min(tried)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_squared_error_is_no_higher_than_with_pytorch_s_histograms(name: str) -> None:
    """A hundred thousand values: of four thousand, luck in rounding alone is two per cent."""
    rng = np.random.default_rng(2)
    values = np.concatenate([SAMPLES[name](rng) for _ in range(25)])
    peer = HistogramObserver(bins=BINS)
    peer(torch.from_numpy(values))
    scale, zero_point = (float(value) for value in peer.calculate_qparams())
    theirs = squared_error(values, -zero_point * scale, (255 - zero_point) * scale)
    assert squared_error(values, *mse(seen_of(values))) <= 1.02 * theirs


def test_the_rule_for_errors_cuts_an_outlier_where_levels_are_few() -> None:
    values = SAMPLES["outlier"](np.random.default_rng(2))
    low, high = mse(seen_of(values), levels=4)
    assert -4 < low < -0.5 and 0.5 < high < 4
    assert squared_error(values, low, high, 4) < 0.5 * squared_error(values, -4, 30, 4)


def collected(method: str, values: Values, bins: int) -> HistogramCollector:
    collector = HistogramCollector(method, False, bins, 128, 99.0, None)
    collector.collect({"t": values[:700]})
    collector.collect({"t": values[700:]})
    return collector


def test_percentiles_are_those_of_onnx_runtime() -> None:
    values = SAMPLES["heavy"](np.random.default_rng(3))
    values = np.concatenate([[np.abs(values).max()], values, -values]).astype(np.float32)
    peer = collected("percentile", values, BINS).compute_percentile()["t"]
    bin_width = 2 * float(values.max()) / BINS
    assert percentile(seen_of(values), 99.0) == pytest.approx(
        (float(peer[0]), float(peer[1])), abs=1.01 * bin_width
    )


CURVES: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "normal": lambda x: np.exp(-(x**2) / 2) + 1e-5,
    "wide": lambda x: np.exp(-(x**2) / 18) + 1e-5,
    "heavy": lambda x: (1 + x**2) ** -2.0,
    "laplace": lambda x: np.exp(-np.abs(x)) + 1e-4,
}


@pytest.mark.parametrize("name", CURVES)
def test_of_onnx_runtime_s_windows_the_same_is_best(name: str) -> None:
    """Its merged bins are all of one width, and it has no Q for the rest of a window.

    So it takes windows without a rest, here every 15th of a side's 157, and those are compared.
    """
    edges = np.linspace(-10, 10, 316)
    counts = np.rint(1e9 * CURVES[name]((edges[1:] + edges[:-1]) / 2)).astype(np.int64)
    ends = np.array([-10, 10, 10], np.float32)
    peer = HistogramCollector("entropy", False, 315, 15, 0, None).get_entropy_threshold(
        (counts, edges.astype(np.float32), *ends), 15
    )
    reach = np.arange(7, 158, 15)
    first, last = 157 - reach, 158 + reach
    best = int(np.argmin(divergences(counts.astype(float), first, last, 15)))
    assert [float(end) for end in peer] == pytest.approx([edges[first[best]], edges[last[best]]])


@pytest.mark.parametrize("rule", RULES)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=30), min_size=1, max_size=4
    )
)
@settings(max_examples=15, deadline=None)
def test_a_range_lies_within_what_was_seen_and_zero(rule: str, frames: list[list[float]]) -> None:
    lows = np.array([min(frame) for frame in frames])
    highs = np.array([max(frame) for frame in frames])
    seen = Seen(lows, highs)
    where = spans({"t": seen}).get("t")
    if where is not None:
        values = np.concatenate([np.array(frame, np.float32) for frame in frames])
        seen = Seen(lows, highs, count(values, *where, bins=300))
    low, high = range_of(rule, seen)
    lowest, highest = minmax(seen)
    assert min(lowest, 0) <= low <= high <= max(highest, 0) or (low, high) == (lowest, highest)
    assert low <= 0 <= high or (low, high) == (lowest, highest)


@pytest.mark.parametrize("rule", RULES)
def test_one_value_keeps_its_range(rule: str) -> None:
    for value in (0.0, 3.0, -2.0):
        values = np.full(100, value, np.float32)
        seen = Seen(np.array([value]), np.array([value]))
        assert range_of(rule, seen) == (value, value)
        assert range_of(rule, Seen(seen.lows, seen.highs, count(values, -2, 3))) == (value, value)
    some = np.array([0.0] * 50 + [3.0], np.float32)  # one value besides zero
    assert range_of(rule, seen_of(some)) == (0, 3)


def test_counts_by_hand() -> None:
    values = np.array([-2, -1.5, -1, 0, 0, 0.5, 0.999, 1, 1.5, 2], np.float32)
    histogram = count(values, -2, 2, bins=4)
    assert histogram.counts.tolist() == [2, 1, 2, 3]
    assert (histogram.zeros, histogram.zero) == (2, 2)
    assert histogram.edges.tolist() == [-2, -1, 0, 1, 2]
    assert count(np.array([-9, 9], np.float32), -2, 2, bins=4).counts.tolist() == [1, 0, 0, 1]
    both = histogram + count(np.array([0, 1], np.float16), -2, 2, bins=4)
    assert both.counts.tolist() == [2, 1, 2, 4] and both.zeros == 3
    with pytest.raises(ValueError, match="other bins"):
        histogram + count(values, -2, 3, bins=4)


def test_counts_are_numpy_s_in_blocks_too() -> None:
    values = np.random.default_rng(4).normal(size=(3, 2, 300, 400)).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    found = count(values, low, high).counts
    peer, _ = np.histogram(values, BINS, (low, high))
    assert found.sum() == values.size
    # A value on a border may round to either side.
    assert np.abs(np.cumsum(found) - np.cumsum(peer)).max() <= 3


FRAMES = [noise_frame(16, 24, seed) for seed in range(5)]


@pytest.fixture(scope="module")
def small() -> onnx.ModelProto:
    return float_graph(model_of(conv_net(1), SPEC))


@pytest.fixture(scope="module")
def wide() -> tuple[onnx.ModelProto, Recipe]:
    graph = float_graph(model_of(every_operator(), SPEC))
    return graph, recipe_for(graph, FRAMES)


def test_the_graph_s_histograms_are_those_of_its_tensors(small: onnx.ModelProto) -> None:
    seen = extremes(small, FRAMES)
    where = spans(seen)
    counted = count_values(small, FRAMES, where)
    assert set(counted) == set(where) == set(seen)
    pixels = np.stack(FRAMES)
    assert counted["input"].zeros == np.count_nonzero(pixels == 0)
    expected, _ = np.histogram(pixels[pixels > 0], BINS, (0, 255))
    assert np.array_equal(counted["input"].counts, expected)
    logits = simulate(small, FRAMES)
    assert seen["logits"].lows == pytest.approx(logits.min((1, 2, 3)))
    assert seen["logits"].highs == pytest.approx(logits.max((1, 2, 3)))
    expected, _ = np.histogram(logits, BINS, where["logits"])
    assert np.abs(np.cumsum(counted["logits"].counts) - np.cumsum(expected)).max() <= 3


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_gives_every_tensor_a_range(rule: str, wide: tuple[onnx.ModelProto, Recipe]) -> None:
    graph, recipe = wide
    plain = recipe.ranges
    found = collect_ranges(graph, FRAMES, rule=rule)
    assert list(found) == list(plain) == sorted(plain)
    for name, (low, high) in found.items():
        assert min(plain[name][0], 0) <= low <= high <= max(plain[name][1], 0)
    kept = kept_tensors(graph)
    assert len(kept) == 3  # pixels, logits, and what those are resized from
    assert {name: found[name] for name in kept} == {name: plain[name] for name in kept}
    cut = [name for name in plain if found[name] != plain[name]]
    assert bool(cut) == (rule not in ("minmax", "percentile"))  # a frame has under 10 000 values
    logits = simulate(graph, FRAMES)
    quantized = quantize_graph(graph, msgspec.structs.replace(recipe, ranges=found))
    assert sqnr_db(logits, simulate(quantized, FRAMES)) > 10


@pytest.mark.parametrize("rule", RULES)
def test_only_an_average_minds_the_order_of_frames(rule: str, small: onnx.ModelProto) -> None:
    backwards = collect_ranges(small, FRAMES[::-1], rule=rule)
    assert (backwards == collect_ranges(small, FRAMES, rule=rule)) == (rule != "moving-average")


def test_a_frame_seen_twice_changes_nothing(small: onnx.ModelProto) -> None:
    for rule in ("moving-average", "percentile", "mse"):
        once = collect_ranges(small, FRAMES[:1], rule=rule)
        twice = collect_ranges(small, FRAMES[:1] * 2, rule=rule)
        assert [*twice.values()] == [pytest.approx(limits) for limits in once.values()]


def test_an_unknown_rule_is_named_with_the_closest(small: onnx.ModelProto) -> None:
    with pytest.raises(EdgeSegError, match=r"no range rule 'entrpy': did you mean 'entropy'\?"):
        collect_ranges(small, FRAMES, rule="entrpy")


def broken(value: float) -> onnx.ModelProto:
    """A network one of whose biases, that of the second channel, is not finite."""
    graph = float_graph(model_of(conv_net(1), SPEC))
    bias = graph.graph.node[2].input[2]
    tensor = next(t for t in graph.graph.initializer if t.name == bias)
    values = numpy_helper.to_array(tensor).copy()
    values[1] = value
    tensor.CopyFrom(numpy_helper.from_array(values, bias))
    return graph


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named(rule: str, value: float) -> None:
    """The first in the graph's order: what comes behind it is broken by it."""
    line = rf"^tensor '/0/Conv_output_0' is {value} on calibration frame 1: "
    with pytest.raises(EdgeSegError, match=line):
        collect_ranges(broken(value), FRAMES[:2], rule=rule)


def test_a_constant_tensor_keeps_its_range() -> None:
    """A ReLU that is always zero, and a convolution behind it that gives only its bias."""
    network = conv_net(0)
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.fill_(-1.0)
    graph = float_graph(model_of(network, SPEC))
    plain = collect_ranges(graph, FRAMES)
    assert (0.0, 0.0) in plain.values() and (-1.0, -1.0) in plain.values()
    for rule in RULES:
        assert collect_ranges(graph, FRAMES, rule=rule) == plain


def test_the_frames_that_judge_are_spread() -> None:
    assert held_out(1) == [0]
    assert held_out(7) == [0]
    assert held_out(8) == [0, 7]
    assert held_out(16) == [0, 5, 10, 15]
    assert len(held_out(1000)) == len(held_out(32)) == 8


def test_the_search_finds_the_rule_with_the_least_noise(small: onnx.ModelProto) -> None:
    frames = [noise_frame(16, 24, seed) for seed in range(8)]
    recipe = recipe_for(small, frames)
    rule, ranges = search_ranges(small, recipe, frames)
    held = held_out(8)
    judges = [frames[index] for index in held]
    others = [frame for index, frame in enumerate(frames) if index not in held]
    reference, scores = simulate(small, judges), {}
    for name in RULES:
        tried = msgspec.structs.replace(recipe, ranges=collect_ranges(small, others, rule=name))
        scores[name] = sqnr_db(reference, simulate(quantize_graph(small, tried), judges))
    assert len(set(scores.values())) > 1
    # Bins lie between the extremes of all frames, a touch wider than those of the others.
    assert scores[rule] > max(scores.values()) - 0.1
    assert ranges == collect_ranges(small, frames, rule=rule)


def test_one_frame_is_seen_and_judges(small: onnx.ModelProto) -> None:
    rule, ranges = search_ranges(small, recipe_for(small, FRAMES[:1]), FRAMES[:1])
    assert ranges == collect_ranges(small, FRAMES[:1], rule=rule)


def test_minmax_wins_ties(small: onnx.ModelProto) -> None:
    """With all layers in float no rule matters."""
    recipe = recipe_for(small, FRAMES)
    rule, ranges = search_ranges(small, recipe.keeping_float(recipe.layers), FRAMES)
    assert rule == "minmax"
    assert ranges == collect_ranges(small, FRAMES)


def test_the_search_needs_a_frame(small: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        search_ranges(small, recipe_for(small, FRAMES), [])
