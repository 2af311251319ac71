"""What a study compares: a TOML file, read into frozen structs.

plan = read_plan(Path("mine.toml"), quick=False)
plan.grid.methods            # ("ptq", "qat")

schema = "edge-seg/study-1"
[study]
name = "mine"
title = "What fine-tuning is worth"
[[variants]]
name = "lane"
model = "lane-unet"
[methods.long]               # a name for a method with a lesson of its own
base = "qat"
lesson = {steps = 400}
[grid]
engines = ["onnxruntime"]
methods = ["ptq", "long"]
[quick.methods.long]         # what --quick changes; a variant is named: [quick.variants.lane]
lesson = {steps = 20}
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edge_seg.errors import EdgeSegError, closest

SCHEMA = "edge-seg/study-1"

_SIZE = r"^([1-9]\d{1,4}x[1-9]\d{1,4})?$"
_SIZES = "a size is HEIGHTxWIDTH, such as 256x512"
_NAMES = "a name is of letters, digits and _ . + -, the first a letter or a digit, 61 at most"

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}$")]
Size = Annotated[str, msgspec.Meta(pattern=_SIZE)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Bits = Literal[1, 2, 3, 4, 7]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: a key that it does not know is an error."""


class About(_Table, frozen=True, kw_only=True):
    """``[study]``: the study's name (of its files, too), its title, and what it asks."""

    name: Name
    title: str
    question: str = ""


class Data(_Table, frozen=True, kw_only=True):
    """``[data]``: frame sets, by a shipped set's name or a folder beside the file.

    ``train`` is for variants that are trained. The others are those of ``edge-seg pack``.
    """

    calibration: str = "lane-mini"
    evaluation: str = "lane-test"
    train: str = ""


class Train(_Table, frozen=True, kw_only=True):
    """How a variant is trained; see ``edge-seg train --help``."""

    steps: Count = 2000
    batch: Count = 8
    lr: float = 2e-3
    loss: str = "ce+dice"
    class_weights: tuple[float, ...] = ()
    crop: Size = ""
    augment: bool = True


class Variant(_Table, frozen=True, kw_only=True):
    """``[[variants]]``: a network with its weights: "shipped", "random", a file, or "train".

    ``prune`` are shares of the channels that a lane-unet is trained without, as ``edge-seg train
    --prune``.
    """

    name: Name
    model: str
    weights: str = "shipped"
    options: dict[str, Any] = {}
    size: Size = ""
    train: Train | None = None
    prune: tuple[float, ...] = ()


class Lesson(_Table, frozen=True, kw_only=True):
    """How a method learns; what is left out is `edge_seg.quantize.learn.lesson.Settings`'s own.

    ``delay`` of the steps are taken in float before the grid is put on.
    """

    steps: Count | None = None
    delay: Annotated[int, msgspec.Meta(ge=0)] | None = None
    rate: float | None = None
    batch: Count | None = None


class Method(_Table, frozen=True, kw_only=True):
    """``[methods.NAME]``: one of ``pack --method`` with a lesson or ranges of its own.

    ``base`` is the method (``equalized+qat``), the same as the name where it is left out.
    ``ranges`` is the rule of the activations' ranges. With ``labels`` the calibration set's masks
    teach beside the float network's answers.
    """

    base: str = ""
    ranges: str = "minmax"
    lesson: Lesson | None = None
    labels: bool = False


class Row(_Table, frozen=True, kw_only=True):
    """One of ``grid.rows``; method, bits, per_channel and fold are for int8.

    Left out they are ptq, 7, true and true. ``fold`` says that layers take up their batch norm.
    """

    engine: str
    precision: str = "int8"
    method: str | None = None
    bits: Bits | None = None
    per_channel: bool | None = None
    fold: bool | None = None


class Grid(_Table, frozen=True, kw_only=True):
    """``[grid]``: axes that are crossed, and rows beside them; variants and seeds cross both.

    A float row of ONNX Runtime for every variant is always there.
    """

    variants: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = (0,)
    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("int8",)
    methods: tuple[str, ...] = ("ptq",)
    per_channel: tuple[bool, ...] = (True,)
    fold: tuple[bool, ...] = (True,)
    bits: tuple[Bits, ...] = (7,)
    rows: tuple[Row, ...] = ()


class Timing(_Table, frozen=True, kw_only=True):
    """``[timing]``: frames behind a row's p50 and p99; 0 times nothing."""

    frames: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 40


class Plan(_Table, frozen=True, kw_only=True):
    """A whole file. ``threads`` are an engine's, its own choice where there are none.

    ``quick`` holds what `read_plan` puts over the rest; ``folder`` is where the file is.
    """

    schema: str
    study: About
    data: Data = Data()
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=1)]
    methods: dict[Name, Method] = {}
    grid: Grid
    timing: Timing = Timing()
    threads: Count | None = None
    quick: dict[str, Any] = {}
    is_quick: bool = False
    folder: str = ""


_TABLES: dict[str, type[_Table]] = {
    "": Plan,
    "study": About,
    "data": Data,
    "variants": Variant,
    "variants.train": Train,
    "methods": Method,
    "methods.lesson": Lesson,
    "grid": Grid,
    "grid.rows": Row,
    "timing": Timing,
}


def shipped() -> dict[str, Path]:
    """Return the studies that come with this package, by name."""
    folder = Path(str(resources.files("edge_seg.study") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(name: str) -> Path:
    """Return the file of a study: a path that ends in .toml, or the name of a shipped one."""
    if name.endswith(".toml"):
        return Path(name)
    known = shipped()
    if name not in known:
        raise EdgeSegError(
            f"no study '{name}': name a .toml file or a shipped study; {closest(name, known)}"
        )
    return known[name]


def read_plan(path: Path, quick: bool = False) -> Plan:
    """Read a study's file; raises `EdgeSegError` that names the file and the key."""
    try:
        import tomllib  # Python 3.11; a device with 3.10 runs bundles and no studies
    except ModuleNotFoundError as error:
        raise EdgeSegError("edge-seg study needs Python 3.11 or newer") from error
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EdgeSegError(f"cannot read the study {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgeSegError(f"{path} is no TOML: {error}") from error
    for own in ("is_quick", "folder"):
        if own in table:
            raise EdgeSegError(f"{path} has an unknown key '{own}': take it out")
    _require_schema(table, path)
    changes = table.get("quick", {})
    if quick and isinstance(changes, dict):
        if not changes:
            raise EdgeSegError(f"{path} has no quick form: leave --quick out, or add [quick]")
        table = _overridden(table, changes, path)
    table |= {"is_quick": quick, "folder": str(path.resolve().parent)}
    try:
        return msgspec.convert(table, Plan)
    except msgspec.ValidationError as error:
        raise EdgeSegError(f"{path}: {_explained(str(error))}") from error


def _require_schema(table: dict[str, Any], path: Path) -> None:
    found = table.get("schema")
    if found != SCHEMA:
        says = f"is of schema {found!r}" if found else "says no schema"
        raise EdgeSegError(f'{path} {says}: this edge-seg reads schema = "{SCHEMA}"')


def _overridden(table: dict[str, Any], changes: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the table with the quick form over it: tables are merged, all else is replaced."""
    merged = dict(table)
    for key, value in changes.items():
        before = merged.get(key)
        if key == "variants" and isinstance(before, list) and isinstance(value, dict):
            merged[key] = _variants(before, value, path)
        elif isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _overridden(before, value, path)
        else:
            merged[key] = value
    return merged


def _variants(rows: list[Any], changes: dict[str, Any], path: Path) -> list[Any]:
    names = [row.get("name") for row in rows if isinstance(row, dict)]
    for name in changes:
        if name not in names:
            hint = closest(name, [str(known) for known in names])
            raise EdgeSegError(f"{path}: quick.variants names no variant '{name}': {hint}")
    return [
        _overridden(row, changes.get(str(row.get("name")), {}), path)
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def _explained(message: str) -> str:
    """Return msgspec's message; an unknown key gets the closest one beside it."""
    wrong = re.match(
        r"Expected `str` matching regex ('.+') - at (?:`key` in )?`\$\.(.*)`$", message
    )
    if wrong is not None:
        return f"{wrong[2]}: {_SIZES if wrong[1] == repr(_SIZE) else _NAMES}"
    match = re.match(r"Object contains unknown field `(.+?)`(?: - at `\$\.?(.*)`)?$", message)
    if match is None:
        return message.replace("`$.", "`")
    key, place = match[1], re.sub(r"\[[^]]*\]", "", match[2] or "")
    known = [field.name for field in msgspec.structs.fields(_TABLES.get(place, Plan))]
    names = [name for name in known if name not in ("is_quick", "folder")]
    where = f" in {place}" if place else ""
    return f"unknown key '{key}'{where}: {closest(key, names)}"
