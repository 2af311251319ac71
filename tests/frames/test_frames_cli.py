"""``edge-seg frames``: what it prints and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.frames import FrameSet, FrameSetWriter


def edge_seg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", "frames", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    image = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    with FrameSetWriter(tmp_path / "street", name="street") as writer:
        writer.add(image)
    return tmp_path / "street"


def test_info_and_check_in_json(street: Path) -> None:
    info = edge_seg("info", street, "--json")
    assert info.returncode == 0
    assert json.loads(info.stdout)["frames"] == 1
    checked = edge_seg("check", street, "--json")
    assert checked.returncode == 0
    assert [found["code"] for found in json.loads(checked.stdout)["findings"]] == ["too-few"]


def test_check_exits_with_2_on_an_unusable_set(street: Path) -> None:
    (street / "frames/000000.jpg").write_bytes(b"")
    checked = edge_seg("check", street)
    assert checked.returncode == 2
    assert "broken-frame" in checked.stdout


def test_import_then_info(street: Path, tmp_path: Path) -> None:
    made = edge_seg("import", street / "frames", tmp_path / "out", "--licence", "CC0-1.0", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["licence"] == "CC0-1.0"
    again = edge_seg("import", street / "frames", tmp_path / "out")
    assert again.returncode == 2
    assert again.stderr.strip().splitlines() == [
        f"error: {tmp_path / 'out'} exists already: remove it or choose another name"
    ]


def test_import_says_at_once_where_masks_do_not_fit_the_classes(tmp_path: Path) -> None:
    image = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    for folder, pixels in (("images", image), ("masks", np.full((64, 64), 1, np.uint8))):
        (tmp_path / "mine" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "mine" / folder / "a.png"), pixels)
    made = edge_seg("import", tmp_path / "mine", tmp_path / "out")
    assert made.returncode == 0
    assert "absent-class: no pixel is labelled background, lane_marking" in made.stderr


def test_a_video_becomes_a_set_of_its_scenes(tmp_path: Path) -> None:
    """Nine frames: three scenes, each standing still for three frames."""
    video = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(9):
        coarse = np.random.default_rng(index // 3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        writer.write(cv2.resize(coarse, (64, 48)))
    writer.release()
    made = edge_seg("import-video", video, tmp_path / "out", "--licence", "CC0-1.0", "--json")
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    frames = FrameSet.open(tmp_path / "out")
    assert (shown["name"], shown["licence"], shown["source"]) == ("out", "CC0-1.0", "drive.avi")
    assert (shown["frames"], shown["masks"], shown["digest"]) == (3, 0, frames.digest)
    assert [entry.id for entry in frames.entries] == [f"drive-00000{i}" for i in (0, 3, 6)]
    assert frames.image(2).shape == (48, 64, 3)
    few = [tmp_path / "few", "--every", "6", "--max-frames", "1", "--name", "dash", "--json"]
    made = edge_seg("import-video", video, *few)
    assert made.returncode == 0, made.stderr
    assert (json.loads(made.stdout)["name"], json.loads(made.stdout)["frames"]) == ("dash", 1)


def test_rendered_frames_come_with_masks(tmp_path: Path) -> None:
    for module in ("carla", "panda3d"):
        pytest.importorskip(module, reason="needs the extra carla")
    size = ["--frames", "2", "--width", "64", "--height", "48"]
    made = edge_seg("render", tmp_path / "out", *size, "--seed", "7", "--json")
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert (shown["frames"], shown["masks"]) == (2, 2)
    assert (shown["name"], shown["licence"]) == ("out", "Apache-2.0")
    assert shown["source"].startswith("rendered by carla_bridge.world: random roads, seed 7, ")
    assert shown["scored"] == shown["classes"] == ["background", "road", "lane_marking"]
    frames = FrameSet.open(tmp_path / "out")
    frames.verify()
    assert shown["digest"] == frames.digest
    for labelled in frames:
        assert labelled.image.shape == (48, 64, 3)
        assert labelled.mask is not None and labelled.mask.shape == (48, 64)
        assert 1 in labelled.mask


def test_unknown_sets_are_one_line() -> None:
    shown = edge_seg("info", "no-such-set")
    assert shown.returncode == 2
    assert shown.stderr.startswith("error: no frame set 'no-such-set'")
    assert len(shown.stderr.strip().splitlines()) == 1
