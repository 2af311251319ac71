"""One face for the modules that build and run TensorRT engines, whatever their version.

    api = load_api()
    api.name, api.version                # ("tensorrt", "10.3.0")
    logger = make_logger(api)
    builder = api.module.Builder(logger)
    last_error(logger.messages)          # why it gave up, in one line

``tensorrt`` 8.5 to 11 and ``tensorrt_rtx`` share most of their names. What came and went in
between is asked of the module itself here; nothing else in this package looks at a version.
"""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass
from typing import Any

from edge_seg.engines.tensorrt.messages import Message, last_error
from edge_seg.errors import EdgeSegError, MissingRuntimeError, closest, in_one_line

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""What is looked for, in this order; the last is TensorRT for RTX without its metapackage."""
OLDEST = (8, 5)
"""JetPack 5.1. Before it, an engine has no uint8 tensors and no `execute_async_v3`."""
NEWEST_MAJOR = 11


@dataclass(frozen=True)
class Api:
    """A TensorRT module: ``name`` is "tensorrt" or "tensorrt-rtx", ``version`` its own."""

    module: Any
    name: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the version as numbers: (10, 3, 0)."""
        return _numbers(self.version)

    @property
    def strongly_typed(self) -> bool:
        """Say whether a network can be told to keep to the types that the graph names."""
        return hasattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")

    @property
    def has_precision_flags(self) -> bool:
        """Say whether int8 and float16 can be allowed by flags of the builder (until 10)."""
        return all(hasattr(self.module.BuilderFlag, flag) for flag in ("INT8", "FP16"))

    @property
    def reports_progress(self) -> bool:
        """Say whether a build tells how far it is, and can be ended."""
        return hasattr(self.module, "IProgressMonitor")

    @property
    def builds_ahead(self) -> bool:
        """Say whether an engine can be built for a GPU that is not here (TensorRT for RTX)."""
        return hasattr(self.module.IBuilderConfig, "set_compute_capability")

    def typed_by_graph(self, dla: bool) -> bool:
        """Say whether the graph's types decide, or the builder's flags.

        DLA computes in int8 and float16 only. Typed by the graph, float layers are float32 and
        none of them could go there, so that the flags are taken as long as they exist.
        """
        return self.strongly_typed and not (dla and self.has_precision_flags)

    def network_flags(self, dla: bool = False) -> int:
        """Return the flags that a network for a Q/DQ graph is made with."""
        known = self.module.NetworkDefinitionCreationFlag
        names = ["STRONGLY_TYPED"] if self.typed_by_graph(dla) else []
        # Without it, TensorRT 8 and 9 make a network that the ONNX parser refuses.
        names += ["EXPLICIT_BATCH"] if hasattr(known, "EXPLICIT_BATCH") else []
        return sum(1 << int(getattr(known, name)) for name in names)

    def precision_flags(self, quantized: bool, half: bool, dla: bool = False) -> list[Any]:
        """Return the builder's flags for a graph with Q/DQ pairs, or with half precision in it.

        None where the graph's types decide. Where they do not, "to enable any quantization
        operations, the INT8 flag must be set in the builder configuration" (NVIDIA, TensorRT 8
        developer guide, "Working with INT8"); FP16 adds to what layers outside of Q/DQ pairs may
        use, and without it half precision in a graph is computed as float.
        """
        if self.typed_by_graph(dla) or not self.has_precision_flags:
            return []
        flags = [self.module.BuilderFlag.INT8] if quantized else []
        return flags + ([self.module.BuilderFlag.FP16] if quantized or half else [])

    def require_runs_on(self, gpu: str, compute_capability: str) -> None:
        """Raise `EdgeSegError` where this TensorRT has no kernels for the GPU ("8.7").

        TensorRT for RTX names the generations that it is for; TensorRT itself only knows when it
        builds.
        """
        if not self.builds_ahead:
            return
        known = [name for name in self.module.ComputeCapability.__members__ if name[:2] == "SM"]
        if f"SM{compute_capability.replace('.', '')}" not in known:
            raise EdgeSegError(
                f"TensorRT for RTX {self.version} does not run on {gpu}, compute capability "
                f"{compute_capability}: pip install tensorrt"
            )

    def capability(self, name: str) -> Any:
        """Return the GPU generation of a name like "SM86", to build an engine for."""
        if not self.builds_ahead:
            raise EdgeSegError(
                f"{self.name} {self.version} builds for the GPU of this machine only, not for "
                f"{name}: TensorRT for RTX does (pip install 'edge-seg[jetson-check]')"
            )
        known = self.module.ComputeCapability
        names = [member for member in known.__members__ if member.startswith("SM")]
        if name not in names:
            raise EdgeSegError(f"unknown compute capability '{name}': {closest(name, names)}")
        return getattr(known, name)


def load_api(name: str | None = None) -> Api:
    """Return the module of that name, or the first of `MODULES` that works.

    Raises `MissingRuntimeError` where there is none, and `EdgeSegError` where one is there and
    does not import, or has a version that this project does not know.
    """
    if name is not None and name not in MODULES:
        raise EdgeSegError(f"unknown TensorRT module '{name}': {closest(name, MODULES)}")
    broken = None
    for candidate in MODULES if name is None else (name,):
        try:
            return _load(candidate)
        except MissingRuntimeError:
            continue
        except _BrokenError as error:
            broken = broken or error
    raise broken or MissingRuntimeError(
        "TensorRT is not installed: on a Jetson, sudo apt install tensorrt python3-libnvinfer and "
        "make the virtual environment with --system-site-packages; on a PC with an NVIDIA GPU, "
        "pip install tensorrt"
    )


class _BrokenError(EdgeSegError):
    """A module is there and cannot be used; another one may be."""


def _load(name: str) -> Api:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a stub raises what it likes, a missing library an ImportError
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise MissingRuntimeError(f"{name} is not installed") from None
        raise _BrokenError(
            f"{name} is installed but cannot be imported: {in_one_line(error)}; on a Jetson, sudo "
            "apt install --reinstall tensorrt python3-libnvinfer, elsewhere pip install it anew"
        ) from error
    version = getattr(module, "__version__", None)
    if version is None or not hasattr(module, "Builder"):
        raise _BrokenError(
            f"{name} is installed but holds no builder: remove what is called so, then "
            "pip install tensorrt, or on a Jetson sudo apt install python3-libnvinfer"
        )
    api = Api(module, "tensorrt" if name == "tensorrt" else "tensorrt-rtx", str(version))
    require_known(api.name, api.version)
    return api


def require_known(name: str, version: str) -> None:
    """Raise `EdgeSegError` for a ``tensorrt`` older than 8.5 or newer than 11."""
    numbers = _numbers(version)
    if name != "tensorrt":
        return
    if numbers < OLDEST:
        raise EdgeSegError(
            f"TensorRT {version} is too old, 8.5 to 11 are known to this version of edge-seg: "
            "install JetPack 5.1 or newer (or on a PC, pip install -U tensorrt)"
        )
    if numbers[0] > NEWEST_MAJOR:
        raise EdgeSegError(
            f"TensorRT {version} is too new, 8.5 to 11 are known to this version of edge-seg: "
            "install a newer edge-seg, or pip install 'tensorrt<12'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "10.0.0b6" gives (10, 0, 0)."""
    return tuple(int(part) for part in re.findall(r"(?:^|\.)(\d+)", version))


def make_logger(api: Api, verbose: bool = False) -> Any:
    """Return a logger that prints nothing and keeps what is said in ``messages``.

    It must live as long as the builder or the runtime that it is given to. ``verbose`` keeps
    the thousands of VERBOSE lines too.
    """

    class Logger(api.module.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.messages: list[Message] = []

        def log(self, severity: Any, msg: str) -> None:
            """Keep a message. It is called from C++, through which nothing may be raised."""
            if verbose or severity.name != "VERBOSE":
                self.messages.append(Message(severity.name, msg))

    return Logger()


def make_builder(api: Api, logger: Any) -> Any:
    """Return a builder; raises `EdgeSegError` where TensorRT does not start: without a GPU."""
    try:
        return api.module.Builder(logger)
    except (TypeError, RuntimeError) as error:  # pybind11's way to say that it got nothing
        raise EdgeSegError(
            f"{api.name} {api.version} does not start: {last_error(logger.messages)}; look for the "
            "GPU and its driver with edge-seg doctor"
        ) from error


def use_timing_cache(config: Any, content: bytes) -> None:
    """Let the builder read and fill a timing cache; one that it refuses is begun anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorRT for RTX times nothing, and says so
        for start in (content, b"") if content else (b"",):
            cache = config.create_timing_cache(start)
            # Not one of another GPU or version: its times would be wrong here.
            if cache is not None and config.set_timing_cache(cache, False):
                return


def timing_cache_of(config: Any) -> bytes:
    """Return the timing cache after a build, for the next one; empty where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache = config.get_timing_cache()
        return b"" if cache is None else bytes(cache.serialize())
