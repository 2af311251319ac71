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

``kind`` says what the masks can judge (`KINDS`), and becomes the set's ``scored``. Its words
are about the project's own classes; masks of other classes are labelled fully, or not at all.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from edge_seg.classes import IGNORE, LANE, ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.frames.frameset import FrameSet
from edge_seg.frames.headers import read_header
from edge_seg.frames.images import decode_image, encode_image, read_bytes, read_mask
from edge_seg.frames.sources import VideoSource, list_images, open_source
from edge_seg.frames.statistics import NEAR_DUPLICATE_BITS, difference_hash, hamming
from edge_seg.frames.writer import FrameSetWriter
from edge_seg.preprocess import Frame, Mask

Progress = Callable[[int, int | None], None]
"""Called with (frames done, frames in all, or None where nobody knows)."""


class Labels(NamedTuple):
    """Which classes a kind of mask can judge, and which prediction counts as which class."""

    scored: tuple[str, ...] | None
    merge: dict[str, str]


KINDS = {
    "road+lane": Labels(None, {}),
    # Paint lies on the road and is labelled as road: predicting it is no mistake.
    "road_only": Labels(("road",), {"lane_marking": "road"}),
    "lane_only": Labels(("lane_marking",), {}),
    "unlabelled": Labels(None, {}),
}
"""What the words in the ``kind`` column mean; no word means fully labelled."""


class _Item(NamedTuple):
    image: Path
    mask: Path | None
    kind: str
    source: str
    licence: str


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
    items = _find(folder, kind, source)[:limit]
    if images_only:
        items = [item._replace(mask=None, kind="unlabelled") for item in items]
    labels = _labels(items, classes)
    writer = FrameSetWriter(
        out,
        name=name or out.name,
        classes=classes,
        licence=licence or _join(item.licence for item in items),
        source=_join(item.source for item in items),
        scored=labels.scored,
        merge=labels.merge,
    )
    table = _mask_table(mask_map or {}, classes)
    with writer:
        for index, (item, id) in enumerate(zip(items, _identifiers(items), strict=True)):
            payload, suffix, image = _image_file(item.image)
            mask = None if item.mask is None else _mask_of(item, image, table)
            try:
                writer.add_encoded(payload, suffix, image, mask, id)
            except EdgeSegError as error:
                raise EdgeSegError(f"{item.mask or item.image}: {error}") from None
            if progress is not None:
                progress(index + 1, len(items))
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
                    writer.add(frame, id=f"{_clean(stem)}-{number}")
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


def _find(folder: Path, kind: str | None, source: str | None) -> list[_Item]:
    if not folder.is_dir():
        raise EdgeSegError(
            f"{folder} is a file: name the folder that it is in"
            if folder.exists()
            else f"no such folder: {folder}"
        )
    index = folder / "index.csv"
    if index.exists():
        return _select(_read_index(index), index, kind, source)
    if kind is not None and kind not in KINDS:
        raise EdgeSegError(f"unknown kind {kind!r}: {closest(kind, KINDS)}")
    paired = (folder / "images").is_dir()
    images, _ = list_images(folder / "images" if paired else folder)
    if not images:
        raise EdgeSegError(f"{folder} has neither index.csv, nor images/, nor images in it")
    masks: dict[str, Path] = {}
    if (folder / "masks").is_dir():
        masks = {path.stem: path for path in list_images(folder / "masks")[0]}
        if not masks.keys() & {path.stem for path in images}:
            raise EdgeSegError(
                f"no file in {folder / 'masks'} is named like an image: name masks as their images"
            )
    return [
        _Item(path, masks.get(path.stem), kind or "", source or folder.resolve().name, "unknown")
        for path in images
    ]


def _read_index(index: Path) -> list[_Item]:
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "file" not in columns:
                hint = closest("file", columns)
                raise EdgeSegError(f"{index} has no column 'file': {hint}")
            return [_item(row, index) for row in reader if row["file"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeSegError(f"cannot read {index}: {error}") from error


def _item(row: Mapping[str, str | None], index: Path) -> _Item:
    def inside(name: str) -> Path:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise EdgeSegError(f"{index}: {name!r} leads out of the folder: refused")
        return index.parent / pure

    mask = row.get("mask")
    return _Item(
        inside(row["file"] or ""),
        inside(mask) if mask else None,
        row.get("kind") or "",
        row.get("source") or index.parent.resolve().name,
        row.get("licence") or "unknown",
    )


def _select(items: list[_Item], index: Path, kind: str | None, source: str | None) -> list[_Item]:
    for option, wanted, known in (
        ("kind", kind, {item.kind for item in items}),
        ("source", source, {item.source for item in items}),
    ):
        if wanted is not None and wanted not in known:
            raise EdgeSegError(f"{index} has no {option} {wanted!r}: {closest(wanted, known)}")
    chosen = [item for item in items if kind in (None, item.kind) and source in (None, item.source)]
    if not chosen:
        raise EdgeSegError(f"{index} has no row of kind {kind!r} and source {source!r}")
    return chosen


def _labels(items: list[_Item], classes: ClassMap) -> Labels:
    """Return what the masks of all items can judge; refuse kinds that judge differently."""
    kinds = Counter(item.kind for item in items if item.mask is not None)
    unknown = [kind for kind in kinds if kind and kind not in KINDS]
    if unknown:
        raise EdgeSegError(f"unknown kind {unknown[0]!r}: {closest(unknown[0], KINDS)}")
    found = [KINDS.get(kind, KINDS["road+lane"]) for kind in kinds]
    if any(labels != found[0] for labels in found):
        counts = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
        raise EdgeSegError(
            f"masks of different kinds cannot be scored together: {counts}; "
            "choose with --kind or --source, or leave masks out with --images-only"
        )
    for kind, labels in zip(kinds, found, strict=True):
        _check_kind(kind, labels, classes)
    return found[0] if found else KINDS["unlabelled"]


def _check_kind(kind: str, labels: Labels, classes: ClassMap) -> None:
    """Refuse a kind that speaks of classes which the map does not have."""
    meant = dict.fromkeys((*(labels.scored or ()), *labels.merge, *labels.merge.values()))
    lacking = [name for name in meant if name not in classes.names]
    if lacking:
        raise EdgeSegError(
            f"masks of kind {kind!r} judge {' and '.join(meant)}, and {', '.join(classes.names)} "
            f"has no {' and no '.join(lacking)}: name them in --classes, or leave the kind out "
            "(--kind, or the column in index.csv), which scores every class"
        )


def _identifiers(items: list[_Item]) -> Iterator[str]:
    """Yield a different id for every item: its file's name, with a number where that repeats."""
    used: set[str] = set()
    for item in items:
        id = stem = _clean(item.image.stem)
        number = 2
        while id in used:
            id = f"{stem}-{number}"
            number += 1
        used.add(id)
        yield id


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", text[:1]) + re.sub(r"[^A-Za-z0-9_.+-]", "_", text[1:120])


def _image_file(path: Path) -> tuple[bytes, str, Frame]:
    """Return a file's bytes to store, their ending, and the frame in them."""
    payload = read_bytes(path)
    image = decode_image(payload, path)
    header = read_header(payload)
    suffix = {"jpeg": "jpg", "png": "png"}.get(header.format if header else "")
    return (payload, suffix, image) if suffix else (encode_image(image, "png"), "png", image)


def _mask_of(item: _Item, image: Frame, table: Mask) -> Mask:
    mask = read_mask(str(item.mask))
    if mask.shape != image.shape[:2]:
        raise EdgeSegError(
            f"{item.mask} is {mask.shape[1]}x{mask.shape[0]}, but its image {item.image.name} is "
            f"{image.shape[1]}x{image.shape[0]}: masks must have the image's size"
        )
    return table[mask]


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
