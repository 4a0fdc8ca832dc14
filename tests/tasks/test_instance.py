"""Objects as layers, boxes and masks, and back: against drawn shapes and closed forms."""

import math
import time

import keras
import numpy as np
import pytest

from temzoo.core.types import Example, LabelledImage, Shape
from temzoo.inference import objects as decoding
from temzoo.labels.shapes import raster, windows
from temzoo.tasks import instance_targets
from temzoo.zoo.task import task_named

INSTANCE = task_named("instance")

NAMES = ("particle", "void")


def disc(row, col, radius, label="particle", **more):
    return Shape("ellipse", label, np.array([[row, col], [radius, radius]], float), **more)


def labelled(*shapes, height=100, width=120):
    return LabelledImage("a.png", width, height, shapes, NAMES)


def crowd(count=300, size=512, seed=0):
    rng = np.random.default_rng(seed)
    discs = (disc(*rng.uniform(0, size, 2), rng.uniform(4, 14)) for _ in range(count))
    return labelled(*discs, height=size, width=size)


def painted(detection, height, width):
    mask = np.zeros((height, width), bool)
    rows, cols = detection.mask.shape
    place = slice(detection.top, detection.top + rows), slice(detection.left, detection.left + cols)
    mask[place] = detection.mask
    return mask


def decoded(objects, height, width, masks=None):
    """The masks of encoded objects at full resolution."""
    masks = objects["masks"].astype("float32") if masks is None else masks
    scores = np.ones(len(masks))
    found = decoding.decode(objects["boxes"], objects["classes"], scores, masks, height, width)
    return [painted(one, height, width) for one in found]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_layers_hold_number_and_class_of_every_object():
    shapes = [disc(20, 20, 8), disc(70, 80, 10, "void"), disc(50, 30, 6)]
    drawn = instance_targets.layers(labelled(*shapes), NAMES)
    assert (drawn.shape, drawn.dtype) == ((100, 120, 1), np.int32)
    numbers, classes = drawn[..., 0] // instance_targets.BASE, drawn[..., 0] % instance_targets.BASE
    np.testing.assert_array_equal(numbers, raster.instance_map(labelled(*shapes)))
    np.testing.assert_array_equal(classes, raster.class_map(labelled(*shapes), NAMES))


def test_more_classes_than_a_layer_can_tell_apart_are_refused():
    names = tuple(f"c{i}" for i in range(256))
    drawn = instance_targets.layers(labelled(disc(20, 20, 8, "c254")), names[:255])
    assert drawn.max() % instance_targets.BASE == 255
    with pytest.raises(ValueError, match=r"at most 255 classes apart\. Received: 256 classes"):
        instance_targets.layers(labelled(disc(20, 20, 8, "c0")), names)


def test_overlapping_objects_lie_in_different_layers_and_keep_all_their_pixels():
    labels = crowd(60, 128)
    drawn = instance_targets.layers(labels, NAMES)
    masks = raster.instance_masks(labels)
    for number, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal((drawn // instance_targets.BASE == number).any(axis=-1), mask)
    apart = labelled(disc(20, 20, 8), disc(70, 80, 8))
    assert instance_targets.layers(apart, NAMES).shape[-1] == 1
    assert 1 < drawn.shape[-1] < 20


def test_an_image_without_objects_has_one_empty_layer():
    drawn = instance_targets.layers(labelled(), NAMES)
    assert drawn.shape == (100, 120, 1)
    objects = instance_targets.encode(drawn)
    shapes = {name: array.shape for name, array in objects.items()}
    assert shapes == {"boxes": (0, 4), "classes": (0,), "masks": (0, 56, 56)}


def test_parts_of_one_group_are_one_object():
    labels = labelled(disc(20, 20, 8, group_id=1), disc(20, 60, 8, group_id=1))
    objects = instance_targets.encode(instance_targets.layers(labels, NAMES))
    assert objects["boxes"].tolist() == [[12, 12, 28, 68]]


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match=r"every label must be one of the classes.*'dust'"):
        instance_targets.layers(labelled(disc(9, 9, 5, "dust")), NAMES)


def test_boxes_are_tight_to_the_pixels_edges():
    objects = instance_targets.encode(
        instance_targets.layers(labelled(disc(30, 40, 10), disc(80, 90, 5, "void")), NAMES)
    )
    assert objects["boxes"].dtype == np.float32
    assert objects["boxes"].tolist() == [[20, 30, 40, 50], [75, 85, 85, 95]]
    assert (objects["classes"].tolist(), objects["classes"].dtype) == ([1, 2], np.int32)
    assert (objects["masks"].shape, objects["masks"].dtype) == ((2, 56, 56), np.uint8)
    # A disc fills pi / 4 of its box, whatever the resolution.
    assert objects["masks"].mean(axis=(1, 2)) == pytest.approx(math.pi / 4, abs=0.02)


def test_overlapping_objects_come_back_whole():
    labels = labelled(disc(40, 40, 20), disc(50, 60, 20, "void"))
    objects = instance_targets.encode(instance_targets.layers(labels, NAMES))
    truth = raster.instance_masks(labels)
    assert (truth[0] & truth[1]).sum() > 200
    for found, mask in zip(decoded(objects, 100, 120), truth, strict=True):
        assert iou(found, mask) > 0.99


@pytest.mark.parametrize(("radius", "least"), [(2, 1), (5, 1), (14, 1), (28, 0.99), (90, 0.975)])
def test_a_mini_mask_comes_back_to_full_resolution(radius, least):
    rng = np.random.default_rng(radius)
    for _ in range(5):
        semi = np.array([radius, radius * rng.uniform(0.5, 1)])
        shape = Shape("ellipse", "particle", np.array([rng.uniform(95, 105, 2), semi]), 37.0)
        labels = labelled(shape, height=200, width=200)
        [found] = decoded(instance_targets.encode(instance_targets.layers(labels, NAMES)), 200, 200)
        assert iou(found, windows.shape_mask(shape, 200, 200)) >= least


def test_a_crescent_keeps_its_hollow():
    labels = labelled(disc(50, 50, 30))
    mask = windows.shape_mask(disc(50, 50, 30), 100, 120) & ~windows.shape_mask(
        disc(50, 62, 26), 100, 120
    )
    drawn = np.where(mask, instance_targets.BASE + 1, 0).astype(np.int32)[..., None]
    [found] = decoded(instance_targets.encode(drawn), 100, 120)
    assert iou(found, mask) > 0.97
    assert iou(instance_targets.layers(labels, NAMES)[..., 0] > 0, mask) < 0.5


@pytest.mark.parametrize(("left", "kept"), [(0.5, True), (0.3, True), (0.2, False), (0.05, False)])
def test_an_object_cut_by_the_crop_is_kept_above_a_visible_part(left, kept):
    labels = labelled(Shape("box", "particle", np.array([[10.0, 20.0], [50.0, 60.0]])))
    drawn = instance_targets.layers(labels, NAMES)
    crop = drawn[:, 60 - round(40 * left) :]
    objects = instance_targets.encode(crop, whole=instance_targets.measure(drawn))
    assert objects["boxes"].tolist() == ([[10, 0, 50, round(40 * left)]] if kept else [])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_visible_part_is_of_the_area_at_the_crops_magnification(factor):
    labels = labelled(Shape("box", "particle", np.array([[10.0, 20.0], [50.0, 60.0]])))
    drawn = instance_targets.layers(labels, NAMES)
    whole = instance_targets.measure(drawn)
    assert whole.tolist() == [[0, 0], [1600, 1]]
    for columns, count in ((12, 1), (8, 0)):
        crop = np.kron(drawn[:, 60 - columns :, 0], np.ones((2, 2), int))[..., None]
        crop = crop if factor == 2 else drawn[::2, 60 - columns :: 2]
        found = instance_targets.encode(crop.astype(np.int32), whole=whole, magnification=factor)
        assert len(found["boxes"]) == count


def test_specks_are_no_objects():
    drawn = np.zeros((40, 40, 1), np.int32)
    drawn[5, 5:8] = instance_targets.BASE + 1  # 3 px
    drawn[20:22, 20:22] = 2 * instance_targets.BASE + 1  # 4 px
    assert instance_targets.encode(drawn)["boxes"].tolist() == [[20, 20, 22, 22]]


def test_a_mirrored_copy_is_an_object_of_its_own():
    labels = labelled(disc(20, 20, 10), disc(70, 70, 12, "void"))
    drawn = instance_targets.layers(labels, NAMES)
    mirrored = np.pad(drawn[:50, :40], ((0, 50), (0, 0), (0, 0)), mode="symmetric")
    objects = instance_targets.encode(mirrored, whole=instance_targets.measure(drawn))
    assert objects["boxes"].tolist() == [[10, 10, 30, 30], [70, 10, 90, 30]]
    np.testing.assert_array_equal(objects["masks"][0], objects["masks"][1][::-1])
    assert objects["classes"].tolist() == [1, 1]


def test_a_bent_object_that_the_edge_cuts_in_two_is_two():
    points = [(10, 10), (90, 10), (90, 30), (30, 30), (30, 70), (90, 70), (90, 90), (10, 90)]
    labels = labelled(Shape("polygon", "particle", np.array(points, float)))
    drawn = instance_targets.layers(labels, NAMES)
    objects = instance_targets.encode(drawn[40:], whole=instance_targets.measure(drawn))
    assert objects["boxes"].tolist() == [[0, 10, 50, 30], [0, 70, 50, 90]]


def test_parts_that_are_large_enough_only_together_stay_one():
    drawn = np.zeros((60, 60, 1), np.int32)
    drawn[:, 5:55] = instance_targets.BASE + 1  # 3000 px
    crop = np.zeros_like(drawn)
    for col in (5, 20, 35):
        crop[:, col : col + 8] = instance_targets.BASE + 1  # 480 px each
    objects = instance_targets.encode(crop, whole=instance_targets.measure(drawn))
    assert objects["boxes"].tolist() == [[0, 5, 60, 43]]


def test_corners_connect_so_that_a_thin_diagonal_stays_one():
    drawn = np.diag(np.full(40, instance_targets.BASE + 1, np.int32))[..., None]
    assert instance_targets.encode(drawn)["boxes"].tolist() == [[0, 0, 40, 40]]


def test_touching_objects_stay_apart():
    drawn = np.zeros((20, 20, 1), np.int32)
    drawn[5:15, 2:10], drawn[5:15, 10:18] = instance_targets.BASE + 1, 2 * instance_targets.BASE + 2
    objects = instance_targets.encode(drawn)
    assert objects["boxes"].tolist() == [[5, 2, 15, 10], [5, 10, 15, 18]]
    assert objects["classes"].tolist() == [1, 2]


def test_three_hundred_objects_take_milliseconds():
    drawn = instance_targets.layers(crowd(), NAMES)
    whole = instance_targets.measure(drawn)
    took = []
    for _ in range(3):
        began = time.process_time()
        objects = instance_targets.encode(drawn, whole=whole)
        took.append(time.process_time() - began)
    assert len(objects["boxes"]) > 280
    assert min(took) < 0.1  # 0.017 here; a loaded machine is slower


def half_filled(side, axis):
    """Probability 1 beyond the middle of the box, 0 before, rising by one between two cells."""
    ramp = (np.arange(side) + 0.5) / side
    return np.broadcast_to(ramp if axis else ramp[:, None], (side, side)).astype("float32")


@pytest.mark.parametrize("side", [28, 14, 7])
@pytest.mark.parametrize("box", [(3.0, 5.0, 43.0, 55.0), (3.3, 5.6, 41.9, 60.2), (0.5, 0.5, 9, 11)])
def test_a_ramp_is_cut_where_it_is_one_half(box, side):
    """The ramp is 0.5 in the box's middle, so a pixel belongs when its centre lies beyond."""
    for axis in (0, 1):
        [found] = decoding.decode(
            np.array([box]), [1], [0.9], half_filled(side, axis)[None], 100, 120
        )
        middle = (box[axis] + box[axis + 2]) / 2
        first, last = (found.top, found.left)[axis], found.mask.shape[axis]
        assert first == math.ceil(middle - 0.5)
        assert first + last == math.ceil(box[axis + 2] - 0.5)
        assert found.mask.all()


def test_a_disc_between_pixels_stays_where_it_is():
    """A soft disc on 28 x 28 cells against the disc that its cells stand for."""
    centres = (np.arange(28) + 0.5) / 28
    distance = np.hypot(centres[:, None] - 0.5, centres - 0.5)
    mask = np.clip(0.5 + (0.4 - distance) * 28, 0, 1).astype("float32")
    for row, col in ((50.0, 60.0), (50.5, 60.25), (50.3, 60.8)):
        box = np.array([[row - 25, col - 25, row + 25, col + 25]])
        [found] = decoding.decode(box, [1], [1.0], mask[None], 100, 120)
        rows, cols = np.nonzero(painted(found, 100, 120))
        assert rows.mean() + 0.5 == pytest.approx(row, abs=0.05)
        assert cols.mean() + 0.5 == pytest.approx(col, abs=0.05)
        assert len(rows) == pytest.approx(math.pi * 20**2, rel=0.02)
        assert (
            iou(painted(found, 100, 120), windows.shape_mask(disc(row, col, 20), 100, 120)) > 0.97
        )


def test_detections_are_clipped_and_empty_ones_left_out():
    boxes = np.array(
        [
            [-10, -10, 10, 10],  # cut by the corner
            [90, 110, 140, 150],  # and by the other
            [200, 200, 220, 220],  # outside
            [50, 50, 50, 60],  # without height
            [60.6, 60.6, 61.4, 61.4],  # between pixel centres
            [20, 20, 30, 30],  # of no probability
            [40, 40, 44, 46],
        ],
        np.float32,
    )
    masks = np.ones((7, 28, 28), np.float32)
    masks[5] = 0.4
    found = decoding.decode(boxes, np.arange(1, 8), np.linspace(0.9, 0.3, 7), masks, 100, 120)
    assert [one.class_id for one in found] == [1, 2, 7]
    assert [(one.top, one.left, one.mask.shape) for one in found] == [
        (0, 0, (10, 10)),
        (90, 110, (10, 10)),
        (40, 40, (4, 6)),
    ]
    assert found[2].score == pytest.approx(0.3)
    assert found[2].mask.dtype == bool
    assert isinstance(found[2].class_id, int)
    assert decoding.decode(boxes, np.ones(7), np.ones(7), masks, 100, 120, threshold=0.3)[3:]


def test_a_detection_is_cut_to_its_pixels():
    mask = np.zeros((1, 28, 28), np.float32)
    mask[0, 7:14, 14:21] = 1
    [found] = decoding.decode(np.array([[10, 20, 38, 48]]), [1], [1.0], mask, 100, 120)
    assert (found.top, found.left, found.mask.shape) == (17, 34, (7, 7))


def test_six_hundred_detections_take_a_fraction_of_a_second():
    objects = instance_targets.encode(instance_targets.layers(crowd(600, 1024), NAMES))
    masks = objects["masks"][:, ::2, ::2].astype("float32")
    began = time.process_time()
    found = decoding.decode(
        objects["boxes"], objects["classes"], np.ones(len(masks)), masks, 1024, 1024
    )
    assert len(found) == len(masks) > 550
    assert time.process_time() - began < 0.3


def examples_of(*sizes):
    """One example with a square of each size."""
    shapes = [Shape("box", "particle", np.array([[0.0, 0.0], [size, size]])) for size in sizes]
    labels = labelled(*shapes, height=2000, width=2000)
    return [Example(labels, lambda: None)]


def test_small_objects_leave_the_anchors_natural():
    assert instance_targets.anchor_sizes(examples_of(*[16.0] * 50)) == [12, 24, 48, 96]


def test_large_objects_move_the_anchors_up_to_the_largest():
    sizes = instance_targets.anchor_sizes(examples_of(*np.geomspace(100, 200, 101)))
    assert sizes[-1] * math.sqrt(2) == pytest.approx(200, rel=0.04)
    assert np.diff(np.log2(sizes)) == pytest.approx(1)


def test_tiny_objects_move_the_anchors_down():
    assert instance_targets.anchor_sizes(examples_of(*[6.0] * 9)) == [6, 12, 24, 48]
    assert instance_targets.anchor_sizes(examples_of(*[12.0] * 9), magnification=(0.5, 0.5))[0] == 6


def test_a_wide_range_widens_the_steps():
    spread = np.geomspace(5, 500, 201)
    sizes = instance_targets.anchor_sizes(examples_of(*spread))
    low, high = np.quantile(spread, (0.05, 0.95))
    assert sizes[0] == pytest.approx(low)
    assert sizes[-1] * math.sqrt(2) == pytest.approx(high)
    assert np.diff(np.log(sizes)) == pytest.approx(np.log(sizes[1] / sizes[0]))
    clipped = instance_targets.anchor_sizes(examples_of(*spread), largest=128)
    assert clipped[-1] * math.sqrt(2) <= 129


def test_anchors_need_objects_to_be_chosen_from():
    with pytest.raises(ValueError, match=r"chosen from the training objects. Received: labels wit"):
        instance_targets.anchor_sizes([Example(labelled(), lambda: None)])


def test_half_of_a_group_counts_once():
    labels = labelled(disc(20, 20, 10, group_id=3), disc(20, 60, 10, group_id=3))
    sizes = instance_targets.anchor_sizes([Example(labels, lambda: None)])
    assert instance_targets._sizes_px(labels) == [pytest.approx(math.sqrt(20 * 60))]
    assert len(sizes) == 4


def test_losses_and_class_weights_are_refused():
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    with pytest.raises(ValueError, match=r"losses of a model of the task 'instance' are its own"):
        INSTANCE.compile(model, loss="dice")
    with pytest.raises(ValueError, match=r"no class weights. Received: class_weights=\[1, 2\]"):
        INSTANCE.compile(model, class_weights=[1, 2])
    with pytest.raises(ValueError, match=r"no class weights. Received: class_weights='balance"):
        INSTANCE.balanced_weights([], 2)
    INSTANCE.compile(model)
    assert model.optimizer.clipnorm == 5.0


def test_names_decide_the_number_of_classes():
    assert INSTANCE.target(list(NAMES)).class_names == NAMES
