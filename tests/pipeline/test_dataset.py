"""Training streams: the same for one seed, wherever they start; crops that fit their labels."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data import preparation
from temzoo.data.crop_plan import CropPlan
from temzoo.data.dataset import crop_list, training_stream, validation_set
from temzoo.data.images import image_validation
from temzoo.data.pairs import PairPlan, pair_stream, pair_validation
from temzoo.inference import objects as decoding
from temzoo.labels.shapes.raster import class_map
from temzoo.labels.shapes.windows import shape_mask
from temzoo.zoo.task import task_named

DISC = Shape("ellipse", "particle", np.array([[30.0, 40.0], [12.0, 12.0]]))
OPTIONS = {"target": task_named("semantic").target(("particle",))}
OBJECTS = {"target": task_named("instance").target(("particle", "void"))}


def example(name, height=80, width=100, dtype="uint8", channels=0):
    """A micrograph that is bright exactly where its label says."""
    labels = LabelledImage(name, width, height, (DISC,))
    pixels = (class_map(labels, ("particle",)) * 200 + 20).astype(dtype)
    if channels:
        pixels = np.repeat(pixels[..., None], channels, axis=-1)
    return Example(labels, partial(Micrograph, pixels, None, name))


@pytest.fixture
def examples():
    return [example("a.png"), example("b.png", 64, 64), example("c.png", 120, 90, "uint16")]


def take(stream, count):
    return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]


def test_batches_have_their_shapes_and_types(examples):
    [(x, y)] = take(training_stream(examples, CropPlan(48), batch=4, **OPTIONS), 1)
    assert (x.shape, x.dtype) == ((4, 48, 48, 1), np.float32)
    assert (y.shape, y.dtype) == ((4, 48, 48, 2), np.uint8)
    assert (y.sum(-1) == 1).all()


@pytest.mark.parametrize("magnification", [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0)])
def test_pixels_and_labels_stay_together(examples, magnification):
    plan = CropPlan(48, magnification, augment="none")
    agree = [
        ((x[..., 0] > 120) == y[..., 1]).mean()
        for x, y in take(training_stream(examples, plan, batch=4, **OPTIONS), 6)
    ]
    assert min(agree) > 0.97
    assert magnification != (1.0, 1.0) or min(agree) == 1


def test_one_seed_gives_the_same_pixels(examples):
    first = take(training_stream(examples, CropPlan(32, seed=5), batch=2, **OPTIONS), 5)
    again = take(training_stream(examples, CropPlan(32, seed=5), batch=2, **OPTIONS), 5)
    other = take(training_stream(examples, CropPlan(32, seed=6), batch=2, **OPTIONS), 5)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_a_stream_goes_on_where_another_stopped(examples):
    whole = take(training_stream(examples, CropPlan(32), batch=2, **OPTIONS), 6)
    rest = take(training_stream(examples, CropPlan(32), batch=2, start=8, **OPTIONS), 2)
    for (x, y), (x2, y2) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_an_epoch_visits_every_window_once(examples):
    plan = CropPlan(32, augment="none")
    crops = crop_list(examples, plan)
    assert len(crops) == 12 + 4 + 12
    visits = []
    prepare = preparation.Preparation(plan, None, crops)
    for epoch in (0, 1):
        order = np.random.default_rng([plan.seed, epoch]).permutation(len(prepare.crops))
        assert sorted(order) == list(range(len(crops)))
        visits.append(tuple(order))
    assert visits[0] != visits[1]


def test_an_image_smaller_than_the_crop_is_mirrored(examples):
    small = [example("small.png", 20, 30)]
    x, _ = take(training_stream(small, CropPlan(64, augment="none"), batch=1, **OPTIONS), 1)[0]
    assert x.shape == (1, 64, 64, 1)
    np.testing.assert_array_equal(x[0, :20, :30, 0], small[0].micrograph.pixels)
    np.testing.assert_array_equal(x[0, 20:40, :30], x[0, :20, :30][::-1])


def test_uint16_and_colour_keep_their_range():
    deep = Example(
        LabelledImage("d.png", 64, 64, (DISC,)),
        partial(Micrograph, np.full((64, 64), 60000, "uint16"), None, "d.png"),
    )
    [(x, _)] = take(training_stream([deep], CropPlan(32, augment="none"), batch=1, **OPTIONS), 1)
    assert (x == 60000).all()
    colour = [example("c.png", channels=3)]
    stream = training_stream(colour, CropPlan(32), channels=3, batch=1, **OPTIONS)
    assert take(stream, 1)[0][0].shape == (1, 32, 32, 3)


def test_no_stream_has_a_tuner_that_keeps_waiting_who_drops_it(examples):
    """Seen: collecting the iterator of a run that had ended took 6 to 50 s."""
    plan, array = PairPlan(32, source="same"), np.zeros((4, 8, 8, 1), np.float32)
    for stream in (
        training_stream(examples, CropPlan(48), **OPTIONS),
        validation_set(examples, **OPTIONS),
        pair_stream(examples, plan),
        pair_validation(examples, plan),
        image_validation(array, 2),
    ):
        assert stream.options().autotune.enabled is False


def test_validation_is_whole_micrographs_in_order(examples):
    found = list(validation_set(examples, **OPTIONS))
    assert [tuple(x.shape) for x, _ in found] == [
        (1, 80, 100, 1),
        (1, 64, 64, 1),
        (1, 120, 90, 1),
    ]
    for (x, y), one in zip(found, examples, strict=True):
        np.testing.assert_array_equal(x[0, ..., 0], one.micrograph.pixels)
        np.testing.assert_array_equal(y[0, ..., 1] == 1, one.micrograph.pixels > 120)


def test_the_cache_drops_the_oldest(examples):
    # A byte for the pixel and one for its class; two for the pixel in the last.
    assert preparation.Decoded(examples, 1, OPTIONS["target"])[0].nbytes == 2 * 80 * 100
    decoded = preparation.Decoded(examples, 1, OPTIONS["target"], budget=45_000)
    for index in (0, 1, 2):
        decoded[index]
    assert list(decoded.kept) == [1, 2]
    np.testing.assert_array_equal(decoded[0].pixels[..., 0], examples[0].micrograph.pixels)


def test_layers_count_with_all_their_bytes(examples):
    whole = preparation.Decoded(examples, 1, OBJECTS["target"])[0]
    assert whole.nbytes == 80 * 100 * (1 + 4) + whole.measured.nbytes


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match=r"16 px and more a side. Received: size=8"):
        CropPlan(8)
    with pytest.raises(ValueError, match=r"magnification is \(low, high\)"):
        CropPlan(magnification=(1.0, 0.5))
    with pytest.raises(ValueError, match="nothing to train on: 0 examples"):
        training_stream([], CropPlan(), **OPTIONS)


@pytest.mark.parametrize("side", [32, 45, 67, 90])
def test_a_resized_label_stays_on_its_pixels(side):
    """Image and label hold one ramp; a shift of the label by a part of a pixel would show."""
    ramp = np.tile(np.arange(side, dtype=np.uint8), (side, 1))
    pixels, target = preparation._resize(ramp[..., None].astype(np.float32), ramp, 64)
    shift = (target.astype(float) - pixels[..., 0])[:, 4:-4].mean()
    assert abs(shift) < 0.05


def of_discs(name, *discs, height=96, width=96):
    """A micrograph of discs (row, col, radius), each bright where its label says."""
    shapes = tuple(
        Shape("ellipse", "particle", np.array([[row, col], [radius, radius]], float))
        for row, col, radius in discs
    )
    labels = LabelledImage(name, width, height, shapes)
    masks = [shape_mask(shape, height, width) for shape in shapes]
    pixels = np.full((height, width), 20, "uint8")
    for mask in masks:
        pixels[mask] = 220
    return Example(labels, partial(Micrograph, pixels, None, name))


CROWDED = of_discs("crowded.png", (20, 22, 12), (30, 66, 13), (70, 30, 14), (74, 74, 9))
SINGLE = of_discs("single.png", (40, 50, 12))
EMPTY = of_discs("empty.png")


def pasted(objects, index, size):
    """The union of a crop's objects, at full resolution."""
    real = objects["classes"][index] > 0
    masks = objects["masks"][index][real].astype("float32")
    boxes, classes = objects["boxes"][index][real], objects["classes"][index][real]
    union = np.zeros((size, size), bool)
    for one in decoding.decode(boxes, classes, np.ones(len(boxes)), masks, size, size):
        rows, cols = one.mask.shape
        union[one.top : one.top + rows, one.left : one.left + cols] |= one.mask
    return union


def objects_of(stream, count):
    return [(x.numpy(), tf.nest.map_structure(np.asarray, y)) for x, y in stream.take(count)]


def test_objects_come_padded_to_the_most_of_a_crop():
    plan = CropPlan(96, augment="none")
    stream = training_stream([CROWDED, SINGLE, EMPTY], plan, batch=3, **OBJECTS)
    spec = stream.element_spec[1]
    assert {name: tuple(one.shape) for name, one in spec.items()} == {
        "boxes": (3, None, 4),
        "classes": (3, None),
        "masks": (3, None, 56, 56),
    }
    [(x, objects)] = objects_of(stream, 1)
    assert (x.shape, x.dtype) == ((3, 96, 96, 1), np.float32)
    assert [objects[n].dtype for n in ("boxes", "classes", "masks")] == ["f4", "i4", "u1"]
    assert sorted((objects["classes"] > 0).sum(axis=1)) == [0, 1, 4]
    padding = objects["classes"] < 0
    assert (objects["classes"][padding] == -1).all()
    assert (objects["boxes"][padding] == -1).all()
    assert not objects["masks"][padding].any()
    assert (objects["classes"][~padding] == 1).all()


def test_a_batch_of_empty_crops_has_one_row_of_padding():
    [(_, objects)] = objects_of(training_stream([EMPTY], CropPlan(32), batch=2, **OBJECTS), 1)
    assert objects["boxes"].tolist() == [[[-1] * 4]] * 2
    assert objects["classes"].tolist() == [[-1]] * 2
    assert (objects["masks"].shape, objects["masks"].max()) == ((2, 1, 56, 56), 0)


@pytest.mark.parametrize("augment", ["none", "light", "em"])
@pytest.mark.parametrize("magnification", [(1.0, 1.0), (0.6, 1.0), (1.0, 1.7)])
def test_objects_stay_on_their_pixels(augment, magnification):
    plan = CropPlan(96, magnification, augment, seed=3)
    stream = training_stream([CROWDED], plan, batch=4, **OBJECTS)
    agree = []
    for x, objects in objects_of(stream, 4):
        for index in range(4):
            level = (np.percentile(x[index], 3) + np.percentile(x[index], 97)) / 2
            bright = x[index, ..., 0] > level
            mask = pasted(objects, index, 96)
            agree.append((bright == mask).mean())
    # Rims of cut objects are bright and no objects; noise crosses the level here and there.
    assert np.median(agree) > (0.97 if augment == "none" else 0.94)


@pytest.mark.parametrize("augment", ["none", "em"])
@pytest.mark.parametrize("magnification", [0.6, 1.0, 1.7])
def test_moved_objects_keep_their_place_to_a_tenth_of_a_pixel(augment, magnification):
    """The centroid of a disc's bright pixels against that of its mask: a half-pixel slip shows."""
    plan = CropPlan(64, (magnification, magnification), augment, seed=1)
    side = round(64 / magnification) + 20
    example = of_discs("one.png", (side / 2, side / 2, 8), height=side, width=side)
    slips = []
    for x, objects in objects_of(training_stream([example], plan, batch=8, **OBJECTS), 30):
        for index in range(8):
            boxes = objects["boxes"][index][objects["classes"][index] > 0]
            if len(boxes) == 1 and boxes.min() >= 5 and boxes.max() <= 59:  # whole, once
                mask = pasted(objects, index, 64)
                near = dilated(mask)
                weight = (x[index, ..., 0] - np.median(x[index, ~near])) * near
                slips.append(centroid(weight) - centroid(mask))
    assert len(slips) > 15
    assert np.abs(np.median(slips, axis=0)).max() < 0.1


def dilated(mask):
    grown = mask.copy()
    for _ in range(3):
        grown = np.logical_or.reduce(
            [grown, *(np.roll(grown, s, a) for s in (1, -1) for a in (0, 1))]
        )
    return grown


def centroid(weight):
    rows, cols = np.indices(weight.shape)
    return np.array([(rows * weight).sum(), (cols * weight).sum()]) / weight.sum()


def test_overlapping_objects_survive_cropping_and_augmentation():
    pair = of_discs("pair.png", (48, 40, 20), (48, 58, 20))
    plan = CropPlan(96, (0.9, 1.1), "em", seed=2)
    shared = []
    for _, objects in objects_of(training_stream([pair], plan, batch=4, **OBJECTS), 5):
        for index in range(4):
            boxes = objects["boxes"][index][objects["classes"][index] > 0]
            low = np.maximum(boxes[0, :2], boxes[-1, :2])
            high = np.minimum(boxes[0, 2:], boxes[-1, 2:])
            shared.append(len(boxes) > 1 and np.prod(np.maximum(high - low, 0)) > 100)
    assert np.mean(shared) > 0.9


def test_one_seed_gives_the_same_objects_wherever_the_stream_starts():
    examples = [CROWDED, SINGLE, EMPTY]
    plan = CropPlan(48, (0.7, 1.0), "em", seed=5)
    whole = objects_of(training_stream(examples, plan, batch=2, **OBJECTS), 6)
    again = objects_of(training_stream(examples, plan, batch=2, **OBJECTS), 6)
    rest = objects_of(training_stream(examples, plan, batch=2, start=8, **OBJECTS), 2)
    other = objects_of(training_stream(examples, replace(plan, seed=6), batch=2, **OBJECTS), 6)
    for (x, y), (x2, y2) in [*zip(whole, again, strict=True), *zip(whole[4:], rest, strict=True)]:
        np.testing.assert_array_equal(x, x2)
        for name in y:
            np.testing.assert_array_equal(y[name], y2[name])
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(whole, other, strict=True))


def test_a_window_without_objects_is_trained_on():
    lonely = of_discs("lonely.png", (10, 10, 6), height=128, width=128)
    plan = CropPlan(64, augment="none")
    counts = [
        (objects["classes"] > 0).sum()
        for _, objects in objects_of(training_stream([lonely], plan, batch=1, **OBJECTS), 8)
    ]
    assert counts.count(0) >= 4


def test_validation_for_one_size_comes_in_windows_of_it():
    small = of_discs("small.png", (20, 20, 8), height=40, width=100)
    found = objects_of(validation_set([CROWDED, small], side=64, **OBJECTS), 9)
    assert [x.shape for x, _ in found] == [(1, 64, 64, 1)] * 6
    np.testing.assert_array_equal(found[0][0][0, ..., 0], CROWDED.micrograph.pixels[:64, :64])
    # Below its 40 rows the second micrograph is mirrored, and its disc with it.
    assert found[4][1]["boxes"][0].tolist() == [[12, 12, 28, 28], [52, 12, 64, 28]]
    assert found[5][1]["classes"].tolist() == [[-1]]
