"""Data sets whose labels are pictures: VOC, Cityscapes, CamVid, Pet, NYUv2."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from test_frames_datasets import (
    HEIGHT,
    WIDTH,
    refused,
    save_colours,
    save_image,
    save_mask,
    save_text,
)

from edge_seg.frames.datasets import import_dataset
from edge_seg.frames.datasets.camvid import COLOURS
from edge_seg.frames.datasets.files import bit_palette

# ---- PASCAL VOC


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "VOCdevkit/VOC2012"
    for name in ("2007_000033", "2007_000042"):
        save_image(root / f"JPEGImages/{name}.jpg")
    # As published: 8-bit palette PNG files; index 255 is void.
    indices = np.array([[0, 1, 15, 20, 255, 0]] * HEIGHT, np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([channel for colour in bit_palette(256) for channel in colour])
    (root / "SegmentationClass").mkdir()
    picture.save(root / "SegmentationClass/2007_000033.png")
    save_mask(root / "SegmentationClass/2007_000042.png", [[0, 1, 2, 3, 4, 255]] * HEIGHT)
    save_text(root / "ImageSets/Segmentation/val.txt", "2007_000033\n2007_000042\n")
    save_text(root / "ImageSets/Segmentation/train.txt", "2007_000042\n")
    return tmp_path


def test_voc_palette_masks(voc: Path, tmp_path: Path) -> None:
    frames = import_dataset(voc / "VOCdevkit", tmp_path / "out", "voc")
    assert [entry.id for entry in frames.entries] == ["2007_000033", "2007_000042"]
    assert frames.mask(0)[2].tolist() == [0, 1, 15, 20, 255, 0]
    assert frames.mask(1)[0].tolist() == [0, 1, 2, 3, 4, 255]  # grey ids, as some save them
    assert len(frames.classes) == 21
    assert frames.classes.names[15] == "person"
    assert frames.classes.palette[15] == (192, 128, 128)
    jpeg = voc / "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg"
    assert (tmp_path / "out/frames/2007_000033.jpg").read_bytes() == jpeg.read_bytes()


def test_voc_lists_and_places(voc: Path, tmp_path: Path) -> None:
    for number, folder in enumerate((voc, voc / "VOCdevkit/VOC2012")):
        frames = import_dataset(folder, tmp_path / f"out{number}", "voc", split="train")
        assert [entry.id for entry in frames.entries] == ["2007_000042"]


def test_voc_masks_of_something_else_are_refused(voc: Path) -> None:
    masks = voc / "VOCdevkit/VOC2012/SegmentationClass"
    save_colours(masks / "2007_000033.png", [[(1, 2, 3)] * WIDTH] * HEIGHT)
    refused(
        voc / "VOCdevkit", "2007_000033.png: 100% of its pixels have colours of no class", "voc"
    )
    save_mask(masks / "2007_000033.png", [[33] * WIDTH] * HEIGHT)
    refused(voc / "VOCdevkit", r"holds the ids \[33\]", "voc")


# ---- Cityscapes


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    folder = tmp_path / "cityscapes"
    for city, frame in (("lindau", "lindau_000001_000019"), ("bonn", "bonn_000000_000019")):
        split = "test" if city == "bonn" else "val"
        save_image(folder / f"leftImg8bit/{split}/{city}/{frame}_leftImg8bit.png")
        save_mask(
            folder / f"gtFine/{split}/{city}/{frame}_gtFine_labelIds.png",
            [[7, 8, 11, 33, 3, 9]] * HEIGHT,
        )
    return folder


def test_cityscapes_ids_become_train_ids(cityscapes: Path, tmp_path: Path) -> None:
    frames = import_dataset(cityscapes, tmp_path / "out", "cityscapes")
    assert [entry.id for entry in frames.entries] == ["lindau_000001_000019"]
    assert frames.mask(0)[0].tolist() == [0, 1, 2, 18, 255, 255]
    assert frames.classes.names[:2] == ("road", "sidewalk")
    assert frames.classes.names[18] == "bicycle"
    assert frames.classes.palette[13] == (0, 0, 142)  # car
    assert "non-commercial" in frames.licence


def test_cityscapes_train_ids_are_the_same_set(cityscapes: Path, tmp_path: Path) -> None:
    published = import_dataset(cityscapes, tmp_path / "ids", "cityscapes", name="a")
    labels = next((cityscapes / "gtFine/val/lindau").iterdir())
    save_mask(
        labels.with_name(labels.name.replace("labelIds", "labelTrainIds")),
        [[0, 1, 2, 18, 255, 255]] * HEIGHT,
    )
    labels.unlink()
    trained = import_dataset(cityscapes, tmp_path / "trained", "cityscapes", name="a")
    assert trained.digest == published.digest


def test_cityscapes_as_lanes_judges_the_road(cityscapes: Path, tmp_path: Path) -> None:
    frames = import_dataset(cityscapes, tmp_path / "out", "cityscapes", map_to="lane")
    assert frames.mask(0)[0].tolist() == [1, 0, 0, 0, 255, 255]
    assert (frames.scored, frames.merge) == (("road",), {"lane_marking": "road"})


def test_cityscapes_test_labels_are_not_public(cityscapes: Path, tmp_path: Path) -> None:
    frames = import_dataset(cityscapes, tmp_path / "out", "cityscapes", split="test")
    assert frames.mask(0) is None


def test_cityscapes_without_labels(cityscapes: Path) -> None:
    next((cityscapes / "gtFine/val/lindau").iterdir()).unlink()
    refused(cityscapes, "there is no .*lindau_000001_000019_gtFine_labelIds.png: ", "cityscapes")


# ---- CamVid

ROW = ["Road", "LaneMkgsDriv", "Sky", "Void", "ParkingBlock", "LaneMkgsNonDriv"]


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    folder = tmp_path / "CamVid"
    save_image(folder / "val/0016E5_07959.png")
    colours = [[COLOURS[name] for name in ROW]] * HEIGHT
    save_colours(folder / "val_labels/0016E5_07959_L.png", colours)
    rows = [",".join(map(str, (name, *colour))) for name, colour in COLOURS.items()]
    save_text(folder / "class_dict.csv", "\n".join(["name,r,g,b", *rows]) + "\n")
    return folder


def test_camvid_colours(camvid: Path, tmp_path: Path) -> None:
    frames = import_dataset(camvid, tmp_path / "out", "camvid")
    assert [entry.id for entry in frames.entries] == ["0016E5_07959"]
    assert len(frames.classes) == 31
    assert "Void" not in frames.classes.names
    ids = frames.mask(0)[0].tolist()
    assert ids[3] == 255
    assert [frames.classes.names[id] for id in ids if id != 255] == [n for n in ROW if n != "Void"]
    (camvid / "class_dict.csv").unlink()  # Cambridge's own table is the same
    again = import_dataset(camvid, tmp_path / "again", "camvid", name="out")
    assert again.digest == frames.digest


def test_camvid_as_lanes_judges_road_and_paint(camvid: Path, tmp_path: Path) -> None:
    frames = import_dataset(camvid, tmp_path / "out", "camvid", map_to="lane")
    assert frames.mask(0)[0].tolist() == [1, 2, 0, 255, 255, 255]
    assert frames.scored is None


def test_camvid_from_cambridge(camvid: Path, tmp_path: Path) -> None:
    (camvid / "val").rename(camvid / "701_StillsRaw_full")
    (camvid / "val_labels").rename(camvid / "LabeledApproved_full")
    frames = import_dataset(camvid, tmp_path / "out", "camvid", split="all")
    assert frames.mask(0)[0, 3] == 255


def test_camvid_of_segnet(tmp_path: Path) -> None:
    folder = tmp_path / "CamVid"
    save_image(folder / "train/a.png")
    save_mask(folder / "trainannot/a.png", [[0, 3, 10, 11, 3, 3]] * HEIGHT)
    frames = import_dataset(folder, tmp_path / "out", "camvid", split="train")
    assert frames.mask(0)[0].tolist() == [0, 3, 10, 255, 3, 3]
    assert frames.classes.names[3] == "Road"
    lanes = import_dataset(folder, tmp_path / "lane", "camvid", split="train", map_to="lane")
    assert lanes.mask(0)[0].tolist() == [0, 1, 0, 255, 1, 1]
    assert lanes.scored == ("road",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,r,g,b\nRoad,128,64,300\n", "line 2 is no new class"),
        ("name,r,g,b\nRoad,1,2,3\nSky,1,2,3\n", "line 3 is no new class"),
        ("name,r,g,b\nRoad,1,2,3\nRoad,1,2,4\n", "line 3 is no new class"),
        ("name,r,g,b\nRoad,1,2\n", "line 2"),
        ("name,r,g,b\nVoid,0,0,0\n", "names 1 classes"),
        ("", "names 0 classes"),
    ],
)
def test_broken_class_dicts_are_one_line(camvid: Path, text: str, words: str) -> None:
    save_text(camvid / "class_dict.csv", text)
    refused(camvid, words, "camvid")


def test_camvid_frames_and_labels_go_together(camvid: Path) -> None:
    save_image(camvid / "val/lonely.png")
    refused(camvid, "lonely.png has no partner in .*val_labels", "camvid")
    (camvid / "val/lonely.png").rename(camvid / "val_labels/other_L.png")
    refused(camvid, "other_L.png has no partner in .*val: CamVid is published", "camvid")


def test_a_class_dict_without_roads_has_no_lanes(camvid: Path) -> None:
    save_text(camvid / "class_dict.csv", "name,r,g,b\nSky,128,128,128\nCar,64,0,128\n")
    refused(camvid, "have no road: import them without --map-to", "camvid", map_to="lane")


# ---- Oxford-IIIT Pet


def test_trimaps(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    save_image(folder / "images/Abyssinian_34.jpg")
    save_mask(folder / "annotations/trimaps/Abyssinian_34.png", [[1, 2, 3, 1, 2, 3]] * HEIGHT)
    save_text(folder / "annotations/trainval.txt", "Abyssinian_34 1 1 1\n")
    frames = import_dataset(folder, tmp_path / "out", "pets", split="trainval")
    assert frames.mask(0)[0].tolist() == [1, 0, 255, 1, 0, 255]
    assert frames.classes.names == ("background", "pet")
    save_mask(folder / "annotations/trimaps/Abyssinian_34.png", [[0] * WIDTH] * HEIGHT)
    refused(folder, r"holds the ids \[0\]", "pets", split="trainval")


def test_a_gif_that_is_called_jpg(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    image = folder / "images/Abyssinian_34.jpg"
    image.parent.mkdir(parents=True)
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    Image.fromarray(grey).save(image, format="GIF")
    save_mask(folder / "annotations/trimaps/Abyssinian_34.png", [[2] * WIDTH] * HEIGHT)
    save_text(folder / "annotations/test.txt", "Abyssinian_34 1 1 1\n")
    frames = import_dataset(folder, tmp_path / "out", "pets")
    np.testing.assert_array_equal(frames.image(0), np.repeat(grey[:, :, None], 3, axis=2))
    for broken in (b"GIF89a", b"GIF89a\xff\xff\xff\xff" + bytes(20), image.read_bytes()[:30]):
        image.write_bytes(broken)
        refused(folder, "Abyssinian_34.jpg", "pets")


# ---- NYUv2


@pytest.mark.parametrize(
    ("image", "label", "count"),
    [
        ("test/rgb/0003.png", "test/labels_40/0003.png", 40),
        ("test/rgb/0003.png", "test/labels_13/0003.png", 13),
        ("image/test/00003.png", "seg40/test/00003.png", 40),
        ("nyu_test_rgb/nyu_rgb_0003.png", "test_labels_13/new_nyu_class13_0003.png", 13),
    ],
)
def test_nyu_layouts(tmp_path: Path, image: str, label: str, count: int) -> None:
    folder = tmp_path / "nyu"
    save_image(folder / image)
    save_mask(folder / label, [[0, 1, 2, count, 1, 1]] * HEIGHT)
    frames = import_dataset(folder, tmp_path / "out", "nyuv2" if count == 40 else "nyuv2-13")
    assert frames.mask(0)[0].tolist() == [255, 0, 1, count - 1, 0, 0]
    assert len(frames.classes) == count
    assert frames.classes.names[0] == {40: "wall", 13: "bed"}[count]
    assert frames.classes.names[-1] == {40: "otherprop", 13: "window"}[count]


def test_nyu_labels_of_another_count_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nyu"
    save_image(folder / "test/rgb/0003.png")
    save_mask(folder / "test/labels_13/0003.png", [[14] * WIDTH] * HEIGHT)
    refused(folder, r"holds the ids \[14\]", "nyuv2-13")
    refused(folder, "there is no .*test/labels_40: NYUv2 is exported as", "nyuv2")


def test_nyu_s_own_file_says_how_to_export_it(tmp_path: Path) -> None:
    folder = tmp_path / "nyu"
    save_text(folder / "nyu_depth_v2_labeled.mat", "MATLAB 7.3 MAT-file")
    refused(folder, "labeled.mat is HDF5 and not read: export it first; .*labels_40", "nyuv2")


def test_images_are_not_touched(cityscapes: Path, tmp_path: Path) -> None:
    image = next((cityscapes / "leftImg8bit/val/lindau").iterdir())
    import_dataset(cityscapes, tmp_path / "out", "cityscapes")
    copied = tmp_path / "out/frames/lindau_000001_000019.png"
    assert copied.read_bytes() == image.read_bytes()
    assert cv2.imread(str(copied)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("image", "depth"),
    [
        ("test/rgb/0003.png", "test/depth/0003.png"),
        ("image/test/00003.png", "depth/test/00003.png"),
    ],
)
def test_nyu_depths(tmp_path: Path, image: str, depth: str) -> None:
    folder = tmp_path / "nyu"
    save_image(folder / image)
    (folder / depth).parent.mkdir(parents=True)
    millimetres = np.array([[0, 100, 500, 2236, 10_000, 60_000]] * HEIGHT, np.uint16)
    cv2.imwrite(str(folder / depth), millimetres)
    frames = import_dataset(folder, tmp_path / "out", "nyuv2-depth")
    assert frames.classes.task == "depth"
    # 0.5 m to 10 m: 2.236 m is their geometric mean, the middle of the scale.
    assert frames.mask(0)[0].tolist() == [255, 0, 0, 127, 254, 254]


def test_nyu_depths_of_eight_bits_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nyu"
    save_image(folder / "test/rgb/0003.png")
    save_mask(folder / "test/depth/0003.png", [[14] * WIDTH] * HEIGHT)
    refused(folder, "a depth is 16-bit grey, in millimetres: export it again", "nyuv2-depth")
