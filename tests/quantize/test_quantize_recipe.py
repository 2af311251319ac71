from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graphs import model_of
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import Recipe, collect_ranges, float_graph
from edge_seg.quantize.recipe import BITS, Weights, decode, encode

NAMES = st.lists(st.text(max_size=12), max_size=4).map(tuple)
BOUNDS = st.floats(allow_nan=False, allow_infinity=False)
RECIPES = st.builds(
    Recipe,
    model_digest=st.text(max_size=8),
    calibration_digest=st.text(max_size=8),
    weights=st.builds(Weights, bits=st.sampled_from(BITS), per_channel=st.booleans()),
    fold_batch_norm=st.booleans(),
    layers=NAMES,
    float_layers=NAMES,
    ranges=st.dictionaries(st.text(max_size=8), st.tuples(BOUNDS, BOUNDS), max_size=4),
)


@given(RECIPES)
def test_decode_undoes_encode(recipe: Recipe) -> None:
    assert decode(encode(recipe)) == recipe


@given(RECIPES)
def test_equal_recipes_give_equal_bytes(recipe: Recipe) -> None:
    reordered = dict(reversed(recipe.ranges.items()))
    again = Recipe(
        **{**{f: getattr(recipe, f) for f in recipe.__struct_fields__}, "ranges": reordered}
    )
    assert encode(again) == encode(recipe)


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff\xfe", b'{"layers": 3}', b"[1, 2]"])
def test_what_is_no_recipe_is_refused(payload: bytes) -> None:
    with pytest.raises(EdgeSegError, match="not a recipe"):
        decode(payload)


def test_a_recipe_of_another_schema_is_refused() -> None:
    newer = Recipe(
        schema="edge-seg/recipe-9", model_digest="", calibration_digest="", layers=(), ranges={}
    )
    with pytest.raises(EdgeSegError, match="recipe-9"):
        decode(encode(newer))


def test_keeping_float_sorts_and_changes_nothing_else() -> None:
    recipe = Recipe(model_digest="m", calibration_digest="c", layers=("a", "b"), ranges={})
    kept = recipe.keeping_float(("b", "a"))
    assert kept.float_layers == ("a", "b")
    assert kept.keeping_float(()) == recipe


def one_conv() -> nn.Sequential:
    """Class k is ``weight * channel``: red 1, green -2, blue 0.5, then a ReLU."""
    conv = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.diag(torch.tensor([1.0, -2.0, 0.5])).reshape(3, 3, 1, 1))
    return nn.Sequential(conv, nn.ReLU(), nn.Conv2d(3, 3, 1))


def test_ranges_are_the_extremes_over_all_frames() -> None:
    graph = float_graph(model_of(one_conv(), InputSpec(1, 2)))
    # Pixels are BGR. The lowest value of the convolution is -2 * green, the highest red.
    first = np.array([[[0, 51, 0], [0, 0, 0]]], np.uint8)
    second = np.array([[[255, 0, 204], [0, 102, 0]]], np.uint8)
    ranges = collect_ranges(graph, [first, second])
    convolution, relu = graph.graph.node[2].output[0], graph.graph.node[3].output[0]
    assert ranges[convolution] == pytest.approx((-0.8, 0.8))
    assert ranges[relu] == pytest.approx((0.0, 0.8))


def test_ranges_do_not_depend_on_the_order_of_the_frames() -> None:
    graph = float_graph(model_of(one_conv(), InputSpec(2, 2)))
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 256, (2, 2, 3), dtype=np.uint8) for _ in range(5)]
    assert collect_ranges(graph, frames) == collect_ranges(graph, frames[::-1])


def test_ranges_of_no_frames_are_refused() -> None:
    graph = float_graph(model_of(one_conv(), InputSpec(2, 2)))
    with pytest.raises(ValueError, match="at least one frame"):
        collect_ranges(graph, [])
