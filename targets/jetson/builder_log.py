"""What the verbose log of TensorRT for RTX tells of an engine: its kernels, types and memory.

    build, layers, note = examine(log, "SM86", plan_bytes=len(plan))
    build.float_layers                 # ["/up.0/ConvTranspose"]: convolutions that are not int8

The engine itself can only be asked on a GPU. A log of another form leaves the layers empty and
says so in the note.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_CONVOLUTIONS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_KINDS = ("correlation", "deconv", "gemm")
"""Kernels that compute those; "kgen" are generated ones, for what is done to each element."""

_NODE = re.compile(r"Parsing node: (.+) \[(\w+)\]")
_LAYER = re.compile(
    r"^Name: (?P<name>.+?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"(?:Constants: \[.*?\], )?Outputs: \[(?P<outputs>.*?)\], TacticName:(?P<rest>.*)$"
)
_TYPE = re.compile(r"Datatype: (\w+)")
_FUSED = re.compile(r"\[ONNX Layer: (.+?)\](?=\x1f?\[ONNX Layer: |\s*$)")
_FIGURES = {
    "activation_bytes": re.compile(r"Total Activation Memory: (\d+) bytes"),
    "weight_bytes": re.compile(r"Total Weights Memory: (\d+) bytes"),
    "seconds": re.compile(r"Engine generation completed in ([\d.]+) seconds"),
}


class Layer(msgspec.Struct, frozen=True):
    """A kernel of an engine: the types of what it reads and writes, the ONNX nodes in it."""

    name: str
    kind: str
    input_type: str
    output_type: str
    fused: list[str]


class Build(msgspec.Struct, frozen=True):
    """An engine that was built; memory is what it asks for, None where the log did not say.

    ``float_layers`` are the ONNX convolutions and matrix products whose input is not int8.
    """

    capability: str
    seconds: float | None
    plan_bytes: int
    activation_bytes: int | None
    weight_bytes: int | None
    kernels: int
    float_layers: list[str]


def read_layers(log: Sequence[str]) -> list[Layer]:
    """Return the kernels that a verbose log lists, none where it lists none or in another form."""
    dumps = [text for text in log if text.startswith("Layers:")]
    lines = [line for line in "".join(dumps[-1:]).split("\n") if line.startswith("Name: ")]
    found = [_LAYER.match(line) for line in lines]
    if not all(found):
        return []
    return [
        Layer(
            name=layer["name"],
            kind=layer["kind"],
            input_type="".join(_TYPE.findall(layer["inputs"])[:1]),
            output_type="".join(_TYPE.findall(layer["outputs"])[:1]),
            fused=_FUSED.findall(layer["rest"]),
        )
        for layer in found
        if layer
    ]


def float_layers(layers: Sequence[Layer], log: Sequence[str]) -> list[str]:
    """Return the convolutions and matrix products of the graph that no kernel reads int8 for.

    ``log`` names the nodes as they are parsed, with their operators. A node that no kernel
    names is told too: nothing says that it is in int8.
    """
    nodes = [match.groups() for text in log for match in [_NODE.fullmatch(text)] if match]
    names = [name for name, operator in nodes if operator in _CONVOLUTIONS]
    floats = []
    for name in names:
        inside = [layer for layer in layers if name in layer.fused]
        # A kernel before it, which quantizes, and one behind, which adds the bias, name it too.
        kernels = [layer for layer in inside if layer.kind in _KINDS] or inside
        if not kernels or any(layer.input_type != "Int8" for layer in kernels):
            floats.append(name)
    return floats


def examine(log: Sequence[str], capability: str, plan_bytes: int) -> tuple[Build, list[Layer], str]:
    """Return what a verbose log tells of a build, its layers, and what it did not tell or ""."""
    text = "\n".join(line for line in log if len(line) < 200)
    found = {name: figure.search(text) for name, figure in _FIGURES.items()}
    layers = read_layers(log)
    missing = [name for name, match in found.items() if not match]
    if not layers or not any(map(_NODE.fullmatch, log)):
        layers, missing = [], ["layers", *missing]
    values = {name: float(match[1]) if match else None for name, match in found.items()}
    activations, weights = values["activation_bytes"], values["weight_bytes"]
    build = Build(
        capability=capability,
        seconds=values["seconds"],
        plan_bytes=plan_bytes,
        activation_bytes=None if activations is None else int(activations),
        weight_bytes=None if weights is None else int(weights),
        kernels=len(layers),
        float_layers=float_layers(layers, log) if layers else [],
    )
    note = f"not found in the builder's log: {', '.join(missing)}" if missing else ""
    return build, layers, note
