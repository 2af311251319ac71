"""`record`: from a plan to a frame set, through any CARLA server.

    with Session.connect() as session:
        recording = record(session, Request(frames=500), Path("my_set"), licence="Apache-2.0")
    recording.frames, recording.entries

Car and cameras are put at each place of the plan and the world is ticked: RGB and semantic tags
come from one pose in one tick, so that frame and mask belong together. What shows nothing to
learn from (no road, no light, a picture that is in the set already) is tried again elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from carla_bridge.client.sensors import check_camera
from carla_bridge.client.session import Session
from carla_bridge.client.weathers import find, light
from carla_bridge.recording.crew import Crew
from carla_bridge.recording.finish import write_set
from carla_bridge.recording.journal import Entry, Journal
from carla_bridge.recording.places import Bend, Place, find_places
from carla_bridge.recording.plan import Request, Slot, draw_shot, slots
from carla_bridge.world.shipped_maps import names as shipped_maps
from carla_bridge.world.tags import CLASS_OF_TAG
from edge_seg.classes import DEPTH, LANE
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.frames.images import encode_image, encode_mask
from edge_seg.frames.statistics import (
    NEAR_DUPLICATE_BITS,
    difference_hash,
    hamming,
    image_statistics,
)
from edge_seg.preprocess import Frame, Mask

TRIES = 6
"""Places tried for a frame before it is left out."""

LEAST_ROAD = 0.02
"""Share of a picture that road and markings must have: below, something stands in the way."""

assert DEPTH.depth is not None
SCALE = DEPTH.depth
"""The sky is a kilometre away in CARLA's depth camera: it is drawn in to the far end."""

Progress = Callable[[int, int | None], None]


class Recording(NamedTuple):
    """What came of it: the set, and an entry for each slot of the plan."""

    frames: FrameSet
    entries: list[Entry]


def record(
    session: Session,
    request: Request,
    goal: Path,
    licence: str = "unknown",
    progress: Progress = lambda done, total: None,
) -> Recording:
    """Record what is missing of ``request`` and make the frame set ``goal`` of it.

    Raises `EdgeSegError` where ``goal`` exists or its working folder holds something else,
    `SimulatorError` and `SensorError` as the session does, and `NoSpaceError` on a full disk; what
    was taken until then stays in the working folder, and the same call goes on from there.
    """
    check_camera("rgb", request.width, request.height, request.fov_deg)
    with Journal.open(goal, request) as journal:
        surveyed = _survey(session, request)
        plan = slots(request, {name: tuple(places) for name, places in surveyed.items()})
        # Backwards, as the map that was looked at last is loaded still.
        loaded = list(surveyed)[-1]
        for name in reversed(surveyed):
            todo = [s for s in plan if s.map == name and s.index not in journal.entries]
            if not todo:
                continue
            if name != loaded:
                _load(session, name)
            _record_map(session, request, todo, surveyed[name], journal, progress)
        entries = [journal.entries[slot.index] for slot in plan]
        classes = LANE if request.truth == "segmentation" else DEPTH
        frames = write_set(journal, entries, goal, _source(session, request), licence, classes)
        journal.remove()
    return Recording(frames, entries)


def _survey(session: Session, request: Request) -> dict[str, dict[Bend, list[Place]]]:
    """Look at every map before the first frame: what bends there are decides who shows them."""
    found = {}
    for name in request.maps or ("",):
        _load(session, name)
        found[name] = find_places(session.map)
        if not found[name]:
            raise EdgeSegError(f"the map {session.map_name} has no driving lane to record on")
    return found


def _record_map(
    session: Session,
    request: Request,
    todo: list[Slot],
    places: dict[Bend, list[Place]],
    journal: Journal,
    progress: Progress,
) -> None:
    crew = Crew.board(session, request)
    # One weather after the other: a server works longer on a new one than on a new place.
    for slot in sorted(todo, key=lambda slot: (request.weathers.index(slot.weather), slot.index)):
        _fill(session, request, slot, places, crew, journal)
        progress(len(journal.entries), request.frames)


def _load(session: Session, name: str) -> None:
    """Load a map by name or file; "" takes the world as it is."""
    if not name:
        session.synchronous()
    elif name.endswith(".xodr"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EdgeSegError(f"cannot read the map {name}: {error}") from error
        session.generate(text, name)
    else:
        session.load(name)


def _fill(
    session: Session,
    request: Request,
    slot: Slot,
    places: dict[Bend, list[Place]],
    crew: Crew,
    journal: Journal,
) -> None:
    """Take the slot's frame, at another place where a try is worth nothing."""
    skipped: list[str] = []
    for attempt in range(TRIES):
        shot = draw_shot(request, slot, places, attempt)
        around = crew.arrange(session, shot)
        frame, tags, metres = crew.take(session, request.settle_ticks)
        lanes = CLASS_OF_TAG[tags]
        picture = difference_hash(frame)
        wrong = fault(frame, lanes) or _seen_before(picture, journal)
        entry = Entry(
            slot=slot.index,
            map=Path(slot.map).stem or session.map_name,
            weather=slot.weather,
            light=light(find(slot.weather)),
            bend=slot.bend,
            camera=shot.camera,
            cars_around=around,
            skipped=tuple(skipped),
            picture=f"{picture:016x}",
        )
        if not wrong:
            mask = lanes if metres is None else SCALE.codes(metres)
            journal.add(entry, encode_image(frame), encode_mask(mask))
            return
        skipped.append(wrong)
    journal.add(msgspec.structs.replace(entry, skipped=tuple(skipped), picture=""))


def fault(frame: Frame, mask: Mask) -> str:
    """Return what is wrong with a frame (H, W, 3) BGR and its mask (H, W); "" where nothing is."""
    if np.count_nonzero(mask) < LEAST_ROAD * mask.size:
        return "no-road"
    verdict = image_statistics(frame).verdict
    return "" if verdict == "fine" else verdict


def _seen_before(picture: int, journal: Journal) -> str:
    near = any(
        hamming(picture, int(entry.picture, 16)) <= NEAR_DUPLICATE_BITS
        for entry in journal.entries.values()
        if entry.kept
    )
    return "near-duplicate" if near else ""


def _source(session: Session, request: Request) -> str:
    server = f"CARLA {session.client.get_server_version()}"
    known = {path.rpartition("/")[2] for path in session.client.get_available_maps()}
    if known.issuperset(shipped_maps()):  # no other server has all of them
        server = f"the built-in world, speaking as {server}"
    maps = ", ".join(Path(name).name for name in request.maps) or session.map_name
    return f"recorded by carla_bridge.recording: {server}, {maps}, seed {request.seed}"
