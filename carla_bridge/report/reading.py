"""What the report reads of a result's folder: whatever is missing or broken is None, or said.

frame = read_picture(folder, "moments/k-0-1.jpg")    # None where there is no such picture
trace = whole_trace(folder, run)                     # None where it is missing or torn
roads = read_map(folder, "maps/Town.xodr")           # or a line that says why there are none
"""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec

from carla_bridge.evaluation.record import Run, Trace, read_trace
from carla_bridge.world.maps.lanes import Roads
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, Mask


def inside(folder: Path, name: str) -> Path | None:
    """Return a record's file, or None where it is missing or not in the result's folder."""
    try:
        path = (folder / name).resolve()
        return path if name and path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def read_picture(folder: Path, name: str) -> Frame | None:
    """Return a picture (H, W, 3) BGR, or None where it cannot be read."""
    return _image(folder, name, cv2.IMREAD_COLOR)  # type: ignore[return-value]


def read_mask(folder: Path, name: str) -> Mask | None:
    """Return a mask (H, W) of class ids, or None where it cannot be read."""
    return _image(folder, name, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


def _image(folder: Path, name: str, kind: int) -> cv2.typing.MatLike | None:
    path = inside(folder, name)
    return None if path is None else cv2.imread(str(path), kind)


def whole_trace(folder: Path, run: Run) -> Trace | None:
    """Return what a run did at each tick, or None where the columns are missing or unequal."""
    if inside(folder, run.trace) is None:
        return None
    try:
        trace = read_trace(folder, run)
    except EdgeSegError:
        return None
    values = msgspec.structs.asdict(trace).items()
    columns = {name: value for name, value in values if isinstance(value, list)}
    route = {len(columns.pop(name)) for name in ("route_x_m", "route_y_m")}
    return trace if len(route) == 1 and len({len(c) for c in columns.values()}) == 1 else None


def read_map(folder: Path, name: str) -> Roads | str:
    """Return a map's roads, or in one line why it cannot be drawn."""
    from carla_bridge.world.maps.roads import read_roads

    path = inside(folder, name)
    if path is None:
        return f"No map: {name or 'none was written'}."
    try:
        return read_roads(path.read_text(encoding="utf-8"), path.stem)
    except (EdgeSegError, OSError, UnicodeDecodeError) as error:
        return f"The map {name} cannot be drawn: {in_one_line(error)}."
