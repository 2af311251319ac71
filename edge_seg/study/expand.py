"""From a plan to the jobs that answer it.

    trainings, runs = expand(read_plan(path))

Everything that can be wrong with a plan is found here, before anything is run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edge_seg import engines
from edge_seg.errors import EdgeSegError, MissingRuntimeError, closest
from edge_seg.files import sha256_file
from edge_seg.frames import FrameSet
from edge_seg.frames.check import require_calibration_set
from edge_seg.frames.frameset import shipped_names
from edge_seg.models.registry import RANDOM, check_name, weights_of
from edge_seg.packing.methods import AUTO, METHODS, parse_method
from edge_seg.packing.request import check_fold
from edge_seg.study.check import (
    check_grid,
    check_lessons,
    check_loads,
    check_training,
    check_unfolded,
    naming,
)
from edge_seg.study.jobs import FLOAT_ENGINE, Frames, Run, Training, digest_of
from edge_seg.study.plan import Method, Plan, Row, Variant
from edge_seg.training.command import beginning
from edge_seg.training.settings import Settings

LEARNS = {"tune"}
"""The steps of a method with chance in them: such a method is run for every seed."""


def expand(plan: Plan) -> tuple[list[Training], list[Run]]:
    """Return a plan's trainings and runs, the float ones first; raises `EdgeSegError`."""
    calibration, evaluation = _frames(plan, "calibration"), _frames(plan, "evaluation")
    opened = evaluation.open()
    if not opened.has_masks:
        raise EdgeSegError(
            f"the evaluation set {opened.name} has frames without masks: accuracy needs them"
        )
    require_calibration_set(calibration.open())
    check_grid(plan)
    variants = _chosen(plan)
    rows = _rows(plan)
    used = {row.method for row in rows if row.precision == "int8"}
    check_lessons(plan, used, calibration.open().has_masks)
    trainings = [
        _training(plan, variant, seed, calibration)
        for variant in variants
        if variant.weights == "train"
        for seed in plan.grid.seeds
    ]
    by_place = {(t.variant, t.seed): t for t in trainings}
    floats: list[Run] = []
    others: list[Run] = []
    for variant in variants:
        for seed in _seeds(plan, variant):
            training = by_place.get((variant.name, seed))
            made = _Maker(plan, variant, seed, training, calibration, evaluation)
            floats.append(made.reference())
            if training is None:
                check_loads(floats[-1], opened.classes)
            others += made.runs(rows)
    runs = list({run.key: run for run in (*floats, *others)}.values())
    return trainings, runs


def _frames(plan: Plan, role: str) -> Frames:
    """Return a set of ``[data]``; a folder is looked for beside the file."""
    name: str = getattr(plan.data, role)
    beside = Path(plan.folder) / name
    here = name not in shipped_names() and beside.is_dir()
    place = str(beside.resolve()) if here else name
    with naming(f"data.{role}"):
        opened = FrameSet.open(place)
    return Frames(str(Path(place).resolve()) if Path(place).exists() else place, opened.digest)


def _chosen(plan: Plan) -> list[Variant]:
    by_name = {variant.name: variant for variant in plan.variants}
    if len(by_name) < len(plan.variants):
        raise EdgeSegError("two variants have one name: each record is found by it; rename one")
    for name in plan.grid.variants:
        if name not in by_name:
            raise EdgeSegError(f"grid.variants names no variant '{name}': {closest(name, by_name)}")
    chosen = [by_name[name] for name in plan.grid.variants or by_name]
    for variant in chosen:
        check_name(_model(plan, variant))
        if variant.weights == "train" and not plan.data.train:
            raise EdgeSegError(f"variant '{variant.name}' is trained: name the frames, data.train")
        if variant.weights != "train" and (variant.train or variant.options or variant.prune):
            raise EdgeSegError(
                f"variant '{variant.name}' has weights already: train, options and prune are for "
                'weights = "train"'
            )
    return chosen


def _seeds(plan: Plan, variant: Variant) -> tuple[int, ...]:
    """Return the seeds of a variant's float rows: one where nothing is trained."""
    return plan.grid.seeds if variant.weights == "train" else plan.grid.seeds[:1]


class _Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A row with nothing left out; only int8 has the last four."""

    engine: str
    precision: str
    method: str = "ptq"
    bits: int = 7
    per_channel: bool = True
    fold: bool = True


def _rows(plan: Plan) -> list[_Cell]:
    """Return the axes crossed, and the rows beside them; each once."""
    grid = plan.grid
    for name in grid.engines:
        engines.find(name)
    known = {p for name in grid.engines for p in engines.find(name).variants}
    for precision in grid.precisions if grid.engines else ():
        if precision not in known:
            raise EdgeSegError(f"unknown precision '{precision}': {closest(precision, known)}")
    crossed = [
        _cell(
            Row(
                engine=engine,
                precision=precision,
                method=method,
                bits=bits,
                per_channel=each,
                fold=fold,
            )
        )
        for engine, precision, method, each, bits, fold in itertools.product(
            grid.engines, grid.precisions, grid.methods, grid.per_channel, grid.bits, grid.fold
        )
        if precision in engines.find(engine).variants
    ]
    for row in grid.rows:
        having = engines.find(row.engine).variants
        if row.precision not in having:
            hint = closest(row.precision, having)
            raise EdgeSegError(f"engine '{row.engine}' has no precision '{row.precision}': {hint}")
    rows = [*crossed, *map(_cell, grid.rows)]
    if not rows:
        raise EdgeSegError("the grid has no rows: name engines, or rows")
    for cell in rows:
        if cell.precision == "int8":
            check_fold(method_of(plan, cell.method).base, cell.fold)
            if not cell.fold:
                check_unfolded(engines.find(cell.engine))
    return list(dict.fromkeys(rows))


def _cell(row: Row) -> _Cell:
    """Return a row with its defaults, and without what only int8 has where it is not."""
    if row.precision != "int8":
        return _Cell(engine=row.engine, precision=row.precision)
    return _Cell(
        engine=row.engine,
        precision=row.precision,
        method=row.method or "ptq",
        bits=row.bits or 7,
        per_channel=row.per_channel is not False,
        fold=row.fold is not False,
    )


def method_of(plan: Plan, name: str) -> Method:
    """Return a method with its base; raises `EdgeSegError` for one that there is not."""
    method = plan.methods.get(name, Method())
    if name in METHODS and method.base not in ("", name):
        raise EdgeSegError(
            f"methods.{name} is based on '{method.base}': call it something else, '{name}' has a "
            "meaning of its own"
        )
    base = method.base or name
    if AUTO in base.split("+"):
        raise EdgeSegError(
            f"method '{AUTO}' is for one pack: it stops at the first that holds; a study compares "
            f"those that it names ({', '.join(METHODS)}, joined by +)"
        )
    try:
        parse_method(base)
    except EdgeSegError:
        known = sorted({*METHODS, *plan.methods})
        where = f"methods.{name} is based on no method" if method.base else "unknown method"
        raise EdgeSegError(f"{where} '{base}': {closest(base, known)}") from None
    return msgspec.structs.replace(method, base=base)


def _training(plan: Plan, variant: Variant, seed: int, calibration: Frames) -> Training:
    train = variant.train
    if train is None:
        raise EdgeSegError(f"variant '{variant.name}' is trained: say how, train = {{steps = 500}}")
    height, width = _pixels(variant.size) or (256, 512)
    crop_height, crop_width = _pixels(train.crop) or (height, width)
    settings = Settings(
        model=variant.model,
        options=variant.options,
        loss=train.loss,
        class_weights=train.class_weights,
        steps=train.steps,
        batch=train.batch,
        lr=train.lr,
        seed=seed,
        height=height,
        width=width,
        crop_height=min(crop_height, height),
        crop_width=min(crop_width, width),
        augment=train.augment,
        prune=variant.prune,
    )
    with naming(f"variant '{variant.name}'"):
        settings = beginning(settings)
    job = Training(
        key=_key(variant.name, "train", f"s{seed}"),
        variant=variant.name,
        seed=seed,
        settings=settings,
        frames=_frames(plan, "train"),
        # The evaluation set judges the study: what a training looks at on its way is another.
        validation=calibration,
    )
    check_training(job)
    return job


class _Maker(msgspec.Struct, frozen=True):
    """What the runs of one variant and seed share."""

    plan: Plan
    variant: Variant
    seed: int
    training: Training | None
    calibration: Frames
    evaluation: Frames

    def reference(self) -> Run:
        """Return the float row."""
        return self._run(_Cell(engine=FLOAT_ENGINE, precision="float32"), self.seed)

    def runs(self, rows: Iterable[_Cell]) -> Iterator[Run]:
        """Yield a run for each row, and for each seed where the method has chance in it."""
        for row in rows:
            method = method_of(self.plan, row.method) if row.precision == "int8" else None
            seeds: tuple[int, ...] = (self.seed,)
            if self.training is None and method is not None and _learns(method):
                seeds = self.plan.grid.seeds
            for seed in seeds:
                yield self._run(row, seed)

    def _run(self, row: _Cell, seed: int) -> Run:
        weights, identity = self._weights()
        float_key = _key(self.variant.name, FLOAT_ENGINE, "float32", f"s{self.seed}")
        if row.precision != "int8":
            key = _key(self.variant.name, row.engine, row.precision, f"s{seed}")
            return self._filled(key, row, seed, weights, identity, float_key)
        method = method_of(self.plan, row.method)
        coarse = "" if row.bits == 7 else f"{row.bits}bit"
        grid = "" if row.per_channel else "tensor"
        fold = "" if row.fold else "unfolded"
        named = (self.variant.name, row.engine, row.precision, row.method, coarse, grid, fold)
        run = self._filled(_key(*named, f"s{seed}"), row, seed, weights, identity, float_key)
        return msgspec.structs.replace(
            run,
            method=row.method,
            base=method.base,
            ranges=method.ranges,
            learns=self.training is not None or _learns(method),
            bits=row.bits,
            per_channel=row.per_channel,
            fold=row.fold,
            lesson=method.lesson,
            labels=method.labels,
        )

    def _filled(
        self, key: str, row: _Cell, seed: int, weights: str, identity: str, reference: str
    ) -> Run:
        return Run(
            key=key,
            variant=self.variant.name,
            seed=seed,
            model=_model(self.plan, self.variant),
            weights=weights,
            identity=identity,
            training=self.training.key if self.training is not None else "",
            size=_pixels(self.variant.size),
            engine=row.engine,
            runtime=_runtime(row.engine),
            precision=row.precision,
            calibration=self.calibration,
            evaluation=self.evaluation,
            learns=self.training is not None,
            threads=self.plan.threads,
            reference=reference,
        )

    def _weights(self) -> tuple[str, str]:
        if self.training is not None:
            return self.training.output, digest_of(self.training)
        weights = self.variant.weights
        if weights in ("shipped", RANDOM):
            return weights, _own_identity(_model(self.plan, self.variant))
        path = Path(self.plan.folder) / weights
        if not path.exists():
            raise EdgeSegError(f"variant '{self.variant.name}': there are no weights at {path}")
        return str(path), sha256_file(path) if path.is_file() else ""


def _model(plan: Plan, variant: Variant) -> str:
    """Return a variant's model; a file is looked for beside the plan."""
    beside = Path(plan.folder) / variant.model
    return str(beside) if beside.suffix in (".onnx", ".pt2") and beside.is_file() else variant.model


def _own_identity(model: str) -> str:
    """Return what tells the weights that a model brings itself from what it brought before."""
    files = [Path(model)] if model.endswith((".onnx", ".pt2")) else [weights_of(model)]
    if ":" in model:  # the factory's module, found without running it
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(model.partition(":")[0])
            files = [Path(spec.origin)] if spec is not None and spec.origin else []
    return " ".join(sha256_file(file) for file in files if file.is_file())


def _learns(method: Method) -> bool:
    return not LEARNS.isdisjoint(parse_method(method.base))


def _runtime(engine: str) -> str:
    """Return the version that will run; a missing one fails in its own row."""
    try:
        return " ".join(engines.find(engine).here().installed_runtime()[:2])
    except MissingRuntimeError:
        return ""


def _pixels(size: str) -> tuple[int, int] | None:
    if not size:
        return None
    height, _, width = size.partition("x")
    return int(height), int(width)


def _key(*parts: str) -> str:
    """Return a name fit for a file's."""
    return "-".join(re.sub(r"[^A-Za-z0-9.+_]+", "-", part) for part in parts if part)
