"""What TensorRT's builder makes of the packed graphs, and whether x86 could run them as well."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from edge_seg import bench
from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.frames import FrameSet
from edge_seg.worker import Job, Worker
from targets.jetson.check import float_convolutions, judge
from targets.jetson.inspection import FLOAT_ON_PURPOSE

FRAMES = 200


def built(bundle: Path) -> dict:
    """Return what TensorRT for RTX builds from each model file of a Jetson bundle."""
    opened = open_bundle(bundle)
    manifest = opened.manifest
    files = {manifest.precision: manifest.model_file, **manifest.alternatives}
    result = {}
    for precision, name in files.items():
        judgement = judge(opened.read(name))
        kinds = [(layer.kind, layer.input_type) for layer in judgement.layers]
        result[precision] = {
            "runtime": f"{judgement.runtime} {judgement.runtime_version}",
            "builds": msgspec.to_builtins(judgement.builds),
            "kernels_reading_int8": sum(kind == "Int8" for _, kind in kinds),
            "float_convolutions": float_convolutions(judgement, FLOAT_ON_PURPOSE),
        }
    return result


def on_x86(jetson: Path, x86: dict[str, Path]) -> dict:
    """Time and score TensorRT's int8 file in x86's engines, against the files of their own."""
    frames = FrameSet.open("lane-test")
    result = {}
    for engine, path in x86.items():
        own, signed = open_bundle(path), open_bundle(jetson)
        with ExitStack() as stack:
            folder = path.parent
            workers = {
                name: stack.enter_context(
                    Worker(_job(bundle, engine, folder / f"{name}.onnx", own))
                )
                for name, bundle in (("own", own), ("tensorrt", signed))
            }
            timings = bench.interleave(workers, frames.path, FRAMES)
            scores = {name: worker.evaluate(frames)[0] for name, worker in workers.items()}
        medians = {
            name: float(np.median([row.total_ms for row in rows]))
            for name, (rows, _) in timings.items()
        }
        result[engine] = {
            "own_p50_ms": medians["own"],
            "tensorrt_file_p50_ms": medians["tensorrt"],
            "times_own": medians["tensorrt"] / medians["own"],
            "own_miou": scores["own"].miou,
            "tensorrt_file_miou": scores["tensorrt"].miou,
        }
    return result


def _job(bundle: Bundle, engine: str, place: Path, own: Bundle) -> Job:
    manifest = bundle.manifest
    place.write_bytes(bundle.read(manifest.model_file))
    return Job(engine, str(place), manifest.input, dict(own.manifest.options))
