"""The judge on any host: NVIDIA's own parser and builder, for GPUs that are not here.

    judgement = judge(model)                          # or GraphRefusedError, with the layer
    float_convolutions(judgement, ["up_rows"])        # ["/up.0/ConvTranspose"]: not in int8

TensorRT for RTX builds with no GPU and no driver, ahead of time for one that is named. What it
refuses, a Jetson's TensorRT would refuse too late; what it makes of a graph shows which layers
run in int8. A graph can end the process that builds it, so that is another one's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

import msgspec

from edge_seg.engines.tensorrt.api import load_api
from edge_seg.engines.tensorrt.build import BuildError, Settings, build
from edge_seg.errors import EdgeSegError, MissingRuntimeError, in_one_line
from edge_seg.files import scratch_folder, write_bytes
from edge_seg.progress import Track, silent
from edge_seg.worker import end_with
from targets.jetson.builder_log import Build, Layer, examine

CAPABILITIES = ("SM80", "SM86", "SM89", "SM120")
"""Ampere (an Orin's generation, whose own SM87 is not on offer), Ada and Blackwell."""
RUNTIMES = ("tensorrt_rtx", "tensorrt_rtx_bindings")
LIMIT_S = 600.0
"""For all builds of a graph; those of the shipped models take 1 to 2 seconds each."""


class GraphRefusedError(EdgeSegError):
    """NVIDIA's parser or builder does not take a graph; the message names the layer."""


class Judgement(msgspec.Struct, frozen=True):
    """What came of a graph: an engine for each GPU generation, and the layers of the first.

    ``notes`` say what could not be read out of the log; where ``layers`` is empty, nothing is
    known of what runs in int8.
    """

    runtime: str
    runtime_version: str
    builds: list[Build]
    layers: list[Layer]
    notes: list[str]


class _Answer(msgspec.Struct, frozen=True):
    """What the child says after each build; ``error`` is empty where there is an engine."""

    error: str = ""
    refused: bool = False
    runtime: str = ""
    version: str = ""
    build: Build | None = None
    layers: list[Layer] = []
    notes: list[str] = []


def judge(
    model: bytes, capabilities: Sequence[str] = CAPABILITIES, track: Track = silent
) -> Judgement:
    """Parse an ONNX graph and build it ahead of time for each GPU generation.

    Raises `GraphRefusedError` where one refuses it, and `MissingRuntimeError` where TensorRT
    for RTX is not installed.
    """
    if not any(importlib.util.find_spec(name) for name in RUNTIMES):
        raise MissingRuntimeError(
            "TensorRT for RTX, which judges graphs for a Jetson, is not installed: "
            "pip install 'edge-seg[jetson-check]'"
        )
    with scratch_folder() as folder, _started(folder, model, capabilities) as answers:
        given = list(track(answers, "checking with NVIDIA's builder", len(capabilities)))
    return Judgement(
        runtime=given[0].runtime,
        runtime_version=given[0].version,
        builds=[answer.build for answer in given if answer.build],
        layers=given[0].layers,
        notes=list(dict.fromkeys(note for answer in given for note in answer.notes)),
    )


def float_convolutions(judgement: Judgement, allowed: Sequence[str] = ()) -> list[str]:
    """Return the ONNX names of convolutions and matrix products that no kernel computes in int8.

    Of any of the builds, without those ``allowed``. Where ``judgement.layers`` is empty, the log
    was not understood, and an empty list means nothing.
    """
    names = [name for build in judgement.builds for name in build.float_layers]
    return [name for name in dict.fromkeys(names) if name not in allowed]


@contextlib.contextmanager
def _started(
    folder: Path, model: bytes, capabilities: Sequence[str]
) -> Iterator[Iterator[_Answer]]:
    """Yield the answers of a child that builds for one after the other, and end it."""
    path = folder / "model.onnx"
    write_bytes(path, model)
    with open(folder / "stderr", "w+b") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "targets.jetson.check", str(os.getpid()), path, *capabilities],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        end = monotonic() + LIMIT_S  # before the timer begins: what it kills has ended after it
        limit = threading.Timer(LIMIT_S, child.kill)
        limit.start()
        try:
            yield _answers(child, capabilities, end, said)
        finally:
            limit.cancel()
            child.kill()
            child.communicate()


def _answers(
    child: subprocess.Popen[bytes], capabilities: Sequence[str], end: float, said: IO[bytes]
) -> Iterator[_Answer]:
    assert child.stdout is not None
    for capability in capabilities:
        line = child.stdout.readline()
        if not line:
            raise GraphRefusedError(
                f"{_died(child, end, said)}, tried for {capability}: change the model, or pack it "
                "for another engine"
            )
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.refused:
            raise GraphRefusedError(f"{answer.error} (tried for {capability})")
        if answer.error:
            raise EdgeSegError(answer.error)
        yield answer


def _died(child: subprocess.Popen[bytes], end: float, said: IO[bytes]) -> str:
    code = child.wait()
    if monotonic() >= end:
        return f"NVIDIA's builder has no engine of this graph after {LIMIT_S:.0f} s"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    said.seek(0)
    last = said.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"the graph ends NVIDIA's builder ({': '.join([how, *last])[:200]})"


def main() -> None:
    """The child's end: build for each GPU generation and answer with a line each."""
    parent, path, *capabilities = sys.argv[1:]
    end_with(int(parent))
    # What a runtime prints must not mix with the answers.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The parent decides when this ends; Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model = Path(path).read_bytes()
    for capability in capabilities:
        try:
            answer = _build(model, capability)
        except BuildError as error:
            answer = _Answer(error=str(error), refused=True)
        except Exception as error:
            answer = _Answer(error=in_one_line(error))
        replies.write(msgspec.json.encode(answer) + b"\n")
        replies.flush()


def _build(model: bytes, capability: str) -> _Answer:
    api = load_api(next(name for name in RUNTIMES if importlib.util.find_spec(name)))
    built = build(api, model, Settings(compute_capability=capability), verbose=True)
    about, layers, note = examine(built.log, capability, len(built.plan))
    notes = [f"{note} ({api.name} {api.version})"] if note else []
    return _Answer("", False, api.name, api.version, about, layers, notes)


if __name__ == "__main__":
    main()
