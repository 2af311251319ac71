"""A record such as a pack leaves behind, with drawn frames; every number is made up."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_seg.bundle.manifest import Candidate, Gate, Machine
from edge_seg.classes import LANE
from edge_seg.report.record import LayerRow, RangeRow, ReportData, Sample, SetInfo

HOST = {"resize": "host", "ids": "argmax"}
REJECTED = "mIoU drop 0.81 points, the gate allows 0.5; with its 3 worst layers in float still 0.62"


def candidate(engine, precision, status, miou=None, p50=None, size=None, **fields):
    if miou is not None:
        drop = 91.87 - miou
        fields.setdefault("iou", {"background": 98.9, "road": 97.6, "lane_marking": 79.1 - drop})
        fields.setdefault("class_drop", {"background": 0.02, "road": 0.1, "lane_marking": drop * 2})
        fields |= {"miou": miou, "drop": drop, "p99_ms": p50 * 1.3, "peak_rss_bytes": 310_000_000}
    return Candidate(
        engine=engine, precision=precision, status=status, p50_ms=p50, size_bytes=size, **fields
    )


def road_sample(seed: int) -> Sample:
    """A grey road with three lines on green ground, and masks that differ along the lines."""
    rng = np.random.default_rng(seed)
    height, width = 480, 640
    frame = np.full((height, width, 3), (70, 120, 85), np.uint8)
    frame[:190] = (225, 190, 150)
    truth = np.zeros((height, width), np.uint8)
    centre = int(rng.integers(260, 380))
    road = np.array([[centre - 25, 190], [centre + 25, 190], [640, 480], [0, 480]], np.int32)
    cv2.fillPoly(frame, [road], (95, 92, 90))
    cv2.fillPoly(truth, [road], 1)
    for bottom in (40, 320, 600):
        cv2.line(frame, (centre, 190), (bottom, 480), (230, 235, 235), 8)
        cv2.line(truth, (centre, 190), (bottom, 480), 2, 8)
    frame = np.clip(frame + rng.normal(0, 9, frame.shape), 0, 255).astype(np.uint8)
    truth[:, :6] = 255
    float_mask = cv2.medianBlur(np.where(truth == 255, 1, truth).astype(np.uint8), 5)
    return Sample(f"lane-mini/{seed:03d}", frame, float_mask, np.roll(float_mask, 1, 1), truth)


@pytest.fixture(scope="session")
def report_data() -> ReportData:
    rng = np.random.default_rng(7)
    blocks = [f"{side}.{i}.conv{j}" for side in ("down", "up") for i in range(4) for j in (1, 2)]
    layers = ["stem.conv", *blocks, "bridge.conv1", "bridge.conv2", "head"]
    noise = [(layer, 42 - 16 * float(rng.random())) for layer in layers]
    return ReportData(
        title="lane-unet for x86",
        model="lane-unet",
        target="x86",
        candidates=[
            candidate("torch", "float32", "baseline", 91.87, 61.4, 7_813_000),
            candidate("onnxruntime", "float32", "baseline", 91.87, 25.3, 7_790_000),
            candidate("openvino", "float32", "baseline", 91.86, 21.9, 7_850_000),
            candidate("fbgemm", "int8", "passed", 91.62, 29.8, 2_140_000, float_layers=["head"]),
            candidate("onnxruntime", "int8", "passed", 91.71, 19.9, 2_020_000),
            candidate("openvino", "int8", "winner", 91.75, 12.5, 2_110_000, options=HOST),
            candidate("qnnpack", "int8", "rejected", 91.06, 44.0, 2_140_000, reason=REJECTED),
            candidate("litert", "int8", "rejected", 71.3, 31.0, 1_990_000, reason="class drop 41"),
            candidate("tensorrt", "int8", "failed", reason="no TensorRT on this machine"),
        ],
        gate=Gate(max_drop=0.5, max_class_drop=1.0),
        classes=LANE,
        command="edge-seg pack --target x86 --model lane-unet --calibration lane-mini "
        "--eval lane-test --max-drop 0.5 -o lane.edgeseg",
        samples=[road_sample(seed) for seed in range(4)],
        sensitivity=[LayerRow(name, db, name == "head") for name, db in noise],
        ranges=[
            RangeRow(f"{name}.out", 0.0, top)
            for name, top in zip(layers, np.exp(rng.normal(1.2, 0.9, len(layers))), strict=True)
        ]
        + [RangeRow("logits", -18.2, 24.9)],
        calibration=SetInfo("lane-mini", "3f" * 32, 64, "Apache-2.0"),
        evaluation=SetInfo("lane-test", "a1" * 32, 200, "Apache-2.0"),
        steps=[("load", 1.2), ("collect ranges", 14.0), ("lower", 31.5), ("evaluate", 48.2)],
        versions={"edge-seg": "0.1.0", "torch": "2.13.0", "openvino": "2026.2"},
        machine=Machine(cpu="Example CPU at 2.5 GHz", cores=2, isa=["avx2", "fma"]),
        agreement={"openvino": 99.81, "onnxruntime": 99.93, "fbgemm": 99.52},
        notes=["litert lost its lane markings: its converter quantized the skip connections."],
    )
