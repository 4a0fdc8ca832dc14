"""ROIAlign and mask targets in closed form: ramps, filled boxes, and masks there and back."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from temzoo.inference import objects as decoding
from temzoo.models import roi
from temzoo.tasks import instance_targets

STRIDES = (4, 8, 16, 32)
SIZE = 512


def ramps(images=1):
    """Maps whose value is the position, px, of a cell's centre: y, x and the image's number."""
    maps = []
    for stride in STRIDES:
        centres = (np.arange(SIZE // stride) + 0.5) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        numbered = [np.stack([y, x, np.full_like(y, n)], axis=-1) for n in range(images)]
        maps.append(tf.constant(np.stack(numbered), tf.float32))
    return maps


def middles(box, bins):
    """Middles of a box's bins: (bins, bins, 2)."""
    shares = (np.arange(bins) + 0.5) / bins
    rows, cols = (box[i] + shares * (box[i + 2] - box[i]) for i in (0, 1))
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)


@pytest.mark.parametrize("bins", [7, 14])
@pytest.mark.parametrize("level", range(4))
def test_a_ramp_of_coordinates_comes_out_exact_on_every_level(level, bins):
    side = roi.FINEST * 2**level * 1.37
    box = np.array([40.3, 77.9, 40.3 + side * 1.2, 77.9 + side / 1.2], "float32")
    assert int(roi.levels(box[None], STRIDES)[0]) == level
    cut = roi.align(ramps(), box[None], tf.constant([0]), bins=bins, strides=STRIDES)
    np.testing.assert_allclose(cut[0, ..., :2], middles(box, bins), atol=1e-3)


def test_regions_keep_their_order_and_image_across_levels():
    sides = np.array([300, 10, 80, 35, 200, 20, 60], "float32")
    boxes = np.stack([sides * 0 + 50, sides * 0 + 60, 50 + sides, 60 + sides], axis=1)
    images = np.array([2, 0, 1, 1, 0, 2, 0], "int32")
    cut = roi.align(ramps(3), boxes, images, bins=7, strides=STRIDES)
    assert len(set(roi.levels(boxes, STRIDES).numpy())) == 4
    np.testing.assert_array_equal(cut[:, 3, 3, 2], images)
    for found, box in zip(cut, boxes, strict=True):
        np.testing.assert_allclose(found[..., :2], middles(box, 7), atol=1e-3)


def test_the_level_rises_with_the_octave_of_the_size():
    sides = roi.FINEST * np.array([0.01, 0.99, 1.01, 1.99, 2.01, 4.01, 8.01, 99])
    boxes = np.stack([sides * 0, sides * 0, sides * 2, sides / 2], axis=1).astype("float32")
    np.testing.assert_array_equal(roi.levels(boxes, STRIDES), [0, 0, 0, 0, 1, 2, 3, 3])


def test_no_regions_give_no_features():
    cut = roi.align(ramps(), tf.zeros((0, 4)), tf.zeros((0,), tf.int32), bins=7, strides=STRIDES)
    assert cut.shape == (0, 7, 7, 3)


def test_the_border_goes_on_beyond_the_outermost_centres():
    flat = [tf.ones_like(level) for level in ramps()]
    whole = np.array([[0, 0, SIZE, SIZE], [0, 0, 9, 9], [503, 503, 512, 512]], "float32")
    cut = roi.align(flat, whole, tf.zeros(3, tf.int32), bins=14, strides=STRIDES)
    np.testing.assert_allclose(cut, 1, atol=1e-6)


def test_half_precision_features_are_cut_at_exact_places():
    cut = [
        roi.align(
            [tf.cast(level, dtype) for level in ramps()],
            tf.constant([[100.0, 100, 140, 140]]),
            tf.constant([0]),
            bins=7,
            strides=STRIDES,
        )
        for dtype in ("float32", "bfloat16")
    ]
    assert cut[1].dtype == tf.float32
    np.testing.assert_allclose(cut[1], cut[0], rtol=4e-3)


def test_gradients_reach_the_cells_that_were_looked_at():
    maps = ramps()
    with tf.GradientTape() as tape:
        tape.watch(maps)
        cut = roi.align(
            maps, tf.constant([[8.0, 8, 40, 40]]), tf.constant([0]), bins=7, strides=STRIDES
        )
        loss = tf.reduce_sum(cut)
    finest, *_, coarsest = tape.gradient(loss, maps)
    np.testing.assert_allclose(tf.reduce_sum(finest), 7 * 7 * 3, rtol=1e-4)
    assert float(tf.reduce_max(tf.abs(finest[:, 12:]))) == 0
    assert float(tf.reduce_max(tf.abs(coarsest))) == 0


def test_a_filled_object_fills_its_region_up_to_its_box():
    masks = np.ones((2, 56, 56), "uint8")
    objects = np.array([[10, 20, 38, 48]] * 2, "float32")
    regions = np.array([[10, 20, 38, 48], [10, 34, 38, 62]], "float32")
    same, shifted = roi.mask_targets(masks, objects, regions, size=28).numpy()
    np.testing.assert_allclose(same[1:-1, 1:-1], 1, atol=1e-5)
    assert (same >= 0.5).all()
    np.testing.assert_allclose(shifted[1:-1, :13], 1, atol=1e-5)
    np.testing.assert_allclose(shifted[:, 15:], 0, atol=1e-5)


def test_a_touching_and_an_overlapping_pair_keep_a_mask_each():
    """Two objects in one region: each target shows its own object and not the other."""
    masks = np.ones((4, 56, 56), "uint8")
    masks[3, :, :14] = 0
    objects = np.array([[0, 0, 20, 10], [0, 10, 20, 20], [0, 0, 20, 15], [0, 5, 20, 20]], "float32")
    regions = np.array([[0, 0, 20, 20]] * 4, "float32")
    targets = roi.mask_targets(masks, objects, regions, size=28).numpy() >= 0.5
    covered = [np.flatnonzero(target[14]) for target in targets]
    np.testing.assert_array_equal(covered[0], np.arange(14))
    np.testing.assert_array_equal(covered[1], np.arange(14, 28))
    np.testing.assert_array_equal(covered[2], np.arange(21))
    np.testing.assert_array_equal(covered[3], np.arange(12, 28))  # from 8.75 px on


def outline(seed):
    """A random ellipse or polygon in 256 px."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((256, 256), "uint8")
    centre = tuple(int(v) for v in rng.integers(90, 160, 2))
    if seed % 2:
        axes = tuple(int(v) for v in rng.integers(12, 60, 2))
        cv2.ellipse(mask, centre, axes, int(rng.integers(180)), 0, 360, 1, -1)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
        radii = rng.uniform(20, 70, 6)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None] + centre
        cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    return mask


def test_masks_survive_the_way_to_the_target_and_back():
    overlaps = []
    for seed in range(40):
        mask = outline(seed)
        coded = instance_targets.encode(mask[..., None].astype("int32") * 257)
        rng = np.random.default_rng(seed)
        # The region is what the box head makes of it: right within a few percent.
        sides = np.tile(coded["boxes"][:, 2:] - coded["boxes"][:, :2], 2)
        regions = coded["boxes"] + rng.uniform(0, 0.04, 4) * sides * [[-1, -1, 1, 1]]
        regions = regions.astype("float32")
        target = roi.mask_targets(coded["masks"], coded["boxes"], regions, size=28).numpy()
        (found,) = decoding.decode(regions, coded["classes"], [1.0], target, 256, 256)
        pasted = np.zeros_like(mask, bool)
        height, width = found.mask.shape
        pasted[found.top : found.top + height, found.left : found.left + width] = found.mask
        overlaps.append((pasted & (mask > 0)).sum() / (pasted | (mask > 0)).sum())
    assert np.mean(overlaps) >= 0.97
    assert np.min(overlaps) >= 0.9
