"""The grid that fbgemm and qnnpack compute on: the recipe's, as FX's observers.

    mapping = grid_mapping("fbgemm", recipe.weights)

Activations are uint8, 0..255, between the recipe's ends (`ranges`). Weights are symmetric, with a
scale for each output channel or one for all, and reach `LAST_STEP`, which is seven bits. So no sum
saturates on x86 processors without VNNI, whose ``vpmaddubsw`` adds two products of uint8 and int8
in 16 bits: 255 * 64 * 2 = 32640 is less than 32767. FX's own guard for fbgemm is the same the other
way round, seven bits of activations and eight of weights (127 * 128 * 2 = 32512).

Biases lie on the grid of their sums, input's step times weight's (`round_biases`): the kernels take
floats, but a MobileNetV2 makes of each value that is rounded another way a hundred some layers on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.ao.nn.intrinsic.modules.fused import _FusedModule
from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver

from edge_seg.quantize.recipe import Weights

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping

LAST_STEP = 64
"""Where ONNX Runtime's seven bits (``reduce_range``) end, and so the simulation's."""
NESTED = 63
"""The last step of fewer bits: 7, 3 and 1 divide it, so that their grids lie in this one."""
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
SHUFFLED = 4
"""Output pixels, and so channels of the 1x1 convolution, for each pixel of `with_pixel_shuffle`."""


class FourChannelsObserver(PerChannelMinMaxObserver):
    """One scale for the four channels that a pixel shuffle makes one of.

    The layer was a transposed convolution, and the recipe's grid has a scale for each of its
    output channels.
    """

    def forward(self, x_orig: torch.Tensor) -> torch.Tensor:
        """Observe the weights (4 out, in, 1, 1), four rows together."""
        super().forward(x_orig.reshape(len(x_orig) // SHUFFLED, -1))
        for name in ("min_val", "max_val"):
            setattr(self, name, getattr(self, name).repeat_interleave(SHUFFLED))
        return x_orig


def grid_mapping(kernels: str, weights: Weights, shuffled: Iterable[str] = ()) -> QConfigMapping:
    """Return FX's defaults for these kernels, on the recipe's grid wherever they have histograms.

    What needs no observing keeps its grid: a sigmoid's output is 0..1 whatever the frames are.
    ``shuffled`` names the 1x1 convolutions that stand for transposed ones.
    """
    from torch.ao.quantization import HistogramObserver, QConfig, get_default_qconfig_mapping

    activation = MinMaxObserver.with_args(dtype=torch.quint8)

    def on_grid(config: QConfig | None) -> QConfig | None:
        if config is None or not isinstance(config.activation(), HistogramObserver):
            return config
        # A transposed convolution's; a PReLU's and a layer norm's are of another kind.
        signed = config.weight().qscheme == torch.per_tensor_symmetric
        return QConfig(activation, per_tensor if signed else config.weight)

    per_tensor = _weight_observer(weights.bits, MinMaxObserver)
    usual = _weight_observer(weights.bits, PerChannelMinMaxObserver)
    together = _weight_observer(weights.bits, FourChannelsObserver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every observer says that its arguments are old
        mapping = get_default_qconfig_mapping(kernels)
        for kind, config in list(mapping.object_type_qconfigs.items()):
            mapping.set_object_type(kind, on_grid(config))
    mapping.set_global(QConfig(activation, usual if weights.per_channel else per_tensor))
    for name in shuffled if weights.per_channel else ():
        mapping.set_module_name(name, QConfig(activation, together))
    return mapping


def round_biases(prepared: fx.GraphModule) -> None:
    """Round the biases of quantized layers to whole sums, once their inputs' ranges are set."""
    modules = dict(prepared.named_modules(remove_duplicate=False))
    for node in prepared.graph.nodes:
        whole = modules.get(str(node.target)) if node.op == "call_module" else None
        layer = next(whole.children()) if isinstance(whole, _FusedModule) else whole
        if not isinstance(layer, LAYERS) or layer.bias is None:
            continue
        config = getattr(whole, "qconfig", None)
        entrance = modules.get(str(node.args[0].target))
        if config is None or not isinstance(entrance, MinMaxObserver):
            continue
        weights = config.weight()
        weights(layer.weight)
        step = entrance.calculate_qparams()[0].double() * weights.calculate_qparams()[0].double()
        with torch.no_grad():
            layer.bias.copy_((layer.bias / step).round() * step)


def _weight_observer(bits: int, kind: type[MinMaxObserver | PerChannelMinMaxObserver]) -> Any:
    """Return what makes observers of this kind for weights of this many bits."""
    last = LAST_STEP if bits == 7 else NESTED
    by_channel = issubclass(kind, PerChannelMinMaxObserver)
    return kind.with_args(
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric if by_channel else torch.per_tensor_symmetric,
        quant_min=-last,
        quant_max=last,
    )
