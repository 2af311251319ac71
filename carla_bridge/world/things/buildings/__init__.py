"""Buildings along the streets: plots, walls, roofs, fronts, and landmarks."""
