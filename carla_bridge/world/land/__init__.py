"""The ground: asphalt, kerbs, pavements, verges, and hills to the horizon, as meshes."""
