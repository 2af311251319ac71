"""``edge-seg pack``: a model in, a measured bundle out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

GRID = "Quantization"
"""The help's heading over the grid and the methods."""


def command(
    target: Annotated[str, typer.Option(help="Kind of device (edge-seg targets).")] = "x86",
    device: Annotated[
        str, typer.Option(help="The device itself, where the target knows several (orin-nano).")
    ] = "",
    dla: Annotated[
        bool, typer.Option("--dla", help="Jetson: run on its deep learning accelerator, float16.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(help="A name (edge-seg models), package.module:factory, .pt2 or .onnx."),
    ] = "lane-unet",
    weights: Annotated[
        str | None, typer.Option(help="Weights file, or a transformers folder or hub id.")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Network input, such as 256x512.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Subtracted from a frame scaled to 0..1.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Divided by, after the mean.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Names of the model's outputs.")
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="Frame set for activation ranges: at least 32 distinct frames.")
    ] = "lane-mini",
    evaluation: Annotated[
        str, typer.Option("--eval", help="Frame set with masks that decides.")
    ] = "lane-test",
    engine: Annotated[
        str, typer.Option(help="auto, or a comma-separated list of engines that may win.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="auto, or a comma-separated list: int8, float16, bfloat16, dynamic, w8, w4, w8a16."
        ),
    ] = "auto",
    max_drop: Annotated[
        float, typer.Option(min=0, help="Points of mean IoU that may be lost.")
    ] = 0.5,
    max_class_drop: Annotated[
        float, typer.Option(min=0, help="Points of IoU that any one class may lose.")
    ] = 1.0,
    max_ms: Annotated[
        float | None,
        typer.Option(min=0, help="Most that a frame's median may take on this machine."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="How weights meet the integer grid: ptq, equalized, observers, rounding, qat, "
            "several joined by +, or auto: the cheapest that holds the gate."
        ),
    ] = "ptq",
    observer: Annotated[
        str,
        typer.Option(
            help="Range of an activation: minmax, moving-average, percentile, mse, entropy.",
            rich_help_panel=GRID,
        ),
    ] = "minmax",
    per_tensor: Annotated[
        bool,
        typer.Option("--per-tensor", help="One scale for a layer's weights.", rich_help_panel=GRID),
    ] = False,
    weight_bits: Annotated[
        int,
        typer.Option(
            help="Levels of a weight, in bits: 7, 4, 3, 2, 1; stored as bytes all the same.",
            rich_help_panel=GRID,
        ),
    ] = 7,
    no_fold: Annotated[
        bool,
        typer.Option(
            "--no-fold",
            help="Leave batch norm as a float operator behind each int8 layer.",
            rich_help_panel=GRID,
        ),
    ] = False,
    qat_steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Steps of fine-tuning (default: 100).", rich_help_panel=GRID
        ),
    ] = None,
    delay: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="Steps in float before fine-tuning quantizes; they need --labels.",
            rich_help_panel=GRID,
        ),
    ] = 0,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="Fine-tune on the calibration set's masks too.",
            rich_help_panel=GRID,
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Threads an engine may use (default: all cores)."),
    ] = None,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="Run the bundle on the target's emulated processors too."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Default: MODEL-TARGET.edgeseg."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON here.")] = None,
    sign: Annotated[
        Path | None, typer.Option(help="Ed25519 private key (PEM) to sign the bundle with.")
    ] = None,
) -> None:
    """Quantize a model for a target and pack the fastest engine that holds the accuracy gate."""
    from edge_seg.bundle.container import is_bundle
    from edge_seg.bundle.manifest import Gate
    from edge_seg.bundle.signature import load_private_key
    from edge_seg.cli import console
    from edge_seg.cli.options import parse_classes, parse_names, parse_size, parse_std, parse_triple
    from edge_seg.errors import EdgeSegError, GateMissedError
    from edge_seg.files import require_apart, require_writable
    from edge_seg.frames import FrameSet
    from edge_seg.models import registry
    from edge_seg.packing.request import (
        check_device,
        check_fold,
        check_gate,
        check_grid,
        check_lesson,
        check_names,
    )
    from edge_seg.steps import Steps
    from edge_seg.target import find

    # What is quick to refuse comes first: loading a model takes seconds.
    kind = find(target)
    engines, precisions = parse_names(engine), parse_names(precision)
    options = {"dla": True} if dla else {}
    check_names(kind, engines, precisions, method)
    check_grid(observer, weight_bits)
    check_fold(method, fold=not no_fold)
    check_lesson(method, delay, labels, () if qat_steps is None else ("--qat-steps",))
    allowed = Gate(max_drop, max_class_drop, max_p50_ms=max_ms)
    check_gate(allowed)
    check_device(kind, device, options)
    registry.check_name(model)
    inputs = [Path(name) for name in (model, weights, sign, calibration, evaluation) if name]
    module, _, _ = model.partition(":")
    inputs.append(Path(module.replace(".", "/") + ".py"))
    require_apart([goal for goal in (out, json) if goal], inputs)
    for goal in filter(None, (json, out)):
        require_writable(goal)
    if out and out.exists() and not is_bundle(out):
        raise EdgeSegError(
            f"{out} exists and is no bundle: it is not replaced; name another with -o"
        )
    key = load_private_key(sign) if sign else None
    calibration_set, evaluation_set = FrameSet.open(calibration), FrameSet.open(evaluation)

    from edge_seg.cli.tables import tournament_table
    from edge_seg.packer import Request, pack, record
    from edge_seg.packing.request import NothingPackedError, record_of_nothing
    from edge_seg.quantize.learn.lesson import Settings
    from edge_seg.quantize.recipe import Weights

    steps = Steps(console.tell, console.track, console.running)
    with steps("load") as step:
        loaded = registry.load(
            model,
            weights,
            parse_size(input_size) if input_size else None,
            parse_classes(classes),
            parse_triple(mean),
            parse_std(std),
        )
        step.detail = f"{loaded.name}, {loaded.input.height}x{loaded.input.width}"
    request = Request(
        model=loaded,
        target=kind,
        calibration=calibration_set,
        evaluation=evaluation_set,
        output=out or Path(f"{loaded.name}-{kind.name}.edgeseg"),
        engines=engines,
        precisions=precisions,
        gate=allowed,
        method=method,
        observer=observer,
        weights=Weights(weight_bits, not per_tensor),
        fold_batch_norm=not no_fold,
        lesson=Settings(steps=qat_steps or Settings().steps, delay=delay),
        labels=labels,
        device=device,
        options=options,
        threads=threads,
        prove=prove,
        signing_key=key,
        command=shlex.join(["edge-seg", *sys.argv[1:]]),
    )
    try:
        with console.resumable():
            result = pack(request, steps)
    except NothingPackedError as error:
        if json:
            console.write_json(json, record_of_nothing(request, error.candidates, steps))
        console.output.print(tournament_table(error.candidates))
        raise
    if json:
        console.write_json(json, record(result))
    console.output.print(tournament_table(result.manifest.candidates))
    for line in result.warnings:
        console.errors.print(f"warning: {line}", markup=False, soft_wrap=True)
    if not result.held:
        raise GateMissedError(result.message)
    console.output.print(result.message, markup=False, soft_wrap=True)
