"""LiteRT pads a max-pooling with minus infinity, as an operator of its own, which no grid has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edge_seg.classes import LANE
from edge_seg.models.model import from_network
from edge_seg.preprocess import InputSpec
from edge_seg.quantize.float_graph import float_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe

pytest.importorskip("litert_torch", reason="needs the extra pack")


def test_a_padded_max_pooling_gives_the_ids_of_the_module() -> None:
    """The pooled values are below zero, so that a padding with zeros would win at the border."""
    from edge_seg import engines
    from edge_seg.engines.lowering import Source

    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 1)
    nn.init.constant_(first.bias, -4.0)  # type: ignore[arg-type]
    network = nn.Sequential(
        first,
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(8, 3, 1),
        nn.Upsample(scale_factor=2.0),
    ).eval()
    spec = InputSpec(16, 24)
    model = from_network("pooled", network, spec, LANE, "drawn by the tests")
    graph = float_graph(model)
    frames = list(np.random.default_rng(1).integers(0, 256, (8, 16, 24, 3), np.uint8))
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    litert = engines.find("litert")
    payload = litert.lowering()(Source(model, graph, recipe, frames), "int8", {})
    session = litert.open(payload, spec, {}, 1)
    for frame in frames:
        session.preprocess(frame)
        session.infer()
        rgb = torch.from_numpy(frame[None, :, :, ::-1].copy()).permute(0, 3, 1, 2).float() / 255
        wanted = network(rgb)[0].argmax(0).numpy()
        same = np.asarray(session.ids()).reshape(16, 24) == wanted
        assert same.mean() > 0.9
        assert same[:2].mean() > 0.85 and same[:, :2].mean() > 0.85
    session.close()
