"""Any source of frames as a ROS camera: a video, a folder, a camera, a simulated car.

node.py     parameters, and frames to messages
feed.py     the thread that takes frames at their rate, and finds a lost camera again
pace.py     when the next frame is due
main.py     its process
"""
