"""Opening Panda3D without a window: OpenGL through EGL, or the plain software display.

    display = open_display()
    display.name   # "p3headlessgl" or "p3tinydisplay"

One display serves a process; opening costs half a second. Of the two, the first has
shaders (the rich scene) and runs on any GPU driver or Mesa's software renderer; the
second needs nothing and draws the same shapes plainly.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

from edge_seg.errors import EdgeSegError, MissingRuntimeError, closest

DISPLAYS = ("p3headlessgl", "p3tinydisplay")
CHOICE = "EDGE_SEG_DISPLAY"


@dataclass(frozen=True)
class Display:
    """An engine and a pipe to make buffers with; ``shaders`` says whether GLSL runs."""

    name: str
    renderer: str
    engine: Any
    pipe: Any
    host: Any

    @property
    def shaders(self) -> bool:
        """Whether the rich scene can be drawn."""
        return self.name == "p3headlessgl"

    def __str__(self) -> str:
        return f"{self.name} ({self.renderer})" if self.renderer else self.name


@functools.cache
def open_display() -> Display:
    """Open the best display there is, or the one that EDGE_SEG_DISPLAY names.

    Raises `EdgeSegError` when none opens, `MissingRuntimeError` without Panda3D.
    """
    wanted = os.environ.get(CHOICE)
    if wanted and wanted not in DISPLAYS:
        raise EdgeSegError(f"{CHOICE}={wanted}: no such display; {closest(wanted, DISPLAYS)}")
    for name in (wanted,) if wanted else DISPLAYS:
        display = _open(name)
        if display is not None:
            return display
    raise EdgeSegError(
        "Panda3D opens no off-screen display here; install Mesa's EGL "
        "(Debian: apt install libegl1 libgl1-mesa-dri)"
    )


def _open(name: str) -> Display | None:
    try:
        from panda3d import core
    except ImportError as error:
        raise MissingRuntimeError(
            'rendering needs Panda3D: pip install "edge-seg[carla]"'
        ) from error
    core.loadPrcFileData(
        "edge-seg",
        # Warnings about a missing X server or a hardware EGL device are expected off-screen.
        "window-type offscreen\naudio-library-name null\nnotify-level-display fatal\n"
        "notify-level-egldisplay fatal\nnotify-level-x11display fatal\n"
        "notify-level-glgsg error\n"  # a shader that does not compile
        "gl-coordinate-system default\ntextures-power-2 none",
    )
    pipe = core.GraphicsPipeSelection.getGlobalPtr().makeModulePipe(name)
    if pipe is None:
        return None
    engine = core.GraphicsEngine.getGlobalPtr()
    host = _make_buffer(engine, pipe, None, 16, 16, labels=False)
    if host is None:
        return None
    engine.openWindows()
    if not host.isValid():
        return None
    return Display(name, host.getGsg().getDriverRenderer(), engine, pipe, host)


def make_buffer(display: Display, width: int, height: int, *, labels: bool = False) -> Any:
    """Return an off-screen buffer; with ``labels`` it has a second colour output.

    Both have eight bits a channel. Raises `EdgeSegError` where the display cannot make one.
    """
    buffer = _make_buffer(display.engine, display.pipe, display.host, width, height, labels)
    if buffer is None:
        raise EdgeSegError(
            f"{display} makes no off-screen buffer of {width}x{height}; choose a smaller size, "
            f"or another display ({CHOICE})"
        )
    return buffer


def _make_buffer(engine: Any, pipe: Any, host: Any, width: int, height: int, labels: bool) -> Any:
    from panda3d import core

    wanted = core.FrameBufferProperties()
    wanted.setRgbColor(True)
    wanted.setRgbaBits(8, 8, 8, 8)  # four bytes a pixel are read back faster than three
    wanted.setDepthBits(24)
    wanted.setAuxRgba(int(labels))
    size = core.WindowProperties.size(width, height)
    flags = core.GraphicsPipe.BFRefuseWindow
    arguments = (pipe, "edge-seg", 0, wanted, size, flags)
    if host is None:
        return engine.makeOutput(*arguments)
    return engine.makeOutput(*arguments, host.getGsg(), host)
