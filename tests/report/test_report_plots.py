import re

import msgspec
import numpy as np
import pytest

from edge_seg.bundle.manifest import Candidate
from edge_seg.report import plots
from edge_seg.report.labels import place_labels
from edge_seg.report.record import LayerRow, RangeRow
from edge_seg.report.scatter import scatter
from edge_seg.report.svg import MEDIUM, NARROW, WIDE, canvas, drawing


def titles(svg):
    return re.findall(r"<title>([^<]*)</title>", svg)


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def with_latencies(data, *latencies):
    rows = [
        Candidate(engine=f"e{i}", precision="int8", status="passed", miou=90.0, p50_ms=ms)
        for i, ms in enumerate(latencies)
    ]
    return msgspec.structs.replace(data, candidates=rows)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_scatter_names_each_measured_candidate_and_the_gate(report_data, width):
    svg = scatter(report_data, width)
    measured = [c for c in report_data.candidates if c.miou is not None]
    assert len(titles(svg)) == len(measured)
    for candidate in measured:
        assert any(t.startswith(f"{candidate.engine} {candidate.precision}") for t in texts(svg))
    assert "gate: drop 0.5" in texts(svg)
    expected = "openvino int8 (winner), mIoU 91.75 %, drop 0.12 points, p50 12.50 ms"
    assert any(title.startswith(expected) for title in titles(svg))


def test_a_drop_far_below_the_gate_says_its_value_and_does_not_stretch_the_axis(report_data):
    shown = texts(scatter(report_data, WIDE))
    assert "litert int8 (71.3 %)" in shown
    assert min(v for v in map(float_or_none, shown) if v is not None and v > 85) > 89


def float_or_none(text):
    try:
        return float(text)
    except ValueError:
        return None


def test_latencies_apart_by_more_than_five_are_on_a_logarithmic_axis(report_data):
    ticks = texts(scatter(with_latencies(report_data, 1.0, 100.0), WIDE))
    assert {"1", "2", "5", "10", "20", "50", "100"} <= set(ticks)
    ticks = texts(scatter(with_latencies(report_data, 10.0, 40.0), WIDE))
    assert not {"5", "50"} <= set(ticks)


@pytest.mark.parametrize("seed", range(5))
def test_labels_overlap_neither_each_other_nor_points(seed):
    rng = np.random.default_rng(seed)
    points = [tuple(p) for p in rng.normal(0.5, 0.12, (9, 2))]
    with drawing():
        figure = canvas(680, 400)
        axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
        figure.draw_without_rendering()
        boxes = place_labels(axes, points, ["onnxruntime int8"] * 9, strong=4)
        pixels = axes.transData.transform(points)
    for index, box in enumerate(boxes):
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert not any(box.contains(*pixel) for pixel in pixels)


def test_sizes_are_in_order_with_their_share(report_data):
    shown = [t for t in texts(plots.sizes(report_data, NARROW)) if t.endswith(")")]
    assert shown[0] == "1.99 MB  (0.25)"
    assert shown[-1] == "7.85 MB  (1.00)"


def test_sensitivity_shows_the_worst_twenty(report_data):
    rows = [LayerRow(f"layer{i}", float(i)) for i in range(50)]
    rows[3] = LayerRow("layer3", 3.0, float=True)
    svg = plots.sensitivity(msgspec.structs.replace(report_data, sensitivity=rows), MEDIUM)
    assert titles(svg)[:2] == ["layer0: 0.0 dB", "layer1: 1.0 dB"]
    assert "layer3: 3.0 dB, float" in titles(svg)
    assert len(titles(svg)) == 20
    assert svg.count("var(--rejected)") == 1


def test_ranges_show_the_widest_in_the_order_of_the_model(report_data):
    rows = [RangeRow(f"t{i}", -float(i), float(i)) for i in range(40)]
    rows[39] = RangeRow("t39", -50.0, 60.0)
    svg = plots.ranges(msgspec.structs.replace(report_data, ranges=rows), MEDIUM)
    assert len(titles(svg)) == plots.WIDEST_RANGES
    assert titles(svg)[0] == "t10: -10 to 10"
    assert titles(svg)[-1] == "t39: -50 to 60"


def test_class_bars_show_reference_and_winner_and_skip_absent_classes(report_data):
    shown = titles(plots.class_bars(report_data, MEDIUM))
    assert "lane_marking, torch float32: IoU 79.10 %" in shown
    assert "lane_marking, openvino int8: IoU 78.98 %" in shown
    absent = msgspec.structs.replace(report_data.winner, iou={"road": 90.0, "background": None})
    svg = plots.class_bars(msgspec.structs.replace(report_data, candidates=[absent]), MEDIUM)
    assert titles(svg) == ["road, openvino int8: IoU 90.00 %"]


def test_a_long_name_is_cut_in_its_middle(report_data):
    name = "backbone.features.17.conv.block.depthwise.weight_fake_quant"
    data = msgspec.structs.replace(report_data, sensitivity=[LayerRow(name, 20.0)])
    shown = texts(plots.sensitivity(data, NARROW))
    assert "backbone.\u2026fake_quant" in shown
    assert name in titles(plots.sensitivity(data, NARROW))[0]
