"""What the values of a mask mean: ids of classes, or, of a model for depth, distances.

LANE.names                              # ("background", "road", "lane_marking")
DEPTH.depth.metres(mask)                # (H, W) float32, NaN where nothing is known
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from edge_seg.errors import EdgeSegError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IGNORE = 255
"""Mask value of unlabelled pixels; they take part in no loss and no metric."""

Task = Literal["segmentation", "depth"]


class DepthScale(msgspec.Struct, frozen=True):
    """Depths as the values 0 to 254 of a mask, evenly spaced in the logarithm of the distance.

    ``near_m`` and ``far_m`` are the distances of 0 and of 254; what lies beyond is drawn in. Equal
    steps of the logarithm are equal steps of the relative error, which grows with the distance in
    every depth sensor (spacing-increasing discretization: Fu et al. 2018, arXiv:1806.02446). From
    1 m to 100 m a step is 1.8 %, far less than any network of one camera is wrong by.
    """

    near_m: float
    far_m: float

    def __post_init__(self) -> None:
        """Refuse a scale that has no logarithm or no length."""
        if not 0 < self.near_m < self.far_m < float("inf"):
            raise ValueError(
                f"a depth scale goes from above 0 m to something farther, "
                f"not from {self.near_m} to {self.far_m}"
            )

    def __str__(self) -> str:
        """Return both ends, as in ``1-100 m``."""
        return f"{self.near_m:g}-{self.far_m:g} m"

    def codes(self, metres: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Return the mask (H, W) uint8 of depths in metres; 255 where one is not above 0.

        Law: ``codes(metres(mask)) == mask`` for every mask.
        """
        import numpy as np

        known = np.isfinite(metres) & (metres > 0)
        span = np.log(self.far_m / self.near_m)
        share = np.log(np.where(known, metres, self.near_m) / self.near_m) / span
        nearest = np.rint(np.clip(share, 0, 1) * (IGNORE - 1)).astype(np.uint8)
        return np.where(known, nearest, np.uint8(IGNORE))

    def metres(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the depths (H, W) float32 in metres of a mask (H, W) uint8; NaN for 255."""
        import numpy as np

        share = np.arange(IGNORE + 1) / (IGNORE - 1)
        table = (self.near_m * (self.far_m / self.near_m) ** share).astype(np.float32)
        table[IGNORE] = np.nan
        return table[mask]


class ClassMap(msgspec.Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """Names and RGB colours of the class ids 0..n-1, in order of id.

    With ``depth`` a mask holds no ids but distances, and the one name is what they are called.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    depth: DepthScale | None = None

    def __post_init__(self) -> None:
        """Refuse a map that cannot label a uint8 mask."""
        if not 1 <= len(self.names) < IGNORE:
            raise ValueError(f"a class map has 1 to 254 classes, not {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise ValueError("class names must differ")
        if len(self.palette) != len(self.names):
            raise ValueError(f"{len(self.names)} classes but {len(self.palette)} colours")
        if any(not 0 <= channel <= 255 for colour in self.palette for channel in colour):
            raise ValueError("a palette colour is three values in 0..255")
        if self.depth is not None and len(self.names) != 1:
            raise ValueError(f"a depth has one name, not {len(self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        """Return the names with commas; a depth's with its scale, as in ``depth (1-100 m)``."""
        scale = "" if self.depth is None else f" ({self.depth})"
        return ", ".join(self.names) + scale

    @property
    def task(self) -> Task:
        """What a model with this map does."""
        return "segmentation" if self.depth is None else "depth"

    @property
    def values(self) -> int:
        """How many values a mask can have, `IGNORE` left out: they are 0 to one less."""
        return len(self.names) if self.depth is None else IGNORE


LANE = ClassMap(
    names=("background", "road", "lane_marking"),
    palette=((0, 0, 0), (128, 64, 128), (255, 210, 0)),
)
"""The project's own classes. Purple for the road follows the Cityscapes palette."""

DEPTH = ClassMap(("depth",), ((255, 255, 255),), DepthScale(near_m=1.0, far_m=100.0))
"""Distances on the road: nearer than 1 m is the car itself, beyond 100 m one camera sees little."""


def require_same(labelled: ClassMap, known: ClassMap, names: tuple[str, str], way_out: str) -> None:
    """Raise `EdgeSegError` unless a value means the same in masks of both; colours may differ.

    ``names`` are what the message calls the two, ``way_out`` is what it says to do: "'rooms' labels
    depth (0.5-10 m), but the model has depth (1-100 m), where a value is another distance: ...".
    """
    if (labelled.names, labelled.depth) == (known.names, known.depth):
        return
    one, other = names
    scales = labelled.depth is not None and known.depth is not None
    why = ", where a value is another distance" if scales else ""
    raise EdgeSegError(f"{one} labels {labelled}, but {other} has {known}{why}: {way_out}")
