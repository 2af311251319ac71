"""What the driver saw, on the picture that it saw: mask, lane, and a line of figures.

    scene = annotate(frame, mask, LANE, lines=[centre_px], texts=["int8, 80 ms late", "31 km/h"])
    cv2.imwrite("moment.jpg", scene)

Works in place of nothing: the frame is left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.classes import ClassMap
from edge_seg.draw import overlay
from edge_seg.preprocess import Frame, Mask, resize_mask

Pixels = npt.NDArray[np.float64]
"""(n, 2) x to the right and y down, in pixels of the frame."""

OPACITY = 0.45
LINE_BGR = (255, 200, 60)
TEXT_BGR = (255, 255, 255)
ALARM_BGR = (90, 110, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
ROWS_TO_TEXT = 26
"""A line of text is a 26th of the picture's height, and at least 13 pixels."""


def annotate(
    frame: Frame,
    mask: Mask | None,
    classes: ClassMap,
    *,
    lines: Sequence[Pixels] = (),
    texts: Sequence[str] = (),
    alarm: str = "",
    steer: float | None = None,
) -> Frame:
    """Return ``frame`` (H, W, 3) BGR with all that is known drawn over it.

    ``mask`` of any size is stretched over the frame. ``lines`` are drawn as they are, ``texts``
    stand at the top, ``alarm`` below them in red, and ``steer`` (-1 left to 1 right) is a bar
    at the bottom.
    """
    picture = frame.copy()
    if mask is not None:
        picture = overlay(frame, resize_mask(mask, *frame.shape[:2]), classes, OPACITY)
    for line in lines:
        _polyline(picture, line)
    _write(picture, texts, alarm)
    if steer is not None:
        _steering_bar(picture, steer)
    return picture


def _polyline(picture: Frame, line: Pixels) -> None:
    """Draw a line, with its corners to a sixteenth of a pixel."""
    height, width = picture.shape[:2]
    points = line[np.isfinite(line).all(axis=1)]
    # OpenCV counts in 32 bits: what is far outside must not come round to the other side.
    points = np.clip(points, [-4 * width, -4 * height], [5 * width, 5 * height])
    if len(points) < 2:
        return
    corners = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [corners], False, LINE_BGR, max(2, height // 200), cv2.LINE_AA, 4)


def _write(picture: Frame, texts: Sequence[str], alarm: str) -> None:
    """Write lines on a darkened band, so that they can be read over snow and over night."""
    rows = [(_plain(text), TEXT_BGR) for text in texts]
    rows += [(_plain(alarm), ALARM_BGR)] if alarm else []
    if not rows:
        return
    pitch = max(13, picture.shape[0] // ROWS_TO_TEXT)
    band = picture[: len(rows) * pitch + pitch // 2]
    band[:] = band * 0.4
    for index, (text, colour) in enumerate(rows):
        scale = _fitting(text, pitch / 34, picture.shape[1] - pitch)
        place = (pitch // 2, (index + 1) * pitch)
        cv2.putText(picture, text, place, FONT, scale, colour, 1, cv2.LINE_AA)


def _fitting(text: str, scale: float, room_px: int) -> float:
    """Return ``scale``, or the smaller one at which the text is as wide as there is room."""
    (width, _), _ = cv2.getTextSize(text, FONT, scale, 1)
    return scale * min(1.0, max(room_px, 1) / max(width, 1))


def _steering_bar(picture: Frame, steer: float) -> None:
    """Draw how far the wheel is turned: a bar from the middle to the left or the right."""
    height, width = picture.shape[:2]
    middle, reach, thick = width // 2, width // 5, max(4, height // 80)
    top = height - 3 * thick
    groove = picture[top : top + thick, middle - reach : middle + reach]
    groove[:] = groove * 0.4
    end = middle + round(float(np.clip(steer, -1.0, 1.0)) * reach)
    left, right = sorted((middle, end))
    picture[top : top + thick, left : right + 1] = LINE_BGR
    picture[top - thick // 2 : top + thick + thick // 2, middle] = TEXT_BGR


def _plain(text: str) -> str:
    """Return the text in the letters that OpenCV's font has."""
    return text.encode("ascii", "replace").decode().replace("\n", " ")
