"""Depths are learnt: the losses by hand, and a training, a pack and a run from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.classes import DEPTH, IGNORE
from edge_seg.depth_metrics import ssim
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.frames.sources import open_source
from edge_seg.models import registry
from edge_seg.packer import Request, pack
from edge_seg.quantize.learn.lesson import divergence, labelled_loss
from edge_seg.runner import run
from edge_seg.segmenter import Segmenter
from edge_seg.target import Target
from edge_seg.training.loop import train
from edge_seg.training.losses import squared, squared_and_likeness
from edge_seg.training.settings import Settings


def test_the_squared_error_by_hand_and_without_what_is_unknown() -> None:
    masks = torch.tensor([[[0, 127, 254, IGNORE]]])
    answers = torch.tensor([[[[0.0, 0.5, 0.5, 9.0]]]])
    assert float(squared(answers, masks)) == pytest.approx(0.25 / 3)
    assert float(labelled_loss(answers, masks)) == pytest.approx(0.25 / 3)
    assert float(divergence(answers, answers + 0.1)) == pytest.approx(0.01, rel=1e-4)


def test_likeness_falls_as_the_metric_s_does() -> None:
    masks = torch.arange(0, 240).reshape(1, 12, 20)
    right = (masks / 254).unsqueeze(1).float()
    assert float(squared_and_likeness(right, masks)) == pytest.approx(0, abs=1e-5)
    noise = 0.1 * torch.randn(right.shape, generator=torch.Generator().manual_seed(0))
    lost = [float(squared_and_likeness(right + k * noise, masks)) for k in (0.5, 1.0, 2.0)]
    alike = [ssim(right[0, 0].double().numpy(), (right + k * noise)[0, 0].double().numpy()).mean()
             for k in (0.5, 1.0, 2.0)]  # fmt: skip
    assert lost == sorted(lost)
    assert alike == sorted(alike, reverse=True)


@pytest.fixture(scope="module")
def slopes(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    """Frames whose brightness is their distance."""
    rng = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("far") / "slopes"
    with FrameSetWriter(folder, "slopes", DEPTH) as writer:
        for _ in range(40):
            corners = rng.integers(0, 255, (3, 4)).astype(np.uint8)
            mask = cv2.resize(corners, (64, 32), interpolation=cv2.INTER_LINEAR)
            mask = np.minimum(mask, 254)
            frame = cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR)
            writer.add(np.asarray(frame, np.uint8), np.asarray(mask, np.uint8), format="png")
    return FrameSet.open(folder)


@pytest.fixture(scope="module")
def weights(slopes: FrameSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("weights") / "far.safetensors"
    settings = Settings(
        model="efficientnet-ffnet", options={"activation": "relu6"}, loss="mse+ssim", steps=40,
        batch=4, height=32, width=64, crop_height=32, crop_width=64, augment=False, ema=0.5,
    )  # fmt: skip
    state = train(settings, slopes, slopes, output)
    first, last = state.history[0], state.history[-1]
    assert last.loss < 0.7 * first.loss
    assert last.train_iou == {}
    assert last.val_iou is not None and last.val_iou["SSIM"] > 50
    return output


def test_a_loss_of_classes_is_refused_for_depths(slopes: FrameSet, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"slopes are for depth, .*take mse, mse\+ssim"):
        train(Settings(loss="ce"), slopes, slopes, tmp_path / "x.safetensors")


def test_class_weights_are_refused_for_depths(slopes: FrameSet, tmp_path: Path) -> None:
    settings = Settings(loss="mse", class_weights=(1.0,))
    with pytest.raises(EdgeSegError, match=r"slopes hold distances: leave --class-weights out"):
        train(settings, slopes, slopes, tmp_path / "x.safetensors")


@pytest.mark.slow  # a minute: EfficientNet-B0 on two engines
def test_what_was_trained_is_packed_and_run(
    slopes: FrameSet, weights: Path, tiny_target: Target, tmp_path: Path
) -> None:
    model = registry.load("efficientnet-ffnet", weights)
    assert model.classes == DEPTH
    result = pack(
        Request(
            model=model,
            target=replace(tiny_target, engines=("onnxruntime", "openvino")),
            calibration=slopes,
            evaluation=slopes,
            output=tmp_path / "far.edgeseg",
            gate=Gate(100.0, 100.0),
            threads=1,
        ),
        cache=Cache(tmp_path / "cache"),
    )
    assert result.manifest.classes.task == "depth"
    floats, *others = result.manifest.candidates
    assert floats.depth is not None and floats.miou is None
    for row in others:
        assert row.drop is not None and row.score is not None
        assert row.drop == pytest.approx((floats.score or 0) - row.score)
    card = open_bundle(result.path).read("MODEL_CARD.md").decode()
    assert "0 to 254 are distances, 1 m to 100 m" in card
    assert "| SSIM, % | drop, points | RMSE, m |" in card
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in/a.png"
    cv2.imwrite(str(picture), slopes.image(0))
    with Segmenter(result.path) as segmenter:
        run(segmenter, open_source(str(tmp_path / "in")), tmp_path / "out")
        expected = DEPTH.depth.metres(segmenter(slopes.image(0)))  # type: ignore[union-attr]
    stored = cv2.imread(str(tmp_path / "out/a.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None and stored.dtype == np.uint16
    assert np.abs(stored / 256 - expected).max() <= 0.5 / 256 + 1e-4
    assert (tmp_path / "out/a.overlay.jpg").exists()
