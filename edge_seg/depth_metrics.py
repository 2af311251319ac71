"""How well predicted depths match the truth: SSIM and MSE of the maps, errors in metres.

    scores = DepthScores(DEPTH.depth)
    scores.add(prediction, truth)        # masks (H, W) uint8: see `classes.DepthScale`
    scores.errors().ssim                 # percent, 100 for equal maps

Maps are compared as shares of the scale, 0 near to 1 far, so that SSIM and MSE mean the same near
and far; metres say what that is on the road. Each frame weighs alike. Pixels whose truth is 255
count nowhere.

Sources: SSIM is Wang et al., "Image Quality Assessment", IEEE TIP 2004, with their window and
constants; absolute relative error, RMSE and the share within 1.25 are Eigen et al., "Depth Map
Prediction from a Single Image", NeurIPS 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.classes import IGNORE, DepthScale
from edge_seg.preprocess import Mask

WINDOW_PX = 11
SIGMA_PX = 1.5
STABLE = (0.01**2, 0.03**2)
"""Wang et al.'s window and C1, C2, for maps of 0..1."""
NEAR_ENOUGH = 1.25
"""Eigen et al.'s threshold: the larger of the two depths over the smaller."""

Floats = npt.NDArray[np.float64]


class DepthErrors(msgspec.Struct, frozen=True):
    """The mean over frames. ``ssim``, ``abs_rel`` and ``within_125`` are percent, ``mse`` is of
    shares of the scale, 0..1, ``rmse_m`` in metres."""

    ssim: float
    mse: float
    rmse_m: float
    abs_rel: float
    within_125: float


class DepthScores:
    """Errors frame by frame; ``frames`` holds those of each."""

    def __init__(self, scale: DepthScale) -> None:
        self._scale = scale
        self.frames: list[DepthErrors] = []

    def add(self, prediction: Mask, truth: Mask) -> None:
        """Score one frame: masks (H, W) uint8 of one size. A frame without truth counts nowhere."""
        known = truth != IGNORE
        if not known.any():
            return
        likeness = ssim(_share(prediction, known), _share(truth, known))[known].mean()
        difference = _share(prediction, known)[known] - _share(truth, known)[known]
        given = self._scale.metres(prediction)[known].astype(np.float64)
        true = self._scale.metres(truth)[known].astype(np.float64)
        ratio = np.maximum(given / true, true / given)
        self.frames.append(
            DepthErrors(
                ssim=100 * float(likeness),
                mse=float(np.mean(difference**2)),
                rmse_m=float(np.sqrt(np.mean((given - true) ** 2))),
                abs_rel=100 * float(np.mean(np.abs(given - true) / true)),
                within_125=100 * float(np.mean(ratio < NEAR_ENOUGH)),
            )
        )

    def errors(self) -> DepthErrors | None:
        """Return the mean of all frames, None where none had truth."""
        return mean_errors(self.frames)


def mean_errors(frames: Sequence[DepthErrors]) -> DepthErrors | None:
    """Return the mean of frames' errors, None where there are none."""
    if not frames:
        return None
    rows = np.array([msgspec.structs.astuple(frame) for frame in frames])
    return DepthErrors(*(float(value) for value in rows.mean(axis=0)))


def ssim(one: Floats, other: Floats) -> Floats:
    """Return the structural similarity (H, W) around each pixel of two maps of 0..1; 1 is equal."""
    mean_1, mean_2 = _blurred(one), _blurred(other)
    variance_1 = _blurred(one * one) - mean_1 * mean_1
    variance_2 = _blurred(other * other) - mean_2 * mean_2
    covariance = _blurred(one * other) - mean_1 * mean_2
    c1, c2 = STABLE
    level = (2 * mean_1 * mean_2 + c1) / (mean_1 * mean_1 + mean_2 * mean_2 + c1)
    return level * (2 * covariance + c2) / (variance_1 + variance_2 + c2)


def _blurred(values: Floats) -> Floats:
    size = (WINDOW_PX, WINDOW_PX)
    return np.asarray(cv2.GaussianBlur(values, size, SIGMA_PX, borderType=cv2.BORDER_REFLECT))


def _share(mask: Mask, known: npt.NDArray[np.bool_]) -> Floats:
    """Return the map as shares of the scale; what has no truth is 0 in both, and alike."""
    return np.where(known, mask, 0) / (IGNORE - 1.0)
