"""`Session`: one driver's stay in a CARLA server, from the connection to the last clean-up.

    with Session.connect("127.0.0.1", 2000, timeout_s=10.0) as session:
        session.load("Town01")
        car = session.spawn_car(session.map.get_spawn_points()[0])
        camera = session.camera("rgb", 800, 600, 90.0, place, car)
        while driving:
            car.apply_control(control)
            picture = camera.at(session.tick())

However the ``with`` block ends, sensors stop, what was spawned is destroyed, and the server's
settings and weather are as they were found: a server left in synchronous mode stands still for
whoever comes next. The synchronous loop follows CARLA's docs, "Synchrony and time-step".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from carla_bridge.client.connection import (
    Address,
    check_there,
    knock,
    refuse_a_second_driver,
    telling,
)
from carla_bridge.client.environment import import_carla
from carla_bridge.client.errors import SensorError, SimulatorError
from carla_bridge.client.sensors import KINDS, Camera, Events, check_camera
from carla_bridge.client.versions import check_versions
from edge_seg.errors import EdgeSegError, closest

__all__ = ["SensorError", "Session", "SimulatorError"]

DT_S = 0.05
"""The usual step: 20 Hz, as CARLA's leaderboard drives."""

HERO = {"role_name": "hero"}
"""CARLA's name for the car that a driver drives (docs, "Blueprint library")."""

LOAD_TIMEOUT_S = 120.0
"""A real server reads a large town from disk for a minute and more."""

CLEAN_UP_TIMEOUT_S = 3.0
"""For each call on the way out: a server that is gone must not hold up the exit for long."""

LONGEST_STEP_S = 0.1
"""CARLA cuts a step into at most 10 substeps of 0.01 s (docs, "Physics substepping")."""

WARM_UP_TICKS = 20
"""A camera's stream connects while the first ticks pass, so the first pictures may be lost."""


class Session:
    """A connection to a server, and everything that was changed or spawned through it."""

    def __init__(
        self, carla: Any, client: Any, world: Any, address: Address, timeout_s: float
    ) -> None:
        self.carla, self.client, self.world = carla, client, world
        self._address, self._timeout_s = address, timeout_s
        self._found: Any = None
        self._weather_found: Any = None
        self._map: Any = None
        self._sensors: list[Camera | Events] = []
        self._spawned: list[int] = []
        self._frame: int | None = None

    @classmethod
    def connect(cls, host: str = "127.0.0.1", port: int = 2000, timeout_s: float = 10.0) -> Session:
        """Connect to a server of a known version.

        ``timeout_s`` is how long any call, and any tick, may take later on. Raises
        `MissingRuntimeError` without the `carla` package, `SimulatorError` where nobody answers
        in time, and `EdgeSegError` for another version or a world that somebody else drives.
        """
        carla = import_carla()
        address = Address(host, port)
        knock(address, timeout_s)
        client = carla.Client(host, port)
        client.set_timeout(timeout_s)
        with telling("the first call", address, timeout_s):
            server = client.get_server_version()
        check_versions(client.get_client_version(), server)
        with telling("the world", address, timeout_s):
            world = client.get_world()
            refuse_a_second_driver(world, address)
        return cls(carla, client, world, address, timeout_s)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def map(self) -> Any:
        """The `carla.Map` of the world that is loaded."""
        if self._map is None:
            with self._telling("the map"):
                self._map = self.world.get_map()
        return self._map

    @property
    def map_name(self) -> str:
        """The map's name without its folders: "Town01" for "Carla/Maps/Town01"."""
        return str(self.map.name).rsplit("/", 1)[-1]

    def synchronous(self, dt_s: float = DT_S) -> None:
        """Have the world wait for `tick`, each ``dt_s`` of its time long; 0 < dt_s <= 0.1."""
        if not 0.0 < dt_s <= LONGEST_STEP_S:
            raise EdgeSegError(
                f"a step of {dt_s:g} s: CARLA's physics wants more than 0 and at most "
                f"{LONGEST_STEP_S:g} s"
            )
        with self._telling("its settings"):
            if self._found is None:
                self._found = self.world.get_settings()
            settings = self.world.get_settings()
            settings.synchronous_mode = True
            settings.fixed_delta_seconds = dt_s
            self.world.apply_settings(settings)
        self._frame = None

    def load(self, name: str) -> None:
        """Load one of the server's maps, anew even where it is the present one.

        The world is in synchronous mode before and stays so: nothing in it moves before the
        first tick, so that what follows is the same each time.
        """
        with self._telling("its list of maps"):
            known = {path.rsplit("/", 1)[-1]: path for path in self.client.get_available_maps()}
        if name not in known:
            raise EdgeSegError(f"this server has no map '{name}': {closest(name, known)}")
        with self._new_world(f"the map {name}"):
            self.world = self.client.load_world(name, reset_settings=False)

    def generate(self, opendrive: str, name: str = "map") -> None:
        """Load a world made of an OpenDRIVE text, as `load` does; ``name`` is for messages."""
        from carla_bridge.world.maps.check import parse_opendrive

        parse_opendrive(opendrive, name)
        parameters = self.carla.OpendriveGenerationParameters()
        with self._new_world(f"the OpenDRIVE map {name}"):
            self.world = self.client.generate_opendrive_world(
                opendrive, parameters, reset_settings=False
            )

    def weather(self, fields: Mapping[str, float]) -> None:
        """Change these fields of `carla.WeatherParameters`; the others keep CARLA's defaults."""
        with self._telling("the weather"):
            if self._weather_found is None:
                self._weather_found = self.world.get_weather()
            self.world.set_weather(self.carla.WeatherParameters(**fields))

    def spawn_car(
        self,
        transform: Any,
        blueprint: str = "vehicle.tesla.model3",
        attributes: Mapping[str, str] = HERO,
    ) -> Any:
        """Spawn a vehicle and return it, with its state known; raises where it does not fit.

        Of ``attributes`` those are set that the blueprint has.
        """
        car = self._spawn(blueprint, attributes, transform, None)
        self.tick()  # before it, the client knows nothing of the new actor
        return car

    def camera(
        self,
        kind: str,
        width: int,
        height: int,
        fov_deg: float,
        transform: Any,
        car: Any = None,
        capacity: int = 8,
    ) -> Camera:
        """Open a camera on a car (``transform`` relative to it) or, without one, in the world.

        ``kind`` is "rgb", "semantic", "depth" or "instance"; ``fov_deg`` is across the width.
        The world ticks until the first picture has come. Raises `SensorError` where none comes.
        """
        check_camera(kind, width, height, fov_deg)
        size = {"image_size_x": width, "image_size_y": height, "fov": fov_deg}
        actor = self._spawn(KINDS[kind].blueprint, size, transform, car)
        camera = Camera(
            actor, kind, width, height, fov_deg, capacity, partial(check_there, self._address)
        )
        self._sensors.append(camera)
        self.tick()
        camera.listen()
        self._warm_up(camera)
        return camera

    def events(self, blueprint: str, car: Any, capacity: int = 1024) -> Events:
        """Open a sensor that reports events, such as "sensor.other.collision", on a car."""
        actor = self._spawn(blueprint, {}, self.carla.Transform(), car)
        events = Events(actor, capacity)
        self._sensors.append(events)
        self.tick()
        events.listen()
        return events

    def tick(self) -> int:
        """Take the world one step on and return the number of its frame."""
        if self._found is None:
            self.synchronous()
        with self._telling("a tick"):
            frame = int(self.world.tick(self._timeout_s))
        before, self._frame = self._frame, frame
        if before is not None and frame != before + 1:
            raise SimulatorError(
                f"frame {frame} came after {before}: somebody else ticks this world too; "
                "let one driver have it"
            )
        return frame

    def close(self) -> None:
        """Stop the sensors, destroy what was spawned, give settings and weather back.

        Errors are not raised: where the server is gone there is nothing left to clean.
        """
        settings, self._found = self._found, None
        weather, self._weather_found = self._weather_found, None
        with contextlib.suppress(RuntimeError):  # the first call that fails ends it
            self.client.set_timeout(min(CLEAN_UP_TIMEOUT_S, self._timeout_s))
            self._remove_actors()
            if weather is not None:
                self.world.set_weather(weather)
            if settings is not None:
                self.world.apply_settings(settings)

    def _spawn(
        self, blueprint: str, attributes: Mapping[str, object], transform: Any, parent: Any
    ) -> Any:
        with self._telling(f"a {blueprint}"):
            library = self.world.get_blueprint_library()
            try:
                wanted = library.find(blueprint)
            except IndexError:
                raise EdgeSegError(
                    f"this server has no '{blueprint}': "
                    + closest(blueprint, (known.id for known in library))
                ) from None
            for name, value in attributes.items():
                if wanted.has_attribute(name):
                    wanted.set_attribute(name, str(value))
            actor = self.world.spawn_actor(wanted, transform, attach_to=parent)
        self._spawned.append(actor.id)
        return actor

    def _warm_up(self, camera: Camera) -> None:
        for last in range(WARM_UP_TICKS, 0, -1):
            try:
                camera.at(self.tick(), self._timeout_s / (1 if last == 1 else WARM_UP_TICKS))
                return
            except SensorError:
                if last == 1:
                    raise

    def _remove_actors(self) -> None:
        """Stop the sensors and destroy all that was spawned.

        By batch, as the client refuses to destroy one by one what it has not seen in a tick yet.
        """
        sensors, self._sensors = self._sensors, []
        spawned, self._spawned = self._spawned, []
        for sensor in sensors:
            sensor.stop()
        destroy = self.carla.command.DestroyActor
        if spawned:
            self.client.apply_batch_sync([destroy(id) for id in reversed(spawned)])

    @contextlib.contextmanager
    def _new_world(self, what: str) -> Iterator[None]:
        """Make ready for another world; the clock stands, and the actors are gone with the old."""
        if self._found is None:
            self.synchronous()
        with self._telling(what, max(LOAD_TIMEOUT_S, self._timeout_s)):
            self._remove_actors()
            self.client.set_timeout(max(LOAD_TIMEOUT_S, self._timeout_s))
            try:
                yield
            finally:
                self.client.set_timeout(self._timeout_s)
        self._map = self._weather_found = self._frame = None

    def _telling(
        self, what: str, timeout_s: float | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return telling(what, self._address, timeout_s or self._timeout_s)
