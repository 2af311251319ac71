"""Checkpoints of transformers: a local ``save_pretrained`` folder, or one of the hub.

    source = read(place, "MobileNetV2ForSemanticSegmentation", config)
    labels(source.config), normalisation(place)

safetensors only: nothing is ever unpickled.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.quiet import quiet

Triple = tuple[float, float, float]


class Pretrained(msgspec.Struct, frozen=True):
    """A transformers checkpoint, read: the network and what its files say of it."""

    network: Any
    labels: tuple[str, ...]
    mean: Triple
    std: Triple


def transformers_classes(*names: str) -> tuple[Any, ...]:
    """Return classes of transformers, whose annotations do not describe what it accepts.

    Without its progress bars, and without what it prints where a package of quantizers is
    installed that it looks at.
    """
    with quiet():
        transformers: Any = importlib.import_module("transformers")
        classes = tuple(getattr(transformers, name) for name in names)  # imported when asked for
    transformers.utils.logging.disable_progress_bar()
    return classes


def read_config(place: str, kind: str, config: type[Any]) -> Any:
    """Return the checkpoint's configuration; ``kind`` is the model's class, for the error."""
    try:
        return config.from_pretrained(place)
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot_load(place, kind, error) from error


def read(place: str, model: type[Any], config: Any) -> Any:
    """Return the model of transformers with the checkpoint's weights.

    Raises `EdgeSegError` where the place holds no such model, or only pickled weights.
    """
    kind = model.__name__
    try:
        source, report = model.from_pretrained(
            place, config=config, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot_load(place, kind, error) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise EdgeSegError(
            f"{place} is no {kind} checkpoint: "
            f"{len(missing)} weights are missing, the first is {missing[0]}"
        )
    return source


def _cannot_load(place: str, kind: str, error: Exception) -> EdgeSegError:
    return EdgeSegError(f"cannot load {place} as a {kind} checkpoint: {in_one_line(error)}")


def labels(config: Any) -> tuple[str, ...]:
    """Return the names of the outputs, in their order."""
    return tuple(config.id2label[index] for index in range(config.num_labels))


def normalisation(place: str) -> tuple[Triple, Triple]:
    """Return mean and std of the checkpoint's own image processor, 0 and 1 where it has none."""
    transformers: Any = importlib.import_module("transformers")
    path = transformers.utils.cached_file(
        place, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False
    )
    stored = msgspec.json.decode(Path(path).read_bytes()) if path else {}
    mean = stored.get("image_mean", (0.0, 0.0, 0.0))
    std = stored.get("image_std", (1.0, 1.0, 1.0))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
