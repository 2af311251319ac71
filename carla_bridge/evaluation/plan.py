"""From what was asked to the jobs that answer it.

    plan = make_plan(Options(driver="lane.edgeseg", versus="float", maps=("Town",)))
    len(plan.jobs), plan.jobs[0].key

Everything that can be wrong with a request is found here, before a world is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from carla_bridge.client.connection import Address, knock
from carla_bridge.client.sensors import check_camera
from carla_bridge.client.session import Session
from carla_bridge.client.weathers import find
from carla_bridge.evaluation.jobs import Camera, Job, Server, read_map, view_of
from carla_bridge.evaluation.latency import NONE, Latency, fixed
from carla_bridge.evaluation.latency_spec import PRESETS, of_bundle, parse
from carla_bridge.evaluation.masks import (
    FLOAT,
    LABELS,
    MaskSource,
    is_through,
    lane_table,
    open_masks,
)
from carla_bridge.evaluation.record import Request, Subject
from carla_bridge.world import shipped_maps
from carla_bridge.world.maps.check import parse_opendrive
from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.manifest import Manifest
from edge_seg.errors import EdgeSegError
from edge_seg.segmenter import require_runnable

CURVE_MS = (0.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 600.0, 800.0)
"""Multiples of the simulator's step, as an answer takes effect at a step."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; see the command's help.

    ``driver`` is a bundle's path or "labels", ``versus`` also "float" or another package's "ros".
    """

    driver: str
    versus: str | None = None
    latency: str | None = None
    curve: bool = False
    maps: tuple[str, ...] = ()
    routes: tuple[int, ...] = (0,)
    repeat: int = 1
    seed: int = 0
    speed_kmh: float = 30.0
    weather: str = "clear-noon"
    traffic: int = 0
    length_m: float = 300.0
    camera: Camera = Camera()
    server: Server = Server()
    dt_s: float = 0.05
    film: bool = True
    weights: Path | None = None
    trust: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class Plan:
    """The jobs of a request; ``drivers`` are their names, the compared one last."""

    request: Request
    jobs: list[Job]
    curve_jobs: list[Job]
    server: Server
    drivers: tuple[str, ...]
    bundle: Bundle | None


def make_plan(options: Options) -> Plan:
    """Return the jobs of a request; raises `EdgeSegError` for what cannot be driven."""
    _check(options)
    bundle = None if options.driver == LABELS else _runnable(Path(options.driver), options)
    drivers = _drivers(options, bundle)
    latencies = _latencies(options, bundle)
    loaded = "" if options.maps or options.server.host is None else _loaded_map(options.server)
    maps = options.maps or (("",) if loaded else shipped_maps.names())
    main = [
        _job(options, driver, latency, map, number, repeat)
        for map in maps
        for number in options.routes
        for repeat in range(options.repeat)
        for driver in drivers
        for latency in latencies
    ]
    curve = [
        _job(options, drivers[0], NONE if ms == 0.0 else fixed(ms), map, number, 0)
        for ms in (CURVE_MS if options.curve else ())
        for map in maps
        for number in options.routes
    ]
    filmed = _with_films(main) if options.film else main
    return Plan(
        request=_request(options, drivers, bundle, [map or loaded for map in maps], latencies),
        jobs=[msgspec.structs.replace(job, loaded=loaded) for job in filmed],
        curve_jobs=[msgspec.structs.replace(job, loaded=loaded) for job in curve],
        server=options.server,
        drivers=tuple(driver.name for driver in drivers),
        bundle=bundle,
    )


def _check(options: Options) -> None:
    camera = options.camera
    check_camera("rgb", camera.width, camera.height, camera.fov_deg)
    view_of(camera)
    find(options.weather)
    if options.server.host is not None:
        if options.traffic:
            raise EdgeSegError(
                "--traffic is for the built-in world: spawn traffic in your server, or leave it out"
            )
        knock(Address(options.server.host, options.server.port), options.server.timeout_s)
    stems = [Path(map).stem for map in options.maps]
    for map, stem in zip(options.maps, stems, strict=True):
        if stems.count(stem) > 1:
            raise EdgeSegError(
                f"--map names '{stem}' twice: once is enough; of two files rename one"
            )
        if map.endswith(".xodr"):
            parse_opendrive(read_map(map), map)
        elif options.server.host is None:
            shipped_maps.text(map)


def _loaded_map(server: Server) -> str:
    """Return the name of the map that a server has loaded."""
    assert server.host is not None
    with Session.connect(server.host, server.port, server.timeout_s) as session:
        return session.map_name


def _runnable(path: Path, options: Options) -> Bundle:
    bundle = open_bundle(path)
    require_runnable(bundle, options.trust)
    lane_table(bundle.manifest.classes)
    return bundle


def _drivers(options: Options, bundle: Bundle | None) -> list[MaskSource]:
    """Return the driver, and what it is compared with."""

    def of_bundle_file(name: str, path: str, through: str = "") -> MaskSource:
        return MaskSource(
            name=name,
            bundle=None if path == LABELS else str(Path(path).resolve()),
            through=through,
            weights=None if options.weights is None else str(options.weights.resolve()),
            trust=options.trust,
            threads=options.threads,
        )

    if bundle is None:
        first = MaskSource(name=LABELS)
    else:
        first = of_bundle_file(bundle.manifest.precision, options.driver)
    if options.versus is None:
        return [first]
    if options.versus == LABELS and bundle is None:
        raise EdgeSegError("labels against labels shows nothing: name a bundle to drive")
    if options.versus == LABELS:
        other = MaskSource(name=LABELS)
    elif options.versus == FLOAT:
        if bundle is None:
            raise EdgeSegError("--vs float needs the bundle that the float model belongs to")
        other = of_bundle_file(FLOAT, options.driver)
    elif is_through(options.versus):
        other = of_bundle_file(options.versus, options.driver, through=options.versus)
    else:
        path = Path(options.versus)
        _runnable(path, options)
        name = path.name if path.stem in (LABELS, FLOAT) else path.stem
        other = of_bundle_file(name, options.versus)
    if other.name == FLOAT or other.through:
        with open_masks(other):  # seconds, and better than to find out after the first route
            pass
    if other.name == first.name:
        other = msgspec.structs.replace(other, name=f"{other.name} (2)")
    return [first, other]


def _latencies(options: Options, bundle: Bundle | None) -> list[Latency]:
    """Return none; the distribution asked for, or the bundle's own; its p50 and its p99."""
    measured = [] if bundle is None else bundle.manifest.latencies
    if options.latency is None:
        if not measured:
            return [NONE]
        own = of_bundle(measured[-1])
        return [NONE, own.at(50.0), own.at(99.0)]
    gmac = gmac_of(bundle.manifest) if bundle and options.latency in PRESETS else None
    asked = parse(options.latency, measured, gmac)
    if len(set(asked.samples_ms)) > 1:
        return [NONE, asked, asked.at(50.0), asked.at(99.0)]
    return [NONE] if asked.samples_ms == (0.0,) else [NONE, asked]


def gmac_of(manifest: Manifest) -> float | None:
    """Return a known network's multiplications in billions, at the bundle's input size."""
    from edge_seg.models import catalogue
    from edge_seg.models.architectures import names

    if manifest.model.name not in names():
        return None
    entry = catalogue.entry(manifest.model.name)
    pixels = manifest.input.height * manifest.input.width
    return entry.gmac * pixels / (entry.input_height * entry.input_width)


def _job(
    options: Options, driver: MaskSource, latency: Latency, map: str, number: int, repeat: int
) -> Job:
    return Job(
        driver=driver,
        latency=latency,
        map=str(Path(map).resolve()) if map.endswith(".xodr") else map,
        number=number,
        repeat=repeat,
        seed=options.seed,
        length_m=options.length_m,
        speed_kmh=options.speed_kmh,
        weather=options.weather,
        traffic=options.traffic,
        camera=options.camera,
        dt_s=options.dt_s,
        pictures=options.film,
    )


def _with_films(jobs: Sequence[Job]) -> list[Job]:
    """Film the first job of each map."""
    seen: set[str] = set()
    filmed = []
    for job in jobs:
        filmed.append(msgspec.structs.replace(job, film=job.map not in seen))
        seen.add(job.map)
    return filmed


def _request(
    options: Options,
    drivers: Sequence[MaskSource],
    bundle: Bundle | None,
    maps: Sequence[str],
    latencies: Sequence[Latency],
) -> Request:
    subject = Subject()
    if bundle is not None:
        manifest = bundle.manifest
        subject = Subject(
            name=manifest.name,
            digest=bundle.digest,
            engine=manifest.engine.name,
            precision=manifest.precision,
            target=manifest.target,
            file=Path(options.driver).name,
        )
    return Request(
        driver=drivers[0].name,
        versus=drivers[1].name if len(drivers) > 1 else None,
        subject=subject,
        maps=[Path(map).name if map.endswith(".xodr") else map for map in maps],
        routes=list(options.routes),
        repeat=options.repeat,
        seed=options.seed,
        speed_kmh=options.speed_kmh,
        weather=options.weather,
        traffic=options.traffic,
        width=options.camera.width,
        height=options.camera.height,
        fov_deg=options.camera.fov_deg,
        route_m=options.length_m,
        latencies=[latency.info for latency in latencies],
        curve_ms=list(CURVE_MS) if options.curve else [],
        server=options.server.name,
        dt_s=options.dt_s,
    )
