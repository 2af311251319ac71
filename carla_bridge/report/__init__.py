"""What a drive looks like: a page, a video, and the pictures in them.

    from carla_bridge.report import write

    page = write(results, folder)        # report.html, and drive.mp4 where a run was filmed

Both are made from the record and the files of the result's folder alone, so they can be made
again at any time. Nothing of the folder is needed to read the page but the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import MissingRuntimeError
from edge_seg.files import write_bytes

if TYPE_CHECKING:
    from carla_bridge.evaluation.record import Results

__all__ = ["write"]


def write(results: Results, folder: Path | str) -> Path:
    """Write ``drive.mp4`` and ``report.html`` into a result's folder; return the page's path.

    What is missing of the folder is said on the page. Raises `EdgeSegError` where the files
    cannot be written, `MissingRuntimeError` where jinja2, matplotlib or PyAV is not installed.
    """
    folder = Path(folder)
    try:
        from carla_bridge.report.page import page
    except ImportError as error:
        raise MissingRuntimeError(
            f"the page of a drive needs {error.name}: pip install 'edge-seg[carla]'"
        ) from error
    from carla_bridge.report.film import film

    film(results, folder)
    path = folder / "report.html"
    write_bytes(path, page(results, folder).encode())
    return path
