"""Symbols: drawings measured by hand, places where they belong, and what they stay within."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.maps.roads import Lane, Line, Roads
from carla_bridge.world.meshes import Mesh
from carla_bridge.world.paint import paint
from carla_bridge.world.paint.canvas import Canvas, Shape, filled, stroke
from carla_bridge.world.paint.lines import Style
from carla_bridge.world.paint.symbols import symbols
from carla_bridge.world.paint.symbols.areas import box_junction, bus_lane, hatched, parking_bays
from carla_bridge.world.paint.symbols.crossings import bars, crossing, give_way, stop_line
from carla_bridge.world.paint.symbols.letters import GLYPHS, text
from carla_bridge.world.paint.symbols.places import Places
from carla_bridge.world.paint.symbols.plan import Plan
from carla_bridge.world.paint.symbols.shapes import DIRECTIONS, diamond, lane_arrow, ring, teeth
from carla_bridge.world.paint.tracks import Tracks
from carla_bridge.world.paint.wear import Wear
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.tags import Tag

WIDE = 3.25
FRESH = {"marking_wear": 0.0, "marking_cover": 0.0, "marking_styles": 0.0}


def curved(x: np.ndarray, y: float, bend: float, slope: float, grade: float) -> np.ndarray:
    """Return a line ``y`` metres left of one that bends left; ``slope`` rises to the left."""
    place = np.column_stack([x, np.full(len(x), y)])
    if bend:
        radius, angle = 1.0 / bend - y, x * bend
        place = np.column_stack([radius * np.sin(angle), 1.0 / bend - radius * np.cos(angle)])
    return np.column_stack([place, grade * x + slope * y])


def street(
    bend: float = 0.0, slope: float = 0.0, grade: float = 0.0, length: float = 150.0
) -> Roads:
    """Return two lanes each way along +x, with parking and a pavement on the right."""
    x = np.arange(0.0, length + 0.5)

    def edge(y: float) -> np.ndarray:
        return curved(x, y, bend, slope, grade)

    lanes = [
        Lane("Driving", edge(0.0), edge(-WIDE), x, False, False),
        Lane("Driving", edge(-WIDE), edge(-2 * WIDE), x, False, False),
        Lane("Driving", edge(0.0)[::-1], edge(WIDE)[::-1], x[::-1], False, False),
        Lane("Driving", edge(WIDE)[::-1], edge(2 * WIDE)[::-1], x[::-1], False, True),
        Lane("Parking", edge(-2 * WIDE), edge(-2 * WIDE - 2.2), x, False, False),
        Lane("Sidewalk", edge(-2 * WIDE - 2.2), edge(-2 * WIDE - 4.2), x, False, True),
    ]
    return Roads(lanes, [Line(lanes[0].left, "SolidSolid", "Yellow", 0.12)])


def crossroads() -> Roads:
    """Return a street along +x that another crosses at x = 75."""
    roads = street()
    y = np.arange(-60.0, 60.5)

    def edge(x: float) -> np.ndarray:
        return np.column_stack([np.full(len(y), x), y, 0.0 * y])

    other = [
        Lane("Driving", edge(75.0), edge(78.0), y, False, True),
        Lane("Driving", edge(75.0)[::-1], edge(72.0)[::-1], y[::-1], False, True),
    ]
    return Roads([*roads.lanes, *other], roads.lines)


def make_plan(roads: Roads, seed: int = 0, level: float = 1.0) -> Plan:
    dice = Dice(DomainRandomization(**FRESH), seed)
    tracks = Tracks.of(roads)
    canvases = Canvas(tracks), Canvas(tracks)
    style = Style(dice, roads.lines)
    return Plan(*canvases, Places(tracks), style, np.random.default_rng(seed), level, True)


def drawn(plan: Plan, under: bool = False) -> np.ndarray:
    """Return the quads' corners (n, 4, 3) that a plan has drawn."""
    wear = Wear(Dice(DomainRandomization(**FRESH), 0))
    return (plan.under if under else plan.paint).pieces(0.0, wear).corners


def place(mesh: Mesh) -> np.ndarray:
    return mesh.vertices["vertex"].astype(float)


def lay(roads: Roads, seed: int, **terms: float) -> paint.Paint:
    return paint.lay(roads, Dice(DomainRandomization(**terms), seed))


def signed_areas(shape: Shape) -> np.ndarray:
    x, y = shape.corners[..., 0], shape.corners[..., 1]
    return 0.5 * (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)


# Drawings.


def test_an_arrow_ahead_is_a_stem_and_a_triangle() -> None:
    arrow = lane_arrow("ahead", 5.0, 1.0)
    assert arrow.size == pytest.approx((0.75, 5.0))
    # A stem of 0.15 m over 3.02 m, and a head of 0.75 m by 2 m.
    assert signed_areas(arrow).sum() == pytest.approx(0.15 * 3.02 + 0.75)
    tip = arrow.corners.reshape(-1, 2)[arrow.corners[..., 1].argmax()]
    assert tip.tolist() == [0.0, 5.0]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_arrows_point_where_they_say(direction: str) -> None:
    corners = lane_arrow(direction).corners.reshape(-1, 2)
    assert (corners[:, 0].min() < -0.6) == ("left" in direction)
    assert (corners[:, 0].max() > 0.6) == ("right" in direction)
    assert (corners[:, 1].max() == 5.0) == ("ahead" in direction)


def test_left_is_the_mirror_image_of_right() -> None:
    left, right = lane_arrow("left"), lane_arrow("right")
    assert np.allclose(left.flipped().corners, right.corners)


def test_all_drawings_face_up() -> None:
    shapes = [lane_arrow(d) for d in DIRECTIONS] + [text(g, 1.6) for g in GLYPHS]
    shapes += [teeth(3.0), diamond(), ring(3.0, 1.5)]
    for shape in shapes:
        assert (signed_areas(shape) > 0.0).all()


def test_a_stroke_keeps_its_width_round_a_corner() -> None:
    corner = stroke([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 0.1)
    assert corner.corners[0, [3, 2]] == pytest.approx(np.array([[-0.1, 1.1], [0.1, 0.9]]))
    assert (corner.corners[0, [3, 2]] == corner.corners[1, [0, 1]]).all()
    # A spike is no mitre: both strokes end square.
    spike = stroke([[0.0, 0.0], [0.05, 1.0], [0.1, 0.0]], 0.05)
    assert np.linalg.norm(spike.corners[0, 3] - spike.corners[0, 2]) == pytest.approx(0.1)
    assert spike.corners[..., 1].max() < 1.06


def test_long_strokes_are_cut_so_that_they_can_bend() -> None:
    line = stroke([[0.0, 0.0], [0.0, 7.0]], 0.1)
    assert len(line.corners) == 4
    assert line.along[:, 2].tolist() == [1.75, 3.5, 5.25, 7.0]


def test_a_triangle_has_its_own_area() -> None:
    triangle = filled([[[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]])
    for shape in (triangle, triangle.flipped()):
        assert signed_areas(shape) == pytest.approx(1.0)
        for half in ([0, 1, 2], [0, 2, 3]):  # the two triangles that are drawn
            a, b, c = shape.corners[0, half]
            assert (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("letter", sorted(GLYPHS))
def test_letters_fill_their_height_and_stay_in_their_cell(letter: str) -> None:
    across, high = text(letter, height=1.6, width=0.5, half=0.05).size
    assert high == pytest.approx(1.6, abs=0.11)
    assert across <= 0.62


def test_letters_do_not_touch_and_words_are_read_from_the_near_one_on() -> None:
    two = text("HH", 1.6, 0.5, 0.05)
    x = np.sort(two.corners[..., 0].ravel())
    assert np.diff(x).max() > 0.1
    stop = text("BUS STOP", 2.0, 0.5, 0.05)
    near = stop.corners[stop.corners[..., 1].max(axis=1) < 2.5]
    assert np.ptp(near[..., 0]) < np.ptp(stop.corners[..., 0])  # BUS has fewer letters
    assert stop.size[1] == pytest.approx(5.0, abs=0.1)


def test_teeth_have_the_sizes_asked_for_and_point_at_the_driver() -> None:
    row = teeth(3.0, base=0.5, height=0.75, gap=0.2)
    assert len(row.corners) == 4  # 4 * 0.5 + 3 * 0.2 = 2.6 m
    assert row.size == pytest.approx((2.6, 0.75))
    assert signed_areas(row).sum() == pytest.approx(4 * 0.5 * 0.75 / 2.0)
    width_at_tip = np.ptp(row.corners[0, row.corners[0, :, 1] < 0.01, 0])
    assert width_at_tip == 0.0


# Places.


def test_a_section_lists_the_strips_from_left_to_right() -> None:
    places = Places(Tracks.of(street()))
    section = places.section(0, 40.3)
    assert section.lane.tolist() == [3, 2, 0, 1, 4]
    assert section.same.tolist() == [False, False, True, True, True]
    assert section.driving.tolist() == [True, True, True, True, False]
    assert section.along == pytest.approx([109.7, 109.7, 40.3, 40.3, 40.3])
    assert section.span(section.rows(mine=False)) == pytest.approx((-2.5 * WIDE, 1.5 * WIDE))
    assert section.span(section.rows(mine=True)) == pytest.approx((-0.5 * WIDE, 1.5 * WIDE))
    against = places.section(2, 109.7)
    assert against.lane.tolist() == [4, 1, 0, 2, 3]
    assert against.rows(mine=True).tolist() == [3, 4]


def test_a_straight_road_has_no_mouth() -> None:
    for bend in (0.0, 1 / 60.0):
        assert Places(Tracks.of(street(bend))).mouths == []


def test_roads_that_cross_have_a_mouth_before_the_crossing() -> None:
    places = Places(Tracks.of(crossroads()))
    mouths = dict(places.mouths)
    assert sorted(mouths) == [0, 1, 2, 3, 5, 6]
    for lane, along in mouths.items():
        to_crossing = 72.0 if lane < 4 else 60.0 - (2 * WIDE)
        assert to_crossing - 6.0 < along < to_crossing + 0.5


def test_a_bridge_is_no_junction() -> None:
    roads = crossroads()
    up = np.array([0.0, 0.0, 6.0])
    raised = [Lane(n.kind, n.left + up, n.right + up, n.s, False, False) for n in roads.lanes[-2:]]
    assert Places(Tracks.of(Roads([*roads.lanes[:-2], *raised], []))).mouths == []


# What is laid.


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lane", [1, 2])
def test_a_crossing_spans_all_driving_lanes(seed: int, lane: int) -> None:
    plan = make_plan(street(), seed)
    section = plan.places.section(lane, 60.0)
    bars(plan, section, section.rows(mine=False), 3.0)
    corners = drawn(plan)
    assert corners[..., 1].min() < -2 * WIDE + 0.7
    assert corners[..., 1].max() > 2 * WIDE - 0.7
    assert np.abs(corners[..., 1]).max() <= 2 * WIDE
    x = corners[..., 0] if lane == 1 else 150.0 - corners[..., 0]
    assert x.min() == pytest.approx(60.0, abs=1e-6)
    assert x.max() == pytest.approx(63.0, abs=1e-6)


def test_stop_lines_cover_one_direction_before_the_place() -> None:
    plan = make_plan(street())
    section = plan.places.section(1, 60.0)
    stop_line(plan, section, section.rows(mine=True), -1.0)
    corners = drawn(plan)
    assert corners[..., 0].max() == pytest.approx(59.0)
    assert -2 * WIDE < corners[..., 1].min() < -2 * WIDE + 0.2
    assert -0.2 < corners[..., 1].max() < 0.0


@pytest.mark.parametrize("seed", range(9))
def test_give_way_lines_stay_in_their_direction(seed: int) -> None:
    plan = make_plan(street(), seed)
    section = plan.places.section(0, 60.0)
    give_way(plan, section, section.rows(mine=True))
    corners = drawn(plan)
    assert len(corners)
    assert corners[..., 0].max() <= 60.01
    assert corners[..., 1].max() < 0.0
    assert corners[..., 1].min() > -2 * WIDE


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["arrow", "merge", "word", "speed", "diamond", "bars", "hump"])
def test_what_is_on_a_lane_stays_inside_it(kind: str, seed: int) -> None:
    bend = 1 / 50.0
    plan = make_plan(street(bend), seed)
    symbols.DRAW[kind](plan, 1, 50.0)
    corners = drawn(plan)
    assert len(corners)
    left = 1.0 / bend - np.hypot(corners[..., 0], corners[..., 1] - 1.0 / bend)
    assert left.max() < -WIDE
    assert left.min() > -2 * WIDE


def test_two_symbols_do_not_lie_on_each_other() -> None:
    plan = make_plan(street())
    for along in (50.0, 51.0, 52.0):
        symbols.DRAW["diamond"](plan, 1, along)
    once = len(drawn(plan))
    symbols.DRAW["diamond"](plan, 1, 60.0)
    assert len(drawn(plan)) == 2 * once
    assert not crossing(plan, plan.places.section(0, 51.0), 3.0)


@pytest.mark.parametrize("seed", range(6))
def test_areas_stay_on_the_carriageway(seed: int) -> None:
    plan = make_plan(street(), seed)
    hatched(plan, plan.places.section(0, 20.0))
    hatched(plan, plan.places.section(1, 80.0))
    box_junction(plan, plan.places.section(3, 20.0))
    assert np.abs(drawn(plan)[..., 1]).max() <= 2 * WIDE
    assert len(drawn(plan)) > 30


def test_bays_are_in_the_parking_lane() -> None:
    for seed in range(6):
        plan = make_plan(street(), seed)
        parking_bays(plan, 4)
        y = drawn(plan)[..., 1]
        assert y.max() < -2 * WIDE + 1e-6
        assert y.min() > -2 * WIDE - 2.2 - 1e-6


def test_a_bus_lane_covers_its_lane_and_says_so() -> None:
    for seed in range(6):
        plan = make_plan(street(), seed)
        bus_lane(plan, 1)
        under, over = drawn(plan, under=True), drawn(plan)
        assert len(over) > 20
        for corners in (under, over):
            if len(corners):
                assert corners[..., 1].max() < -WIDE
                assert corners[..., 1].min() > -2 * WIDE
        if len(under):
            assert np.ptp(under[..., 0]) > 140.0
            return
    pytest.fail("no bus lane was coloured")


# Whole scenes.


@pytest.mark.parametrize(
    ("bend", "slope", "grade"), [(0.0, 0.0, 0.0), (1 / 70.0, 0.06, 0.0), (-1 / 70.0, -0.05, 0.06)]
)
def test_everything_lies_within_three_centimetres_of_the_road(
    bend: float, slope: float, grade: float
) -> None:
    total = 0
    for seed in range(4):
        laid = lay(street(bend, slope, grade), seed, symbols=4.0)
        for mesh, low in ((laid.marking, 0.009), (laid.ghost, 0.009), (laid.surfacing, 0.003)):
            if not len(mesh.vertices):
                continue
            x, y, z = place(mesh).T
            left, along = y, x
            if bend:
                left = 1.0 / bend - np.sign(bend) * np.hypot(x, y - 1.0 / bend)
                along = np.arctan2(x * np.sign(bend), (1.0 / bend - y) * np.sign(bend)) / bend
            above = z - slope * left - grade * along
            assert (above > low).all()
            assert (above < 0.03).all()
            assert np.abs(left + 1.1).max() < 2 * WIDE + 1.2
            total += len(z)
    assert total > 2000


def test_scenes_differ_in_how_many_symbols_they_have() -> None:
    lines = len(lay(street(), 0, **FRESH, symbols=0.0).marking.vertices)
    extra = [len(lay(street(), seed, **FRESH).marking.vertices) - lines for seed in range(30)]
    assert min(extra) == 0
    assert max(extra) > 400
    assert np.count_nonzero(extra) > 15


def test_stronger_means_more() -> None:
    few, many = (
        np.mean([len(lay(street(), s, **FRESH, symbols=k).marking.vertices) for s in range(12)])
        for k in (0.3, 2.0)
    )
    assert many > 1.5 * few


@pytest.mark.parametrize("seed", range(5))
def test_symbols_change_no_line(seed: int) -> None:
    without, having = (lay(crossroads(), seed, symbols=k) for k in (0.0, 3.0))
    for name in ("marking", "ghost"):
        bare, full = getattr(without, name).vertices, getattr(having, name).vertices
        assert bare.tobytes() == full[: len(bare)].tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_no_symbols_means_lines_alone(seed: int) -> None:
    laid = lay(street(), seed, **FRESH, symbols=0.0)
    assert np.abs(place(laid.marking)[:, 1]).max() < 0.25  # the double line in the middle
    assert not len(laid.surfacing.vertices)


@pytest.mark.parametrize("seed", range(6))
def test_tags_and_the_numbers_a_vertex_carries(seed: int) -> None:
    laid = lay(crossroads(), seed, symbols=5.0)
    assert (laid.marking.vertices["color"][:, 3] == Tag.ROAD_LINE).all()
    assert (laid.ghost.vertices["color"][:, 3] == Tag.ROAD).all()
    assert (laid.surfacing.vertices["color"][:, 3] == Tag.ROAD).all()
    for mesh in (laid.marking, laid.ghost, laid.surfacing):
        vertices = mesh.vertices
        if not len(vertices):
            continue
        across, _, share, half = vertices["texcoord"].T
        length = np.linalg.norm(vertices["normal"], axis=1)
        stroked = half > 0.0
        assert np.allclose(length[stroked], 1.0, atol=1e-5)
        assert (np.abs(across[stroked]) == 1.0).all()
        assert (length[~stroked] == 0.0).all()
        assert (across[~stroked] == 0.0).all()
        assert (vertices["normal"][:, 2] == 0.0).all()
        assert ((share >= 0.0) & (share <= 1.0)).all()
        corners = place(mesh)[mesh.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (cross[:, 2] > -1e-9).all()


def test_coloured_surfaces_lie_beneath_the_paint() -> None:
    heights = []
    for seed in range(12):
        surfacing = lay(street(), seed, **FRESH, symbols=4.0).surfacing
        heights += place(surfacing)[:, 2].tolist()
    assert len(heights) > 100
    assert np.allclose(heights, paint.SURFACING_HEIGHT)
    assert 0.0 < paint.SURFACING_HEIGHT < paint.HEIGHT


def test_wheels_wear_a_crossing_more_where_they_run() -> None:
    dice = Dice(DomainRandomization(marking_cover=0.0), 2)
    wear = Wear(dice)
    beside, under = (wear.left(3, np.arange(20.0), wheel=w) for w in (0.0, 1.0))
    assert (under <= beside).all()
    assert (under < beside).any()
