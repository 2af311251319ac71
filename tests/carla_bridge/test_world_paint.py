"""Lines: dashes by hand, doubles, dots, what a vertex carries, and what wear does to labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.maps.roads import Lane, Line, Roads
from carla_bridge.world.meshes import Mesh, merge
from carla_bridge.world.paint import paint
from carla_bridge.world.paint.lines import DASHES, DOT, dashes
from carla_bridge.world.paint.tracks import Tracks
from carla_bridge.world.paint.wear import Wear
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.tags import Tag

X = np.arange(0.0, 101.0)
STRAIGHT = np.column_stack([X, np.zeros(101), np.zeros(101)])
ANGLE = np.linspace(0.0, 1.2, 121)
BEND = 60.0 * np.column_stack([np.sin(ANGLE), 1.0 - np.cos(ANGLE), 0.0 * ANGLE])
PLAIN = {"symbols": 0.0, "marking_cover": 0.0, "marking_wear": 0.0, "marking_styles": 0.0}


def lay(kind: str, seed: int = 0, points: np.ndarray = STRAIGHT, **terms: float) -> paint.Paint:
    strengths = DomainRandomization(**{**PLAIN, **terms})
    line = Line(points, kind, "White", 0.1)
    return paint.lay(Roads([], [line]), Dice(strengths, seed))


def corners(mesh: Mesh) -> np.ndarray:
    """Return the quads' corners (n, 4, 3)."""
    return mesh.vertices["vertex"].reshape(-1, 4, 3).astype(float)


def area(*meshes: Mesh) -> float:
    total = 0.0
    for mesh in meshes:
        place = mesh.vertices["vertex"][mesh.triangles].astype(float)
        cross = np.cross(place[:, 1] - place[:, 0], place[:, 2] - place[:, 0])
        total += float(np.linalg.norm(cross, axis=1).sum() / 2.0)
    return total


def road(slope: float = 0.0, grade: float = 0.0) -> Roads:
    """Return two lanes of 3 m to both sides of the x axis; ``slope`` rises to the left."""

    def edge(y: float) -> np.ndarray:
        return np.column_stack([X, np.full(101, y), grade * X + slope * y])

    right = Lane("Driving", edge(0.0), edge(-3.0), X, False, True)
    left = Lane("Driving", edge(0.0)[::-1], edge(3.0)[::-1], X[::-1], False, True)
    lines = [
        Line(right.right, "Solid", "White", 0.3),
        Line(right.left, "SolidSolid", "Yellow", 0.15),
        Line(left.right, "Broken", "White", 0.12),
    ]
    return Roads([right, left], lines)


def test_dashes_are_those_worked_out_by_hand() -> None:
    one = np.ones(1)
    line, begin, end = dashes(20.0 * one, 3.0 * one, 6.0 * one, 4.0 * one)
    assert line.tolist() == [0, 0]
    assert begin.tolist() == [5.0, 14.0]
    assert end.tolist() == [8.0, 17.0]
    _, begin, end = dashes(20.0 * one, 3.0 * one, 6.0 * one, 1.0 * one)
    assert begin.tolist() == [0.0, 8.0, 17.0]
    assert end.tolist() == [2.0, 11.0, 20.0]


def test_without_a_style_dashes_are_three_metres_and_gaps_six() -> None:
    place = corners(lay("Broken").marking)
    assert place[:, :2, 0].max(axis=1).tolist() == [9.0 * i for i in range(12)]
    assert np.allclose(place[:, 2, 0], [9.0 * i + 3.0 for i in range(11)] + [100.0])


def test_the_maps_own_dashes_are_kept() -> None:
    line = Line(STRAIGHT, "Broken", "White", 0.1, dash=(4.0, 16.0))
    for seed in range(5):
        terms = DomainRandomization(**{**PLAIN, "marking_styles": 1.0})
        laid = paint.lay(Roads([], [line]), Dice(terms, seed))
        assert area(laid.marking) == pytest.approx(2.0, abs=0.21)  # five dashes, one may be cut


def test_dashes_cover_the_share_of_some_style() -> None:
    shares = [area(lay("Broken", seed, marking_styles=1.0).marking) / 10.0 for seed in range(12)]
    for share in shares:
        assert any(abs(share - d / (d + g)) < 0.09 for d, g in DASHES)
    assert np.ptp(shares) > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_a_solid_line_covers_its_length_once(seed: int) -> None:
    laid = lay("Solid", seed, marking_wear=1.0, marking_styles=1.0)
    assert area(laid.marking, laid.ghost) == pytest.approx(100.0 * 0.1, rel=1e-4)


def test_a_solid_line_has_no_break_at_any_joint() -> None:
    for points in (STRAIGHT, BEND):
        laid = lay("Solid", 3, points, marking_wear=1.0)
        place = np.concatenate([corners(laid.marking), corners(laid.ghost)])
        order = np.argsort(
            np.concatenate([laid.marking.vertices, laid.ghost.vertices])["texcoord"][::4, 1]
        )
        place = place[order]
        assert len(place) > 30
        assert (place[:-1, 3] == place[1:, 0]).all()
        assert (place[:-1, 2] == place[1:, 1]).all()


def test_a_line_keeps_its_width_and_place_in_a_bend() -> None:
    place = corners(lay("Solid", points=BEND).marking)
    radius = np.linalg.norm(place[..., :2] - [0.0, 60.0], axis=2)
    assert np.allclose(radius[:, [0, 3]], 59.95, atol=0.003)  # left is inside, the bend goes left
    assert np.allclose(radius[:, [1, 2]], 60.05, atol=0.003)


@pytest.mark.parametrize("points", [STRAIGHT, BEND])
def test_double_lines_keep_their_gap(points: np.ndarray) -> None:
    laid = lay("SolidSolid", points=points).marking
    place = corners(laid)
    n = len(place) // 2
    inner = np.linalg.norm(place[:n, 1] - place[n:, 0], axis=1)  # left one's right to right's left
    assert np.allclose(inner, 0.1, atol=1e-3)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    assert area(laid) == pytest.approx(2 * 0.1 * length, rel=2e-3)


def test_gaps_of_doubles_vary_with_the_style_and_stay_visible() -> None:
    gaps = []
    for seed in range(20):
        place = corners(lay("SolidSolid", seed, marking_styles=1.0).marking)
        n = len(place) // 2
        gaps.append(np.linalg.norm(place[:n, 1] - place[n:, 0], axis=1).mean())
    assert min(gaps) >= 0.079
    assert np.ptp(gaps) > 0.03


@pytest.mark.parametrize(("kind", "left"), [("SolidBroken", 10.0), ("BrokenSolid", 3.4)])
def test_mixed_doubles_are_solid_on_the_side_that_they_name(kind: str, left: float) -> None:
    mesh = lay(kind).marking
    keep = corners(mesh)[:, :, 1].mean(axis=1) > 0.0
    triangles = mesh.triangles.reshape(2, -1, 3)[:, keep].reshape(-1, 3)
    assert area(Mesh(mesh.vertices, triangles)) == pytest.approx(left, abs=0.01)
    assert area(mesh) == pytest.approx(13.4, abs=0.01)


@pytest.mark.parametrize("kind", ["NONE", "Grass", "Curb", "Other"])
def test_edges_without_paint_have_none(kind: str) -> None:
    laid = lay(kind, marking_wear=1.0)
    assert not len(laid.marking.triangles) + len(laid.ghost.triangles)


def test_dots_are_round_and_stand_out_of_the_road() -> None:
    mesh = lay("BottsDots").marking
    place = corners(mesh).reshape(-1, 12, 3)  # three quads a dot
    assert len(place) == 84  # every 1.2 m, the first at 0, the last at 99.6 m
    away = np.linalg.norm(place[..., :2] - place[..., :2].mean(axis=1, keepdims=True), axis=2)
    assert np.allclose(away, DOT, atol=0.02)
    assert area(mesh) == pytest.approx(84 * 2.0 * np.sqrt(2.0) * DOT**2, rel=1e-3)  # octagons
    assert (place[..., 2] > paint.HEIGHT + 0.01).all()
    assert (place[..., 2] < 0.03).all()
    assert (mesh.vertices["texcoord"][:, [0, 3]] == 0.0).all()


def test_vertices_of_strokes_carry_what_the_shader_needs() -> None:
    for points in (STRAIGHT, BEND):
        vertices = lay("Broken", 2, points, marking_wear=1.0).marking.vertices.reshape(-1, 4)
        place = vertices["vertex"].astype(float)
        across, along, share, half = np.moveaxis(vertices["texcoord"], 2, 0)
        assert (across == [-1.0, 1.0, 1.0, -1.0]).all()
        assert np.allclose(half, 0.05)
        assert ((share >= 0.0) & (share <= 1.0)).all()
        ahead = (place[:, 2:] - place[:, 1::-1]).mean(axis=1)
        assert np.allclose(along[:, 2] - along[:, 1], np.linalg.norm(ahead, axis=1), atol=2e-3)
        normal = vertices["normal"].astype(float)
        assert np.allclose(np.linalg.norm(normal, axis=2), 1.0, atol=1e-5)
        assert (normal[..., 2] == 0.0).all()
        # To the stroke's right, which is where across is 1.
        assert np.allclose(normal[:, 0] * 0.1, place[:, 1] - place[:, 0], atol=1e-4)
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
        assert (np.abs(np.einsum("nk,nk->n", normal.mean(axis=1), ahead)) < 0.01).all()


def test_tags_tell_markings_from_ghosts() -> None:
    found = [lay("Solid", seed, marking_wear=1.0) for seed in range(30)]
    assert any(len(laid.ghost.vertices) for laid in found)
    for laid in found:
        assert (laid.marking.vertices["color"][:, 3] == Tag.ROAD_LINE).all()
        assert (laid.ghost.vertices["color"][:, 3] == Tag.ROAD).all()
        assert (laid.marking.vertices["texcoord"][:, 2] >= paint.VISIBLE).all()
        assert (laid.ghost.vertices["texcoord"][:, 2] < paint.VISIBLE).all()


@pytest.mark.parametrize("seed", range(6))
def test_without_wear_all_paint_is_there(seed: int) -> None:
    for kind in ("Solid", "Broken", "BottsDots", "SolidBroken"):
        laid = lay(kind, seed, marking_styles=1.0)
        assert not len(laid.ghost.vertices)
        assert (laid.marking.vertices["texcoord"][:, 2] == 1.0).all()


def test_wear_is_slow_along_a_line_and_differs_between_lines() -> None:
    lines = [Line(STRAIGHT + np.array([0.0, y, 0.0]), "Solid", "White", 0.1) for y in range(8)]
    terms = DomainRandomization(symbols=0.0, marking_cover=0.0)
    laid = paint.lay(Roads([], lines), Dice(terms, 4))
    share = laid.marking.vertices["texcoord"][:, 2].reshape(-1, 4)
    # No line ages more than 1.25 of its age, itself at most 1.4, within the 12 m of a knot.
    assert np.abs(share[:, 2] - share[:, 1]).max() < 3.0 * 1.4 * 0.85 / 12.0
    assert np.ptp(share) > 0.1
    y = np.round(corners(laid.marking)[:, :, 1].mean(axis=1))
    means = [share[y == k].mean() for k in range(8) if (y == k).any()]
    assert np.ptp(means) > 0.05


def test_wear_changes_no_place_and_no_colour() -> None:
    fresh, worn = (lay("Broken", 5, marking_styles=1.0, marking_wear=w) for w in (0.0, 2.0))
    both = np.concatenate([worn.marking.vertices, worn.ghost.vertices])
    for name in ("vertex", "normal", "color"):
        part = slice(0, 3)
        assert sorted(map(tuple, both[name][:, part].tolist())) == sorted(
            map(tuple, fresh.marking.vertices[name][:, part].tolist())
        )


def test_the_map_has_the_last_word_on_colour_and_width() -> None:
    for seed in range(5):
        laid = paint.lay(road(), Dice(DomainRandomization(symbols=0.0, marking_cover=0.0), seed))
        vertices = np.concatenate([laid.marking.vertices, laid.ghost.vertices])
        y = np.round(vertices["vertex"][:, 1] / 3.0)
        for side, half in ((-1, 0.15), (0, 0.075), (1, 0.06)):
            assert np.allclose(vertices["texcoord"][y == side, 3], half)
        red, _, blue = vertices["color"][:, :3].astype(int).T
        assert (red[y == 0] - blue[y == 0] > 60).all()
        assert (np.abs(red[y != 0] - blue[y != 0]) < 60).all()


def test_a_width_that_the_map_does_not_give_is_the_styles() -> None:
    line = Line(STRAIGHT, "Solid", "White", 0.0)
    widths = []
    for seed in range(10):
        terms = DomainRandomization(symbols=0.0, marking_cover=0.0)
        laid = paint.lay(Roads([], [line]), Dice(terms, seed))
        widths.append(2.0 * float(merge([laid.marking, laid.ghost]).vertices["texcoord"][0, 3]))
    assert min(widths) >= 0.079
    assert max(widths) <= 0.201
    assert np.ptp(widths) > 0.02


def test_cover_takes_whole_stretches_and_ends_within_metres() -> None:
    along = np.arange(0.0, 600.0, 0.1)
    hidden = []
    for seed in range(12):
        wear = Wear(Dice(DomainRandomization(marking_wear=0.0, marking_cover=4.0), seed))
        share = wear.left(7, along)
        hidden.append(float((share == 0.0).mean()))
        assert ((share > 0.0) & (share < 1.0)).mean() < 0.1
        # A stretch is metres long: noise that is steeper than this would be a dashed line.
        assert np.count_nonzero(np.diff(share == 0.0)) < 600 / 6
    assert max(hidden) > 0.2
    assert (Wear(Dice(DomainRandomization(**PLAIN), 0)).left(7, along) == 1.0).all()


def test_what_is_covered_is_not_drawn() -> None:
    areas = [area(lay("Solid", seed, marking_cover=4.0).marking) for seed in range(12)]
    assert min(areas) < 8.0
    assert max(areas) <= 10.0 * 1.0001


def test_old_lines_are_road_and_stay_on_it() -> None:
    ghosts = tars = 0
    for seed in range(20):
        terms = DomainRandomization(**{**PLAIN, "marking_cover": 3.0})
        laid = paint.lay(road(), Dice(terms, seed))
        old = laid.ghost.vertices
        ghosts += len(old)
        tars += len(laid.surfacing.vertices)
        assert (laid.surfacing.vertices["color"][:, 3] == Tag.ROAD).all()
        for vertices in (old, laid.surfacing.vertices):
            if len(vertices):
                assert np.abs(vertices["vertex"][:, 1]).max() < 3.2
        if len(laid.surfacing.vertices):
            assert laid.surfacing.vertices["color"][:, :3].max() < 60  # tar
    assert ghosts
    assert tars


@pytest.mark.parametrize(("slope", "grade"), [(0.07, 0.0), (-0.07, 0.05), (0.0, -0.08)])
def test_paint_follows_the_cross_slope_and_the_grade(slope: float, grade: float) -> None:
    laid = paint.lay(road(slope, grade), Dice(DomainRandomization(**PLAIN), 1))
    x, y, z = laid.marking.vertices["vertex"].astype(float).T
    assert np.allclose(z - (grade * x + slope * y), paint.HEIGHT, atol=1e-4)


def test_paint_follows_a_crest() -> None:
    line = np.column_stack([X, 0.0 * X, -((X - 50.0) ** 2) / (2.0 * 400.0)])
    place = corners(lay("Solid", points=line).marking)
    middle = place.mean(axis=1)
    above = middle[:, 2] + (middle[:, 0] - 50.0) ** 2 / 800.0
    assert np.abs(above - paint.HEIGHT).max() < 0.005


def test_a_line_knows_on_which_side_its_lane_lies() -> None:
    tracks = Tracks.of(road())
    assert tracks.room.tolist() == [-1.0, 0.0, -1.0]  # in driving direction, the lane is left


def test_triangles_face_up() -> None:
    for kind in ("Broken", "BottsDots"):
        mesh = lay(kind, points=BEND).marking
        place = mesh.vertices["vertex"][mesh.triangles].astype(float)
        cross = np.cross(place[:, 1] - place[:, 0], place[:, 2] - place[:, 0])
        assert (cross[:, 2] > 0).all()


def test_the_same_dice_give_the_same_bytes() -> None:
    def digest(seed: int) -> bytes:
        laid = paint.lay(road(), Dice(DomainRandomization(), 3, seed))
        return b"".join(m.vertices.tobytes() for m in (laid.marking, laid.ghost, laid.surfacing))

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_nothing_to_paint_is_no_paint() -> None:
    laid = paint.lay(Roads([], []), Dice(DomainRandomization(), 0))
    assert not len(laid.marking.vertices) + len(laid.ghost.vertices) + len(laid.surfacing.vertices)
