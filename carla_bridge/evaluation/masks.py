"""Where a driver's masks come from: the bundle, its float model, another bundle, or the truth.

    with open_masks(MaskSource(name="int8", bundle="lane.edgeseg")) as masks:
        mask = masks(frame, truth)          # (H, W) uint8: 0 background, 1 road, 2 lane marking

Every source is a function of the frame (H, W, 3) BGR and of the simulator's own mask of the same
camera; the baseline "labels" returns the latter. torch is imported for the float model only.

Other packages add sources through the entry-point group ``edge_seg.mask_sources``: "ros" is one.
Each is a function (address, bundle, trust, threads) that opens a `Labeller`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Manifest
from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, MissingRuntimeError, in_one_line
from edge_seg.segmenter import Segmenter

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
Masks = Callable[[Frame, Mask], Mask]

LABELS, FLOAT = "labels", "float"
GROUP = "edge_seg.mask_sources"


class Labeller(Protocol):
    """What labels frames, as a `Segmenter` does."""

    @property
    def classes(self) -> ClassMap:
        """What the ids mean."""

    def __call__(self, frame: Frame, /) -> Mask:
        """Return the mask (H, W) of a frame (H, W, 3) BGR."""


class MaskSource(msgspec.Struct, frozen=True, kw_only=True):
    """A driver by name: "labels", "float" with the bundle it belongs to, else a bundle.

    ``bundle`` is a path, ``weights`` the float model's file where it is not the one that ships.
    ``through`` names what else runs the bundle, and where: "ros", "ros:/front/lane_segmentation".
    """

    name: str
    bundle: str | None = None
    through: str = ""
    weights: str | None = None
    trust: bool = False
    threads: int | None = None

    @property
    def sees_frames(self) -> bool:
        """Whether it needs a picture, and not only the truth."""
        return self.name != LABELS


@contextlib.contextmanager
def open_masks(source: MaskSource) -> Iterator[Masks]:
    """Open a source of masks; raises `EdgeSegError` where it cannot be one."""
    if source.name == LABELS:
        yield lambda frame, truth: truth
    elif source.name == FLOAT:
        manifest = open_bundle(Path(_bundle_of(source))).manifest
        yield _open_float(manifest, source.weights)
    else:
        with _open_labeller(source) as labeller:
            table = lane_table(labeller.classes)
            yield lambda frame, truth: table[labeller(frame)]


def is_through(text: str) -> bool:
    """Return whether it names a source of another package: "ros", "ros:/front/..."."""
    return _point_of(text) is not None


def _open_labeller(source: MaskSource) -> AbstractContextManager[Labeller]:
    point = _point_of(source.through)
    if point is None:
        return Segmenter(_bundle_of(source), threads=source.threads, trust=source.trust)
    try:
        opener = point.load()
    except ImportError as error:
        raise MissingRuntimeError(
            f"'{source.through}' cannot be used here ({in_one_line(error)}): install what is "
            "missing, or compare with something else"
        ) from error
    _, _, address = source.through.partition(":")
    labeller: AbstractContextManager[Labeller] = opener(
        address, source.bundle, source.trust, source.threads
    )
    return labeller


def _point_of(text: str) -> EntryPoint | None:
    kind, _, _ = text.partition(":")
    return next((point for point in entry_points(group=GROUP) if point.name == kind), None)


def _bundle_of(source: MaskSource) -> str:
    if source.bundle is None:
        raise EdgeSegError(f"'{source.name}' needs a bundle to drive: name one")
    return source.bundle


def _open_float(manifest: Manifest, weights: str | None) -> Masks:
    """Return the float model that the bundle was made from."""
    from edge_seg.models import registry
    from edge_seg.training.validation import predict

    model = registry.load(
        manifest.model.name,
        weights,
        input_size=(manifest.input.height, manifest.input.width),
        classes=manifest.classes,
        mean=manifest.input.mean,
        std=manifest.input.std,
    )
    if model.digest != manifest.model.digest:
        raise EdgeSegError(
            f"the float model '{manifest.model.name}' here is not the one that bundle "
            f"'{manifest.name}' was made from: name its weights with --weights"
        )
    module = model.module
    if module is None:
        raise EdgeSegError(
            f"'{manifest.model.name}' is an ONNX file, which has no float driver: pack it in "
            "float32 and name that bundle with --vs"
        )
    table = lane_table(manifest.classes)
    return lambda frame, truth: table[predict(module, manifest.input, frame)]


def lane_table(classes: ClassMap) -> npt.NDArray[np.uint8]:
    """Return (256,) uint8: the project's class of each of a model's, by name; else background.

    Raises `EdgeSegError` where the model knows no lane marking, as nothing else leads.
    """
    table = np.zeros(256, np.uint8)
    for id, name in enumerate(classes.names):
        if name in LANE.names:
            table[id] = LANE.names.index(name)
    if "lane_marking" not in classes.names:
        raise EdgeSegError(
            f"the model labels {', '.join(classes.names)}, and no lane_marking to drive by: "
            "choose a model that does"
        )
    return table
