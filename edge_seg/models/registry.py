"""Models by name, file or factory: the one door that packing and training use.

load("lane-unet")                           # with the shipped weights
load("lane-unet", weights="random")         # seeded with 0: the same weights every time
load("lane-unet", weights="mine.safetensors")
load("deeplabv3plus-mobilenetv2", weights="folder-of-save_pretrained")
load("package.module:factory", weights="mine.safetensors")
load("mine.pt2"); load("mine.onnx")
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.models.architectures import Architecture, architecture, names
from edge_seg.models.class_maps import fitting, of_labels
from edge_seg.models.model import Model, Overrides, Triple, from_network

WEIGHTS = Path(__file__).parent / "weights"
RANDOM = "random"


def shipped() -> list[str]:
    """Return those of `names` whose trained weights come with edge-seg, sorted."""
    return [name for name in names() if weights_of(name).exists()]


def weights_of(name: str) -> Path:
    """Return where the trained weights of one of `names` are, if they ship."""
    return WEIGHTS / f"{name}.safetensors"


def check_name(name: str) -> None:
    """Refuse, without torch, what `load` would not know; raises `EdgeSegError`."""
    if name in names() or ":" in name:
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
    ``weights`` is None (what ships), "random", a weights file, or for deeplab and segformer a
    transformers checkpoint. ``input_size`` is (height, width); None is the model's own, 256x512
    where it has none. ``classes`` must have as many names as the model has outputs. ``mean`` and
    ``std`` are per RGB channel of a 0..1 frame. Raises `EdgeSegError` where anything does not fit.
    """
    check_name(name)
    if weights is not None and name.endswith((".onnx", ".pt2")):
        raise EdgeSegError(f"{name} brings its own weights: leave --weights out")
    overrides = Overrides(input_size, classes, mean, std)

    from edge_seg.models import exported, onnx_file, user
    from edge_seg.models.trial import check_output

    if name.endswith(".onnx"):
        model = onnx_file.load(name, overrides)
    elif name.endswith(".pt2"):
        model = exported.load(name, overrides)
    elif ":" in name:
        model = user.load(name, None if weights == RANDOM else weights, overrides)
    else:
        model = _load_known(name, weights, overrides)
    check_output(model)
    return model


def _load_known(name: str, weights: str | Path | None, overrides: Overrides) -> Model:
    """Load one of `names`."""
    known = architecture(name)
    if weights == RANDOM:
        return _with_random_weights(name, known, overrides)
    path = weights_of(name) if weights is None else Path(weights)
    if path.suffix != ".safetensors":
        return _load_transformers(name, known, str(weights), overrides)
    if weights is None and not path.exists():
        raise EdgeSegError(
            f"{name} comes without trained weights: train it (edge-seg train --model {name} ...) "
            "and name the file with --weights"
        )
    return _load_file(name, known, path, overrides)


def _with_random_weights(name: str, known: Architecture, overrides: Overrides) -> Model:
    """Build with seed 0, leaving torch's global generator as it was."""
    import torch

    classes = overrides.classes or LANE
    height, width = overrides.input_size or (256, 512)
    config = known.config(classes=len(classes), height=height, width=width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = known.build(config)
    spec = overrides.spec(height, width)
    return from_network(name, network, spec, classes, "random weights, seed 0")


def _load_file(name: str, known: Architecture, path: Path, overrides: Overrides) -> Model:
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
    if overrides.input_size is not None:
        settings["height"], settings["width"] = overrides.input_size
    try:
        config = msgspec.convert(settings, known.config)
    except msgspec.ValidationError as error:
        raise EdgeSegError(
            f"{path} describes a network this edge-seg cannot build: {error}"
        ) from error
    network = known.build(config)
    weights_file.fill(network, stored.tensors, str(path))
    spec = overrides.spec(config.height, config.width, header.input.mean, header.input.std)
    source = header.trained_on or path.name
    classes = fitting(overrides.classes, header.classes, path)
    return from_network(name, network, spec, classes, source)


def _load_transformers(name: str, known: Architecture, place: str, overrides: Overrides) -> Model:
    """Load a transformers checkpoint, from a folder or the hub."""
    if known.from_transformers is None:
        raise EdgeSegError(f"the weights of {name} are a .safetensors file, not {place}")
    height, width = overrides.input_size or (256, 512)
    stored = known.from_transformers(place, height, width)
    spec = overrides.spec(height, width, stored.mean, stored.std)
    classes = fitting(overrides.classes, of_labels(stored.labels), place)
    return from_network(name, stored.network, spec, classes, place)
