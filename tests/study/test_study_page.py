"""A study's page: well-formed, self-contained, escaped, the same for the same results."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from study_of import results_of, row

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.report.svg import MEDIUM, NARROW
from edge_seg.study import charts
from edge_seg.study.markdown import to_markdown, write_markdown
from edge_seg.study.page import page
from edge_seg.study.results import Results
from edge_seg.study.strips import SHOWN, chosen, mask_strips

VOID = {"meta", "link", "img", "br", "hr", "input"}


@pytest.fixture(scope="module")
def results() -> Results:
    """Three rows that ran and one that failed."""
    images = [80.0 + index for index in range(12)]
    timed = {"p50_ms": 10.0, "p99_ms": 12.0, "size_bytes": 8_000_000, "peak_rss_bytes": 100_000_000}
    float_row = row("float", images, **timed)
    int8 = timed | {"p50_ms": 4.0, "share_of_time": 0.4, "size_bytes": 2_000_000}
    ptq = row("ptq", [v - 0.5 for v in images], **int8)
    qat = row("qat<b>", images, **(timed | {"p50_ms": 4.1, "size_bytes": 2_000_000}))
    lost = row("equalized", images, status="failed", reason="no <kernel> | at all", miou=None)
    made = results_of(float_row, ptq, qat, lost, quick=True)
    profiles = {float_row.key: {"Conv": 8.0}, ptq.key: {"QLinearConv": 3.0, "Conv": 0.5}}
    agreements = {key: {float_row.key: 99.5} for key in (float_row.key, ptq.key, qat.key)}
    return msgspec.structs.replace(
        made, profiles=profiles, agreements=agreements, conclusion=["ptq loses <much>"]
    )


class Nesting(HTMLParser):
    """Collects tags, and what is closed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def parsed(text: str) -> Nesting:
    found = Nesting()
    found.feed(text)
    return found


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return page(results, [])


def test_the_page_is_well_formed_and_loads_nothing(results: Results, text: str) -> None:
    found = parsed(text)
    assert not found.open and not found.wrong
    for _, attributes in found.seen:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:", "#")) or not value
    assert "default-src 'none'" in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    ids = [a["id"] for _, a in found.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert page(results, []) == text


def test_names_are_escaped_and_every_row_is_there(text: str) -> None:
    assert "Made &lt;by&gt; hand" in text and "Is it &amp; was it?" in text
    assert "qat&lt;b&gt;" in text and "qat<b>" not in text
    assert "failed: no &lt;kernel&gt; | at all" in text and "ptq loses &lt;much&gt;." in text
    assert text.count('<tr class="passed">') == 2 and text.count('<tr class="failed">') == 1
    assert text.count('<tr class="baseline">') == 1 and "quick form" in text


def test_the_front_holds_what_nothing_beats() -> None:
    assert charts.front([(1.0, 90.0), (2.0, 89.0), (3.0, 92.0), (1.0, 91.0)]) == [3, 2]
    assert charts.front([(5.0, 80.0)]) == [0]


def test_charts_hold_their_points_and_are_none_without(results: Results) -> None:
    for width in (MEDIUM, NARROW):
        drawn = charts.pareto(results, "p50_ms", width)
        assert drawn is not None and drawn.count("<title>") == 3
        assert "onnxruntime int8 ptq: 85.00 %, 4.00 ms" in drawn
        spread = charts.distributions(results, width)
        assert spread is not None and "onnxruntime int8 ptq: mean 0.50 points" in spread
        times = charts.profile(results, width)
        assert times is not None and "QLinearConv: 3.00 ms a frame" in times
        assert charts.memory(results, width) is not None
    bare = results_of(row("float", [90.0] * 3))
    assert charts.pareto(bare, "p50_ms", MEDIUM) is None
    assert charts.by_weights(bare, MEDIUM) is None and charts.by_weights(results, MEDIUM) is None
    coarse = row("ptq", [88.0] * 3, bits=4, weight_bytes=1_000_000)
    weighed = charts.by_weights(results_of(row("float", [90.0] * 3), coarse), MEDIUM)
    assert weighed is not None and "onnxruntime int8 ptq 4 bit: 88.00 %, 1.00 MB" in weighed
    assert charts.distributions(bare, MEDIUM) is None
    assert charts.profile(bare, MEDIUM) is None and charts.memory(bare, MEDIUM) is None


def test_the_frames_shown_are_those_on_which_rows_differ() -> None:
    float_row = row("float", [90.0, 90.0, 90.0, 90.0, 90.0])
    one, other = row("ptq", [90.0, 88.0, 90.0, 80.0, 89.0]), row("qat", [90.0] * 5)
    assert chosen(results_of(float_row, one, other)) == [3, 4, 2]


def test_strips_show_frame_truth_and_every_row(few_frames: FrameSet) -> None:
    count = len(few_frames)
    rows = [row("float", [90.0] * count), row("ptq", [89.0] * count)]
    masks = {r.key: dict.fromkeys(range(count), np.ones((120, 160), np.uint8)) for r in rows}
    strips = mask_strips(results_of(*rows), few_frames, masks)
    assert len(strips) == SHOWN
    assert [tile.caption for tile in strips[0].tiles] == [
        "frame",
        "truth",
        "onnxruntime float: 90.0 %",
        "onnxruntime int8 ptq: 89.0 %",
    ]
    payload = base64.b64decode(strips[0].tiles[0].uri.partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (120, 160, 3)
    assert strips[0].differ == 1.0


def test_markdown_has_dice_and_frames_a_second_beside_times(results: Results) -> None:
    lines = to_markdown(results).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    heads, ptq = rows[0], rows[3]
    cells = dict(zip(heads, ptq, strict=True))
    assert len(heads) == 13
    assert cells["Dice, %"] == "95.00"  # of the one class that has a Dice
    assert (cells["p50 / p99 ms"], cells["frames/s"]) == ("4.0 / 12.0", "250.0")
    assert cells["of float's time"] == "0.40"
    assert lines[0] == "    edge-seg study made.toml --quick -o made.study --markdown made.md"
    ours = msgspec.structs.replace(
        results, quick=False, study=msgspec.structs.replace(results.study, name="depth_grid")
    )
    assert to_markdown(ours).startswith("    edge-seg study depth_grid -o depth_grid.study ")


def test_markdown_says_where_the_milliseconds_go(results: Results) -> None:
    text = to_markdown(results)
    assert "| onnxruntime float | 8.00 | Conv 8.00 (100 %) |  |  |  |  |" in text
    assert "| 3.50 | QLinearConv 3.00 (86 %) | Conv 0.50 (14 %) |  |  |  |" in text
    many = {f"Op{value}": float(value) for value in (1, 2, 3, 4, 10)} | {"Op5": 5.0}
    float_key = results.rows[0].key
    text = to_markdown(msgspec.structs.replace(results, profiles={float_key: many}))
    assert (
        "| onnxruntime float | 25.00 | Op10 10.00 (40 %) | Op5 5.00 (20 %) | Op4 4.00 (16 %) "
        "| Op3 3.00 (12 %) | 3.00 (12 %) |" in text
    )
    assert "by operator" not in to_markdown(msgspec.structs.replace(results, profiles={}))


def test_markdown_says_why_masks_are_apart_from_the_simulation() -> None:
    images = [90.0] * 12
    rows = [
        row("float", images),
        row("ptq", images, agreement_simulation=99.9),
        row("ptq", images, key="f", engine="fbgemm", agreement_simulation=98.0),
        row("qat", images, key="g", engine="fbgemm", agreement_simulation=97.25),
    ]
    text = to_markdown(results_of(*rows))
    assert "on less than 99.5 % of pixels" in text
    assert (
        "- fbgemm, 2 rows, down to 97.25 %: it puts what meets in a concatenation on one grid"
        in text
    )
    assert "- onnxruntime," not in text
    assert "the simulation on less" not in to_markdown(results_of(*rows[:2]))


def test_markdown_goes_into_a_new_file_or_between_marks(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "made.md"
    write_markdown(path, results)
    text = path.read_text()
    assert text.startswith("# Made <by> hand\n\nIs it & was it?\n\n<!-- study made -->")
    assert "| onnxruntime int8 ptq | 85.00 |" in text and "- ptq loses <much>." in text
    assert "failed: no <kernel> / at all" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for table, count in ((lines[:6], 2 + 4), (lines[6:], 2 + 2)):
        assert len({line.count("|") for line in table}) == 1 and len(table) == count
    path.write_text("mine before\n<!-- study made -->\nold\n<!-- end -->\nmine after\n")
    write_markdown(path, results)
    again = path.read_text()
    assert again.startswith("mine before\n") and again.endswith("<!-- end -->\nmine after\n")
    assert to_markdown(results) in again and "\nold\n" not in again
    (tmp_path / "other.md").write_text("no marks")
    with pytest.raises(EdgeSegError, match="has no marks"):
        write_markdown(tmp_path / "other.md", results)
