"""A model that the user brings as a ``.pt2`` file, written by `torch.export.save`.

    model = load("lanes.pt2")

`torch.export.load` (looked at in torch 2.13) is not safe on a file from a stranger: it unpickles
payloads marked ``use_pickle``, and falls back to a full unpickling of the sample inputs and of
old-style weights; it loads native code (AOTInductor); it looks operators up by any dotted name;
it imports modules that a pytree names; it hands symbolic shapes to sympy, which evaluates them;
and it executes the file's ``guards_code`` and Python that it writes from the file's names. A plain
exported network needs none of this. So `refuse_code` reads the archive first, as zip and JSON,
and lets through only raw or weights-only tensors, ATen operators, plain names and fixed shapes.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.models import weights_file
from edge_seg.models.model import Model, Overrides, from_network
from edge_seg.models.user import guess_classes

_OPERATORS = re.compile(r"torch\.ops\.aten\.\w+(\.\w+)?|_operator\.getitem")
_NAME = re.compile(r"[\w.]*")
_NAMED = ("name", "fqn", "parameter_name", "buffer_name", "tensor_constant_name", "class_fqn")
_TREE_TYPE = re.compile(r'"type":(?! *(?:null|"builtins\.(?:tuple|list|dict)"))')
_KNOWN_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
    r"|models/\w+\.json"
    r"|data/weights/(weight_\d+|\w+_weights_config\.json)"
    r"|data/constants/(tensor_\d+|\w+_constants_config\.json)"
    r"|data/sample_inputs/\w+\.pt"
)


def load(name: str, overrides: Overrides) -> Model:
    """Read the file, after `refuse_code`; its input's size is fixed in the program.

    Raises `EdgeSegError` where the file is missing or broken, would run code when loaded, or
    does not take one tensor (1, 3, h, w).
    """
    path = Path(name)
    refuse_code(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
    except Exception as error:  # torch's errors on a broken program have no common root
        raise EdgeSegError(
            f"{path} cannot be loaded as an exported program: {in_one_line(error)}"
        ) from error
    height, width = _input_size(program, path, overrides.input_size)
    weights_file.refuse_not_finite(program.state_dict, path)
    network = _in_eval_mode(program)
    spec = overrides.spec(height, width)
    chosen = overrides.classes or guess_classes(network, spec)
    return from_network(path.stem, network, spec, chosen, path.name)


def refuse_code(path: Path) -> None:
    """Raise `EdgeSegError` unless loading ``path`` can run no code of its maker."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            members = {name.partition("/")[2]: name for name in names}
            folders = {name.partition("/")[0] for name in names}
            if len(folders) != 1 or len({name.lower() for name in members}) != len(names):
                raise _refusal(path, "two of its members have one name, or it has two folders")
            for member in members:
                if not _KNOWN_MEMBERS.fullmatch(member):
                    raise _refusal(path, f"it holds {member or 'a member without a folder'}")
            if not any(member.startswith("models/") for member in members):
                raise _refusal(path, "it is of the format before torch 2.8")
            for member, full_name in members.items():
                _check_member(path, member, archive.read(full_name))
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EdgeSegError(f"cannot read {path} as an exported program: {reason}") from error


def _check_member(path: Path, member: str, payload: bytes) -> None:
    if member.endswith(".json"):
        try:
            tree = msgspec.json.decode(payload)
        except msgspec.DecodeError as error:
            raise EdgeSegError(f"{path} is broken: {member} is no JSON ({error})") from error
        for key, value in _entries(tree):
            reason = _reason_to_refuse(key, value)
            if reason:
                raise _refusal(path, reason)
    elif member.startswith("data/sample_inputs/") and payload:
        try:
            torch.load(io.BytesIO(payload), weights_only=True)
        except Exception as error:  # a broken or a hostile pickle: torch raises many kinds
            raise _refusal(path, "its sample inputs hold more than tensors") from error


def _reason_to_refuse(key: str, value: Any) -> str:
    """Return why this entry of the program's JSON could run code, empty where it cannot."""
    if key == "use_pickle" and value:
        return "a tensor in it is pickled"
    if key == "target" and not (isinstance(value, str) and _OPERATORS.fullmatch(value)):
        return f"it uses the operator {value}"
    if key == "expr_str":
        return "its shapes are dynamic (export it with a fixed size)"
    if key == "guards_code" and value:
        return "it has guards, which are Python"
    if key in _NAMED and isinstance(value, str) and not _NAME.fullmatch(value):
        return f"'{value[:40]}' is no name"
    if key in ("in_spec", "out_spec") and _TREE_TYPE.search(str(value)):
        return "it takes or returns objects of its own types"
    return ""


def _entries(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON objects, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _refusal(path: Path, reason: str) -> EdgeSegError:
    return EdgeSegError(
        f"{path} is refused because loading it could run code: {reason}; "
        "save it with torch.export.save from torch 2.8 or newer, or bring it as .onnx"
    )


def _input_size(program: Any, path: Path, asked: tuple[int, int] | None) -> tuple[int, int]:
    """Return the (height, width) that the program was exported for."""
    by_name = {node.name: node for node in program.graph.nodes}
    shapes = [
        tuple(by_name[name].meta["val"].shape) for name in program.graph_signature.user_inputs
    ]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][:2] != (1, 3):
        raise EdgeSegError(f"{path} takes inputs {shapes}, not one of (1, 3, height, width)")
    height, width = int(shapes[0][2]), int(shapes[0][3])
    if asked not in (None, (height, width)):
        raise EdgeSegError(f"{path} was exported for {height}x{width}, not {asked[0]}x{asked[1]}")
    return height, width


def _in_eval_mode(program: Any) -> Any:
    """Return the program's graph as a module; refuse one exported in training mode."""
    for node in program.graph.nodes:
        if "batch_norm" in str(node.target) and True in node.args:
            logging.getLogger(__name__).debug("training batch norm: %s", node)
            raise EdgeSegError(
                "the program was exported in training mode: call model.eval() before torch.export"
            )
    module = program.module()
    # An exported module refuses .eval() and .train(), which ONNX export calls: its mode was fixed
    # at export, and that it is eval was checked above.
    module.eval = lambda: module
    module.train = lambda mode=True: module
    return module
