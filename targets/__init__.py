"""What edge-seg knows of devices: a folder a target; adding one is adding a folder.

Each target's package holds a `edge_seg.target.Target`, registered in setup.cfg under
``edge_seg.targets``.
"""
