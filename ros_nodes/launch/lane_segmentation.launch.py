"""Start the segmentation node, and where asked a camera and RViz.

    ros2 launch edge_seg lane_segmentation.launch.py bundle:=lane.edgeseg image:=/front/image_raw
    ros2 launch edge_seg lane_segmentation.launch.py bundle:=lane.edgeseg camera:=road.mp4
    ros2 launch edge_seg lane_segmentation.launch.py --show-args

The nodes send images through shared memory that holds them (`ros_nodes.environment`), unless a
Fast DDS profile is set already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ros_nodes.environment import profile

SHARE = Path(__file__).parents[1]
SHOWN = ("mask_color", "overlay")

ARGUMENTS = (
    DeclareLaunchArgument("bundle", description="Path of the .edgeseg bundle"),
    DeclareLaunchArgument("image", default_value="", description="Topic of the camera's frames"),
    DeclareLaunchArgument("transport", default_value="", description="raw or compressed"),
    DeclareLaunchArgument("use_sim_time", default_value="", description="true: time of /clock"),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "lane_segmentation.yaml"),
        description="Parameters; bundle, image, transport and use_sim_time go before it if given",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Of all nodes"),
    DeclareLaunchArgument("respawn", default_value="true", description="Start again what dies"),
    DeclareLaunchArgument("log_level", default_value="info", description="Of all nodes"),
    DeclareLaunchArgument(
        "camera",
        default_value="",
        description="Start lane_camera, too, on this source: a video, a folder, camera:0 ...",
    ),
    DeclareLaunchArgument("rviz", default_value="false", description="Show mask and overlay"),
)


def generate_launch_description() -> LaunchDescription:
    """Return what ``ros2 launch`` starts."""
    environment = [SetEnvironmentVariable(*item) for item in profile().items()]
    return LaunchDescription([*ARGUMENTS, *environment, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Action]:
    """Return the nodes, once the arguments are known.

    An argument that was not given leaves its parameter to the file. The node configures and
    activates itself, after a respawn, too: a LifecycleNode's events would reach it only once.
    """
    bundle = Path(_given("bundle", context)).expanduser().absolute()
    if not bundle.is_file():
        raise RuntimeError(f"no bundle at {bundle}: bundle:= the file that edge-seg pack wrote")
    image, transport = _given("image", context), _given("transport", context)
    both: dict[str, object] = {"transport": _text(transport)} if transport else {}
    if value := _given("use_sim_time", context):
        both["use_sim_time"] = IfCondition(value).evaluate(context)
    topic = {"image": _text(image)} if image else {}
    nodes: list[Action] = [
        _node("lane_segmentation", {"bundle": _text(str(bundle))} | topic | both)
    ]
    if source := _given("camera", context):
        remapped = [("image", image)] if image else []
        nodes.append(_node("lane_camera", {"source": _text(source)} | both, remapped))
    return [*nodes, _rviz()]


def _node(
    name: str, parameters: dict[str, object], remapped: Sequence[tuple[str, str]] = ()
) -> Node:
    return Node(
        package="edge_seg",
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=list(remapped),
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=1.0,
        output="screen",
    )


def _rviz() -> Node:
    """Return RViz, which finds its absolute topics in the namespace."""
    topics = [f"lane_segmentation/{name}" for name in SHOWN]
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(SHARE / "rviz" / "lane_segmentation.rviz")],
        remappings=[(f"/{topic}", topic) for topic in topics],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


def _given(name: str, context: LaunchContext) -> str:
    return LaunchConfiguration(name).perform(context)


def _text(value: str) -> ParameterValue:
    """Return a parameter that stays a string where YAML would read a number."""
    return ParameterValue(value, value_type=str)
