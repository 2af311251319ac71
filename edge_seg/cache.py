"""What was finished once is kept: a folder of results, keyed by digests of all that made them.

    cache = Cache(folder)
    payload = cache.get("ranges", graph_digest, set_digest) or make_and_put(...)

Law: ``get(*key)`` returns exactly what ``put(payload, *key)`` stored, or None: an entry is
written whole, carries its digest, and a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import platformdirs

import edge_seg
from edge_seg.errors import EdgeSegError
from edge_seg.files import remove_stale, sha256, write_bytes


class Cache:
    """A folder of finished results; any number of processes may share it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(platformdirs.user_cache_dir("edge-seg")) / "pack"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgeSegError(
                f"cannot keep results in {self.folder} ({error.strerror}): set XDG_CACHE_HOME to "
                "a folder that you may write"
            ) from error
        remove_stale(self.folder)

    def get(self, *key: str) -> bytes | None:
        """Return what was stored under this key, or None."""
        try:
            entry = self._path(key).read_bytes()
        except OSError:
            return None
        digest, payload = entry[:64], entry[64:]
        return payload if digest == sha256(payload).encode() else None

    def put(self, payload: bytes, *key: str) -> bytes:
        """Store ``payload`` and return it."""
        write_bytes(self._path(key), sha256(payload).encode() + payload)
        return payload

    def _path(self, key: tuple[str, ...]) -> Path:
        return self.folder / sha256("\0".join((code_digest(), *key)).encode())


@cache
def code_digest() -> str:
    """Return a digest of the code that makes results, so that a new version makes them anew."""
    digest = hashlib.sha256()
    root = Path(edge_seg.__file__).parent
    for part in (
        "quantize",
        "engines",
        "models",
        "packing/methods.py",
        "frames",
        "preprocess.py",
        "pipeline.py",
        "segmenter.py",
        "metrics.py",
    ):
        place = root / part
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
