"""Polygons for boxes and ellipses, against closed forms."""

import numpy as np
import pytest

from temzoo.core.types import Shape
from temzoo.labels.shapes.windows import TOLERANCE_PX, area, outline


def test_box_turns_clockwise_on_screen():
    box = Shape("box", "a", np.array([[0.0, 0.0], [2.0, 4.0]]), rotation=90)
    # The top left corner, up and left of the centre (1, 2), goes up and right.
    assert outline(box) == pytest.approx(np.array([[-1, 3], [3, 3], [3, 1], [-1, 1]]))


@pytest.mark.parametrize("axes", [(0.01, 0.01), (3, 3), (40, 5), (5, 400), (0, 7)])
@pytest.mark.parametrize("rotation", [0, 33.3])
def test_ellipse_polygon_stays_within_the_tolerance(axes, rotation):
    shape = Shape("ellipse", "a", np.array([[50.0, 60.0], axes]), rotation=rotation)
    points = outline(shape)
    exact = np.pi * axes[0] * axes[1]
    # A ring of the tolerance's width along the perimeter, which is at most that of the circle.
    assert exact - area(points) <= 2 * np.pi * max(axes) * TOLERANCE_PX + 1e-9
    assert area(points) <= exact + 1e-9
    turn = np.radians(rotation)
    row, col = (points - [50, 60]).T
    straight_row = row * np.cos(turn) - col * np.sin(turn)
    straight_col = col * np.cos(turn) + row * np.sin(turn)
    if min(axes) > 0:
        radius = np.hypot(straight_row / axes[0], straight_col / axes[1])
        assert radius == pytest.approx(np.ones(len(points)))


def test_polygon_is_its_own_outline_and_others_have_none():
    points = np.array([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
    assert outline(Shape("polygon", "a", points)) is points
    assert area(points) == 6
    assert area(points[::-1] + 1e6) == 6
    with pytest.raises(ValueError, match=r"has an outline. Received: kind='mask'.*shape_mask"):
        outline(Shape("mask", "a", points[:2], runs=np.array([9])))
