"""Tiling, blending, instances and files of temzoo.prediction."""

import gc
import itertools
import threading
import weakref
from functools import partial

import cv2
import keras
import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk

import temzoo
from temzoo.core.files import file_stem
from temzoo.core.types import Micrograph
from temzoo.inference import regions
from temzoo.inference import tiles as tiling
from temzoo.inference.predict import likeliest, predict
from temzoo.inference.regions import (
    Watershed,
    instance_scores,
    label_instances,
    split_touching,
)
from temzoo.models.layers import CropBack, Normalize, ReflectPad
from temzoo.tasks import pixel_models
from temzoo.zoo.built import class_names_of


def identity(batch):
    return batch


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def blobs(height, width, *, levels=2, sigma=3, seed=0):
    """A class map of smooth regions, values 0 to levels - 1."""
    smooth = ndimage.gaussian_filter(noise(height, width, seed=seed), sigma)
    edges = np.quantile(smooth, np.linspace(0, 1, levels + 1)[1:-1])
    return np.digitize(smooth, edges).astype(np.uint8)


def one_hot(pixels, *, classes):
    return np.eye(classes, dtype=np.float32)[pixels[..., 0]]


@pytest.fixture(scope="module")
def network():
    """Two strided levels behind a normalisation, cropped back by the raw input's size."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((None, None, 1))
    x = Normalize(name="normalize")(pixels)
    x = ReflectPad(4)(x)
    skip = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D(4)(skip)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.Concatenate()([skip, keras.layers.UpSampling2D(4)(x)])
    x = keras.layers.Conv2D(3, 1, activation="softmax")(x)
    return keras.Model(pixels, CropBack(4)([x, pixels]))


@pytest.mark.parametrize("shape", [(97, 131), (64, 64), (1, 1), (33, 200), (160, 7)])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0), (32, 31), (64, None), (64, 63), (96, 5)])
def test_stitching_identity_tiles_returns_the_input(shape, tile, overlap):
    pixels = noise(*shape, 2)
    result = predict(identity, pixels, tile=tile, overlap=overlap, probabilities=True)
    np.testing.assert_allclose(result.probabilities, pixels, rtol=0, atol=2e-6)
    assert result.classes.shape == shape


@pytest.mark.parametrize("overlap", [0, 16, 40])
def test_stitching_class_tiles_returns_exactly_the_classes(overlap):
    truth = blobs(141, 203, levels=5)
    result = predict(partial(one_hot, classes=5), truth, tile=64, overlap=overlap, batch_size=3)
    np.testing.assert_array_equal(result.classes, truth)
    assert result.classes.dtype == np.uint8


def test_tiles_meet_at_a_constant_image_without_a_seam():
    result = predict(identity, np.full((300, 300, 1), 0.7), tile=64, overlap=20, probabilities=True)
    np.testing.assert_allclose(result.probabilities, 0.7, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "step"),
    list(itertools.product([33, 500, 1000], [64, 128], [0, 1, 40, 63], [1, 16, 32])),
)
def test_blend_weights_sum_to_one_and_tiles_cover_the_image(length, tile, overlap, step):
    tiles = tiling.Tiles.along(length, tile, overlap, step)
    total, seen = np.zeros(tiles.end), np.zeros(length, bool)
    for start, weights in zip(tiles.starts, tiles.weights, strict=True):
        total[start : start + tiles.size] += weights
        seen[tiles.pixels(start)] = True
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert seen.all()
    assert tiles.end - length < step
    shared = [first + tiles.size - second for first, second in itertools.pairwise(tiles.starts)]
    assert all(overlapping >= overlap for overlapping in shared)


def test_blend_weights_vanish_next_to_inner_tile_edges_only():
    tiles = tiling.Tiles.along(1000, 256, 64, 32)
    assert (tiles.weights[1, :20] == 0).all()
    assert (tiles.weights[1, -20:] == 0).all()
    assert tiles.weights[0, 0] == 1
    assert tiles.weights[-1, -1] == 1


def test_tiles_weigh_nothing_outside_the_part_that_counts():
    tiles = tiling.Tiles.along(1000, 256, 64, 32)
    for part, weights in zip(tiles.counted, tiles.weights, strict=True):
        assert (weights[part] > 0).all()
        assert weights[part].sum(dtype=float) == weights.sum(dtype=float)


@pytest.mark.parametrize("step", [1, 16, 32, 128, 256])
@pytest.mark.parametrize("overlap", [0, 100, 384, 512, 1407])
@pytest.mark.parametrize("length", [1, 1409, 2000, 2048, 5000])
def test_fitting_tiles_cover_a_length_with_few_and_small_ones(length, overlap, step):
    edge = tiling._fitting_edge(length, overlap, step)
    tiles = tiling.Tiles.along(length, edge, overlap, step)
    shared = [first + tiles.size - second for first, second in itertools.pairwise(tiles.starts)]
    assert all(overlapping >= overlap for overlapping in shared)
    assert tiles.end >= length
    if overlap <= 512:
        largest = tiling.Tiles.along(length, tiling.TILE - tiling.TILE % step, overlap, step)
        assert edge <= largest.size
        assert len(tiles.starts) <= len(largest.starts)


@pytest.mark.parametrize(
    ("side", "step", "computed"),
    [
        (1408, 32, 1),
        (2048, 8, 1.1),
        (2048, 16, 1.2),
        (2048, 32, 1.41),
        (2048, 128, 1.56),
        (4096, 32, 1.64),
        (4096, 128, 1.89),
    ],
)
def test_few_pixels_are_computed_twice_by_default(side, step, computed):
    rows, columns = tiling.tile_layout(step, (side, side))
    pixels = len(rows.starts) * rows.size * len(columns.starts) * columns.size
    assert pixels / side**2 == pytest.approx(computed, abs=0.02)
    assert rows.size <= tiling.TILE
    shared = [first + rows.size - second for first, second in itertools.pairwise(rows.starts)]
    assert all(overlapping >= min(12 * step, 512) for overlapping in shared)


def test_half_a_tile_that_is_given_is_the_most_overlap_by_default():
    rows, columns = tiling.tile_layout(32, (512, 700), tile=256)
    assert rows.starts == (0, 128, 256)
    assert columns.starts[:3] == (0, 128, 256)


def test_an_image_that_is_too_large_to_be_taken_whole_is_stitched_by_default(monkeypatch):
    monkeypatch.setattr(tiling, "TILE", 128)
    monkeypatch.setattr(tiling, "WHOLE", 128**2)
    pixels = noise(301, 99, 2)
    result = predict(identity, pixels, overlap=32, probabilities=True)
    np.testing.assert_allclose(result.probabilities, pixels, rtol=0, atol=2e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 300])
def test_the_likeliest_class_is_the_first_of_the_greatest(count):
    rng = np.random.default_rng(count)
    probabilities = rng.integers(0, 3, (70, 9, count)).astype(np.float32)
    found = np.full((70, 9), 5, np.uint8 if count <= 256 else np.int32)
    likeliest(probabilities, out=found)
    np.testing.assert_array_equal(found, probabilities.argmax(axis=-1))


def test_one_tile_is_in_the_network_while_its_neighbours_are_handled(network, monkeypatch):
    """Not two: they would need twice the memory. The answer is that of one after the other."""
    inside, seen = [], set()
    behind, ask = pixel_models._core(network)

    def watched(*arrays):
        inside.append(threading.get_ident())
        assert len(inside) == 1
        seen.add(inside[0])
        try:
            return ask(*arrays)
        finally:
            inside.clear()

    pixels = noise(150, 200)
    monkeypatch.setitem(pixel_models._cores, network, (behind, watched))
    beside = predict(network, pixels, tile=64, probabilities=True).probabilities
    assert threading.get_ident() not in seen
    network.in_flight = 1
    alone = predict(network, pixels, tile=64, probabilities=True).probabilities
    assert threading.get_ident() in seen
    np.testing.assert_array_equal(beside, alone)


def test_a_function_is_called_from_its_own_thread():
    seen = set()

    def model(batch):
        seen.add(threading.get_ident())
        return batch

    predict(model, noise(96, 96, 2), tile=32)
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize("shape", [(101, 94), (16, 16), (5, 50), (1, 1)])
def test_whole_prediction_equals_the_model_itself(network, shape):
    pixels = np.random.default_rng(1).integers(0, 60000, shape).astype(np.uint16)
    expected = keras.ops.convert_to_numpy(network(pixels[None, ..., None].astype(np.float32)))
    result = predict(network, pixels, probabilities=True)
    np.testing.assert_allclose(result.probabilities, expected[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(151, 237), (128, 128), (210, 61)])
def test_tiled_prediction_equals_the_whole_one_where_tiles_see_enough(network, shape):
    pixels = noise(*shape) * 40 + np.linspace(0, 300, shape[1])
    whole = predict(network, pixels, probabilities=True).probabilities
    tiled = predict(network, pixels, tile=64, overlap=32, probabilities=True).probabilities
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_statistics_come_from_the_whole_micrograph():
    pixels = keras.Input((None, None, 1))
    x = Normalize(name="normalize", limit=100.0)(pixels)
    model = keras.Model(pixels, keras.layers.Rescaling(1.0)(x))
    image = np.concatenate([np.zeros((64, 64)), np.full((64, 64), 200.0)], axis=1)
    result = predict(model, image, tile=32, overlap=0, probabilities=True)
    np.testing.assert_allclose(result.probabilities[..., 0], image / 100 - 1, atol=1e-6)


def test_a_network_without_normalisation_gets_raw_pixels():
    pixels = keras.Input((None, None, 1))
    model = keras.Model(pixels, keras.layers.Rescaling(2.0)(pixels))
    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    result = predict(model, image, tile=32, probabilities=True)
    np.testing.assert_allclose(result.probabilities[..., 0], 2.0 * image, rtol=1e-6)


def test_the_core_is_built_once_and_dies_with_its_model():
    pixels = keras.Input((None, None, 1))
    x = Normalize(name="normalize")(pixels)
    model = keras.Model(pixels, keras.layers.Rescaling(1.0)(x))
    predict(model, noise(32, 32))
    core = pixel_models._cores[model]
    predict(model, noise(40, 40))
    assert pixel_models._cores[model] is core
    alive = weakref.ref(model)
    del model, core
    gc.collect()
    assert alive() is None


def test_flips_make_the_prediction_mirror_symmetric(network):
    image = noise(60, 52)
    straight = predict(network, image, flips=True, probabilities=True).probabilities
    mirrored = predict(network, image[::-1, ::-1], flips=True, probabilities=True).probabilities
    np.testing.assert_allclose(mirrored[::-1, ::-1], straight, atol=1e-5)
    plain = predict(network, image, probabilities=True).probabilities
    assert np.abs(plain - straight).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, bool])
def test_pixels_of_any_real_dtype_are_taken(network, dtype):
    image = (blobs(40, 40) * 200).astype(dtype)
    assert predict(network, image).classes.shape == (40, 40)


def test_colour_becomes_grey_for_a_model_of_one_channel(network):
    image = np.repeat(blobs(40, 40)[..., None] * np.uint8(200), 3, axis=2)
    np.testing.assert_array_equal(
        predict(network, image).classes, predict(network, image[..., 0]).classes
    )


def test_grey_is_repeated_for_a_model_of_three_channels():
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, keras.layers.Rescaling(1.0)(pixels))
    result = predict(model, blobs(40, 40), probabilities=True)
    assert (result.probabilities == blobs(40, 40)[..., None]).all()


def test_calibration_name_and_class_names_are_carried():
    micrograph = Micrograph(blobs(40, 40)[..., None], nm_per_pixel=(0.5, 0.4), name="a.tif")
    result = predict(partial(one_hot, classes=2), micrograph, class_names=["void"])
    assert (result.nm_per_pixel, result.name) == ((0.5, 0.4), "a.tif")
    assert result.class_names == ("void",)
    assert result.probabilities is None
    assert result.scores is None


def test_a_path_is_read(tmp_path):
    truth = blobs(50, 60)
    cv2.imwrite(str(tmp_path / "a.png"), truth)
    result = predict(partial(one_hot, classes=2), tmp_path / "a.png")
    np.testing.assert_array_equal(result.classes, truth)
    assert result.name == "a.png"


def test_class_names_of_the_weights_are_the_default():
    class Threshold:
        class_names = ("particle",)

        def predict_probabilities(self, pixels):
            return one_hot((pixels > 100).astype(int)[..., None], classes=2)

    result = predict(Threshold(), np.array([[0, 200]], np.uint8), probabilities=True)
    assert result.class_names == class_names_of(Threshold()) == ("particle",)
    np.testing.assert_array_equal(result.classes, [[0, 1]])
    assert class_names_of(identity) == ()


def test_a_constant_image_gives_a_result(network):
    result = predict(network, np.full((40, 40), 7, np.uint8), probabilities=True)
    assert np.isfinite(result.probabilities).all()


def test_small_instances_are_dropped_and_numbers_stay_dense():
    classes = np.zeros((10, 20), np.uint8)
    classes[1:4, 1:4] = classes[6, 6] = classes[5:9, 12:18] = 1
    instances = label_instances(classes, min_area_px=9)
    assert np.bincount(instances.ravel()).tolist()[1:] == [9, 24]
    assert instances.dtype == np.int32
    assert instances[6, 6] == 0


def discs(*circles, shape=(80, 120)):
    mask = np.zeros(shape, np.uint8)
    for row, col, radius in circles:
        mask[disk((row, col), radius, shape=shape)] = 1
    return mask


@pytest.mark.parametrize(
    ("circles", "parts"),
    [
        ([(40, 40, 18)], 1),
        ([(40, 40, 18), (40, 72, 18)], 2),
        ([(40, 40, 20), (40, 68, 9)], 2),
        ([(40, 40, 18), (40, 46, 18)], 1),
        ([(20, 30, 12), (20, 52, 12), (39, 41, 12)], 3),
        ([(0, 40, 20), (0, 75, 20)], 2),
    ],
)
def test_watershed_splits_discs_that_touch_and_no_others(circles, parts):
    classes = discs(*circles)
    instances = label_instances(classes, method="watershed")
    assert instances.max() == parts
    np.testing.assert_array_equal(instances > 0, classes > 0)
    centres = {int(instances[row, col]) for row, col, _ in circles}
    assert len(centres) == parts


def test_watershed_cut_is_at_the_neck():
    instances = label_instances(discs((40, 40, 18), (40, 70, 18)), method="watershed")
    areas = np.bincount(instances.ravel())[1:]
    assert abs(areas[0] - areas[1]) <= 0.03 * areas.sum()


def test_watershed_cuts_more_with_a_wider_neck():
    near = discs((40, 40, 18), (40, 62, 18))
    counts = [label_instances(near, method=Watershed(neck=neck)).max() for neck in (0, 0.7, 0.95)]
    assert counts == [1, 1, 2]
    np.testing.assert_array_equal(
        label_instances(near, method=Watershed()), label_instances(near, method="watershed")
    )


def test_watershed_with_a_threshold_leaves_out_unsure_pixels():
    classes = discs((40, 40, 18), (40, 84, 18))
    bridge = np.zeros(classes.shape, bool)
    bridge[32:48, 50:74] = True
    bridge &= classes == 0
    foreground = np.where(bridge, 0.6, np.where(classes > 0, 0.9, 0.1))
    probabilities = np.stack([1 - foreground, foreground], axis=-1)
    options = {"instances": Watershed(neck=0, threshold=0.7), "probabilities": True}
    found = predict(identity, probabilities, **options)
    np.testing.assert_array_equal(found.classes, (classes > 0) | bridge)
    np.testing.assert_array_equal(found.instances > 0, classes > 0)
    np.testing.assert_allclose(found.scores, [0.9, 0.9], rtol=1e-6)
    assert predict(identity, probabilities, instances=Watershed(neck=0)).instances.max() == 1


def test_watershed_leaves_a_long_rod_whole():
    rod = np.zeros((60, 60), np.uint8)
    rod[20:28, 3:57] = 1
    turned = (ndimage.rotate(rod.astype(float), 30, reshape=False, order=1) > 0.5).astype(np.uint8)
    assert label_instances(rod, method="watershed").max() == 1
    assert label_instances(turned, method="watershed").max() == 1


def test_watershed_leaves_a_region_that_is_too_large_whole(monkeypatch):
    monkeypatch.setattr(regions, "LARGEST_SPLIT", 1000)
    instances = label_instances(discs((40, 40, 18), (40, 72, 18)), method="watershed")
    assert instances.max() == 1


def test_splitting_nothing_changes_nothing():
    empty = np.zeros((5, 5), np.int32)
    split_touching(empty)
    assert not empty.any()


def test_no_instances_on_request_takes_no_memory():
    instances = predict(identity, noise(64, 64, 2), instances=None).instances
    assert instances.shape == (64, 64)
    assert instances.strides == (0, 0)
    assert not instances.any()


def test_scores_are_the_mean_probability_of_the_class():
    classes = np.array([[1, 1, 0], [0, 0, 2]], np.uint8)
    instances = np.array([[1, 1, 0], [0, 0, 2]], np.int32)
    probabilities = np.zeros((2, 3, 3), np.float32)
    probabilities[0, :2, 1] = 0.6, 0.8
    probabilities[1, 2, 2] = 0.5
    scores = instance_scores(instances, classes, probabilities)
    np.testing.assert_allclose(scores, [0.7, 0.5], rtol=1e-6)


def test_scores_of_nothing_are_empty():
    result = predict(partial(one_hot, classes=2), np.zeros((9, 9), int), probabilities=True)
    assert result.scores.shape == (0,)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "passwd"),
        ("day 1\\grid:3.tif", "grid_3"),
        ("", "micrograph"),
        ("..", "micrograph"),
        ("Ü.dm3", "Ü"),
    ],
)
def test_file_names_stay_in_the_folder(name, stem):
    assert file_stem(name) == stem


def test_progress_bar_reaches_all_tiles(capsys):
    predict(identity, noise(64, 96, 1), tile=32, overlap=0, progress=True)
    assert "100%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((0, 5)), r"must have pixels\. Received: shape=\(0, 5\)"),
        (np.zeros(5), r"shape \(H, W\) or \(H, W, C\)\. Received: shape=\(5,\)"),
        (np.zeros((1, 8, 8, 1)), r"Pass one image, not a batch"),
        (np.zeros((8, 8), complex), r"must be real numbers.*dtype=complex128"),
        (np.full((8, 8), np.nan), r"pixels must be finite\. Received: NaN"),
        (np.full((8, 8), np.inf), r"infinite values, first in rows 0 to"),
    ],
)
def test_images_that_are_none_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        predict(identity, pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 100}, r"multiple of 32 for this model\. Received: tile=100\. Use 96 or 128"),
        ({"tile": 0}, r"tile must be positive\. Received: tile=0"),
        ({"tile": 64, "overlap": 64}, r"less than the tile\. Received: overlap=64 with tile=64"),
        ({"overlap": -1}, r"overlap must be at least 0.*Received: overlap=-1"),
        (
            {"instances": "blobs"},
            r'"components", "watershed" or None\. Received: instances=\'blobs',
        ),
        ({"instances": 0.8}, r"Received: instances=0\.8\. Use one of them, or Watershed\(neck"),
        ({"batch_size": 0}, r"batch_size must be at least 1"),
        ({"min_score": 0.5}, r"min_score is for models that detect.*Received: min_score=0\.5"),
        ({"class_names": ["a", "b"]}, r"class_names must name.*a model of 2 classes\. Pass 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        predict(identity, noise(64, 64, 2), **options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neck": 1.2}, r"neck must be from 0 to 1\. Received: neck=1\.2"),
        ({"neck": -0.1}, r"neck must be from 0 to 1\. Received: neck=-0\.1"),
        ({"threshold": 0.3}, r"threshold must be from 0\.5 to below 1\. Received: threshold=0\.3"),
        ({"threshold": 1.0}, r"threshold must be.*Received: threshold=1\.0\. Use 0\.7, or None"),
    ],
)
def test_watershed_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Watershed(**settings)


def test_a_model_that_is_no_segmentation_is_refused():
    with pytest.raises(ValueError, match=r"must return \(B, H, W, classes\).*Received: \(1,\)"):
        predict(lambda batch: batch.mean(axis=(1, 2, 3)), noise(32, 32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_refused(value):
    """It would be called background; by tiles, by the whole image, by a network of Keras."""
    spoilt = noise(32, 32)

    def network(batch):
        answer = identity(batch)
        answer[0, 3, 4, 0] = value
        return answer

    class Whole:
        name = "diverged"

        def predict_probabilities(self, pixels):
            return np.full((*pixels.shape[:2], 2), value)

    with pytest.raises(ValueError, match=r"answer must be finite. Received: 1 NaN .* of 1024 from"):
        predict(network, spoilt)
    with pytest.raises(ValueError, match=r"Received: 2048 NaN or infinite .* from diverged, for"):
        predict(Whole(), spoilt)


def test_a_network_whose_weights_are_nan_finds_nothing_and_says_so():
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    model.trainable_variables[-1].assign([np.nan, np.nan])
    with pytest.raises(ValueError, match=r"must be finite.*2048 NaN .*training diverged: take"):
        predict(model, noise(32, 32))


def test_an_answer_of_another_size_is_refused():
    class Half:
        def predict_probabilities(self, pixels):
            return np.zeros((len(pixels) // 2, pixels.shape[1], 2))

    with pytest.raises(ValueError, match=r"must return \(B, H, W, classes\).*\(1, 4, 8, 2\)"):
        predict(Half(), np.zeros((8, 8)))


def test_auto_cuts_touching_particles_of_a_model_that_labels_pixels():
    rows, columns = np.mgrid[:60, :90]
    pixels = np.zeros((60, 90), np.uint8)
    for centre in (25, 63):  # two discs that touch
        pixels[(rows - 30) ** 2 + (columns - centre) ** 2 < 20**2] = 200

    def bright(batch):
        lit = (batch > 100).astype(np.float32)
        return np.concatenate([1 - lit, lit], axis=-1)

    counts = {
        how: predict(bright, pixels, instances=how).instances.max()
        for how in ("components", "watershed", "auto")
    }
    assert counts == {"components": 1, "watershed": 2, "auto": 2}


@pytest.mark.parametrize("lines", [[0, 1, 2], [2, 1], [1, 0, 1], [3, 4, 3, 2]])
def test_a_tile_that_is_reflected_is_cut_so(lines):
    channels = np.arange(5 * 6).reshape(5, 6, 1)
    lines, places = np.array(lines), np.array([1, 2, 3])
    expected = channels[lines[:, None], places]
    np.testing.assert_array_equal(tiling._cut(channels, lines, places), expected)


def test_a_micrograph_alone_is_predicted_by_the_shipped_weights():
    pixels = temzoo.synthetic.synthesize(3, size=(96, 96), n_particles=4)[0].pixels
    alone = temzoo.predict(pixels)
    model = temzoo.get_model("particles", weights="emps", compile=False)
    np.testing.assert_array_equal(alone.instances, temzoo.predict(model, pixels).instances)
    assert alone.class_names == ("particle",)
    with pytest.raises(ValueError, match="a micrograph must be real numbers"):
        temzoo.predict(model)


def test_a_function_is_told_how_far_it_is_and_can_end_it():
    told = []
    predict(identity, noise(64, 96, 1), tile=32, overlap=0, progress=lambda *one: told.append(one))
    assert told[0] == (1 / 6, "tile 1 of 6")
    assert told[-1] == (1.0, "tile 6 of 6")

    def stop(share, text):
        raise InterruptedError(text)

    with pytest.raises(InterruptedError, match="tile 1 of 6"):
        predict(identity, noise(64, 96, 1), tile=32, overlap=0, progress=stop)
