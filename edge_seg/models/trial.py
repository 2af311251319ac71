"""A trial run: does the model keep its contract, (1, 3, h, w) in, (1, classes, h, w) out?

check_output(model)  # raises EdgeSegError where it does not
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.models.model import Model


def check_output(model: Model) -> None:
    """Run one grey image through the model and judge what comes out.

    Raises `EdgeSegError` where the forward pass fails, the output is not a float tensor
    (1, classes, height, width), or it is not finite.
    """
    shape = (1, 3, model.input.height, model.input.width)
    image = np.full(shape, 0.5, dtype=np.float32)
    try:
        logits = _run_module(model, image) if model.onnx is None else _run_onnx(model, image)
    except EdgeSegError:
        raise
    except Exception as error:  # the user's own code runs here: anything may come
        raise EdgeSegError(
            f"{model.name} fails on an input of shape {shape}: {in_one_line(error)}; "
            + _way_out(error)
        ) from error
    wanted = (1, len(model.classes), model.input.height, model.input.width)
    if logits.shape != wanted:
        raise EdgeSegError(
            f"{model.name} returns {logits.shape}, not (N, classes, H, W) = {wanted}: "
            + _advice(logits.shape, wanted)
        )
    if not np.isfinite(logits).all():
        raise EdgeSegError(
            f"{model.name} returns NaN or infinity on a grey image: check its weights"
        )


def _way_out(error: Exception) -> str:
    if "is not a registered function" in str(error):  # ONNX Runtime on an unknown operator
        return "replace that operator by standard ONNX ones"
    return "give the size it was made for with --input-size"


def _advice(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] != wanted[1] and shape[2:] == wanted[2:]:
        return f"its outputs are {shape[1]} classes, the class map has {wanted[1]}"
    if len(shape) == 4 and shape[1:3] == wanted[2:]:
        return "put the classes on axis 1: (N, H, W, classes) is another layout"
    if len(shape) == 4 and shape[1] == wanted[1]:
        return "upsample the logits to the input's size inside the model"
    return "wrap it so that it returns its logits as one tensor"


def _run_module(model: Model, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import torch

    assert model.module is not None
    with torch.no_grad():
        logits = model.module(torch.from_numpy(image))
    if not isinstance(logits, torch.Tensor):
        raise EdgeSegError(
            f"{model.name} returns {type(logits).__name__}, not a tensor (N, classes, H, W): "
            "wrap it so that it returns its logits alone"
        )
    return logits.float().numpy()


def _run_onnx(model: Model, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception, once
    session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: image})[0])
