"""Training streams: the same for one seed, wherever they start; crops that fit their labels."""

from functools import partial

import numpy as np
import pytest

from temzoo.pipeline import dataset
from temzoo.pipeline.dataset import CropPlan, crop_list, training_stream, validation_set
from temzoo.tasks import semantic
from temzoo.types import Example, LabelledImage, Micrograph, Shape

DISC = Shape("ellipse", "particle", np.array([[30.0, 40.0], [12.0, 12.0]]))
OPTIONS = {"target": partial(semantic.target, class_names=("particle",)), "depth": 2}


def example(name, height=80, width=100, dtype="uint8", channels=0):
    """A micrograph that is bright exactly where its label says."""
    labels = LabelledImage(name, width, height, (DISC,))
    pixels = (semantic.target(labels, ("particle",)) * 200 + 20).astype(dtype)
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
    prepare = dataset._Preparation(plan, None, crops)
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
    decoded = dataset._Decoded(examples, 1, OPTIONS["target"], budget=100_000)
    for index in (0, 1, 2):
        decoded[index]
    assert 2 in decoded.kept
    assert 0 not in decoded.kept
    np.testing.assert_array_equal(decoded[0][0][..., 0], examples[0].micrograph.pixels)


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
    pixels, target = dataset._resize(ramp[..., None].astype(np.float32), ramp, 64)
    shift = (target.astype(float) - pixels[..., 0])[:, 4:-4].mean()
    assert abs(shift) < 0.05
