from glob import glob

from setuptools import setup

SHARE = "share/edge_seg"
FOLDERS = ("launch", "config", "rviz", "foxglove")

setup(
    # Here, since colcon cannot read what setuptools makes of it in setup.cfg.
    python_requires=">=3.10",
    # What ROS finds a package by. Patterns, since a device's copy is made without package.xml.
    data_files=[
        ("share/ament_index/resource_index/packages", glob("resource/edge_seg")),
        (SHARE, glob("package.xml")),
        *((f"{SHARE}/{folder}", glob(f"ros_nodes/{folder}/*.*")) for folder in FOLDERS),
    ],
)
