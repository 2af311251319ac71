"""A depth of another scale is another truth: no door takes its masks; a bundle says its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import edge_seg, refusal
from drawn_roads import draw_road
from torch import nn

from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.classes import DEPTH, LANE, ClassMap, DepthScale, require_same
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.models import registry
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, pack
from edge_seg.packing.deciding import network_masks
from edge_seg.preprocess import InputSpec
from edge_seg.segmenter import Segmenter
from edge_seg.self_test import _sizes, self_test
from edge_seg.study import check, evaluating
from edge_seg.study.jobs import Frames, Run
from edge_seg.training.loop import require_fitting
from edge_seg.training.settings import Settings
from edge_seg.training.sources import FrameSetSource

ROOM = ClassMap(DEPTH.names, DEPTH.palette, DepthScale(0.5, 10.0))
TWO_SCALES = re.compile(
    r"depth \(0\.5-10 m\), but .* has depth \(1-100 m\), where a value is another distance: \w+"
)


def written(folder: Path, classes: ClassMap) -> FrameSet:
    with FrameSetWriter(folder, name=folder.name, classes=classes) as writer:
        for seed in range(3):
            frame, _ = draw_road(seed)
            writer.add(frame, np.asarray(frame.max(axis=2) % 255, np.uint8), format="png")
    return FrameSet.open(folder)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    return written(tmp_path_factory.mktemp("depths") / "road", DEPTH)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    return written(tmp_path_factory.mktemp("depths") / "rooms", ROOM)


@pytest.fixture(scope="module")
def model() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)
        )
    with torch.no_grad():  # beyond both ends of the scale, so that masks go from 0 to 254
        network[2].weight *= 12
    return from_network("far", network, InputSpec(64, 128), DEPTH, "a test")


@pytest.fixture(scope="module")
def request_of_depth(
    tiny_request: Request, model: Model, road: FrameSet, tmp_path_factory: pytest.TempPathFactory
) -> Request:
    output = tmp_path_factory.mktemp("bundle") / "far.edgeseg"
    loose = Gate(100.0, 100.0)
    return replace(tiny_request, model=model, evaluation=road, output=output, gate=loose)


@pytest.fixture(scope="module")
def bundle(request_of_depth: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(request_of_depth, cache=Cache(tmp_path_factory.mktemp("cache"))).path


def test_the_same_means_the_same_names_and_scale() -> None:
    names = ("'one'", "the model")
    require_same(DEPTH, ClassMap(DEPTH.names, ((1, 2, 3),), DEPTH.depth), names, "x")
    require_same(LANE, LANE, names, "x")
    with pytest.raises(EdgeSegError) as two:
        require_same(ROOM, DEPTH, names, "take others")
    assert str(two.value) == (
        "'one' labels depth (0.5-10 m), but the model has depth (1-100 m), where a value is "
        "another distance: take others"
    )
    near = ClassMap(DEPTH.names, DEPTH.palette, DepthScale(0.5, 100.0))
    with pytest.raises(EdgeSegError, match=r"labels depth \(0\.5-100 m\)"):
        require_same(near, DEPTH, names, "x")
    with pytest.raises(EdgeSegError, match=r"labels depth \(1-100 m\), but the model has depth: x"):
        require_same(DEPTH, ClassMap(DEPTH.names, DEPTH.palette), names, "x")


def test_no_evaluation_and_no_pack_takes_it(
    bundle: Path, request_of_depth: Request, road: FrameSet, rooms: FrameSet, tmp_path: Path
) -> None:
    assert TWO_SCALES.search(refusal("eval", bundle, rooms.path))
    shown = json.loads(edge_seg("eval", bundle, road.path, "--json", "--threads", 1))
    assert shown["frames"] == 3 and 0 < shown["depth"]["within_125"] < 100
    # What is about classes is empty, as docs/json-schemas.md says.
    assert shown["miou"] is shown["pixel_accuracy"] is None
    assert not any(shown[name] for name in ("iou", "dice", "boundary_f1", "confusion"))
    with pytest.raises(EdgeSegError, match=TWO_SCALES):
        pack(replace(request_of_depth, evaluation=rooms), cache=Cache(tmp_path))
    with pytest.raises(EdgeSegError, match=TWO_SCALES):
        network_masks(rooms, request_of_depth.model)
    assert len(network_masks(road, request_of_depth.model)) == 3


def test_no_training_takes_it(road: FrameSet, rooms: FrameSet) -> None:
    settings = Settings(loss="mse")
    require_fitting(settings, FrameSetSource(road), road)
    with pytest.raises(EdgeSegError, match=TWO_SCALES):
        require_fitting(settings, FrameSetSource(road), rooms)


def test_no_study_takes_it(
    model: Model, rooms: FrameSet, road: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda *_: model)
    frames = Frames(place=str(rooms.path), digest=rooms.digest)
    run = Run(
        key="r", variant="far", seed=0, model="far", weights="shipped", identity="", training="",
        size=None, engine="onnxruntime", runtime="", precision="float32", calibration=frames,
        evaluation=frames, threads=1, reference="r",
    )  # fmt: skip
    with pytest.raises(EdgeSegError, match=TWO_SCALES):
        check.check_loads(run, rooms.classes)
    check.check_loads(run, road.classes)
    with pytest.raises(EdgeSegError, match=TWO_SCALES):
        evaluating._require_same_classes(model, rooms)


def test_a_bundle_says_its_scale(bundle: Path) -> None:
    assert "depth (1-100 m)" in edge_seg("inspect", bundle)


def test_a_healthy_bundle_of_depths_passes_its_own_test(bundle: Path) -> None:
    result = self_test(bundle)
    assert result.ok, result.checks
    with Segmenter(bundle, threads=1) as segmenter:
        assert segmenter(draw_road(0)[0]).max() > 1  # beyond what its one name would allow


def test_the_self_test_names_a_value_that_is_none() -> None:
    found = {
        (classes, value): _sizes(lambda f, v=value: np.full(f.shape[:2], v, np.uint8), classes)
        for classes, value in ((LANE, 2), (LANE, 3), (DEPTH, 254), (DEPTH, 255))
    }
    assert [check.ok for check in found.values()] == [True, False, True, False]
    assert found[LANE, 3].detail == "1x1 gives 3: 0 to 2 are known (background, road, lane_marking)"
    assert found[DEPTH, 255].detail == "1x1 gives 255: 0 to 254 are known (depth (1-100 m))"
