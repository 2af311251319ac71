"""A network with a known weak layer: exactly that one goes back to float, and the gate holds."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Candidate, Gate
from edge_seg.cache import Cache
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, Result, pack
from edge_seg.quantize import recipe

GATE = Gate(0.5, 1.0)


def with_dead_channel(network: nn.Module, weight: float) -> nn.Sequential:
    """Add a channel that is always 0 to the last layer's input, with a huge weight on it.

    The float masks stay as they are; the last layer's int8 grid has no place left for its
    other weights.
    """
    layers = list(copy.deepcopy(network))  # type: ignore[arg-type]
    third, last = layers[3], layers[5]
    width, classes = last.in_channels, last.out_channels
    wider = nn.Conv2d(third.in_channels, width + 1, 3, padding=1)
    taller = nn.Conv2d(width + 1, classes, 1)
    with torch.no_grad():
        wider.weight.zero_()
        wider.weight[:width], wider.bias[:width] = third.weight, third.bias
        wider.bias[width] = -1.0
        taller.weight.fill_(weight)
        taller.weight[:, :width], taller.bias[:] = last.weight, last.bias
    layers[3], layers[5] = wider, taller
    return nn.Sequential(*layers)


def with_one_loud_channel(network: nn.Module, factor: float) -> nn.Sequential:
    """Make one channel between the last layers louder by ``factor``, and listen less to it.

    The float masks stay as they are; the tensor between the two has one range for all channels.
    """
    changed = copy.deepcopy(network)
    assert isinstance(changed, nn.Sequential)
    with torch.no_grad():
        changed[3].weight[0] *= factor
        changed[3].bias[0] *= factor
        changed[5].weight[:, 0] /= factor
    return changed


def pack_network(network: nn.Module, request: Request, folder: Path) -> Result:
    model = request.model
    changed = from_network("weak", network, model.input, model.classes, "made weak")
    asked = replace(request, model=changed, gate=GATE, output=folder / "weak.edgeseg")
    return pack(asked, cache=Cache(folder / "cache"))


def int8(result: Result) -> Candidate:
    (row,) = [c for c in result.manifest.candidates if c.precision == "int8"]
    return row


def test_the_one_weak_layer_goes_back_to_float(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    result = pack_network(with_dead_channel(fitted_model.module, 1e4), tiny_request, tmp_path)
    row = int8(result)
    assert result.held
    assert row.status == "winner"
    assert row.float_layers == ["5"]
    assert row.drop is not None and row.drop <= GATE.max_drop
    packed = recipe.decode(open_bundle(result.path).read("recipe.json"))
    assert packed.float_layers == ("5",)
    assert set(packed.layers) == {"0", "3", "5"}


def test_a_bad_tensor_takes_both_its_neighbours_along(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    result = pack_network(with_one_loud_channel(fitted_model.module, 1e3), tiny_request, tmp_path)
    assert result.held
    assert int8(result).float_layers == ["3", "5"]


def test_a_network_that_cannot_be_helped_says_what_was_tried(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    # A gate that asks for a gain of ten points: no number of layers in float gives that.
    asked = replace(tiny_request, gate=Gate(-10.0, 100.0), output=tmp_path / "lane.edgeseg")
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    row = int8(result)
    assert row.status == "rejected"
    assert "mean IoU drops" in row.reason
    assert "up to 2 layers were tried back in float" in row.reason
    assert not result.held
    assert result.path == tmp_path / "lane.edgeseg.rejected"
    assert not asked.output.exists()
    kept = open_bundle(result.path)
    assert kept.manifest.gate is not None and not kept.manifest.gate.held
    assert b"layers were tried back in float" in kept.read("report.html")
    assert str(result.path) in result.message and "--max-drop" in result.message
