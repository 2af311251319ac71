"""Frame in, mask out: the one door that the command line, ROS and CARLA all use.

    with Segmenter("lane.edgeseg") as segmenter:
        mask = segmenter(frame)            # (H, W, 3) uint8 BGR -> (H, W) uint8 class ids
        segmenter.timings.total_ms         # of that frame, and each stage of it

Laws: the mask has the frame's height and width, holds ids below ``len(classes)``, and is
the caller's own; equal frames give equal masks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edge_seg import engines
from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.manifest import check_runs_here
from edge_seg.choice import choose
from edge_seg.classes import ClassMap
from edge_seg.engines.session import OptionValue
from edge_seg.errors import EdgeSegError, MissingRuntimeError, closest
from edge_seg.pipeline import Pipeline, Timings
from edge_seg.preprocess import Frame, Mask


class Segmenter:
    """A packed bundle, ready to run. Not thread-safe: one segmenter, one thread.

    ``threads`` limits the engine's threads (default: all cores). ``trust`` allows a bundle
    whose engine runs an unpickler on the model file; without it such a bundle must be
    signed by a key in the trusted-keys folder. ``precision`` is what runs: where the bundle holds
    several, the first opening builds and times them (`edge_seg.choice`). ``options`` take the place
    of the engine's own, as `parse_options` reads them.

    Raises `EdgeSegError` when the bundle is damaged, for another architecture, not trusted,
    its runtime is missing or cannot load the model: the message names what to do.
    """

    def __init__(
        self,
        bundle: Path | str | Bundle,
        *,
        threads: int | None = None,
        trust: bool = False,
        options: str = "",
    ) -> None:
        if threads is not None and not 1 <= threads <= 1024:
            raise EdgeSegError(f"threads are 1 to 1024, not {threads}")
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
        self.manifest = opened.manifest
        require_runnable(opened, trust)
        choice = choose(opened, threads)
        self.precision = choice.precision
        model = opened.read(choice.model_file)
        engine = engines.find(self.manifest.engine.name)
        if engine.fragile:
            from edge_seg.first_load import require_loads

            require_loads(engine, model, self.manifest.input, choice.options)
        chosen = choice.options | parse_options(options, engine, choice.options)
        session = engine.open(model, self.manifest.input, chosen, threads)
        self._pipeline: Pipeline | None = Pipeline(session)

    @property
    def classes(self) -> ClassMap:
        """What the ids in a mask mean."""
        return self.manifest.classes

    @property
    def timings(self) -> Timings:
        """The stages of the last frame."""
        return self._open_pipeline().timings

    def __call__(self, frame: Frame) -> Mask:
        """Return the mask (H, W) uint8 of a frame (H, W, 3) uint8 BGR of any size."""
        return self._open_pipeline()(frame)

    def close(self) -> None:
        """Free the runtime; closing twice is allowed."""
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open_pipeline(self) -> Pipeline:
        if self._pipeline is None:
            raise EdgeSegError("this segmenter is closed: open the bundle again")
        return self._pipeline


def parse_options(
    text: str, engine: engines.Engine, own: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """Read ``resize=graph,cuda_graph=false``: names and kinds are those that the engine has.

    ``own`` are the bundle's. Raises `EdgeSegError` for a name or a value that the engine has not.
    """
    ways = [way for variants in engine.variants.values() for way in variants]
    known = {name: value for way in [*ways, own] for name, value in way.items()}
    words = [value for way in [*ways, own] for value in way.items()]
    parsed: dict[str, OptionValue] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise EdgeSegError(f"engine '{engine.name}' has no option '{name}': "
                               f"{closest(name, known)}")  # fmt: skip
        kind = type(known[name])
        choices = sorted({str(choice) for word, choice in words if word == name})
        if kind is str and value not in choices:
            raise EdgeSegError(f"option {name}={value}: {closest(value, choices)}")
        try:
            parsed[name] = _FLAGS[value.lower()] if kind is bool else kind(value)
        except (KeyError, ValueError):
            raise EdgeSegError(
                f"option {name}={value}: it is of kind {kind.__name__}, such as {known[name]}"
            ) from None
    return parsed


_FLAGS = {"true": True, "false": False}


def require_runnable(bundle: Bundle, trust: bool) -> None:
    """Raise `EdgeSegError` where a bundle is for another machine, not trusted, or lacks a runtime.

    All of it is known from the manifest: no runtime sees the model before.
    """
    manifest = bundle.manifest
    if not engines.find(manifest.engine.name).portable:
        check_runs_here(manifest)
    if not trust:
        require_trust(bundle, manifest.engine.name)
    require_runtime(bundle)


def require_runtime(bundle: Bundle) -> None:
    """Raise `MissingRuntimeError` when the engine's runtime is absent, too old or too new."""
    wanted = bundle.manifest.engine
    distribution, found, minimum = engines.find(wanted.name).installed_runtime()
    # The bundle's range is of the runtime that it names; a predecessor has one of its own.
    older = engines.find(wanted.name).older
    named = older is None or distribution != older.distribution
    low, high = (wanted.runtime_min, wanted.runtime_max) if named else (minimum, None)
    too_old = low is not None and _numbers(found) < _numbers(low)
    too_new = high is not None and _numbers(found) > _numbers(high)
    if too_old or too_new:
        limits = [f">={low}"] if low else []
        limits += [f"<={high}"] if high else []
        raise MissingRuntimeError(
            f"bundle '{bundle.manifest.name}' needs {distribution} {', '.join(limits)}, and "
            f"{found} is installed: pip install '{distribution}{','.join(limits)}'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, no zeros at its end: ``2.13.0+cpu`` is (2, 13)."""
    match = re.match(r"\d+(?:\.\d+)*?(?=(?:\.0+)*(?!\.?\d))", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def require_trust(bundle: Bundle, engine: str) -> None:
    """Raise `EdgeSegError` where this engine would unpickle a file that nobody vouches for."""
    from edge_seg.bundle.signature import is_trusted, trusted_keys_folder

    unpickles = engines.find(engine).unpickles
    if unpickles and not is_trusted(bundle.manifest_bytes, bundle.signature):
        raise EdgeSegError(
            f"bundle '{bundle.manifest.name}' holds TorchScript, which runs the code it "
            "contains: if you know where it comes from, use --trust, or put its maker's "
            f"public key into {trusted_keys_folder()}"
        )
