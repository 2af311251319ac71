"""The cars: sizes, masses, engines and tyres, by CARLA's blueprint id.

    PARAMETERS["vehicle.tesla.model3"].wheelbase_m      # 2.875

Lengths, widths, heights, wheelbases, kerb masses, powers, top speeds, times to 100 km/h, drag
coefficients and turning circles are the manufacturers' published data of the model that the
blueprint shows (the ids and models: CARLA's vehicle catalogue,
https://carla.readthedocs.io/en/0.9.16/catalogue_vehicles/), rounded; CARLA's meshes differ from
them by a few per cent. What manufacturers do not publish comes from literature, named at its field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """One car; all in SI units. The reference point is midway between the axles."""

    length_m: float
    width_m: float
    height_m: float
    wheelbase_m: float
    mass_kg: float
    front_load: float
    """Share of the weight on the front axle at rest."""
    max_steer_rad: float
    """Of the single track's front wheel, either way."""
    power_w: float
    traction_n: float
    """The largest force of the engine at the wheels."""
    front_drive: float
    """Share of the drive at the front axle."""
    top_speed_mps: float
    drag_area_m2: float
    """Drag coefficient times frontal area."""
    shifts_mps: tuple[float, ...] = ()
    """Speeds at which the next gear begins."""
    centre_height_m: float = 0.55
    """Of the centre of gravity: Heydinger et al., "Measured vehicle inertial parameters -
    NHTSA's data through November 1998", SAE 1999-01-1336: 0.5 to 0.6 m for cars."""
    friction: float = 1.0489
    """Dry asphalt: Pacejka's PDY1 in CommonRoad's tyre parameters."""
    stiffness: float = 21.92
    """Cornering stiffness over load, 1/rad: Pacejka's PKY1 in the same set."""
    rolling: float = 0.012
    """Rolling resistance over load: Gillespie (1992), table 4.1, radial tyres."""
    brake_mps2: float = 11.0
    """Deceleration that the full pedal asks for: more than tyres give."""
    steer_rate_rps: float = 0.4
    """Of the front wheels: CommonRoad, vehicle 2."""
    engine_lag_s: float = 0.2
    """First-order lag of the drive force; Rajamani, "Vehicle Dynamics and Control", 2nd ed.
    2012, chapter 5, has some tenths of a second for engines and torque converters."""
    brake_lag_s: float = 0.1
    """First-order lag of the brakes' pressure; same chapter."""
    wheel_radius_m: float = 0.33
    base_type: str = "car"

    @property
    def to_front_m(self) -> float:
        """Metres from the centre of gravity to the front axle."""
        return self.wheelbase_m * (1.0 - self.front_load)

    @property
    def to_rear_m(self) -> float:
        """Metres from the centre of gravity to the rear axle."""
        return self.wheelbase_m * self.front_load

    @property
    def yaw_inertia(self) -> float:
        """kg m^2 about the vertical: a dynamic index of 1, which most cars are near
        (Gillespie 1992, chapter 6: the axles are each other's centres of percussion)."""
        return self.mass_kg * self.to_front_m * self.to_rear_m


def _lock(wheelbase_m: float, turning_circle_m: float, width_m: float) -> float:
    """Return the front wheel's angle (radians) on a turning circle (diameter, kerb to kerb).

    The outer front wheel runs on the circle; the single track's wheel half a track inside.
    """
    track = 0.85 * width_m
    rear = math.sqrt((turning_circle_m / 2.0) ** 2 - wheelbase_m**2) - track / 2.0
    return math.atan2(wheelbase_m, rear)


SEDAN = (7.0, 13.0, 20.0, 28.0, 38.0)
"""Where gears begin, m/s: a six-speed automatic shifting at moderate throttle."""
LORRY = (3.0, 6.0, 10.0, 15.0, 20.0)


PARAMETERS: dict[str, Parameters] = {
    "vehicle.tesla.model3": Parameters(  # rear-wheel drive, 1 gear
        4.694, 1.849, 1.443, 2.875, 1760.0, 0.47, _lock(2.875, 11.8, 1.849),
        208e3, 8800.0, 0.0, 62.5, 0.23 * 2.22, centre_height_m=0.46,
    ),
    "vehicle.lincoln.mkz_2020": Parameters(
        4.925, 1.864, 1.476, 2.850, 1690.0, 0.59, _lock(2.850, 11.4, 1.864),
        183e3, 7600.0, 1.0, 58.0, 0.30 * 2.25, SEDAN,
    ),
    "vehicle.audi.tt": Parameters(
        4.177, 1.832, 1.353, 2.505, 1335.0, 0.59, _lock(2.505, 11.0, 1.832),
        169e3, 6900.0, 1.0, 69.4, 0.29 * 2.09, SEDAN, centre_height_m=0.50,
    ),
    "vehicle.audi.a2": Parameters(
        3.826, 1.673, 1.553, 2.405, 990.0, 0.60, _lock(2.405, 10.5, 1.673),
        55e3, 4300.0, 1.0, 48.0, 0.28 * 2.20, SEDAN, wheel_radius_m=0.29,
    ),
    "vehicle.mini.cooper_s": Parameters(
        3.850, 1.727, 1.414, 2.495, 1235.0, 0.62, _lock(2.495, 10.7, 1.727),
        141e3, 6200.0, 1.0, 65.0, 0.33 * 2.05, SEDAN, wheel_radius_m=0.30,
    ),
    "vehicle.mercedes.coupe": Parameters(
        4.696, 1.810, 1.405, 2.840, 1615.0, 0.53, _lock(2.840, 11.2, 1.810),
        180e3, 7300.0, 0.0, 69.4, 0.26 * 2.19, SEDAN,
    ),
    "vehicle.dodge.charger_2020": Parameters(
        5.040, 1.905, 1.479, 3.052, 1980.0, 0.53, _lock(3.052, 11.8, 1.905),
        276e3, 9000.0, 0.0, 69.4, 0.335 * 2.35, SEDAN, wheel_radius_m=0.36,
    ),
    "vehicle.toyota.prius": Parameters(
        4.480, 1.745, 1.490, 2.700, 1380.0, 0.61, _lock(2.700, 10.4, 1.745),
        100e3, 4900.0, 1.0, 50.0, 0.25 * 2.17, wheel_radius_m=0.31,
    ),
    "vehicle.nissan.patrol_2021": Parameters(
        5.165, 1.995, 1.940, 3.075, 2750.0, 0.52, _lock(3.075, 12.5, 1.995),
        298e3, 12000.0, 0.5, 58.0, 0.37 * 3.10, SEDAN, centre_height_m=0.75, wheel_radius_m=0.39,
    ),
    "vehicle.mercedes.sprinter": Parameters(
        5.932, 2.020, 2.640, 3.665, 2350.0, 0.55, _lock(3.665, 13.4, 2.020),
        120e3, 8000.0, 0.0, 44.0, 0.33 * 4.50, SEDAN, centre_height_m=0.80,
        friction=0.95, stiffness=15.0, wheel_radius_m=0.35, base_type="van",
    ),
    "vehicle.carlamotors.carlacola": Parameters(  # a medium lorry of no real make
        5.204, 2.426, 2.467, 3.000, 5500.0, 0.50, _lock(3.000, 13.0, 2.426),
        130e3, 16000.0, 0.0, 30.0, 0.60 * 5.60, LORRY, centre_height_m=1.10,
        friction=0.80, stiffness=8.0, rolling=0.008, brake_mps2=9.0, engine_lag_s=0.4,
        brake_lag_s=0.3, wheel_radius_m=0.42, base_type="truck",
    ),
}  # fmt: skip
"""Lorry tyres have less friction and stiffness over load, and air brakes answer later: Fancher
et al., "A factbook of the mechanical properties of the components for single-unit and articulated
heavy trucks", UMTRI 1986."""
