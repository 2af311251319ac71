"""A small bundle that every test of this folder can write."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from stand_in import road_of

from edge_seg.bundle.archive import Bundle, write_bundle
from edge_seg.bundle.golden import make_golden
from edge_seg.bundle.manifest import (
    Candidate,
    EngineRef,
    FrameSetRef,
    Gate,
    Machine,
    Manifest,
    ModelSource,
)
from edge_seg.classes import LANE
from edge_seg.preprocess import Frame, InputSpec


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    noise = np.random.default_rng(0)
    return [noise.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(2)]


@pytest.fixture(scope="session")
def members(frames: list[Frame]) -> dict[str, bytes]:
    _, golden = make_golden(frames, [road_of(frame) for frame in frames])
    return {
        **golden,
        "model.onnx": random.Random(0).randbytes(40_000),
        "recipe.json": b'{"layers": []}',
        "report.html": b"<!doctype html><title>report</title>",
    }


@pytest.fixture(scope="session")
def manifest(frames: list[Frame]) -> Manifest:
    tests, _ = make_golden(frames, [road_of(frame) for frame in frames])
    return Manifest(
        name="lane",
        target="x86",
        architecture="x86_64",
        model=ModelSource("lane-unet", "ab" * 32),
        input=InputSpec(256, 512),
        classes=LANE,
        engine=EngineRef("openvino", "openvino", "2025.4.1", "2025.0"),
        precision="int8",
        model_file="model.onnx",
        options={"threads": 2, "hint": "LATENCY", "pin": True},
        calibration=FrameSetRef("lane-mini", "cd" * 32, 64),
        gate=Gate(0.5, 1.0),
        candidates=[
            Candidate(engine="openvino", precision="int8", status="winner", miou=91.5, drop=0.1),
            Candidate(engine="fbgemm", precision="int8", status="failed", reason="no kernel"),
        ],
        winner="openvino/int8",
        machine=Machine("a cpu", 2, ["avx2"]),
        versions={"edge-seg": "0.1.0"},
        golden=tests,
    )


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest, members: dict[str, bytes]) -> Bundle:
    return write_bundle(tmp_path / "lane.edgeseg", manifest, members)
