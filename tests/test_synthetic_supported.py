"""Drawn particles on supports: what is in the pixels is what the labels say."""

import numpy as np
import pytest
from scipy import ndimage

from temzoo.data.synthetic.supported import supported_catalyst
from temzoo.labels.shapes import raster


def test_one_seed_gives_one_image_with_its_labels():
    one, labels = supported_catalyst((0, 3), size=(96, 128), name="a.tif")
    again, same = supported_catalyst((0, 3), size=(96, 128), name="a.tif")
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert one.pixels.shape == (labels.height, labels.width) == (96, 128)
    assert [shape.attributes for shape in labels.shapes] == [s.attributes for s in same.shapes]
    assert (one.pixels.dtype, one.nm_per_pixel, one.name) == (np.uint8, None, "a.tif")
    assert {shape.label for shape in labels.shapes} == set(labels.classes) == {"particle"}


def test_particles_stand_out_from_what_is_around_them():
    """Brighter in the dark field, darker in the bright field, by the median over drawn images."""
    steps = []
    for seed in range(12):
        micrograph, labels = supported_catalyst(seed, size=256)
        pixels = micrograph.pixels.astype(float)
        inside = raster.class_map(labels, ("particle",)) > 0
        around = ndimage.binary_dilation(inside, iterations=6) & ~inside
        steps.append(pixels[inside].mean() - pixels[around].mean())
    assert np.median(np.abs(steps)) > 15
    assert min(steps) < -10  # both kinds are among them
    assert max(steps) > 10


@pytest.mark.parametrize("seed", range(4))
def test_labels_hide_little_of_each_other(seed):
    _, labels = supported_catalyst(seed, size=256)
    instances = raster.instance_map(labels, classes=("particle",))
    seen = np.bincount(instances.ravel(), minlength=len(labels.shapes) + 1)[1:]
    assert len(labels.shapes) >= 3
    whole = [np.pi * np.prod(shape.points[1]) for shape in labels.shapes]
    free = [shape.points[0].min() > 50 and shape.points[0].max() < 206 for shape in labels.shapes]
    shares = seen[free] / np.array(whole)[free]
    assert not len(shares) or np.median(shares) > 0.9


def test_a_size_that_is_none_is_refused():
    with pytest.raises(ValueError, match="size"):
        supported_catalyst(0, size=0)
