"""Data sets by name: the table, splits, lane maps, and what a wrong word or folder is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.frames.datasets import DATASETS, LANE_DATASETS, find, import_dataset
from edge_seg.frames.datasets.camvid import LANE as CAMVID_LANE
from edge_seg.frames.datasets.files import bit_palette, ids_of_colours, map_ids
from edge_seg.frames.images import encode_image, encode_mask

HEIGHT, WIDTH = 4, 6


def save_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """Write a picture that differs by name; return its bytes."""
    pixels = np.random.default_rng(sum(map(ord, path.name))).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    suffix = path.suffix[1:]
    payload = encode_image(pixels, suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return payload


def save_mask(path: Path, rows: list[list[int]]) -> None:
    """Write a mask of ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_mask(np.array(rows, np.uint8)))


def save_colours(path: Path, rows: list[list[tuple[int, int, int]]]) -> None:
    """Write a mask of colours (red, green, blue)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array(rows, np.uint8)[:, :, ::-1])


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refused(folder: Path, words: str, name: str, **options: object) -> None:
    """The import is refused in one line, and leaves nothing beside the folder."""
    out = folder.parent / "refused"
    before = sorted(os.listdir(folder.parent))
    with pytest.raises(EdgeSegError, match=words) as caught:
        import_dataset(folder, out, name, **options)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(folder.parent)) == before


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two animals of the Oxford-IIIT Pet set: the smallest layout there is."""
    folder = tmp_path / "pets"
    for name in ("Abyssinian_1", "beagle_2"):
        save_image(folder / f"images/{name}.jpg")
        save_mask(folder / f"annotations/trimaps/{name}.png", [[1, 2, 3, 2, 2, 2]] * HEIGHT)
    save_text(folder / "annotations/test.txt", "# a note\nbeagle_2 5 2 1\nAbyssinian_1 1 1 1\n")
    return folder


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_says_what_it_expects(name: str, tmp_path: Path) -> None:
    dataset = find(name)
    assert dataset.page.startswith("http")
    assert "http" in dataset.licence
    assert "published" in dataset.layout or "exported" in dataset.layout
    for split in dataset.splits:
        (tmp_path / "empty").mkdir(exist_ok=True)
        refused(
            tmp_path / "empty", "there is no .*empty/.*: .*(published|exported)", name, split=split
        )
    refused(tmp_path / "none", r"there is no .*none: ", name)


def test_a_set_holds_its_licence_and_source(pets: Path, tmp_path: Path) -> None:
    frames = import_dataset(pets, tmp_path / "out", "pets")
    assert frames.licence == "CC BY-SA 4.0 (https://www.robots.ox.ac.uk/~vgg/data/pets/)"
    assert frames.source == "Oxford-IIIT Pet, test (https://www.robots.ox.ac.uk/~vgg/data/pets/)"
    assert (frames.name, frames.scored, frames.merge) == ("out", None, {})
    frames.verify()
    own = import_dataset(pets, tmp_path / "own", "pets", licence="mine", name="cats", limit=1)
    assert (own.licence, own.name, len(own)) == ("mine", "cats", 1)
    bare = import_dataset(pets, tmp_path / "bare", "pets", images_only=True)
    assert bare.entries[0].mask is None


def test_wrong_words_are_told_the_closest(pets: Path) -> None:
    refused(pets, "unknown data set 'citscapes': did you mean 'cityscapes'", "citscapes")
    refused(pets, "pets has no split 'trainvl': did you mean 'trainval'", "pets", split="trainvl")
    refused(pets, "--map-to 'lanes': did you mean 'lane'", "cityscapes", map_to="lanes")
    refused(pets, "labels no lanes: .*camvid, cityscapes, culane, tusimple", "pets", map_to="lane")
    refused(
        pets,
        "there is no .*trainval.txt: Oxford-IIIT Pet is published as",
        "pets",
        split="trainval",
    )


def test_a_missing_file_is_found_before_anything_is_written(pets: Path, tmp_path: Path) -> None:
    (pets / "images/Abyssinian_1.jpg").unlink()
    refused(pets, "there is no .*Abyssinian_1.jpg: Oxford-IIIT Pet is published", "pets")
    first = import_dataset(pets, tmp_path / "first", "pets", limit=1)
    assert [entry.id for entry in first.entries] == ["beagle_2"]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("beagle_2 5 2 1\nbeagle_2 5 2 1\n", "lists the frame beagle_2 twice"),
        ("../../beagle_2 5\n", "leads out of the folder"),
        ("/etc/passwd\n", "leads out of the folder"),
        ("a\0b\n", "leads out of the folder"),
        ("\n# nothing\n", "no frames were found"),
        ("Abyssinian_77 1 1 1\n", "there is no .*Abyssinian_77.jpg"),
    ],
)
def test_hostile_lists_are_one_line(pets: Path, listed: str, words: str) -> None:
    save_text(pets / "annotations/test.txt", listed)
    refused(pets, words, "pets")


def test_a_list_that_is_no_text(pets: Path) -> None:
    (pets / "annotations/test.txt").write_bytes(b"\xff\xfe\x00")
    refused(pets, "test.txt is no text", "pets")


def test_a_mask_of_another_size_names_both(pets: Path) -> None:
    save_mask(pets / "annotations/trimaps/beagle_2.png", [[1, 2]])
    refused(pets, r"beagle_2.png is 2x1, but its image beagle_2.jpg is 6x4", "pets")


def test_lane_maps_cover_their_classes() -> None:
    classes = ClassMap(("Sky", "Road", "LaneMkgsDriv", "ParkingBlock"), ((0, 0, 0),) * 4)
    table = CAMVID_LANE.table(classes)
    assert table[:4].tolist() == [0, 1, 2, 255]
    assert (table[4:] == 255).all()
    assert set(LANE_DATASETS) <= DATASETS.keys()


def test_colours_become_ids_and_few_odd_ones_are_ignored() -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[0, 0] = (3, 2, 1)  # BGR of (1, 2, 3)
    picture[0, 1] = (9, 9, 9)
    ids = ids_of_colours(picture, {(0, 0, 0): 7, (1, 2, 3): 4}, Path("a.png"))
    assert ids[0, :3].tolist() == [4, 255, 7]
    picture[1] = 9
    with pytest.raises(EdgeSegError, match=r"a.png: 10% of .* such as \(9, 9, 9\)"):
        ids_of_colours(picture, {(0, 0, 0): 7, (1, 2, 3): 4}, Path("a.png"))


def test_ids_that_nobody_published_are_refused() -> None:
    mask = np.array([[0, 7, 12]], np.uint8)
    with pytest.raises(EdgeSegError, match=r"a.png holds the ids \[12\]"):
        map_ids(mask, {0: 255, 7: 0}, Path("a.png"))


def test_the_bit_palette_is_that_of_the_development_kit() -> None:
    palette = bit_palette(256)
    assert palette[1] == (128, 0, 0)
    assert palette[15] == (192, 128, 128)  # person
    assert palette[20] == (0, 64, 128)  # tvmonitor
    assert palette[255] == (224, 224, 192)  # void


def edge_seg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", "frames", "import", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_imports_a_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "cityscapes"
    save_image(folder / "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png")
    labels = folder / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
    save_mask(labels, [[7, 8, 9, 23, 0, 7]] * HEIGHT)
    options = ["--dataset", "cityscapes", "--split", "train", "--map-to", "lane", "--json"]
    made = edge_seg(folder, tmp_path / "out", *options)
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert (shown["classes"], shown["scored"]) == (list(LANE.names), ["road"])
    mask = FrameSet.open(tmp_path / "out").mask(0)
    assert mask is not None and mask[0].tolist() == [1, 0, 255, 0, 255, 1]


def test_options_that_do_not_go_together_are_one_line(tmp_path: Path) -> None:
    mixed = edge_seg(tmp_path, tmp_path / "out", "--dataset", "voc", "--kind", "road_only")
    assert mixed.returncode == 2
    assert mixed.stderr == (
        "error: --kind does not go with --dataset: a published data set has its own\n"
    )
    alone = edge_seg(tmp_path, tmp_path / "out", "--split", "val")
    assert alone.stderr == "error: --split goes with --dataset: name one with --dataset\n"
