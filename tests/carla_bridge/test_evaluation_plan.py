"""What can be wrong with a request is said before a world starts, and jobs are what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")

from drive_results_by_hand import write_folder

from carla_bridge.cli.drive import parse_routes, require_driven, require_score
from carla_bridge.evaluation.evaluate import Done, _require_same, evaluate
from carla_bridge.evaluation.jobs import Camera, Job, Server
from carla_bridge.evaluation.masks import MaskSource, lane_table, open_masks
from carla_bridge.evaluation.plan import CURVE_MS, Options, make_plan
from carla_bridge.world import shipped_maps
from edge_seg.attach import attach_driven
from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.manifest import Driven, Latency, ModelSource
from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, GateMissedError
from edge_seg.frames import FrameSet
from edge_seg.segmenter import Segmenter


def planned(**asked: object) -> list[Job]:
    return make_plan(Options(**{"driver": "labels", "maps": ("Town",), **asked})).jobs


def with_latency(bundle: Path, goal: Path) -> Path:
    opened = open_bundle(bundle)
    measured = Latency(
        device="A board",
        frames=3,
        stages={"total": {"p50": 60.0, "p90": 66.0, "p99": 80.0}},
        samples_ms=[60.0, 61.0, 80.0],
    )
    manifest = msgspec.structs.replace(opened.manifest, latencies=[measured])
    write_bundle(goal, manifest, {name: opened.read(name) for name in manifest.members})
    return goal


def test_jobs_are_every_route_repeat_driver_and_latency(tiny_bundle: Path) -> None:
    jobs = planned(
        driver=str(tiny_bundle), versus="labels", latency="normal:80,10", routes=(0, 3), repeat=2
    )
    assert len(jobs) == 2 * 2 * 2 * 4
    assert len({job.key for job in jobs}) == len(jobs)
    assert {job.latency.name.split()[-1] for job in jobs} == {"ms", "p50", "p99"}
    assert sum(job.film for job in jobs) == 1


def test_pairs_have_one_seed(tiny_bundle: Path) -> None:
    jobs = planned(driver=str(tiny_bundle), versus="labels", routes=(0, 1), repeat=3)
    seeds: dict[tuple[int, int], set[int]] = {}
    for job in jobs:
        seeds.setdefault((job.number, job.repeat), set()).add(job.run_seed)
    assert all(len(found) == 1 for found in seeds.values())
    assert len({seed for found in seeds.values() for seed in found}) == 6


def test_by_default_all_shipped_maps_at_the_bundles_own_latency(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    measured = with_latency(tiny_bundle, tmp_path / "measured.edgeseg")
    jobs = planned(driver=str(measured), maps=())
    assert list(dict.fromkeys(job.map for job in jobs)) == list(shipped_maps.names())
    assert list(dict.fromkeys(job.latency.name for job in jobs)) == [
        "0 ms",
        "A board p50",
        "A board p99",
    ]
    assert [job.latency.name for job in planned(driver=str(tiny_bundle))] == ["0 ms"]


def test_a_curve_drives_each_route_at_each_latency() -> None:
    plan = make_plan(Options(driver="labels", maps=("Town",), curve=True, routes=(0, 1), repeat=2))
    assert len(plan.curve_jobs) == len(CURVE_MS) * 2
    shared = {job.key for job in plan.curve_jobs} & {job.key for job in plan.jobs}
    assert len(shared) == 2  # what was driven at 0 is not driven again


def test_what_is_in_the_curve_too_is_driven_once_and_filmed(tmp_path: Path) -> None:
    plan = make_plan(Options(driver="labels", maps=("Town",), curve=True))
    asked: list[Job] = []

    def stop(jobs: Sequence[Job], done: Done) -> None:
        asked.extend(jobs)
        raise EdgeSegError("seen enough")

    with pytest.raises(EdgeSegError, match="seen enough"):
        evaluate(plan, tmp_path / "result", stop)
    assert len(asked) == len(CURVE_MS)
    assert [job.latency.name for job in asked if job.film] == ["0 ms"]


def test_a_job_survives_being_sent() -> None:
    (job,) = planned()
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"driver": "missing.edgeseg"}, "missing.edgeseg"),
        ({"versus": "float"}, "--vs float needs the bundle"),
        ({"versus": "ros"}, "needs a bundle: name one|pip install"),
        ({"weather": "rian"}, "did you mean"),
        ({"latency": "pi6"}, "is no latency"),
        ({"camera": Camera(width=4)}, "camera of 4x384 pixels"),
        ({"camera": Camera(fov_deg=300)}, "300 degrees"),
        ({"camera": Camera(fov_deg=5)}, "none to drive by"),
        ({"maps": ("missing.xodr",)}, "cannot read the map missing.xodr"),
        ({"server": Server(host="127.0.0.1", port=9)}, "no CARLA server at 127.0.0.1:9"),
        ({"traffic": 3, "server": Server(host="far")}, "--traffic is for the built-in world"),
    ],
)
def test_bad_requests_are_refused_in_one_line(asked: dict, message: str) -> None:
    with pytest.raises(EdgeSegError, match=message) as refused:
        planned(**asked)
    assert "\n" not in str(refused.value)


def test_a_float_model_that_is_not_the_bundles_is_refused(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """A bundle of the name that ships, whose digest says that it had other weights."""
    opened, path = open_bundle(tiny_bundle), tmp_path / "other.edgeseg"
    model = ModelSource(name="lane-unet", digest="0" * 64)
    manifest = msgspec.structs.replace(opened.manifest, model=model)
    write_bundle(path, manifest, {name: opened.read(name) for name in manifest.members})
    with pytest.raises(EdgeSegError, match=r"is not the one that bundle .* name its weights"):
        planned(driver=str(path), versus="float")


def test_a_bundle_s_file_may_be_called_as_a_driver_is(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "float.edgeseg"
    path.write_bytes(tiny_bundle.read_bytes())
    first, other = (job.driver for job in planned(driver=str(tiny_bundle), versus=str(path)))
    assert (first.name, other.name) == ("int8", "float.edgeseg")
    with open_masks(first) as ours, open_masks(other) as theirs:
        frame = np.full((48, 64, 3), 99, np.uint8)
        assert np.array_equal(ours(frame, frame), theirs(frame, frame))


def test_a_low_score_is_told_from_bad_input(tmp_path: Path) -> None:
    results = write_folder(tmp_path)
    rows = [row for row in results.summary if row.driver == results.request.driver]
    worst = min(row.driving_score for row in rows)
    require_score(results, None)
    require_score(results, worst)
    with pytest.raises(GateMissedError, match="below --min-score") as missed:
        require_score(results, worst + 0.1)
    assert missed.value.exit_code == 3


def test_a_drive_that_only_faults_ended_is_none(tmp_path: Path) -> None:
    results = write_folder(tmp_path)
    require_driven(results, tmp_path)
    for run in results.runs:
        run.status, run.reason, run.detail = "Failed", "simulator crash", "its process ended"
    with pytest.raises(EdgeSegError, match=r"simulator crash \(its process ended\); --resume"):
        require_driven(results, tmp_path)


def test_what_was_asked_differently_is_told_in_few_words(tmp_path: Path) -> None:
    before, now = (make_plan(Options(driver="labels", latency=ms)).request for ms in ("80", "90"))
    with pytest.raises(EdgeSegError, match=r"another 'latencies' \(0 ms, 80 ms, now 0 ms, 90 ms\)"):
        _require_same(before, now, tmp_path)


def test_a_map_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.xodr"
    path.write_text("<not a map")
    with pytest.raises(EdgeSegError, match=r"bad\.xodr"):
        planned(maps=(str(path),))


@pytest.mark.parametrize("text", ["", "a", "4-2", "1,,2", "-1", "0-99999"])
def test_routes_that_are_none(text: str) -> None:
    with pytest.raises(EdgeSegError, match="are no routes"):
        parse_routes(text)


def test_routes_are_numbers_and_ranges() -> None:
    assert parse_routes("0-2,7,1") == (0, 1, 2, 7)


def test_masks_of_a_bundle_are_its_own(tiny_bundle: Path, few_frames: FrameSet) -> None:
    frame, truth = few_frames.image(0), few_frames.mask(0)
    with open_masks(MaskSource(name="int8", bundle=str(tiny_bundle), threads=1)) as masks:
        mask = masks(frame, truth)
    with Segmenter(tiny_bundle, threads=1) as segmenter:
        assert (mask == segmenter(frame)).all()
    with open_masks(MaskSource(name="labels")) as masks:
        assert masks(frame, truth) is truth


def test_classes_are_found_by_name() -> None:
    assert lane_table(LANE)[:4].tolist() == [0, 1, 2, 0]
    other = ClassMap(("lane_marking", "sky", "road"), ((0, 0, 0),) * 3)
    assert lane_table(other)[:3].tolist() == [2, 0, 1]
    with pytest.raises(EdgeSegError, match="no lane_marking to drive by"):
        lane_table(ClassMap(("sky", "road"), ((0, 0, 0),) * 2))


DRIVEN = Driven(
    latency="0 ms",
    simulator="built-in world",
    maps=["Town"],
    weather="clear-noon",
    speed_kmh=30.0,
    runs=4,
    km=1.2,
    completion=100.0,
    driving_score=98.5,
    departures_per_km=0.8,
    lane_invasions_per_km=1.6,
    collisions=0,
    cross_track_mean_m=0.1,
    cross_track_p95_m=0.21,
    mask_iou={"road": 98.0, "lane_marking": 76.0},
)


def test_a_drive_is_attached_and_shown(tiny_bundle: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edge_seg.cli.main import app

    path = tmp_path / "driven.edgeseg"
    path.write_bytes(tiny_bundle.read_bytes())
    late = msgspec.structs.replace(DRIVEN, latency="pi5 (estimate) p50", estimate=True)
    digest = open_bundle(path).digest
    bundle = attach_driven(path, digest, [DRIVEN, late])
    assert bundle.manifest.driven == [DRIVEN, late]
    again = msgspec.structs.replace(DRIVEN, completion=90.0)
    bundle = attach_driven(path, bundle.digest, [again])
    assert bundle.manifest.driven == [late, again]  # the same circumstances: the newer stays
    with pytest.raises(EdgeSegError, match="was replaced while"):
        attach_driven(path, digest, [DRIVEN])
    shown = CliRunner().invoke(app, ["inspect", str(path)]).stdout
    assert "Driven" in shown and "0.21" in shown and "87.00" in shown and "estimate" in shown
