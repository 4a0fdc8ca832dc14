"""Masks to polygons: exact without a tolerance, close with one, holes and parts kept."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk, polygon2mask

from temzoo.core.types import Shape
from temzoo.labels.shapes.soundness import self_crossing
from temzoo.labels.shapes.trace import LEAST_IOU, polygons
from temzoo.labels.shapes.windows import shape_mask


def filled(parts, shape):
    mask = np.zeros(shape, bool)
    for part in parts:
        mask |= shape_mask(Shape("polygon", "particle", part), *shape)
    return mask


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def blobs(smooth, seed=0, shape=(90, 120)):
    field = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(field, smooth) > 0


def ball(size, row, col, radius):
    mask = np.zeros((size, size), bool)
    mask[disk((row, col), radius, shape=mask.shape)] = True
    return mask


@pytest.mark.parametrize("smooth", [0, 1, 3])
def test_without_tolerance_the_polygons_hold_exactly_the_pixels(smooth):
    """White noise has every pattern of neighbours, holes within parts within holes among them."""
    mask = blobs(smooth, shape=(50, 60))
    np.testing.assert_array_equal(filled(polygons(mask, tolerance_px=0), mask.shape), mask)


@pytest.mark.parametrize("tolerance_px", [0.5, 1, 2, 5])
@pytest.mark.parametrize("smooth", [1, 2, 4])
def test_each_part_keeps_the_least_iou(smooth, tolerance_px):
    mask = blobs(smooth)
    numbered, count = ndimage.label(mask, np.ones((3, 3)))
    parts = polygons(mask, tolerance_px=tolerance_px)
    assert len(parts) == count
    for number, part in enumerate(parts, start=1):
        assert iou(filled([part], mask.shape), numbered == number) >= LEAST_IOU


def test_simplified_outlines_stay_within_the_tolerance():
    """Each corner of the pixels' outline lies that near to the polygon, measured by OpenCV."""
    (exact,) = polygons(ball(128, 60, 64, 50), tolerance_px=0)
    (simple,) = polygons(ball(128, 60, 64, 50), tolerance_px=1.5, least_iou=0)
    contour = simple.astype(np.float32)[:, None]
    distances = [abs(cv2.pointPolygonTest(contour, corner.tolist(), True)) for corner in exact]
    assert 0.5 < max(distances) <= 1.5 + 1e-5
    assert len(simple) < len(exact) / 5


def test_a_ring_keeps_its_hole_by_a_slit():
    ring = ball(80, 40, 40, 30) & ~ball(80, 40, 40, 15)
    (part,) = polygons(ring)
    again = filled([part], ring.shape)
    assert iou(again, ring) > 0.97
    assert not again[40, 40]
    assert self_crossing(part) is None
    # Another rasteriser of the even-odd rule sees the hole too.
    assert iou(polygon2mask(ring.shape, part - 0.5), ring) > 0.95


def test_small_objects_get_less_tolerance():
    dot = ball(20, 10, 10, 5)
    loose, strict = (polygons(dot, tolerance_px=4, least_iou=least)[0] for least in (0, 0.95))
    assert iou(filled([strict], dot.shape), dot) >= 0.95 > iou(filled([loose], dot.shape), dot)


def test_a_pixel_and_a_rectangle():
    one = np.zeros((5, 6), bool)
    one[2, 3] = True
    np.testing.assert_array_equal(filled(polygons(one), one.shape), one)
    assert [len(part) for part in polygons(np.ones((10, 20), bool))] == [4]


def test_nothing_gives_no_polygon():
    assert polygons(np.zeros((4, 4), bool)) == []


@pytest.mark.parametrize("tolerance_px", [-1, float("nan")])
def test_a_negative_tolerance_is_refused(tolerance_px):
    with pytest.raises(
        ValueError, match=r"tolerance_px must be 0 or more\. Received: tolerance_px"
    ):
        polygons(np.ones((3, 3), bool), tolerance_px=tolerance_px)
