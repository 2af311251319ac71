"""Is a frame set fit for its work? `check` lists what is wrong, `require_calibration_set` refuses.

    for finding in check(FrameSet.open("street")):
        print(finding.level, finding.code, finding.message)

Quantization ranges come from what the network sees here, so frames that are no pictures
(noise, black, one colour) or that repeat one picture give ranges that are wrong on the road.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
import numpy as np

from edge_seg.classes import IGNORE
from edge_seg.errors import EdgeSegError
from edge_seg.frames import manifest as manifests
from edge_seg.frames.frameset import FrameSet
from edge_seg.frames.statistics import (
    NEAR_DUPLICATE_BITS,
    ImageStatistics,
    difference_hash,
    image_statistics,
)
from edge_seg.preprocess import Frame, Mask

MIN_CALIBRATION_FRAMES = 32
"""Fewest usable frames, none nearly another, that ranges are collected on.

Where to draw the line is this project's choice. Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference" (2018), finds about 100 mini-batches sufficient for activation
ranges to converge, and NNCF takes 300 samples by default; for segmentation every frame gives
each channel thousands of positions, so it is the variety of scenes that counts: below 32 one
odd frame is more than 3 % of what a percentile sees.
"""

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""

_NAMED = 5
_SPREAD = 96


class Finding(msgspec.Struct, frozen=True):
    """One thing about a frame set; ``frames`` are the ids it is about, empty for the whole set.

    An "error" makes the set unusable, a "warning" makes it worse.
    """

    level: Literal["error", "warning"]
    code: str
    message: str
    frames: tuple[str, ...] = ()


def check(frames: FrameSet, progress: Progress | None = None) -> list[Finding]:
    """Read every frame and mask and return what is wrong, errors first.

    Codes. Errors: ``changed`` (manifest edited), ``broken-frame``, ``broken-mask``, ``noise``.
    Warnings: ``too-few``, ``sizes``, ``duplicates``, ``near-duplicates``, ``dark``, ``bright``,
    ``low-contrast``, ``range``, ``some-masks``, ``one-class``, ``absent-class``.
    """
    survey = _Survey(frames)
    for index in range(len(frames)):
        survey.look_at(index)
        if progress is not None:
            progress(index + 1, len(frames))
    findings = [
        *_manifest_findings(frames),
        *survey.broken,
        *_picture_findings(survey),
        *_duplicate_findings(frames, survey),
        *_mask_findings(frames, survey),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def require_calibration_set(frames: FrameSet, progress: Progress | None = None) -> None:
    """Raise `EdgeSegError` unless activation ranges can be collected on these frames.

    Wanted: no frame of random noise, and at least `MIN_CALIBRATION_FRAMES` that are not all
    dark, all bright, without contrast, or nearly a frame earlier in the set.
    """
    noise: list[str] = []
    hashes: list[int] = []
    for index, entry in enumerate(frames.entries):
        image = frames.image(index)
        verdict = image_statistics(image).verdict
        if verdict == "noise":
            noise.append(entry.id)
        elif verdict == "fine":
            hashes.append(difference_hash(image))
        if progress is not None:
            progress(index + 1, len(frames))
    if noise:
        raise EdgeSegError(
            f"{len(noise)} of {len(frames)} frames of {frames.name!r} are random noise "
            f"({_some(noise)}): ranges from noise are wrong for pictures; "
            "calibrate on frames from the camera, or on roads with --calibration lane-mini"
        )
    copies = len(_near_duplicates(hashes))
    different = len(hashes) - copies
    if different < MIN_CALIBRATION_FRAMES:
        left_out = _left_out(len(frames), len(frames) - len(hashes), copies)
        raise EdgeSegError(
            f"calibration needs at least {MIN_CALIBRATION_FRAMES} different frames, "
            f"and {frames.name!r} has {different}{left_out}: add "
            f"{MIN_CALIBRATION_FRAMES - different} more, or on roads use --calibration lane-mini"
        )


def _left_out(count: int, poor: int, copies: int) -> str:
    """Return why not all ``count`` frames were counted, in words; nothing where they were."""
    reasons = [
        f"{number} {words}"
        for number, words in (
            (poor, "dark, bright or without contrast"),
            (copies, "copies or nearly so"),
        )
        if number
    ]
    return f" among its {count} ({', '.join(reasons)})" if reasons else ""


class _Survey:
    """What one pass over the set's files has seen."""

    def __init__(self, frames: FrameSet) -> None:
        self.frames = frames
        self.broken: list[Finding] = []
        self.sizes: dict[tuple[int, int], list[str]] = defaultdict(list)
        self.statistics: dict[str, ImageStatistics] = {}
        self.hashes: dict[str, int] = {}
        self.class_pixels = np.zeros(IGNORE + 1, np.int64)
        self.one_class: list[str] = []

    def look_at(self, index: int) -> None:
        id = self.frames.entries[index].id
        image: Frame | None = None
        mask: Mask | None = None
        try:
            labelled = self.frames[index]
            image, mask = labelled.image, labelled.mask
        except EdgeSegError as error:
            image = self._blame(index, error)
        if image is not None:
            self.sizes[image.shape[1], image.shape[0]].append(id)
            self.statistics[id] = image_statistics(image)
            self.hashes[id] = difference_hash(image)
        if mask is not None:
            pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1)
            self.class_pixels += pixels
            if np.count_nonzero(pixels[:IGNORE]) < 2:
                self.one_class.append(id)

    def _blame(self, index: int, error: EdgeSegError) -> Frame | None:
        """Note whether frame or mask is broken; return the frame where it is whole."""
        id = self.frames.entries[index].id
        try:
            image = self.frames.image(index)
        except EdgeSegError:
            self.broken.append(Finding("error", "broken-frame", str(error), (id,)))
            return None
        self.broken.append(Finding("error", "broken-mask", str(error), (id,)))
        return image


def _manifest_findings(frames: FrameSet) -> Iterator[Finding]:
    if frames.recorded_digest != frames.digest:
        message = f"{manifests.MANIFEST} was changed after it was written: import the frames again"
        yield Finding("error", "changed", message)


_VERDICTS = {
    "noise": "random noise, not pictures: neighbouring pixels are unrelated",
    "dark": "all dark",
    "bright": "all bright",
    "low-contrast": "almost one colour",
}


def _picture_findings(survey: _Survey) -> Iterator[Finding]:
    if len(survey.sizes) > 1:
        sizes = ", ".join(
            f"{width}x{height} ({len(ids)})" for (width, height), ids in survey.sizes.items()
        )
        yield Finding("warning", "sizes", f"frames are of {len(survey.sizes)} sizes: {sizes}")
    for verdict, words in _VERDICTS.items():
        ids = [id for id, seen in survey.statistics.items() if seen.verdict == verdict]
        if ids:
            level: Literal["error", "warning"] = "error" if verdict == "noise" else "warning"
            message = f"{_count(ids)} {words}: {_some(ids)}"
            yield Finding(level, verdict, message, tuple(ids))
    if survey.statistics:
        low = min(seen.low for seen in survey.statistics.values())
        high = max(seen.high for seen in survey.statistics.values())
        if high - low < _SPREAD:
            message = (
                f"all frames together use grey levels {low:.0f} to {high:.0f} of 0 to 255: "
                "add frames in other light"
            )
            yield Finding("warning", "range", message)


def _duplicate_findings(frames: FrameSet, survey: _Survey) -> Iterator[Finding]:
    """Yield copies, near copies, and what `require_calibration_set` would miss."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for entry in frames.entries:
        by_digest[entry.frame_sha256].append(entry.id)
    for ids in by_digest.values():
        if len(ids) > 1:
            message = f"{_count(ids)} the same file: {_some(ids)}"
            yield Finding("warning", "duplicates", message, tuple(ids))
    # One of each set of exact copies, and no flat frames: those all hash alike.
    unlike = [
        ids[0]
        for ids in by_digest.values()
        if ids[0] in survey.hashes and survey.statistics[ids[0]].verdict == "fine"
    ]
    near = _near_duplicates([survey.hashes[id] for id in unlike])
    if near:
        ids = [unlike[index] for index in near]
        message = f"{_count(ids)} nearly a picture earlier in the set: {_some(ids)}"
        yield Finding("warning", "near-duplicates", message, tuple(ids))
    different = len(unlike) - len(near)
    if different < MIN_CALIBRATION_FRAMES:
        message = (
            f"calibration needs at least {MIN_CALIBRATION_FRAMES} different frames, "
            f"and there are {different}"
        )
        yield Finding("warning", "too-few", message)


def _near_duplicates(hashes: list[int]) -> list[int]:
    """Return the indices of hashes within `NEAR_DUPLICATE_BITS` of an earlier, kept one."""
    repeated, kept = [], np.zeros(len(hashes), np.uint64)
    count = 0
    for index, value in enumerate(hashes):
        differing = np.bitwise_xor(kept[:count], np.uint64(value)).view(np.uint8)
        bits = _POPCOUNT[differing].reshape(-1, 8).sum(axis=1)
        if (bits <= NEAR_DUPLICATE_BITS).any():
            repeated.append(index)
        else:
            kept[count] = value
            count += 1
    return repeated


def _mask_findings(frames: FrameSet, survey: _Survey) -> Iterator[Finding]:
    without = [entry.id for entry in frames.entries if entry.mask is None]
    if len(without) == len(frames):
        return
    if without:
        message = f"{_count(without)} without a mask: {_some(without)}"
        yield Finding("warning", "some-masks", message, tuple(without))
    if frames.classes.depth is not None:
        return
    if survey.one_class:
        message = f"the masks of {len(survey.one_class)} frames hold one class only: "
        yield Finding(
            "warning", "one-class", message + _some(survey.one_class), tuple(survey.one_class)
        )
    wanted = frames.scored or frames.classes.names
    absent = [
        name for id, name in enumerate(frames.classes.names)
        if name in wanted and not survey.class_pixels[id]
    ]  # fmt: skip
    if absent:
        message = f"no pixel is labelled {', '.join(absent)}: these classes cannot be scored"
        yield Finding("warning", "absent-class", message)


def _count(ids: list[str]) -> str:
    return f"{len(ids)} frame is" if len(ids) == 1 else f"{len(ids)} frames are"


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")


_POPCOUNT = np.array([value.bit_count() for value in range(256)], np.uint8)
