"""Anything with frames in it: an image, a folder, a frame set, a video, a camera.

source = open_source("drive.mp4")       # or road.jpg, photos/, lane-mini, 0, camera:1, world:Town
for name, frame in source:              # name to save results under, (H, W, 3) uint8 BGR
    ...
source.count                            # how many there will be, None for a camera

Other packages bring sources of their own through the entry-point group ``edge_seg.sources``: what
is registered there as ``world`` opens "world:Town", and is called with "Town".
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge_seg.errors import EdgeSegError, closest, in_one_line
from edge_seg.frames.frameset import FrameSet, shipped_names
from edge_seg.frames.headers import read_header
from edge_seg.frames.images import SUFFIXES, quiet_opencv, read_image
from edge_seg.frames.manifest import MANIFEST
from edge_seg.preprocess import Frame

_CAMERA = re.compile(r"(?:camera:)(.*)|(\d{1,3})")
_PROBE_BYTES = 1024
GROUP = "edge_seg.sources"


class Source(Protocol):
    """An iterable of (name, frame); every iteration starts from the beginning."""

    name: str
    """What the source is called, fit for a file name."""
    count: int | None
    """How many frames there are; a video's own claim, None where it makes none or for a camera."""
    is_stream: bool
    """Whether frames follow each other in time (video, camera), so that a video shows them best."""
    fps: float | None
    """Frames per second of a stream that says so."""
    unreadable: list[str]
    """What was wrong with each file that the last iteration left out; it holds up no other. Or
    how a camera was lost."""

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        """Yield (name, frame); a name occurs once, and is fit for a file name."""
        ...


class ImageSource:
    """Image files, in the order given. ``skipped`` counts files of the folder left out."""

    is_stream = False
    fps: float | None = None

    def __init__(self, name: str, paths: list[Path], skipped: int = 0) -> None:
        self.name = name
        self.paths = paths
        self.count: int | None = len(paths)
        self.skipped = skipped
        self.unreadable: list[str] = []
        self._stems = Counter(path.stem for path in paths)

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        self.unreadable = []
        for path in self.paths:
            try:
                frame = read_image(path)
            except EdgeSegError as error:
                if len(self.paths) == 1:
                    raise
                self.unreadable.append(str(error))
                continue
            yield self.name_of(path), frame

    def name_of(self, path: Path) -> str:
        """Return what a file's frame is called: a.jpg beside a.png keep their endings."""
        return path.stem if self._stems[path.stem] == 1 else path.name


class FrameSetSource:
    """The frames of a frame set, by their ids."""

    is_stream = False
    fps: float | None = None

    def __init__(self, frames: FrameSet) -> None:
        self.name = frames.name
        self.frames = frames
        self.unreadable: list[str] = []
        self.count: int | None = len(frames)

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        for index, entry in enumerate(self.frames.entries):
            yield entry.id, self.frames.image(index)


class VideoSource:
    """A video file.

    Raises `EdgeSegError` where it cannot be opened or gives no frame. A file that ends
    before its claimed count just ends.
    """

    is_stream = True

    def __init__(self, name: str, address: str | int) -> None:
        self.name = name
        self.unreadable: list[str] = []
        self._address = address
        capture = self._open()
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        with quiet_opencv():
            first = self._read(capture)
        capture.release()
        if first is None:
            raise self._silent()
        self.fps: float | None = fps if 0 < fps < 1000 else None
        self.count: int | None = int(count) if 0 < count < 1e9 else None

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        self.unreadable = []
        capture = self._open()
        try:
            index = 0
            while (frame := self._read(capture)) is not None:
                yield f"{self.name}-{index:06d}", frame
                index += 1
            self._ended(index)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        with quiet_opencv():
            capture = self._capture()
        if not capture.isOpened():
            raise self._refused()
        return capture

    # What a camera (`edge_seg.frames.cameras`) does in another way:

    def _capture(self) -> cv2.VideoCapture:
        return cv2.VideoCapture(self._address)

    def _read(self, capture: cv2.VideoCapture) -> Frame | None:
        done, frame = capture.read()
        return np.asarray(frame, np.uint8) if done else None

    def _ended(self, count: int) -> None:
        """Take note that there is no frame after ``count``."""

    def _refused(self) -> EdgeSegError:
        return EdgeSegError(
            f"cannot open {self._address} as a video: it is damaged, truncated or no video"
        )

    def _silent(self) -> EdgeSegError:
        return EdgeSegError(
            f"{self._address} gives no frame: it is truncated or of an unknown kind"
        )


def open_source(text: str | Path) -> Source:
    """Open what ``text`` names: a file or folder, a frame set, a stream's URL, or a camera.

    A camera is "0", "camera:0" or "camera:pi"; "world:Town" and "carla:HOST:PORT" are a simulated
    car's. A folder gives its images in natural order (2 before 10) and leaves other files out.
    Raises `EdgeSegError` where there is nothing of that name.
    """
    text = str(text)
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return _file(path)
    camera = _CAMERA.fullmatch(text)
    if camera or "://" in text:
        from edge_seg.frames.cameras import CameraSource, open_camera

        return open_camera(camera[1] or camera[2] or "") if camera else CameraSource("stream", text)
    if text in shipped_names():
        return FrameSetSource(FrameSet.open(text))
    scheme, _, rest = text.partition(":")
    for point in entry_points(group=GROUP):
        if point.name == scheme:
            return _opener(scheme, point.load)(rest)
    raise EdgeSegError(_missing(path))


def _opener(scheme: str, load: Callable[[], Callable[[str], Source]]) -> Callable[[str], Source]:
    try:
        return load()
    except ImportError as error:
        raise EdgeSegError(
            f"sources '{scheme}:' cannot be used here ({in_one_line(error)}): "
            "install what is missing, or name another source"
        ) from error


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key under which ``frame2`` comes before ``frame10``."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(int(digits) if digits else -1, text.lower()) for digits, text in parts]


def list_images(folder: Path) -> tuple[list[Path], int]:
    """Return a folder's image files in natural order, and how many other files it has."""
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise EdgeSegError(f"cannot read {folder}: {error.strerror or error}") from error
    visible = [path for path in files if not path.name.startswith(".")]
    images = [path for path in visible if path.suffix.lower() in SUFFIXES]
    return sorted(images, key=lambda path: (natural_key(path), path.name)), len(visible) - len(
        images
    )


def _folder(path: Path) -> Source:
    if (path / MANIFEST).exists():
        return FrameSetSource(FrameSet.open(path))
    images, skipped = list_images(path)
    if not images:
        raise EdgeSegError(
            f"{path} has no images ({skipped} other files): name a folder with JPEG or PNG files"
        )
    return ImageSource(path.resolve().name, images, skipped)


def _file(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            start = file.read(_PROBE_BYTES)
    except OSError as error:
        raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error
    if not start:
        raise EdgeSegError(f"{path} is empty (zero bytes): copy it again")
    try:
        image = path.suffix.lower() in SUFFIXES or read_header(start) is not None
    except ValueError:  # an image's signature; that its end is missing is due to the probe
        image = True
    if image:
        return ImageSource(path.stem, [path])
    if b"\0" not in start:
        # FFmpeg would draw a text file as a terminal and call that a video.
        raise EdgeSegError(f"{path} is neither an image nor a video")
    return VideoSource(path.stem, str(path))


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"no such file: {path}: the folder {path.parent} does not exist"
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(repr(str(path.parent / name)) for name in near)}?"
    return f"no such file: {path}: {hint if near else closest(path.name, shipped_names())}"
