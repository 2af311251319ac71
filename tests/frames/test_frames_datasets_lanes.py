"""CULane and TuSimple: lists and points, and the lines that are painted from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_frames_datasets import refused, save_image, save_mask, save_text

from edge_seg.frames.datasets import import_dataset
from edge_seg.frames.datasets.lines import paint

CLIP = "driver_23_30frame/05151649_0422.MP4"


def test_a_line_is_as_wide_as_the_published_labels() -> None:
    mask = paint([[(800, 0), (800, 589)]], (590, 1640), Path("a"))
    assert abs(int(mask[300].sum()) - 16) <= 1
    assert mask[300, 800] == 1
    narrow = paint([[(32, 0), (32, 35)]], (36, 64), Path("a"))
    assert np.flatnonzero(narrow[18]).tolist() == [32]  # 16 / 1640 of 64: one pixel
    assert not paint([[], [(5, 5)]], (36, 64), Path("a")).any()


@pytest.fixture
def culane(tmp_path: Path) -> Path:
    folder = tmp_path / "CULane"
    listed = []
    for name in ("00000", "00030"):
        save_image(folder / f"{CLIP}/{name}.jpg", 36, 64)
        rows = [[0, 1, 2, 3, 4] + [0] * 59] * 36
        save_mask(folder / f"laneseg_label_w16/{CLIP}/{name}.png", rows)
        # A vertical lane at x = 20, and one that begins left of the frame.
        save_text(folder / f"{CLIP}/{name}.lines.txt", "20 35 20 0 \n-10.5 30 10 30\n")
        listed.append(f"/{CLIP}/{name}.jpg /laneseg_label_w16/{CLIP}/{name}.png 1 1 1 1")
    save_text(folder / "list/val_gt.txt", "\n".join(listed) + "\n")
    save_text(folder / "list/test.txt", f"/{CLIP}/00030.jpg\n")
    save_text(folder / "list/test_split/test8_night.txt", f"/{CLIP}/00000.jpg\n")
    return folder


def test_culane_labels(culane: Path, tmp_path: Path) -> None:
    frames = import_dataset(culane, tmp_path / "out", "culane")
    ids = [f"driver_23_30frame_05151649_0422.MP4_{name}" for name in ("00000", "00030")]
    assert [entry.id for entry in frames.entries] == ids
    assert frames.mask(0)[0, :6].tolist() == [0, 1, 2, 3, 4, 0]
    assert frames.classes.names == ("background", "lane_1", "lane_2", "lane_3", "lane_4")
    night = import_dataset(culane, tmp_path / "night", "culane", split="test8_night")
    assert [entry.id for entry in night.entries] == ids[:1]


def test_culane_as_lanes_judges_paint_alone(culane: Path, tmp_path: Path) -> None:
    frames = import_dataset(culane, tmp_path / "out", "culane", map_to="lane")
    assert frames.mask(0)[0, :6].tolist() == [0, 2, 2, 2, 2, 0]
    assert (frames.scored, frames.merge) == (("lane_marking",), {})


def test_culane_points_where_there_are_no_labels(culane: Path, tmp_path: Path) -> None:
    for label in (culane / "laneseg_label_w16" / CLIP).iterdir():
        label.unlink()
    frames = import_dataset(culane, tmp_path / "out", "culane", split="test")
    assert frames.classes.names == ("background", "lane")
    mask = frames.mask(0)
    assert np.flatnonzero(mask[10]).tolist() == [20]
    assert np.flatnonzero(mask[30]).tolist() == [*range(11), 20]
    lanes = import_dataset(culane, tmp_path / "lane", "culane", split="test", map_to="lane")
    np.testing.assert_array_equal(lanes.mask(0), mask * 2)
    assert lanes.scored == ("lane_marking",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n", "line 1 has 3 numbers"),
        ("1 2\nx y\n", "line 2 is not x y"),
        ("nan 2 3 4\n", "far out of a frame of 64x36"),
        ("1e300 2 3 4\n", "far out"),
        ("-65 2 3 4\n", r"the point \(-65, 2\) is far out"),
        ("1 inf 3 4\n", "far out"),
    ],
)
def test_hostile_points_are_one_line(culane: Path, text: str, words: str) -> None:
    (culane / f"laneseg_label_w16/{CLIP}/00030.png").unlink()
    save_text(culane / f"{CLIP}/00030.lines.txt", text)
    refused(culane, f"00030.lines.txt: .*{words}", "culane", split="test")


def test_culane_lists(culane: Path) -> None:
    (culane / f"laneseg_label_w16/{CLIP}/00030.png").unlink()
    refused(culane, "there is no .*laneseg_label_w16/.*00030.png: CULane is published", "culane")
    refused(culane, "there is no .*train_gt.txt: CULane is published", "culane", split="train")
    save_text(culane / "list/val_gt.txt", "/../../x.jpg /y.png 1 1 1 1\n")
    refused(culane, "leads out of the folder", "culane")
    save_text(culane / "list/val_gt.txt", "/ / 1 1 1 1\n")
    refused(culane, "names no file", "culane")


# ---- TuSimple


def label(clip: str = "clips/0531/1492626760/20.jpg", **changes: Any) -> str:
    lanes = [[-2, 20, 20, 20], [40, 40, 40, -2]]
    return json.dumps({"lanes": lanes, "h_samples": [0, 10, 20, 30], "raw_file": clip} | changes)


@pytest.fixture
def tusimple(tmp_path: Path) -> Path:
    folder = tmp_path / "tusimple"
    for date in ("0313-1", "0531", "0601"):
        clip = f"clips/{date}/1492626760/20.jpg"
        save_image(folder / "train_set" / clip, 36, 64)
        save_text(folder / f"train_set/label_data_{date[:4]}.json", label(clip) + "\n")
    save_image(folder / "test_set/clips/0530/1/20.jpg", 36, 64)
    save_text(folder / "test_label.json", label("clips/0530/1/20.jpg"))
    return folder


def test_tusimple_points_are_painted(tusimple: Path, tmp_path: Path) -> None:
    frames = import_dataset(tusimple, tmp_path / "out", "tusimple")
    assert [entry.id for entry in frames.entries] == ["0531_1492626760_20"]
    mask = frames.mask(0)
    columns = {row: np.flatnonzero(mask[row]).tolist() for row in (5, 15, 25, 35)}
    assert columns == {5: [40], 15: [20, 40], 25: [20], 35: []}
    assert frames.classes.names == ("background", "lane")
    lanes = import_dataset(tusimple, tmp_path / "lane", "tusimple", map_to="lane")
    np.testing.assert_array_equal(lanes.mask(0), mask * 2)
    assert lanes.scored == ("lane_marking",)


def test_tusimple_splits(tusimple: Path, tmp_path: Path) -> None:
    found = {}
    for split in ("train", "trainval", "test"):
        frames = import_dataset(tusimple, tmp_path / split, "tusimple", split=split)
        found[split] = [entry.id.split("_")[0] for entry in frames.entries]
    assert found == {
        "train": ["0313-1", "0601"],
        "trainval": ["0313-1", "0531", "0601"],
        "test": ["0530"],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (label()[:40], "line 1 is broken"),
        ("\n" + label(lanes=3), "line 2 is broken"),
        (label(h_samples=[0]), "a lane is not as long as h_samples"),
        (label(lanes=[[900, 1, 1, 1]]), "far out of a frame of 64x36"),
        (label(h_samples=[0, 1, 2, 10**9]), "far out"),
        (label("../../../x.jpg"), "leads out of the folder"),
        (label("clips/none/20.jpg"), "there is no .*clips/none/20.jpg: TuSimple is published"),
        (label() + "\n" + label(), "lists the frame 0531_1492626760_20 twice"),
        ("", "no frames were found"),
    ],
)
def test_hostile_labels_are_one_line(tusimple: Path, text: str, words: str) -> None:
    save_text(tusimple / "train_set/label_data_0531.json", text)
    refused(tusimple, words, "tusimple")
