"""COCO: run-length codes and polygons worked by hand, and the files that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_frames_datasets import refused, save_image

from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets import import_dataset
from edge_seg.frames.datasets.shapes import decode_rle, fill_polygon

SQUARE = [
    [0, 0, 0, 0, 0],
    [0, 1, 1, 1, 0],
    [0, 1, 1, 1, 0],
    [0, 1, 1, 1, 0],
    [0, 0, 0, 0, 0],
]


def test_runs_go_down_the_columns() -> None:
    # Columns of a 2x3 region: 0 1 | 1 0 | 0 1.
    region = decode_rle((2, 3), [1, 2, 2, 1], "here")
    assert region.astype(int).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert decode_rle((5, 5), [6, 3, 2, 3, 2, 3, 6], "here").astype(int).tolist() == SQUARE


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        # "6" is 6, "3" is 3, "2" is 2; from the fourth on, differences: 3-3, 2-2, 3-3, 6-2.
        ("6320004", [6, 3, 2, 3, 2, 3, 6]),
        ("122O", [1, 2, 2, 1]),  # "O" is 31, bit 4 set: 31 - 32 = -1, and 2 - 1 = 1
        ("Z11", [42, 1]),  # "Z" is 42 = 32 + 10: more follow; "1" is 1: 10 + 32 = 42
    ],
)
def test_compressed_runs_worked_by_hand(text: str, runs: list[int]) -> None:
    size = (1, sum(runs))
    np.testing.assert_array_equal(decode_rle(size, text, "x"), decode_rle(size, runs, "x"))


def runs_of(region: np.ndarray) -> list[int]:
    flat = region.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return np.diff([0, *edges, flat.size]).tolist()


def compress(runs: list[int]) -> str:
    """Write LEB128 as MaskApi.m tells it: five bits and a sign, differences from the fourth on."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + (group | 32 if more else group))
            if not more:
                break
    return text


@given(st.data())
def test_runs_there_and_back(data: st.DataObject) -> None:
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    seed, share = data.draw(st.tuples(st.integers(0, 999), st.floats(0, 1)))
    region = np.random.default_rng(seed).random((height, width)) < share
    runs = runs_of(region)
    np.testing.assert_array_equal(decode_rle((height, width), runs, "x"), region)
    np.testing.assert_array_equal(decode_rle((height, width), compress(runs), "x"), region)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([1, 2], "add up to 3 pixels, not to 6"),
        ([1, 2, 4], "add up to 7"),
        ([-1, 7], "add up to 6"),
        ([10**18, 1], "add up to 1000000000000000001"),
        ([], "add up to 0"),
        ("1", "add up to 1"),
        ("P", "truncated"),
        ("1 2", "' ' is no part"),
        ("1é", "'é' is no part"),
        ("o" * 99, "'o' is no part"),
    ],
)
def test_codes_that_do_not_fit_are_one_line(counts: Any, words: str) -> None:
    with pytest.raises(EdgeSegError, match=f"annotation 5.*{words}"):
        decode_rle((2, 3), counts, "annotation 5")


def test_a_polygon_holds_the_pixels_whose_centres_it_holds() -> None:
    region = fill_polygon([1, 1, 4, 1, 4, 3, 1, 3], (4, 6), "x").astype(int)
    assert region.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    # A triangle over the diagonal: centres on the line are not inside twice.
    below = fill_polygon([0, 0, 0, 4, 4, 4], (4, 4), "x")
    above = fill_polygon([0, 0, 4, 0, 4, 4], (4, 4), "x")
    assert (below ^ above).all()
    # A bow tie, and a hole that a polygon goes around twice.
    assert fill_polygon([0, 0, 4, 4, 4, 0, 0, 4], (4, 4), "x").sum() == 8
    hole = [0, 0, 6, 0, 6, 6, 0, 6, 0, 0, 2, 2, 4, 2, 4, 4, 2, 4, 2, 2]
    assert fill_polygon(hole, (6, 6), "x").sum() == 36 - 4


@pytest.mark.parametrize("numbers", [[], [1, 1], [1, 1, 3, 3]])
def test_what_has_no_area_holds_no_pixel(numbers: list[float]) -> None:
    assert not fill_polygon(numbers, (4, 4), "x").any()


@given(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9)), min_size=3, max_size=9))
def test_a_polygon_is_what_a_ray_says(points: list[tuple[float, float]]) -> None:
    region = fill_polygon([value for point in points for value in point], (9, 12), "x")
    y, x = np.mgrid[:9, :12] + 0.5
    inside = np.zeros((9, 12), bool)
    close = np.zeros((9, 12), bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        cut = (y0 < y) != (y1 < y)
        with np.errstate(all="ignore"):
            where = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        inside ^= cut & (x <= where)
        close |= (cut & (abs(x - where) < 1e-6)) | (abs(y - y0) < 1e-6) | (abs(y - y1) < 1e-6)
    np.testing.assert_array_equal(region[~close], inside[~close])


# ---- files

CATEGORIES = [{"id": 3, "name": "car", "supercategory": "vehicle"}, {"id": 1, "name": "person"}]


def annotation(id: int, category: int, shape: Any, crowd: int = 0, image: int = 7) -> dict:
    return {"id": id, "image_id": image, "category_id": category, "segmentation": shape} | (
        {"iscrowd": crowd, "bbox": [0, 0, 1, 1], "area": 1.5}
    )


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def write(folder: Path, kind: str = "instances", **changes: Any) -> Path:
    """Write an annotation file of one image, 6x4, and the image."""
    content = {
        "info": {"year": 2017},
        "images": [{"id": 7, "file_name": "000000000007.jpg", "height": 4, "width": 6}],
        "categories": CATEGORIES,
        "annotations": [
            annotation(1, 1, [rectangle(0, 0, 2, 2), rectangle(0, 3, 1, 4)]),
            annotation(2, 3, [rectangle(1, 0, 4, 2)]),
            annotation(3, 1, {"size": [4, 6], "counts": [16, 8]}, crowd=1),
        ],
    }
    save_image(folder / "val2017/000000000007.jpg")
    path = folder / f"annotations/{kind}_val2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


def test_things_on_background(tmp_path: Path) -> None:
    write(tmp_path / "coco")
    frames = import_dataset(tmp_path / "coco", tmp_path / "out", "coco")
    assert frames.classes.names == ("background", "person", "car")
    assert [entry.id for entry in frames.entries] == ["000000000007"]
    assert frames.mask(0).tolist() == [
        [1, 255, 2, 2, 255, 255],  # column 1 is a person's and a car's; 4 and 5 are a crowd
        [1, 255, 2, 2, 255, 255],
        [0, 0, 0, 0, 255, 255],
        [1, 0, 0, 0, 255, 255],
    ]
    assert "CC BY 4.0" in frames.licence


def test_a_third_claim_does_not_settle_a_dispute(tmp_path: Path) -> None:
    claims = [
        annotation(id, category, [rectangle(0, 0, 6, 4)])
        for id, category in ((1, 1), (2, 3), (3, 1))
    ]
    write(tmp_path / "coco", annotations=claims)
    frames = import_dataset(tmp_path / "coco", tmp_path / "out", "coco")
    assert (frames.mask(0) == 255).all()


def test_things_over_stuff(tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    write(folder, annotations=[annotation(1, 3, [rectangle(0, 0, 2, 4)])])
    stuff = [
        annotation(10, 183, {"size": [4, 6], "counts": [0, 8, 16]}),
        annotation(11, 92, {"size": [4, 6], "counts": compress([4, 8, 12])}),
    ]
    categories = [{"id": 92, "name": "banner"}, {"id": 183, "name": "other"}]
    write(folder, "stuff", annotations=stuff, categories=categories)
    frames = import_dataset(folder, tmp_path / "out", "coco-stuff")
    assert frames.classes.names == ("person", "car", "banner")
    # Columns: car, car (over the banner), banner, and three of nothing.
    assert frames.mask(0).tolist() == [[1, 1, 2, 255, 255, 255]] * 4


def test_the_images_may_lie_in_images(tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    write(folder)
    (folder / "images").mkdir()
    (folder / "val2017").rename(folder / "images/val2017")
    assert len(import_dataset(folder, tmp_path / "out", "coco")) == 1


IMAGE = {"id": 7, "file_name": "000000000007.jpg", "height": 4, "width": 6}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": [annotation(5, 1, [rectangle(0, 0, 9, 2)])]}, "annotation 5: a poly"),
        ({"annotations": [annotation(5, 1, [rectangle(-3, 0, 2, 2)])]}, "out of the frame of 6x4"),
        ({"annotations": [annotation(5, 1, [[1e308, 0, 2, 2, 3, 3]])]}, "leads out"),
        ({"annotations": [annotation(5, 1, [[1, 2, 3, 4, 5]])]}, "5 numbers, which are no x, y"),
        ({"annotations": [annotation(5, 1, {"size": [4, 6], "counts": [3, 4]})]}, "add up to 7"),
        ({"annotations": [annotation(5, 1, {"size": [6, 4], "counts": [24]})]}, "a code of 4x6"),
        (
            {"annotations": [annotation(5, 1, {"size": [10**9, 10**9], "counts": [10**9]})]},
            "a code of 1000000000x1000000000, its image is 6x4",
        ),
        ({"images": [IMAGE | {"height": 10**9, "width": 10**9}]}, "1000000000x1000000000 there"),
        ({"images": [IMAGE, IMAGE]}, "the image id 7 occurs 2 times"),
        ({"images": [IMAGE, IMAGE | {"id": 8}]}, "lists the frame 000000000007 twice"),
        ({"annotations": [annotation(5, 1, [])] * 2}, "the annotation id 5 occurs 2 times"),
        ({"categories": CATEGORIES * 2}, "the category id 3 occurs 2 times"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "a"}]}, "two of one name"),
        ({"annotations": [annotation(5, 2, [])]}, "annotation 5 is of image 7 and category 2"),
        ({"annotations": [annotation(5, 1, [], image=9)]}, "is of image 9"),
        ({"images": [IMAGE | {"file_name": "../../x.jpg"}]}, "leads out of the folder"),
        ({"images": [IMAGE | {"file_name": ""}]}, "names no file"),
        ({"images": [IMAGE | {"file_name": "none.jpg"}]}, "there is no .*val2017/none.jpg"),
        ({"images": [IMAGE | {"width": 10**4000}]}, "is broken"),
        ({"images": [IMAGE | {"width": -6}]}, "is broken"),
        ({"images": [{"id": 7}]}, "is broken: .*file_name"),
        ({"images": []}, "annotation 1 is of image 7"),
        ({"images": [], "annotations": []}, "no frames were found"),
        ({"annotations": [annotation(5, 1, {"size": [4, 6], "counts": [10**30]})]}, "is broken"),
        ({"annotations": {}}, "is broken"),
    ],
)  # fmt: skip
def test_hostile_files_are_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write(tmp_path / "coco", **changes)
    refused(tmp_path / "coco", words, "coco")


def test_truncated_and_deep_files(tmp_path: Path) -> None:
    path = write(tmp_path / "coco")
    whole = path.read_bytes()
    for payload in (whole[:200], b"", b"[" * 100_000, b'{"images": ' * 50_000, b"\xff\xfe"):
        path.write_bytes(payload)
        refused(tmp_path / "coco", "instances_val2017.json is broken", "coco")


def test_too_many_classes_for_a_mask(tmp_path: Path) -> None:
    many = [{"id": id, "name": str(id)} for id in range(300)]
    write(tmp_path / "coco", categories=many)
    refused(tmp_path / "coco", "301 classes", "coco")
