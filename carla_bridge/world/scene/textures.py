"""The noise that every surface is made of: one tileable texture with four kinds of it.

    noise = noise_texture(seed=0)   # (512, 512, 4) uint8

Channels: fine grain, clouds of middle size (fractal noise), cracks, large soft patches.
Fractal noise as a sum of octaves: Perlin, "An Image Synthesizer", SIGGRAPH 1985. Cracks
are ridges of warped fractal noise (1 - |n|): Musgrave, in "Texturing and Modeling", 1994.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIZE = 512

Array = npt.NDArray[np.float64]


def noise_texture(seed: int) -> npt.NDArray[np.uint8]:
    """Return (SIZE, SIZE, 4) uint8; each channel is spread evenly over 0..255 but the cracks."""
    rng = np.random.default_rng(seed)
    fine = 0.6 * rng.random((SIZE, SIZE)) + 0.8 * _spectrum(rng, 0.4)
    cracks = np.minimum(np.abs(_spectrum(rng, 1.6) - 0.5), np.abs(_spectrum(rng, 1.5) - 0.5) * 1.3)
    channels = [
        _even(fine),
        _even(_spectrum(rng, 1.1)),
        np.clip(1.0 - cracks * 45.0, 0.0, 1.0),
        _even(_spectrum(rng, 1.9)),
    ]
    return np.stack([np.round(c * 255.0).astype(np.uint8) for c in channels], axis=-1)


def _spectrum(rng: np.random.Generator, slope: float) -> Array:
    """Return tileable noise in 0..1 whose amplitude falls as frequency to the power of slope."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None]) * SIZE
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) / frequency**slope
    field = np.real(np.fft.ifft2(spectrum))
    field -= field.min()
    return np.asarray(field / field.max())


def _even(field: Array) -> Array:
    """Spread values to standard deviation 0.2 about one half."""
    return np.asarray(np.clip((field - field.mean()) / field.std() * 0.2 + 0.5, 0.0, 1.0))
