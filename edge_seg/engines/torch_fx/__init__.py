"""PyTorch itself: int8 through FX graph mode and fbgemm's kernels, and the float module.

Its file is TorchScript, which only PyTorch's own restricted unpickler can read: it builds
tensors and TorchScript objects, no Python ones, but the code in it is run as it comes. So
a bundle with this engine is opened only when it is trusted.
"""

from collections.abc import Mapping

from edge_seg.engines import Engine
from edge_seg.engines.session import Options


def _engine(name: str, variants: Mapping[str, tuple[Options, ...]]) -> Engine:
    return Engine(
        name=name,
        folder="edge_seg.engines.torch_fx",
        runtime="torch",
        distribution="torch",
        extra="pack",
        suffix="pt",
        minimum_version="2.13",
        variants=variants,
        unpickles=True,
    )


FBGEMM = _engine("fbgemm", {"int8": ({},)})
TORCH = _engine("torch", {"float32": ({},)})
