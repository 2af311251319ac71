"""What can be spawned, and with which attributes: CARLA's ids, attributes and defaults.

    BLUEPRINTS["sensor.camera.rgb"].attributes["fov"].value        # "90.0"
    definitions()                                                  # for get_actor_definitions
    blueprint, values = described(description)                     # a spawn's description, checked

Ids, attribute names and defaults are those of CARLA's blueprint library (docs, "Blueprint
library" and "Sensors reference"); attributes that nothing here would heed are left out, but for
the cameras' lens and exposure, which scripts for CARLA set as a matter of course.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from carla_bridge.world.dynamics import PARAMETERS
from carla_bridge.world.server.arguments import members, text
from carla_bridge.world.server.envelope import CallError
from edge_seg.errors import closest

BOOL, INT, FLOAT, STRING, COLOUR = 1, 2, 3, 4, 5
"""CARLA's attribute types (carla/rpc/ActorAttributeType.h)."""

LARGEST_IMAGE = 4096
SMALLEST_IMAGE = 16


@dataclass(frozen=True)
class Attribute:
    """One attribute of a blueprint; the value is a string whatever its type."""

    kind: int
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True


@dataclass(frozen=True)
class Blueprint:
    """Something that can be spawned."""

    id: str
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def to_wire(self, uid: int) -> list[object]:
        """Return an ActorDefinition."""
        attributes = [
            [name, a.kind, a.value, list(a.recommended), a.modifiable, False]
            for name, a in self.attributes.items()
        ]
        return [uid, self.id, ",".join(self.id.split(".")), attributes]


def _sensor(name: str, attributes: dict[str, Attribute], tick: bool = True) -> Blueprint:
    common = {"role_name": Attribute(STRING, "default")}
    if tick:
        common["sensor_tick"] = Attribute(FLOAT, "0.0")
    return Blueprint(f"sensor.{name}", {**attributes, **common})


IMAGE = {
    "image_size_x": Attribute(INT, "800"),
    "image_size_y": Attribute(INT, "600"),
    "fov": Attribute(FLOAT, "90.0"),
    "lens_circle_falloff": Attribute(FLOAT, "5.0"),
    "lens_circle_multiplier": Attribute(FLOAT, "0.0"),
    "lens_k": Attribute(FLOAT, "-1.0"),
    "lens_kcube": Attribute(FLOAT, "0.0"),
    "lens_x_size": Attribute(FLOAT, "0.08"),
    "lens_y_size": Attribute(FLOAT, "0.08"),
}
"""What all cameras have. The lens is accepted and not drawn: this world's camera is a pinhole."""

EXPOSURE = {
    "enable_postprocess_effects": Attribute(BOOL, "true"),
    "gamma": Attribute(FLOAT, "2.2"),
    "exposure_mode": Attribute(STRING, "histogram", ("manual", "histogram")),
    "exposure_compensation": Attribute(FLOAT, "0.0"),
    "iso": Attribute(FLOAT, "100.0"),
    "shutter_speed": Attribute(FLOAT, "200.0"),
    "fstop": Attribute(FLOAT, "1.4"),
    "motion_blur_intensity": Attribute(FLOAT, "0.45"),
    "motion_blur_max_distortion": Attribute(FLOAT, "0.35"),
    "motion_blur_min_object_screen_size": Attribute(FLOAT, "0.1"),
    "bloom_intensity": Attribute(FLOAT, "0.675"),
    "lens_flare_intensity": Attribute(FLOAT, "0.1"),
    "white_clip": Attribute(FLOAT, "0.04"),
    "temp": Attribute(FLOAT, "6500.0"),
    "tint": Attribute(FLOAT, "0.0"),
}
"""Accepted, and not drawn either: the picture has one fixed tone curve."""

GNSS_NOISE = {
    f"noise_{axis}_{kind}": Attribute(FLOAT, "0.0")
    for axis in ("alt", "lat", "lon")
    for kind in ("bias", "stddev")
}
IMU_NOISE = {
    **{f"noise_accel_stddev_{axis}": Attribute(FLOAT, "0.0") for axis in "xyz"},
    **{f"noise_gyro_stddev_{axis}": Attribute(FLOAT, "0.0") for axis in "xyz"},
    **{f"noise_gyro_bias_{axis}": Attribute(FLOAT, "0.0") for axis in "xyz"},
}
SEED = {"noise_seed": Attribute(INT, "0")}

SENSORS = (
    _sensor("camera.rgb", {**IMAGE, **EXPOSURE}),
    _sensor("camera.semantic_segmentation", IMAGE),
    _sensor("camera.instance_segmentation", IMAGE),
    _sensor("camera.depth", IMAGE),
    _sensor("other.collision", {}, tick=False),
    _sensor("other.lane_invasion", {}, tick=False),
    _sensor("other.gnss", {**GNSS_NOISE, **SEED}),
    _sensor("other.imu", {**IMU_NOISE, **SEED}),
)


def _vehicle(name: str) -> Blueprint:
    def fixed(kind: int, value: str) -> Attribute:
        return Attribute(kind, value, modifiable=False)

    return Blueprint(
        name,
        {
            "role_name": Attribute(STRING, "autopilot", ("autopilot", "scenario", "ego_vehicle")),
            "color": Attribute(COLOUR, "180,30,30", ("180,30,30", "17,37,103", "200,200,200")),
            "sticky_control": Attribute(BOOL, "true"),
            "terramechanics": Attribute(BOOL, "false"),
            "number_of_wheels": fixed(INT, "4"),
            "base_type": fixed(STRING, PARAMETERS[name].base_type),
            "generation": fixed(INT, "2"),
            "special_type": fixed(STRING, ""),
            "object_type": fixed(STRING, ""),
            "has_lights": fixed(BOOL, "true"),
            "has_dynamic_doors": fixed(BOOL, "false"),
        },
    )


WALKER = Blueprint(
    "walker.pedestrian.0001",
    {
        "role_name": Attribute(STRING, "pedestrian"),
        "is_invincible": Attribute(BOOL, "true"),
        "speed": Attribute(FLOAT, "1.43", ("0.0", "1.43", "2.58")),
        "age": Attribute(STRING, "adult", modifiable=False),
        "gender": Attribute(STRING, "male", modifiable=False),
        "generation": Attribute(INT, "1", modifiable=False),
    },
)

BLUEPRINTS = {
    blueprint.id: blueprint
    for blueprint in (*SENSORS, *(_vehicle(name) for name in sorted(PARAMETERS)), WALKER)
}


def definitions() -> list[list[object]]:
    """Return all ActorDefinitions; uids count from 1 in the order of `BLUEPRINTS`."""
    return [b.to_wire(uid) for uid, b in enumerate(BLUEPRINTS.values(), start=1)]


def described(description: Any) -> tuple[Blueprint, dict[str, str]]:
    """Return the blueprint that an ActorDescription means, and the value of each attribute.

    Attributes that the blueprint does not have are dropped: nothing reads them.
    """
    _, name, given = members(description, "an actor description", 3)[:3]
    blueprint = BLUEPRINTS.get(text(name, "a blueprint id"))
    if blueprint is None:
        raise CallError(f"there is no blueprint {name!r}; {closest(name, BLUEPRINTS)}")
    values = {key: attribute.value for key, attribute in blueprint.attributes.items()}
    for item in members(given, "attribute values", 0):
        key, _, value = members(item, "an attribute value", 3)[:3]
        if isinstance(key, str) and key in values and blueprint.attributes[key].modifiable:
            values[key] = text(value, f"attribute {key}")
    return blueprint, values
