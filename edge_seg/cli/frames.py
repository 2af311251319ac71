"""``edge-seg frames``: make frame sets, look at them, check them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli import console

if TYPE_CHECKING:
    from rich.console import Console

    from edge_seg.frames import FrameSet
    from edge_seg.frames.check import Finding

app = typer.Typer(help="Frame sets: import, render, check, show.", no_args_is_help=True)

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="A folder, or a shipped set.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="The new set's folder.")]
NameOption = Annotated[str | None, typer.Option(help="The set's name (default: OUT's).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def check(frames: SetArgument, json: JsonOption = False) -> None:
    """Look for what makes a set bad to calibrate or measure on; exit 2 where it is unusable."""
    from edge_seg.frames import FrameSet

    opened = FrameSet.open(frames)
    findings = _findings(opened)
    if json:
        console.print_json({"name": opened.name, "findings": findings})
    else:
        _print_findings(findings, console.output)
        print(f"{opened.name}: {len(opened)} frames, {len(findings)} findings")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(2)


@app.command("import")
def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="index.csv, or images/ and masks/, or images.")
    ],
    out: OutArgument,
    name: NameOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What published data set FOLDER is: camvid, cityscapes, coco, coco-stuff, "
            "culane, isbi, nyuv2, nyuv2-13, nyuv2-depth, pets, tusimple, voc.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The data set's list: val, train, test, ...")
    ] = None,
    map_to: Annotated[
        str | None, typer.Option(metavar="lane", help="Give a data set's masks our own classes.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="road+lane, road_only or lane_only: what masks can judge.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Rows of this source in index.csv.")] = None,
    licence: Annotated[str | None, typer.Option(help="The terms the frames come under.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="What the masks' ids 0, 1, ... mean, as for pack."),
    ] = None,
    map: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Replace a mask value: --map 3=1.")
    ] = None,
    images_only: Annotated[bool, typer.Option("--images-only", help="Leave masks out.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first N frames.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a frame set from a folder of images with masks where there are, or a data set's."""
    from edge_seg.cli.options import parse_classes
    from edge_seg.frames.datasets import import_dataset
    from edge_seg.frames.importers import import_folder, parse_mask_map

    of_folders = {"--kind": kind, "--source": source, "--classes": classes, "--map": map}
    of_datasets = {"--split": split, "--map-to": map_to}
    _refuse_mixed(dataset, of_folders if dataset else of_datasets)
    with console.counted("importing") as step:
        if dataset is not None:
            made = import_dataset(
                folder,
                out,
                dataset,
                split=split,
                map_to=map_to,
                name=name,
                licence=licence,
                images_only=images_only,
                limit=limit,
                progress=step,
            )
        else:
            made = import_folder(
                folder,
                out,
                name=name,
                kind=kind,
                source=source,
                licence=licence,
                classes=parse_classes(classes),
                mask_map=parse_mask_map(map or []),
                images_only=images_only,
                limit=limit,
                progress=step,
            )
    # A folder's masks can be of any kind: say at once where they do not fit our classes.
    _print_findings(_findings(made), console.errors)
    _show(made, json)


@app.command("import-video")
def import_video_(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.")],
    out: OutArgument,
    name: NameOption = None,
    licence: Annotated[str, typer.Option(help="The terms the frames come under.")] = "unknown",
    every: Annotated[int, typer.Option(min=1, help="Take every N-th frame.")] = 1,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after N frames.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a frame set from a video, leaving out frames that nearly repeat the one before."""
    from edge_seg.frames.importers import import_video

    with console.counted("importing") as step:
        made = import_video(
            video,
            out,
            name=name,
            licence=licence,
            every=every,
            max_frames=max_frames,
            progress=step,
        )
    _show(made, json)


@app.command()
def render(
    out: OutArgument,
    count: Annotated[
        int, typer.Option("--frames", min=1, max=1_000_000, help="How many frames.")
    ] = 64,
    seed: Annotated[int, typer.Option(help="The same seed draws the same frames.")] = 0,
    width: Annotated[int, typer.Option(min=16, help="Pixels.")] = 640,
    height: Annotated[int, typer.Option(min=16, help="Pixels.")] = 480,
    map: Annotated[
        list[Path] | None,
        typer.Option(help="Take roads from this OpenDRIVE file; may be repeated."),
    ] = None,
    term: Annotated[
        list[str] | None,
        typer.Option(
            help="Strength of a scene term: night=0 never, rain=2 twice as often, fog always."
        ),
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 92,
    frames_per_scene: Annotated[
        int, typer.Option(min=1, max=64, help="Frames of each road, in other light; 1 is slowest.")
    ] = 4,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render; 0: one a core.")] = 0,
    name: NameOption = None,
    json: JsonOption = False,
) -> None:
    """Draw road frames with masks in the built-in world."""
    from edge_seg.errors import MissingRuntimeError
    from edge_seg.frames import FrameSet

    try:
        from carla_bridge.world.frame_sets import write_frame_set
        from carla_bridge.world.randomization import parse_terms
    except ImportError as error:
        raise MissingRuntimeError(
            f"rendering needs {error.name}: pip install 'edge-seg[carla]'"
        ) from error
    with console.counted("rendering") as step:
        write_frame_set(
            out,
            count,
            seed,
            width,
            height,
            name=name,
            maps=map or [],
            terms=parse_terms(term or []),
            quality=quality,
            frames_per_scene=frames_per_scene,
            workers=workers,
            progress=step,
        )
    _show(FrameSet.open(out), json)


@app.command()
def info(frames: SetArgument, json: JsonOption = False) -> None:
    """Show what a frame set is."""
    from edge_seg.frames import FrameSet

    _show(FrameSet.open(frames), json)


def _refuse_mixed(dataset: str | None, options: Mapping[str, object]) -> None:
    """Refuse options that say nothing about what is imported."""
    from edge_seg.errors import EdgeSegError

    given = [option for option, value in options.items() if value]
    if given:
        knows = "a published data set has its own" if dataset else "name one with --dataset"
        raise EdgeSegError(
            f"{' and '.join(given)} {'does not go' if dataset else 'goes'} with --dataset: {knows}"
        )


def _findings(frames: FrameSet) -> list[Finding]:
    from edge_seg.frames.check import check as check_frames

    with console.counted("checking") as step:
        return check_frames(frames, step)


def _print_findings(findings: list[Finding], where: Console) -> None:
    for finding in findings:
        colour = "red" if finding.level == "error" else "yellow"
        where.print(f"[{colour}]{finding.level}[/] {finding.code}: ", end="")
        where.print(finding.message, markup=False, soft_wrap=True)


def _show(frames: FrameSet, json: bool) -> None:
    facts = frames.describe()
    if json:
        console.print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name:<9} {', '.join(value) if isinstance(value, (tuple, list)) else value}")
