"""One camera: where it stands, and what its lens, glass and sensor do to a picture.

`model` holds the numbers, `mounts` draws them, `lens` takes the picture through all of it.
"""
