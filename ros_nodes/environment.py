"""What ROS reads from the environment before it starts: the shared-memory profile.

    warnings = prepare()              # before rclpy.init
    environment = profile()           # {"FASTDDS_DEFAULT_PROFILES_FILE": ".../fastdds.xml"}

Fast DDS sends a message between two processes of one machine through a segment of shared memory,
and a best-effort image that does not fit into the segment is lost. `PROFILE` makes the segment
large enough. It is the *sender's* segment, so a camera driver needs the profile as much as the
node does. The variable's name changed with Fast DDS 3 (its migration guide, "Fast DDS v3").

No ROS is imported here: launch files ask, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROFILE = Path(__file__).parent / "config" / "fastdds.xml"
VARIABLE, OLD_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
WITH_FAST_DDS_2 = ("foxy", "galactic", "humble", "iron", "jazzy")
"""Distributions whose Fast DDS is older than 3 and reads the old name."""


def variable(environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of the variable that this machine's Fast DDS reads."""
    distribution = environment.get("ROS_DISTRO")
    if distribution is not None:
        return OLD_VARIABLE if distribution in WITH_FAST_DDS_2 else VARIABLE
    try:  # wheels of Fast DDS 2 have a name of their own
        version("ros-fastrtps")
    except PackageNotFoundError:
        return VARIABLE
    return OLD_VARIABLE


def uses_fast_dds(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether ROS runs on Fast DDS, its default, as far as the environment says."""
    return environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps")


def profile(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what to add to the environment: empty where a profile is set, or none is read."""
    if not uses_fast_dds(environment) or environment.get(variable(environment)):
        return {}
    return {variable(environment): str(PROFILE)}


def loopback(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what keeps ROS on this machine, and the profile; Humble has a variable of its own."""
    if environment.get("ROS_DISTRO") == "humble":
        return {"ROS_LOCALHOST_ONLY": "1", **profile(environment)}
    return {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_STATIC_PEERS": "",
        **profile(environment),
    }


@contextmanager
def apart(**others: str) -> Iterator[None]:
    """Have ROS that is started in the block, here or in a child, keep to this machine."""
    before = dict(os.environ)
    os.environ.update(loopback(), **others)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare() -> list[str]:
    """Set the variable for this process; return what is wrong with what the user has set."""
    os.environ.update(profile())
    return warnings()


def warnings(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each thing in the environment that costs frames."""
    if not uses_fast_dds(environment):
        return []
    name = variable(environment)
    path = environment.get(name, "")
    advice = f"large frames may be lost between processes: export {name}={PROFILE}"
    if not path:
        return [f"no Fast DDS profile is set, and {advice}"]
    try:
        text = Path(path).read_text(errors="replace")
    except OSError as error:
        return [f"{name}={path} cannot be read ({error.strerror}), and {advice}"]
    if "segment_size" not in text:
        return [f"{name}={path} sets no segment_size for shared memory, and {advice}"]
    return []
