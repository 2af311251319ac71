"""What was finished once is kept: a folder of results, keyed by digests of all that made them.

    cache = Cache(folder)
    payload = cache.get("ranges", graph_digest, set_digest) or make_and_put(...)

Law: ``get(*key)`` returns exactly what ``put(payload, *key)`` stored, or None: an entry is
written whole, carries its digest, and a damaged one counts as absent. The folder stays below a
limit: what was not used for longest goes first, so nobody may count on an entry that was there.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from functools import cache
from pathlib import Path

import platformdirs

import edge_seg
from edge_seg.errors import EdgeSegError
from edge_seg.files import TEMPORARY_PREFIX, remove_stale, sha256, write_bytes

LIMIT = "EDGE_SEG_CACHE_LIMIT"
"""The environment's word for another limit, in gigabytes."""
LIMIT_GB = 2.0
"""Some hundred packs of small networks."""
LEFT = 0.9
"""Of the limit is left when entries are removed: not every result that comes removes another."""


class Cache:
    """A folder of finished results; any number of processes may share it.

    Raises `EdgeSegError` where the folder cannot be made, or the limit is no number.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._limit_bytes = limit_bytes()
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
        path = self._path(key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        digest, payload = entry[:64], entry[64:]
        if digest != sha256(payload).encode():
            return None
        with contextlib.suppress(OSError):  # another process may have removed it by now
            os.utime(path)  # its time says when it was used last
        return payload

    def put(self, payload: bytes, *key: str) -> bytes:
        """Store ``payload`` and return it; what it leaves no room for is removed."""
        path = self._path(key)
        write_bytes(path, sha256(payload).encode() + payload)
        self._remove_unused(but=path)
        return payload

    def _remove_unused(self, but: Path) -> None:
        """Remove what was not used for longest where there is too much; others may do the same."""
        entries = []
        with os.scandir(self.folder) as found:
            for entry in found:
                if entry.name.startswith(TEMPORARY_PREFIX):  # somebody is writing it
                    continue
                with contextlib.suppress(OSError):
                    facts = entry.stat()
                    entries.append((facts.st_mtime_ns, entry.name, facts.st_size))
        size = sum(each for _, _, each in entries)
        if size <= self._limit_bytes:
            return
        for _, name, each in sorted(entries):
            if size <= LEFT * self._limit_bytes:
                break
            if name != but.name:
                with contextlib.suppress(OSError):
                    os.unlink(self.folder / name)
                size -= each

    def _path(self, key: tuple[str, ...]) -> Path:
        return self.folder / sha256("\0".join((code_digest(), *key)).encode())


def limit_bytes() -> int:
    """Return how large a cache may be, by default or as the environment says."""
    text = os.environ.get(LIMIT, "")
    try:
        gigabytes = float(text) if text else LIMIT_GB
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes >= 0):
        raise EdgeSegError(f"{LIMIT} is '{text}': name gigabytes, such as 2 or 0.5")
    return round(gigabytes * 1e9)


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
