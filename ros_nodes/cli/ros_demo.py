"""``edge-seg ros-demo``: the ROS 2 node at work on this machine, on ROS from pip's wheels alone."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli import console
from edge_seg.cli.options import Trust
from edge_seg.errors import EdgeSegError, MissingRuntimeError

if TYPE_CHECKING:
    from rich.table import Table

    from ros_nodes.demo import Demo, Numbers

START_S = 90.0
"""For the first mask: the world draws its town, the network is opened."""
REDRAW_S = 0.5
PICTURES = (".jpg", ".png")
LARGEST = 16384
"""Pixels; what `lane_camera` takes."""


def command(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Default: lane-unet, packed once (minutes)."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Camera: video, folder, frame set, camera:0, world:Town. Default: the built-in "
            "world, without the extra 'carla' the shipped frames.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=120, help="Frames a second.")] = 10.0,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the frames.")] = "640x480",
    seconds: Annotated[
        float, typer.Option(min=0, help="How long, from the first mask on; 0: until ctrl-C.")
    ] = 15.0,
    picture: Annotated[
        Path, typer.Option("-o", "--out", help="The last frame with its mask.")
    ] = Path("ros-demo.jpg"),
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Run camera, node and listener as three ROS 2 processes, and show the node's numbers live."""
    require_ros()
    from edge_seg.bundle.archive import open_bundle
    from edge_seg.files import require_writable, write_bytes
    from edge_seg.frames.images import encode_image
    from edge_seg.segmenter import require_runnable
    from ros_nodes.demo import running

    width, height = _size(size)
    require_writable(picture)
    chosen = _default_source() if source is None else source
    if not chosen:
        raise EdgeSegError("--source is empty: a video, a folder, camera:0, world:Town")
    if picture.suffix.lower() not in PICTURES:
        raise EdgeSegError(f"{picture} is no name for a picture: end it in {' or '.join(PICTURES)}")
    packed = bundle or packed_bundle()
    require_runnable(open_bundle(packed), trust)
    with running(packed, chosen, rate, (width, height), trust) as demo:
        numbers = _show(demo, seconds, json)
    if demo.picture is not None:
        write_bytes(picture, encode_image(demo.picture, picture.suffix.lower().lstrip(".")))
        console.errors.print(f"the last frame with its mask: {picture}", markup=False)
    if json:
        console.print_json(numbers)
    else:
        console.output.print(table(numbers), soft_wrap=True)


def require_ros() -> None:
    """Raise `MissingRuntimeError` where rclpy is missing, with the way to get it."""
    if find_spec("rclpy") is None:
        raise MissingRuntimeError(
            "there is no ROS 2 here: pip install 'edge-seg[ros]' (x86_64), or source your "
            "distribution's setup.bash"
        )


def packed_bundle() -> Path:
    """Return a bundle of the shipped model, packed for this machine at the first call."""
    import platformdirs

    import edge_seg

    path = platformdirs.user_cache_path("edge-seg") / f"lane-{edge_seg.__version__}.edgeseg"
    if path.exists():
        return path
    if find_spec("torch") is None:
        raise EdgeSegError(
            "which bundle? edge-seg ros-demo lane.edgeseg; `edge-seg pack` makes one, where "
            "'edge-seg[pack]' is installed"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    console.errors.print(f"packing lane-unet for this machine, once: {path}", markup=False)
    pack = ["pack", "--target", "x86", "--engine", "openvino", "--precision", "int8"]
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", *pack, "-o", str(path)], stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise EdgeSegError("packing failed: the lines above say why; name a bundle instead")
    return path


def _show(demo: Demo, seconds: float, json: bool) -> Numbers:
    """Listen until the time is over, or ctrl-C; draw on a terminal."""
    from rich.live import Live

    with console.running("starting camera and node"):
        _first_mask(demo)
    end = monotonic() + seconds if seconds else float("inf")
    shown = console.errors.is_terminal and not json
    with Live(console=console.errors, transient=True, auto_refresh=False) as live:
        try:
            while monotonic() < end:
                demo.spin(min(REDRAW_S, end - monotonic()))
                if shown:
                    live.update(table(demo.numbers()), refresh=True)
        except KeyboardInterrupt:
            pass  # what was measured until now is shown
    return demo.numbers()


def _first_mask(demo: Demo) -> None:
    end = monotonic() + START_S
    while not demo.masks:
        demo.spin(REDRAW_S)
        if demo.failed or monotonic() > end:
            said = demo.numbers().diagnostics or f"no mask in {START_S:.0f} s"
            raise EdgeSegError(f"the node: {said}")


def table(numbers: Numbers) -> Table:
    """Return the numbers as they are shown."""
    from rich.table import Table

    shown = Table(
        title=f"{numbers.bundle} ({numbers.engine}) on {numbers.source}",
        caption=f"last second: {numbers.camera_hz:.1f} frames, {numbers.masks_hz:.1f} masks\n"
        f"in all: {numbers.frames} frames, {numbers.masks} masks, {numbers.dropped} dropped for "
        f"newer ones, {numbers.lost} lost\n"
        f"diagnostics: {numbers.diagnostics}",
        min_width=72,
    )
    for name in ("stage", "p50, ms", "p99, ms"):
        shown.add_column(name, justify="left" if name == "stage" else "right")
    rows = {**numbers.stages_ms, "stamp to listener": numbers.heard_ms}
    for stage, (p50, p99) in rows.items():
        style = "bold" if stage == "total" else ""
        shown.add_row(stage, f"{p50:.2f}", f"{p99:.2f}", style=style)
    return shown


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise EdgeSegError(f"'{text}' is no size: write width x height, such as 640x480")
    width, height = int(match[1]), int(match[2])
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
        raise EdgeSegError(f"--size {text}: each side is 1 to {LARGEST}")
    return width, height


def _default_source() -> str:
    return "world:Town" if find_spec("carla") else "lane-test"
