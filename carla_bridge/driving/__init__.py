"""Mask in, steering out: lane geometry and control, with numpy and OpenCV only.

    from carla_bridge.driving.driver import CarGeometry, Driver
    from carla_bridge.driving.view import View

    view = View(640, 480, fov_deg=90.0, height_m=1.5, pitch_deg=-5.0, forward_m=0.5)
    driver = Driver(view, CarGeometry(wheelbase_m=2.9), target_speed_mps=10.0, lane_width_m=3.5)
    driver.see(mask, taken_at_s=0.0)                    # class ids (480, 640) uint8
    control = driver.act(0.05, speed_mps=9.8, yaw_rate_rps=0.01)

`view` knows where a pixel lies on the ground, `evidence` takes markings and road edges from a
mask, `track` is a road's course ahead, `lane` fits it, `lateral` and `speed` follow it.

Vehicle coordinates everywhere: x forward, y left, metres, origin on the ground under the car's
centre (where CARLA has a vehicle's transform); angles and curvatures are positive to the left.
Only `Control.steer` is positive to the right, as in CARLA.
"""
