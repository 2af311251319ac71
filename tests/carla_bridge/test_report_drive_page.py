"""The page says what the record says, escapes it, and puts up with what is missing."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from drive_results_by_hand import CURVE, DIFFERENCES, P50, P99, write_folder, write_picture

from carla_bridge.evaluation.record import (
    CurvePoint,
    LatencyInfo,
    Results,
    Times,
    read_results,
)
from carla_bridge.evaluation.summary import LOWER_IS_BETTER
from carla_bridge.report import words, write
from carla_bridge.report.colours import error_names, error_step
from carla_bridge.report.page import page
from carla_bridge.report.sections import picture_width, worst_runs
from carla_bridge.report.trajectory import map_points, simplified

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("drive")
    write_folder(place, routes=1, repeats=2, latencies=[P50, P99])
    return place


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return read_results(folder)


@pytest.fixture(scope="module")
def html(results, folder) -> str:
    return page(results, folder)


class Text(HTMLParser):
    """The page as a reader sees it, and what it would run or load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._silent += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._silent -= tag in ("style", "script")

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_headline_is_the_asked_driver_at_the_devices_latency(html, results):
    row = next(r for r in results.summary if (r.driver, r.latency) == ("int8", "p50"))
    assert Text(html).text.count("every mask 80 ms late (p50, pi5, an estimate)") >= 1
    assert words.headline(results) == (
        f"int8: route completion 100.0 %, {row.departures_per_km:.2f} departures per km, "
        "every mask 80 ms late (p50, pi5, an estimate)"
    )


def test_the_summary_has_every_driver_at_every_latency_with_its_figures(html, results):
    table = html.split('class="sortable summary"')[1].split("</table>")[0]
    rows = [Text(row).text for row in table.split("<tbody>")[1].split("</tr>") if "<td" in row]
    assert len(rows) == 4
    for row, summary in zip(rows, results.summary, strict=True):
        assert summary.driver in row
        for value in (summary.cross_track_p95_m, summary.cross_track_max_m):
            assert f" {value:.2f} " in row
        assert ("estimate" in row) == (summary.latency == "p50")
        assert f"in {summary.km:.1f} km" in row
    assert "1 failed" in rows[2]


def test_an_estimate_is_called_so_wherever_its_figures_are(html):
    text = Text(html).text
    names = re.findall(r"(?:int8|float), latency p50[^,]*, repeat", text)
    assert names
    assert all("(an estimate)" in name for name in names)
    for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL):
        if re.search(r">(\w+, )?p50 ?<", row):
            assert "estimate" in row
    assert "half of a published figure" in text
    chart = html.split("Cross-track error of int8, float")[1].split("</svg>")[0]
    assert "latency p50 (an estimate)" in chart


def test_a_result_without_estimates_does_not_speak_of_them(results, folder):
    measured = LatencyInfo(label="p50", source="measured", device="here", p50_ms=20.0)
    plain = replace(
        results,
        request=replace(results.request, latencies=[measured]),
        runs=[replace(results.runs[0], latency=measured)],
        summary=[replace(row, estimate=False, latency="p50") for row in results.summary],
    )
    assert "estimate" not in Text(page(plain, folder)).text


@pytest.mark.parametrize(
    ("difference", "says"),
    zip(
        DIFFERENCES,
        [
            "no difference shown: the interval holds zero",
            "int8 is worse: the whole interval is on the bad side of zero",
            "the same in all 4 pairs",
            "nothing can be said: too few pairs",
        ],
        strict=True,
    ),
)
def test_a_difference_says_no_more_than_its_interval(html, difference, says):
    assert words.difference_words(difference) == says
    assert says in Text(html).text


def test_a_difference_on_the_good_side_is_better():
    better = replace(DIFFERENCES[1], worse=False, low=-0.05, high=-0.01)
    assert words.difference_words(better).startswith("int8 is better")


def test_every_metric_that_is_compared_has_a_name():
    assert set(words.METRICS) == set(LOWER_IS_BETTER)
    assert words.metric_name("cross_track_p95_m") == "cross-track error, p95, m"
    assert words.metric_name("odd") == "odd"


@pytest.mark.parametrize(
    ("largest", "tried", "says"),
    [
        (200.0, (0, 100, 200, 300), "up to 200 ms, and loses it at 300 ms"),
        (200.0, (0, 200), "up to 200 ms, the largest that was tried"),
        (
            None,
            (50, 100),
            "loses the lane on 1 route at the smallest latency that was tried, 50 ms",
        ),
        (None, (), "No latency was tried."),
    ],
)
def test_the_curve_says_what_was_tried_and_no_more(largest, tried, says):
    points = [
        CurvePoint(
            latency_ms=late,
            departures_per_km=0,
            completion=100,
            cross_track_p95_m=0.1,
            keeps_lane=largest is not None and late <= largest,
        )
        for late in tried
    ]
    assert says in words.curve_words(replace(CURVE, points=points, largest_ms=largest))


def test_a_failed_run_says_why(html):
    assert "deviation: 30 m from the route" in Text(html).text


def test_what_a_mask_took_here_is_said_of_each_driver(results, html):
    assert "frame to mask" not in html and words.mask_times(results) == ""
    timed = [("int8", 10.0), ("ros", 61.3), ("int8", 30.0), ("int8", 11.0), ("labels", 0.01)]
    runs = [
        msgspec.structs.replace(results.runs[0], driver=driver, times=Times(mask_p50_ms=ms))
        for driver, ms in timed
    ]
    measured = msgspec.structs.replace(results, runs=runs)
    assert words.mask_times(measured) == "int8 11.0 ms, ros 61.3 ms"


def test_the_page_loads_nothing_and_runs_one_script(html):
    found = Text(html)
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    sources = [a["src"] for _, a in found.tags if "src" in a]
    assert len(sources) >= 6
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not re.search(r"url\((?!#)", html)


def test_the_same_folder_gives_the_same_bytes(results, folder):
    few = replace(results, runs=results.runs[:1], curve=None)
    assert page(few, folder) == page(few, folder)


HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


def test_hostile_names_are_text(results, folder):
    run = results.runs[-1]
    late = replace(run.latency, label=HOSTILE, device=HOSTILE, note=HOSTILE, source="estimate")
    evil = replace(
        run,
        driver=HOSTILE,
        detail=HOSTILE,
        reason="agent failure",
        latency=late,
        route=replace(run.route, map=HOSTILE, weather=HOSTILE),
        events=[replace(e, what=HOSTILE) for e in run.events],
        moments=[replace(m, why=HOSTILE) for m in run.moments],
    )
    subject = replace(results.request.subject, name=HOSTILE, engine=HOSTILE)
    hostile = replace(
        results,
        runs=[evil],
        summary=[replace(r, driver=HOSTILE, latency=HOSTILE) for r in results.summary],
        request=replace(
            results.request, subject=subject, server=HOSTILE, latencies=[late], versus=HOSTILE
        ),
        tools={HOSTILE: HOSTILE},
        curve=replace(CURVE, driver=HOSTILE, routes=[HOSTILE]),
        differences=[replace(d, driver=HOSTILE, metric=HOSTILE) for d in DIFFERENCES],
    )
    made = page(hostile, folder)
    assert "<script>alert" not in made
    assert [tag for tag, _ in Text(made).tags].count("script") == 1
    assert HOSTILE in Text(made).text


def test_hostile_paths_read_nothing_outside_the_folder(results, folder, tmp_path):
    write_picture(tmp_path, "secret.jpg", 0)
    run = results.runs[0]
    (strip,) = run.moments
    names = [str(tmp_path / "secret.jpg"), "../secret.jpg", "a\0b", ""]
    pictures = [replace(strip.pictures[0], picture=name, mask=name) for name in names]
    evil = replace(run, trace="../x.json", moments=[replace(strip, pictures=pictures)])
    made = page(replace(results, runs=[evil]), folder)
    assert "data:image" not in made
    assert "Pictures that cannot be read" in made


def test_missing_and_broken_files_are_a_line_each(results, folder, tmp_path):
    write_folder(tmp_path, routes=1, repeats=1, latencies=[P99])
    run, other = read_results(tmp_path).runs
    pictures = run.moments[0].pictures
    (tmp_path / pictures[0].picture).unlink()
    (tmp_path / pictures[1].picture).write_bytes(b"no picture")
    (tmp_path / pictures[2].mask).unlink()
    (tmp_path / other.trace).write_text('{"key": "x", "dt_s": 0.05, "tick": [1, 2]}')  # torn
    (tmp_path / "maps" / "Sine.xodr").write_text("<no map>")
    text = Text(page(read_results(tmp_path), tmp_path)).text
    cannot = f"Pictures that cannot be read: {pictures[0].picture}, {pictures[1].picture}."
    assert cannot in text
    assert f"No trace of this run: {other.trace}." in text
    assert "The map maps/Sine.xodr cannot be drawn: " in text
    assert text.count("cannot be drawn") == 2  # once for each run that it concerns


def test_an_empty_and_an_unfinished_result_have_a_page(results, tmp_path):
    empty = replace(
        results, status="Started", runs=[], summary=[], curve=None, differences=[], tools={}
    )
    assert "Unfinished: 0 of 0 runs ended" in Text(page(empty, tmp_path)).text
    started = replace(results.runs[0], status="Started", metrics=None, trace="", moments=[])
    text = Text(page(replace(empty, runs=[started]), tmp_path)).text
    assert "Started" in text
    assert "No trace of this run: none was written." in text


def test_what_was_not_measured_is_a_dash_and_no_crash(results, folder):
    bare = [
        replace(row, mask_iou={"road": None}, control_age_p50_ms=None, control_age_p99_ms=None)
        for row in results.summary
    ]
    odd = replace(results.runs[0].metrics, cross_track_p95_m=math.nan, control_age_p50_ms=None)
    made = page(
        replace(results, summary=bare, runs=[replace(results.runs[0], metrics=odd)]), folder
    )
    assert "nan" not in Text(made).text.lower().split()
    assert "None" not in Text(made).text


def test_write_leaves_a_page_and_a_video_of_the_filmed_runs(tmp_path):
    results = write_folder(tmp_path, routes=1, repeats=1, latencies=[P50])
    filmed = results.runs[0]
    filmed.filmed = True
    frames = tmp_path / "frames" / filmed.key
    for tick in range(0, 20, 2):
        write_picture(tmp_path, f"frames/{filmed.key}/{tick:06d}.jpg", tick)
    (frames / "000020.jpg").write_bytes(b"torn")  # passed over
    (frames / "999999.jpg").write_bytes((frames / "000000.jpg").read_bytes())  # no such tick
    path = write(results, tmp_path)
    assert path == tmp_path / "report.html"
    assert 'href="drive.mp4"' in path.read_text()
    capture = cv2.VideoCapture(str(tmp_path / "drive.mp4"))
    shape = [int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    assert shape == [320, 240]
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 10
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_without_a_filmed_run_there_is_no_video_and_no_link(html):
    assert "drive.mp4" not in html


def test_errors_get_the_colour_of_their_size_on_either_side():
    assert error_step([0.0, -0.2, 0.3, -0.7, 5.0]).tolist() == [0, 1, 2, 3, 4]
    assert error_names()[-1] == "over 1 m"


def test_north_is_up_and_a_simplified_line_stays_within_its_tolerance():
    assert map_points([1.0], [2.0]).tolist() == [[1.0, -2.0]]
    x = np.linspace(0, 100, 1001)
    line = np.stack([x + 4000.0, 10 * np.sin(x / 20)], axis=1)
    kept = simplified(line, 0.15)
    assert len(kept) < 40
    assert np.abs(np.interp(line[:, 0], kept[:, 0], kept[:, 1]) - line[:, 1]).max() < 0.16


def test_the_worst_run_of_every_route_is_drawn_before_any_second_one(results):
    (failed,) = [run for run in results.runs if run.status == "Failed"]
    calm, other = results.runs[0], results.runs[1]
    assert worst_runs([[calm, failed], [other]], 2) == {failed.key, other.key}
    assert worst_runs([[calm, failed], [other]], 1) == {failed.key}


def test_many_pictures_are_made_smaller_and_few_are_not():
    assert picture_width(3) == 320
    assert picture_width(0) == 320
    assert picture_width(300) < 320
    assert picture_width(10**6) == 128
