"""Golden frames: the self-test that travels in a bundle.

    tests, members = make_golden(frames, masks)     # when packing
    result = golden_check(bundle, segmenter)        # on the device
    result.passed, result.agreement_min             # True, 99.98

A frame passes when its mask is the expected one to the pixel, or when enough pixels agree
(99.5 % by default): another processor has other integer and float kernels, whose last bit
differs, and a pixel whose two best classes are level then tips over. A wrong model, a wrong
channel order or a wrong resize moves far more than one pixel in two hundred.

Each frame is there twice: as the camera gives it, and in `NETWORK` at the network's size, where
nothing is resized and the mask is the engine's alone (OpenCV's resize differs in the last bit
between x86 and ARM, measured: in 9 % of the values).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.bundle.archive import Bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import GoldenFrame
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.masks import agreeing
from edge_seg.preprocess import Frame, Mask

NETWORK = "golden/network"
"""The folder of the golden frames at the network's size."""
CAMERA_AGREEMENT = 98.5
"""Percent asked of a frame of a camera's size: the resize's last bit alone moves up to 0.8 % of a
mask's pixels (seen with DeepLab, whose logits are coarse)."""
MAX_PIXELS = 64_000_000
"""Of a golden frame; a small PNG can decode to gigabytes."""
_PNG = b"\x89PNG\r\n\x1a\n"


class GoldenResult(msgspec.Struct, frozen=True):
    """What the self-test gave: ``agreement_min`` is the worst frame's equal pixels, percent.

    ``agreement`` is every frame's, by the name of its member.
    """

    frames: int
    identical: int
    agreement_min: float
    passed: bool
    agreement: dict[str, float] = {}


def make_golden(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    agreement: float = 99.5,
    folder: str = "golden",
    precision: str | None = None,
) -> tuple[list[GoldenFrame], dict[str, bytes]]:
    """Return the manifest's entries and the PNG members for frames and the masks they gave.

    ``precision`` is for the masks of a model file among the manifest's alternatives.
    """
    if len(frames) != len(masks):
        raise ValueError(f"{len(frames)} golden frames but {len(masks)} masks")
    tests, members = [], {}
    for index, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        test = GoldenFrame(
            frame=f"{folder}/{index}.png",
            mask=f"{folder}/{index}-{precision or 'mask'}.png",
            mask_sha256=sha256(mask.tobytes()),
            agreement=agreement,
            precision=precision,
        )
        members[test.frame] = _encode(frame)
        members[test.mask] = _encode(mask)
        tests.append(test)
    return tests, members


def golden_check(
    bundle: Bundle, predict: Callable[[Frame], Mask], precision: str | None = None
) -> GoldenResult:
    """Run every golden frame through ``predict`` and compare; pure but for ``predict``.

    ``precision`` is that of the model file that ``predict`` runs, where it is not the first one.
    Raises `BundleError` when the bundle brings no golden frames, or unreadable ones.
    """
    wanted = None if precision == bundle.manifest.precision else precision
    tests = [test for test in bundle.manifest.golden if test.precision == wanted]
    if not tests:
        raise BundleError(f"{bundle.path}: brings no golden frames: its masks cannot be checked")
    shares = [_agreement(bundle, test, predict) for test in tests]
    return GoldenResult(
        frames=len(tests),
        identical=sum(share == 100.0 for share in shares),
        agreement_min=min(shares),
        passed=all(share >= test.agreement for share, test in zip(shares, tests, strict=True)),
        agreement={test.frame: share for share, test in zip(shares, tests, strict=True)},
    )


def _agreement(bundle: Bundle, test: GoldenFrame, predict: Callable[[Frame], Mask]) -> float:
    """Return the share of pixels, in percent, where ``predict`` gives the expected class."""
    expected = _decode(bundle, test.mask, cv2.IMREAD_UNCHANGED)
    if expected.ndim != 2 or sha256(expected.tobytes()) != test.mask_sha256:
        raise BundleError(f"{bundle.path}: {test.mask} is not the mask that its digest names")
    mask = predict(_decode(bundle, test.frame, cv2.IMREAD_COLOR))
    if mask.shape != expected.shape:
        raise BundleError(f"{bundle.path}: gives a mask {mask.shape}, not {expected.shape}")
    return agreeing(mask, expected, bundle.manifest.classes)


def _encode(image: npt.NDArray[np.uint8]) -> bytes:
    done, png = cv2.imencode(".png", image)
    if not done:
        raise EdgeSegError(f"an image {image.shape} cannot be stored as PNG")
    return png.tobytes()


def _decode(bundle: Bundle, name: str, mode: int) -> npt.NDArray[np.uint8]:
    """Decode a PNG member, whose header is asked for the size before memory is taken."""
    payload = bundle.read(name)
    if payload.startswith(_PNG) and len(payload) >= 24:
        width, height = struct.unpack(">II", payload[16:24])
        if 0 < width * height <= MAX_PIXELS:
            try:
                image = cv2.imdecode(np.frombuffer(payload, np.uint8), mode)
            except cv2.error:
                image = None
            if image is not None and image.dtype == np.uint8:
                return image  # type: ignore[return-value]
    raise BundleError(f"{bundle.path}: {name} is not a PNG image of at most {MAX_PIXELS} pixels")
