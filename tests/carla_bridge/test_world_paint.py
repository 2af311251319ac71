"""Paint: dashes by hand, doubles, and what wear does to labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world import paint
from carla_bridge.world.meshes import Mesh
from carla_bridge.world.roads import Line, Roads

ALONG = np.column_stack([np.arange(0.0, 101.0), np.zeros(101), np.zeros(101)])


def area(mesh: Mesh) -> float:
    corners = mesh.vertices["vertex"][mesh.triangles].astype(float)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(cross, axis=1).sum() / 2.0)


def lay(kind: str, seed: int = 0) -> paint.Paint:
    return paint.lay(Roads([], [Line(ALONG, kind, "White", 0.1)]), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_solid_line_covers_its_length_once(seed: int) -> None:
    laid = lay("Solid", seed)
    assert area(laid.marking) + area(laid.ghost) == pytest.approx(100.0 * 0.1, rel=1e-4)


def test_a_double_line_covers_it_twice() -> None:
    laid = lay("SolidSolid")
    assert area(laid.marking) + area(laid.ghost) == pytest.approx(200.0 * 0.1, rel=1e-4)


def test_dashes_cover_their_share() -> None:
    for seed in range(12):
        laid = lay("Broken", seed)
        share = (area(laid.marking) + area(laid.ghost)) / 10.0
        assert any(abs(share - d / (d + g)) < 0.09 for d, g in paint.DASHES)


def test_paint_that_is_gone_is_not_labelled() -> None:
    for seed in range(30):
        laid = lay("Solid", seed)
        assert (laid.marking.vertices["texcoord"][:, 2] >= paint.VISIBLE).all()
        assert (laid.ghost.vertices["texcoord"][:, 2] < paint.VISIBLE).all()
    assert any(len(lay("Solid", seed).ghost.vertices) for seed in range(30))


def test_triangles_face_up() -> None:
    mesh = lay("Broken").marking
    corners = mesh.vertices["vertex"][mesh.triangles].astype(float)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (cross[:, 2] > 0).all()
