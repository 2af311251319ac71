"""The world that clients connect to: its settings, the map that is loaded, and how time passes.

    world = World("Town", streams, seed=0, traffic=10)
    rpc.start(CALLS.bound_to(world))
    world.run()                          # in the thread that made it; until `close`

Whatever the world is and does belongs to the thread that runs it: a renderer must stay in the
thread that made it, and then nothing needs a lock. Calls come in threads of their own, and ask:

    frame = world.ask(World.tick_asked)  # from any thread: waits until the world has done it
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, TypeVar

from carla_bridge.world import shipped_maps
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.level import Level
from carla_bridge.world.server.refusals import Refusals
from carla_bridge.world.server.settings import Settings
from carla_bridge.world.server.streams import Streams
from carla_bridge.world.server.subscriber import Part
from carla_bridge.world.server.towns import Town, sent_town, shipped_town, short_name
from carla_bridge.world.studio import Studio
from edge_seg.errors import EdgeSegError, in_one_line

Answer = TypeVar("Answer")
Job = tuple["Future[Any]", Callable[[], Any]]

STEP_S = 0.05
"""Simulated seconds of a tick in synchronous mode without a fixed delta, and the pace of
asynchronous mode."""
LONGEST_STEP_S = 0.2
"""Of asynchronous mode without a fixed delta: where ticks take longer, time passes more slowly."""


class World:
    """A server's one world. ``map`` is a shipped map's name or the path of an OpenDRIVE file."""

    def __init__(self, map: str, streams: Streams, *, seed: int = 0, traffic: int = 0) -> None:
        self.streams, self.seed, self.traffic = streams, seed, traffic
        self.settings = Settings()
        self.stream = 0
        """Where each frame's world message goes; another one for each episode."""
        self._former: list[int] = []
        """Those of earlier episodes: who stays there hears of this one."""
        self._ticked_s = 0.0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.get_ident()
        self._closed = False
        self._refusals = Refusals()
        self._last_message = b""
        self._brought: dict[str, Town] = {}
        """Maps that do not ship: the one from the start, and what clients sent."""
        town = self._first_town(map)
        self._studio = Studio(town.text, seed)
        self.level = self._begin(1, town, self._studio, self.settings)
        self._open()

    def ask(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Have the world's thread call ``function(world, *arguments)``; return what it returns."""
        if threading.get_ident() == self._thread:
            return function(self, *arguments)
        future: Future[Answer] = Future()
        self._jobs.put((future, lambda: function(self, *arguments)))
        if self._closed:  # perhaps too late for `close` to see it
            self._cancel_jobs()
        try:
            return future.result()
        except CancelledError:
            raise CallError("the world is ending") from None

    def run(self) -> None:
        """Do what is asked, and tick by itself in asynchronous mode, until `close`."""
        self._ticked_s = time.monotonic()
        while not self._closed:
            if self.settings.synchronous:
                self._do(self._jobs.get())
                self._ticked_s = time.monotonic()
            elif (wait_s := self._due_in_s()) > 0.0:
                with contextlib.suppress(queue.Empty):
                    self._do(self._jobs.get(timeout=wait_s))
            else:
                for _ in range(self._jobs.qsize()):  # not those that come meanwhile: time goes on
                    self._do(self._jobs.get())
                if self._due_in_s() <= 0.0:  # unless one of them loaded another world
                    self._tick_freely()

    def close(self) -> None:
        """End `run`, and everything that waits for it."""
        self._closed = True
        self._jobs.put(None)
        self._cancel_jobs()
        self.level.close()
        self._studio.close()

    def _do(self, job: Job | None) -> None:
        if job is None:
            return
        future, work = job
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        except BaseException:  # the process is told to end
            future.cancel()
            raise

    def _cancel_jobs(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job[0].cancel()

    def _due_in_s(self) -> float:
        """Return when to tick next in asynchronous mode."""
        return self._ticked_s + (self.settings.fixed_delta_s or STEP_S) - time.monotonic()

    def _tick_freely(self) -> None:
        """Tick in asynchronous mode, where nobody waits who could be told of an error."""
        if self.settings.synchronous:
            return
        now = time.monotonic()
        elapsed_s = min(now - self._ticked_s, LONGEST_STEP_S)
        self._ticked_s = now
        try:
            self.tick(self.settings.fixed_delta_s or elapsed_s)
        except Exception as error:
            self._refusals.say(f"a tick, {type(error).__name__}", in_one_line(error))

    def tick_asked(self) -> int:
        """Tick in synchronous mode; return a frame that is reached now, or by itself soon."""
        if not self.settings.synchronous:
            return self.level.moment.frame + 1
        self.tick(self.settings.fixed_delta_s or STEP_S)
        return self.level.moment.frame

    def tick(self, delta_s: float) -> None:
        """Simulate a frame; tell the clients where all are, then what sensors measured."""
        self.level.step(delta_s)
        self._tell()
        self.level.measure(self._send, cameras=not self.settings.no_rendering)

    def _tell(self) -> None:
        """Send the world message of this frame, and keep it for those who come later."""
        self._last_message = self.level.message()
        for stream in (*self._former, self.stream):
            self._send(stream, self._last_message)

    def _send(self, stream: int, *parts: Part) -> None:
        """Send to all subscribers: who waits for each tick must miss nothing, others may."""
        if self.settings.synchronous:
            self.streams.send(stream, *parts)
        else:
            self.streams.offer(stream, *parts)

    @property
    def maps(self) -> list[str]:
        """Return the names of all maps that can be loaded."""
        return sorted({*shipped_maps.names(), *self._brought})

    def load(self, name: str, *, reset_settings: bool) -> None:
        """Begin a new episode, on the same map where ``name`` is empty.

        Raises `EdgeSegError` where there is no such map; the old episode then goes on.
        """
        town = self._town(short_name(name) or self.level.town.name)
        settings = Settings() if reset_settings else self.settings
        studio = self._studio
        if town.text != self.level.town.text:
            studio = Studio(town.text, self.seed)
        level = self._begin(self.level.number + 1, town, studio, settings)
        self.level.close()
        if studio is not self._studio:
            self._studio.close()
        self.level, self._studio, self.settings = level, studio, settings
        self._open()

    def _open(self) -> None:
        """Have this episode's first frame greet whoever comes to its stream.

        CARLA's client leaves the world's stream once `load_new_episode` is answered, and asks where
        the new one is. What it hears between, its thread of streams works at, and only when that is
        done does it close "its" stream, by number: the new one as well, if it has the same, which
        ends the process in one load of a hundred (0.9.16, `Episode::~Episode`). So the number is
        another, and nothing is said before somebody has had time to leave.
        """
        for old in [old for old in self._former if not self.streams.has_subscriber(old)]:
            self._former.remove(old)
            self.streams.forget(old)
        if self.stream:
            self._former.append(self.stream)  # kept, for who was told of it and has not come yet
        self.stream = self.streams.open()
        self._last_message = self.level.message()
        self.streams.greet(self.stream, lambda: self._last_message)
        self._ticked_s = time.monotonic()

    def _town(self, name: str) -> Town:
        if name in self._brought:
            return self._brought[name]
        return self.level.town if name == self.level.town.name else shipped_town(name)

    def bring(self, town: Town) -> None:
        """Make a map loadable under its name."""
        self._brought[town.name] = town

    def _begin(self, number: int, town: Town, studio: Studio, settings: Settings) -> Level:
        """Return a level in its first frame."""
        level = Level(number, town, self.streams, studio, seed=self.seed, traffic=self.traffic)
        level.step(settings.fixed_delta_s or STEP_S)
        return level

    def _first_town(self, map: str) -> Town:
        path = Path(map)
        if path.suffix.lower() != ".xodr" and not path.is_file():
            return shipped_town(short_name(map))
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EdgeSegError(
                f"cannot read the map {path} ({in_one_line(error)}); give an OpenDRIVE file"
            ) from error
        town = sent_town(path.stem, text)
        self.bring(town)
        return town
