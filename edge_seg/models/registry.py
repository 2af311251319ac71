"""Models by name, file or factory: the one door that packing and training use.

names()                                     # ["deeplabv3plus-mobilenetv2", "lane-unet"]
load("lane-unet")                           # with the shipped weights
load("lane-unet", weights="random")         # seeded with 0: the same weights every time
load("lane-unet", weights="mine.safetensors")
load("deeplabv3plus-mobilenetv2", weights="folder-of-save_pretrained")
load("package.module:factory", weights="mine.safetensors")
load("mine.pt2"); load("mine.onnx")
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.models.model import Model
from edge_seg.preprocess import InputSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
RANDOM = "random"

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Architecture:
    """One of the networks that edge-seg can build: its configuration and its builder."""

    config: type[Any]
    build: Callable[[Any], nn.Module]


def _unet() -> Architecture:
    from edge_seg.models import unet

    return Architecture(unet.UNetConfig, unet.build)


def _deeplab() -> Architecture:
    from edge_seg.models import deeplab

    return Architecture(deeplab.DeepLabConfig, deeplab.build)


_ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "lane-unet": _unet,
    "deeplabv3plus-mobilenetv2": _deeplab,
}


def names() -> list[str]:
    """Return the names of the models that ship, sorted."""
    return sorted(_ARCHITECTURES)


def check_name(name: str) -> None:
    """Refuse, without torch, what `load` would not know; raises `EdgeSegError`."""
    if name in _ARCHITECTURES or ":" in name:
        return
    path = Path(name)
    if path.suffix in (".onnx", ".pt2"):
        if not path.is_file():
            raise EdgeSegError(f"no such model file: {path}")
    elif path.suffix in (".pt", ".pth", ".ckpt", ".bin", ".safetensors"):
        raise EdgeSegError(
            f"{path} holds weights without their network: name both, "
            f"--model package.module:factory --weights {path}"
        )
    else:
        raise EdgeSegError(f"unknown model '{name}': {closest(name, names())}")


def architecture(name: str) -> Architecture:
    """Return the architecture of that name; an unknown name raises `EdgeSegError`."""
    if name not in _ARCHITECTURES:
        raise EdgeSegError(f"unknown model '{name}': {closest(name, names())}")
    return _ARCHITECTURES[name]()


def load(
    name: str,
    weights: str | Path | None = None,
    input_size: tuple[int, int] | None = None,
    classes: ClassMap | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
) -> Model:
    """Return a model, checked: weights finite and fitting, output (1, classes, h, w).

    ``name`` is one of `names`, ``package.module:factory``, or a ``.pt2`` or ``.onnx`` file.
    ``weights`` is None (what ships), "random", a weights file, or for deeplab a transformers
    checkpoint. ``input_size`` is (height, width); None is the model's own, 256x512 where it has
    none. ``classes`` must have as many names as the model has outputs. ``mean`` and ``std`` are
    per RGB channel of a 0..1 frame. Raises `EdgeSegError` where anything does not fit.
    """
    check_name(name)

    from edge_seg.models import exported, onnx_file, user
    from edge_seg.models.trial import check_output

    if name.endswith(".onnx"):
        model = onnx_file.load(name, input_size, classes, mean, std)
    elif name.endswith(".pt2"):
        model = exported.load(name, input_size, classes, mean, std)
    elif ":" in name:
        model = user.load(name, weights, input_size, classes, mean, std)
    else:
        model = _load_known(name, weights, input_size, classes, mean, std)
    check_output(model)
    return model


def _load_known(
    name: str,
    weights: str | Path | None,
    input_size: tuple[int, int] | None,
    classes: ClassMap | None,
    mean: Triple | None,
    std: Triple | None,
) -> Model:
    """Load one of `names`."""
    known = architecture(name)
    if weights == RANDOM:
        return _with_random_weights(name, known, input_size, classes, mean, std)
    path = WEIGHTS / f"{name}.safetensors" if weights is None else Path(weights)
    if path.suffix != ".safetensors":
        if name != "deeplabv3plus-mobilenetv2":
            raise EdgeSegError(f"the weights of {name} are a .safetensors file, not {path}")
        return _load_transformers(name, str(weights), input_size, classes, mean, std)
    if weights is None and not path.exists():
        raise EdgeSegError(
            f"this installation has no weights for {name}: name some with --weights, "
            "or train them (edge-seg train --help)"
        )
    return _load_file(name, known, path, input_size, classes, mean, std)


def _with_random_weights(
    name: str,
    known: Architecture,
    input_size: tuple[int, int] | None,
    classes: ClassMap | None,
    mean: Triple | None,
    std: Triple | None,
) -> Model:
    """Build with seed 0, leaving torch's global generator as it was."""
    import torch

    classes = classes or LANE
    height, width = input_size or (256, 512)
    config = known.config(classes=len(classes), height=height, width=width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = known.build(config)
    spec = InputSpec(height, width, mean or (0.0, 0.0, 0.0), std or (1.0, 1.0, 1.0))
    return from_network(name, network, spec, classes, "random weights, seed 0")


def _load_file(
    name: str,
    known: Architecture,
    path: Path,
    input_size: tuple[int, int] | None,
    classes: ClassMap | None,
    mean: Triple | None,
    std: Triple | None,
) -> Model:
    """Build what the file's header describes and fill it."""
    from edge_seg.models import weights_file

    stored = weights_file.read(path)
    header = stored.header
    if header is None:
        raise EdgeSegError(
            f"{path} says nothing of its network: only files that edge-seg train wrote can be "
            f"loaded by name; bring others with --model package.module:factory"
        )
    if header.architecture != name:
        raise EdgeSegError(f"{path} holds weights of {header.architecture}, not of {name}")
    settings = dict(header.config)
    if input_size is not None:
        settings["height"], settings["width"] = input_size
    try:
        config = msgspec.convert(settings, known.config)
    except msgspec.ValidationError as error:
        raise EdgeSegError(
            f"{path} describes a network this edge-seg cannot build: {error}"
        ) from error
    network = known.build(config)
    weights_file.fill(network, stored.tensors, str(path))
    spec = InputSpec(
        config.height, config.width, mean or header.input.mean, std or header.input.std
    )
    source = header.trained_on or path.name
    return from_network(name, network, spec, fitting(classes, header.classes, path), source)


def _load_transformers(
    name: str,
    place: str,
    input_size: tuple[int, int] | None,
    classes: ClassMap | None,
    mean: Triple | None,
    std: Triple | None,
) -> Model:
    """Load a transformers checkpoint, from a folder or the hub."""
    from edge_seg.models import deeplab

    height, width = input_size or (256, 512)
    stored = deeplab.from_transformers(place, height, width)
    own = _class_map(stored.labels)
    spec = InputSpec(height, width, mean or stored.mean, std or stored.std)
    return from_network(name, stored.network, spec, fitting(classes, own, place), place)


def _class_map(labels: tuple[str, ...]) -> ClassMap:
    """Return the class map of a checkpoint's labels: ours where there are three nameless ones."""
    nameless = all(label.startswith("LABEL_") for label in labels)
    if nameless and len(labels) == len(LANE):
        return LANE
    return generic_classes(len(labels), labels)


def generic_classes(count: int, labels: tuple[str, ...] | None = None) -> ClassMap:
    """Return a class map of ``count`` classes with well-spaced colours.

    Hues step by the golden angle, which keeps any number of neighbours apart.
    """
    import colorsys

    palette = [(0, 0, 0)]
    for index in range(1, count):
        red, green, blue = colorsys.hsv_to_rgb(index * 0.381966 % 1.0, 0.75, 0.95)
        palette.append((round(255 * red), round(255 * green), round(255 * blue)))
    given = labels or tuple(f"class_{index}" for index in range(count))
    unique = given if len(set(given)) == count else tuple(f"{i}_{n}" for i, n in enumerate(given))
    try:
        return ClassMap(unique, tuple(palette[:count]))
    except ValueError as error:
        raise EdgeSegError(f"cannot name the model's outputs: {error}") from error


def fitting(asked: ClassMap | None, own: ClassMap, source: Path | str) -> ClassMap:
    """Return the class map to use, or raise where the one asked for has another size."""
    if asked is None:
        return own
    if len(asked) != len(own):
        raise EdgeSegError(
            f"the class map has {len(asked)} classes ({', '.join(asked.names)}) but {source} "
            f"has {len(own)} outputs: give a class map that fits, or train the model for it"
        )
    return asked


def from_network(
    name: str, network: nn.Module, spec: InputSpec, classes: ClassMap, source: str
) -> Model:
    """Return the `Model` of a network, in eval mode, its weights frozen."""
    network.eval().requires_grad_(False)
    state = network.state_dict()
    digest = state_digest(state, repr((name, getattr(network, "config", None), spec, classes)))
    return Model(name, spec, classes, network, None, source, digest)


def state_digest(state: Mapping[str, torch.Tensor], description: str) -> str:
    """Return the hex SHA-256 over a description and all tensors in order of name."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
