"""The bridge to CARLA, and the built-in world that needs no CARLA server.

`carla_bridge.world` renders labelled road frames from OpenDRIVE text:

    from carla_bridge.world.render import render_frames

    for name, frame, mask in render_frames(count=10, seed=1):
        ...  # frame (480, 640, 3) uint8 BGR, mask (480, 640) uint8 class ids

Needs the extra ``carla``: ``pip install "edge-seg[carla]"``. The README beside this file
says what is here and what comes with the client side.
"""
