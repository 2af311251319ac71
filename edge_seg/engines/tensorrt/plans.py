"""Engines that were built on this machine are kept; TensorRT calls a serialized engine a plan.

    plan = plan_for(model, device(), api, settings, build, say=print)

Laws: a plan that `plan_for` returns was built from exactly this model, for exactly this GPU, by
exactly this TensorRT: either just now, or its digest is the one that was written down beside it
when it was built. What does not fit is built again, and one line says why. Files appear whole or
not at all; a process that is killed leaves nothing that the next one trusts or waits for. Where
nothing can be kept (a full disk, a folder of somebody else) the engine is built all the same.

The folder is ``engines`` in the user's cache (``XDG_CACHE_HOME``), with for each engine::

    <key>.plan     the engine
    <key>.json     its size and digest, and all that it was built for, in plain words
    <key>.lock     held by the process that builds it
    <key>.timing   what the builder measured; shared by all engines of one GPU and TensorRT
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from edge_seg.engines.tensorrt.built_for import ABOUT_LIMIT, About, BuiltFor
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, remove_stale, sha256, write_bytes
from edge_seg.progress import Track, silent

if TYPE_CHECKING:
    from edge_seg.engines.tensorrt.api import Api
    from edge_seg.engines.tensorrt.build import Built, Settings
    from edge_seg.engines.tensorrt.cuda import Device

LAYOUT = 1
"""Counted up when plans are made or kept in another way: older ones are then built again."""
KEPT = 20
"""So many plans stay, those that were used last."""
LOCK_LIMIT_S = 3600.0
"""Longer than any engine takes to build."""


@dataclass(frozen=True)
class _Place:
    """The files of one plan."""

    folder: Path
    wanted: BuiltFor

    def __getitem__(self, suffix: str) -> Path:
        key = self.wanted.timing_key if suffix == "timing" else self.wanted.key
        return self.folder / f"{key}.{suffix}"

    def remove(self) -> None:
        for suffix in ("json", "plan"):  # in this order: a plan alone is never trusted
            with contextlib.suppress(OSError):
                self[suffix].unlink()


def plans_folder() -> Path:
    """Return where plans are kept; it may not exist yet."""
    return Path(platformdirs.user_cache_dir("edge-seg")) / "engines"


def plan_for(
    model: bytes,
    device: Device,
    api: Api,
    settings: Settings,
    build: Callable[..., Built],
    track: Track = silent,
    say: Callable[[str], None] = lambda line: None,
) -> bytes:
    """Return the plan of an ONNX file on this GPU, from the cache or by ``build``.

    ``build`` is called as ``build(api, model, settings, timing_cache=bytes, track=track)``, by one
    process at a time; what it raises goes through. ``settings`` name no other GPU than ``device``.
    ``say`` is given lines for the user.
    """
    place = _place(model, device, api, settings)
    kept = _kept(place)
    if kept is not None:
        return kept
    with _turn(place, say) as writable:
        kept = _kept(place)  # by the process that had its turn before
        if kept is not None:
            return kept
        reason = _why_not(place)
        if reason:
            say(f"the engine in the cache {reason}: building again")
        how_long = "minutes" if api.name == "tensorrt" else "seconds"
        once = ", once" if writable else ""
        say(f"building the engine for {device.name}: takes {how_long}{once}")
        timing = _timing(place)
        built = build(api, model, settings, timing_cache=timing, track=track)
        if writable:
            _keep(place, built, say)
    return built.plan


def forget(model: bytes, device: Device, api: Api, settings: Settings) -> None:
    """Remove a plan that TensorRT refuses, so that `plan_for` builds it again."""
    _place(model, device, api, settings).remove()


def _place(model: bytes, device: Device, api: Api, settings: Settings) -> _Place:
    wanted = BuiltFor(
        layout=LAYOUT,
        model_sha256=sha256(model),
        gpu=device.name,
        compute_capability=device.compute_capability,
        tensorrt=api.name,
        tensorrt_version=api.version,
        cuda_driver=int(device.driver_version.split(".")[0]),
        dla=settings.dla,
        workspace_bytes=settings.workspace_bytes,
    )
    return _Place(plans_folder(), wanted)


def _kept(place: _Place) -> bytes | None:
    """Return the plan if it is whole and says that it is the one that is wanted."""
    about = _about(place["json"])
    if about is None or about.built_for != place.wanted:
        return None
    plan = _read(place["plan"], about.plan_bytes)
    if plan is None or len(plan) != about.plan_bytes or sha256(plan) != about.plan_sha256:
        return None
    with contextlib.suppress(OSError):
        os.utime(place["json"])  # used last
    return plan


def _why_not(place: _Place) -> str:
    """Say what is the matter with the plan that is there, or with the nearest one; "" for none."""
    if place["json"].exists() or place["plan"].exists():
        about = _about(place["json"])
        return (about and place.wanted.unlike(about.built_for)) or "is damaged"
    others = [about.built_for for path in place.folder.glob("*.json") if (about := _about(path))]
    near = [other for other in others if other.model_sha256 == place.wanted.model_sha256]
    return place.wanted.unlike(min(near, key=place.wanted.differences)) if near else ""


def _about(path: Path) -> About | None:
    content = _read(path, ABOUT_LIMIT)
    return None if content is None else About.decoded(content)


def _read(path: Path, limit: int) -> bytes | None:
    """Return what a file holds, None where there is no file or it is larger than it should be."""
    try:
        if not path.is_file() or path.stat().st_size > limit:
            return None
        return path.read_bytes()
    except OSError:
        return None


@contextlib.contextmanager
def _turn(place: _Place, say: Callable[[str], None]) -> Iterator[bool]:
    """Be the one process that builds this plan; yields whether it can be kept.

    The system lets go of the lock of a process that ends, however it does.
    """
    import filelock

    lock = filelock.FileLock(place["lock"])
    writable = True
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say("another process is building this engine: waiting for it")
            lock.acquire(timeout=LOCK_LIMIT_S, poll_interval=0.2)
    except filelock.Timeout:
        raise EdgeSegError(
            f"another process has been building this engine for {LOCK_LIMIT_S / 60:.0f} minutes: "
            "end it, then run again"
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter where there is no flock
        writable = False
        reason = explain(error, place["plan"]) if isinstance(error, OSError) else error
        say(f"the engine will not be kept in the cache (XDG_CACHE_HOME): {reason}")
    try:
        yield writable
    finally:
        lock.release()


def _keep(place: _Place, built: Built, say: Callable[[str], None]) -> None:
    """Write the plan, then what vouches for it; where that fails, it is used all the same."""
    about = About(sha256(built.plan), len(built.plan), place.wanted)
    remove_stale(place.folder)
    try:
        write_bytes(place["plan"], built.plan)
        write_bytes(place["json"], about.encoded())
    except EdgeSegError as error:
        place.remove()
        say(f"the engine is built and used, but not kept: {error}")
        return
    if built.timing_cache:
        with contextlib.suppress(EdgeSegError):  # it only saves time
            sealed = sha256(built.timing_cache).encode() + built.timing_cache
            write_bytes(place["timing"], sealed)
    _prune(place.folder, ("json", "plan", "lock"))
    _prune(place.folder, ("timing",))


def _timing(place: _Place) -> bytes:
    """Return the timing cache if it is whole, else nothing."""
    sealed = _read(place["timing"], 1 << 30) or b""
    return sealed[64:] if sealed[:64] == sha256(sealed[64:]).encode() else b""


def _prune(folder: Path, suffixes: tuple[str, ...]) -> None:
    """Remove what was not used lately."""
    used: dict[str, float] = {}
    for path in folder.iterdir():
        # A lock alone is somebody's turn that has made nothing yet.
        if path.suffix[1:] in suffixes and path.suffix != ".lock":
            with contextlib.suppress(OSError):
                used[path.stem] = max(used.get(path.stem, 0.0), path.stat().st_mtime)
    for stem in sorted(used, key=lambda stem: used[stem], reverse=True)[KEPT:]:
        for suffix in suffixes:
            with contextlib.suppress(OSError):
                (folder / f"{stem}.{suffix}").unlink()
