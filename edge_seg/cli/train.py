"""``edge-seg train``: from a frame set with masks to a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    train: Annotated[str, typer.Option(help="Frame set to learn from: a folder or a name.")],
    val: Annotated[str, typer.Option(help="Frame set to measure on, of other roads.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")],
    model: Annotated[str, typer.Option(help="Which network.")] = "lane-unet",
    option: Annotated[
        list[str] | None,
        typer.Option(help="A setting of the network, NAME=VALUE (base=32, up=bilinear)."),
    ] = None,
    loss: Annotated[str, typer.Option(help="ce, dice, ce+dice, bce or bce+dice.")] = "ce+dice",
    class_weights: Annotated[
        str, typer.Option(help="A weight for each class, with commas: 1,1,3.")
    ] = "",
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 2000,
    batch: Annotated[int, typer.Option(help="Crops in a step.")] = 8,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of everything random.")] = 0,
    size: Annotated[str, typer.Option(help="The network's input, HEIGHTxWIDTH.")] = "256x512",
    crop: Annotated[str, typer.Option(help="What a step sees of it, HEIGHTxWIDTH.")] = "192x384",
    scales: Annotated[str, typer.Option(help="Range of zoom of the crops.")] = "0.7,1.6",
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.998,
    start: Annotated[Path | None, typer.Option(help="Weights file to start from.")] = None,
    augment: Annotated[bool, typer.Option(help="Vary place, scale, light, colour.")] = True,
    altered: Annotated[
        float, typer.Option(help="Share of samples whose light and colour vary.")
    ] = 1.0,
    bf16: Annotated[
        bool, typer.Option(help="Compute in bfloat16: faster where the CPU has AMX.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an unfinished training.")] = False,
    threads: Annotated[int, typer.Option(min=0, help="Threads for torch; 0: its own choice.")] = 0,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="A kill loses at most about this much.")
    ] = 60.0,
) -> None:
    """Train a model; beside the weights go a history (JSON) and its curves (PNG)."""
    from edge_seg.cli.options import parse_size
    from edge_seg.training.command import (
        let_threads_sleep,
        parse_options,
        parse_scales,
        parse_weights,
        prepare,
    )

    let_threads_sleep()
    from edge_seg.frames import FrameSet
    from edge_seg.training.loop import Pace
    from edge_seg.training.loop import train as run
    from edge_seg.training.progress import describe, watch
    from edge_seg.training.settings import Settings

    height, width = parse_size(size)
    crop_height, crop_width = parse_size(crop)
    settings = Settings(
        model=model,
        options=parse_options(option or []),
        loss=loss,
        class_weights=parse_weights(class_weights),
        steps=steps,
        batch=batch,
        lr=lr,
        seed=seed,
        height=height,
        width=width,
        crop_height=min(crop_height, height),
        crop_width=min(crop_width, width),
        scales=parse_scales(scales),
        ema=ema,
        augment=augment,
        altered=altered,
        bf16=bf16,
    )
    settings = prepare(settings, output, start, threads)
    with watch(steps) as report:
        state = run(
            settings,
            FrameSet.open(train),
            FrameSet.open(val),
            output,
            start=start,
            resume=resume,
            pace=Pace(checkpoint_seconds=checkpoint_seconds),
            report=report,
        )
    print(f"{output}: {describe(state.history[-1])}")
