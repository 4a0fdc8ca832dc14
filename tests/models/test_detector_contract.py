"""What every registered detector keeps; a new one is tested by being registered."""

import keras
import numpy as np
import pytest

import temzoo

SIZE = 64
SMALL = {"alpha": 0.25, "features": 16}
BOXES = temzoo.list_models(task="boxes")  # their masks fill their boxes
DETECTORS = [*temzoo.list_models(task="instance"), *BOXES]


def build(name, **config):
    keras.utils.set_random_seed(1)
    card = temzoo.model_card(name)
    small = {key: value for key, value in SMALL.items() if key in card.config}
    offline = dict.fromkeys(card.deferred)
    return temzoo.get_model(
        name, **{"image_size": SIZE, "classes": 3, **small, **offline, **config}
    )


@pytest.fixture(scope="module", params=DETECTORS)
def model(request):
    """Untrained, so that it finds something everywhere; read only."""
    return build(request.param)


def micrographs(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIZE, SIZE, 1), "uint8").astype("float32")


def truth(*counts):
    """So many objects in each image: boxes of 20 px with half of them filled."""
    boxes = np.full((len(counts), max(1, *counts), 4), -1, "float32")
    classes = np.full(boxes.shape[:2], -1, "int32")
    masks = np.zeros((*boxes.shape[:2], 56, 56), "uint8")
    for image, count in enumerate(counts):
        low = np.random.default_rng(image).uniform(0, SIZE - 20, (count, 2))
        boxes[image, :count] = np.concatenate([low, low + 20], axis=1)
        classes[image, :count] = 1 + np.arange(count) % 2
        masks[image, :count, 28:] = 1
    return {"boxes": boxes, "classes": classes, "masks": masks}


def test_every_task_has_a_contract():
    """test_contract.py, this file, and those of restorers, generative models and classifiers."""
    tasks = {temzoo.model_card(name).task for name in temzoo.list_models()}
    labelling = {"semantic", "distance", "instance", "boxes"}
    assert tasks == labelling | {"restoration", "generative", "classification"}


def test_detections_are_sorted_boxes_in_the_image_with_masks(model):
    found = model.detect(micrographs(2), min_score=1e-3, max_detections=50)
    assert found.boxes.shape == (2, 50, 4)
    assert (found.boxes.dtype, found.masks.dtype) == (np.float32, np.float32)
    assert (found.classes.dtype, found.counts.dtype) == (np.int32, np.int32)
    for image, count in enumerate(found.counts):
        assert count > 10
        boxes, scores = found.boxes[image, :count], found.scores[image, :count]
        assert (np.diff(scores) <= 0).all()
        assert (boxes >= 0).all()
        assert (boxes <= SIZE).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert set(found.classes[image, :count]) <= {1, 2}
        masks = found.masks[image, :count]
        assert ((masks > 0) & ((masks < 1) | (model.name in BOXES))).all()
        assert not found.masks[image, count:].any()


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_image_is_finite(model, value):
    pixels = np.full((1, SIZE, SIZE, 1), value, "uint8")
    found = model.detect(pixels, min_score=1e-3, max_detections=50)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.masks).all()


def test_the_stored_range_does_not_matter(model):
    scene = micrographs(1)
    how = {"min_score": 1e-3, "max_detections": 50}
    found = model.detect(scene.astype("uint8"), **how)
    wide = model.detect((scene * 200 + 3000).astype("uint16"), **how)
    np.testing.assert_allclose(wide.scores, found.scores, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(model, value):
    pixels = micrographs(1)
    pixels[0, 3, 4:6] = value
    with pytest.raises(ValueError, match=r"must be finite. Received: 2 NaN or infinite values"):
        model.detect(pixels)


def test_predict_gives_objects_of_any_micrograph(model):
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE + 37, SIZE - 9), np.uint8)
    found = temzoo.predict(model, pixels, min_score=0.0)
    assert found.instances.shape == found.classes.shape == pixels.shape
    assert found.instances.max() <= len(found.detections) == len(found.scores)
    best = found.detections[0]
    height, width = best.mask.shape
    rows, cols = slice(best.top, best.top + height), slice(best.left, best.left + width)
    assert (found.instances[rows, cols][best.mask] == 1).all()  # the highest score lies on top
    assert best.score == found.scores.max()


@pytest.mark.parametrize("name", DETECTORS)
def test_frozen_layers_are_bit_identical_after_a_step_and_the_others_move(name):
    model = build(name)
    frozen = [layer for layer in model._flatten_layers() if layer.variables and not layer.trainable]
    config = temzoo.model_card(name).config
    assert frozen or not any(key.endswith("_trainable") for key in config)
    before = [v.numpy() for layer in frozen for v in layer.variables]
    learning = [v.numpy() for v in model.trainable_variables]
    model.fit(micrographs(2), truth(3, 2), batch_size=2, verbose=0)
    after = [v.numpy() for layer in frozen for v in layer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    moved = [
        not np.array_equal(a, v.numpy())
        for a, v in zip(learning, model.trainable_variables, strict=True)
    ]
    assert np.mean(moved) > 0.9
