"""The checker finds what makes a set bad, and says nothing about a good one."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.frames import FrameSet, FrameSetWriter, manifest
from edge_seg.frames.check import MIN_CALIBRATION_FRAMES, check, require_calibration_set
from edge_seg.frames.images import encode_mask
from edge_seg.frames.statistics import difference_hash, hamming, image_statistics


def scene(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Draw a few shaded polygons: smooth inside, edges between, as in a picture."""
    draw = np.random.default_rng(seed)
    image = np.linspace(draw.integers(0, 90), draw.integers(150, 255), height)[:, None, None]
    image = np.repeat(np.repeat(image, width, 1), 3, 2).astype(np.uint8)
    for _ in range(12):
        corners = draw.integers(0, (width, height), (3, 2)).astype(np.int32)
        cv2.fillPoly(image, [corners], draw.integers(0, 256, 3).tolist())
    return image


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def labels(seed: int = 0) -> np.ndarray:
    mask = np.zeros((96, 128), np.uint8)
    mask[40:], mask[40:, 60:66] = 1, 2
    return mask


def written(path: Path, images, masks=None, **about) -> FrameSet:
    with FrameSetWriter(path, name="s", **about) as writer:
        for index, image in enumerate(images):
            mask = masks[index] if masks else None
            writer.add(image, mask, format="png" if index % 2 else "jpg")
    return FrameSet.open(path)


def codes(frames: FrameSet) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.frames for finding in check(frames)}


def test_a_good_set_has_no_findings(tmp_path: Path) -> None:
    images = [scene(seed) for seed in range(MIN_CALIBRATION_FRAMES)]
    frames = written(tmp_path / "s", images, [labels()] * len(images))
    assert check(frames) == []
    require_calibration_set(frames)


def test_each_fault_is_found_in_its_frame(tmp_path: Path) -> None:
    images = [
        scene(0), scene(1), np.zeros((96, 128, 3), np.uint8), np.full((96, 128, 3), 255, np.uint8),
        np.full((96, 128, 3), 99, np.uint8), noise(0), scene(0), scene(2, 48, 64),
    ]  # fmt: skip
    images.append(np.clip(scene(1).astype(int) + 6, 0, 255).astype(np.uint8))
    found = codes(written(tmp_path / "s", images))
    assert found["dark"] == ("000002",)
    assert found["bright"] == ("000003",)
    assert found["low-contrast"] == ("000004",)
    assert found["noise"] == ("000005",)
    assert found["duplicates"] == ("000000", "000006")
    assert found["near-duplicates"] == ("000008",)
    assert {"sizes", "too-few"} <= found.keys()


def test_errors_come_before_warnings(tmp_path: Path) -> None:
    levels = [f.level for f in check(written(tmp_path / "s", [scene(0), noise(1), noise(2)]))]
    assert levels == sorted(levels)
    assert levels[0] == "error"


def test_mask_findings(tmp_path: Path) -> None:
    road = np.ones((96, 128), np.uint8)
    frames = written(tmp_path / "s", [scene(s) for s in range(3)], [labels() * 0 + 1, None, road])
    found = codes(frames)
    assert found["one-class"] == ("000000", "000002")
    assert found["some-masks"] == ("000001",)
    assert "absent-class" in found


def test_only_scored_classes_can_be_absent(tmp_path: Path) -> None:
    mask = np.where(labels() > 0, 1, 0).astype(np.uint8)
    frames = written(tmp_path / "s", [scene(0)], [mask], scored=("road",))
    assert "absent-class" not in codes(frames)


def test_narrow_light_is_found(tmp_path: Path) -> None:
    images = [(scene(seed) // 6 + 90).astype(np.uint8) for seed in range(4)]
    assert "range" in codes(written(tmp_path / "s", images))


def test_broken_files_are_findings_not_exceptions(tmp_path: Path) -> None:
    frames = written(tmp_path / "s", [scene(0), scene(1)], [labels(), labels()])
    (tmp_path / "s/frames/000000.jpg").write_bytes(b"")
    (tmp_path / "s/masks/000001.png").write_bytes(b"x")
    found = codes(frames)
    assert found["broken-frame"] == ("000000",)
    assert found["broken-mask"] == ("000001",)


def test_a_mask_value_that_no_class_has_is_named(tmp_path: Path) -> None:
    """The file is a whole PNG of the frame's size and every digest fits: its values are wrong."""
    written(tmp_path / "s", [scene(0), scene(1)], [labels(), labels()])
    mask = labels()
    mask[0, :3] = 3, 254, 255  # the classes are 0 to 2, and 255 is ignored
    payload = encode_mask(mask)
    (tmp_path / "s/masks/000001.png").write_bytes(payload)
    about = manifest.read(tmp_path / "s")
    entry = msgspec.structs.replace(about.frames[1], mask_sha256=sha256(payload))
    about = msgspec.structs.replace(about, frames=(about.frames[0], entry))
    (tmp_path / "s/frameset.json").write_bytes(manifest.encode(about))
    frames = FrameSet.open(tmp_path / "s")
    frames.verify()
    (finding,) = [found for found in check(frames) if found.level == "error"]
    assert (finding.code, finding.frames) == ("broken-mask", ("000001",))
    assert "masks/000001.png holds the ids [3, 254]" in finding.message
    assert "0..2 (background, road, lane_marking) and 255" in finding.message


def test_calibration_says_how_many_frames_it_needs(tmp_path: Path) -> None:
    frames = written(tmp_path / "s", [scene(seed) for seed in range(10)])
    with pytest.raises(EdgeSegError, match=r"at least 32 .* has 10: add 22 more"):
        require_calibration_set(frames)


def test_calibration_on_noise_is_refused(tmp_path: Path) -> None:
    images = [scene(seed) for seed in range(40)]
    images[7], images[9] = noise(7), noise(9)
    with pytest.raises(EdgeSegError, match=r"2 of 40 .* random noise \(000007, 000009\)"):
        require_calibration_set(written(tmp_path / "s", images))


def test_calibration_on_copies_is_refused(tmp_path: Path) -> None:
    images = [scene(seed % 5) for seed in range(40)]
    with pytest.raises(EdgeSegError, match=r"has 5 among its 40 \(35 copies .*: add 27 more"):
        require_calibration_set(written(tmp_path / "s", images))


def test_calibration_on_one_frame_encoded_many_times_is_refused(tmp_path: Path) -> None:
    still = FrameSet.open("lane-mini").image(17)  # much to see
    with FrameSetWriter(tmp_path / "s", name="s") as writer:
        for quality in range(20, 100, 2):
            writer.add(still, quality=quality)
    frames = FrameSet.open(tmp_path / "s")
    assert len({entry.frame_sha256 for entry in frames.entries}) == 40
    with pytest.raises(EdgeSegError, match=r"at least 32 .*has 1 among its 40 .*: add 31 more"):
        require_calibration_set(frames)


def test_calibration_on_a_parked_car_is_refused(tmp_path: Path) -> None:
    still = FrameSet.open("lane-mini").image(17)  # much to see
    draw = np.random.default_rng(0)
    seen = [np.clip(still + draw.normal(0, 5, still.shape), 0, 255) for _ in range(40)]
    seen[3] = seen[4] = np.zeros(still.shape)
    frames = written(tmp_path / "s", [frame.astype(np.uint8) for frame in seen])
    counted = r"has 1 among its 40 \(2 dark, .*, 37 copies or nearly so\): add 31 more"
    with pytest.raises(EdgeSegError, match=counted):
        require_calibration_set(frames)
    findings = {finding.code: finding.message for finding in check(frames)}
    assert findings["too-few"].endswith("at least 32 different frames, and there are 1")


@pytest.mark.parametrize("name", ["lane-mini", "lane-night", "lane-rain"])
def test_the_shipped_sets_can_be_calibrated_on(name: str) -> None:
    require_calibration_set(FrameSet.open(name))


def test_the_drawn_roads_can_be_calibrated_on(road_frames: FrameSet) -> None:
    require_calibration_set(road_frames)


@pytest.mark.parametrize("quality", [30, 75, 92])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_noise_is_known_through_jpeg_and_enlargement(quality: int, scale: int) -> None:
    large = cv2.resize(noise(0), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    payload = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    frame = cv2.imdecode(payload, cv2.IMREAD_COLOR)
    assert image_statistics(frame).verdict == "noise"
    gaussian = np.random.default_rng(0).normal(128, 40, (96, 128, 3))
    assert image_statistics(np.clip(gaussian, 0, 255).astype(np.uint8)).verdict == "noise"


def test_statistics_by_value() -> None:
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 10, 0).repeat(3, 2)
    low, high, correlation = image_statistics(ramp)
    assert (low, high) == (0, 98)
    assert correlation == pytest.approx(1.0)
    tiny = np.full((1, 1, 3), 100, np.uint8)
    assert image_statistics(tiny).verdict == "low-contrast"


def test_difference_hash_by_value() -> None:
    rising = np.repeat(np.linspace(0, 255, 9).astype(np.uint8)[None, :, None], 8, 0).repeat(3, 2)
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(rising[:, ::-1].copy()) == 0
    one_step = np.zeros((8, 9, 3), np.uint8)
    one_step[0, 1:] = 255
    assert difference_hash(one_step) == 1 << 63  # the first cell of the first row is the top bit
    assert hamming(0b1011, 0b0001) == 2
