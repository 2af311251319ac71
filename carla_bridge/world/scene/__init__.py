"""The scene graph in Panda3D: meshes, light, shaders, and the cameras that look at it.

`scene` is the way in; `plain` is the same for machines without OpenGL.
"""
