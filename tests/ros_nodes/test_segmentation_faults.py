"""What goes wrong around a running node: bundles, signals, neighbours that die, clocks."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from diagnostic_msgs.msg import DiagnosticStatus
from drawn_roads import draw_road
from rig import MODULE, Rig, pixels, rig, stamp_of
from rogue import install
from ros_process import NodeProcess, refused
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.manifest import EngineRef
from edge_seg.files import sha256
from ros_nodes.messages.stamps import from_ns
from ros_nodes.qos import qos
from ros_nodes.segmentation.events import lost_frames
from ros_nodes.segmentation.parameters import PARAMETERS

FRAME = draw_road(310)[0]
END_S = 2.0
"""What SIGINT and SIGTERM may take, in any state."""


def answered(here: Rig) -> np.ndarray:
    stamp = here.send(FRAME)
    here.until(lambda: here.masks and stamp_of(here.masks[-1]) == stamp)
    return pixels(here.masks[-1])


def renamed(bundle: Path, path: Path) -> Path:
    """Write the bundle again under another name: another digest, the same masks."""
    opened = open_bundle(bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    write_bundle(path, msgspec.structs.replace(opened.manifest, name="other"), members)
    return path


def rogue_bundle(bundle: Path, path: Path, behaviour: str) -> Path:
    """Write a bundle of the engine `rogue`, which gives background alone and then misbehaves."""
    with_golden(bundle, path, 0)
    opened = open_bundle(path)
    members = {name: opened.read(name) for name in opened.manifest.members}
    members[opened.manifest.model_file] = behaviour.encode()
    engine = EngineRef("rogue", "numpy", "1")
    write_bundle(path, msgspec.structs.replace(opened.manifest, engine=engine), members)
    return path


def with_golden(bundle: Path, path: Path, label: int) -> Path:
    """Write the bundle again with golden masks that hold this class alone."""
    opened = open_bundle(bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    tests = []
    for test in opened.manifest.golden:
        old = cv2.imdecode(np.frombuffer(members[test.mask], np.uint8), cv2.IMREAD_UNCHANGED)
        mask = np.full_like(np.asarray(old, np.uint8), label)
        members[test.mask] = cv2.imencode(".png", mask)[1].tobytes()
        tests.append(msgspec.structs.replace(test, mask_sha256=sha256(mask.tobytes())))
    write_bundle(path, msgspec.structs.replace(opened.manifest, golden=tests), members)
    return path


def test_another_bundle_takes_over_and_a_bad_one_does_not(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    mine = shutil.copy(tiny_bundle, tmp_path / "mine.edgeseg")
    other = renamed(tiny_bundle, tmp_path / "other.edgeseg")
    false = with_golden(tiny_bundle, tmp_path / "false.edgeseg", 2)
    torn = tmp_path / "torn.edgeseg"
    torn.write_bytes(tiny_bundle.read_bytes()[:-100])
    with rig(tmp_path, bundle=mine) as here:
        here.listened()
        expected = answered(here)
        for bad, reason in ((torn, "torn.edgeseg"), (tmp_path / "none.edgeseg", "no such file")):
            result = here.set(bundle=str(bad))
            assert not result.successful
            assert reason in result.reason
        assert np.array_equal(answered(here), expected)

        assert here.set(bundle=str(other)).successful  # whole, and tried in the background
        digest = open_bundle(other).digest
        here.until(lambda: here.next_status() and here.value["bundle digest"] == digest)
        assert np.array_equal(answered(here), expected)
        here.until(lambda: digest in here.labels[-1])

        assert here.set(bundle=str(false)).successful
        here.until(lambda: "golden frame" in here.next_status().message)
        assert here.value["bundle digest"] == digest
        assert np.array_equal(answered(here), expected)


def test_the_bundle_s_file_may_be_torn_or_gone_while_it_runs(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    mine = Path(shutil.copy(tiny_bundle, tmp_path / "mine.edgeseg"))
    with rig(tmp_path, bundle=mine) as here:
        here.listened()
        expected = answered(here)
        mine.write_bytes(mine.read_bytes()[:5000])
        assert np.array_equal(answered(here), expected)
        mine.unlink()
        assert np.array_equal(answered(here), expected)


def test_a_bad_bundle_leaves_it_unconfigured_with_the_reason(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    with rig(tmp_path, bundle=tmp_path / "none.edgeseg") as here:
        status = here.next_status()
        assert status.level == DiagnosticStatus.ERROR
        assert "no such file" in status.message
        assert here.state() == "unconfigured"
        assert here.set(bundle=str(tiny_bundle)).successful
        assert here.change("configure")
        assert here.change("activate")
        here.listened()
        assert answered(here).shape == FRAME.shape[:2]


def test_no_bundle_is_one_line_and_two(tmp_path: Path) -> None:
    assert "bundle:=" in refused(MODULE, tmp_path)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"transport": "smoke"}, "known: compressed, raw"),
        ({"max_age_ms": "soon"}, "max_age_ms"),
        ({"frame_skip": 5000}, "frame_skip"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_two(
    tmp_path: Path, tiny_bundle: Path, parameters: dict[str, object], words: str
) -> None:
    assert words in refused(MODULE, tmp_path, bundle=tiny_bundle, **parameters)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "bundle=lane.edgeseg"], "override rule: '-p bundle=lane.edgeseg'"),
        (["--params-file", "/none.yaml"], "/none.yaml"),
        (["--", "lane.edgeseg"], "'lane.edgeseg' is not understood"),
    ],
)
def test_arguments_that_ros_refuses_are_one_line_and_two(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    assert words in refused(MODULE, tmp_path, *arguments)


def test_a_parameter_that_there_is_not_is_warned_of(tmp_path: Path, tiny_bundle: Path) -> None:
    with rig(tmp_path, bundle=tiny_bundle, transprot="raw") as here:
        here.process.says("'transprot': did you mean 'transport'?")


def test_help_lists_the_parameters() -> None:
    done = subprocess.run([sys.executable, "-m", MODULE, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"  {declared.name} (" in done.stdout for declared in PARAMETERS)


def test_a_refused_parameter_is_the_caller_s_matter_alone(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    with rig(tmp_path, bundle=tiny_bundle, autostart=False) as here:
        for name in ("", "no topic!", "//x"):
            assert f"image '{name}'" in here.set(image=name).reason
        assert here.change("configure")
        assert here.next_status().level == DiagnosticStatus.OK


@pytest.mark.parametrize(("change", "frames"), [(1, 1), (27, 27), (2**31 - 1, 1), (0, 1)])
def test_a_middleware_that_lost_count_is_not_believed(change: int, frames: int) -> None:
    assert lost_frames(change) == frames


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_a_signal_ends_it_in_any_state(
    tmp_path: Path, tiny_bundle: Path, state: str, number: int
) -> None:
    with rig(tmp_path, bundle=tiny_bundle, autostart=False) as here:
        assert here.state() == "unconfigured"
        if state != "unconfigured":
            assert here.change("configure")
        if state == "active":
            assert here.change("activate")
            here.listened()
            answered(here)
        assert here.process.end(number) == 0
        assert here.process.end_s < END_S
        assert "Traceback" not in here.process.errors()


def test_it_leaves_no_shared_memory(tmp_path: Path, tiny_bundle: Path) -> None:
    before = set(Path("/dev/shm").glob("fastdds_*"))
    node = NodeProcess(MODULE, tmp_path, ["--ros-args", "-p", f"bundle:={tiny_bundle}"])
    node.says("segmenting")
    maps = Path(f"/proc/{node.process.pid}/maps").read_text().splitlines()
    mapped = {Path(line.split()[-1]) for line in maps if "/dev/shm/fastdds_" in line}
    assert mapped - before
    assert node.end() == 0
    assert [path for path in mapped - before if path.exists()] == []


def test_a_second_signal_while_it_ends_does_no_harm(tmp_path: Path, tiny_bundle: Path) -> None:
    with rig(tmp_path, bundle=tiny_bundle) as here:
        here.listened()
        here.process.process.send_signal(signal.SIGINT)
        assert here.process.end(signal.SIGINT) == 0
        assert "Traceback" not in here.process.errors()


def test_a_signal_while_the_bundle_is_opened(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    slow = rogue_bundle(tiny_bundle, tmp_path / "slow.edgeseg", "opens-slowly")
    with rig(tmp_path, bundle=slow) as here:
        here.until(lambda: here.here.node.count_publishers("/lane_segmentation/heartbeat"))
        assert here.process.end() == 0
        assert here.process.end_s < END_S


def test_killed_it_comes_back_on_the_same_topics(tmp_path: Path, tiny_bundle: Path) -> None:
    """What a launch file's respawn does."""
    with rig(tmp_path, bundle=tiny_bundle, expected=-signal.SIGKILL) as here:
        here.listened()
        expected = answered(here)
        here.process.end(signal.SIGKILL)
        arguments = ["-p", "reliability:=reliable", "-p", f"bundle:={tiny_bundle}"]
        again = NodeProcess(MODULE, tmp_path, ["--ros-args", *arguments])
        count = len(here.masks)
        # The dead one's subscription is known until its lease ends: frames go on meanwhile.
        here.until(lambda: here.send(FRAME) and len(here.masks) > count, 40.0)
        assert np.array_equal(pixels(here.masks[-1]), expected)
        assert again.end() == 0


NEIGHBOUR = """
import sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np, rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from ros_nodes.messages.images import image_message
from ros_nodes.qos import qos
rclpy.init()
node = rclpy.create_node("neighbour")
topic = "/lane_segmentation/mask"
node.create_subscription(Image, topic, lambda m: print("mask", flush=True), qos("reliable"))
camera = node.create_publisher(Image, "image", qos("best_effort"))
frame = np.zeros((480, 640, 3), np.uint8)
while True:
    camera.publish(image_message(frame, "bgr8", Header(stamp=node.get_clock().now().to_msg())))
    rclpy.spin_once(node, timeout_sec=0.03)
"""


def test_a_camera_and_a_subscriber_may_be_killed(tmp_path: Path, tiny_bundle: Path) -> None:
    with rig(tmp_path, bundle=tiny_bundle, reliability="best_effort") as here:
        here.listened()
        root = str(Path(__file__).parents[2])
        for _ in range(2):
            neighbour = subprocess.Popen(
                [sys.executable, "-c", NEIGHBOUR, root], stdout=subprocess.PIPE, text=True
            )
            assert neighbour.stdout is not None
            for _ in range(3):
                assert neighbour.stdout.readline() == "mask\n"
            neighbour.kill()
            neighbour.communicate()
        assert answered(here).shape == FRAME.shape[:2]
        assert here.state() == "active"


def test_simulated_time(tmp_path: Path, tiny_bundle: Path) -> None:
    with rig(tmp_path, bundle=tiny_bundle, use_sim_time=True) as here:
        here.listened()
        stamp = here.send(FRAME, stamp_ns=99 * 10**9)
        here.until(lambda: here.latencies and stamp_of(here.latencies[-1]) == stamp)
        seconds = dict(zip(here.latencies[-1].name, here.latencies[-1].position, strict=True))
        assert math.isnan(seconds["transport"])  # no clock yet
        clock = here.here.node.create_publisher(Clock, "/clock", 1)
        here.until(clock.get_subscription_count)

        def in_time() -> bool:
            clock.publish(Clock(clock=from_ns(100 * 10**9)))
            here.send(FRAME, stamp_ns=int(99.9e9))
            here.here.spin(0.1)
            return not math.isnan(here.latencies[-1].position[0])

        here.until(in_time)
        assert here.latencies[-1].position[0] == pytest.approx(0.1, abs=1e-6)


def test_a_network_that_fails_again_and_again_is_given_up(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    failing = rogue_bundle(tiny_bundle, tmp_path / "failing.edgeseg", "raises-late")
    with rig(tmp_path, bundle=failing) as here:
        here.listened()
        here.until(lambda: here.send(FRAME) and here.state() == "inactive")
        status = here.next_status()
        assert status.level == DiagnosticStatus.ERROR
        assert "the network fails: ValueError: no memory for the tensor" in status.message
        assert here.masks  # it worked until then
        assert int(here.value["failed"]) == 3
        assert here.set(bundle=str(tiny_bundle)).successful
        here.until(lambda: here.next_status() and "onnxruntime" in here.value["engine"])
        assert here.change("activate")
        here.listened()
        assert answered(here).shape == FRAME.shape[:2]
        assert here.next_status().level != DiagnosticStatus.ERROR


def test_overload_drops_frames_and_not_time(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inference takes 60 ms, frames come every 20: none waits longer than for its turn."""
    install(tmp_path / "site", monkeypatch)
    slow = rogue_bundle(tiny_bundle, tmp_path / "slow.edgeseg", "slow")
    with rig(tmp_path, bundle=slow) as here:
        here.listened()
        answered(here)
        before = len(here.latencies)
        for _ in range(150):
            here.send(FRAME)
            here.here.spin(0.02)
        here.next_status()
        here.next_status()
        times = [dict(zip(m.name, m.position, strict=True)) for m in here.latencies[before:]]
        assert len(times) >= 30
        assert np.median([row["inference"] for row in times]) == pytest.approx(0.06, abs=0.01)
        # In its slot a frame is younger than the 20 ms until the next one takes its place.
        assert np.median([row["queue"] for row in times]) < 0.04
        assert np.median([row["total"] for row in times]) < 0.06 + 0.02 + 0.04
        value = {key: int(here.value[key]) for key in ("received", "masks", "dropped")}
        assert value["dropped"] > value["masks"]
        assert value["received"] - value["masks"] - value["dropped"] == 0
        assert float(here.value["executor late (ms)"]) < 60.0


def test_a_network_that_hangs_holds_up_no_end(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    hanging = rogue_bundle(tiny_bundle, tmp_path / "hanging.edgeseg", "hangs-late")
    with rig(tmp_path, bundle=hanging) as here:
        here.listened()
        for _ in range(40):
            here.send(FRAME)
            here.here.spin(0.02)
        here.until(lambda: here.next_status().level == DiagnosticStatus.STALE)
        assert "at work on a frame" in here.statuses[-1].message or "no frames" in (
            here.statuses[-1].message
        )
        assert here.state() == "active"  # it still answers
        assert here.process.end() == 0
        assert here.process.end_s < END_S


def test_a_camera_that_it_cannot_hear_is_told_of(tmp_path: Path, tiny_bundle: Path) -> None:
    with rig(tmp_path, bundle=tiny_bundle) as here:  # reliable, as the rig's node is
        here.listened()
        here.here.node.create_publisher(Image, "image", qos("best_effort"))
        here.until(lambda: "set reliability to best_effort" in here.next_status().message)
        assert answered(here).shape == FRAME.shape[:2]  # the other camera's frames come
