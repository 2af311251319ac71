"""The comparison of trainings: which there are, what is kept, and the table."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.networks import candidates, name_of
from benchmarks.training_tables import mean, readme_table, rows
from benchmarks.transfer import GROUPS, Results, ablations
from carla_bridge.world.randomization import TERMS, parse_terms
from edge_seg.errors import EdgeSegError


def test_each_group_is_left_out_in_turn_between_both_ends() -> None:
    every = ablations([], seeds=[0, 1])
    assert len(every) == 2 * (2 + len(GROUPS))
    everything, nothing, first = every[:3]
    assert parse_terms(list(everything.terms)) == parse_terms([])
    off = parse_terms(list(nothing.terms))
    assert all(getattr(off, term) == 0 for term in TERMS)
    assert first.name == "without surface"
    without = parse_terms(list(first.terms))
    assert tuple(term for term in TERMS if getattr(without, term) == 0) == GROUPS["surface"]
    assert [run.name for run in ablations(["rain"], [0])][2:] == ["without rain"]
    with pytest.raises(EdgeSegError, match=r"no term or group 'rein' .* did you mean 'rain'"):
        ablations(["rein"], [0])


def test_each_term_is_in_one_group() -> None:
    assert sorted(itertools.chain(*GROUPS.values())) == sorted(TERMS)
    assert not set(GROUPS) & set(TERMS)


def scored(name: str, seed: int, road: float) -> dict:
    return {
        "name": name,
        "seed": seed,
        "scores": [
            {"source": "lane-test", "road_iou": 90.0, "lane_marking_iou": 50.0},
            {"source": "camseq01", "road_iou": road, "lane_marking_iou": 20.0},
            {"source": "camvid11", "road_iou": road + 2, "lane_marking_iou": None},
            {"source": "carla_lyft", "road_iou": 0.0, "lane_marking_iou": 0.0},
        ],
    }


def test_what_is_there_is_not_run_again_and_other_setups_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "transfer.json"
    setup = {"training": {"steps": 600, "sizes": (1, 2)}}
    first = Results(path, setup)
    assert not first.has("everything", 0)
    first.add(scored("everything", 0, 60.0))
    again = Results(path, setup)
    assert again.has("everything", 0)
    assert not again.has("everything", 1)
    again.add(scored("everything", 1, 70.0))
    record = json.loads(path.read_text())
    assert [run["seed"] for run in record["runs"]] == [0, 1]
    assert record["machine"]["cpu"]
    with pytest.raises(EdgeSegError, match="runs of another setup"):
        Results(path, {"training": {"steps": 601, "sizes": (1, 2)}})


def test_means_are_of_photographs_over_sources_and_seeds() -> None:
    runs = [scored("everything", 0, 60.0), scored("everything", 1, 70.0)]
    assert mean(runs, "road_iou") == pytest.approx((60 + 62 + 70 + 72) / 4)
    assert mean(runs, "lane_marking_iou") == 20.0
    assert mean(runs, "road_iou", rendered=True) == 90.0
    assert mean(runs, "road_f1") is None
    assert list(rows(runs)) == [["everything", "66.0", "20.0", "-", "90.0", "50.0"]]
    training = {"steps": 600, "batch": 8, "height": 192, "width": 384}
    text = readme_table({"runs": runs, "setup": {"training": training}})
    assert "| everything | 66.0 | 20.0 | - | 90.0 | 50.0 |" in text
    assert "600 steps of 8 at 192x384, 2 seeds." in text


def test_widths_and_sizes_are_compared_crosswise() -> None:
    names = [name_of(base, size) for base, size in candidates()]
    assert names[0] == "base 16, 192x384"
    assert names[-1] == "base 24, 320x640"
    assert len(set(names)) == 6
