"""``edge-seg run``: what a person sees and finds in the folder, and what is refused."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import edge_seg, refusal
from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet


@pytest.fixture
def photo(few_frames: FrameSet, tmp_path: Path) -> Path:
    path = tmp_path / "road.jpg"
    cv2.imwrite(str(path), few_frames.image(0))
    return path


def test_an_image(tiny_bundle: Path, photo: Path, tmp_path: Path) -> None:
    shown = edge_seg("run", tiny_bundle, photo, "-o", tmp_path / "out", "--threads", 1)
    assert shown.startswith("1 frames, ") and " fps; masks in " in shown
    mask = cv2.imread(str(tmp_path / "out" / "road.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == cv2.imread(str(photo)).shape[:2]
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert (tmp_path / "out" / "road.overlay.jpg").exists()


def test_a_folder_as_json(tiny_bundle: Path, photo: Path, tmp_path: Path) -> None:
    shown = json.loads(edge_seg("run", tiny_bundle, photo.parent, "-o", tmp_path / "o", "--json"))
    assert shown["frames"] == 1
    assert shown["output"] == str(tmp_path / "o")
    assert shown["fps"] == pytest.approx(1000 / shown["stages"]["total"]["p50_ms"])


def test_a_frame_set_and_a_shipped_one(
    tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    edge_seg("run", tiny_bundle, few_frames.path, "-o", tmp_path / "a", "--no-overlay")
    assert len(list((tmp_path / "a").iterdir())) == len(few_frames)
    edge_seg("run", tiny_bundle, "lane-mini", "-o", tmp_path / "b", "--limit", 2)
    first = FrameSet.open("lane-mini").entries[0].id
    assert (tmp_path / "b" / f"{first}.overlay.jpg").exists()
    assert len(list((tmp_path / "b").iterdir())) == 4


def test_a_video(tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path) -> None:
    frame = few_frames.image(0)
    video = tmp_path / "drive.mp4"
    size = (frame.shape[1], frame.shape[0])
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 5, size)
    for _ in range(3):
        writer.write(frame)
    writer.release()
    edge_seg("run", tiny_bundle, video, "-o", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [*(f"drive-00000{index}.png" for index in range(3)), "drive.overlay.mp4"]


def huge_png(width: int, height: int) -> bytes:
    """Return a whole PNG of that size without a pixel: what a decompression bomb looks like."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    chunks = {b"IHDR": size + b"\x08\x02\0\0\0", b"IDAT": zlib.compress(b""), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks.items()
    )


def test_sources_that_give_no_frame(tiny_bundle: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "huge.png").write_bytes(huge_png(40_000, 40_000))
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:400])
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + os.urandom(500))
    (tmp_path / "nothing").mkdir()
    said = {
        "none.jpg": "no such file",
        "raod.jpg": "did you mean",
        "empty.jpg": "is empty (zero bytes)",
        "text.png": "is not an image",
        "huge.png": "above the limit of 64 megapixels",
        "cut.jpg": "cannot decode",
        "cut.mp4": "damaged, truncated or no video",
        "nothing": "has no images",
    }
    for name, words in said.items():
        line = refusal("run", tiny_bundle, tmp_path / name, "-o", tmp_path / "out")
        assert words in line, line
        assert not list((tmp_path / "out").glob("*"))


def test_one_bad_picture_holds_up_no_other(tiny_bundle: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("1.jpg", "3.jpg"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "2.jpg").write_bytes(b"")
    result = CliRunner().invoke(
        app, ["run", str(tiny_bundle), str(folder), "-o", str(tmp_path / "out"), "--json"]
    )
    assert json.loads(result.stdout)["frames"] == 2
    (fault,) = json.loads(result.stdout)["unreadable"]
    assert fault.startswith(f"{folder / '2.jpg'} is empty")
    assert isinstance(result.exception, EdgeSegError) and result.exception.exit_code == 2
    assert str(result.exception) == f"1 of 3 files could not be read, the others are done: {fault}"
    assert {path.name for path in (tmp_path / "out").glob("?.png")} == {"1.png", "3.png"}


def test_places_that_hold_no_masks(tiny_bundle: Path, photo: Path) -> None:
    assert f"{photo} is a file" in refusal("run", tiny_bundle, photo, "-o", photo)
    assert "takes no files" in refusal("run", tiny_bundle, photo, "-o", "/proc/masks")


def test_a_camera_that_is_not_there(tiny_bundle: Path, tmp_path: Path) -> None:
    line = refusal("run", tiny_bundle, "camera:97", "-o", tmp_path / "out")
    assert "cannot open camera 97" in line


def test_a_frame_is_never_overwritten(tiny_bundle: Path, photo: Path) -> None:
    picture = photo.with_suffix(".png")
    cv2.imwrite(str(picture), cv2.imread(str(photo)))
    photo.unlink()
    folder = picture.parent
    assert f"would overwrite {picture}" in refusal("run", tiny_bundle, folder, "-o", folder)
    picture.rename(folder / "a.jpg")
    overlay = folder / "a.overlay.jpg"
    overlay.write_bytes((folder / "a.jpg").read_bytes())
    assert f"would overwrite {overlay}" in refusal("run", tiny_bundle, folder, "-o", folder)
