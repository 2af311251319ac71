"""The end of a recording: its frames become a frame set, with a contact sheet.

    frames = write_set(journal, entries, Path("my_set"), source="...", licence="...")

Beside what the set's digest covers lie ``contact-sheet.jpg``, a look at what was recorded, and
``recording.json``: map, weather, bend and camera of each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from carla_bridge.recording.journal import Entry, Journal
from carla_bridge.recording.sheet import contact_sheet
from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.frames.images import encode_image, read_bytes, read_image, read_mask

SHEET, ABOUT = "contact-sheet.jpg", "recording.json"


def write_set(
    journal: Journal,
    entries: Sequence[Entry],
    goal: Path,
    source: str,
    licence: str,
    classes: ClassMap = LANE,
) -> FrameSet:
    """Make the frame set of the entries that have a frame, in the plan's order.

    ``classes`` says what their masks hold.
    """
    kept = [entry for entry in entries if entry.kept]
    if not kept:
        raise EdgeSegError(
            f"none of {len(entries)} places gave a frame to keep ({reasons(entries)}): "
            "try other maps, weathers or camera"
        )
    with FrameSetWriter(goal, goal.name, classes, licence, source) as writer:
        for entry in kept:
            path = journal.frame(entry.slot)
            mask = read_mask(journal.mask(entry.slot))
            writer.add_encoded(read_bytes(path), "jpg", read_image(path), mask, path.stem)
    frames = FrameSet.open(goal)
    labels = [f"{entry.map} {entry.weather} {entry.bend}" for entry in kept]
    write_bytes(goal / SHEET, encode_image(contact_sheet(frames, labels)))
    about = [{"id": f"{entry.slot:06d}", **msgspec.to_builtins(entry)} for entry in kept]
    write_bytes(goal / ABOUT, msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n")
    return frames


def reasons(entries: Sequence[Entry]) -> str:
    """Return why tries were not kept, in words: "3 near-duplicate, 1 dark"."""
    skipped = [why for entry in entries for why in entry.skipped]
    return ", ".join(f"{skipped.count(why)} {why}" for why in sorted(set(skipped)))
