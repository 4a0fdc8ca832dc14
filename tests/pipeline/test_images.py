"""Arrays and streams of single images: their range, their order, and where they begin again."""

from functools import partial

import numpy as np
import pytest

from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data import images
from temzoo.data.images import (
    image_array,
    image_stream,
    image_validation,
    unit_range,
)


def example(pixels, name="a.tif"):
    labels = LabelledImage(name, pixels.shape[1], pixels.shape[0])
    return Example(labels, partial(Micrograph, pixels, None, name))


def noise(seed, shape=(24, 24), dtype="uint8"):
    values = np.random.default_rng(seed).integers(0, 200, shape)
    return values.astype(dtype)


@pytest.fixture
def array():
    """Seven images, each of one value of its own in the first pixel."""
    made = np.random.default_rng(0).random((7, 5, 5, 1), np.float32)
    made[:, 0, 0, 0] = np.arange(7) / 10
    return made


def take(stream, count):
    return [batch.numpy() for batch in stream.take(count)]


def test_an_array_has_its_shape_type_and_range():
    examples = [example(noise(0)), example(noise(1, (40, 41), "uint16")), example(noise(2, (8, 8)))]
    array = image_array(examples, 16)
    assert (array.shape, array.dtype) == ((3, 16, 16, 1), np.float32)
    assert array.min() >= 0
    assert array.max() <= 1


def test_an_image_scales_by_its_own_percentiles():
    pixels = noise(3, (32, 32), "uint16") * 9 + 500
    array = image_array([example(pixels)], 32)
    low, high = np.percentile(pixels, [0.5, 99.5])
    np.testing.assert_allclose(
        array[0, ..., 0], np.clip((pixels - low) / (high - low), 0, 1), atol=1e-6
    )


def test_gain_and_offset_of_a_camera_do_not_matter():
    pixels = noise(4).astype(np.float32)
    one, other = image_array([example(pixels), example(pixels * 40 + 1000)], 12)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
def test_the_dtype_scale_divides_by_its_range(dtype, top):
    pixels = noise(5, dtype=dtype)
    array = image_array([example(pixels)], 24, scale="dtype")
    np.testing.assert_allclose(array[0, ..., 0], pixels / top, rtol=1e-6)


def test_the_dtype_scale_leaves_floats_of_the_unit_range_alone():
    pixels = np.random.default_rng(1).random((9, 9), np.float32)
    np.testing.assert_array_equal(unit_range(pixels, scale="dtype"), pixels)


def test_the_dtype_scale_refuses_floats_without_a_range():
    with pytest.raises(ValueError, match=r"a.tif: floats must lie in \[0, 1\].*Received: 0 to 7"):
        image_array([example(np.linspace(0, 7, 64).reshape(8, 8))], 8, scale="dtype")


def test_stored_values_stay_as_they_are():
    pixels = noise(5, dtype="uint16") * 9 + 500
    array = image_array([example(pixels)], 24, scale="stored")
    np.testing.assert_array_equal(array[0, ..., 0], pixels)
    with pytest.raises(ValueError, match=r"a.tif: pixels must be finite"):
        image_array([example(pixels / np.where(pixels > 600, 1.0, np.nan))], 24, scale="stored")


def test_shrinking_averages():
    pixels = np.kron([[10, 30], [50, 70]], np.ones((8, 8))) + np.tile([[-5, 5]], (16, 8))
    array = image_array([example(pixels.astype(np.uint8))], 2)
    expected = unit_range(np.array([[10, 30], [50, 70]], np.float32))
    np.testing.assert_allclose(array[0, ..., 0], expected, atol=1e-6)


def test_a_constant_image_is_mid_grey():
    assert (image_array([example(np.full((8, 8), 7, np.uint8))], 4) == 0.5).all()


def test_colour_becomes_grey_and_grey_becomes_colour():
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[:4] = (200, 0, 0)
    grey = image_array([example(colour)], 8)
    assert grey.shape == (1, 8, 8, 1)
    assert set(np.unique(grey)) == {0, 1}
    three = image_array([example(noise(1))], 8, channels=3)
    np.testing.assert_array_equal(three[..., 0], three[..., 2])


def test_an_oblong_image_is_refused_by_name():
    examples = [example(noise(0)), example(noise(0, (24, 30)), "long.tif")]
    with pytest.raises(ValueError, match=r"long.tif: .*Received: 24 x 30 px.*temzoo particles"):
        image_array(examples, 8)


def test_values_that_are_not_finite_are_refused_by_name():
    pixels = np.ones((8, 8), np.float32)
    pixels[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"bad.npy: pixels must be finite"):
        image_array([example(pixels, "bad.npy")], 8)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "size must be at least 1 px. Received: size=0"),
        ({"size": 8, "scale": "range"}, "scale must be .* Received: scale='range'"),
        ({"size": 8, "channels": 2}, "channels must be 1 .* Received: channels=2"),
        ({"size": 32768}, r"fit into 2 GiB.*32768 x 32768 px, 1 channel.*4.00 GiB. Take at most 0"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        image_array([example(noise(0))], **options)


def test_the_byte_limit_says_how_many_fit(monkeypatch):
    monkeypatch.setattr(images, "LARGEST_ARRAY", 3 * 8 * 8 * 4)
    assert len(image_array([example(noise(0))] * 3, 8)) == 3
    with pytest.raises(ValueError, match="Take at most 3 of them"):
        image_array([example(noise(0))] * 4, 8)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match=r"at least one. Received: 0 examples"):
        image_array([], 8)


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(array):
    shown = np.concatenate(take(image_stream(array, batch=7, seed=3), 2))
    epochs = np.rint(shown[:, 0, 0, 0] * 10).astype(int).reshape(2, 7)
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()
    np.testing.assert_array_equal(shown[0], array[epochs[0, 0]])


@pytest.mark.parametrize("augment", [False, True])
def test_a_stream_goes_on_where_another_stopped(array, augment):
    options = {"seed": 5, "augment": augment}
    whole = take(image_stream(array, batch=3, **options), 8)
    rest = take(image_stream(array, batch=3, start=12, **options), 4)
    np.testing.assert_array_equal(whole[4:], rest)


def test_the_batch_size_does_not_change_the_order(array):
    threes = np.concatenate(take(image_stream(array, batch=3, seed=1, augment=True), 4))
    fours = np.concatenate(take(image_stream(array, batch=4, seed=1, augment=True), 3))
    np.testing.assert_array_equal(threes, fours)


def test_seeds_differ(array):
    one, other = (take(image_stream(array, batch=7, seed=seed), 1)[0] for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_batches_are_full_and_may_exceed_the_array(array):
    stream = image_stream(array, batch=10, seed=0)
    assert stream.element_spec.shape == (10, 5, 5, 1)
    assert [len(batch) for batch in take(stream, 3)] == [10, 10, 10]


def test_changes_are_the_eight_positions_of_a_square():
    square = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    [seen] = take(image_stream(square, batch=200, seed=0, augment=True), 1)
    turned = [np.rot90(square[0], k) for k in range(4)]
    expected = {one.tobytes() for t in turned for one in (t, t[:, ::-1])}
    assert {image.tobytes() for image in seen} == expected
    assert len(expected) == 8


def test_negatives_are_shown_beside_the_changes():
    square = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    [seen] = take(image_stream(square, batch=200, seed=0, augment=True, invert=True), 1)
    assert len({image.tobytes() for image in seen}) == 16
    assert {float(image.sum()) for image in seen} == {36, -36}


def test_the_truth_of_an_image_stays_with_it(array):
    truth = np.stack([array[:, 0, 0, 0], -array[:, 0, 0, 0]], axis=-1)
    options = {"seed": 5, "augment": True, "truth": truth}
    for shown, known in image_stream(array, batch=3, start=6, **options).take(5):
        assert known.shape == (3, 2)
        for image, value in zip(shown.numpy(), known.numpy()[:, 0], strict=True):
            assert value in image[[0, 0, -1, -1], [0, -1, 0, -1]]
    judged = list(image_validation(array, 3, truth))
    np.testing.assert_array_equal(np.concatenate([known for _, known in judged]), truth)


def test_validation_shows_all_images_once_in_order(array):
    stream = image_validation(array, batch=3)
    shown = take(stream, 10)
    assert [len(batch) for batch in shown] == [3, 3, 1]
    assert int(stream.cardinality()) == 3
    np.testing.assert_array_equal(np.concatenate(shown), array)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (3, 4, 5, 1), (3, 4, 4)])
def test_arrays_that_are_not_of_square_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"array \(N, S, S, C\) with N at least 1. Received"):
        image_validation(np.zeros(shape, np.float32), 2)


def test_an_empty_batch_is_refused(array):
    with pytest.raises(ValueError, match=r"batch must be at least 1. Received: batch=0"):
        image_stream(array, batch=0, seed=0)
