"""The worker's loop: the newest frame in, its mask out, every stage timed.

    inference = Inference(network, outputs, counts, now_ns, settings)
    inference.offer(message)                 # from the executor, at once back
    inference.exchange(other_network)        # takes over between two frames
    inference.stop(5.0)                       # the frame at work is finished, then the thread ends

The executor never waits for the network: it only leaves frames in a mailbox of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread
from time import perf_counter

from sensor_msgs.msg import CompressedImage, Image

from edge_seg.errors import in_one_line
from ros_nodes.messages.images import MalformedImageError, frame_of
from ros_nodes.messages.stamps import to_ns
from ros_nodes.segmentation.counts import Counts
from ros_nodes.segmentation.mailbox import Mailbox
from ros_nodes.segmentation.network import Network
from ros_nodes.segmentation.outputs import Outputs
from ros_nodes.segmentation.parameters import Settings

IDLE_S = 0.2
"""A worker without frames looks this often whether its network was exchanged."""
FAULTS = 3
"""Frames in a row on which a network may fail before the node gives up on it."""


@dataclass(frozen=True)
class Arrival:
    """A frame's message, and when it came: by the node's clock, and by one that never jumps."""

    message: Image | CompressedImage
    received_ns: int
    at: float


class Inference:
    """One thread, one network. ``fault`` says why it has given up, "" while it works."""

    def __init__(
        self,
        network: Network,
        outputs: Outputs,
        counts: Counts,
        now_ns: Callable[[], int],
        settings: Settings,
    ) -> None:
        self.network = network
        self.settings = settings
        self.fault = ""
        self._next: Network | None = None
        self._outputs, self._counts, self._now_ns = outputs, counts, now_ns
        self._exchanging = Lock()
        self._mailbox: Mailbox[Arrival] = Mailbox()
        self._offered = 0
        self._failed_in_a_row = 0
        self._stopping = False
        self._thread = Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def offer(self, message: Image | CompressedImage) -> None:
        """Take a frame that has just come; an earlier one that still waits is dropped."""
        arrival = Arrival(message, self._now_ns(), perf_counter())
        self._counts.add("received")
        self._offered += 1
        if (self._offered - 1) % (self.settings.frame_skip + 1):
            self._counts.add("skipped")
        elif self._mailbox.put(arrival):
            self._counts.add("dropped")

    def exchange(self, network: Network) -> None:
        """Hand over another network, which is then the worker's to close."""
        with self._exchanging:
            if self._next is not None:
                self._next.segmenter.close()
            self._next = network

    def stop(self, limit_s: float) -> bool:
        """Finish the frame at work and end; return whether it did in time."""
        self._stopping = True
        self._mailbox.close()
        self._thread.join(limit_s)
        self._take_over()
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopping:
            arrival = self._mailbox.take(IDLE_S)
            self._take_over()
            if arrival is None or self.fault:
                continue
            try:
                self._segment(arrival)
            except Exception as error:  # also where ROS was shut down under a frame
                self.fault = f"{type(error).__name__}: {in_one_line(error)}"

    def _segment(self, arrival: Arrival) -> None:
        """From a message to everything that is published of it."""
        taken = perf_counter()
        header = arrival.message.header
        transport_s = self._age_s(to_ns(header.stamp), arrival.received_ns)
        if self._is_stale(transport_s, taken - arrival.at):
            self._counts.add("stale")
            return
        try:
            frame = frame_of(arrival.message)
        except MalformedImageError as error:
            self._counts.malformed(str(error))
            return
        decoded = perf_counter()
        segmenter = self.network.segmenter
        try:
            mask = segmenter(frame)
        except Exception as error:
            self._failed(error)
            return
        self._failed_in_a_row = 0
        inferred = perf_counter()
        self._outputs.mask(mask, header)
        published = perf_counter()
        timings = segmenter.timings
        stages_s = {
            "transport": transport_s,
            "queue": taken - arrival.at,
            "preprocess": decoded - taken + timings.preprocess_ms / 1e3,
            "inference": timings.inference_ms / 1e3,
            "postprocess": inferred - decoded
            - (timings.preprocess_ms + timings.inference_ms) / 1e3,
            "publish": published - inferred,
            "total": transport_s + published - arrival.at,
        }  # fmt: skip
        self._outputs.latency(stages_s, header)
        self._counts.took(stages_s)
        if self.settings.overlay:
            self._outputs.pictures(frame, mask, segmenter.classes, header)

    def _age_s(self, stamp_ns: int, received_ns: int) -> float:
        """Return how old a frame was on arrival; NaN without a stamp, a clock, or sense in both."""
        if stamp_ns == 0:
            self._counts.unstamped()
        if stamp_ns == 0 or received_ns == 0:  # simulated time before its first tick is zero
            return math.nan
        age_s = (received_ns - stamp_ns) / 1e9
        if age_s < 0.0:
            self._counts.skewed(-age_s)
            return math.nan
        return age_s

    def _is_stale(self, transport_s: float, waited_s: float) -> bool:
        age_s = waited_s if math.isnan(transport_s) else transport_s + waited_s
        return 0.0 < self.settings.max_age_ms < 1e3 * age_s

    def _failed(self, error: Exception) -> None:
        """Count a frame on which the network failed; give up where it does so again and again."""
        self._counts.add("failed")
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= FAULTS:
            self.fault = f"{type(error).__name__}: {in_one_line(error)}"

    def _take_over(self) -> None:
        with self._exchanging:
            network, self._next = self._next, None
        if network is not None:
            self.network.segmenter.close()
            self.network = network
            self._outputs.labels(network)
