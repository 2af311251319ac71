"""The lane-segmentation node, from the camera's message to the mask's.

node.py         the lifecycle: what is opened and closed when
main.py         its process
parameters.py   what can be set, and within which limits
mailbox.py      one frame waits, the newest
inference.py    the worker's loop: frame in, mask out
network.py      opening a bundle, and opening another one while the first works
outputs.py      the topics it publishes
counts.py       what happened to frames, how long it took
diagnostics.py  what /diagnostics says of it
"""
