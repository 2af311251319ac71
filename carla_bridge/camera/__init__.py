"""A simulated car's camera as a source of frames: `edge-seg run lane.edgeseg world:Town`.

source.py     the source, and the built-in world or CARLA server behind it
options.py    what may be said after the "?"
ride.py       the car that goes along its lane

Registered as ``world`` and ``carla`` in the entry-point group ``edge_seg.sources``.
"""
