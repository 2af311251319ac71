"""The first load of a model file on a machine happens in another process.

    require_loads(engine, model, spec, options)     # raises EdgeSegError, or returns

A digest says that a file is the one that was packed, not that it is sound: some runtimes end
the whole process on a file that is not (LiteRT 2.3 on some mutated ones: SIGSEGV). What loaded
once on this machine, with this version of the runtime, is remembered by its digest.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder, sha256, write_bytes

if TYPE_CHECKING:
    from edge_seg.engines import Engine
    from edge_seg.engines.session import Options
    from edge_seg.preprocess import InputSpec

LIMIT_S = 120.0
"""A load takes a second on a Pi 4 and some twenty in an emulator."""


def require_loads(engine: Engine, model: bytes, spec: InputSpec, options: Options) -> None:
    """Raise `EdgeSegError` where loading the file fails, hangs or ends the process."""
    distribution, version, _ = engine.installed_runtime()
    remembered = _folder() / sha256(f"{distribution} {version} {sha256(model)}".encode())
    if remembered.exists():
        return
    from edge_seg.worker import Job, Worker, WorkerError

    with scratch_folder() as folder:
        path = folder / f"model.{engine.suffix}"
        write_bytes(path, model)
        try:
            with Worker(Job(engine.name, str(path), spec, dict(options)), LIMIT_S):
                pass  # it is ready
        except WorkerError as error:
            raise EdgeSegError(
                f"{distribution} {version} cannot load the model: {error}; if other bundles run "
                "here, this one is damaged or needs more memory than is free"
            ) from error
    with contextlib.suppress(EdgeSegError, OSError):  # a read-only system just tries each time
        remembered.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(remembered, b"")


def _folder() -> Path:
    return Path(platformdirs.user_cache_dir("edge-seg")) / "loaded"
