import re
from dataclasses import replace

import numpy as np
import pytest
from pages_of_tests import disks
from skimage.draw import polygon2mask

from temzoo.core.types import Detection, Prediction
from temzoo.pages.plates import objects_of, outlined, regions_of
from temzoo.pages.viewer import viewer_html


def rings(path: str) -> list[np.ndarray]:
    """(N, 2) points (x, y) of each part of a path of relative lines."""
    found = []
    for part in path.split("z")[:-1]:
        numbers = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", part)]
        found.append(np.cumsum(np.array(numbers).reshape(-1, 2), axis=0))
    return found


def shoelace(points: np.ndarray) -> float:
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def test_an_outline_encloses_the_pixels_of_its_mask():
    prediction, _ = disks()
    drawn = outlined(objects_of(prediction))
    assert [one.number for one in drawn] == list(range(1, prediction.instances.max() + 1))
    for one in drawn:
        (ring,) = rings(one.path)
        # Pixel (0, 0) has its centre at (0.5, 0.5), scikit-image's at (0, 0).
        inside = polygon2mask(prediction.instances.shape, ring[:, ::-1] - 0.5)
        mask = prediction.instances == one.number
        assert (inside & mask).sum() / (inside | mask).sum() > 0.95
        rows, cols = np.nonzero(mask)
        assert (one.row, one.col) == pytest.approx((rows.mean() + 0.5, cols.mean() + 0.5))


def test_a_hole_is_a_part_of_the_path():
    mask = np.ones((20, 30), bool)
    mask[5:15, 10:20] = False
    (one,) = outlined([(1, Detection(3, 4, mask, 1, 1.0))])
    outer, inner = sorted(map(shoelace, rings(one.path)), reverse=True)
    assert outer == pytest.approx(600, rel=0.01)  # the corners are cut by half a pixel
    assert inner == pytest.approx(100, rel=0.02)


def test_parts_of_one_object_are_one_path():
    mask = np.zeros((9, 9), bool)
    mask[:3, :3] = mask[6:, 6:] = True
    (one,) = outlined([(1, Detection(0, 0, mask, 1, 1.0))])
    assert len(rings(one.path)) == 2


def test_a_coarser_tolerance_takes_fewer_points():
    prediction, _ = disks(radius=18)
    fine, coarse = (
        sum(len(one.path) for one in outlined(objects_of(prediction), tolerance=t))
        for t in (0.1, 2.0)
    )
    assert coarse < fine / 2


def test_objects_of_a_detector_keep_their_order_and_overlap():
    mask = np.ones((4, 4), bool)
    found = (Detection(0, 0, mask, 1, 0.9), Detection(2, 2, mask, 2, 0.8))
    zeros = np.zeros((10, 10), np.int32)
    prediction = Prediction(classes=zeros, instances=zeros, detections=found)
    assert objects_of(prediction) == [(1, found[0]), (2, found[1])]


def test_numbers_are_those_of_the_instance_map_also_with_gaps():
    prediction, _ = disks()
    instances = np.where(prediction.instances == 2, 0, prediction.instances)
    numbers = [n for n, _ in objects_of(replace(prediction, instances=instances))]
    assert numbers == [1, *range(3, prediction.instances.max() + 1)]


def test_without_instances_each_class_is_a_region():
    prediction, _ = disks()
    bare = replace(prediction, instances=np.zeros_like(prediction.instances))
    assert objects_of(bare) == []
    ((number, region),) = regions_of(bare)
    assert (number, region.class_id) == (0, 1)
    assert np.array_equal(region.mask, prediction.classes == 1)


def test_a_single_pixel_is_drawn_with_an_area():
    (one,) = outlined([(1, Detection(7, 3, np.ones((1, 1), bool), 1, 1.0))])
    (ring,) = rings(one.path)
    assert shoelace(ring) == pytest.approx(0.5, abs=0.05)  # the diamond within the pixel
    assert (one.row, one.col) == (7.5, 3.5)


def test_the_key_names_kinds_in_place_of_classes():
    page = viewer_html(["<div></div>"], ["a.png"], class_names=("grain",), kinds=("rod", "unsure"))
    key = page.split('<ul class="legend">')[1].split("</ul>")[0]
    named = [line.split("</svg>")[1] for line in key.split("</li>") if line]
    assert named == ["rod", "unsure", "touches the border"]
    assert 'class="viewer bar-on"' in page
