"""What builds plans in the tests of their cache: `plan_for` takes it as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_seg.engines.tensorrt.cuda import Device
from edge_seg.engines.tensorrt.plans import plan_for

ORIN = Device("Orin", "8.7", True, 8 << 30, "12.6")


@dataclass(frozen=True)
class Api:
    """What the cache reads of `edge_seg.engines.tensorrt.api.Api`."""

    name: str = "tensorrt"
    version: str = "10.7.0"


@dataclass(frozen=True)
class Settings:
    """What it reads of `edge_seg.engines.tensorrt.build.Settings`."""

    workspace_bytes: int | None = None
    dla: bool = False


@dataclass(frozen=True)
class Built:
    """What it reads of `edge_seg.engines.tensorrt.build.Built`."""

    plan: bytes
    timing_cache: bytes = b""


class Builder:
    """Builds a plan that is told from all others, and remembers what was said and asked."""

    def __init__(self) -> None:
        self.builds = 0
        self.said: list[str] = []
        self.timings: list[bytes] = []

    def __call__(
        self, api: Api, model: bytes, settings: Settings, timing_cache: bytes, track: object
    ) -> Built:
        self.builds += 1
        self.timings.append(timing_cache)
        return Built(f"plan {self.builds} of ".encode() + model, timing_cache + b"t")

    def get(
        self,
        model: bytes = b"model",
        gpu: Device = ORIN,
        api: Any = Api(),
        settings: Any = Settings(),
    ) -> bytes:
        return plan_for(model, gpu, api, settings, self, say=self.said.append)

    @property
    def reason(self) -> str:
        """What was said before the line that a build begins."""
        (line,) = [line for line in self.said if "building again" in line]
        assert "\n" not in line
        return line
