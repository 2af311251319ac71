"""The thread that takes frames from a source at their rate, and finds a lost camera again.

    feed = Feed("road.mp4", rate_hz=0.0, loop=True, show=publish, warn=logger.warning, ended=stop)
    feed.start()
    feed.stop()                    # closes the source, and ends the world behind it

No ROS in here. ``show`` is called with each frame when it is due, ``warn`` with one line, and
``ended`` when a file is over that is not to be played again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.frames.cameras import CameraSource, PiCameraSource
from edge_seg.frames.sources import Source, open_source
from edge_seg.preprocess import Frame
from ros_nodes.camera.pace import Pace

PICTURES_HZ = 30.0
"""Of sources that name no rate: folders, frame sets, and videos that do not say."""
RETRY_S = 1.0
STOP_S = 1.5
"""How long the thread may take to end; a camera that hangs may hold it for ten seconds."""


class Feed:
    """Raises `EdgeSegError` where the source cannot be opened at first."""

    def __init__(
        self,
        text: str,
        rate_hz: float,
        loop: bool,
        show: Callable[[Frame], None],
        warn: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self._text, self._loop = text, loop
        self._show, self._warn, self._ended = show, warn, ended
        self._source = open_source(text)
        self._asked_hz = rate_hz
        self._pace: Pace | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    @property
    def rate_hz(self) -> float | None:
        """Frames a second, None where the camera decides."""
        if self._asked_hz or _is_hardware(self._source):
            # What a camera says of itself is not asked: of a network's, FFmpeg says 25.
            return self._asked_hz or None
        return self._source.fps or PICTURES_HZ

    @property
    def late(self) -> int:
        """Times at which a frame was due and the source had none."""
        return self._pace.late if self._pace else 0

    def start(self) -> None:
        """Begin to take frames."""
        self._thread.start()

    def stop(self) -> bool:
        """End the thread; return whether it has ended."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Play the source, again and again."""
        told = False
        while not self._stopped.is_set():
            count, why = self._play()
            if self._stopped.is_set():
                return
            if count and not self._is_endless():
                if why and not told:
                    self._warn(why)  # files left out, the same each time
                    told = True
                if not self._loop:
                    return self._ended()
                continue
            self._warn(f"{why or f'{self._text} gave no frame'}; trying again")
            while not self._stopped.wait(RETRY_S) and not self._open():
                pass

    def _play(self) -> tuple[int, str]:
        """Show frames until there are no more; return how many, and what was wrong."""
        count = 0
        try:
            with closing(_each(self._source)) as frames:
                for frame in self._timely(frames):
                    self._show(frame)
                    count += 1
        except EdgeSegError as error:
            return count, str(error)
        except Exception as error:  # of a driver or a library: the node outlives it
            return count, f"{type(error).__name__}: {in_one_line(error)}"
        return count, "; ".join(self._source.unreadable)

    def _timely(self, frames: Iterator[tuple[str, Frame]]) -> Iterator[Frame]:
        """Yield frames when they are due, until we are stopped."""
        rate_hz = self.rate_hz
        if rate_hz and self._pace is None:
            self._pace = Pace(rate_hz)
        drops = _is_hardware(self._source) and self._asked_hz > 0
        for _, frame in frames:
            if self._stopped.is_set():
                return
            if self._pace is not None and drops:
                if self._pace.due():
                    yield frame
            elif self._pace is None or self._pace.wait(self._stopped):
                yield frame
            else:
                return

    def _open(self) -> bool:
        try:
            self._source = open_source(self._text)
        except EdgeSegError as error:
            self._warn(f"{error}; trying again")
            return False
        return True

    def _is_endless(self) -> bool:
        """Return whether the source never ends by itself: a camera, or a simulated one."""
        return self._source.count is None and not Path(self._text).is_file()


def _each(source: Source) -> Generator[tuple[str, Frame], None, None]:
    yield from source


def _is_hardware(source: Source) -> bool:
    """Return whether frames come in their own time, and the newest is wanted."""
    return isinstance(source, (CameraSource, PiCameraSource)) and source.count is None
