"""A session with any CARLA server: connect, drive its clock, own what was spawned, leave no trace.

    from carla_bridge.client.session import Session

    with Session.connect("127.0.0.1", 2000) as session:
        session.load("Town01")
        car = session.spawn_car(session.map.get_spawn_points()[0])
        camera = session.camera("rgb", 800, 600, 90.0, place_on_the_car, car)
        picture = camera.at(session.tick())

Only documented calls of the `carla` package are made, so a real server and the built-in world
(`edge-seg world`) are driven by the same lines.
"""
