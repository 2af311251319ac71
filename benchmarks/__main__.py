"""``python -m benchmarks``: measure, print, and keep the JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.entrant import Entrant
from benchmarks.training_commands import compare_losses, compare_networks, transfer
from edge_seg.cache import Cache
from edge_seg.figures import figure
from edge_seg.files import write_bytes
from edge_seg.frames import FrameSet
from edge_seg.machine import this_machine
from edge_seg.models.registry import shipped
from edge_seg.packing.contents import tool_versions

RESULTS = Path(__file__).parent / "results"
METHODS_OF = ["lane-unet", "deeplabv3plus-mobilenetv2"]

app = typer.Typer(no_args_is_help=True)
for command in (transfer, compare_networks, compare_losses):
    app.command()(command)
console = Console()


@app.command()
def pipelines(
    frames: Annotated[int, typer.Option(help="Frames timed for each entrant.")] = 100,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "x86-pipelines.json",
) -> None:
    """Time each model's packed bundle against each engine's usual pipeline, interleaved."""
    from benchmarks.pipelines import compare, show

    results = {}
    with tempfile.TemporaryDirectory() as place:
        for name in shipped():
            record = str(RESULTS / f"pack-{name}.json")
            results[name] = compare(name, _pack(name, Path(place), "--json", record), frames)
            show(name, results[name])
    _keep(out, {"frame": "480x640 uint8 BGR", "models": results})


@app.command()
def photographs(
    folder: Annotated[Path, typer.Argument(help="A folder with index.csv: see the README.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A labelled frame set to score besides.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="One that ships; repeatable. All if none.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "photographs.json",
) -> None:
    """Score float and int8 on labelled photographs, per source."""
    from benchmarks.photographs import score

    others = [FrameSet.open(name) for name in sets or []]
    with tempfile.TemporaryDirectory() as place:
        bundles = {name: _pack(name, Path(place)) for name in models or shipped()}
        results = {name: score(name, bundle, folder, others) for name, bundle in bundles.items()}
    for name, rows in results.items():
        table = Table(title=name)
        for column in ("source", "frames", "kind", "class", "float IoU", "int8 IoU", "int8 F1"):
            table.add_column(column)
        for row in rows:
            for label, iou in row["int8"].get("iou", {}).items():
                table.add_row(
                    row["source"],
                    str(row["frames"]),
                    row["kind"],
                    label,
                    *(figure(v) for v in (row["float"]["iou"][label], iou)),
                    figure(row["int8"]["boundary_f1"].get(label)),
                )
        console.print(table)
    _keep(out, {"models": results})


@app.command()
def footprint(
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "footprint.json",
) -> None:
    """Measure import time, the memory of a run, and how long a pack takes, cold and cached."""
    imports = [_seconds([sys.executable, "-c", "import edge_seg"]) for _ in range(9)]
    bare = [_seconds([sys.executable, "-c", "pass"]) for _ in range(9)]
    result: dict = {"import_edge_seg_s": float(np.median(imports) - np.median(bare))}
    with tempfile.TemporaryDirectory() as place:
        for name in shipped():
            bundle = Path(place) / f"{name}.edgeseg"
            command = _pack_command(name, bundle)
            environment = {"XDG_CACHE_HOME": str(Path(place) / name)}
            cold = _seconds(command, environment)
            cached = _seconds(command, environment)
            with Entrant("bundle", str(bundle), name, "lane-mini", "lane-test") as entrant:
                entrant.time(200)
                memory = entrant.memory()
            result[name] = {"pack_cold_s": cold, "pack_cached_s": cached, "run_rss_bytes": memory}
    console.print_json(data=result)
    _keep(out, result)


@app.command()
def raspberry_pi(
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "raspberry-pi.json",
) -> None:
    """Pack both models for a Raspberry Pi, prove them, and time LiteRT here."""
    from benchmarks.raspberry_pi import against_bare, prove

    result = {}
    with tempfile.TemporaryDirectory() as place:
        for name in shipped():
            bundle, seconds = _pack_cold(name, "raspberry-pi", Path(place))
            result[name] = {"pack_cold_s": seconds, **against_bare(bundle), **prove(bundle)}
    console.print_json(data=result)
    _keep(out, {"models": result})


@app.command()
def jetson(
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "jetson.json",
) -> None:
    """Pack both models for a Jetson, build their graphs, and run them in x86's engines."""
    from benchmarks.jetson import built, on_x86

    result = {}
    with tempfile.TemporaryDirectory() as place:
        for name in shipped():
            bundle, seconds = _pack_cold(name, "jetson", Path(place))
            x86 = {}
            for engine in ("onnxruntime", "openvino"):
                folder = Path(place) / engine
                folder.mkdir(exist_ok=True)
                x86[engine] = _pack(name, folder, "--engine", engine)
            result[name] = {
                "pack_cold_s": seconds,
                "built": built(bundle),
                "on_x86": on_x86(bundle, x86),
            }
    console.print_json(data=result)
    _keep(out, {"models": result})


@app.command()
def ros(
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 20.0,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "ros.json",
) -> None:
    """Time the ROS 2 node with both models at 30 Hz and under twice the load it can take."""
    from benchmarks.ros import measure
    from benchmarks.ros_tables import load_table, stages_table

    with tempfile.TemporaryDirectory() as place:
        models = {name: measure(_pack(name, Path(place)), seconds) for name in shipped()}
    print(stages_table(models), load_table(models), sep="\n\n")
    _keep(out, {"models": models})


@app.command()
def ros_picture(
    bundle: Annotated[Path, typer.Argument(help="What the node runs.")],
    seconds: Annotated[float, typer.Option(help="Of the run that is drawn.")] = 12.0,
    out: Annotated[Path, typer.Option("-o", "--output")] = Path("docs/images/ros.jpg"),
) -> None:
    """Draw the README's picture: the node on the built-in world."""
    from benchmarks.ros_picture import draw

    draw(bundle, out, seconds)


@app.command()
def ros_soak(
    bundle: Annotated[Path, typer.Argument(help="What the node runs.")],
    seconds: Annotated[float, typer.Option(help="How long.")] = 1800.0,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "ros-soak.json",
) -> None:
    """Run the ROS 2 node at 30 Hz for half an hour: its memory, /dev/shm, and what it lost."""
    from benchmarks.ros import soak
    from benchmarks.ros_tables import soak_words

    record = soak(bundle, seconds)
    print(soak_words(record))
    _keep(out, record)


@app.command()
def pictures(
    out: Annotated[Path, typer.Option("-o", "--output")] = Path("docs/images/masks.jpg"),
) -> None:
    """Draw the README's picture with the shipped model's bundle."""
    from benchmarks.pictures import masks_over_frames

    with tempfile.TemporaryDirectory() as place:
        masks_over_frames(_pack("lane-unet", Path(place)), out)
    console.print(f"kept as {out}")


@app.command()
def scene(
    scenes: Annotated[int, typer.Option(help="Scenes driven through in each weather.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames timed in each.")] = 40,
    count: Annotated[int, typer.Option(help="Frames of the set that is written.")] = 240,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "scene.json",
) -> None:
    """Time the built-in scene: a camera that drives, and writing a training set."""
    from benchmarks.scene import measure

    result = measure(scenes, frames, count)
    console.print_json(data=result)
    _keep(out, result)


@app.command()
def sheet(
    out: Annotated[Path, typer.Option("-o", "--output")] = Path("docs/images/scene.jpg"),
) -> None:
    """Draw the contact sheet of the built-in scene."""
    from benchmarks.scene import contact_sheet

    contact_sheet(out)
    console.print(f"kept as {out}")


@app.command()
def calibration(
    folder: Annotated[Path, typer.Argument(help="Where frames are rendered, or are from before.")],
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "calibration.json",
    picture: Annotated[Path, typer.Option()] = Path("docs/images/calibration.png"),
) -> None:
    """Measure each engine's drop by the number and kind of calibration frames."""
    from benchmarks.calibration import study
    from benchmarks.calibration_table import plot

    runs = []
    for name in shipped():
        for row in study(name, folder, Cache()):
            console.print(f"{name} {row['kind']} {row['frames']} {row['draw']} {row['engine']}")
            runs.append(row)
    _keep(out, {"runs": runs})
    plot({"runs": runs}, picture)


@app.command()
def methods(
    models: Annotated[
        list[str], typer.Option("--model", help="One that ships; repeatable.")
    ] = METHODS_OF,
    out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "methods.json",
) -> None:
    """Compare the methods of pack: drops by engine and grid, agreement with the simulation."""
    from benchmarks.methods import compare

    runs = []
    with tempfile.TemporaryDirectory() as place:  # nothing cached: the seconds are a method's own
        for name in models:
            for row in compare(name, Cache(Path(place))):
                console.print(
                    f"{name}, {row['grid']}, {row['method']}, {row['engine']}: "
                    f"{row['sqnr_db']:.1f} dB, drop {row['drop']:.2f}, agrees "
                    f"{row['agreement']:.2f} %, {row['seconds']:.0f} s"
                )
                runs.append(row)
    _keep(out, {"runs": runs})


@app.command()
def light(out: Annotated[Path, typer.Option("-o", "--output")] = RESULTS / "light.json") -> None:
    """Pack lane-unet and lane-unet-light for x86, and time one beside the other."""
    from benchmarks.light import compare

    with tempfile.TemporaryDirectory() as place:
        _keep(out, compare(lambda name, *options: _pack(name, Path(place), *options)))


@app.command()
def drive(
    folder: Annotated[Path, typer.Argument(help="What edge-seg drive -o wrote.")],
) -> None:
    """Keep a bundle's drive and a picture of it, or that of perfect masks, for the tables."""
    from benchmarks.drive import LABELS, kept, shown
    from benchmarks.pictures import masks_of_a_drive

    record = kept(folder)
    if record["results"]["request"]["driver"] == LABELS:
        _keep(RESULTS / "drive-labels.json", record)
        return
    _keep(RESULTS / "drive.json", record)
    masks_of_a_drive(folder, shown(folder), RESULTS.parents[1] / "docs/images/drive.jpg")


@app.command()
def readme(path: Annotated[Path, typer.Argument()] = Path("README.md")) -> None:
    """Put the figures of the results into the README's tables."""
    from benchmarks.readme import filled

    write_bytes(path, filled(path.read_text(), RESULTS).encode())


def _pack(model: str, folder: Path, *options: str) -> Path:
    bundle = folder / f"{model}.edgeseg"
    # From inside the folder, so that the record names no place of this machine.
    command = [*_pack_command(model, Path(bundle.name)), *options]
    subprocess.run(command, check=True, cwd=folder)
    return bundle


def _pack_cold(model: str, target: str, folder: Path) -> tuple[Path, float]:
    """Pack with nothing cached, keep the record; return the bundle and the seconds it took."""
    bundle = folder / f"{model}.edgeseg"
    record = RESULTS / f"pack-{target}-{model}.json"
    options = ["--target", target, "--json", str(record)]
    command = [*_pack_command(model, Path(bundle.name)), *options]
    return bundle, _seconds(command, {"XDG_CACHE_HOME": str(folder / model)}, str(folder))


def _pack_command(model: str, bundle: Path) -> list[str]:
    return [sys.executable, "-m", "edge_seg.cli", "pack", "--model", model, "-o", str(bundle)]


def _seconds(
    command: list[str], environment: dict[str, str] | None = None, folder: str | None = None
) -> float:
    import os

    start = perf_counter()
    env = {**os.environ, **(environment or {})}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env, cwd=folder)
    return perf_counter() - start


def _keep(out: Path, result: dict) -> None:
    record = {
        "machine": msgspec.to_builtins(this_machine()),
        "versions": tool_versions(),
        **result,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, json.dumps(record, indent=1).encode() + b"\n")
    console.print(f"kept as {out}")


if __name__ == "__main__":
    app()
