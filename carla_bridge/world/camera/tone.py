"""Tone: curves and matrices from light to the frame's values, and a scale for noise.

respond(np.array([0.25]), Tone(exposure=1.0))   # [0.735]: twice the light, as sRGB
colour_matrix(Tone(saturation=0.0))             # (3, 3) for cv2.transform: all grey
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from carla_bridge.world.camera.model import Tone

Floats = npt.NDArray[np.float64]


def colour_matrix(tone: Tone) -> Floats | None:
    """Return what white balance and saturation do to roots of light: (3, 3), or None for nothing.

    Where a gain takes a channel beyond white it is clipped, as in a sensor's development.
    """
    if tone.white_balance == (1.0, 1.0, 1.0) and tone.saturation == 1.0:
        return None
    # Luma of ITU-R BT.601, in OpenCV's order.
    luma = np.tile([0.114, 0.587, 0.299], (3, 1))
    mix = np.eye(3) * tone.saturation + luma * (1.0 - tone.saturation)
    return np.asarray(mix * np.sqrt(tone.white_balance)[None, :])


def respond(light: Floats, tone: Tone) -> Floats:
    """Return the frame's values (n,) in 0..1 of linear light (n,) in 0..1.

    Where the shoulder is full, light that the renderer clipped stays white whatever the
    exposure: p x / ((p - 1) x + 1) goes through (1, 1) (C. Schlick, "Quantization techniques
    for visualization of high dynamic range pictures", 1994). Then the sRGB curve (IEC
    61966-2-1), gamma and contrast.
    """
    power = 2.0**tone.exposure
    rolled = power * light / ((power - 1.0) * light + 1.0)
    y = (1.0 - tone.shoulder) * np.minimum(power * light, 1.0) + tone.shoulder * rolled
    y = np.where(y <= 0.0031308, 12.92 * y, 1.055 * np.maximum(y, 0.0031308) ** (1 / 2.4) - 0.055)
    y = y**tone.gamma
    if tone.contrast >= 0.0:
        y += tone.contrast * (3.0 * y**2 - 2.0 * y**3 - y)
    else:
        y += tone.contrast * 0.6 * (y - 0.45)
    return np.asarray(np.clip(y, 0.0, 1.0))


def stabilised(root: Floats, read: float) -> Floats:
    """Return 0..1 for roots of light 0..1: a scale on which all noise is alike.

    The generalized Anscombe transform (Starck, Murtagh and Bijaoui, 1998); ``read`` is the
    root of the light at which reading noise is as strong as that of the light.
    """
    return np.asarray((np.sqrt(root * root + read * read) - read) / (math.hypot(1.0, read) - read))


def destabilised(value: Floats, read: float) -> Floats:
    """Undo `stabilised`."""
    value = value * (math.hypot(1.0, read) - read) + read
    return np.asarray(np.sqrt(np.maximum(value * value - read * read, 0.0)))
