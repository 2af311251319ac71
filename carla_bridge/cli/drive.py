"""``edge-seg drive``: how a bundle drives, closed loop, as late as its device would be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli import console
from edge_seg.cli.options import Threads, Trust
from edge_seg.errors import EdgeSegError, GateMissedError

if TYPE_CHECKING:
    from carla_bridge.evaluation.evaluate import DriveAll
    from carla_bridge.evaluation.plan import Plan
    from carla_bridge.evaluation.record import Results, Run


def command(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE|labels", help="What drives; labels: perfect masks.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Results, report and video.")
    ] = Path("drive-result"),
    vs: Annotated[
        str | None,
        typer.Option(
            metavar="float|labels|ros|PATH",
            help="Drive this too and compare. ros: the bundle in a ROS 2 node that is started; "
            "ros:/NAME: in one that runs.",
        ),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Milliseconds (55), normal:80,10, a .json of edge-seg bench, a device in the "
            "bundle, or an estimate: pi5, pi4, jetson-orin-nano. Default: the bundle's own.",
        ),
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Also drive each route at latencies up to 0.8 s.")
    ] = False,
    map: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE.xodr", help="May be repeated; default: all that ship."),
    ] = None,
    routes: Annotated[
        str, typer.Option(metavar="N,A-B", help="Routes of each map by number.")
    ] = "0",
    length: Annotated[float, typer.Option(min=50, max=20_000, help="Metres of a route.")] = 150.0,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Times each, started apart.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same results.")] = 0,
    speed: Annotated[float, typer.Option(min=5, max=130, help="km/h, where bends allow.")] = 30.0,
    weather: Annotated[str, typer.Option(help="rain, fog-night, ...")] = "clear-noon",
    traffic: Annotated[
        int, typer.Option(min=0, max=500, help="Cars that follow lanes; no driver brakes for them.")
    ] = 0,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the camera.")] = "512x384",
    fov: Annotated[float, typer.Option(help="The camera's degrees across the width.")] = 75.0,
    host: Annotated[
        str | None, typer.Option(help="A CARLA server; without, built-in worlds are started.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65534, help="Its port (2000); implies localhost.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a server may take.")] = 20.0,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Worlds side by side.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Drive on a Ray cluster (auto: the one here; local: one of its own).",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Exit 3 where the driving score is lower, at any latency."
        ),
    ] = None,
    attach: Annotated[bool, typer.Option("--attach", help="Add the result to the bundle.")] = False,
    sign: Annotated[
        Path | None, typer.Option(help="With --attach: Ed25519 private key (PEM) to sign with.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a drive that was cut off.")
    ] = False,
    no_video: Annotated[
        bool, typer.Option("--no-video", help="Keep no pictures and make no video.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="With --vs float: the float model's, if not shipped.")
    ] = None,
    threads: Threads = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Drive routes by the bundle's masks, answered as late as its device would, and score it.

    Same seed, same results. See report.html in the folder.
    """
    from carla_bridge.evaluation.evaluate import evaluate
    from carla_bridge.evaluation.jobs import Camera, Server
    from carla_bridge.evaluation.plan import Options, make_plan
    from carla_bridge.report import write
    from edge_seg import attach as attaching
    from edge_seg.bundle.signature import load_private_key

    if sign and not attach:
        raise EdgeSegError("--sign signs what --attach writes: give both, or `pack --sign`")
    if attach and bundle == "labels":
        raise EdgeSegError("--attach adds to a bundle, and 'labels' is none: name a bundle")
    key = load_private_key(sign) if sign else None
    if attach:
        attaching.require_rewritable(Path(bundle), key)
    width, height = _size(size)
    own = host is None and port is None
    if not own and jobs > 1:
        raise EdgeSegError(
            "one server drives one job at a time: leave out --jobs, --host and --port"
        )
    plan = make_plan(
        Options(
            driver=bundle,
            versus=vs,
            latency=latency,
            curve=curve,
            maps=tuple(map or ()),
            routes=parse_routes(routes),
            repeat=repeat,
            seed=seed,
            speed_kmh=speed,
            weather=weather,
            traffic=traffic,
            length_m=length,
            camera=Camera(width=width, height=height, fov_deg=fov),
            server=Server(
                host=None if own else host or "127.0.0.1", port=port or 2000, timeout_s=timeout
            ),
            film=not no_video,
            weights=weights,
            trust=trust,
            threads=threads,
        )
    )
    try:
        with console.counted("driving") as step:
            results = evaluate(plan, out, _drive_all(plan, out, jobs, ray), resume, _teller(step))
    except KeyboardInterrupt:
        console.errors.print(
            f"what was driven is kept in {out}: the same with --resume goes on", markup=False
        )
        raise
    write(results, out)
    require_driven(results, out)
    if attach:
        from carla_bridge.evaluation.driven import driven_of

        assert plan.bundle is not None
        attaching.attach_driven(Path(bundle), plan.bundle.digest, driven_of(results), key)
        console.errors.print(f"added to {bundle}", markup=False)
    _show(results, out, json)
    require_score(results, min_score)


def parse_routes(text: str) -> tuple[int, ...]:
    """Return the numbers in ``0-4,7``, each once, in order; 0 to 9999.

    >>> parse_routes("0-2,7,1")
    (0, 1, 2, 7)
    """
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise EdgeSegError(
                f"'{text}' are no routes: write numbers and ranges from 0 to 9999, such as 0-4,7"
            )
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise EdgeSegError(f"'{text}' is no size: write width x height, such as 640x480")
    return int(match[1]), int(match[2])


def _drive_all(plan: Plan, out: Path, jobs: int, ray: str | None) -> DriveAll:
    if ray is not None:
        from carla_bridge.evaluation.ray_jobs import on_ray

        return on_ray(plan, out, ray)
    from carla_bridge.evaluation.evaluate import on_this_machine

    return on_this_machine(plan, out, jobs)


def _teller(step: Callable[[int, int | None], None]) -> Callable[[Run, int, int], None]:
    """Return what prints a line for each run, on stderr, and moves the bar."""

    def tell(run: Run, done: int, total: int) -> None:
        metrics = run.metrics
        how = f"{run.status}{f': {run.reason}' if run.reason else ''}"
        figures = (
            f"{metrics.completion:.0f} %, {metrics.departures} departures, "
            f"p95 {metrics.cross_track_p95_m:.2f} m"
            if metrics
            else run.detail
        )
        console.errors.print(
            f"  [dim]{run.times.wall_s:6.1f} s[/]  ", f"{run.key}: {how}; {figures}", sep=""
        )
        step(done, total)

    return tell


def _show(results: Results, out: Path, json: bool) -> None:
    if json:
        console.print_json(results)
        return
    from carla_bridge.cli.drive_tables import curve_line, difference_table, summary_table
    from carla_bridge.report.words import mask_times

    console.output.print(summary_table(results))
    if results.differences:
        console.output.print(difference_table(results.differences))
    if results.curve is not None:
        console.output.print(curve_line(results.curve), markup=False)
    if times := mask_times(results):
        console.output.print(
            f"frame to mask here, the world's clock standing: {times}", markup=False
        )
    console.output.print(f"{out / 'report.html'}", markup=False)


def require_driven(results: Results, out: Path) -> None:
    """Raise `EdgeSegError` where a fault ended every run, and nothing is known of the driver."""
    from carla_bridge.evaluation.evaluate import OWN_REASONS

    if all(run.reason not in OWN_REASONS for run in results.runs):
        run = results.runs[-1]
        raise EdgeSegError(
            f"no route was driven to its end: {run.reason} ({run.detail}); --resume drives again "
            f"what is in {out}"
        )


def require_score(results: Results, min_score: float | None) -> None:
    """Raise `GateMissedError` where the driver's score is too low at any latency."""
    driver = results.request.driver
    worst = min(row.driving_score for row in results.summary if row.driver == driver)
    if min_score is not None and worst < min_score:
        raise GateMissedError(f"the driving score is {worst:.1f}, below --min-score {min_score:g}")
