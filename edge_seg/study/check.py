"""What makes no sense in a plan, refused in one line before anything is run.

    check_grid(plan)
    check_lessons(plan, used={"ptq", "long"}, has_masks=True)
    check_loads(run, classes)                # the network of a row, weights and size with it

A row that must fail would otherwise say so after the hours that the others took.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from edge_seg.classes import ClassMap, require_same
from edge_seg.engines import Engine
from edge_seg.errors import EdgeSegError, closest
from edge_seg.models import registry
from edge_seg.packing.request import check_lesson
from edge_seg.quantize.observers import RULES
from edge_seg.study.jobs import Run, Training
from edge_seg.study.plan import Grid, Plan, Row

AXES = ("variants", "seeds", "engines", "precisions", "methods", "per_channel", "fold", "bits")
FOR_INT8 = ("methods", "per_channel", "fold", "bits")


def check_grid(plan: Plan) -> None:
    """Refuse what is named twice, and what nothing would come of; raises `EdgeSegError`."""
    grid = plan.grid
    for axis in AXES:
        _refuse_twice(f"grid.{axis}", [str(value) for value in getattr(grid, axis)])
    for row in grid.rows:
        named = [name for name in ("method", "bits", "per_channel", "fold") if _says(row, name)]
        if row.precision != "int8" and named:
            raise EdgeSegError(
                f"grid.rows: {row.engine} {row.precision} names {' and '.join(named)}, which only "
                "int8 has: take it out"
            )
    _refuse_twice("grid.rows", [_words(row) for row in grid.rows])
    if not grid.engines:
        _refuse_unused(("precisions", *FOR_INT8), grid, "is crossed with grid.engines: name some")
    elif "int8" not in grid.precisions:
        _refuse_unused(FOR_INT8, grid, "is for int8, which grid.precisions has not")


def check_unfolded(engine: Engine) -> None:
    """Refuse rows with batch norm left where it is on an engine that cannot leave it."""
    if engine.from_module:
        raise EdgeSegError(
            f"fold = false is not for {engine.name}: its toolchain starts from the PyTorch module "
            "and folds batch norm by itself; name the others in grid.rows, each with fold = false"
        )


def _says(row: Row, name: str) -> bool:
    return getattr(row, name) is not None


def _words(row: Row) -> str:
    """Return what tells a row from every other."""
    said = [row.engine, row.precision]
    if row.precision == "int8":
        grid = "per tensor" if row.per_channel is False else "per channel"
        said += [row.method or "ptq", f"{row.bits or 7} bit", grid]
        said += [] if row.fold is not False else ["not folded"]
    return " ".join(said)


def _refuse_twice(place: str, values: Sequence[str]) -> None:
    value, count = next(iter(Counter(values).most_common(1)), ("", 0))
    if count > 1:
        raise EdgeSegError(f"{place} has {value} {count} times: name it once")


def _refuse_unused(axes: Sequence[str], grid: Grid, why: str) -> None:
    for axis in axes:
        if getattr(grid, axis) != getattr(Grid(), axis):
            raise EdgeSegError(f"grid.{axis} {why}, or take it out")


def check_lessons(plan: Plan, used: Collection[str], has_masks: bool) -> None:
    """Refuse methods that no row uses, and lessons that would teach nothing.

    ``used`` are the methods of the rows; ``has_masks`` says it of the calibration set's frames. The
    quick form may do without a method of the whole one, but not change one that it does not use.
    """
    wanted = plan.quick.get("methods", {}) if plan.is_quick else plan.methods
    for name in wanted:
        if name not in used:
            raise EdgeSegError(
                f"no row uses methods.{name}: {closest(name, used)}; name it in the grid, or take "
                "it out"
            )
    for name in used:
        method = plan.methods.get(name)
        if method is None:
            continue
        if method.ranges not in RULES:
            hint = closest(method.ranges, RULES)
            raise EdgeSegError(f"methods.{name} has no range rule '{method.ranges}': {hint}")
        delay = (method.lesson.delay if method.lesson else 0) or 0
        rate = method.lesson.rate if method.lesson else None
        if rate is not None and not 0 < rate < math.inf:
            raise EdgeSegError(f"methods.{name}: lesson.rate is above 0, such as 0.002, not {rate}")
        with naming(f"methods.{name}"):
            given = ("lesson",) if method.lesson else ()
            check_lesson(method.base or name, delay, method.labels, given)
        if method.labels and not has_masks:
            raise EdgeSegError(
                f"methods.{name} learns from labels, and the calibration set has frames without "
                "masks: name another in data.calibration, or leave labels out"
            )


def check_loads(run: Run, classes: ClassMap) -> None:
    """Load a row's network once, as its run will: a wrong file, option or size is found here."""
    with naming(f"variant '{run.variant}'"):
        model = registry.load(
            run.model, None if run.weights == "shipped" else run.weights, run.size
        )
        require_same(
            classes,
            model.classes,
            ("the evaluation set", "the model"),
            "name another in data.evaluation, or another model",
        )


def check_training(job: Training) -> None:
    """Build a training's network once, without numbers, and hold its frames against each other."""
    import torch

    from edge_seg.models.architectures import architecture
    from edge_seg.training.loop import require_fitting
    from edge_seg.training.sources import FrameSetSource
    from edge_seg.training.state import config_of

    settings = job.settings
    with naming(f"variant '{job.variant}'"):
        settings.check()
        source, validation = FrameSetSource(job.frames.open()), job.validation.open()
        require_fitting(settings, source, validation)
        count = len(validation.classes)
        config_of(settings, count, settings.height, settings.width).check()
        crop = config_of(settings, count, settings.crop_height, settings.crop_width)
        with torch.device("meta"):
            architecture(settings.model).build(crop)


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Say what is at fault before the message of an `EdgeSegError`."""
    try:
        yield
    except EdgeSegError as error:
        raise EdgeSegError(f"{what}: {error}") from error
