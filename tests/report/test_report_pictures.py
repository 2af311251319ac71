import base64

import cv2
import numpy as np
import pytest

from edge_seg.classes import LANE
from edge_seg.report.pictures import DIFFERENCE_BGR, difference, sample_strips
from edge_seg.report.record import Sample

FRAME = np.full((40, 60, 3), 200, np.uint8)
ROAD = np.ones((40, 60), np.uint8)


def decode(uri: str) -> np.ndarray:
    head, text = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)


def test_difference_marks_the_pixel_and_its_neighbours_and_counts_the_pixel():
    int8 = ROAD.copy()
    int8[20, 30] = 2
    picture, percent = difference(Sample("a", FRAME, ROAD, int8))
    assert percent == pytest.approx(100 / (40 * 60))
    strong = (picture == DIFFERENCE_BGR).all(axis=2)
    assert strong.sum() == 9
    assert strong[19:22, 29:32].all()
    assert (picture[0, 0] == 120).all()  # the frame, grey and darkened to 0.6


def test_a_mask_of_the_networks_size_is_laid_over_the_frame():
    small = np.ones((20, 30), np.uint8)
    small[:10] = 2
    (strip,) = sample_strips([Sample("a", FRAME, small, small)], LANE)
    assert [tile.caption for tile in strip.tiles] == ["frame", "float", "int8", "difference"]
    picture = decode(strip.tiles[1].uri)
    assert picture.shape == (40, 60, 3)
    # 0.35 of the frame and 0.65 of the colour (BGR 0, 210, 255 and 128, 64, 128)
    assert np.abs(picture[5, 30].astype(int) - (70, 206, 236)).max() < 8
    assert np.abs(picture[35, 30].astype(int) - (153, 112, 153)).max() < 8


def test_truth_has_its_tile_where_there_is_one():
    (strip,) = sample_strips([Sample("a", FRAME, ROAD, ROAD, ROAD)], LANE)
    assert [tile.caption for tile in strip.tiles][1] == "truth"
    assert strip.differ == 0.0


def test_pictures_shrink_to_the_budget_and_then_become_fewer():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    samples = [Sample(str(i), noise, ROAD, ROAD) for i in range(3)]
    large = sample_strips(samples, LANE)
    total = sum(len(tile.uri) for strip in large for tile in strip.tiles)
    smaller = sample_strips(samples, LANE, budget=total // 2)
    assert len(smaller) == 3
    assert smaller[0].tiles[0].width < large[0].tiles[0].width
    fewer = sample_strips(samples, LANE, budget=total // 6)
    assert 0 < len(fewer) < 3
