"""Shapes between keyframes, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from temzoo.core.types import Shape
from temzoo.labels.formats.tracks import Keyframe, interpolate, match_contours
from temzoo.labels.shapes.windows import area

SQUARE = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0]])


def between(first, last, *, frames=5):
    """The shapes of a track with keyframes at its first and last frame."""
    return dict(interpolate([Keyframe(0, first), Keyframe(frames - 1, last)], range(frames)))


def polygon(points):
    return Shape("polygon", "a", np.asarray(points, dtype=float))


@pytest.mark.parametrize(
    ("start", "end", "middle"),
    [(350, 10, 0), (10, 350, 0), (20, 60, 40), (0, 170, 85), (0, 190, 275), (300, 100, 20)],
)
@pytest.mark.parametrize("kind", ["box", "ellipse"])
def test_rotation_goes_the_short_way(kind, start, end, middle):
    first = Shape(kind, "a", np.array([[1.0, 2.0], [5.0, 8.0]]), rotation=start)
    last = replace(first, points=first.points + np.array([[2.0, 4.0], [6.0, 0.0]]), rotation=end)
    shapes = between(first, last)
    assert shapes[2].rotation == pytest.approx(middle)
    assert shapes[2].points.tolist() == [[2, 4], [8, 8]]
    assert (shapes[0].rotation, shapes[4].rotation) == (start, end)


def test_points_and_lines_move_linearly():
    line = Shape("polyline", "a", np.array([[0.0, 0.0], [4.0, 8.0], [2.0, 2.0]]))
    for kind in ("points", "polyline"):
        first = replace(line, kind=kind)
        last = replace(first, points=np.array([[4.0, 4.0], [0.0, 0.0], [2.0, 6.0]]))
        assert between(first, last)[1].points.tolist() == [[1, 1], [3, 6], [2, 3]]


def test_line_with_more_vertices_is_matched_by_length():
    first = Shape("polyline", "a", np.array([[0.0, 0.0], [0.0, 8.0]]))
    last = replace(first, points=np.array([[4.0, 0.0], [4.0, 2.0], [4.0, 8.0]]))
    assert between(first, last)[2].points.tolist() == [[2, 0], [2, 2], [2, 8]]


@pytest.mark.parametrize("kind", ["points", "mask"])
def test_what_has_nothing_in_common_holds(kind):
    runs = np.array([0, 1]) if kind == "mask" else None
    first = Shape(kind, "a", np.array([[0.0, 0.0], [1.0, 1.0]]), runs=runs)
    last = replace(
        first, points=np.array([[5.0, 5.0], [6.0, 6.0], [7.0, 7.0]][: 3 - (kind == "mask")])
    )
    assert between(first, last)[3] is first
    assert between(first, polygon(SQUARE))[3] is first


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("reverse", [False, True])
def test_moved_polygon_is_moved_half_way_whatever_its_first_vertex(shift, reverse):
    moved = np.roll(SQUARE * [1.0, 2.0] + [6.0, 20.0], shift, axis=0)
    middle = between(polygon(SQUARE), polygon(moved[::-1] if reverse else moved))[2]
    assert middle.points == pytest.approx(SQUARE * [1.0, 1.5] + [3.0, 10.0])


def test_one_pulled_vertex_moves_alone():
    pulled = SQUARE.copy()
    pulled[2] = [10.0, 8.0]
    middle = between(polygon(SQUARE), polygon(pulled))[2].points
    assert middle.tolist() == [[0, 0], [0, 4], [7, 6], [4, 0]]


@pytest.mark.parametrize("shift", range(8))
def test_more_vertices_on_the_same_contour_change_nothing(shift):
    finer = np.roll(
        np.stack([SQUARE, (SQUARE + np.roll(SQUARE, -1, 0)) / 2], 1).reshape(8, 2), shift, 0
    )
    a, b = match_contours(SQUARE, finer + 2.0)
    assert b - a == pytest.approx(np.full(a.shape, 2.0))
    assert area(a) == pytest.approx(16)


@pytest.mark.parametrize("seed", range(5))
def test_circles_of_different_vertices_grow_evenly(seed):
    rng = np.random.default_rng(seed)
    counts, turns = rng.integers(60, 200, 2), rng.uniform(0, 7, 2)
    angles = [np.arange(n) * 2 * np.pi / n + turn for n, turn in zip(counts, turns, strict=True)]
    small, large = (
        radius * np.stack([np.sin(angle), np.cos(angle)], axis=1) + centre
        for radius, angle, centre in zip((10.0, 20.0), angles, (0.0, 50.0), strict=True)
    )
    middle = between(polygon(small), polygon(large))[2].points
    assert np.hypot(*(middle - 25).T) == pytest.approx(np.full(len(middle), 15.0), abs=0.1)
    assert area(middle) == pytest.approx(np.pi * 15**2, rel=0.01)


def test_contours_keep_their_course_when_matched():
    rng = np.random.default_rng(3)
    radii = rng.uniform(5, 10, 9)
    angles = np.arange(9) * 2 * np.pi / 9
    star = radii[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    a, b = match_contours(SQUARE, star)
    assert len(a) == len(b) <= 13
    assert area(a) == pytest.approx(16)
    assert area(b) == pytest.approx(area(star))


def test_degenerate_polygons_do_not_fail():
    dot = polygon([[1.0, 1.0]] * 3)
    assert np.isfinite(between(dot, polygon(np.vstack([SQUARE, [2.0, -1.0]])))[2].points).all()
    assert between(polygon([[1.0, 1.0], [2.0, 2.0]]), polygon(SQUARE))[2].points.tolist() == [
        [1, 1],
        [2, 2],
    ]


def test_keyframes_in_any_order_off_the_grid_and_repeated():
    box = Shape("box", "a", np.zeros((2, 2)))
    keys = [
        Keyframe(9, replace(box, points=box.points + 9), outside=True),
        Keyframe(1, replace(box, points=box.points + 99)),
        Keyframe(1, replace(box, points=box.points + 1)),
    ]
    found = {frame: shape.points[0, 0] for frame, shape in interpolate(keys, range(0, 20, 4))}
    assert found == {4: 4, 8: 8}
    assert list(interpolate([], range(3))) == []
