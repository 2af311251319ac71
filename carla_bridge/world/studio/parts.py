"""What a world hands to its cameras: where things and cameras are, in map coordinates.

    Mover(id=7, kind="vehicle.tesla.model3", x_m=0.0, y_m=0.0, z_m=0.0, heading_deg=90.0)
    CameraPose(x_m=1.0, y_m=0.0, z_m=1.5, heading_deg=90.0, pitch_deg=-3.0)

Map coordinates are right-handed, y to the north. Of CARLA's numbers, y and yaw change their sign;
pitch (up) and roll (to the right) are the same: ``CameraPose(x, -y, z, -yaw, pitch, roll)``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from edge_seg.errors import EdgeSegError

KINDS = ("rgb", "semantic", "depth", "instance")
"""What a camera can show, in CARLA's encodings."""
FARTHEST_M = 1e6
"""Metres (and degrees) beyond which nothing is drawn: single precision has a step of 6 cm there."""


@dataclass(frozen=True)
class CameraPose:
    """Where a camera is and looks: heading to the left from x, pitch up, roll to the right."""

    x_m: float
    y_m: float
    z_m: float
    heading_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def __post_init__(self) -> None:
        _check(astuple(self), "a camera")


@dataclass(frozen=True)
class Mover:
    """One actor: ``kind`` is its blueprint, ``z_m`` the ground that it stands on.

    Its pose is that of its middle. ``lights`` are low beams, which show by night;
    ``colour`` is sRGB 0..255, without one the actor gets its own; ``size_m`` is length, width and
    height that its body is stretched to, without one the body has its own.
    """

    id: int
    kind: str
    x_m: float
    y_m: float
    z_m: float
    heading_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    lights: bool = False
    colour: tuple[int, int, int] | None = None
    size_m: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        _check(astuple(self)[2:8], f"actor {self.id}")
        if self.size_m is not None and not all(0.0 < side < FARTHEST_M for side in self.size_m):
            raise EdgeSegError(
                f"the size of actor {self.id} is in metres above 0, not {self.size_m}"
            )


def _check(numbers: tuple[float, ...], who: str) -> None:
    """Refuse places and angles that are none, or further away than any map reaches."""
    if not all(abs(number) <= FARTHEST_M for number in numbers):
        raise EdgeSegError(
            f"{who} is nowhere; its place and angles are numbers of at most {FARTHEST_M:g}"
        )
