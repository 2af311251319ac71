"""The usual pipelines: what a capable engineer writes around each engine, by its documentation.

Each takes a uint8 BGR frame and does cv2.resize, BGR to RGB, numpy normalise, transpose,
engine, numpy argmax, cv2.resize of the mask. What differs is the engine and its file.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_seg.frames import FrameSet
from edge_seg.models.model import Model
from edge_seg.models.registry import load
from edge_seg.preprocess import Frame, Mask, normalise

Network = Callable[[np.ndarray], np.ndarray]
"""Float32 (1, 3, h, w) in, float32 logits (1, classes, h, w) out."""


def usual_pipeline(model: Model, network: Network) -> Callable[[Frame], Mask]:
    """Return frame to mask around a network."""
    spec = model.input

    def predict(frame: Frame) -> Mask:
        resized = cv2.resize(frame, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
        rgb = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
        rgb = (rgb - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
        logits = network(np.ascontiguousarray(rgb.transpose(2, 0, 1)[None]))
        ids = logits[0].argmax(0).astype(np.uint8)
        size = (frame.shape[1], frame.shape[0])
        return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST), np.uint8)

    return predict


def torch_float32(model: Model, frames: list[np.ndarray]) -> Network:
    """PyTorch eager."""
    import torch

    module = model.module

    def run(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(x)).numpy()

    return run


def torch_fbgemm(model: Model, frames: list[np.ndarray]) -> Network:
    """PyTorch FX graph mode quantization with fbgemm's defaults, traced."""
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    torch.backends.quantized.engine = "fbgemm"
    example = torch.from_numpy(frames[0])
    prepared = prepare_fx(model.module, get_default_qconfig_mapping("fbgemm"), (example,))
    with torch.inference_mode():
        for frame in frames:
            prepared(torch.from_numpy(frame))
        network = torch.jit.freeze(torch.jit.trace(convert_fx(prepared), example))

    def run(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return run


def onnxruntime_float32(model: Model, frames: list[np.ndarray]) -> Network:
    """ONNX Runtime on PyTorch's export."""
    with tempfile.TemporaryDirectory() as folder:
        return _onnxruntime(_export(model, Path(folder)))


def onnxruntime_int8(model: Model, frames: list[np.ndarray]) -> Network:
    """``onnxruntime.quantization.quantize_static``: Q/DQ, per channel, safe without VNNI."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        """The calibration frames, once."""

        def __init__(self) -> None:
            self._frames = iter(frames)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Return the next input."""
            frame = next(self._frames, None)
            return None if frame is None else {"input": frame}

    with tempfile.TemporaryDirectory() as folder:
        exported, prepared = _export(model, Path(folder)), Path(folder) / "prepared.onnx"
        quantized = Path(folder) / "int8.onnx"
        quant_pre_process(exported, prepared)
        quantize_static(prepared, quantized, Reader(), per_channel=True, reduce_range=True)
        return _onnxruntime(quantized)


def openvino_float32(model: Model, frames: list[np.ndarray]) -> Network:
    """OpenVINO with its defaults: where the processor has bfloat16, it computes in that."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        return _openvino(openvino.Core().read_model(_export(model, Path(folder))))


def openvino_nncf_int8(model: Model, frames: list[np.ndarray]) -> Network:
    """``nncf.quantize`` with its defaults, run by OpenVINO."""
    import nncf
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        network = openvino.Core().read_model(_export(model, Path(folder)))
        quantized = nncf.quantize(network, nncf.Dataset(frames), subset_size=len(frames))
        return _openvino(quantized)


PEERS: dict[str, Callable[[Model, list[np.ndarray]], Network]] = {
    "torch float32": torch_float32,
    "torch fbgemm int8": torch_fbgemm,
    "onnxruntime float32": onnxruntime_float32,
    "onnxruntime int8": onnxruntime_int8,
    "openvino float32": openvino_float32,
    "openvino nncf int8": openvino_nncf_int8,
}


def build(name: str, model_name: str, calibration: str) -> Callable[[Frame], Mask]:
    """Return a peer's frame-to-mask function, quantized on the calibration set if it is int8."""
    warnings.simplefilter("ignore")
    model = load(model_name)
    frames = FrameSet.open(calibration)
    inputs = [normalise(frames.image(index), model.input) for index in range(len(frames))]
    return usual_pipeline(model, PEERS[name](model, inputs))


def _export(model: Model, folder: Path) -> Path:
    import torch

    path = folder / "model.onnx"
    example = torch.zeros(1, 3, model.input.height, model.input.width)
    names = {"input_names": ["input"], "output_names": ["logits"]}
    torch.onnx.export(model.module, (example,), path, dynamo=False, opset_version=17, **names)
    return path


def _onnxruntime(path: Path) -> Network:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"input": x})[0]


def _openvino(network: object) -> Network:
    import openvino

    compiled = openvino.Core().compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[0]
