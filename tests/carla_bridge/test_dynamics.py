"""The vehicle model: cases worked by hand, laws that hold for any input, and CommonRoad's model."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.world.dynamics import PARAMETERS, Ackermann, Control, Parameters, Vehicle
from carla_bridge.world.dynamics.powertrain import drive_force, resistance
from carla_bridge.world.dynamics.tyres import ANTI_LOCK, lateral_force, lateral_room, locked_axle

TESLA = PARAMETERS["vehicle.tesla.model3"]
G = 9.81


def drive(car: Vehicle, seconds: float, dt: float = 0.05, grade: float = 0.0) -> Vehicle:
    for _ in range(round(seconds / dt)):
        car.step(dt, grade)
    return car


def at_speed(speed: float, parameters: Parameters = TESLA, **control: float) -> Vehicle:
    car = Vehicle(parameters, 0.0, 0.0, 0.0, speed)
    car.control = Control(**control)
    return car


def holding(speed: float, steer_rad: float, parameters: Parameters = TESLA) -> Vehicle:
    """Return a car that holds a speed and a wheel angle (to the left) by itself."""
    car = Vehicle(parameters, 0.0, 0.0, 0.0, speed)
    car.ackermann = Ackermann(steer=-steer_rad, speed=speed)
    return car


# --- tyres ------------------------------------------------------------------------------------


def test_small_slip_is_linear_and_large_slip_is_the_friction_limit() -> None:
    # 100 kN/rad and 0.001 rad: 100 N, less a share of C a / (3 F) = 0.8 %.
    assert lateral_force(0.001, 100e3, 4000.0) == pytest.approx(-100.0, rel=0.01)
    assert lateral_force(0.5, 100e3, 4000.0) == -4000.0
    # Fiala slides as a whole from tan(a) = 3 F / C on, and comes there without a kink.
    edge = math.atan(3.0 * 4000.0 / 100e3)
    assert lateral_force(edge * 0.9999, 100e3, 4000.0) == pytest.approx(-4000.0, rel=1e-6)


def test_braking_leaves_the_rest_of_the_friction_circle() -> None:
    assert lateral_room(5000.0, 3000.0) == pytest.approx(4000.0)
    assert lateral_room(5000.0, 5100.0) == 0.0


def test_locked_wheels_rub_against_their_slip() -> None:
    axle = locked_axle((22.0, 1.0), load=1000.0, slip=math.radians(30.0))
    assert (axle.drive, axle.hold, axle.side) == pytest.approx((0.0, 866.0, -500.0), abs=0.1)


# --- cases worked by hand ---------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.5, 2.0, 5.0, 15.0, 25.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_steady_circle_with_small_slip(speed: float, side: float) -> None:
    # Both axles slip alike (stiffness follows load), so the car steers neutrally: R = L / tan d.
    steer = side * min(0.2, math.atan(1.5 * TESLA.wheelbase_m / speed**2))  # 1.5 m/s^2 across
    car = drive(holding(speed, steer), 8.0)
    radius = car.speed_mps / car.yaw_rate_rps
    assert radius == pytest.approx(TESLA.wheelbase_m / math.tan(steer), rel=0.02)


def test_path_of_a_slow_full_circle_closes() -> None:
    car = holding(2.0, 0.3)
    drive(car, 4.0)
    start, turned = (car.x_m, car.y_m, car.heading_rad), 0.0
    while turned < 2.0 * math.pi:
        car.step(0.01)
        turned += car.yaw_rate_rps * 0.01
    assert math.dist((car.x_m, car.y_m), start[:2]) < 0.1


@pytest.mark.parametrize("speed", [10.0, 20.0, 30.0])
def test_stopping_distance(speed: float) -> None:
    # v^2 / (2 mu g), of which anti-lock brakes use 97 %, after a brake lag of 0.1 s.
    # Without air and rolling resistance, which would help.
    for grip in (1.0, 0.5):
        car = at_speed(speed, replace(TESLA, drag_area_m2=0.0, rolling=0.0), brake=1.0)
        car.grip = grip
        while car.speed_mps > 0.0:
            car.step(0.02)
        friction = ANTI_LOCK * TESLA.friction * grip
        ideal = speed**2 / (2.0 * friction * G)
        assert ideal < car.x_m < ideal + speed * 0.12


@pytest.mark.parametrize("blueprint", sorted(PARAMETERS)[::3])
def test_top_speed_is_where_power_meets_resistance(blueprint: str) -> None:
    # P = v (c v^2 + F_roll): the one real root of a cubic.
    car = replace(PARAMETERS[blueprint], top_speed_mps=200.0)
    rolling = car.rolling * car.mass_kg * G
    roots = np.roots([0.5 * 1.2 * car.drag_area_m2, 0.0, rolling, -car.power_w])
    top = float(next(r.real for r in roots if abs(r.imag) < 1e-9 and r.real > 0))
    for start in (0.98, 1.02):
        driven = drive(at_speed(start * top, car, throttle=1.0), 50.0, dt=0.1)
        assert driven.speed_mps == pytest.approx(top, rel=0.008)


@pytest.mark.parametrize(
    ("blueprint", "seconds"),
    [
        ("vehicle.tesla.model3", 6.1), ("vehicle.audi.tt", 6.0), ("vehicle.mini.cooper_s", 6.8),
        ("vehicle.toyota.prius", 10.6), ("vehicle.dodge.charger_2020", 5.9),
    ],
)  # fmt: skip
def test_time_to_100_kmh_is_near_the_manufacturers(blueprint: str, seconds: float) -> None:
    car = at_speed(0.0, PARAMETERS[blueprint], throttle=1.0)
    time = 0.0
    while car.speed_mps < 100.0 / 3.6:
        car.step(0.01)
        time += 0.01
    assert time == pytest.approx(seconds, rel=0.2)


def test_top_speed_is_governed() -> None:
    car = drive(at_speed(61.0, throttle=1.0), 20.0, dt=0.1)
    assert TESLA.top_speed_mps - 1.0 < car.speed_mps < TESLA.top_speed_mps


def test_coasting_loses_speed_by_drag_and_rolling() -> None:
    car = at_speed(30.0)
    car.step(0.1)
    drag = 0.5 * 1.2 * TESLA.drag_area_m2 * 30.0**2
    loss = (drag + TESLA.rolling * TESLA.mass_kg * G) / TESLA.mass_kg
    assert (30.0 - car.speed_mps) / 0.1 == pytest.approx(loss, rel=0.01)


def test_a_slope_pulls_by_its_sine() -> None:
    car = at_speed(0.0)
    drive(car, 2.0, grade=0.1)
    expected = -2.0 * G * (math.sin(math.atan(0.1)) - TESLA.rolling)
    assert car.speed_mps == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("grade", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("control", [Control(brake=1.0), Control(hand_brake=True)])
def test_stands_still_on_a_slope(grade: float, control: Control) -> None:
    car = Vehicle(TESLA, 3.0, 4.0, 0.5)
    car.control = control
    car.step(0.5)  # on the level, until the brakes are on
    drive(car, 20.0, grade=grade)
    assert (car.x_m, car.y_m, car.speed_mps) == (3.0, 4.0, 0.0)


def test_wheels_turn_no_faster_than_they_can() -> None:
    car = at_speed(5.0, steer=1.0)
    car.step(0.1)
    assert car.steer_rad == pytest.approx(-TESLA.steer_rate_rps * 0.1)
    drive(car, 5.0)
    assert car.steer_rad == pytest.approx(-TESLA.max_steer_rad)
    assert car.heading_rad < 0.0 or car.yaw_rate_rps < 0.0  # CARLA's right is clockwise


def test_lateral_acceleration_ends_at_the_friction() -> None:
    car = at_speed(25.0, steer=1.0)
    most = 0.0
    for _ in range(400):
        car.step(0.01)
        most = max(most, math.hypot(*car.acceleration))
    assert most < 1.02 * TESLA.friction * G
    assert most > 0.85 * TESLA.friction * G


def test_the_hand_brake_breaks_the_rear_away() -> None:
    turning = drive(at_speed(15.0, steer=0.3), 0.8)
    turning.control = Control(steer=0.3, hand_brake=True)
    before = abs(turning.yaw_rate_rps)
    drive(turning, 0.7)
    vx, vy = turning.velocity
    drift = math.atan2(vy, vx) - turning.heading_rad
    assert abs(math.remainder(drift, 2.0 * math.pi)) > 0.3
    assert abs(turning.yaw_rate_rps) > before


def test_reverse_goes_backwards_and_is_slow() -> None:
    car = at_speed(0.0, throttle=1.0)
    car.control = Control(throttle=1.0, reverse=True)
    drive(car, 15.0)
    assert -9.0 < car.speed_mps < -6.0
    assert car.x_m < -50.0
    assert car.gear == -1


def test_gears_follow_speed() -> None:
    car = at_speed(0.0, PARAMETERS["vehicle.audi.tt"], throttle=1.0)
    gears = []
    for _ in range(400):
        car.step(0.05)
        gears.append(car.gear)
    assert gears == sorted(gears) and set(gears) == {1, 2, 3, 4, 5, 6}


def test_velocity_is_that_of_the_place() -> None:
    car = drive(at_speed(12.0, steer=0.2), 1.0)
    x, y = car.x_m, car.y_m
    vx, vy = car.velocity
    car.step(0.0025)
    assert (car.x_m - x) / 0.0025 == pytest.approx(vx, abs=0.05)
    assert (car.y_m - y) / 0.0025 == pytest.approx(vy, abs=0.05)


def test_a_push_changes_the_velocity() -> None:
    car = Vehicle(TESLA, 0.0, 0.0, 1.0, 10.0)
    car.push(3.0, -4.0)
    assert car.velocity == pytest.approx((3.0, -4.0))


# --- Ackermann --------------------------------------------------------------------------------


def test_ackermann_reaches_and_holds_its_speed() -> None:
    car = Vehicle(TESLA, 0.0, 0.0, 0.0)
    car.ackermann = Ackermann(speed=8.0, acceleration=2.0)
    drive(car, 2.0)
    assert car.speed_mps == pytest.approx(2.0 * 2.0, abs=0.5)  # less the engine's lag
    for grade in (0.0, 0.08, -0.08):
        drive(car, 6.0, grade=grade)
        assert car.speed_mps == pytest.approx(8.0, abs=0.1)


def test_ackermann_stops_then_goes_backwards() -> None:
    car = Vehicle(TESLA, 0.0, 0.0, 0.0, 6.0)
    car.ackermann = Ackermann(speed=-2.0)
    seen = [car.step(0.05) or car.speed_mps for _ in range(200)]
    assert seen[-1] == pytest.approx(-2.0, abs=0.05)
    car.ackermann = Ackermann(speed=0.0)
    drive(car, 5.0, grade=0.1)
    assert car.speed_mps == 0.0


def test_ackermann_steers_in_radians_to_the_right_at_its_rate() -> None:
    car = Vehicle(TESLA, 0.0, 0.0, 0.0, 5.0)
    car.ackermann = Ackermann(steer=0.1, steer_speed=0.05, speed=5.0)
    drive(car, 1.0)
    assert car.steer_rad == pytest.approx(-0.05, abs=1e-6)
    drive(car, 2.0)
    assert car.steer_rad == pytest.approx(-0.1)


def test_ackermann_keeps_its_jerk() -> None:
    car = Vehicle(TESLA, 0.0, 0.0, 0.0)
    car.ackermann = Ackermann(speed=20.0, acceleration=3.0, jerk=1.0)
    drive(car, 1.0)
    assert car.speed_mps == pytest.approx(0.5, abs=0.2)  # j t^2 / 2, less the engine's lag


# --- laws -------------------------------------------------------------------------------------

ANY = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(PARAMETERS)),
    ANY,
    st.lists(
        st.tuples(ANY, ANY, ANY, st.booleans(), st.booleans(), ANY, st.floats(0.0001, 0.1)),
        min_size=1,
        max_size=12,
    ),
    ANY,
    ANY,
)
def test_never_nan_whatever_comes_in(blueprint, speed, steps, push, spin) -> None:  # type: ignore[no-untyped-def]
    car = Vehicle(PARAMETERS[blueprint], 0.0, 0.0, 0.0, speed)
    for i, (throttle, steer, brake, hand, reverse, grade, dt) in enumerate(steps):
        car.control = Control(throttle, steer, brake, hand, reverse)
        car.ackermann = Ackermann(steer, brake, throttle, grade, push) if i % 3 == 2 else None
        if i == 4:
            car.push(push, spin)
            car.spin(spin)
        car.step(dt, grade)
        found = (car.x_m, car.y_m, car.heading_rad, *car.velocity, *car.acceleration)
        assert all(map(math.isfinite, found))
        assert abs(car.steer_rad) <= car.parameters.max_steer_rad + 1e-9
        assert math.hypot(*car.velocity) < 400.0


def test_not_a_number_counts_as_nothing() -> None:
    nan = float("nan")
    car = Vehicle(TESLA, 0.0, 0.0, 0.0, 10.0)
    car.control = Control(nan, nan, nan)
    car.step(0.05)
    car.ackermann = Ackermann(nan, nan, nan, nan, nan)
    car.step(0.05, nan)
    assert math.isfinite(car.x_m) and math.isfinite(car.speed_mps)


@pytest.mark.parametrize("dt", [0.0, -0.1, float("nan"), 11.0])
def test_a_step_that_is_none_is_refused(dt: float) -> None:
    with pytest.raises(ValueError, match="a step of"):
        at_speed(1.0).step(dt)


def test_the_size_of_a_step_hardly_matters() -> None:
    ends = []
    for dt in (0.1, 0.05, 1.0 / 60.0, 0.003):
        car = at_speed(14.0, throttle=0.2, steer=0.12)
        drive(car, 3.0, dt)
        ends.append((car.x_m, car.y_m, car.heading_rad))
    assert np.ptp(np.array(ends), axis=0).max() < 0.05


def test_the_same_controls_give_the_same_path() -> None:
    def run() -> tuple[float, ...]:
        car = at_speed(10.0)
        for i in range(100):
            car.control = Control(0.3, math.sin(i / 7.0) * 0.5, 0.0)
            car.step(0.05, 0.01)
        return car.x_m, car.y_m, car.heading_rad, car.speed_mps

    assert run() == run()


def test_mirrored_steering_gives_the_mirrored_path() -> None:
    left, right = at_speed(15.0, steer=-0.3), at_speed(15.0, steer=0.3)
    drive(left, 3.0), drive(right, 3.0)
    assert (left.x_m, left.y_m) == pytest.approx((right.x_m, -right.y_m))


def test_parameters_are_those_of_real_cars() -> None:
    for name, car in PARAMETERS.items():
        assert name.startswith("vehicle.") and name.count(".") == 2
        assert 0.5 * car.length_m < car.wheelbase_m < 0.7 * car.length_m
        assert math.radians(28.0) < car.max_steer_rad < math.radians(40.0)
        assert drive_force(car, 1.0, 5.0, reverse=False) > 5.0 * resistance(car, 5.0)


# --- peer: CommonRoad's single-track model ----------------------------------------------------

BMW = Parameters(  # CommonRoad's vehicle 2
    4.508, 1.610, 1.475, 1.1561957064 + 1.4227170936, 1093.2952334674046,
    1.4227170936 / (1.1561957064 + 1.4227170936), 1.066, 150e3, 8000.0, 0.0, 50.8, 0.6,
    centre_height_m=0.61373004,
)  # fmt: skip


def commonroad() -> tuple[object, object]:
    """Return CommonRoad's right-hand side, and parameters for it equal to `BMW`."""
    module = pytest.importorskip(
        "vehiclemodels.vehicle_dynamics_st", reason="needs commonroad-vehicle-models"
    )
    return module.vehicle_dynamics_st, SimpleNamespace(
        tire=SimpleNamespace(p_dy1=BMW.friction, p_ky1=-BMW.stiffness),
        a=BMW.to_front_m, b=BMW.to_rear_m, h_s=BMW.centre_height_m, m=BMW.mass_kg,
        I_z=BMW.yaw_inertia,
        steering=SimpleNamespace(min=-1.066, max=1.066, v_min=-0.4, v_max=0.4),
        longitudinal=SimpleNamespace(a_max=11.5, v_max=50.8, v_min=-13.9, v_switch=7.319),
    )  # fmt: skip


def commonroad_path(steer_to: float, pull: float, seconds: float) -> np.ndarray:
    """Integrate CommonRoad's model from 15 m/s; rows of x, y, steer, speed, yaw, rate, slip."""
    rhs, parameters = commonroad()
    state, rows, dt = [0.0, 0.0, 0.0, 15.0, 0.0, 0.0, 0.0], [], 0.0005
    for i in range(round(seconds / dt)):
        rate = 0.4 if state[2] < steer_to - 1e-6 else 0.0
        change = rhs(state, [rate, pull], parameters)  # type: ignore[operator]
        state = [s + dt * c for s, c in zip(state, change, strict=True)]
        if (i + 1) % 100 == 0:  # every 0.05 s
            rows.append(state)
    return np.array(rows)


def test_step_steer_is_that_of_commonroads_model() -> None:
    # 0.02 rad at 15 m/s: 1.7 m/s^2 across, where CommonRoad's linear tyres hold.
    theirs = commonroad_path(steer_to=0.02, pull=0.0, seconds=3.0)
    car = holding(15.0, 0.02, BMW)
    ours = []
    for _ in range(60):
        car.step(0.05)
        ours.append((car.x_m, car.y_m, car.heading_rad, car.yaw_rate_rps))
    found = np.array(ours)
    # Yaw rate after one, two, ... steps: the transient, and where it ends.
    assert np.abs(found[:, 3] - theirs[:, 5]).max() < 0.03 * theirs[-1, 5]
    assert np.abs(found[:, 2] - theirs[:, 4]).max() < 0.01
    # They follow the centre of gravity, which starts 13 cm ahead of midway between the axles.
    ahead = BMW.wheelbase_m / 2.0 - BMW.to_front_m
    place = found[:, :2] + ahead * np.stack([np.cos(found[:, 2]), np.sin(found[:, 2])], axis=1)
    assert np.abs(place - [ahead, 0.0] - theirs[:, :2]).max() < 0.15


def test_braking_in_a_bend_is_that_of_commonroads_model() -> None:
    # 3 m/s^2 at 0.01 rad. Their pull is there at once; ours comes with the brake's lag.
    theirs = commonroad_path(steer_to=0.01, pull=-3.0, seconds=2.5)
    car = Vehicle(replace(BMW, brake_lag_s=1e-3, drag_area_m2=0.0, rolling=0.0), 0, 0, 0, 15.0)
    car.control = Control(steer=-0.01 / BMW.max_steer_rad, brake=3.0 / BMW.brake_mps2)
    ours = []
    for _ in range(50):
        car.step(0.05)
        ours.append((car.speed_mps, car.yaw_rate_rps, car.heading_rad))
    found = np.array(ours)
    assert np.abs(found[:, 0] - theirs[:, 3]).max() < 0.05
    assert np.abs(found[:, 1] - theirs[:, 5]).max() < 0.05 * np.abs(theirs[:, 5]).max()
    assert np.abs(found[:, 2] - theirs[:, 4]).max() < 0.01
