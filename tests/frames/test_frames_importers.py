"""Importers: an index, images beside masks, plain images, videos; selected and mapped."""

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
from edge_seg.frames.images import encode_image, encode_mask
from edge_seg.frames.importers import import_folder, import_video, parse_mask_map
from edge_seg.models.class_maps import generic_classes

STREET = ClassMap(("background", "road", "sidewalk", "car"), ((0, 0, 0),) * 4)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def save(path: Path, payload: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    folder = tmp_path / "road"
    rows = ["file,mask,kind,source,licence"]
    for seed, (kind, source, value) in enumerate(
        [
            ("road_only", "a", 1),
            ("road_only", "b", 1),
            ("lane_only", "b", 2),
            ("unlabelled", "b", 0),
        ]
    ):
        save(folder / f"{source}/images/{seed}.jpg", encode_image(picture(seed)))
        mask = ""
        if value:
            mask = f"{source}/masks/{seed}.png"
            save(folder / mask, encode_mask(np.full((12, 16), value, np.uint8)))
        rows.append(f'{source}/images/{seed}.jpg,{mask},{kind},{source},"MIT, really"')
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


def test_index_rows_are_selected_by_kind_and_source(indexed: Path, tmp_path: Path) -> None:
    frames = import_folder(indexed, tmp_path / "out", kind="road_only")
    assert [entry.id for entry in frames.entries] == ["0", "1"]
    assert (frames.name, frames.source, frames.licence) == ("out", "a; b", "MIT, really")
    assert frames.scored == ("road",)
    assert frames.merge == {"lane_marking": "road"}
    one = import_folder(indexed, tmp_path / "one", kind="road_only", source="b")
    assert [entry.id for entry in one.entries] == ["1"]
    lane = import_folder(indexed, tmp_path / "lane", kind="lane_only")
    assert lane.scored == ("lane_marking",)
    assert (lane.mask(0) == 2).all()


def test_files_are_copied_byte_for_byte(indexed: Path, tmp_path: Path) -> None:
    import_folder(indexed, tmp_path / "out", kind="road_only")
    copied = (tmp_path / "out/frames/0.jpg").read_bytes()
    assert copied == (indexed / "a/images/0.jpg").read_bytes()


def test_mixed_kinds_need_a_choice(indexed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"lane_only \(1\), road_only \(2\).*--kind"):
        import_folder(indexed, tmp_path / "out")
    frames = import_folder(indexed, tmp_path / "out", images_only=True)
    assert len(frames) == 4
    assert not frames.has_masks
    assert frames.scored is None


def test_a_fully_labelled_set_scores_everything(indexed: Path, tmp_path: Path) -> None:
    text = (indexed / "index.csv").read_text()
    (indexed / "index.csv").write_text(
        text.replace("road_only", "road+lane").replace("lane_only", "road+lane")
    )
    assert import_folder(indexed, tmp_path / "out", kind="road+lane").scored is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "road_onyl"}, "did you mean 'road_only'"),
        ({"source": "c"}, "no source 'c'"),
        ({"kind": "lane_only", "source": "a"}, "no row"),
        ({"kind": "road_only", "mask_map": {1: 9}}, "1=9"),
        ({"kind": "road_only", "mask_map": {300: 1}}, "300=1"),
    ],
)
def test_wrong_choices_are_one_line_and_leave_nothing(indexed, tmp_path, options, words) -> None:
    with pytest.raises(EdgeSegError, match=words):
        import_folder(indexed, tmp_path / "out", **options)
    assert os.listdir(tmp_path) == ["road"]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"fiel,mask\na,b\n", "did you mean 'fiel'"),
        (b"", "no column 'file'"),
        (b"file\n\xff\xfe\n", "cannot read"),
        (b"file\n../../x.jpg\n", "leads out"),
        (b"file\n/etc/passwd\n", "leads out"),
        (b"file\nnone.jpg\n", "no such file"),
        (b"file\n", "no row"),
    ],
)
def test_broken_indices_are_one_line(tmp_path: Path, index: bytes, words: str) -> None:
    save(tmp_path / "road/index.csv", index)
    with pytest.raises(EdgeSegError, match=words):
        import_folder(tmp_path / "road", tmp_path / "out")
    assert os.listdir(tmp_path) == ["road"]


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    for number in (1, 2, 10):
        save(folder / f"images/f {number}.bmp", cv2.imencode(".bmp", picture(number))[1].tobytes())
        mask = np.full((12, 16), 3, np.uint8)
        mask[0] = 9
        save(folder / f"masks/f {number}.png", encode_mask(mask))
    return folder


def test_images_beside_masks_with_mapped_values(paired: Path, tmp_path: Path) -> None:
    frames = import_folder(paired, tmp_path / "out", mask_map={3: 1, 9: 255}, limit=2)
    assert [entry.id for entry in frames.entries] == ["f_1", "f_2"]
    np.testing.assert_array_equal(frames.image(1), picture(2))  # BMP becomes PNG, bit-exact
    mask = frames.mask(0)
    assert (mask[0] == 255).all()
    assert (mask[1:] == 1).all()
    assert frames.source == "pairs"


def test_unmapped_values_name_the_file_and_the_way_out(paired: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"f 1.png.*\[3, 9\].*--map 3=1"):
        import_folder(paired, tmp_path / "out")


def test_masks_of_other_classes(paired: Path, tmp_path: Path) -> None:
    frames = import_folder(paired, tmp_path / "out", classes=STREET, mask_map={9: 2})
    assert frames.classes == FrameSet.open(tmp_path / "out").classes == STREET
    assert frames.scored is None
    mask = frames.mask(0)
    assert (mask[0] == 2).all()
    assert (mask[1:] == 3).all()
    assert import_folder(paired, tmp_path / "ours", images_only=True).classes == LANE


def test_ids_that_other_classes_lack_are_refused(paired: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"f 1.png.*\[9\].*0\.\.3 \(.*car\).*--classes"):
        import_folder(paired, tmp_path / "out", classes=STREET)
    with pytest.raises(EdgeSegError, match=r"9=4.*become 0\.\.3 \(background, .*car\)"):
        import_folder(paired, tmp_path / "out", classes=STREET, mask_map={9: 4})
    assert os.listdir(tmp_path) == ["pairs"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("road_only", r"judge road and lane_marking, and .*sidewalk, car has no lane_marking: .*"),
        ("lane_only", r"judge lane_marking, and .* has no lane_marking: name them in --classes"),
    ],
)
def test_kinds_that_judge_classes_of_ours_need_them(paired, indexed, tmp_path, kind, words) -> None:
    for folder in (paired, indexed):
        with pytest.raises(EdgeSegError, match=words):
            import_folder(folder, tmp_path / "out", kind=kind, classes=STREET)
    bare = import_folder(indexed, tmp_path / "bare", kind=kind, classes=STREET, images_only=True)
    assert bare.scored is None
    wider = ClassMap((*LANE.names, "car"), ((0, 0, 0),) * 4)
    assert import_folder(indexed, tmp_path / "wide", kind=kind, classes=wider).scored is not None


def test_the_command_takes_the_classes_of_pack(paired: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_seg.cli", "frames", "import", paired, tmp_path / "out"]
    names = ["background", "road", "sidewalk", "car"]
    command += ["--map", "9=2", "--json", "--classes", ", ".join(names)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(made.stdout)["classes"] == names
    frames = FrameSet.open(tmp_path / "out")
    assert frames.classes == generic_classes(4, tuple(names))  # colours, too: what pack makes
    assert set(np.unique(frames.mask(0))) == {2, 3}


def test_masks_of_another_size_name_both(paired: Path, tmp_path: Path) -> None:
    save(paired / "masks/f 2.png", encode_mask(np.zeros((3, 4), np.uint8)))
    with pytest.raises(EdgeSegError, match=r"f 2.png is 4x3, but its image f 2.bmp is 16x12"):
        import_folder(paired, tmp_path / "out", mask_map={3: 1, 9: 1})


def test_masks_without_partners_are_refused(paired: Path, tmp_path: Path) -> None:
    for path in (paired / "masks").iterdir():
        path.rename(path.with_name("x" + path.name))
    with pytest.raises(EdgeSegError, match="named like an image"):
        import_folder(paired, tmp_path / "out")


def test_plain_images_and_equal_names(tmp_path: Path) -> None:
    for suffix in ("jpg", "png"):
        save(tmp_path / f"in/a.{suffix}", encode_image(picture(1), suffix))
    frames = import_folder(tmp_path / "in", tmp_path / "out")
    assert [entry.id for entry in frames.entries] == ["a", "a-2"]
    with pytest.raises(EdgeSegError, match=r"neither index\.csv"):
        import_folder(tmp_path, tmp_path / "out2")
    with pytest.raises(EdgeSegError, match="no such folder"):
        import_folder(tmp_path / "none", tmp_path / "out2")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames: four scenes, each standing still for three frames."""
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for index in range(12):
        small = np.random.default_rng(index // 3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        writer.write(cv2.resize(small, (64, 48)))
    writer.release()
    return path


def test_video_keeps_one_frame_of_each_scene(video: Path, tmp_path: Path) -> None:
    frames = import_video(video, tmp_path / "out")
    kept = ["drive-000000", "drive-000003", "drive-000006", "drive-000009"]
    assert [entry.id for entry in frames.entries] == kept
    every = import_video(video, tmp_path / "every", every=6)
    assert [entry.id for entry in every.entries] == kept[::2]
    two = import_video(video, tmp_path / "two", max_frames=2)
    assert len(two) == 2
    assert two.source == "drive.avi"


def test_a_long_name_of_a_video_keeps_its_frames_apart(video: Path, tmp_path: Path) -> None:
    long = video.rename(tmp_path / f"{'d' * 140}.avi")
    assert len(import_video(long, tmp_path / "out")) == 4


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", encode_image(picture(1), "png"))
    with pytest.raises(EdgeSegError, match="is no video"):
        import_video(tmp_path / "a.png", tmp_path / "out")
    with pytest.raises(EdgeSegError, match="1 or more"):
        import_video(tmp_path / "a.png", tmp_path / "out", every=0)


def test_mask_map_options() -> None:
    assert parse_mask_map(["3=1", " 7 = 255 "]) == {3: 1, 7: 255}
    for wrong in ("3", "3=", "a=1", "3=1=2", "-1=2"):
        with pytest.raises(EdgeSegError, match="not OLD=NEW"):
            parse_mask_map([wrong])


ROAD = Path(os.environ.get("EDGE_SEG_ROAD_DATA", "../shared/data/road"))


@pytest.mark.skipif(not (ROAD / "index.csv").exists(), reason="EDGE_SEG_ROAD_DATA names no folder")
def test_real_road_photographs(tmp_path: Path) -> None:
    frames = import_folder(ROAD, tmp_path / "out", kind="road+lane", source="camseq01", limit=3)
    assert frames.has_masks
    assert frames[0].image.shape == (480, 640, 3)
    FrameSet.open(tmp_path / "out").verify()
