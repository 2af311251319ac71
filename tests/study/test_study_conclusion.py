"""What a study says of its numbers: intervals with known answers, and no word beyond."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from scipy import stats
from study_of import results_of, row

from edge_seg.study.conclusion import conclude, paired
from edge_seg.study.intervals import Interval, bootstrap, interval, tail
from edge_seg.study.results import Row
from edge_seg.study.sentences import (
    Compared,
    Share,
    say,
    sentence,
    share,
    share_of_time,
    shares_of_time,
    span,
    together,
)

FLOAT = row("float", [90.0] * 12)


def test_equal_values_have_an_interval_of_no_length() -> None:
    assert interval([0.25] * 9) == Interval(0.25, 0.25, 0.25, 9)


def test_few_values_have_none() -> None:
    assert interval([1.0, 2.0, 3.0]) == Interval(2.0, None, None, 3)


def test_it_is_as_long_as_students_for_normal_values() -> None:
    values = np.random.default_rng(5).normal(1.0, 2.0, 40)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    found = interval(values.tolist())
    assert found.low is not None and found.high is not None
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08)


@pytest.mark.parametrize("count", [8, 14, 64, 1000])
def test_the_tail_is_hesterbergs(count: int) -> None:
    quantile = stats.t.ppf(0.975, count - 1)
    exact = stats.norm.cdf(-np.sqrt(count / (count - 1)) * quantile)
    assert tail(count) == pytest.approx(exact, rel=0.03)


def test_it_covers_the_mean_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        low, high = bootstrap(lambda rows: rows.mean(axis=1), random.normal(0.0, 1.0, 12))
        assert low is not None and high is not None
        hits += low < 0 < high
    assert 0.92 < hits / 300 < 0.98


def test_pairs_are_frame_by_frame_and_seeds_are_averaged() -> None:
    one = row("float", [90.0, 80.0, None, 70.0])
    first, second = row("qat", [89.0, 81.0, 50.0, None]), row("qat", [87.0, 81.0, 50.0, 69.0])
    assert paired([(one, first)]) == [1.0, -1.0]
    assert paired([(one, first), (one, second)]) == [2.0, -1.0, 1.0]


def test_sentences_say_which_way_and_how_surely() -> None:
    assert sentence("a", Interval(0.31, 0.12, 0.52, 14), "float") == (
        "a loses 0.31 points of mean IoU against float (0.12 to 0.52, 14 frames)"
    )
    assert sentence("a", Interval(-0.31, -0.52, -0.12, 14), "b") == (
        "a gains 0.31 points of mean IoU against b (0.12 to 0.52, 14 frames)"
    )
    assert sentence("a", Interval(0.1, -0.2, 0.4, 14), "b") == (
        "a against b: no difference in mean IoU can be seen "
        "(-0.10 points, -0.40 to +0.20, 14 frames)"
    )
    assert sentence("a", Interval(0.0, 0.0, 0.0, 14), "b") == (
        "a against b: no difference, the same mean IoU on all 14 frames"
    )
    assert "too few for an interval" in sentence("a", Interval(0.1, None, None, 3), "b")


@pytest.mark.parametrize(
    ("found", "tiny"),
    [
        (Interval(0.002, 0.001, 0.004, 64), True),
        (Interval(-0.0049, -0.012, -0.0001, 64), True),
        (Interval(0.0, -0.001, 0.004, 64), True),
        (Interval(0.006, 0.001, 0.012, 64), False),
        (Interval(0.001, -0.02, 0.02, 64), False),
    ],
)
def test_what_two_decimals_do_not_show_is_no_gain_and_no_loss(found: Interval, tiny: bool) -> None:
    said = sentence("a", found, "float")
    own = (
        "a against float: no difference in mean IoU can be seen in two decimals "
        "(under 0.005 points, 64 frames)"
    )
    assert (said == own) is tiny
    assert " 0.00 points" not in said or not tiny


def test_no_sentence_gains_or_loses_nothing() -> None:
    near = row("ptq", [90.0 - 0.001 - 0.0001 * index for index in range(12)])
    said = conclude(results_of(FLOAT, near, row("qat", [90.0] * 12)))
    assert not [line for line in said if re.search(r"(gains|loses) 0\.00 ", line)]
    assert said[0] == (
        "onnxruntime int8 against float: no difference in mean IoU can be seen in 2 rows; the "
        "farthest that an interval reaches is under 0.005 points (onnxruntime int8 ptq against "
        "float); the same class on 99.00 % of pixels"
    )
    assert "in two decimals (under 0.005 points, 12 frames)" in said[1]


def test_equal_rows_differ_in_nothing() -> None:
    said = conclude(results_of(FLOAT, row("ptq", FLOAT.image_miou)))
    assert said[0] == (
        "onnxruntime int8 ptq against float: no difference, the same mean IoU on all 12 frames; "
        "the same class on 99.00 % (99.00 to 99.00) of pixels"
    )
    said = conclude(results_of(FLOAT, row("ptq", FLOAT.image_miou), row("qat", FLOAT.image_miou)))
    assert said[0] == (
        "onnxruntime int8 against float: no difference in 2 rows, the same mean IoU on all 12 "
        "frames; the same class on 99.00 % of pixels"
    )
    assert said[1].startswith("onnxruntime int8 qat against ptq: no difference, the same")
    assert not any(" loses " in line or " gains " in line for line in said)


def test_a_loss_on_every_frame_is_a_loss() -> None:
    drops = [0.5 + 0.01 * index for index in range(13)]  # their mean is 0.56
    worse = row("ptq", [90.0 - drop for drop in drops])
    better = row("qat", [90.0] * 13)
    said = conclude(results_of(row("float", [90.0] * 13), worse, better))
    assert said[0].startswith(
        "onnxruntime int8 ptq loses 0.56 points of mean IoU against float (0.5"
    )
    assert said[2].startswith("onnxruntime int8 qat gains 0.56 points of mean IoU against ptq (0.5")


def test_rows_that_differ_in_more_than_one_thing_are_not_compared() -> None:
    coarse = row("qat", [80.0] * 12, bits=4, key="coarse")
    said = conclude(results_of(FLOAT, row("ptq", [89.0] * 12), coarse))
    assert not any("against ptq" in line or "against 7 bit" in line for line in said)
    alike = row("ptq", [80.0] * 12, bits=4, key="coarse")
    said = conclude(results_of(FLOAT, row("ptq", [89.0] * 12), alike))
    assert any(line.startswith("onnxruntime int8 ptq 4 bit loses 9.00") for line in said)


def test_bits_are_held_against_the_next_number_of_them() -> None:
    rows = [row("ptq", [80.0 + bits] * 12, bits=bits, key=f"b{bits}") for bits in (7, 4, 2)]
    said = [line for line in conclude(results_of(FLOAT, *rows)) if "bit " in line]
    assert [line.split(" (")[0] for line in said if "against float" not in line] == [
        "onnxruntime int8 ptq 4 bit loses 3.00 points of mean IoU against 7 bit",
        "onnxruntime int8 ptq 2 bit loses 2.00 points of mean IoU against 4 bit",
    ]


def test_a_big_network_in_few_bits_is_held_against_a_small_one_of_its_size() -> None:
    big = {"variant": "big", "reference": "big-float", "learns": True}
    small = {"variant": "small", "reference": "small-float", "learns": True}
    rows = [
        row("float", [90.0] * 12, key="big-float", **big),
        row("float", [89.0] * 12, key="small-float", **small),
        row("ptq", [89.8] * 12, key="b7", weight_bytes=2_000_000, **big),
        row("ptq", [88.0] * 12, key="b4", bits=4, weight_bytes=1_000_000, **big),
        row("ptq", [88.5] * 12, key="s7", weight_bytes=1_100_000, **small),
        row("ptq", [80.0] * 12, key="s4", bits=4, weight_bytes=550_000, **small),
        row("qat", [88.6] * 12, key="s7q", weight_bytes=1_100_000, **small),
    ]
    said = [line for line in conclude(results_of(*rows)) if "MB of weights" in line]
    assert said == [
        "big onnxruntime int8 ptq 4 bit (1.00 MB of weights) loses 0.50 points of mean IoU against "
        "small onnxruntime int8 ptq (1.10 MB of weights) (0.50 to 0.50, 12 frames)"
    ]


def _network(name: str, score: float, **more: object) -> list[Row]:
    """A network's float row with that score on 12 frames, and an int8 row 0.1 points under it."""
    place: dict[str, object] = {"variant": name, "reference": f"{name}-float"}
    return [
        row("float", [score] * 12, key=f"{name}-float", size_bytes=8_000_000, **place),
        row("ptq", [score - 0.1] * 12, key=f"{name}-int8", **place, **more),
    ]


def test_networks_are_held_against_the_best_of_them() -> None:
    rows = [*_network("a", 88.0), *_network("b", 90.0), *_network("c", 90.0)]
    said = conclude(results_of(*rows))
    assert said[:3] == [
        "Of 3 networks in float b has the highest mean IoU, 90.00 on the mean frame",
        "a loses 2.00 points of mean IoU against b (2.00 to 2.00, 12 frames)",
        "c against b: no difference, the same mean IoU on all 12 frames",
    ]
    alone = conclude(results_of(*_network("a", 88.0)))
    assert not any("networks" in line for line in alone)


def test_networks_that_show_the_same_share_a_sentence() -> None:
    noise = np.random.default_rng(2).normal(0.0, 0.2, (2, 12))
    rows = [*_network("a", 88.0), *_network("b", 90.0), *_network("c", 90.0)]
    rows[1] = msgspec.structs.replace(rows[1], image_miou=(88 + noise[0]).tolist())
    rows[3] = msgspec.structs.replace(
        rows[3], image_miou=(90 + noise[1]).tolist(), image_agreement=[97.5] * 12
    )
    said = [line for line in conclude(results_of(*rows)) if "against float" in line]
    assert said[0].startswith(
        "c onnxruntime int8 ptq loses 0.10 points of mean IoU against float (0.10 to 0.10"
    )
    reach = max(Compared("", "", interval((-each).tolist())).reach for each in noise)
    assert said[1].startswith(
        "onnxruntime int8 ptq against float: no difference in mean IoU can be seen in 2 of 3 "
        f"networks; the farthest that an interval reaches is {reach:.2f} points ("
    )
    assert said[1].endswith("; the same class on 97.50 to 99.00 % of pixels")


def test_times_of_networks_on_one_side_share_a_sentence() -> None:
    def timed(ms: float) -> dict[str, object]:
        return {"total_ms": [ms] * 20, "reference_ms": [10.0] * 20, "size_bytes": 2_000_000}

    rows = [
        *_network("a", 88.0, **timed(5.0)),
        *_network("b", 90.0, **timed(20.0)),
        *_network("c", 90.0, **timed(4.0)),
    ]
    said = [line for line in conclude(results_of(*rows)) if "float's time" in line]
    assert said == [
        "onnxruntime int8 ptq, 2 networks: takes 0.40 to 0.50 (intervals from 0.40 to 0.50) of "
        "float's time, their files have 0.25 of the size",
        "b onnxruntime int8 ptq: takes 2.00 (2.00 to 2.00) of float's time, its file has 0.25 of "
        "the size",
    ]
    unseen = [Share(0.98, 0.9, 1.05), Share(1.02, 0.95, 1.1)]
    assert shares_of_time(unseen) == (
        "no difference to float's time can be seen (0.98 to 1.02 of it, 0.90 to 1.10)"
    )


@pytest.mark.parametrize(
    ("found", "quiet"),
    [
        (Interval(0.3, -0.1, 0.7, 64), True),
        (Interval(0.004, 0.001, 0.006, 64), True),
        (Interval(0.3, 0.1, 0.7, 64), False),
        (Interval(0.3, None, None, 3), False),
    ],
)
def test_what_shows_no_difference_is_quiet(found: Interval, quiet: bool) -> None:
    assert Compared("a", "b", found).is_quiet is quiet


def test_several_say_the_widest_and_one_its_own() -> None:
    near = Compared("a", "float", Interval(0.0, -0.1, 0.1, 14), "; so")
    wide = Compared("b", "float", Interval(0.0, -0.4, 0.3, 14))
    assert say(near, "SSIM").endswith("14 frames); so")
    assert together("x", [near, wide], "SSIM", "2 rows") == (
        "x: no difference in SSIM can be seen in 2 rows; the farthest that an interval reaches is "
        "0.40 points (b against float)"
    )
    assert (span([0.254, 0.251]), span([0.3, 0.251])) == ("0.25", "0.25 to 0.30")


def test_a_row_without_chance_stands_beside_every_seed_on_either_side() -> None:
    seeds = [
        row("qat", [90.0 + gain] * 12, learns=True, seed=seed, key=f"qat-{seed}")
        for seed, gain in enumerate((1.0, 2.0, 6.0))
    ]
    ptq = row("ptq", [90.0] * 12)
    first, second = (
        conclude(results_of(FLOAT, ptq, *seeds)),
        conclude(results_of(FLOAT, *seeds, ptq)),
    )
    assert any(
        line.startswith("onnxruntime int8 qat gains 3.00 points of mean IoU against ptq")
        and line.endswith("; by seed +1.00 to +6.00 points, 3 seeds")
        for line in first
    )
    assert any(
        line.startswith("onnxruntime int8 ptq loses 3.00 points of mean IoU against qat")
        and line.endswith("; by seed -6.00 to -1.00 points, 3 seeds")
        for line in second
    )


def test_a_failed_float_row_leaves_nothing_to_compare() -> None:
    lost = msgspec.structs.replace(FLOAT, status="failed", reason="killed", image_miou=[])
    said = conclude(results_of(lost, row("ptq", [90.0] * 12)))
    assert not any("against float" in line for line in said)
    assert said[0] == "1 of 2 rows failed and are not compared"


def test_few_timed_frames_and_rows_without_times_are_no_interval() -> None:
    few = {"total_ms": [5.0] * 3, "reference_ms": [10.0] * 3}
    rows = [*_network("a", 88.0, **few), *_network("b", 90.0, **few), *_network("c", 90.0)]
    (said,) = (line for line in conclude(results_of(*rows)) if "float's time" in line)
    assert said == (
        "onnxruntime int8 ptq, 2 networks: takes 0.50 of float's time over too few frames for an "
        "interval"
    )


def test_one_frame_has_no_interval_and_none_is_spoken_of() -> None:
    rows = [row("float", [90.0]), *(row(name, [89.0]) for name in ("ptq", "qat", "rounding"))]
    said = conclude(results_of(*rows))
    assert "over 1 frame, too few for an interval" in said[0]
    assert not any("comparisons at 95 %" in line or "intervals are" in line for line in said)


def test_depths_that_agree_within_a_step_are_not_said_to_be_the_same() -> None:
    ptq, qat = row("ptq", [89.0] * 12), row("qat", [88.0] * 12)
    table = {ptq.key: {qat.key: 100.0}, qat.key: {ptq.key: 100.0}}
    said = conclude(msgspec.structs.replace(results_of(FLOAT, ptq, qat), agreements=table))
    assert not any("the same masks" in line for line in said)
    assert any(line.startswith("onnxruntime int8 qat loses 1.00") for line in said)


def test_equal_masks_are_said_to_be_equal() -> None:
    ptq, qat = row("ptq", [89.0] * 12), row("qat", [89.0] * 12)
    results = results_of(FLOAT, ptq, qat)
    table = {ptq.key: {qat.key: 100.0}, qat.key: {ptq.key: 100.0}}
    said = conclude(msgspec.structs.replace(results, agreements=table))
    assert "onnxruntime int8 qat gives the same masks as ptq, pixel for pixel" in said
    table[ptq.key][qat.key] = 99.999
    said = conclude(msgspec.structs.replace(results, agreements=table))
    assert not any("the same masks" in line for line in said)


def test_pairs_that_show_nothing_share_a_sentence_with_the_farthest_reach() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.2, (3, 12))
    rows = [row(name, (90 + noise[i]).tolist()) for i, name in enumerate(("ptq", "qat", "own"))]
    said = [line for line in conclude(results_of(FLOAT, *rows)) if "pairs of rows" in line]
    assert len(said) == 1
    assert said[0].startswith(
        "onnxruntime int8: no difference in mean IoU can be seen in 3 pairs of rows"
    )
    reaches = []
    for one, other in ((0, 1), (0, 2), (1, 2)):
        found = interval((noise[one] - noise[other]).tolist())
        assert found.low is not None and found.high is not None
        assert found.low < 0 < found.high
        reaches.append(max(-found.low, found.high))
    assert f"reaches is {max(reaches):.2f} points (" in said[0]


def test_one_seed_is_said_to_be_one_and_several_are_put_together() -> None:
    alone = conclude(results_of(FLOAT, row("qat", [89.0] * 12, learns=True)))
    assert (
        "What learns was run with one seed: how far another seed's result lies is not known"
        in alone
    )
    seeds = [
        row("qat", [90.0 - loss] * 12, learns=True, seed=seed, key=f"qat-{seed}")
        for seed, loss in enumerate((1.0, 2.0, 3.0))
    ]
    said = conclude(results_of(FLOAT, *seeds))
    assert said[0].startswith(
        "onnxruntime int8 qat loses 2.00 points of mean IoU against float (2.00 to 2.00, 12 frames)"
        "; by seed -3.00 to -1.00 points, 3 seeds"
    )
    assert not any("one seed" in line for line in said)


def test_time_is_a_ratio_of_medians_and_size_a_share() -> None:
    reference = msgspec.structs.replace(FLOAT, size_bytes=8_000_000)
    fast = row(
        "ptq", [90.0] * 12, size_bytes=2_000_000, total_ms=[5.0] * 20, reference_ms=[10.0] * 20
    )
    said = conclude(results_of(reference, fast))
    assert (
        "onnxruntime int8 ptq: takes 0.50 (0.50 to 0.50) of float's time, "
        "its file has 0.25 of the size"
    ) in said


def test_a_time_whose_interval_holds_one_shows_no_difference() -> None:
    reference = msgspec.structs.replace(FLOAT, size_bytes=8_000_000)
    noise = np.random.default_rng(3).normal(0.0, 4.0, (2, 20))
    near = row("ptq", [90.0] * 12, total_ms=(9.5 + noise[0]).tolist(),
               reference_ms=(10.0 + noise[1]).tolist())  # fmt: skip
    (said,) = (line for line in conclude(results_of(reference, near)) if "float's time" in line)
    assert re.fullmatch(
        r"onnxruntime int8 ptq: no difference to float's time can be seen "
        r"\(0\.\d\d of it, 0\.\d\d to 1\.\d\d\)",
        said,
    )
    few = share_of_time(share([1.0] * 3, [2.0] * 3))
    assert few == "takes 0.50 of float's time over too few frames for an interval"


def test_what_is_not_known_is_said() -> None:
    lost = row("qat", [90.0] * 12, status="failed", reason="no kernel")
    said = conclude(results_of(FLOAT, lost, quick=True))
    assert "1 of 2 rows failed and are not compared" in said
    assert any("quick form" in line for line in said)
    assert any("frames like those of few" in line for line in said)
