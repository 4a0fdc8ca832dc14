"""Shared layers against NumPy and Keras' own."""

import keras
import numpy as np
import pytest

from temzoo.models import layers


def test_normalize_maps_percentiles_to_minus_one_and_one():
    x = np.random.default_rng(0).normal(500, 90, (2, 200, 120, 1)).astype("float32")
    y = np.asarray(layers.Normalize()(x))
    for image in y:
        np.testing.assert_allclose(np.percentile(image, [1, 99]), [-1, 1], atol=1e-4)


def test_normalize_statistics_in_numpy_are_those_of_the_graph():
    layer = layers.Normalize(name="normalize")
    x = np.random.default_rng(1).integers(0, 60000, (1, 700, 901, 3)).astype("uint16")
    np.testing.assert_allclose(
        layer.apply(x[0], *layer.statistics(x[0])), layer(x.astype("float32"))[0], atol=1e-5
    )


def test_normalize_shrugs_at_hot_pixels():
    x = np.random.default_rng(2).normal(100, 10, (1, 128, 128, 1)).astype("float32")
    hot = x.copy()
    hot[0, ::37, ::41] = 1e6
    ordinary = hot < 1e5
    y, with_hot = np.asarray(layers.Normalize()(x)), np.asarray(layers.Normalize()(hot))
    assert np.abs(y - with_hot)[ordinary].max() < 0.05
    assert with_hot.max() == 3


@pytest.mark.parametrize("size", [1, 2, 16, 31, 32, 33])
def test_reflect_pad_is_numpys_and_crops_back(size):
    x = np.random.default_rng(3).normal(size=(1, size, 40, 2)).astype("float32")
    padded = np.asarray(layers.ReflectPad(32)(x))
    top, total = -size % 32 // 2, -size % 32
    widths = [(0, 0), (top, total - top), (12, 12), (0, 0)]
    np.testing.assert_array_equal(padded, np.pad(x, widths, mode="reflect"))
    np.testing.assert_array_equal(layers.CropBack(32)([padded, x]), x)


def test_bilinear_upsample_is_keras_own():
    x = np.random.default_rng(4).normal(size=(2, 5, 7, 3)).astype("float32")
    expected = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    np.testing.assert_allclose(layers.BilinearUpsample()(x), expected, atol=1e-6)


@pytest.mark.parametrize("filters", [1, 6, 12, 16, 20])
def test_group_norm_takes_any_width(filters):
    x = layers.conv_norm_relu(keras.Input((8, 8, 3)), filters, "group", "block")
    assert x.shape == (None, 8, 8, filters)


@pytest.mark.parametrize("keyword", ["filters", "depth", "channels"])
def test_counts_start_at_one(keyword):
    with pytest.raises(ValueError, match=f"{keyword} must be a whole number from 1"):
        layers.check_choices(**{keyword: 0})


def test_normalize_sees_a_few_bright_pixels_on_black():
    x = np.zeros((1, 64, 64, 1), "float32")
    x[0, 10:12, 10:15] = 200
    layer = layers.Normalize()
    y = np.asarray(layer(x))
    assert (y.min(), y.max()) == (-1, 1)
    np.testing.assert_array_equal(layer.apply(x[0], *layer.statistics(x[0])), y[0])
