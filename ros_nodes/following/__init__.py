"""Masks that a ROS 2 node makes, for whoever drives by them: `masks`."""
