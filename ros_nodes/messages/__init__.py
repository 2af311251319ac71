"""ROS messages to what the core works with, and back: `images` and `stamps`."""
