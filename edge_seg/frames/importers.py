"""Frame sets from what people have: a folder with an index, images beside masks, a video.

    import_folder("road", "camseq", source="camseq01", kind="road+lane")
    import_folder("dataset", "mine", mask_map={3: 1, 7: 2})
    import_folder("dataset", "theirs", classes=model.classes)
    import_video("drive.mp4", "drive", every=30)

`import_folder` knows three layouts, and takes the first that fits:

- ``index.csv`` with the columns ``file``, ``mask``, and where there are, ``kind``, ``source``
  and ``licence``; paths are relative to the folder, an empty mask means none;
- ``images/`` and ``masks/``, paired by file name without the ending;
- images, without masks.

``kind`` says what the masks can judge (`edge_seg.frames.kinds`), and becomes the set's
``scored``. Published data sets in their own layouts: `edge_seg.frames.datasets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from edge_seg.classes import IGNORE, LANE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.folders import Row, find_rows
from edge_seg.frames.frameset import FrameSet
from edge_seg.frames.images import read_mask
from edge_seg.frames.items import Item, Progress, Size, clean, write_items
from edge_seg.frames.kinds import labels_of
from edge_seg.frames.sources import VideoSource, open_source
from edge_seg.frames.statistics import NEAR_DUPLICATE_BITS, difference_hash, hamming
from edge_seg.frames.writer import FrameSetWriter
from edge_seg.preprocess import Mask

__all__ = ["Progress", "import_folder", "import_video", "parse_mask_map"]


def import_folder(
    folder: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    kind: str | None = None,
    source: str | None = None,
    licence: str | None = None,
    classes: ClassMap | None = None,
    mask_map: Mapping[int, int] | None = None,
    images_only: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> FrameSet:
    """Write the frame set ``out`` from a folder and return it.

    With an index, ``kind`` and ``source`` select rows; without one, ``kind`` says what the
    masks can judge and ``source`` where they come from. ``classes`` says what the ids in the
    masks mean (default: `LANE`). ``mask_map`` replaces ids in the masks ({3: 1}: 3 becomes 1),
    others stay. ``images_only`` leaves masks out; ``limit`` takes the first frames only. JPEG and
    PNG files are copied byte for byte.
    Raises `EdgeSegError` where nothing is selected, kinds are mixed or judge classes that
    ``classes`` lacks, a mask holds an id that is none of them, or a file is broken; nothing is
    left of ``out`` then.
    """
    folder, out, classes = Path(folder), Path(out), classes or LANE
    rows = find_rows(folder, kind, source)[:limit]
    if images_only:
        rows = [row._replace(mask=None, kind="unlabelled") for row in rows]
    labels = labels_of((row.kind for row in rows if row.mask is not None), classes)
    writer = FrameSetWriter(
        out,
        name=name or out.name,
        classes=classes,
        licence=licence or _join(row.licence for row in rows),
        source=_join(row.source for row in rows),
        scored=labels.scored,
        merge=labels.merge,
    )
    items = list(_items(rows, _mask_table(mask_map or {}, classes)))
    with writer:
        write_items(writer, items, progress)
    return FrameSet.open(out)


def import_video(
    video: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    licence: str = "unknown",
    every: int = 1,
    max_frames: int | None = None,
    progress: Progress | None = None,
) -> FrameSet:
    """Write the frame set ``out`` from every ``every``-th frame of a video and return it.

    Frames that nearly repeat the last one kept (a car at a red light) are left out. Stops
    after ``max_frames`` frames. Frames are stored as JPEG of quality 92, without masks.
    """
    if every < 1 or (max_frames is not None and max_frames < 1):
        raise EdgeSegError("--every and --max-frames count frames: both must be 1 or more")
    out = Path(out)
    if Path(video).is_dir():
        raise EdgeSegError(f"{video} is a folder: import its images with `edge-seg frames import`")
    source = open_source(video)
    if not isinstance(source, VideoSource):
        raise EdgeSegError(f"{video} is no video: import images with `edge-seg frames import`")
    last: int | None = None
    with FrameSetWriter(
        out, name=name or out.name, licence=licence, source=Path(video).name
    ) as writer:
        for index, (id, frame) in enumerate(source):
            if index % every == 0:
                fingerprint = difference_hash(frame)
                if last is None or hamming(fingerprint, last) > NEAR_DUPLICATE_BITS:
                    # The stem alone: a long name must not lose the number that tells frames apart.
                    stem, _, number = id.rpartition("-")
                    writer.add(frame, id=f"{clean(stem)}-{number}")
                    last = fingerprint
            if progress is not None:
                progress(index + 1, source.count)
            if len(writer) == max_frames:
                break
    return FrameSet.open(out)


def parse_mask_map(options: Iterable[str]) -> dict[int, int]:
    """Return {3: 1} for ["3=1"].

    >>> parse_mask_map(["3=1", "7=255"])
    {3: 1, 7: 255}
    """
    pairs = {}
    for option in options:
        match = re.fullmatch(r"\s*(\d{1,3})\s*=\s*(\d{1,3})\s*", option)
        if match is None:
            raise EdgeSegError(f"--map {option!r} is not OLD=NEW: write it as in --map 3=1")
        pairs[int(match[1])] = int(match[2])
    return pairs


def _items(rows: Iterable[Row], table: Mask) -> Iterator[Item]:
    """Yield the items with different ids: a file's name, with a number where that repeats."""
    used: set[str] = set()
    for row in rows:
        id = stem = clean(row.image.stem)
        number = 2
        while id in used:
            id = f"{stem}-{number}"
            number += 1
        used.add(id)
        yield Item(id, row.image, row.mask, read_mask=partial(_mapped, table))


def _mapped(table: Mask, path: Path, size: Size) -> Mask:
    return table[read_mask(path)]


def _mask_table(mask_map: Mapping[int, int], classes: ClassMap) -> Mask:
    table = np.arange(IGNORE + 1, dtype=np.uint8)
    for old, new in mask_map.items():
        if not (0 <= old <= IGNORE and (0 <= new < len(classes) or new == IGNORE)):
            raise EdgeSegError(
                f"--map {old}={new}: ids are 0..255, and become 0..{len(classes) - 1} "
                f"({', '.join(classes.names)}) or 255 for ignore"
            )
        table[old] = new
    return table


def _join(words: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(words))
