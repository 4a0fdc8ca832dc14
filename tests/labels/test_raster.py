"""Shapes to masks, against brute force over pixel centres, closed forms and other rasterisers."""

import math

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage
from skimage.draw import polygon as skimage_polygon

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import cvat
from temzoo.labels.shapes import raster, windows
from temzoo.labels.shapes.run_lengths import encode_runs


def shape(kind, points, label="particle", **tags):
    return Shape(kind, label, np.array(points, dtype=np.float64), **tags)


def box(top, left, bottom, right, label="particle", **tags):
    return shape("box", [[top, left], [bottom, right]], label, **tags)


def mask_shape(pixels, top, left, label="particle", **tags):
    pixels = np.asarray(pixels, dtype=bool)
    corners = [[top, left], [top + pixels.shape[0], left + pixels.shape[1]]]
    return shape("mask", corners, label, runs=encode_runs(pixels), **tags)


def image(*shapes, height=40, width=50, **tags):
    return LabelledImage("a.png", width, height, tuple(shapes), **tags)


def star(rng, height, width, corners=12):
    """A polygon that does not cross itself, partly outside the image."""
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    radii = rng.uniform(0.2, 0.7, corners) * max(height, width)
    centre = rng.uniform(0, 1, 2) * (height, width)
    return centre + radii[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)


def inside_by_winding(points, height, width):
    """Even-odd rule by a loop over edges and pixels: slow, and written another way."""
    inside = np.zeros((height, width), dtype=bool)
    for r in range(height):
        for c in range(width):
            y, x, odd = r + 0.5, c + 0.5, False
            for (r0, c0), (r1, c1) in zip(points, np.roll(points, -1, axis=0), strict=True):
                if (r0 > y) != (r1 > y) and x < (c1 - c0) * (y - r0) / (r1 - r0) + c0:
                    odd = not odd
            inside[r, c] = odd
    return inside


def border_of(mask):
    """Pixels within one pixel of a mask's border, on both sides."""
    cross = ndimage.generate_binary_structure(2, 2)
    grown = ndimage.binary_dilation(mask, cross)
    return grown & ~ndimage.binary_erosion(mask, cross, border_value=1)


@pytest.mark.parametrize("seed", range(6))
def test_polygon_partly_outside_equals_brute_force_over_centres(seed):
    points = star(np.random.default_rng(seed), 23, 31)
    mask = windows.shape_mask(shape("polygon", points), 23, 31)
    assert mask.any()
    np.testing.assert_array_equal(mask, inside_by_winding(points, 23, 31))


def test_self_intersecting_polygon_follows_the_even_odd_rule():
    turns = np.arange(5) * 4 * math.pi / 5
    pentagram = 20 + 18 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    mask = windows.shape_mask(shape("polygon", pentagram), 40, 40)
    np.testing.assert_array_equal(mask, inside_by_winding(pentagram, 40, 40))
    assert not mask[20, 20]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(4))
def test_polygon_agrees_with_skimage_and_pycocotools_within_the_border_pixel(seed):
    height, width = 90, 120
    points = star(np.random.default_rng(100 + seed), height, width)
    mask = windows.shape_mask(shape("polygon", points), height, width)
    # scikit-image puts pixel centres at whole numbers.
    by_skimage = np.zeros((height, width), dtype=bool)
    by_skimage[skimage_polygon(*(points - 0.5).T, shape=(height, width))] = True
    flat = points[:, ::-1].ravel().tolist()
    by_coco = coco_mask.decode(coco_mask.frPyObjects([flat], height, width))[..., 0] > 0
    near = border_of(mask)
    assert mask.sum() > 500
    assert not (mask != by_skimage)[~near].any()
    assert (mask != by_skimage).sum() <= 2
    assert not (mask != by_coco)[~near].any()


def test_polygons_sharing_an_edge_through_centres_share_and_lose_no_pixel():
    corners = {"a": (0.5, 0.5), "b": (0.5, 20.5), "c": (20.5, 20.5), "d": (20.5, 0.5)}
    for triangles in (("abc", "cda"), ("abc", "acd"), ("abd", "bcd"), ("dab", "dcb")):
        masks = [
            windows.shape_mask(shape("polygon", [corners[k] for k in name]), 25, 25)
            for name in triangles
        ]
        assert (masks[0].astype(int) + masks[1])[:20, :20].tolist() == np.ones((20, 20)).tolist()
        assert masks[0].sum() + masks[1].sum() == 400


def test_polygons_around_one_point_tile_the_image_exactly():
    rng = np.random.default_rng(3)
    rim = np.array([[0, 0], [0, 13], [0, 30], [11, 30], [30, 30], [30, 17], [30, 0], [9, 0]])
    for centre in [(15.5, 15.5), *rng.uniform(5, 25, (20, 2))]:
        owners = np.zeros((30, 30), dtype=int)
        for k, start in enumerate(rim):
            ends = [start, rim[(k + 1) % len(rim)]]
            ends = ends[::-1] if k % 2 else ends
            owners += windows.shape_mask(shape("polygon", [*ends, centre]), 30, 30)
        assert (owners == 1).all()


def test_box_is_half_open_where_its_edges_pass_through_centres():
    mask = windows.shape_mask(box(2.5, 3.5, 5.5, 7.5), 10, 10)
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 3]
    assert np.argwhere(mask).max(axis=0).tolist() == [4, 6]


def test_box_with_swapped_corners_is_the_same_box():
    assert windows.shape_mask(box(5, 7, 2, 3), 10, 10).sum() == 12


@pytest.mark.parametrize("rotation", [0, 17.3, 45, 90, 180, 211.0, -30])
def test_rotated_ellipse_equals_brute_force_and_has_the_area_of_the_closed_form(rotation):
    centre, axes = (61.2, 70.7), (50.4, 21.3)
    drawn = shape("ellipse", [centre, axes], rotation=rotation)
    mask = windows.shape_mask(drawn, 130, 140)
    turn = math.radians(rotation)
    # Clockwise on screen: the row axis, which points down at 0 degrees, turns towards the left.
    down = np.array([math.cos(turn), -math.sin(turn)])
    right = np.array([math.sin(turn), math.cos(turn)])
    rows, cols = np.mgrid[:130, :140] + 0.5
    offset = np.stack([rows - centre[0], cols - centre[1]], axis=-1)
    expected = (offset @ down / axes[0]) ** 2 + (offset @ right / axes[1]) ** 2 <= 1
    np.testing.assert_array_equal(mask, expected)
    assert mask.sum() == pytest.approx(math.pi * axes[0] * axes[1], rel=0.005)


def test_rotation_is_clockwise_on_screen():
    # A bar lying along the columns, turned by 45 degrees, runs from top left to bottom right.
    for drawn in (
        box(18, 5, 22, 35, rotation=45),
        shape("ellipse", [[20, 20], [2, 15]], rotation=45),
    ):
        mask = windows.shape_mask(drawn, 40, 40)
        assert mask[12, 12]
        assert mask[27, 27]
        assert not mask[12, 27]
        assert not mask[27, 12]


@pytest.mark.parametrize("radius", [3, 10.5, 40])
def test_disc_is_symmetric_and_has_the_area_of_the_closed_form(radius):
    mask = windows.shape_mask(shape("ellipse", [[50, 50], [radius, radius]]), 100, 100)
    assert mask.sum() == pytest.approx(math.pi * radius**2, abs=0.25 * 2 * math.pi * radius)
    np.testing.assert_array_equal(mask, mask.T)
    np.testing.assert_array_equal(mask, mask[::-1])


@pytest.mark.parametrize("rotation", [0, 30, 45, 90, 123.4, 180, 270, 360])
def test_rotated_box_has_the_pixels_of_its_turned_corners(rotation):
    mask = windows.shape_mask(box(30.2, 20.1, 61.9, 88.8, rotation=rotation), 110, 110)
    corners = cv2.boxPoints(((54.45, 46.05), (68.7, 31.7), rotation))
    expected = inside_by_winding(corners[:, ::-1].astype(float), 110, 110)
    # float32 corners of OpenCV: single pixels on the edge may differ.
    assert (mask != expected).sum() <= 4
    assert mask.sum() == pytest.approx(68.7 * 31.7, abs=0.4 * 2 * (68.7 + 31.7))


def test_quarter_turn_of_a_square_with_edges_through_centres_keeps_its_pixels():
    masks = [windows.shape_mask(box(2, 2, 8, 8, rotation=turn), 10, 10) for turn in (0, 90, 270)]
    assert masks[0].sum() == 36
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("corner", [(3, 4), (-2, -3), (36, 46), (-4, 46)])
def test_mask_runs_are_placed_and_cut_at_the_border(corner):
    pixels = np.random.default_rng(0).random((7, 9)) > 0.4
    drawn = windows.shape_mask(mask_shape(pixels, *corner), 40, 50)
    large = np.zeros((80, 90), dtype=bool)
    large[20 + corner[0] :, 20 + corner[1] :][:7, :9] = pixels
    np.testing.assert_array_equal(drawn, large[20:60, 20:70])


def test_polyline_has_no_area_without_a_line_width():
    line = shape("polyline", [[5, 5], [20, 30]])
    assert windows.shape_window(line, 40, 50)[2].size == 0
    assert raster.instances(image(line)) == []


def test_polyline_band_holds_the_centres_within_half_its_width():
    points = np.array([[5.2, -6.0], [20.7, 30.1], [20.7, 30.1], [33.0, 12.5]])
    mask = windows.shape_mask(shape("polyline", points), 40, 50, line_width=5)
    rows, cols = np.mgrid[:40, :50] + 0.5
    distance = np.full((40, 50), np.inf)
    for start, end in ((points[0], points[1]), (points[2], points[3])):
        for share in np.linspace(0, 1, 4001):
            place = start + share * (end - start)
            distance = np.minimum(distance, np.hypot(rows - place[0], cols - place[1]))
    clear = np.abs(distance - 2.5) > 1e-3
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(mask[clear], (distance <= 2.5)[clear])


def test_horizontal_band_has_the_area_of_length_times_width_plus_caps():
    mask = windows.shape_mask(shape("polyline", [[50, 20], [50, 80]]), 100, 100, line_width=20)
    assert mask.sum() == pytest.approx(60 * 20 + math.pi * 100, rel=0.01)


@pytest.mark.parametrize("kind", ["points", "cuboid", "skeleton", "tag"])
def test_kinds_without_area_have_no_pixel(kind):
    drawn = shape(kind, [[5, 5], [9, 9], [5, 9]])
    assert not windows.shape_mask(drawn, 20, 20, line_width=3).any()
    assert not windows.shape_mask(shape(kind, np.zeros((0, 2))), 20, 20).any()


@pytest.mark.parametrize(
    "drawn",
    [
        box(-20, -20, -1, -1),
        box(5, 60, 9, 70),
        shape("polygon", [[100, 3], [120, 3], [110, 9]]),
        shape("ellipse", [[-30, 5], [10, 10]]),
        shape("ellipse", [[10, 10], [0, 5]]),
        box(5, 5, 5, 9),
        shape("polygon", [[3, 3], [9, 9]]),
        mask_shape(np.ones((3, 3)), -3, 0),
    ],
)
def test_shapes_outside_the_image_or_of_zero_size_have_no_pixel(drawn):
    assert not windows.shape_mask(drawn, 40, 50).any()


def test_one_pixel_image_is_filled_by_a_shape_over_its_centre():
    assert windows.shape_mask(box(0, 0, 1, 1), 1, 1).tolist() == [[True]]
    assert windows.shape_mask(box(0.6, 0, 1, 1), 1, 1).tolist() == [[False]]


def test_window_is_the_mask_cut_to_the_extent():
    drawn = shape("polygon", star(np.random.default_rng(9), 30, 30) + 5)
    row, col, window = windows.shape_window(drawn, 40, 50)
    placed = np.zeros((40, 50), dtype=bool)
    placed[row : row + window.shape[0], col : col + window.shape[1]] = window
    np.testing.assert_array_equal(placed, windows.shape_mask(drawn, 40, 50))
    small = windows.shape_window(box(10_000, 20_000, 10_004, 20_007), 30_000, 30_000)
    assert small[:2] == (10_000, 20_000)
    assert small[2].shape == (4, 7)


@pytest.mark.parametrize("rotation", [0, 33.0, 90, 160])
def test_extent_of_rotated_shapes_fits_their_outline(rotation):
    ellipse = shape("ellipse", [[10, 20], [3, 8]], rotation=rotation)
    t = np.linspace(0, 2 * math.pi, 20001)
    turn = math.radians(rotation)
    rows = 10 + 3 * np.sin(t) * math.cos(turn) + 8 * np.cos(t) * math.sin(turn)
    cols = 20 + 8 * np.cos(t) * math.cos(turn) - 3 * np.sin(t) * math.sin(turn)
    expected = (rows.min(), cols.min(), rows.max(), cols.max())
    assert windows.shape_extent(ellipse) == pytest.approx(expected, abs=1e-6)
    corners = cv2.boxPoints(((20, 10), (16, 6), rotation))[:, ::-1]
    expected = (*corners.min(axis=0), *corners.max(axis=0))
    assert windows.shape_extent(box(7, 12, 13, 28, rotation=rotation)) == pytest.approx(
        expected, abs=1e-4
    )


def test_extent_of_a_shape_without_points_is_none():
    assert windows.shape_extent(shape("tag", np.zeros((0, 2)))) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_coordinate_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match=r"coordinates must be finite.*'particle'.*Correct"):
        windows.shape_mask(shape("polygon", [[0, 0], [0, bad], [9, 9]]), 20, 20)
    with pytest.raises(ValueError, match="coordinates must be finite"):
        windows.shape_mask(box(0, 0, 5, 5, rotation=np.nan), 20, 20)


@pytest.mark.parametrize("line_width", [0, -2, np.nan])
def test_line_width_must_be_positive(line_width):
    line = shape("polyline", [[5, 5], [9, 9]])
    with pytest.raises(ValueError, match=r"line_width must be above 0 pixels\. Received"):
        windows.shape_mask(line, 20, 20, line_width=line_width)


def test_mask_whose_runs_do_not_fill_its_box_is_refused():
    broken = shape("mask", [[0, 0], [2, 2]], runs=np.array([1, 2]))
    with pytest.raises(ValueError, match="must sum to height x width"):
        windows.shape_mask(broken, 5, 5)


def test_shapes_of_one_group_and_label_are_one_instance_in_order_of_first_appearance():
    shapes = (
        box(0, 0, 2, 2, group_id=7),
        box(5, 5, 6, 6),
        box(0, 4, 2, 6, group_id=7),
        box(9, 9, 11, 11, "void", group_id=7),
        box(20, 20, 21, 21),
    )
    found = raster.instances(image(*shapes))
    assert [(each.label, len(each.shapes)) for each in found] == [
        ("particle", 2),
        ("particle", 1),
        ("void", 1),
        ("particle", 1),
    ]
    assert found[0].shapes == (shapes[0], shapes[2])
    masks = raster.instance_masks(image(*shapes))
    assert masks.dtype == bool
    assert masks.sum(axis=(1, 2)).tolist() == [8, 1, 4, 1]
    numbers = [number for _, number in raster.numbered_shapes(image(*shapes))]
    assert numbers == [1, 2, 1, 3, 4]


def test_instance_window_joins_distant_parts():
    parts = (box(1, 2, 3, 4, group_id=1), box(10, 20, 12, 23, group_id=1))
    (instance,) = raster.instances(image(*parts))
    row, col, window = raster.instance_window(instance, 40, 50)
    assert (row, col, window.shape, window.sum()) == (1, 2, (11, 21), 10)
    far = raster.Instance("particle", (box(100, 0, 120, 9), box(-9, 0, -1, 9)))
    assert raster.instance_window(far, 40, 50)[2].size == 0


def test_kinds_without_area_do_not_number_instances():
    drawn = image(shape("points", [[1, 1]]), box(0, 0, 3, 3), shape("tag", np.zeros((0, 2))))
    assert raster.instance_map(drawn).max() == 1
    assert raster.instance_masks(drawn).shape == (1, 40, 50)


def test_image_without_shapes_gives_empty_masks_and_maps():
    assert raster.instance_masks(image()).shape == (0, 40, 50)
    assert raster.instance_map(image()).dtype == np.int32
    assert not raster.instance_map(image()).any()
    assert not raster.class_map(image(), ["particle"]).any()


def test_higher_z_order_lies_on_top_and_of_equal_ones_the_later():
    low, high = box(0, 0, 10, 10, z_order=1), box(5, 5, 15, 15, z_order=0)
    numbers = raster.instance_map(image(low, high))
    assert numbers[7, 7] == 1
    assert numbers[12, 12] == 2
    tied = raster.instance_map(image(box(0, 0, 10, 10), box(5, 5, 15, 15)))
    assert tied[7, 7] == 2
    masks = raster.instance_masks(image(low, high))
    assert masks[:, 7, 7].all()


def test_ids_of_the_map_are_the_order_of_the_masks_whatever_is_covered():
    rng = np.random.default_rng(5)
    shapes = [
        box(r, c, r + 9, c + 9, z_order=int(z))
        for r, c, z in zip(*rng.integers(-6, 40, (2, 30)), rng.integers(0, 3, 30), strict=True)
    ]
    shapes.insert(4, box(500, 500, 510, 510))
    numbers, masks = raster.instance_map(image(*shapes)), raster.instance_masks(image(*shapes))
    assert len(masks) == 31
    np.testing.assert_array_equal(numbers > 0, masks.any(axis=0))
    for number in np.unique(numbers[numbers > 0]):
        assert masks[number - 1][numbers == number].all()
    assert 5 not in numbers


def test_wholly_covered_instance_has_no_pixel_in_the_map_but_keeps_its_mask():
    drawn = image(box(5, 5, 8, 8), box(0, 0, 20, 20))
    assert np.unique(raster.instance_map(drawn)).tolist() == [0, 2]
    assert raster.instance_masks(drawn)[0].sum() == 9


def test_class_map_numbers_classes_from_one_in_the_drawing_order():
    drawn = image(box(0, 0, 10, 10, "void", z_order=2), box(5, 5, 15, 15))
    for classes in (["particle", "void"], ["background", "particle", "void"]):
        classes_map = raster.class_map(drawn, classes)
        assert classes_map.dtype == np.int32
        assert (classes_map[7, 7], classes_map[12, 12], classes_map[30, 30]) == (2, 1, 0)


def test_class_map_gives_a_polyline_its_band():
    line = shape("polyline", [[20, 5], [20, 45]], "dislocation")
    assert not raster.class_map(image(line), ["dislocation"]).any()
    assert raster.class_map(image(line), ["dislocation"], line_width=4).sum() > 150


def test_unknown_label_names_image_label_matches_and_remedy():
    drawn = image(box(0, 0, 5, 5, "partcle"))
    text = (
        r"Received: label='partcle' in image 'a.png', classes=\['particle', 'void'\]. "
        r"Did you mean 'particle'\? .*ignore=\['partcle'\]"
    )
    with pytest.raises(ValueError, match=text):
        raster.class_map(drawn, ["particle", "void"])
    with pytest.raises(ValueError, match="every label must be one of the classes"):
        raster.instance_map(drawn, classes=["particle"])
    with pytest.raises(ValueError, match=r"classes=\['b', 'zz'\]\. Add it to the classes"):
        raster.class_map(image(box(0, 0, 5, 5, "a")), ["b", "zz"])
    assert not raster.class_map(drawn, ["particle"], ignore=["partcle"]).any()
    assert not raster.class_map(drawn, ["particle"], ignore="partcle").any()


def test_ignored_labels_take_no_number():
    drawn = image(box(0, 0, 5, 5, "scale bar"), box(10, 10, 15, 15))
    assert raster.instance_map(drawn, ignore=["scale bar"]).max() == 1
    assert len(raster.instance_masks(drawn, classes=["particle"], ignore=["scale bar"])) == 1


def test_repeated_class_and_a_single_string_are_refused():
    with pytest.raises(ValueError, match=r"classes must differ.*'void' more than once"):
        raster.class_map(image(), ["void", "particle", "void"])
    with pytest.raises(ValueError, match=r"must be a sequence of names.*Use \['particle'\]"):
        raster.class_map(image(), "particle")


def test_stack_of_masks_beyond_4_gb_is_refused():
    shapes = [box(0, 0, 1, 1)] * 41
    with pytest.raises(ValueError, match=r"41 instances of 10000 x 10000 px.*Use instance_map"):
        raster.instance_masks(image(*shapes, height=10_000, width=10_000))


@pytest.mark.shared
def test_emps_maps_agree_with_its_segmentation_maps(shared):
    labelled = cvat.read(shared / "data/emps/annotations.xml")
    maps = [raster.instance_map(each) for each in labelled]
    ious = []
    for each, numbers in zip(labelled, maps, strict=True):
        truth = cv2.imread(str(shared / "data/emps/segmaps" / each.name), cv2.IMREAD_UNCHANGED)
        ious.append(((numbers > 0) & (truth > 0)).sum() / ((numbers > 0) | (truth > 0)).sum())
        # Each object is one of the published ones, pixel by pixel, whatever its number there.
        pairs = np.unique(numbers.astype(np.int64) * 2**16 + truth)
        assert len(pairs) == len(np.unique(truth))
    assert len(maps) == 366
    assert min(ious) > 0.99
