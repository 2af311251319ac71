"""What there is to know about one camera: where it stands and what it does to a picture.

    camera = CameraModel(width=640, height=480, field=80.0, distortion=(-0.12, 0.02))
    camera.check()                                # EdgeSegError, one line, where it cannot exist
    camera.render_size(), camera.render_field()   # what to render: (640, 480), 82.6 degrees

``CameraModel()`` is the neutral camera: 1.4 m high, level, straight ahead, 60 degrees
across, no distortion, sharp, no noise. `carla_bridge.world.camera.mounts` draws others.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

from carla_bridge.world.camera.optics import Optics
from edge_seg.errors import EdgeSegError

SMALLEST, LARGEST = 16, 4096
"""Pixels a side of a frame."""
NARROWEST, WIDEST = 10.0, 150.0
"""Degrees across."""


@dataclass(frozen=True)
class Pose:
    """A camera on a lane: metres to the right of its middle and above ground, degrees.

    ``yaw`` turns left, ``pitch`` up, ``roll`` to the right.
    """

    aside: float = 0.0
    height: float = 1.4
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class Tone:
    """From light to pixel values: what a camera's developing does (`tone.respond`)."""

    exposure: float = 0.0
    """Stops."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of linear blue, green, red."""
    shoulder: float = 0.0
    """0 clips highlights hard, 1 rolls them off."""
    contrast: float = 0.0
    """-1 dull, 0 as it is, 1 a full S-curve."""
    gamma: float = 1.0
    """Exponent after the sRGB curve: above 1 darker, below 1 brighter."""
    saturation: float = 1.0
    """0 is black and white."""


@dataclass(frozen=True)
class Glass:
    """The windscreen or cover before the lens."""

    dirt: float = 0.0
    """0 clean, 1 a dirty screen: spots and smears."""
    drops: float = 0.0
    """How many drops stay on it in rain; 1 is some 50."""
    veil: float = 0.0
    """Share of stray light over the whole frame, more around ``glare``, and about lights."""
    glare: tuple[float, float] = (0.5, 0.0)
    """Where it is brightest, as shares of width and height."""
    seed: int = 0
    """Of the places of spots, smears and drops."""


@dataclass(frozen=True)
class Bonnet:
    """The car's own bonnet (or dashboard): lengths are shares of the frame's."""

    top: float
    """How high it reaches from the bottom of the frame."""
    middle: float
    """Where it is highest, from the left."""
    half_width: float
    """From its middle to where it leaves the frame; more than 0.5 runs through."""
    power: float
    """Of its outline: 2 is round, 8 is flat with sharp ends."""
    paint: tuple[float, float, float]
    """sRGB blue, green, red, 0..1."""
    shine: float
    """Share of the scene mirrored in it."""


@dataclass(frozen=True)
class CameraModel:
    """Everything about one camera; blurs and widths in pixels of the frame."""

    width: int = 640
    height: int = 480
    place: Pose = Pose()
    field: float = 60.0
    """Degrees from the middle of the frame's left side to the middle of its right."""
    distortion: tuple[float, float] = (0.0, 0.0)
    """k1, k2 of Brown-Conrady, as OpenCV's; negative k1 is a barrel."""
    vignette: float = 0.0
    """Share of the light lost in the corners."""
    softness: float = 0.0
    """Standard deviation of the lens' blur."""
    tone: Tone = Tone()
    motion_blur: float = 0.0
    """Length of the streaks that driving draws at the frame's sides."""
    shake: tuple[int, int] = (1, 1)
    """Width and height, odd, of the blur by turning and bumps; 1 is none."""
    noise: float = 0.0
    """Standard deviation where light is plenty, in 255ths of the square root of light."""
    sharpening: float = 0.0
    """Of the camera's own processing: the halo's share of the local contrast."""
    jpeg: int = 0
    """Quality 1..100; 0 is not compressed."""
    glass: Glass = Glass()
    bonnet: Bonnet | None = None
    mirrored: bool = False

    @functools.cached_property
    def optics(self) -> Optics:
        """The lens: focal length, distortion, maps."""
        return Optics(self.width, self.height, self.field, self.distortion)

    def render_size(self) -> tuple[int, int]:
        """Return (width, height) of the pinhole picture to render: the frame's own."""
        return self.width, self.height

    def render_field(self) -> float:
        """Return the degrees across of that picture: enough for the frame to have no border."""
        return self.optics.render_field()

    def check(self) -> None:
        """Raise `EdgeSegError`, one line, for a camera that cannot exist."""
        for name, value in _numbers(self):
            low, high = RANGES.get(name, (-math.inf, math.inf))
            if not math.isfinite(value):
                raise EdgeSegError(f"the camera's {name} is {value}, not a finite number")
            if not low <= value <= high:
                raise EdgeSegError(f"the camera's {name} is in {low:g}..{high:g}, not {value:g}")
        if not all(SMALLEST <= side <= LARGEST for side in (self.width, self.height)):
            raise EdgeSegError(
                f"frames of {self.width}x{self.height} cannot be made; "
                f"choose {SMALLEST} to {LARGEST} pixels a side"
            )
        if not NARROWEST <= self.field <= WIDEST:
            raise EdgeSegError(
                f"a camera's field is in {NARROWEST:g}..{WIDEST:g} degrees, not {self.field:g}"
            )
        if self.place.height <= 0.0:
            raise EdgeSegError(
                f"a camera {self.place.height:g} m above ground is under it; choose more than 0"
            )
        if self.optics.folds():
            k1, k2 = self.distortion
            raise EdgeSegError(
                f"a lens with k1 {k1:g} and k2 {k2:g} folds the image over within "
                f"{self.field:g} degrees; choose smaller ones or a narrower field"
            )
        if not all(side % 2 for side in self.shake):
            raise EdgeSegError(f"the camera's shake is odd numbers of pixels, not {self.shake}")


RANGES = {
    "distortion": (-1000.0, 1000.0),
    "vignette": (0.0, 1.0),
    "softness": (0.0, 20.0),
    "motion_blur": (0.0, LARGEST),
    "noise": (0.0, 128.0),
    "sharpening": (0.0, 10.0),
    "jpeg": (0, 100),
    "tone.exposure": (-10.0, 10.0),
    "tone.shoulder": (0.0, 1.0),
    "tone.contrast": (-1.0, 1.0),
    "tone.gamma": (0.1, 10.0),
    "tone.saturation": (0.0, 10.0),
    "tone.white_balance": (0.01, 100.0),
    "glass.dirt": (0.0, 1.0),
    "glass.drops": (0.0, 20.0),
    "glass.veil": (0.0, 1.0),
    "glass.seed": (0, 2**63),
    "shake": (1, LARGEST),
    "bonnet.top": (0.0, 1.0),
    "bonnet.half_width": (0.01, 100.0),
    "bonnet.power": (0.1, 100.0),
    "bonnet.paint": (0.0, 1.0),
    "bonnet.shine": (0.0, 1.0),
}
"""What each number may be."""


def _numbers(part: Any, prefix: str = "") -> list[tuple[str, float]]:
    """Return every number of a dataclass and of the ones in it, with its name."""
    found: list[tuple[str, float]] = []
    for field in dataclasses.fields(part):
        value, name = getattr(part, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            found += _numbers(value, f"{name}.")
        elif isinstance(value, tuple):
            found += [(name, number) for number in value]
        elif value is not None:
            found.append((name, value))
    return found
