"""``edge-seg record``: labelled frames from a CARLA server, or from the built-in world."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli import console
from edge_seg.errors import EdgeSegError, NoSpaceError

if TYPE_CHECKING:
    from carla_bridge.recording.recorder import Recording

OWN_SETTLE_TICKS, FOREIGN_SETTLE_TICKS = 1, 5
"""Each picture of the built-in world stands for itself; a real server's exposure and its
anti-aliasing remember earlier frames, and need some to forget another place."""


def command(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="The new set.")],
    frames: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")] = 500,
    host: Annotated[
        str | None, typer.Option(help="A CARLA server; without, the built-in world is started.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65534, help="Its port (2000); implies localhost.")
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE.xodr",
            help="May be repeated; default: all built-in maps, or what a server has loaded.",
        ),
    ] = None,
    weather: Annotated[
        list[str] | None,
        typer.Option(help="rain, fog-night, ...; may be repeated; default: each sky at each hour."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plans the same frames.")] = 0,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels.")] = "640x480",
    fov: Annotated[float, typer.Option(help="Degrees across the width.")] = 60.0,
    camera: Annotated[
        str, typer.Option(metavar="HEIGHT,PITCH", help="Metres above the road; degrees, up is +.")
    ] = "1.4,0",
    traffic: Annotated[int, typer.Option(min=0, max=100, help="Most cars around.")] = 8,
    settle: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Ticks at each place (1; 5 with --host or --port)."),
    ] = None,
    depth: Annotated[
        bool, typer.Option("--depth", help="Masks hold distances, not road and markings.")
    ] = False,
    licence: Annotated[str | None, typer.Option(help="The terms the frames come under.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a call may take.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Record frames with masks, spread over maps, weather, light and bends.

    The same command again goes on where a recording was cut off.
    """
    from carla_bridge.client.session import SensorError, Session, SimulatorError
    from carla_bridge.recording.journal import working_folder
    from carla_bridge.recording.plan import Request
    from carla_bridge.recording.recorder import record
    from carla_bridge.world.shipped_maps import names

    own = host is None and port is None
    width, height = _parse_size(size)
    camera_height_m, camera_pitch_deg = _parse_camera(camera)
    request = Request(
        frames=frames,
        seed=seed,
        maps=tuple(map or (names() if own else ())),
        weathers=_known(weather),
        width=width,
        height=height,
        fov_deg=fov,
        camera_height_m=camera_height_m,
        camera_pitch_deg=camera_pitch_deg,
        traffic=traffic,
        settle_ticks=settle or (OWN_SETTLE_TICKS if own else FOREIGN_SETTLE_TICKS),
        truth="depth" if depth else "segmentation",
    )
    terms = licence or ("Apache-2.0" if own else "unknown")
    if out.exists():
        raise EdgeSegError(f"{out} exists already: remove it or choose another name")
    with (
        _server(host, port) as (at_host, at_port),
        Session.connect(at_host, at_port, timeout) as session,
        console.counted("recording") as step,
    ):
        try:
            recording = record(session, request, out, terms, step)
        except (SimulatorError, SensorError, NoSpaceError) as error:
            kept = f"what was recorded is kept in {working_folder(out)}"
            error.args = (f"{error} ({kept}: the same command goes on there)",)
            raise
        except KeyboardInterrupt:
            console.errors.print(
                f"what was recorded is kept in {working_folder(out)}: the same command goes on",
                markup=False,
            )
            raise
    _show(recording, json)


@contextlib.contextmanager
def _server(host: str | None, port: int | None) -> Iterator[tuple[str, int]]:
    """Yield the address of the server that was named, or of a world that ends with this block."""
    if host is not None or port is not None:
        yield host or "127.0.0.1", port or 2000
        return
    from carla_bridge.world.server.start import WorldProcess

    with console.running("starting the built-in world"):
        world = WorldProcess()
    with world:
        yield world.host, world.port


def _known(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the weathers asked for, each once; all of the grid where none is."""
    from carla_bridge.client.weathers import GRID, find

    for name in names or ():
        find(name)
    return tuple(dict.fromkeys(names or GRID))


def _parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of ``640x480``."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise EdgeSegError(f"'{text}' is no size: write width x height, such as 640x480")
    return int(match[1]), int(match[2])


def _parse_camera(text: str) -> tuple[float, float]:
    """Return metres and degrees of ``1.4,-2``."""
    try:
        height_m, pitch_deg = (float(part) for part in text.split(","))
    except ValueError:
        height_m = pitch_deg = math.nan
    if not (0.2 <= height_m <= 10.0 and -60.0 <= pitch_deg <= 60.0):
        raise EdgeSegError(
            f"'{text}' is no camera: write its height in metres (0.2 to 10) and its pitch in "
            "degrees (-60 to 60), such as 1.4,-2"
        )
    return height_m, pitch_deg


def _show(recording: Recording, json: bool) -> None:
    from carla_bridge.recording.summary import summarize
    from edge_seg.frames.check import check

    with console.counted("checking") as step:
        findings = check(recording.frames, step)
    counts = summarize(recording.entries)
    if json:
        record = {**recording.frames.describe(), "recorded": counts, "findings": findings}
        console.print_json(record)
        return
    for group, numbers in counts.items():
        line = ", ".join(f"{number} {name}" for name, number in numbers.items())
        print(f"{group.replace('_', ' '):<12} {line or 'none'}")
    for finding in findings:
        print(f"{finding.level}: {finding.message}")
    print(f"{recording.frames.path}: {len(recording.frames)} frames, digest "
          f"{recording.frames.digest[:12]}")  # fmt: skip
