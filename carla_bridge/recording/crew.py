"""The actors of a recording: a car, its cameras in one place, and the cars around them.

    crew = Crew.board(session, request)
    crew.arrange(session, shot)
    frame, tags, metres = crew.take(session, settle_ticks=1)

Nobody falls or drives: physics is off, and each shot puts everybody where its plan says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from carla_bridge.client.errors import SimulatorError
from carla_bridge.client.sensors import Camera, Pixels
from carla_bridge.client.session import HERO, Session
from carla_bridge.recording.places import Pose
from carla_bridge.recording.plan import Request, Shot
from carla_bridge.recording.staging import underground
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame

EGO = "vehicle.tesla.model3"

LIFT_M = 0.5
"""Cars are spawned this far above the road: CARLA refuses what touches the ground."""

PARKED = {"role_name": "autopilot"}
LEAST_WHEELS = 4
"""Bicycles and motorcycles stand badly without a rider."""


class Crew(NamedTuple):
    """The actors of one map; the car gives its lights, and its shadow."""

    car: Any
    rgb: Camera
    semantic: Camera
    depth: Camera | None
    others: list[Any]

    @classmethod
    def board(cls, session: Session, request: Request) -> Crew:
        """Spawn everybody; fewer cars around than asked for where the map has no place for them."""
        starts = iter(session.map.get_spawn_points())
        car = _spawn(session, starts, EGO, HERO)
        if car is None:
            raise EdgeSegError(f"no spawn point of {session.map_name} takes a car: load another")
        # In the world and not on the car: every picture has a pitch and a height of its own.
        size = request.width, request.height, request.fov_deg
        rgb = session.camera("rgb", *size, car.get_transform())
        semantic = session.camera("semantic", *size, car.get_transform())
        far = request.truth == "depth"
        depth = session.camera("depth", *size, car.get_transform()) if far else None
        kinds = _kinds_of_cars(session)
        others = (
            _spawn(session, starts, *_painted(kinds, index)) for index in range(request.traffic)
        )
        return cls(car, rgb, semantic, depth, [other for other in others if other is not None])

    def arrange(self, session: Session, shot: Shot) -> int:
        """Put everybody where the shot wants them; return how many cars are around."""
        session.weather(shot.weather)
        cast = [self.others[k] for k in shot.cast if k < len(self.others)]
        waiting = [underground(shot.car, index) for index in range(len(cast))]
        poses = (*shot.around[: len(cast)], *waiting)
        for actor, pose in zip((self.car, *cast), (shot.car, *poses), strict=False):
            actor.set_transform(_transform(session, pose))
            actor.set_light_state(_lights(session, shot.lights_on))
        for camera in filter(None, (self.rgb, self.semantic, self.depth)):
            camera.actor.set_transform(_transform(session, shot.camera))
        return min(len(shot.around), len(cast))

    def take(self, session: Session, settle_ticks: int) -> tuple[Frame, Pixels, Pixels | None]:
        """Tick and return the last picture, its tags, and where there is such a camera its depths.

        (H, W, 3) uint8 BGR, (H, W) uint8, and (H, W) float32 metres.
        """
        frame = 0
        for _ in range(settle_ticks):
            frame = session.tick()
        metres = None if self.depth is None else self.depth.at(frame)
        return self.rgb.at(frame), self.semantic.at(frame), metres


def _spawn(
    session: Session, starts: Iterator[Any], blueprint: str, attributes: Mapping[str, str]
) -> Any:
    """Spawn a car at the next spawn point that takes it; None where none is left."""
    for start in starts:
        start.location.z += LIFT_M
        try:
            car = session.spawn_car(start, blueprint, attributes)
        except SimulatorError:
            raise
        except EdgeSegError:  # something stands there
            continue
        car.set_simulate_physics(False)
        return car
    return None


def _kinds_of_cars(session: Session) -> list[Any]:
    """Return the blueprints of vehicles on four wheels and more, in order of their names."""
    library = session.world.get_blueprint_library().filter("vehicle.*")
    wide = (b for b in library if int(b.get_attribute("number_of_wheels")) >= LEAST_WHEELS)
    return sorted(wide, key=lambda blueprint: str(blueprint.id))


def _painted(kinds: list[Any], index: int) -> tuple[str, dict[str, str]]:
    """Return the id of car number ``index`` and one of the colours that it comes in."""
    kind = kinds[index % len(kinds)]
    if not kind.has_attribute("color"):
        return kind.id, PARKED
    colours = kind.get_attribute("color").recommended_values
    return kind.id, {**PARKED, "color": colours[index % len(colours)]}


def _transform(session: Session, pose: Pose) -> Any:
    at = session.carla.Location(pose.x, pose.y, pose.z)
    return session.carla.Transform(at, session.carla.Rotation(pose.pitch, pose.yaw, pose.roll))


def _lights(session: Session, on: bool) -> Any:
    kinds = session.carla.VehicleLightState
    return kinds(kinds.Position | kinds.LowBeam) if on else kinds(kinds.NONE)
