"""`LaneSegmentation`: a lifecycle node that runs a bundle on a camera topic.

    configure    open the bundle, test it on its golden frames, warm up
    activate     subscribe; frames become masks
    deactivate   unsubscribe; the frame at work is finished
    cleanup      free the network

The executor does no work of length: frames are segmented in `Inference`'s thread, and a bundle set
while active is opened in another (`Opening`). Where the network fails again and again the node
deactivates itself and says why in /diagnostics.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Float64

from edge_seg.bundle.archive import open_bundle
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.segmenter import require_runnable
from ros_nodes.environment import warnings
from ros_nodes.qos import qos
from ros_nodes.segmentation import parameters
from ros_nodes.segmentation.counts import Counts
from ros_nodes.segmentation.device_watch import DeviceWatch
from ros_nodes.segmentation.diagnostics import Report, status_of
from ros_nodes.segmentation.network import Network, Opening
from ros_nodes.segmentation.work import STOP_S, Work

HEARTBEAT_S = 0.05
DIAGNOSTICS_S = 1.0
END_S = 1.0
LOOK_S = 0.1
"""While a bundle is opened, how often the process is asked whether it shall end."""
SET = "ros2 param set /{} bundle lane.edgeseg"
DONE, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class LaneSegmentation(LifecycleNode):
    """See the module; parameters are in `parameters.PARAMETERS`, topics in `outputs`."""

    def __init__(self, name: str = "lane_segmentation") -> None:
        super().__init__(name)
        parameters.declare(self)
        given = [self.get_parameter(declared.name) for declared in parameters.PARAMETERS]
        if reason := parameters.refused(given, active=False):
            raise EdgeSegError(reason)
        self.settings = parameters.read(self)
        self.state = "unconfigured"
        self.fault = ""
        self.notes: dict[str, str] = {"profile": "; ".join(warnings())}
        self.counts = Counts()
        self._device = DeviceWatch()
        self._work: Work | None = None
        self._opening: Opening | None = None
        self._taking_back = self._changed = False
        self._active_since = 0.0
        self._beat_at = monotonic()
        self._told = DiagnosticStatus.OK
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._heartbeat = self.create_publisher(Float64, "~/heartbeat", qos("best_effort"))
        self.create_timer(HEARTBEAT_S, self._beat, clock=steady)
        self.create_timer(DIAGNOSTICS_S, self._diagnose, clock=steady)
        self.add_on_set_parameters_callback(self._on_set)

    def autostart(self) -> None:
        """Configure and activate, where the parameters say so."""
        if not self.settings.autostart:
            return
        if not self.settings.bundle:
            raise EdgeSegError(
                "which bundle? bundle:=lane.edgeseg (launch), -p bundle:=lane.edgeseg (run); "
                "`edge-seg pack` makes one"
            )
        if self.trigger_configure() == DONE and self.context.ok():
            self.trigger_activate()

    # --- the lifecycle ---

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the bundle; unconfigured, with the reason, where it is not fit."""
        self.settings = parameters.read(self)
        self.counts = Counts()
        self.fault = ""
        self.notes.pop("bundle", None)
        if not self.settings.bundle:
            return self._refuse(f"set the parameter bundle first: {SET.format(self.get_name())}")
        opening = self._open(self.settings.bundle)
        while not opening.done.wait(LOOK_S):
            if not self.context.ok():
                return FAILED
        try:
            network = opening.result()
        except EdgeSegError as error:
            return self._refuse(str(error))
        self._work = Work(self, network, self.settings)
        self._say_opened(network)
        self.state = "inactive"
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        assert self._work is not None
        self.fault = ""
        self.settings = parameters.read(self)
        try:
            topic = self._work.start(self.settings, self.counts, self.notes)
        except Exception as error:  # ROS's own refusals; unexplained, the node would just be silent
            self._refuse(f"activate: {in_one_line(error)}")
            return TransitionCallbackReturn.ERROR
        self._active_since = monotonic()
        self.state = "active"
        self.get_logger().info(f"segmenting {topic}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more frames, and finish the one at work."""
        assert self._work is not None
        if not self._work.stop():
            self.fault = "the network hangs on a frame"
            return TransitionCallbackReturn.ERROR
        self.state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network."""
        self._free()
        self.state = "unconfigured"
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        self._free()
        self.state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition of ours raised: free everything, so that configure can try again."""
        self.fault = self.fault or f"a transition from '{state.label}' failed"
        self._free()
        self.state = "unconfigured"
        return DONE

    def close(self) -> None:
        """End what is not ROS's, soon: the process is asked to end."""
        self._free(END_S)
        self._device.stop()

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self.fault = reason
        self.get_logger().error(reason)
        return FAILED

    def _free(self, limit_s: float = STOP_S) -> None:
        self._opening = None
        if self._work is not None:
            self._work.close(limit_s)
            self._work = None

    # --- parameters ---

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be; take up the rest with the next frame."""
        reason = parameters.refused(changes, self.state == "active")
        bundle = next((str(change.value) for change in changes if change.name == "bundle"), None)
        new = bundle is not None and self._work is not None and not self._taking_back
        if new and not reason:
            reason = self._unfit(str(bundle))
        if reason:
            if new:
                self.notes["bundle"] = f"refused: {reason}"
            return SetParametersResult(successful=False, reason=reason)
        self._changed = True
        if new:
            self._opening = self._open(str(bundle))
        return SetParametersResult(successful=True)

    def _unfit(self, bundle: str) -> str:
        """Return why a bundle cannot take over, as far as its bytes tell; milliseconds."""
        if not bundle:
            return "bundle is empty: name the file of another"
        try:
            require_runnable(open_bundle(Path(bundle)), self.settings.trust)
        except EdgeSegError as error:
            return str(error)
        return ""

    def _open(self, bundle: str) -> Opening:
        return Opening(Path(bundle), self.settings)

    def _exchange(self, opening: Opening) -> None:
        """Let the opened bundle take over, or go on with the one that works."""
        try:
            network = opening.result()
        except EdgeSegError as error:
            self.notes["bundle"] = f"refused: {error}"
            self.get_logger().error(f"the bundle before goes on: {error}")
            self._take_back()
            return
        self.notes.pop("bundle", None)
        if self._work is not None:
            self._work.exchange(network)
            self._say_opened(network)

    def _take_back(self) -> None:
        """Set the parameter to the bundle that runs."""
        if self._work is not None:
            self._taking_back = True
            self.set_parameters([Parameter("bundle", value=self._work.network.path)])
            self._taking_back = False

    def _say_opened(self, network: Network) -> None:
        self.get_logger().info(
            f"{network.path}: {network.engine}, golden frames as packed; expect "
            f"{network.expected_ms:.1f} ms for 640x480; the process takes "
            f"{network.memory_bytes / 1e6:.0f} MB"
        )

    # --- timers ---

    def _beat(self) -> None:
        """Publish how old the last good mask is; look after what other threads have done."""
        now = monotonic()
        self.counts.late(now - self._beat_at - HEARTBEAT_S)
        self._beat_at = now
        self._heartbeat.publish(Float64(data=self.counts.mask_age_s))
        if self._opening is not None and self._opening.done.is_set():
            opening, self._opening = self._opening, None
            self._exchange(opening)
        if self._changed:
            self._changed = False
            self.settings = parameters.read(self)
            if self._work is not None:
                self._work.take_up(self.settings)
        if self._work is not None and (fault := self._work.fault):
            self.get_logger().error(f"deactivating: the network fails: {fault}")
            self.trigger_deactivate()
            self.fault = f"the network fails: {fault}"

    def _diagnose(self) -> None:
        report = Report(
            name=f"{self.get_fully_qualified_name().lstrip('/')}: segmentation",
            state=self.state,
            window=self.counts.window(),
            device=self._device.state,
            network=self._work.network if self._work else None,
            active_s=monotonic() - self._active_since if self.state == "active" else 0.0,
            fault=self.fault,
            notes=[note for note in self.notes.values() if note],
        )
        status = status_of(report, self.settings)
        self._tell(status)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _tell(self, status: DiagnosticStatus) -> None:
        """Log a level that is not the one before: a log without it says that all is well."""
        if status.level != self._told:
            self._told = status.level
            good = status.level == DiagnosticStatus.OK
            (self.get_logger().info if good else self.get_logger().warning)(status.message)
