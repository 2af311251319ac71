"""Lanes of a map as CARLA's client reads them, and cars that follow them.

    lanes = Lanes(carla.Map("Town", text))
    traffic = Traffic(lanes, count=20, seed=0)
    traffic.step(0.05)
    traffic.followers[0].pose

`tracks` samples lane centres, `lanes` answers what the server asks of a map, `ground` knows the
height of the road, `follower` is one car, `junctions` who goes first, `cars` all of them.
"""

from carla_bridge.world.traffic.boxes import Body
from carla_bridge.world.traffic.cars import Traffic
from carla_bridge.world.traffic.follower import Follower, Pose
from carla_bridge.world.traffic.lanes import LanePose, Lanes

__all__ = ["Body", "Follower", "LanePose", "Lanes", "Pose", "Traffic"]
