from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from stand_in import road_of

from edge_seg.bundle.archive import Bundle, write_bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.golden import GoldenResult, golden_check, make_golden
from edge_seg.bundle.manifest import Manifest
from edge_seg.bundle.verification import verify_bundle
from edge_seg.preprocess import Frame, Mask


def with_wrong_pixels(count: int):
    """Predict as `road_of` does, but for the first ``count`` of the 2000 pixels."""

    def predict(frame: Frame) -> Mask:
        mask = road_of(frame)
        mask.reshape(-1)[:count] ^= 1
        return mask

    return predict


@pytest.mark.parametrize(
    ("wrong", "result"),
    [
        (0, GoldenResult(2, 2, 100.0, True)),
        (1, GoldenResult(2, 0, 99.95, True)),
        (10, GoldenResult(2, 0, 99.5, True)),
        (11, GoldenResult(2, 0, 99.45, False)),
        (2000, GoldenResult(2, 0, 0.0, False)),
    ],
)
def test_a_share_of_equal_pixels_decides(bundle: Bundle, wrong: int, result: GoldenResult) -> None:
    found = golden_check(bundle, with_wrong_pixels(wrong))
    assert found.agreement_min == pytest.approx(result.agreement_min)
    share = pytest.approx(result.agreement_min)
    assert found.agreement == {"golden/0.png": share, "golden/1.png": share}
    same = {"agreement_min": result.agreement_min, "agreement": {}}
    assert msgspec.structs.replace(found, **same) == result


def test_the_frames_come_back_to_the_pixel(bundle: Bundle, frames: list[Frame]) -> None:
    seen: list[Frame] = []

    def predict(frame: Frame) -> Mask:
        seen.append(frame)
        return road_of(frame)

    golden_check(bundle, predict)
    assert all(np.array_equal(one, other) for one, other in zip(seen, frames, strict=True))


def test_swapped_colours_fail(bundle: Bundle) -> None:
    assert not golden_check(bundle, lambda frame: road_of(np.roll(frame, 1, axis=2))).passed


def test_a_mask_of_another_size_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"gives a mask \(1, 1\), not \(40, 50\)"):
        golden_check(bundle, lambda frame: np.zeros((1, 1), np.uint8))


def test_a_bundle_without_golden_frames_says_so(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    bare = write_bundle(
        tmp_path / "x.edgeseg", msgspec.structs.replace(manifest, golden=[]), members
    )
    with pytest.raises(BundleError, match="brings no golden frames"):
        golden_check(bare, road_of)


@pytest.mark.parametrize("name", ["golden/0.png", "golden/0-mask.png"])
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no image",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(40),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10" + bytes(40),
    ],
)
def test_a_member_that_is_no_image_is_an_error(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes], name: str, payload: bytes
) -> None:
    broken = write_bundle(tmp_path / "x.edgeseg", manifest, {**members, name: payload})
    with pytest.raises(BundleError, match="is not a PNG image"):
        golden_check(broken, road_of)


def test_another_mask_than_its_digest_is_an_error(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes], frames: list[Frame]
) -> None:
    _, other = make_golden(frames, [1 - road_of(frame) for frame in frames])
    changed = write_bundle(
        tmp_path / "x.edgeseg",
        manifest,
        {**members, "golden/1-mask.png": other["golden/1-mask.png"]},
    )
    with pytest.raises(BundleError, match="not the mask that its digest names"):
        golden_check(changed, road_of)


def test_verify_bundle_collects_what_is_wrong(bundle: Bundle) -> None:
    good = verify_bundle(bundle, predict=road_of)
    assert good.ok
    assert good.signature.state == "none"
    every = {"golden/0.png": 100.0, "golden/1.png": 100.0}
    assert good.golden == GoldenResult(2, 2, 100.0, True, every)
    bad = verify_bundle(bundle, predict=with_wrong_pixels(100))
    assert not bad.ok
    assert "95.00 %" in bad.faults[0]
    assert verify_bundle(bundle).golden is None
