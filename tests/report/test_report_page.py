"""The page as text: what it says, that it is safe, whole and repeatable."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Candidate
from edge_seg.classes import ClassMap
from edge_seg.report.page import number, write_report
from edge_seg.report.record import LayerRow, RangeRow, ReportData, SetInfo, verdict

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&$\\frac{{7*7}}]]>--><svg/onload=alert(2)>"
VOID = {"meta", "link", "img", "br", "path", "use"}


class Outline(HTMLParser):
    """Collect tags, attributes and ids; fail where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(report_data):
    return write_report(report_data)


def empty_record(report_data, **fields) -> ReportData:
    return ReportData(
        title="t",
        model="m",
        target="x86",
        candidates=fields.pop("candidates", []),
        gate=report_data.gate,
        classes=report_data.classes,
        command="edge-seg pack",
        **fields,
    )


def test_the_verdict_comes_first_and_every_candidate_has_its_row_and_reason(html, report_data):
    first = (
        "openvino int8: 4.9x faster than torch float32, 1.8x faster than openvino float32, "
        "mIoU drop 0.12 points, 0.27 of the size"
    )
    assert verdict(report_data) == first
    assert f"<h1>{first}</h1>" in html
    for candidate in report_data.candidates:
        name = f"{candidate.engine} {candidate.precision}"
        assert f'<th scope="row" data-value="{name}">{name}</th>' in html
        assert candidate.reason in html
    assert "ids argmax, resize host" in html
    assert html.index("<h1>") < html.index("<table") < html.index("<svg") < html.index("<img")


def test_a_packed_bundles_page_says_how_to_repeat_it(tiny_bundle, tiny_request):
    opened = open_bundle(tiny_bundle)
    html = opened.read("report.html").decode()
    Outline(html)
    made, repeat = html.index('<h2 id="made">'), html.index('<h2 id="repeat">')
    for frames in (tiny_request.calibration, tiny_request.evaluation):
        assert f"<code>{frames.digest}</code>" in html[made:repeat]
        assert f"{frames.name}: {len(frames)} frames, licence {frames.licence}" in html[made:repeat]
    versions = opened.manifest.versions
    assert {"edge_seg", "python", "torch", "onnx", "onnxruntime", "numpy"} <= versions.keys()
    shown = re.search("<dt>versions</dt><dd>(.*?)</dd>", html[made:repeat], re.S)
    assert shown is not None
    assert set(shown[1].split(", ")) == {f"{name} {text}" for name, text in versions.items()}
    assert f"<code>{tiny_request.command}</code>" in html[repeat:]


def test_the_page_loads_nothing_and_is_small_enough(html):
    outline = Outline(html)
    assert "://" not in html
    for name, value in outline.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:", "#"))
    assert not re.search(r"url\((?!#)", html)
    assert len(html) < 1_500_000
    assert "default-src 'none'" in html


def test_ids_are_unique_and_references_resolve(html):
    outline = Outline(html)
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {v[1:] for n, v in outline.attributes if n == "href" and v.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", html))
    used |= {v for n, v in outline.attributes if n == "aria-labelledby"}
    assert used <= set(ids)


def test_charts_take_their_colours_from_the_page(html):
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#ffffff"}
        assert "var(--ink)" in svg
        assert 'role="img" aria-label="' in svg


def test_pictures_have_words_and_tables_have_captions(html):
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) == 4 * 5
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)
    assert html.count("<caption") == html.count("<table") == 4


def test_the_same_record_gives_the_same_bytes(html, report_data):
    assert write_report(report_data) == html


def test_a_hostile_name_stays_text_wherever_it_stands(report_data):
    classes = ClassMap((HOSTILE, "road"), ((0, 0, 0), (1, 2, 3)))
    loser = Candidate(engine=HOSTILE, precision=HOSTILE, status="failed", reason=HOSTILE)
    winner = msgspec.structs.replace(
        report_data.winner,
        engine=HOSTILE,
        float_layers=[HOSTILE],
        iou={HOSTILE: 90.0, "road": None},
        class_drop={HOSTILE: 0.1, "road": None},
    )
    data = msgspec.structs.replace(
        report_data,
        title=HOSTILE,
        model=HOSTILE,
        target=HOSTILE,
        command=HOSTILE,
        classes=classes,
        candidates=[report_data.reference, winner, loser],
        samples=[msgspec.structs.replace(report_data.samples[0], name=HOSTILE)],
        sensitivity=[LayerRow(HOSTILE, 20.0)],
        ranges=[RangeRow(HOSTILE, -1.0, 1.0)],
        calibration=SetInfo(HOSTILE, HOSTILE, 1, HOSTILE),
        steps=[(HOSTILE, 1.0)],
        versions={HOSTILE: HOSTILE},
        agreement={HOSTILE: 99.9},
        notes=[HOSTILE],
    )
    html = write_report(data)
    outline = Outline(html)
    assert outline.tags.count("script") == 1
    assert outline.tags.count("img") == 5
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert "<img src=x" not in html
    assert "<svg/onload" not in html
    assert "{{7*7}}" in html  # shown, not computed


def test_without_a_winner_the_page_says_so_and_keeps_the_reasons(report_data):
    losers = [c for c in report_data.candidates if c.status not in ("winner", "passed")]
    html = write_report(msgspec.structs.replace(report_data, candidates=losers))
    assert "<h1>Nothing packed: none of 3 candidates held the gate</h1>" in html
    assert "mIoU drop 0.81 points, the gate allows 0.5" in html
    Outline(html)


def test_a_record_with_nothing_measured_is_still_a_page(report_data):
    failed = Candidate(engine="a", precision="int8", status="failed", reason="no runtime")
    for candidates in ([], [failed]):
        html = write_report(empty_record(report_data, candidates=candidates))
        Outline(html)
        assert "<svg" not in html
        assert "Nothing packed" in html


def test_numbers_at_the_edge_are_drawn(report_data):
    nan = float("nan")
    odd = Candidate(
        engine="a",
        precision="int8",
        status="winner",
        miou=0.0,
        drop=-0.3,
        iou={"road": nan},
        p50_ms=1e-4,
        p99_ms=nan,
        size_bytes=0,
    )
    data = empty_record(
        report_data,
        candidates=[odd],
        sensitivity=[LayerRow("a", -3.0), LayerRow("b", nan), LayerRow("c", float("inf"))],
        ranges=[RangeRow("zero", 0.0, 0.0), RangeRow("odd", nan, 1.0), RangeRow("b", 0, 1)],
        steps=[("nothing", 0.0)],
    )
    html = write_report(data)
    Outline(html)
    assert "a int8: mIoU drop -0.30 points" in html
    assert ">nan<" not in html


def test_a_name_that_no_font_has_is_no_warning(report_data, recwarn):
    write_report(empty_record(report_data, sensitivity=[LayerRow("層.畳み込み", 20.0)]))
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_many_detailed_frames_still_fit_the_page(report_data):
    noise = np.random.default_rng(0).integers(0, 256, (120, 190, 3), np.uint8)
    sample = msgspec.structs.replace(report_data.samples[0], frame=noise)
    html = write_report(msgspec.structs.replace(report_data, samples=[sample] * 24))
    assert len(html) < 1_500_000
    assert "of 24 samples are shown" in html


def test_number():
    assert number(None) == number(float("nan")) == "\u2013"
    assert number(-0.304) == "\u22120.30"
    assert number(12.34, 1) == "12.3"
