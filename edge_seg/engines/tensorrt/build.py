"""ONNX bytes to the plan of an engine: minutes on a Jetson, where kernels are timed.

    built = build(load_api(), model, Settings(), timing_cache=kept, track=track)
    built.plan                   # what `Runtime.deserialize_cuda_engine` takes
    built.timing_cache           # makes the next build on this machine a short one

The graph has its quantization in it (Q/DQ pairs), so nothing is calibrated here. With no GPU
at hand, TensorRT for RTX builds for one that is named: ``Settings(compute_capability="SM86")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_seg.engines.tensorrt.api import (
    Api,
    make_builder,
    make_logger,
    timing_cache_of,
    use_timing_cache,
)
from edge_seg.engines.tensorrt.messages import (
    MEMORY,
    WORKSPACE,
    Message,
    last_error,
    node_refused,
    says,
)
from edge_seg.engines.tensorrt.watch import Watch, watched
from edge_seg.errors import EdgeSegError
from edge_seg.progress import Track, silent


@dataclass(frozen=True)
class Settings:
    """How to build.

    ``workspace_bytes`` is the memory that kernels may use beside the tensors (None: what the
    runtime chooses, which is all of the GPU's); ``dla`` takes DLA core 0, and the GPU for what it
    cannot do; ``compute_capability`` names a GPU that is not here ("SM86", TensorRT for RTX only).
    """

    workspace_bytes: int | None = None
    dla: bool = False
    compute_capability: str | None = None


@dataclass(frozen=True)
class Built:
    """An engine's plan, the timing cache for the next build, and what the builder said."""

    plan: bytes
    timing_cache: bytes
    log: tuple[str, ...]


class BuildError(EdgeSegError):
    """TensorRT does not take this graph; the message names the node and the reason."""


class _SmallWorkspaceError(BuildError):
    """No kernel gets by with the workspace that was asked for."""


class _NoMemoryError(EdgeSegError):
    """Memory ran out; ``workspace`` is how much of it kernels were allowed, 0 if not known."""

    def __init__(self, workspace: int) -> None:
        super().__init__("out of memory")
        self.workspace = workspace


DEFAULT = Settings()
DAMAGED = "the model is no ONNX file, or a damaged one: pack the model again"


def build(
    api: Api,
    model: bytes,
    settings: Settings = DEFAULT,
    timing_cache: bytes = b"",
    track: Track = silent,
    verbose: bool = False,
) -> Built:
    """Return the plan of an ONNX file.

    Where memory runs out, it is tried once more with half the workspace. ``track`` gets percents;
    Ctrl-C ends the build. ``verbose`` puts thousands of lines and the layers into the log.

    Raises `BuildError` where TensorRT refuses the graph, and `EdgeSegError` where memory runs
    out or the machine has not what ``settings`` ask for.
    """
    try:
        return watched(api, track, _attempt, model, settings, timing_cache, verbose)
    except _NoMemoryError as error:
        half = error.workspace // 2 or settings.workspace_bytes
        less = replace(settings, workspace_bytes=half)
    try:
        return watched(api, track, _attempt, model, less, timing_cache, verbose)
    except (_NoMemoryError, _SmallWorkspaceError) as error:
        raise EdgeSegError(
            "memory ran out while building the engine, and again with half the workspace: close "
            "other programs or add swap, then build again"
        ) from error


def _attempt(
    api: Api, watch: Watch, model: bytes, settings: Settings, timing_cache: bytes, verbose: bool
) -> Built:
    logger = make_logger(api, verbose)
    workspace = settings.workspace_bytes or 0
    try:
        builder = make_builder(api, logger)
        _require_dla(builder, settings)
        network = builder.create_network(api.network_flags(settings.dla))
        parser = _parsed(api, network, logger, model)
        config = _config(api, builder, network, settings, verbose)
        workspace = config.get_memory_pool_limit(api.module.MemoryPoolType.WORKSPACE)
        if api.reports_progress:
            config.progress_monitor = watch.monitor
        use_timing_cache(config, timing_cache)
        plan = builder.build_serialized_network(network, config)
        del parser  # not before: the network's weights are the parser's
    except MemoryError:
        raise _NoMemoryError(workspace) from None
    except UnicodeDecodeError:  # names that are no text, asked for by the parser's errors
        raise BuildError(DAMAGED) from None
    if plan is None:
        raise _refusal(api, logger.messages, settings, workspace)
    said = tuple(message.text for message in logger.messages)
    return Built(bytes(plan), timing_cache_of(config), said)


def _require_dla(builder: Any, settings: Settings) -> None:
    if settings.dla and builder.num_DLA_cores == 0:
        raise EdgeSegError(
            "TensorRT has no DLA core here (Orin Nano and Thor have none at all): leave DLA out"
        )


def _parsed(api: Api, network: Any, logger: Any, model: bytes) -> Any:
    """Fill the network, and return the parser; raises `BuildError` where it refuses a node."""
    parser = api.module.OnnxParser(network, logger)
    if not parser.parse(model):
        raise _parse_error(api, parser, logger.messages)
    if network.num_outputs == 0:  # so for an empty file, and for many that are no ONNX at all
        raise BuildError(DAMAGED)
    return parser


def _parse_error(api: Api, parser: Any, messages: Sequence[Message]) -> EdgeSegError:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        return BuildError(f"{api.name} {api.version} refuses the graph: {last_error(messages)}")
    if says([error.desc() for error in errors], MEMORY):
        return _NoMemoryError(0)
    if errors[0].code() == api.module.ErrorCode.MODEL_DESERIALIZE_FAILED:
        return BuildError(DAMAGED)
    return BuildError(f"{api.name} {api.version} refuses {node_refused(errors[0])}")


def _config(api: Api, builder: Any, network: Any, settings: Settings, verbose: bool) -> Any:
    config = builder.create_builder_config()
    if settings.workspace_bytes:
        pool = api.module.MemoryPoolType.WORKSPACE
        config.set_memory_pool_limit(pool, settings.workspace_bytes)
    for flag in api.precision_flags(_quantized(api, network), _half(api, network), settings.dla):
        config.set_flag(flag)
    if settings.dla:
        config.default_device_type = api.module.DeviceType.DLA
        config.DLA_core = 0
        config.set_flag(api.module.BuilderFlag.GPU_FALLBACK)
    if settings.compute_capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(api.capability(settings.compute_capability), 0)
    if verbose:  # without it the log names no layers
        config.profiling_verbosity = api.module.ProfilingVerbosity.DETAILED
    return config


def _quantized(api: Api, network: Any) -> bool:
    """Say whether there are Q/DQ pairs: without, the INT8 flag would ask for a calibrator."""
    wanted = api.module.LayerType.QUANTIZE
    return any(network.get_layer(index).type == wanted for index in range(network.num_layers))


def _half(api: Api, network: Any) -> bool:
    """Say whether the graph names half precision anywhere: it begins with a cast to it."""
    wanted = api.module.DataType.HALF
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return any(layer.num_outputs and layer.get_output(0).dtype == wanted for layer in layers)


def _refusal(
    api: Api, messages: Sequence[Message], settings: Settings, workspace: int
) -> EdgeSegError:
    """Return what to raise where a build gave nothing."""
    serious = [message.text for message in messages if message.severity not in ("INFO", "VERBOSE")]
    if says(serious, MEMORY) or (says(serious, WORKSPACE) and not settings.workspace_bytes):
        return _NoMemoryError(workspace)
    if says(serious, WORKSPACE):
        return _SmallWorkspaceError(
            f"a workspace of {workspace / 1e6:.3g} MB is too small for this model: give it more, "
            "or leave it to the runtime"
        )
    reason = f"cannot build the graph: {last_error(messages)}; change the model"
    return BuildError(f"{api.name} {api.version} {reason}")
