"""What many tests need: drawn roads, two tiny models, a packed bundle; made once a session."""

from __future__ import annotations

import platform
import signal
from pathlib import Path

import numpy as np
import pytest
from drawn_roads import draw_road, write_roads

from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.classes import LANE
from edge_seg.frames import FrameSet
from edge_seg.models import registry
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, pack
from edge_seg.preprocess import InputSpec, resize, resize_mask
from edge_seg.target import Target

# A shell starts a job in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

HEIGHT, WIDTH = 64, 128
"""The network's size; the drawn frames are larger and of another shape."""


@pytest.fixture(scope="session")
def road_frames(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    """Forty drawn roads, 160 wide and 120 high, with masks: enough to calibrate on."""
    return write_roads(tmp_path_factory.mktemp("frames") / "drawn-roads", range(40))


@pytest.fixture(scope="session")
def few_frames(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    """Six other drawn roads with masks: enough to evaluate on."""
    return write_roads(tmp_path_factory.mktemp("frames") / "few-roads", range(200, 206))


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    """The shipped U-Net at 64x128 with random weights: its layers are real, its masks are not."""
    return registry.load("lane-unet", weights="random", input_size=(HEIGHT, WIDTH))


@pytest.fixture(scope="session")
def fitted_model() -> Model:
    """A three-layer network that has learned the drawn roads: its classes are well apart."""
    import torch
    from torch import nn

    spec = InputSpec(HEIGHT, WIDTH)
    drawn = [draw_road(seed) for seed in range(100, 106)]
    pixels = np.stack([resize(frame, spec)[:, :, ::-1].transpose(2, 0, 1) for frame, _ in drawn])
    images = torch.from_numpy(pixels.astype(np.float32) / 255)
    truth = torch.from_numpy(np.stack([resize_mask(m, HEIGHT, WIDTH) for _, m in drawn])).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, len(LANE), 1),
        )
    weight = torch.tensor([1.0, 1.0, 5.0])  # markings are few
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums, and so the same weights, on every machine
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), truth, weight).backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return from_network("fitted", network, spec, LANE, "fitted by the tests")


@pytest.fixture(scope="session")
def tiny_target() -> Target:
    """This machine, where ONNX Runtime alone competes: the quickest tournament there is."""
    return Target(
        name="tiny",
        description="the tests' own",
        architecture=platform.machine(),
        engines=("onnxruntime",),
        extra="x86",
    )


@pytest.fixture(scope="session")
def tiny_request(
    tmp_path_factory: pytest.TempPathFactory,
    fitted_model: Model,
    road_frames: FrameSet,
    few_frames: FrameSet,
    tiny_target: Target,
) -> Request:
    """What `tiny_bundle` was packed from; its gate lets everything through."""
    return Request(
        model=fitted_model,
        target=tiny_target,
        calibration=road_frames,
        evaluation=few_frames,
        output=tmp_path_factory.mktemp("bundle") / "tiny.edgeseg",
        gate=Gate(100.0, 100.0),
        threads=1,
    )


@pytest.fixture(scope="session")
def pack_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache that `tiny_bundle` filled: packing the same again is quick."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_bundle(tiny_request: Request, pack_cache: Cache) -> Path:
    """A packed onnxruntime/int8 bundle of `fitted_model`, 64x128, one thread."""
    return pack(tiny_request, cache=pack_cache).path
