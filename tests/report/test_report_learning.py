"""The curve of a fine-tuning on the page: every check, and which of them was kept."""

from __future__ import annotations

import itertools
import math
import re

import msgspec
import pytest
from test_report_page import Outline

from edge_seg.classes import DEPTH
from edge_seg.report.learning import MOST, learning, shown_checks
from edge_seg.report.page import write_report
from edge_seg.report.record import CheckRow, ReportData
from edge_seg.report.svg import NARROW, WIDE

ROWS = [
    CheckRow(0, 0.06, 0.06),
    CheckRow(20, 0.031, 0.0325),
    CheckRow(40, 0.02, 0.0125),
    CheckRow(50, 0.018, 0.0175),
]


def with_curve(data: ReportData, rows: list[CheckRow]) -> ReportData:
    """Return a record with these checks, and without what takes long to draw."""
    return msgspec.structs.replace(data, learning=rows, samples=[], sensitivity=[], ranges=[])


def places(svg: str, key: str, count: int) -> list[tuple[float, float]]:
    """Return where the dots p0, p1, ... are, in the drawing's pixels."""
    found = []
    for index in range(count):
        group = svg[svg.index(f'id="{key}-p{index}"') :]
        use = re.search(r'<use[^>]* x="([\d.]+)" y="([\d.]+)"', group)
        assert use is not None
        found.append((float(use[1]), float(use[2])))
    return found


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_each_check_is_a_dot_in_its_place_and_says_its_values(
    report_data: ReportData, width: int
) -> None:
    svg = str(learning(with_curve(report_data, ROWS), width))
    assert re.findall("<title>([^<]*)</title>", svg) == [
        "step 0: held out 0.06 nats a pixel",
        "step 20: held out 0.0325 nats a pixel, taught 0.031",
        "step 40: held out 0.0125 nats a pixel, taught 0.02, kept",
        "step 50: held out 0.0175 nats a pixel, taught 0.018",
    ]
    dots = places(svg, f"learning{width}", 4)
    xs, ys = zip(*dots, strict=True)
    assert (xs[1] - xs[0]) / (xs[3] - xs[0]) == pytest.approx(20 / 50, abs=1e-3)
    # Less than five times apart: the axis is linear, and below is less.
    share = (ys[1] - ys[0]) / (ys[2] - ys[0])
    assert share == pytest.approx((0.0325 - 0.06) / (0.0125 - 0.06), abs=1e-3)
    assert ys[2] == max(ys)


def test_losses_far_apart_are_on_a_logarithmic_axis(report_data: ReportData) -> None:
    rows = [CheckRow(step, 10.0**-step, 10.0**-step) for step in range(1, 4)]
    ys = [
        y for _, y in places(str(learning(with_curve(report_data, rows), WIDE)), "learning680", 3)
    ]
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.01)


def test_the_page_has_curve_and_table_and_without_fine_tuning_neither(
    report_data: ReportData,
) -> None:
    html = write_report(with_curve(report_data, ROWS))
    Outline(html)
    section = html[html.index('<h2 id="learning">') :]
    section = section[: section.index("</section>")]
    assert section.count("<svg") == 2 and "All 4 checks" in section
    rows = re.findall(
        r'<tr( class="winner")?><th scope="row">(\d+)</th><td>(.*?)</td><td>(.*?)</td></tr>',
        section,
    )
    assert rows == [
        ("", "0", "\u2013", "0.06"),
        ("", "20", "0.031", "0.0325"),
        (' class="winner"', "40", "0.02", "0.0125"),
        ("", "50", "0.018", "0.0175"),
    ]
    assert 'id="learning"' not in write_report(with_curve(report_data, []))
    assert learning(report_data, WIDE) is None


def test_nothing_better_than_the_start_is_said(report_data: ReportData) -> None:
    rows = [CheckRow(0, 0.01, 0.01), CheckRow(20, 0.02, 0.02)]
    assert "the start, as nothing after it was better" in write_report(
        with_curve(report_data, rows)
    )


def test_of_a_long_one_a_part_is_shown_and_the_kept_check_always(report_data: ReportData) -> None:
    rows = [CheckRow(20 * n, 1.0, 1.0 if n != 1234 else 0.5) for n in range(5001)]
    shown = shown_checks(rows)
    assert len(shown) <= MOST + 1
    assert (shown[0], shown[-1]) == (rows[0], rows[-1]) and rows[1234] in shown
    gaps = [after.step - row.step for row, after in itertools.pairwise(shown)]
    assert max(gaps) <= 20 * math.ceil(5000 / (MOST - 1))
    assert shown_checks(rows[:MOST]) == rows[:MOST]
    assert len(str(learning(with_curve(report_data, rows), WIDE))) < 60_000


def test_a_check_without_a_number_is_not_drawn(report_data: ReportData) -> None:
    rows = [*ROWS, CheckRow(60, math.nan, math.inf)]
    assert shown_checks(rows) == ROWS
    assert learning(with_curve(report_data, rows[3:]), WIDE) is None  # one check is no curve


def test_a_depth_s_loss_is_a_squared_error(report_data: ReportData) -> None:
    svg = str(learning(msgspec.structs.replace(with_curve(report_data, ROWS), classes=DEPTH), WIDE))
    assert "loss, squared error" in svg and "nats" not in svg
