"""H.264 in MP4: what every browser plays, written whole or not at all.

    with VideoWriter(folder / "drive.mp4", frames_per_s=10) as video:
        for picture in pictures:          # (H, W, 3) uint8 BGR, all of one size
            video.add(picture)

Each picture is encoded as it comes, so memory does not grow with the length. Where the block
ends in an error, or no picture came, there is no file (and an older one stays as it was).
"""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.files import atomic_write, explain, require_writable
from edge_seg.preprocess import Frame

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

QUALITY = 24
"""x264's constant rate factor: 0 is lossless, 51 the worst, 23 its default."""
CODER = {
    "preset": "veryfast",  # real time beside a simulator
    "crf": str(QUALITY),
    "threads": "1",  # the same pictures give the same bytes
    "rc-lookahead": "10",  # pictures kept in memory to plan ahead
}


class VideoWriter:
    """A video that grows picture by picture; ``frames`` counts them."""

    def __init__(self, path: Path | str, frames_per_s: float) -> None:
        self.path = Path(path)
        self.frames = 0
        self._rate = Fraction(frames_per_s).limit_denominator(1000)
        self._open = ExitStack()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> VideoWriter:
        _require_av()
        require_writable(self.path)
        return self

    def add(self, picture: Frame) -> None:
        """Append a picture (H, W, 3) uint8 BGR; an odd last row or column is cut off.

        4:2:0 video has one colour for 2x2 pixels, so sizes are even. Raises `EdgeSegError`
        where the size is not that of the first picture, or the disk is full.
        """
        import av

        if self._container is None:
            self._begin(picture.shape)
        if picture.shape != self._shape:
            raise EdgeSegError(
                f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels does not fit a video "
                f"of {self._shape[1]}x{self._shape[0]}: give all pictures one size"
            )
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        even = np.ascontiguousarray(picture[:height, :width])
        frame = av.VideoFrame.from_ndarray(even, format="bgr24")
        frame.pts = self.frames
        self._encode(frame)
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._container is not None:
            try:
                self._encode(None)
                self._container.close()
            except BaseException as failure:
                self._open.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._open.__exit__(kind, error, trace)

    def _begin(self, shape: tuple[int, ...]) -> None:
        import av

        if min(shape[:2]) < 2:
            raise EdgeSegError(f"a video needs pictures of 2x2 pixels or more, not {shape[:2]}")
        file = self._open.enter_context(atomic_write(self.path))
        container = av.open(file, "w", format="mp4")
        stream: Any = container.add_stream("libx264", rate=self._rate, options=CODER)
        stream.width, stream.height = shape[1] // 2 * 2, shape[0] // 2 * 2
        stream.pix_fmt = "yuv420p"
        self._container, self._stream, self._shape = container, stream, shape

    def _encode(self, frame: Any) -> None:
        assert self._container is not None
        assert self._stream is not None
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:  # PyAV's own errors are OSErrors too
            raise explain(error, self.path) from error


def _require_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingRuntimeError(
            "a video needs PyAV, which is not installed: pip install 'edge-seg[carla]'"
        ) from error
