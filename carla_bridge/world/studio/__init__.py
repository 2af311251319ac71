"""Cameras of the moving world: a map, what moves on it, and the weather, as CARLA's pixels.

studio = Studio(xodr_text, seed=0)
studio.weather(Weather(cloudiness=60.0))
studio.place([Mover(7, "vehicle.audi.tt", 10.0, 2.0, 0.0)])
view = studio.open("rgb", 800, 600, fov_deg=90.0)
(picture,) = studio.render([(view, CameraPose(10.0, 2.0, 1.5))])
"""

from carla_bridge.world.studio.parts import KINDS, CameraPose, Mover
from carla_bridge.world.studio.studio import Studio, View
from carla_bridge.world.studio.weather import Weather

__all__ = ["CameraPose", "KINDS", "Mover", "Studio", "View", "Weather"]
