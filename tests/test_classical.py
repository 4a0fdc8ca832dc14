"""Otsu and the random forest of the baselines on micrographs whose labels are known."""

import csv

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.examples import load_dataset
from temzoo.evaluation import baselines
from temzoo.evaluation.baselines import Otsu, PixelForest, pixel_features
from temzoo.evaluation.evaluate import evaluate


def discs(seed, *, contrast=-60.0, noise=15.0, size=96, dtype=np.uint8, labels=("particle",)):
    """Non-overlapping discs on a grid; class k differs from the background by k times contrast."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] + 0.5
    image, shapes = np.full((size, size), 128.0), []
    for k, (row, column) in enumerate(np.ndindex(3, 3)):
        centre = (np.array([row, column]) + 0.5) * size / 3 + generator.uniform(-3, 3, 2)
        radius = generator.uniform(7, 11)
        kind = k % len(labels)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
        image[inside] += (kind + 1) * contrast
        shapes.append(Shape("ellipse", labels[kind], np.array([centre, [radius, radius]])))
    image = np.clip(image + generator.normal(0, noise, image.shape), 0, 255).astype(dtype)
    labelled = LabelledImage(f"{seed}.png", size, size, tuple(shapes), labels)
    return Example(labelled, lambda: Micrograph(image, name=f"{seed}.png"))


@pytest.fixture(scope="module")
def forest():
    forest = PixelForest(trees=30, samples_per_image=1500, jobs=1)
    return forest.fit([discs(seed) for seed in range(3)])


@pytest.mark.parametrize(("polarity", "contrast"), [("dark", -60), ("bright", 60)])
def test_otsu_finds_particles_of_the_polarity_it_is_told(polarity, contrast):
    examples = [discs(seed, contrast=contrast) for seed in (5, 6)]
    assert evaluate(Otsu(polarity=polarity), examples).iou.value > 0.85
    opposite = {"dark": "bright", "bright": "dark"}[polarity]
    assert evaluate(Otsu(polarity=opposite), examples).iou.value < 0.2


@pytest.mark.parametrize("contrast", [-60, 60])
def test_otsu_learns_the_polarity_from_examples(contrast):
    otsu = Otsu().fit([discs(1, contrast=contrast)])
    assert evaluate(otsu, [discs(2, contrast=contrast)]).iou.value > 0.85


def test_otsu_thresholds_where_scikit_image_does():
    pixels = discs(3).micrograph.pixels.astype(np.float32)
    grey = ndimage.gaussian_filter(np.clip(pixels, *np.percentile(pixels, [0.1, 99.9])), 1.0)
    classes = Otsu(polarity="bright").predict_probabilities(pixels).argmax(axis=-1)
    np.testing.assert_array_equal(classes == 1, grey > threshold_otsu(grey))


def test_otsu_is_not_misled_by_a_hot_pixel():
    labelled = discs(4, dtype=np.uint16)
    pixels = labelled.micrograph.pixels.copy()
    pixels[50, 50] = 65535
    hot = Example(labelled.labels, lambda: Micrograph(pixels))
    assert evaluate(Otsu(polarity="dark"), [hot]).iou.value > 0.8


def test_otsu_learns_the_order_of_three_levels():
    names = ("grey", "black")
    train, test = (discs(s, contrast=-50, noise=5, labels=names) for s in (1, 2))
    otsu = Otsu(names).fit([train])
    result = evaluate(otsu, [test])
    assert result.per_image["iou_grey"].value > 0.7
    assert result.per_image["iou_black"].value > 0.85
    assert otsu.order == (2, 1, 0)


def test_otsu_calls_a_constant_image_background():
    for polarity in ("dark", "bright"):
        flat = Otsu(polarity=polarity).predict_probabilities(np.full((20, 20), 9, np.uint8))
        assert (flat.argmax(axis=-1) == 0).all()


def test_forest_beats_otsu_where_only_texture_tells():
    def textured(seed):
        labelled = discs(seed, contrast=0, noise=0)
        generator = np.random.default_rng(seed)
        inside = np.zeros((96, 96), bool)
        for shape in labelled.labels.shapes:
            (row, column), (radius, _) = shape.points
            rows, columns = np.mgrid[:96, :96] + 0.5
            inside |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        pixels = 128 + np.where(inside, 30, 6) * generator.normal(size=inside.shape)
        return Example(labelled.labels, lambda: Micrograph(pixels.astype(np.float32)))

    train, test = [textured(seed) for seed in range(3)], [textured(seed) for seed in (7, 8)]
    forest = PixelForest(trees=30, jobs=1).fit(train)
    assert evaluate(forest, test).iou.value > 0.6
    assert evaluate(Otsu().fit(train), test).iou.value < 0.4


def test_forest_segments_what_it_has_not_seen(forest):
    assert evaluate(forest, [discs(11), discs(12)]).iou.value > 0.8


def test_forest_ignores_gain_and_offset(forest):
    pixels = discs(11).micrograph.pixels
    first = forest.predict_probabilities(pixels)
    second = forest.predict_probabilities(pixels.astype(np.float32) * 37 + 1000)
    assert (first.argmax(axis=-1) == second.argmax(axis=-1)).mean() > 0.999


def test_forest_probabilities_are_probabilities(forest):
    answer = forest.predict_probabilities(discs(11).micrograph.pixels)
    assert answer.shape == (96, 96, 2)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=-1), 1, atol=1e-5)


def test_forest_works_in_blocks_without_a_trace(forest, monkeypatch):
    pixels = np.tile(discs(11).micrograph.pixels, (3, 1))
    whole = forest.predict_probabilities(pixels)
    monkeypatch.setattr(baselines, "BLOCK_ROWS", 50)
    blocks = forest.predict_probabilities(pixels)
    # A tree may fall on the other side of a threshold by the last bit of a feature.
    assert np.abs(blocks - whole).mean() < 1e-4
    assert (blocks.argmax(axis=-1) == whole.argmax(axis=-1)).mean() > 0.9999


def test_forest_is_the_same_for_one_seed():
    train, pixels = [discs(1)], discs(2).micrograph.pixels
    first, again, other = (
        PixelForest(trees=5, jobs=1, seed=seed).fit(train).predict_probabilities(pixels)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_forest_gives_a_class_that_no_sample_had_probability_zero():
    forest = PixelForest(("particle", "void"), trees=5, jobs=1).fit([discs(1)])
    answer = forest.predict_probabilities(discs(2).micrograph.pixels)
    assert answer.shape[-1] == 3
    assert not answer[..., 2].any()


def test_forest_takes_a_constant_image_and_a_single_pixel(forest):
    assert np.isfinite(forest.predict_probabilities(np.full((30, 30), 5, np.uint8))).all()
    assert forest.predict_probabilities(np.zeros((1, 1), np.uint8)).shape == (1, 1, 2)


def test_features_start_with_the_smoothed_intensity():
    pixels = discs(1).micrograph.pixels
    features = pixel_features(pixels)
    assert features.shape == (96, 96, 20)
    low, high = np.percentile(pixels, [1, 99])
    smooth = ndimage.gaussian_filter((pixels - low) / (high - low), 1.0)
    np.testing.assert_allclose(features[20:-20, 20:-20, 0], smooth[20:-20, 20:-20], atol=1e-4)


@pytest.mark.shared
def test_both_baselines_run_on_real_micrographs(shared):
    folder = shared / "data" / "emps"
    with (folder / "train.csv").open() as file:
        names = [row[0] for row in csv.reader(file)][::100]
    examples = load_dataset(folder / "images", folder / "annotations.xml")
    examples = [e for e in examples if e.name.removesuffix(".png") in names]
    assert len(examples) == 3
    forest = PixelForest(trees=10, samples_per_image=1000, jobs=1).fit(examples)
    fitted = evaluate(forest, examples, instances=None).iou.value
    assert fitted > evaluate(Otsu().fit(examples), examples, instances=None).iou.value
    assert fitted > 0.5


@pytest.mark.parametrize("baseline", [Otsu(), PixelForest()])
def test_baselines_must_be_fitted_before_they_predict(baseline):
    with pytest.raises(RuntimeError, match=r"must be fitted first\. Received: an unfitted"):
        baseline.predict_probabilities(np.zeros((8, 8)))


@pytest.mark.parametrize("baseline", [Otsu(), PixelForest()])
def test_baselines_refuse_to_fit_nothing(baseline):
    with pytest.raises(ValueError, match=r"fit needs at least one labelled image"):
        baseline.fit([])


def test_an_unknown_polarity_is_refused():
    with pytest.raises(ValueError, match=r"dark, bright, auto\. Received: polarity='light'"):
        Otsu(polarity="light")


def test_otsu_refuses_too_many_classes():
    with pytest.raises(ValueError, match=r"Otsu takes 1 to 4 classes\. Received: classes=\('a'"):
        Otsu(list("abcde"))
