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
    if wanted is not None and wanted not in DISPLAYS:
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
        "gl-coordinate-system default\ntextures-power-2 none",
    )
    pipe = core.GraphicsPipeSelection.getGlobalPtr().makeModulePipe(name)
    if pipe is None:
        return None
    engine = core.GraphicsEngine.getGlobalPtr()
    host = make_buffer(engine, pipe, None, 16, 16, samples=0)
    if host is None:
        return None
    engine.openWindows()
    if not host.isValid():
        return None
    return Display(name, host.getGsg().getDriverRenderer(), engine, pipe, host)


def make_buffer(engine: Any, pipe: Any, host: Any, width: int, height: int, samples: int) -> Any:
    """Return an off-screen buffer, or None where the pipe cannot make one."""
    from panda3d import core

    wanted = core.FrameBufferProperties()
    wanted.setRgbColor(True)
    wanted.setRgbaBits(8, 8, 8, 0)
    wanted.setDepthBits(24)
    wanted.setMultisamples(samples)
    size = core.WindowProperties.size(width, height)
    flags = core.GraphicsPipe.BFRefuseWindow
    gsg = host.getGsg() if host is not None else None
    arguments = (pipe, "edge-seg", 0, wanted, size, flags)
    if gsg is None:
        return engine.makeOutput(*arguments)
    return engine.makeOutput(*arguments, gsg, host)
