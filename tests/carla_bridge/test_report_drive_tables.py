"""A drive's figures in the README's tables: those of the record, estimates called so."""

from __future__ import annotations

import json

import pytest
from drive_results_by_hand import write_folder

from benchmarks.__main__ import RESULTS
from benchmarks.drive import by_route, kept, tables
from benchmarks.readme import filled
from carla_bridge.evaluation.record import read_results, write_record
from edge_seg.errors import EdgeSegError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("result")
    write_folder(place, routes=2, repeats=2)
    return place


@pytest.fixture(scope="module")
def made(folder):
    return tables(json.loads(json.dumps(kept(folder))))


def test_the_summary_has_the_records_figures_and_says_what_was_driven(made, folder):
    lines = made["drive"].splitlines()
    row = read_results(folder).summary[4]
    cells = [cell.strip() for cell in lines[6].strip("|").split("|")]
    assert cells[:3] == ["int8", "drawn, 80 ms", f"{row.completion:.1f}"]
    assert cells[4:8] == [
        f"{value:.2f}"
        for value in (
            row.departures_per_km,
            row.cross_track_mean_m,
            row.cross_track_p95_m,
            row.cross_track_max_m,
        )
    ]
    assert cells[8:] == ["96.0", "71.5", "33.3", "100/130"]
    assert "2 routes of Sine, 0.6 km in all, 60 m of it guided" in lines[-1]
    assert "14 Completed, 2 Failed: deviation, 8 Perfect" in lines[-1]


def test_a_row_a_route_where_it_was_driven_first(folder):
    results = read_results(folder)
    lines = by_route(json.loads(json.dumps(kept(folder)))).splitlines()
    key = (results.runs[0].driver, results.runs[0].latency.label)
    first = [run for run in results.runs if (run.driver, run.latency.label) == key]
    assert len(lines[2:-2]) == len(first) == 4
    for line, run in zip(lines[2:-2], first, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == run.route.map and cells[1] == f"{run.route.length_m:.0f}"
        assert cells[3] == f"{run.metrics.completion:.1f}"
        assert cells[4] == str(run.metrics.departures)
        assert cells[6] == f"{run.metrics.cross_track_max_m:.2f}"


def test_every_row_of_an_estimated_latency_says_so(made):
    rows = [line for table in made.values() for line in table.splitlines() if "p50," in line]
    assert len(rows) == 4
    assert all("an estimate" in row for row in rows)


def test_differences_and_curve_are_in_words_too(made):
    assert "no difference shown: the interval holds zero" in made["drive-difference"]
    assert made["drive-difference"].startswith("int8 minus float:")
    assert "up to 200 ms, and loses it at 300 ms" in made["drive-curve"]
    assert "| 300 | 3.50 | 100.0 | 0.90 | lost |" in made["drive-curve"]


def test_a_bare_drive_has_the_summary_alone(folder, tmp_path):
    results = read_results(folder)
    results.differences, results.curve = [], None
    write_record(tmp_path / "results.json", results)
    assert set(tables(kept(tmp_path))) == {"drive"}


def test_an_unfinished_drive_is_not_kept(folder, tmp_path):
    results = read_results(folder)
    results.status = "Started"
    write_record(tmp_path / "results.json", results)
    with pytest.raises(EdgeSegError, match="not driven to its end"):
        kept(tmp_path)


def test_what_is_kept_names_no_time_and_no_run(folder):
    record = kept(folder)
    assert record["results"]["runs"] == []
    assert record["results"]["times"]["started"] == ""


def test_the_readme_takes_the_tables_in(folder, made, tmp_path):
    for path in RESULTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "drive.json").write_text(json.dumps(kept(folder)))
    text = "x\n<!-- drive -->\nold\n<!-- end -->\ny\n<!-- drive-curve -->\n\n<!-- end -->\n"
    shown = filled(text, tmp_path)
    assert made["drive"] in shown
    assert made["drive-curve"] in shown
    assert filled(shown, tmp_path) == shown
