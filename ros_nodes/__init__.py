"""ROS 2: will hold the lifecycle node that runs a bundle on a camera topic, and its launch file.

The only package that imports ``rclpy``; it runs bundles through `edge_seg.Segmenter`.
"""
