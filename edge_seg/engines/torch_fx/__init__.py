"""PyTorch itself: the float module, and int8 by FX graph mode on fbgemm's or qnnpack's kernels.

fbgemm is for x86, qnnpack for ARM. What FX does for both is in ``ptq`` and ``tracing``, what
fbgemm needs of its own in ``lowering``, what qnnpack needs in the folder ``qnnpack``.

The file is TorchScript, and opening it runs what is in it (docs/torchscript-trust.md), so a
bundle with one of these engines is opened only when it is trusted.
"""

from collections.abc import Mapping

from edge_seg.engines import Engine
from edge_seg.engines.session import Options


def _engine(
    name: str,
    variants: Mapping[str, tuple[Options, ...]],
    folder: str = "edge_seg.engines.torch_fx",
    extra: str = "pack",
    minimum_version: str = "2.13",
    portable: bool = False,
) -> Engine:
    return Engine(
        name=name,
        folder=folder,
        runtime="torch",
        distribution="torch",
        extra=extra,
        suffix="pt",
        minimum_version=minimum_version,
        variants=variants,
        unpickles=True,
        portable=portable,
        from_module=True,
    )


FBGEMM = _engine("fbgemm", {"int8": ({},)})
TORCH = _engine("torch", {"float32": ({},)})
# Written by torch 2.13 and read by older ones: 2.9.1 is the newest that runs on a Raspberry Pi 4.
# The masks of x86, to the pixel, on an emulated Cortex-A72 (torch 2.5.1, 2.9.1) and A76 (2.9.1).
QNNPACK = _engine(
    "qnnpack",
    {"int8": ({},)},
    folder="edge_seg.engines.torch_fx.qnnpack",
    extra="qnnpack",
    minimum_version="2.5",
    portable=True,
)
