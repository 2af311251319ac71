"""``edge-seg train``: from frames with masks to a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.errors import EdgeSegError

if TYPE_CHECKING:
    from edge_seg.training.sources import Request, Source

SCENE = "Scene (--train scene)"
"""The help's heading over what is for rendered frames alone."""


def command(
    train: Annotated[
        str,
        typer.Option(help="What to learn from: a frame set (a folder or a name), or 'scene'."),
    ],
    val: Annotated[str, typer.Option(help="Frame set to measure on, of other roads.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")],
    model: Annotated[str, typer.Option(help="Which network (edge-seg models).")] = "lane-unet",
    option: Annotated[
        list[str] | None,
        typer.Option(help="A setting of the network, NAME=VALUE (base=32, up=bilinear)."),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="ce, focal, dice, lovasz, ce+dice (the default), ce+lovasz, focal+dice, bce, "
            "bce+dice; of depths mse, mse+ssim (the default)."
        ),
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="A weight for each class, with commas: 1,1,3.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 2000,
    batch: Annotated[int, typer.Option(help="Crops in a step.")] = 8,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of everything random.")] = 0,
    size: Annotated[str, typer.Option(help="The network's input, HEIGHTxWIDTH.")] = "256x512",
    crop: Annotated[
        str | None,
        typer.Option(
            help="What a step sees of it, HEIGHTxWIDTH (default: 192x384, at most all of it)."
        ),
    ] = None,
    scales: Annotated[str, typer.Option(help="Range of zoom of the crops.")] = "0.7,1.6",
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.998,
    start: Annotated[
        Path | None,
        typer.Option(help="Weights file to start from; without --option its network's options."),
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(
            help="First leave out this share of the channels of --start, or of the shipped "
            "weights: 0.25, or one for each size, the largest first, 0,0.5,0.25,0.25,0.25."
        ),
    ] = None,
    augment: Annotated[bool, typer.Option(help="Vary place, scale, light, colour.")] = True,
    altered: Annotated[
        float | None,
        typer.Option(
            help="Share of samples whose light and colour vary; 1, and 0.5 for 'scene', "
            "whose cameras vary already."
        ),
    ] = None,
    bf16: Annotated[
        bool, typer.Option(help="Compute in bfloat16: faster on GPUs and CPUs with AMX.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on with an unfinished training; of its settings only --lr may change."
        ),
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="Threads for torch; 0: its own choice.")] = 0,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="A kill loses at most about this much.")
    ] = 60.0,
    validate_every: Annotated[int, typer.Option(min=20, help="Steps between two looks.")] = 200,
    term: Annotated[
        list[str] | None,
        typer.Option(
            help="Strength of one random thing: night=0 never, rain=2 twice as often, fog always.",
            rich_help_panel=SCENE,
        ),
    ] = None,
    map: Annotated[
        list[Path] | None,
        typer.Option(help="Roads of this OpenDRIVE file; random without.", rich_help_panel=SCENE),
    ] = None,
    frame_size: Annotated[
        list[str] | None,
        typer.Option(
            help="Size of rendered frames, HEIGHTxWIDTH; each takes one of those given.",
            rich_help_panel=SCENE,
        ),
    ] = None,
    frames_per_scene: Annotated[
        int, typer.Option(min=1, help="Frames of each road.", rich_help_panel=SCENE)
    ] = 4,
    reuse: Annotated[
        int, typer.Option(min=1, help="Samples made of each frame.", rich_help_panel=SCENE)
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that render; cores less one.", rich_help_panel=SCENE),
    ] = None,
) -> None:
    """Train a model; beside the weights go a history (JSON) and its curves (PNG).

    SIGTERM and Ctrl-C keep a checkpoint; the same command with --resume goes on. On several
    GPUs: accelerate launch -m edge_seg.cli train ...
    """
    from edge_seg.cli.options import parse_size
    from edge_seg.training.command import (
        be_kind_to_memory_and_cores,
        crop_of,
        parse_options,
        parse_scales,
        parse_shares,
        parse_weights,
        prepare,
        spare_cores,
        start_of,
    )

    be_kind_to_memory_and_cores()
    from edge_seg.frames import FrameSet
    from edge_seg.training import sources
    from edge_seg.training.loop import Pace
    from edge_seg.training.loop import train as run
    from edge_seg.training.progress import describe, watch
    from edge_seg.training.pruning import pruned
    from edge_seg.training.settings import SIZES, Settings

    request = sources.Request(
        seed=seed,
        terms=tuple(term or ()),
        maps=tuple(map or ()),
        sizes=tuple(parse_size(text) for text in frame_size or ()) or SIZES,
        frames_per_scene=frames_per_scene,
        reuse=reuse,
        workers=workers or spare_cores(),
    )
    source, rendered = _source(train, request)
    height, width = parse_size(size)
    asked = None if crop is None else parse_size(crop)
    crop_height, crop_width = crop_of((height, width), asked)
    settings = Settings(
        model=model,
        options=parse_options(option or []),
        loss=loss or ("ce+dice" if source.classes.depth is None else "mse+ssim"),
        class_weights=parse_weights(class_weights),
        steps=steps,
        batch=batch,
        lr=lr,
        seed=seed,
        height=height,
        width=width,
        crop_height=crop_height,
        crop_width=crop_width,
        scales=parse_scales(scales),
        ema=ema,
        augment=augment,
        altered=(0.5 if rendered else 1.0) if altered is None else altered,
        bf16=bf16,
        prune=parse_shares(prune),
    )
    settings = prepare(settings, output, start, threads)
    with watch(steps) as report, pruned(start_of(settings, start), settings.prune) as begin:
        state = run(
            settings,
            source,
            FrameSet.open(val),
            output,
            start=begin,
            resume=resume,
            pace=Pace(checkpoint_seconds=checkpoint_seconds, validate_every=validate_every),
            report=report,
        )
    if state.history[-1].val_iou is not None:  # else another process of the team has it
        print(f"{output}: {describe(state.history[-1])}")


def _source(name: str, request: Request) -> tuple[Source, bool]:
    """Return the frames to train on, and whether they are rendered while it trains."""
    from edge_seg.frames import FrameSet
    from edge_seg.training import sources

    if name in sources.names():
        return sources.find(name)(request), True
    default = sources.Request(seed=request.seed, workers=request.workers)
    if request != default:
        raise EdgeSegError(
            "--term, --map, --frame-size, --frames-per-scene and --reuse are about rendered "
            "frames: --train scene"
        )
    return sources.FrameSetSource(FrameSet.open(name)), False
