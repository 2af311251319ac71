"""The video of a drive: the pictures of each filmed run, with what was seen and done in them.

film(results, folder)    # folder/drive.mp4, or None where no run was filmed

The mask and the lane over a picture are those that the car was driven by at that moment. They
are as old as the latency made them, so they lie a little beside the road that they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from carla_bridge.driving.view import View
from carla_bridge.evaluation.jobs import CAMERA_FORWARD_M, CAMERA_HEIGHT_M, CAMERA_PITCH_DEG
from carla_bridge.evaluation.record import Results, Run, Trace
from carla_bridge.report.lanes import Replay
from carla_bridge.report.overlay import annotate
from carla_bridge.report.reading import read_mask, read_picture, whole_trace
from carla_bridge.report.video import VideoWriter
from carla_bridge.report.words import run_name
from edge_seg.classes import LANE
from edge_seg.preprocess import Frame

NAME = "drive.mp4"


def film(results: Results, folder: Path) -> Path | None:
    """Write ``drive.mp4`` in real time from the frames kept of filmed runs, one after the other."""
    filmed = [(run, whole_trace(folder, run)) for run in results.runs if run.filmed]
    runs = [(run, trace) for run, trace in filmed if trace is not None and trace.tick]
    if not runs:
        return None
    first = runs[0][1]
    size = (results.request.width, results.request.height)
    view = View(*size, results.request.fov_deg, CAMERA_HEIGHT_M, CAMERA_PITCH_DEG, CAMERA_FORWARD_M)
    with VideoWriter(folder / NAME, 1.0 / (first.dt_s * first.film_every)) as video:
        for run, trace in runs:
            replay = Replay(trace, view, run.route.speed_kmh / 3.6)
            for picture in _pictures(folder, run, trace, replay):
                if picture.shape[1::-1] != size:
                    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
                video.add(picture)
    return video.path if video.frames else None


def _pictures(folder: Path, run: Run, trace: Trace, replay: Replay) -> Iterator[Frame]:
    """Yield each kept frame with its mask and figures; one that cannot be read is passed over."""
    rows = {tick: row for row, tick in enumerate(trace.tick)}
    name = f"{run_name(run)}: {run.route.name}"
    for path in sorted((folder / "frames" / run.key).glob("*.jpg")):
        relative = path.relative_to(folder)
        frame = read_picture(folder, str(relative))
        row = rows.get(int(path.stem)) if path.stem.isdigit() else None
        if frame is None or row is None:
            continue
        mask = read_mask(folder, str(relative.with_suffix(".png")))
        yield annotate(
            frame,
            mask,
            LANE,
            lines=replay.lines(row, mask),
            texts=[name, _figures(trace, row)],
            alarm="outside the lane" if trace.outside[row] else "",
            steer=trace.steer[row],
        )


def _figures(trace: Trace, row: int) -> str:
    """Return a tick's figures in one line."""
    age = trace.mask_age_ms[row]
    error = trace.cross_track_m[row]
    side = "right" if error > 0 else "left"
    parts = [
        f"{trace.time_s[row]:6.1f} s",
        f"{trace.speed_mps[row] * 3.6:4.0f} km/h",
        f"{abs(error):.2f} m {side} of the route",
        f"mask {age:.0f} ms old" if age is not None else "no mask yet",
        trace.state[row] + (", guided" if trace.guided[row] else ""),
    ]
    return "  ".join(parts)
