"""Pixels far from zero, beyond float32, and hot ones."""

import keras
import numpy as np
import pytest

import temzoo
from temzoo.core.offset import offset_of
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data.pairs import PairPlan, pair_of
from temzoo.data.preparation import Decoded
from temzoo.inference.pixels import statistics_of
from temzoo.models.layers import Normalize


def micrograph(side=96):
    rng = np.random.default_rng(0)
    pixels = rng.normal(90, 8, (side, side))
    rows, cols = np.mgrid[:side, :side]
    pixels[np.hypot(rows - 40, cols - 50) < 12] += 50
    return np.rint(pixels)


@pytest.mark.parametrize("offset", [1e9, -1e12, 2**31])
def test_an_offset_changes_nothing(offset):
    model, pixels = temzoo.get_model("unet", weights="emps-fast"), micrograph()
    plain = temzoo.predict(model, pixels).classes
    assert plain.any()
    np.testing.assert_array_equal(temzoo.predict(model, pixels + offset).classes, plain)
    whole = (pixels + offset).astype("int64")
    np.testing.assert_array_equal(temzoo.predict(model, whole).classes, plain)


def test_an_offset_changes_no_detection():
    keras.utils.set_random_seed(0)
    config = {"image_size": 64, "alpha": 0.25, "backbone_weights": None}
    model, pixels = temzoo.get_model("mask_rcnn", **config), micrograph(64)
    (plain, far) = (
        temzoo.predict(model, image, min_score=0.0).detections for image in (pixels, pixels + 1e9)
    )
    assert [one.score for one in plain] == pytest.approx([one.score for one in far], abs=1e-4)
    assert plain


class Pixels:
    """A target that is not looked at."""

    padding = None

    def draw(self, labels):
        return np.zeros((labels.height, labels.width), "uint8")

    def measure(self, drawn):
        return None


def test_what_is_learnt_of_an_offset_is_what_is_learnt_without():
    pixels, layer = micrograph(), Normalize()
    for image in (pixels.astype("float32"), pixels, pixels.astype("uint16"), pixels + 1000):
        assert offset_of(image) == 0
    far = pixels + 1e9
    assert pixels.min() < offset_of(far) - 1e9 < pixels.max()
    labels = LabelledImage("a.png", 96, 96, ())
    example = Example(labels, lambda: Micrograph(far), load_truth=lambda: Micrograph(far + 7))
    near = Decoded([example], 1, Pixels())[0].pixels
    assert near.dtype == np.float32
    ours, theirs = (layer(one.reshape(1, 96, 96, 1)) for one in (pixels.astype("float32"), near))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    poor, better = pair_of(example, PairPlan(source="given"))
    np.testing.assert_array_equal(better - poor, 7)


def test_pixels_beyond_float32_are_named_and_not_the_weights():
    model, pixels = temzoo.get_model("unet", filters=2, depth=1), micrograph()
    with pytest.raises(ValueError, match=r"pixels must lie within float32.*in rows 0 to 64.*first"):
        temzoo.predict(model, pixels * 1e38)
    assert np.isfinite(temzoo.predict(model, pixels * 1e35, probabilities=True).probabilities).all()


@pytest.mark.parametrize(("share", "value"), [(0.02, 60_000), (0.05, 60_000), (0.02, -5_000)])
def test_hot_and_dead_pixels_that_decide_the_contrast_are_told(share, value):
    pixels, rng = micrograph(), np.random.default_rng(1)
    pixels[rng.random(pixels.shape) < share] = value
    with pytest.warns(UserWarning, match=r"\d\.\d% of the pixels are hot or dead"):
        statistics_of(Normalize(), pixels[..., None])


def test_rare_bright_objects_and_few_hot_pixels_are_not_told():
    few, rng = micrograph(), np.random.default_rng(1)
    few[rng.random(few.shape) < 0.002] = 60_000
    objects = micrograph()
    objects[10:24, 60:74] = 60_000  # 2 % of the field
    counts = (rng.random((96, 96)) < 0.03).astype("uint8")  # single electrons on nothing
    for image in (few, objects, counts, micrograph(), np.zeros((20, 20))):
        statistics_of(Normalize(), image[..., None])


def test_what_needs_tensorflow_says_so(monkeypatch, tmp_path):
    model = temzoo.get_model("unet", filters=2, depth=1)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    told = r"temzoo export needs TensorFlow\. Received: KERAS_BACKEND=jax\. Set KERAS_BACKEND"
    with pytest.raises(RuntimeError, match=told):
        temzoo.export(model, tmp_path)
    with pytest.raises(RuntimeError, match=r"mask_rcnn needs TensorFlow\. Received: KERAS_BACK"):
        temzoo.get_model("mask_rcnn")
