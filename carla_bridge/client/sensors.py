"""Sensors of a session: cameras that give the picture of a tick, and listeners of events.

    camera = session.camera("semantic", 800, 600, 90.0, place, car)
    tags = camera.at(session.tick())                # (600, 800) uint8
    bumps = session.events("sensor.other.collision", car)
    bumps.take()                                    # what came since the last time

What a sensor sends arrives on a thread of the client's, maybe after `tick` returned, so it waits
in a bounded queue until it is asked for by its frame's number; what nobody asks for drops out.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from carla_bridge.client.errors import SensorError
from edge_seg.errors import EdgeSegError, closest

Pixels = npt.NDArray[Any]

SMALLEST, LARGEST = 16, 8192
"""Pixels a side of a camera that is asked for at all; a server may allow less."""

DROPPED_S = 2.0
"""How long a callback may take to be dropped: milliseconds, but on a busy machine."""

DEPTH_RANGE_M = 1000.0
"""CARLA's depth camera: 24 bits over a kilometre (docs, "Sensors reference", depth camera)."""


@dataclass(frozen=True)
class Kind:
    """A kind of camera: what CARLA calls it, and its pixels made of (H, W, 4) uint8 BGRA."""

    blueprint: str
    decode: Callable[[npt.NDArray[np.uint8]], Pixels]


def _colours(bgra: npt.NDArray[np.uint8]) -> Pixels:
    """Return (H, W, 3) uint8 BGR."""
    return np.ascontiguousarray(bgra[:, :, :3])


def _tags(bgra: npt.NDArray[np.uint8]) -> Pixels:
    """Return (H, W) uint8 semantic tags, which are in the red channel."""
    return np.ascontiguousarray(bgra[:, :, 2])


def _metres(bgra: npt.NDArray[np.uint8]) -> Pixels:
    """Return (H, W) float32 metres along the camera's axis."""
    blue, green, red = (bgra[:, :, channel].astype(np.uint32) for channel in range(3))
    metres: Pixels = (red + (green << 8) + (blue << 16)) * (DEPTH_RANGE_M / (2**24 - 1))
    return metres.astype(np.float32)


KINDS: dict[str, Kind] = {
    "rgb": Kind("sensor.camera.rgb", _colours),
    "semantic": Kind("sensor.camera.semantic_segmentation", _tags),
    "depth": Kind("sensor.camera.depth", _metres),
    "instance": Kind("sensor.camera.instance_segmentation", _colours),
}
"""Cameras by name. "instance" gives its colours as they are: tag in red, id in green and blue."""


def check_camera(kind: str, width: int, height: int, fov_deg: float) -> None:
    """Raise `EdgeSegError` for a camera that no server could have."""
    if kind not in KINDS:
        raise EdgeSegError(f"no camera of the kind '{kind}': {closest(kind, KINDS)}")
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise EdgeSegError(
            f"a camera of {width}x{height} pixels: choose {SMALLEST} to {LARGEST} a side"
        )
    if not 1.0 <= fov_deg <= 170.0:
        raise EdgeSegError(f"a camera with a field of {fov_deg:g} degrees: choose 1 to 170")


class Listener:
    """A sensor that is listened to, from `listen` to `stop`, each once.

    CARLA's client drops the callback on a thread of its own some time after a sensor was stopped.
    Where Python has begun to end by then, that thread aborts the process, so `stop` waits for it.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._listening = False
        self._dropped = threading.Event()

    def listen(self) -> None:
        """Begin to receive; a second time would crash the client."""
        callback = self._receive  # nothing else refers to this one object
        weakref.finalize(callback, self._dropped.set).atexit = False
        self._listening = True
        self.actor.listen(callback)

    def stop(self) -> None:
        """Receive no more; stopping again changes nothing."""
        if self._listening:
            self._listening = False
            self.actor.stop()
            self._dropped.wait(DROPPED_S)

    def _receive(self, data: Any) -> None:
        raise NotImplementedError


class Camera(Listener):
    """One camera; `at` gives the picture of a frame. Opened by `Session.camera`."""

    def __init__(
        self,
        actor: Any,
        kind: str,
        width: int,
        height: int,
        fov_deg: float,
        capacity: int,
        check_server: Callable[[], None],
    ) -> None:
        super().__init__(actor)
        self.kind = kind
        self.width, self.height, self.fov_deg = width, height, fov_deg
        self._check_server = check_server
        self._images: deque[Any] = deque(maxlen=capacity)
        self._arrived = threading.Condition()

    def at(self, frame: int, timeout_s: float = 5.0) -> Pixels:
        """Return what the camera saw in a frame; pictures of earlier frames are dropped.

        "rgb" and "instance" give (H, W, 3) uint8 BGR, "semantic" (H, W) uint8 tags, "depth" (H, W)
        float32 metres. Raises `SensorError` where it does not come in ``timeout_s``, and
        `SimulatorError` where that is because the server is gone.
        """
        return self._decoded(self._image(frame, timeout_s))

    def _image(self, frame: int, timeout_s: float) -> Any:
        deadline = monotonic() + timeout_s
        with self._arrived:
            while True:
                while self._images and self._images[0].frame < frame:
                    self._images.popleft()
                if self._images and self._images[0].frame == frame:
                    return self._images.popleft()
                if self._images or not self._arrived.wait(deadline - monotonic()):
                    self._check_server()
                    raise SensorError(
                        f"the {self.kind} camera sent no picture of frame {frame}"
                        + ("" if self._images else f" in {timeout_s:g} s")
                        + ": run again, with a smaller camera if the server is slow"
                    )

    def _decoded(self, image: Any) -> Pixels:
        if (image.width, image.height) != (self.width, self.height):
            raise SensorError(
                f"the {self.kind} camera sends {image.width}x{image.height} pixels instead of "
                f"{self.width}x{self.height}: ask for a size that this server can do"
            )
        pixels = np.frombuffer(image.raw_data, np.uint8)
        if pixels.size != image.width * image.height * 4:
            raise SensorError(f"a picture of the {self.kind} camera is cut short: run again")
        return KINDS[self.kind].decode(pixels.reshape(image.height, image.width, 4))

    def _receive(self, data: Any) -> None:
        with self._arrived:
            self._images.append(data)
            self._arrived.notify_all()


class Events(Listener):
    """What a sensor without pictures reported: collisions, crossed lines, positions."""

    def __init__(self, actor: Any, capacity: int) -> None:
        super().__init__(actor)
        self._events: deque[Any] = deque(maxlen=capacity)

    def take(self) -> list[Any]:
        """Return the events since the last call, oldest first."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def _receive(self, data: Any) -> None:
        self._events.append(data)
