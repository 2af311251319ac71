"""Shaders, and the noise texture that they share.

    node.setShader(material("road", frozenset({"WET"})))

A material is one vertex and one fragment shader; switches (NIGHT, WET, DAPPLE) leave
out what a frame does not need, as software OpenGL pays for both sides of every branch.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any

from panda3d import core

from carla_bridge.world.scene.textures import SIZE, noise_texture

Switches = frozenset[str]


def _text(name: str) -> str:
    return (resources.files("carla_bridge.world.scene") / "shaders" / name).read_text()


_UNIFORM = re.compile(r"^uniform (float|vec[234]) (\w+);", re.MULTILINE)


def _make(vertex: str, fragment: str, defines: list[str]) -> Any:
    head = "#version 330\n" + "".join(f"#define {name}\n" for name in defines)
    vertex, fragment = _hoist(_kept(vertex, defines), _kept(fragment, defines))
    return core.Shader.make(core.Shader.SL_GLSL, head + vertex, head + fragment)


def _kept(text: str, defines: list[str]) -> str:
    """Return the lines that ``#ifdef NAME ... #else ... #endif`` leaves; they do not nest."""
    lines, keeping = [], True
    for line in text.splitlines():
        if line.startswith("#ifdef"):
            keeping = line.split()[1] in defines
        elif line.startswith("#else"):
            keeping = not keeping
        elif line.startswith("#endif"):
            keeping = True
        elif keeping:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _hoist(vertex: str, fragment: str) -> tuple[str, str]:
    """Let the vertex shader hand the fragment shader's uniforms down, as flat varyings.

    Mesa's software renderer reads a uniform anew for each pixel: eight of four numbers
    cost 20 ms of an 800x600 frame, eight flat varyings nothing (measured, Mesa 22.3). They
    are packed, four numbers to a slot, as slots are few.
    """
    found = {name: kind for kind, name in _UNIFORM.findall(fragment)}
    used = {n: k for n, k in found.items() if len(re.findall(rf"\b{n}\b", fragment)) > 1}
    for name, kind in found.items():
        fragment = fragment.replace(f"uniform {kind} {name};", "")
        vertex = vertex.replace(f"uniform {kind} {name};", "")
    body, brace, end = vertex.rpartition("}")
    declared, defined = "", ""
    for number, slot in enumerate(_pack(used)):
        declared += f"flat out vec4 given{number};\n"
        defined += f"flat in vec4 given{number};\n"
        for name, fields in slot.items():
            body += f"    given{number}.{fields} = {name};\n"
            defined += f"#define {name} given{number}.{fields}\n"
    declared += "".join(f"uniform {kind} {name};\n" for name, kind in found.items())
    return declared + body + brace + end, defined + fragment


_SIZES = {"float": 1, "vec2": 2, "vec3": 3, "vec4": 4}


def _pack(kinds: dict[str, str]) -> list[dict[str, str]]:
    """Return slots of four numbers: which name lies in which fields ("xy") of each."""
    slots: list[dict[str, str]] = []
    taken: list[int] = []
    for name in sorted(kinds, key=lambda name: (-_SIZES[kinds[name]], name)):
        size = _SIZES[kinds[name]]
        slot = next((i for i, used in enumerate(taken) if used + size <= 4), len(slots))
        if slot == len(slots):
            slots.append({})
            taken.append(0)
        slots[slot][name] = "xyzw"[taken[slot] : taken[slot] + size]
        taken[slot] += size
    return slots


@functools.cache
def material(name: str, switches: Switches) -> Any:
    """Return the shader of a material: road, ground, verge, object, foliage ...."""
    defines = [*sorted(switches), *_DEFINES.get(name, ())]
    source = {"marking": "paint", "ghost": "paint", "moving": "object"}.get(name, name)
    fragment = "".join(map(_text, ("head.glsl", "light.glsl", f"{source}.frag")))
    return _make(_OUTPUTS.get(name, "") + _text("surface.vert"), fragment, defines)


_DEFINES = {
    "marking": ("STROKE", "MARKING 1.0"),
    "ghost": ("STROKE", "MARKING 0.0"),
    "foliage": ("FOLIAGE",),
    "object": ("SOLID", "LIGHTS 0.7"),
    "moving": ("SOLID", "MOVED", "LIGHTS 0.7"),
}
_OUTPUTS = {
    "marking": "out vec2 edge;\n",
    "ghost": "out vec2 edge;\n",
    "foliage": "out vec2 grainAt;\n",
    "object": "out vec2 grainAt;\n",
    "moving": "out vec2 grainAt;\n",
}
"""What the vertex shader hands to some materials alone."""


@functools.cache
def sky() -> Any:
    """Return the sky's shader."""
    return _make(_text("sky.vert"), _text("sky.frag"), [])


@functools.cache
def sky_map() -> Any:
    """Return the shader that draws the sky's map."""
    return _make(_text("sky_map.vert"), _text("sky_map.frag"), [])


@functools.cache
def caster(switches: Switches) -> Any:
    """Return the shader of what throws shadows; ABOVE leaves what is open underneath."""
    return _make(_text("shadow.vert"), _text("shadow.frag"), sorted(switches))


@functools.cache
def still_shadows() -> Any:
    """Return the shader that copies a shadow map, heights included."""
    return _make(_text("sky_map.vert"), _text("still_shadows.frag"), [])


@functools.cache
def noise() -> Any:
    """Return the noise texture on the display."""
    texture = core.Texture("noise")
    texture.setup2dTexture(SIZE, SIZE, core.Texture.TUnsignedByte, core.Texture.FRgba8)
    # Panda3D keeps blue first.
    texture.setRamImage(noise_texture(0)[:, :, [2, 1, 0, 3]].tobytes())
    texture.setWrapU(core.SamplerState.WMRepeat)
    texture.setWrapV(core.SamplerState.WMRepeat)
    # One mip level, not two blended: nearly the same picture at half the cost in software.
    texture.setMinfilter(core.SamplerState.FTLinearMipmapNearest)
    texture.setMagfilter(core.SamplerState.FTLinear)
    return texture
