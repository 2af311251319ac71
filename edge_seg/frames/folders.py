"""What a folder of pictures holds: rows of an index, images beside masks, or images alone.

    for row in find_rows(Path("road"), kind=None, source="camseq01"):
        row.image, row.mask, row.kind

See `edge_seg.frames.importers` for the layouts.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from edge_seg.errors import EdgeSegError, closest
from edge_seg.frames.items import inside
from edge_seg.frames.kinds import KINDS
from edge_seg.frames.sources import list_images


class Row(NamedTuple):
    """An image, its mask where it has one, what the mask can judge, and whose they are."""

    image: Path
    mask: Path | None
    kind: str
    source: str
    licence: str


def find_rows(folder: Path, kind: str | None, source: str | None) -> list[Row]:
    """Return the rows of a folder that are of this kind and source, in order.

    Raises `EdgeSegError` where there is no such folder, row or image, and for a broken index.
    """
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
        raise EdgeSegError(
            f"{folder} has neither index.csv, nor images/, nor images in it; "
            "a published data set is imported with --dataset"
        )
    masks: dict[str, Path] = {}
    if (folder / "masks").is_dir():
        masks = {path.stem: path for path in list_images(folder / "masks")[0]}
        if not masks.keys() & {path.stem for path in images}:
            raise EdgeSegError(
                f"no file in {folder / 'masks'} is named like an image: name masks as their images"
            )
    return [
        Row(path, masks.get(path.stem), kind or "", source or folder.resolve().name, "unknown")
        for path in images
    ]


def _read_index(index: Path) -> list[Row]:
    try:
        with index.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "file" not in columns:
                hint = closest("file", columns)
                raise EdgeSegError(f"{index} has no column 'file': {hint}")
            return [_row(row, index) for row in reader if row["file"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeSegError(f"cannot read {index}: {error}") from error


def _row(row: Mapping[str, str | None], index: Path) -> Row:
    mask = row.get("mask")
    return Row(
        inside(index.parent, row["file"] or "", index),
        inside(index.parent, mask, index) if mask else None,
        row.get("kind") or "",
        row.get("source") or index.parent.resolve().name,
        row.get("licence") or "unknown",
    )


def _select(rows: list[Row], index: Path, kind: str | None, source: str | None) -> list[Row]:
    for option, wanted, known in (
        ("kind", kind, {row.kind for row in rows}),
        ("source", source, {row.source for row in rows}),
    ):
        if wanted is not None and wanted not in known:
            raise EdgeSegError(f"{index} has no {option} {wanted!r}: {closest(wanted, known)}")
    chosen = [row for row in rows if kind in (None, row.kind) and source in (None, row.source)]
    if not chosen:
        raise EdgeSegError(f"{index} has no row of kind {kind!r} and source {source!r}")
    return chosen
