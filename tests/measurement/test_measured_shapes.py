"""Each measure against scikit-image, SciPy or a closed form, with square and other pixels."""

import math

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import label, perimeter_crofton, regionprops_table
from skimage.morphology import convex_hull_image

import temzoo
from temzoo.core.types import Detection, Prediction
from temzoo.measurement.pixel_runs import runs_of_detections, runs_of_map
from temzoo.measurement.shapes import directions, ellipses, ferets, hulls, perimeters, solidity

SPACINGS = [(1.0, 1.0), (0.4, 0.7), (3.0, 1.0)]


def blobs(seed=0, size=200):
    """Ragged particles of all shapes, with holes and single pixels, and gaps in their numbers."""
    rng = np.random.default_rng(seed)
    smooth = rng.standard_normal((size, size))
    for axis in (0, 1):
        smooth = sum(np.roll(smooth, k, axis) for k in range(-3, 4))
    speckled = (smooth > 4) ^ (rng.random((size, size)) < 0.01)
    numbered = label(speckled, connectivity=1)
    return np.where(numbered % 7 == 3, 0, numbered).astype(np.int32)


def drawn(kind, long, short, angle_deg, spacing=(1.0, 1.0), side=90.0, off=(0.31, 0.17)):
    """An ellipse or rectangle of these full lengths, long axis clockwise from the rows."""
    shape = [round(side / s) for s in spacing]
    # Off the grid: a centre on a pixel's corner would have all four sides round the same way.
    middle = side / 2 + np.array(off)
    axes = zip(shape, spacing, middle, strict=True)
    rows, cols = ((np.arange(n) + 0.5) * step - at for n, step, at in axes)
    angle = math.radians(angle_deg)
    along = cols[None] * math.cos(angle) + rows[:, None] * math.sin(angle)
    across = rows[:, None] * math.cos(angle) - cols[None] * math.sin(angle)
    if kind == "ellipse":
        return (2 * along / long) ** 2 + (2 * across / short) ** 2 <= 1
    return (np.abs(along) <= long / 2) & (np.abs(across) <= short / 2)


def outline_points(mask, spacing):
    """The middles of all sides of all pixels."""
    centres = np.argwhere(mask) + 0.5
    return np.concatenate([centres + o for o in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]) * (
        spacing
    )


def brute_widths(points):
    """Largest distance of two points; smallest distance of two parallels, over all hull edges."""
    corners = points[ConvexHull(points).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.hypot(*edges.T)[:, None]
    return pdist(corners).max(), np.ptp(corners @ normals.T, axis=0).min()


@pytest.fixture(scope="module")
def found():
    numbered = blobs()
    return numbered, runs_of_map(numbered)


def test_numbers_areas_and_boxes_equal_scikit_image(found):
    numbered, runs = found
    known = regionprops_table(numbered, properties=("label", "area", "bbox"))
    assert len(runs) > 100
    np.testing.assert_array_equal(runs.numbers, known["label"])
    np.testing.assert_array_equal(runs.area_px, known["area"])
    np.testing.assert_array_equal(runs.boxes.T, [known[f"bbox-{k}"] for k in range(4)])


def test_blocks_of_rows_change_nothing(monkeypatch, found):
    from temzoo.measurement import pixel_runs as module

    numbered, whole = found
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    parts = runs_of_map(numbered)
    for name in ("numbers", "particle", "row", "start", "stop"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_detections_give_the_runs_of_their_masks(found):
    numbered, whole = found
    boxes = [tuple(box) for box in whole.boxes]
    detections = [
        Detection(top, left, numbered[top:bottom, left:right] == number, 1, 0.9)
        for number, (top, left, bottom, right) in zip(whole.numbers, boxes, strict=True)
    ]
    own = runs_of_detections(detections, numbered.shape)
    np.testing.assert_array_equal(own.numbers, np.arange(1, len(whole) + 1))
    for name in ("particle", "row", "start", "stop"):
        np.testing.assert_array_equal(getattr(own, name), getattr(whole, name))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_moments_equal_scikit_image_with_the_extent_of_a_pixel_added(found, spacing):
    numbered, runs = found
    known = regionprops_table(
        numbered, spacing=spacing, properties=("centroid", "moments_central", "area")
    )
    ours = ellipses(runs, spacing)
    for axis in (0, 1):
        offset = spacing[axis] / 2  # a pixel's centre lies at 0.5
        np.testing.assert_allclose(ours.centroid[:, axis], known[f"centroid-{axis}"] + offset)
    by_row = known["moments_central-2-0"] / known["moments_central-0-0"] + spacing[0] ** 2 / 12
    by_col = known["moments_central-0-2"] / known["moments_central-0-0"] + spacing[1] ** 2 / 12
    mixed = known["moments_central-1-1"] / known["moments_central-0-0"]
    matrices = np.stack([np.stack([by_row, mixed], 1), np.stack([mixed, by_col], 1)], 1)
    values, vectors = np.linalg.eigh(matrices)
    np.testing.assert_allclose(ours.aspect_ratio, np.sqrt(values[:, 1] / values[:, 0]), rtol=1e-9)
    angle = np.degrees(np.arctan2(vectors[:, 0, 1], vectors[:, 1, 1])) % 180
    long = ours.aspect_ratio > 1.001  # a circle has no direction
    apart = np.abs((ours.orientation_deg - angle + 90) % 180 - 90)
    assert apart[long].max() < 1e-5


def test_perimeter_of_thin_particles_is_that_of_scikit_images_crofton(found):
    numbered, runs = found
    known = np.array([perimeter_crofton(numbered == number) for number in runs.numbers])
    thin = 2 * runs.area_px < 3.9 * known
    assert thin.sum() > 50
    np.testing.assert_allclose(perimeters(runs, (1, 1))[thin], known[thin], rtol=1e-3)


def test_a_particle_at_the_border_has_the_perimeter_of_one_that_is_free():
    free = np.zeros((20, 24), np.int32)
    free[3:12, 4:15] = 1
    runs, cut = runs_of_map(free), runs_of_map(np.ascontiguousarray(free[3:12, 4:15]))
    assert perimeters(cut, (1, 1)) == pytest.approx(perimeters(runs, (1, 1)))


def mean_ratio(kind, long, short, angle, spacing, places=24):
    """Measured by true perimeter, in the mean of places off the grid."""
    from scipy.special import ellipe

    true = 2 * long * ellipe(1 - (short / long) ** 2) if kind == "ellipse" else 2 * (long + short)
    rng = np.random.default_rng(0)
    masks = [drawn(kind, long, short, angle, spacing, off=rng.random(2)) for _ in range(places)]
    return np.mean([perimeters(runs_of_map(m.astype(np.int32)), spacing)[0] for m in masks]) / true


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.4), (1.0, 0.25), (0.25, 1.0)])
@pytest.mark.parametrize(
    ("kind", "long", "short"),
    [("ellipse", 10, 10), ("ellipse", 30, 10), ("rectangle", 10, 10), ("rectangle", 30, 12)],
)
def test_perimeters_are_within_2_percent_from_10_px_on(spacing, kind, long, short):
    # Of the longer side of a pixel, so that each is 10 px long and wide at the least.
    angles = [0] if long == short and kind == "ellipse" else range(0, 180, 15)
    ratios = [mean_ratio(kind, long, short, angle, spacing) for angle in angles]
    assert np.abs(np.array(ratios) - 1).max() < 0.02


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.25)])
def test_perimeters_of_ellipses_come_out_at_every_angle(spacing):
    ratios = [mean_ratio("ellipse", 60, 15, angle, spacing, 1) for angle in range(0, 180, 10)]
    assert np.abs(np.array(ratios) - 1).max() < 0.012


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.25), (1.0, 0.25), (0.25, 1.0)])
@pytest.mark.parametrize("side", [12, 100])
def test_a_square_is_no_rounder_than_a_square(spacing, side):
    rows, cols = (round(side / size) for size in spacing)
    square = np.pad(np.ones((rows, cols), np.int32), 3)
    [perimeter] = perimeters(runs_of_map(square), spacing)
    assert perimeter == pytest.approx(4 * side, rel=0.018)
    assert 4 * math.pi * side**2 / perimeter**2 == pytest.approx(math.pi / 4, rel=0.035)


def test_pixels_of_an_absurd_aspect_cost_no_more_than_others():
    assert len(directions((1.0, 1e6), math.sqrt(10))) <= 12


def test_swapping_the_axes_swaps_nothing_but_the_direction():
    mask = drawn("ellipse", 50, 20, 25, (0.5, 1.0)).astype(np.int32)
    upright, lying = runs_of_map(mask), runs_of_map(np.ascontiguousarray(mask.T))
    assert perimeters(upright, (0.5, 1.0)) == pytest.approx(perimeters(lying, (1.0, 0.5)))
    for one, other in zip(
        ferets(hulls(upright), (0.5, 1.0)), ferets(hulls(lying), (1.0, 0.5)), strict=True
    ):
        assert one == pytest.approx(other)
    first, second = ellipses(upright, (0.5, 1.0)), ellipses(lying, (1.0, 0.5))
    assert first.aspect_ratio == pytest.approx(second.aspect_ratio)
    assert first.orientation_deg == pytest.approx(90 - second.orientation_deg)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_feret_diameters_equal_those_of_all_pairs_and_all_edges(found, spacing):
    numbered, runs = found
    largest, smallest = ferets(hulls(runs), spacing)
    for number, most, least in zip(runs.numbers, largest, smallest, strict=True):
        wanted = brute_widths(outline_points(numbered == number, spacing))
        assert (most, least) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_feret_diameters_of_regular_shapes_with_parallel_sides(seed):
    """Squares, octagons and needles: here calipers meet two edges at once."""
    rng = np.random.default_rng(seed)
    for kind in ("square", "diamond", "octagon", "needle"):
        size = int(rng.integers(1, 12))
        rows, cols = np.abs(np.mgrid[-size : size + 1, -size : size + 1])
        mask = {
            "square": np.ones_like(rows),
            "diamond": rows + cols <= size,
            "octagon": rows + cols <= 1.5 * size,
            "needle": rows == 0,
        }[kind]
        runs = runs_of_map(np.pad(mask.astype(np.int32), 2))
        wanted = brute_widths(outline_points(mask, (1, 1)))
        assert np.ravel(ferets(hulls(runs), (1, 1))) == pytest.approx(wanted)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (0.3, 0.9)])
@pytest.mark.parametrize("angle", [0, 17, 45, 90, 130])
def test_an_ellipse_measures_what_it_is(angle, spacing):
    runs = runs_of_map(drawn("ellipse", 64, 30, angle, spacing).astype(np.int32))
    pixel = max(spacing)
    area = runs.area_px[0] * math.prod(spacing)
    assert area == pytest.approx(math.pi * 64 * 30 / 4, rel=0.005)
    (largest,), (smallest,) = ferets(hulls(runs), spacing)
    assert largest == pytest.approx(64, abs=pixel)
    assert smallest == pytest.approx(30, abs=pixel)
    ellipse = ellipses(runs, spacing)
    assert ellipse.aspect_ratio[0] == pytest.approx(64 / 30, rel=0.01)
    turned = (ellipse.orientation_deg[0] - angle + 90) % 180 - 90
    assert turned == pytest.approx(0, abs=0.5)
    assert ellipse.centroid[0] == pytest.approx([45.31, 45.17], abs=0.1)


@pytest.mark.parametrize("angle", [0, 30, 45, 75])
def test_a_rectangle_measures_what_it_is(angle):
    runs = runs_of_map(drawn("rectangle", 60, 20, angle).astype(np.int32))
    (largest,), (smallest,) = ferets(hulls(runs), (1, 1))
    assert largest == pytest.approx(math.hypot(60, 20), abs=1)
    assert smallest == pytest.approx(20, abs=1.5)
    # Second moments of a rectangle go with the squares of its sides.
    assert ellipses(runs, (1, 1)).aspect_ratio[0] == pytest.approx(3, rel=0.05)
    assert perimeters(runs, (1, 1))[0] == pytest.approx(160, rel=0.02)


def test_moments_of_whole_pixels_are_exact():
    mask = np.zeros((9, 12), np.int32)
    mask[4, 3:8] = 1  # five pixels in a row: a rectangle of 1 x 5
    assert ellipses(runs_of_map(mask), (1, 1)).aspect_ratio[0] == pytest.approx(5)
    assert ellipses(runs_of_map(mask), (5, 1)).aspect_ratio[0] == pytest.approx(1)
    assert ellipses(runs_of_map(mask.T.copy()), (1, 1)).orientation_deg[0] == 90


def test_solidity_counts_the_pixels_of_the_convex_hull(found):
    numbered, runs = found
    shares = solidity(runs, hulls(runs))
    checked = 0
    for number, share in zip(runs.numbers, shares, strict=True):
        mask = numbered == number
        rows, cols = mask.any(axis=1).sum(), mask.any(axis=0).sum()
        if min(rows, cols) > 2:  # scikit-image's hull needs a breadth
            hull = convex_hull_image(mask, offset_coordinates=False, include_borders=True)
            assert share == pytest.approx(mask.sum() / hull.sum())
            checked += 1
    assert checked > 50


def test_solidity_of_the_pixels_of_convex_shapes_is_one():
    for angle in (0, 20, 45, 77):
        for kind in ("ellipse", "rectangle"):
            runs = runs_of_map(drawn(kind, 50, 13, angle).astype(np.int32))
            assert solidity(runs, hulls(runs))[0] == 1
    for mask in (np.ones((1, 1)), np.ones((1, 9)), np.eye(6)):
        runs = runs_of_map(mask.astype(np.int32))
        assert solidity(runs, hulls(runs))[0] == 1


def test_a_particle_in_two_pieces_is_one_and_its_feret_spans_both():
    mask = np.zeros((40, 60), np.int32)
    mask[10:14, 5:9] = mask[20:24, 45:49] = 3
    runs = runs_of_map(mask)
    assert runs.numbers.tolist() == [3]
    assert runs.area_px.tolist() == [32]
    [largest] = ferets(hulls(runs), (1, 1))[0]
    assert largest == pytest.approx(brute_widths(outline_points(mask > 0, (1, 1)))[0])
    assert perimeters(runs, (1, 1))[0] == pytest.approx(
        2 * perimeter_crofton(mask[:15] > 0), rel=1e-3
    )


def test_nothing_there_gives_arrays_of_no_length():
    runs = runs_of_map(np.zeros((5, 6), np.int32))
    for values in (runs.area_px, *ferets(hulls(runs), (1, 1)), perimeters(runs, (1, 1))):
        assert values.shape == (0,)
    assert ellipses(runs, (1, 1)).centroid.shape == (0, 2)
    assert runs.boxes.shape == (0, 4)


def test_discs_of_few_pixels_are_less_round_by_their_feret_diameters():
    rng, across = np.random.default_rng(0), np.arange(60) + 0.5
    for diameter, roundness, aspect in ((12, 0.90, 1.06), (20, 0.935, 1.045), (50, 0.97, 1.02)):
        rows = []
        for centre in rng.uniform(29, 31, (40, 2)):
            away = np.hypot(across[:, None] - centre[0], across - centre[1])
            mask = (away <= diameter / 2).astype(np.int32)
            rows.append(temzoo.measure(Prediction(mask, mask)).iloc[0])
        assert np.mean([row["roundness"] for row in rows]) == pytest.approx(roundness, abs=0.012)
        ratio = np.mean([row["feret_aspect_ratio"] for row in rows])
        assert ratio == pytest.approx(aspect, abs=0.012)
