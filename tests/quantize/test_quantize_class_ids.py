from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper, numpy_helper
from small_graphs import graph_of, logits_graph, operators, run

from edge_seg.quantize.class_ids import WAYS, bilinear_matrix, with_class_ids
from edge_seg.quantize.float_graph import LOGITS

LEVELS = st.sampled_from([-2.5, -1.0, 0.0, 0.5, 1.0, 3.0])
"""Few values: ties are common."""

GRAPHS = {
    (way, classes): with_class_ids(logits_graph(1, classes, 4, 5), way)
    for way in WAYS
    for classes in (1, 2, 3, 8, 9)
}


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(sorted(GRAPHS)))
def test_ids_are_the_argmax_and_ties_go_to_the_lower_id(
    data: st.DataObject, which: tuple[str, int]
) -> None:
    logits = data.draw(arrays(np.float32, (1, which[1], 4, 5), elements=LEVELS))
    ids = run(GRAPHS[which], logits)
    assert ids.dtype == np.uint8
    assert np.array_equal(ids, logits.argmax(1)[:, None])


@pytest.mark.parametrize(
    ("way", "classes", "operator"),
    [
        ("argmax", 3, "ArgMax"),
        ("compare", 3, "Greater"),
        ("compare", 1, "ArgMax"),
        ("compare", 9, "ArgMax"),
    ],
)
def test_each_way_is_the_one_asked_for(way: str, classes: int, operator: str) -> None:
    assert operator in operators(GRAPHS[way, classes])


def test_the_given_graph_is_left_alone() -> None:
    graph = logits_graph(1, 3, 4, 5)
    before = graph.SerializeToString()
    with_class_ids(graph, "compare")
    assert graph.SerializeToString() == before


@pytest.mark.parametrize(("size", "target"), [(4, 16), (5, 5), (7, 3), (1, 4), (3, 10), (16, 256)])
def test_the_matrix_is_torchs_bilinear_interpolation(size: int, target: int) -> None:
    values = torch.randn(1, 1, size, 1, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.interpolate(
        values, size=(target, 1), mode="bilinear", align_corners=False
    )
    found = bilinear_matrix(size, target) @ values.numpy()[0, 0]
    assert found == pytest.approx(wanted.numpy()[0, 0], abs=1e-6)


def test_the_matrix_by_hand() -> None:
    assert bilinear_matrix(2, 4).tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]


def resize_graph(mode: str, way: str) -> onnx.ModelProto:
    """Logits (1, 3, 4, 6) made from (1, 3, 2, 3) by a Resize."""
    node = helper.make_node(
        "Resize",
        ["given", "", "", "sizes"],
        [LOGITS],
        mode=mode,
        coordinate_transformation_mode=way,
        nearest_mode="floor",
    )
    sizes = numpy_helper.from_array(np.array([1, 3, 4, 6], np.int64), "sizes")
    # The matrices need the size of what is resized, which shape inference finds behind a node.
    relu = helper.make_node("Neg", ["given"], ["negative"])
    node.input[0] = "negative"
    return graph_of([relu, node], (1, 3, 2, 3), (1, 3, 4, 6), [sizes])


@pytest.mark.parametrize(
    ("mode", "way", "replaced"),
    [
        ("linear", "half_pixel", True),
        ("linear", "pytorch_half_pixel", True),
        ("linear", "align_corners", False),
        ("linear", "asymmetric", False),
        ("nearest", "half_pixel", False),
        ("cubic", "half_pixel", False),
    ],
)
def test_a_half_pixel_bilinear_resize_becomes_two_products(
    mode: str, way: str, replaced: bool
) -> None:
    graph = resize_graph(mode, way)
    found = with_class_ids(graph, "argmax")
    assert ("Resize" not in operators(found)) == replaced
    assert operators(found).count("MatMul") == (2 if replaced else 0)
    logits = np.random.default_rng(0).normal(size=(1, 3, 2, 3)).astype(np.float32)
    assert np.array_equal(run(found, logits), run(graph, logits).argmax(1)[:, None])


def test_a_resize_by_scales_is_replaced_too() -> None:
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    nodes = [
        helper.make_node("Neg", ["given"], ["negative"]),
        helper.make_node("Resize", ["negative", "", "scales"], [LOGITS], mode="linear"),
    ]
    graph = graph_of(nodes, (1, 3, 2, 3), (1, 3, 4, 6), [scales])
    logits = np.random.default_rng(1).normal(size=(1, 3, 2, 3)).astype(np.float32)
    found = with_class_ids(graph, "argmax")
    assert "Resize" not in operators(found)
    assert np.array_equal(run(found, logits), run(graph, logits).argmax(1)[:, None])
