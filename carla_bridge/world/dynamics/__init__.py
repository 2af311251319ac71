"""How the world's car moves: a single-track model with tyres that slip, an engine and brakes.

    car = Vehicle(PARAMETERS["vehicle.tesla.model3"], x_m=0.0, y_m=0.0, heading_rad=0.0)
    car.control = Control(throttle=0.5, steer=0.1)     # CARLA's: steer to the right is positive
    car.step(0.05)
    car.x_m, car.y_m, car.heading_rad, car.speed_mps   # map coordinates: y north, heading left

`vehicle` holds the equations of motion, `tyres` the forces on the road, `powertrain` engine and
brakes, `ackermann` CARLA's other way to drive, `parameters` the cars.
"""

from carla_bridge.world.dynamics.control import Ackermann, Control
from carla_bridge.world.dynamics.parameters import PARAMETERS, Parameters
from carla_bridge.world.dynamics.vehicle import Vehicle

__all__ = ["PARAMETERS", "Ackermann", "Control", "Parameters", "Vehicle"]
