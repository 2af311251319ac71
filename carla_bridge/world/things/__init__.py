"""What stands beside the road and moves on it.

`scenery` calls them all, `roadside` says where there is room, `copies` stands one mesh in many
places, `shapes` are what meshes are built of.
"""
