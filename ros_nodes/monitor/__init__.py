"""Measures a segmentation node from outside: what arrives, how late, and what does not.

node.py         what is listened to, and when the result is written
statistics.py   the figures, without ROS
main.py         its process
"""
