"""The built-in world: OpenDRIVE roads in, camera frames with class masks out.

    from carla_bridge.world.render import render_frames

    frames = render_frames(count=4, seed=1, width=640, height=480)
    name, frame, mask = next(frames)

Everything is seeded: the same seed, the same bytes.
"""
