"""The device's temperature and throttling, read in a thread: a Pi's firmware may take its time.

watch = DeviceWatch()
watch.state.temperature_c
watch.stop()
"""

from __future__ import annotations

from threading import Event, Thread

from edge_seg.device import read_state

EVERY_S = 2.0
STOP_S = 0.5


class DeviceWatch:
    """``state`` is a few seconds old at most."""

    def __init__(self) -> None:
        self.state = read_state()
        self._end = Event()
        self._thread = Thread(target=self._watch, name="device", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; a firmware that hangs is left to itself."""
        self._end.set()
        self._thread.join(STOP_S)

    def _watch(self) -> None:
        while not self._end.wait(EVERY_S):
            self.state = read_state()
