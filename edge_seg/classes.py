"""Class maps: which id in a mask means what, and the colour it is drawn in."""

from __future__ import annotations

import msgspec

IGNORE = 255
"""Mask value of unlabelled pixels; they take part in no loss and no metric."""


class ClassMap(msgspec.Struct, frozen=True):
    """Names and RGB colours of the class ids 0..n-1, in order of id."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]

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

    def __len__(self) -> int:
        return len(self.names)


LANE = ClassMap(
    names=("background", "road", "lane_marking"),
    palette=((0, 0, 0), (128, 64, 128), (255, 210, 0)),
)
"""The project's own classes. Purple for the road follows the Cityscapes palette."""
