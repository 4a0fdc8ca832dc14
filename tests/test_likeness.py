"""Whether images look unlike those that a model was trained on."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.covariance import LedoitWolf

from temzoo.core.types import Micrograph
from temzoo.evaluation import unlike_images
from temzoo.evaluation.unlike_images import ARRAYS, FEATURES, WINDOW, WINDOWS, Likeness, features
from temzoo.models.layers import Normalize


def blobs(seed: int, size: int = 256, width: float = 3.0) -> np.ndarray:
    """Smooth random ground, (size, size) uint8."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), width)
    return np.clip(128 + 40 * field / field.std(), 0, 255).astype(np.uint8)


def noise(size: int = 256) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (size, size)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    pixels = keras.Input((None, None, 1))
    return keras.Model(pixels, Normalize(name="normalize")(pixels))


@pytest.fixture(scope="module")
def likeness(model):
    return Likeness.fit(model, [blobs(seed) for seed in range(12)])


def test_unlike_images_are_noticed(likeness, model):
    stripes = np.tile(np.uint8([40, 40, 220, 220]), (256, 64))
    for unlike in (noise(), blobs(3, width=1.5), blobs(3, width=6), stripes, np.full((9, 9), 7)):
        assert likeness.unlike(model, unlike)


@pytest.mark.parametrize("size", [128, 140, 256, 700])
def test_like_images_are_let_through_whatever_their_size(likeness, model, size):
    distances = [likeness.distance(model, blobs(seed, size)) for seed in range(50, 62)]
    assert max(distances) < likeness.margin
    assert np.median(distances) > 0.4
    assert not likeness.unlike(model, blobs(50, size))


def test_bit_depth_gain_and_offset_do_not_matter(likeness, model):
    image = blobs(70)
    same = image.astype(np.uint16) * 200 + 1000
    assert likeness.distance(model, same) == pytest.approx(likeness.distance(model, image), 1e-3)


def test_one_image_has_one_distance(likeness, model):
    again = Likeness.fit(model, [blobs(seed) for seed in range(12)])
    assert again.distance(model, blobs(60)) == likeness.distance(model, blobs(60))


def test_the_unit_is_the_largest_distance_of_as_many_windows_left_out(model):
    images = [blobs(seed) for seed in range(4)]
    likeness = Likeness.fit(model, images)
    windows = [features(model.get_layer("normalize"), image) for image in images]
    squares = np.empty((4, 4))
    for out in range(4):
        others = np.concatenate([each for n, each in enumerate(windows) if n != out])
        squares[out] = unlike_images._squares(unlike_images._gaussian(others), windows[out])
    means = np.sqrt(squares.mean(axis=1))
    assert likeness.limits[0] == pytest.approx(np.sqrt(squares.max()))
    two = np.sqrt((squares[:, 1:] + squares[:, :-1]).max() / 2)
    assert likeness.limits[1] == pytest.approx(two)
    np.testing.assert_allclose(likeness.limits[3:], means.max())  # there are no more than four
    np.testing.assert_allclose(likeness.training, means / means.max())


def test_colour_counts_by_its_luma(likeness, model):
    grey = blobs(61)
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert likeness.distance(model, colour) == likeness.distance(model, grey)


def test_features_are_quantiles_and_octaves_of_the_normalised_window(model):
    image = blobs(0, WINDOW)
    found = dict(zip(FEATURES, features(model.get_layer("normalize"), image)[0], strict=True))
    window = np.asarray(model(image[None, ..., None].astype(np.float32)), float)[0, ..., 0]
    assert found["quantile 0.25"] == pytest.approx(np.percentile(window, 25), abs=1e-4)
    octave = gaussian_filter(window, 1.4) - gaussian_filter(window, 2.8)
    assert np.exp(found["strength 2.8 px"]) == pytest.approx(octave.std() + 0.01, rel=1e-4)
    peak = (np.abs(octave).mean() + 0.01) / (octave.std() + 0.01)
    assert np.exp(found["peak 2.8 px"]) == pytest.approx(peak, rel=1e-4)
    cells = [
        octave[r : r + 32, c : c + 32].std() for r in range(0, 128, 32) for c in (0, 32, 64, 96)
    ]
    expected = np.std(np.log(np.array(cells) + 0.01))
    assert found["patchiness 2.8 px"] == pytest.approx(expected, rel=1e-3)
    rest = gaussian_filter(window, 11.2).std()
    assert np.exp(found["strength of the rest"]) == pytest.approx(rest + 0.01, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "count"), [(40, 1), (128, 1), (181, 1), (182, 2), (256, 4), (900, WINDOWS)]
)
def test_an_image_gives_as_many_windows_as_fit(model, size, count):
    assert features(model.get_layer("normalize"), blobs(1, size)).shape == (count, len(FEATURES))


def test_images_left_out_take_their_group_along(model):
    twins = [blobs(seed) for seed in range(5) for _ in range(2)]
    alone = Likeness.fit(model, twins)
    together = Likeness.fit(model, twins, groups=[f"g{n // 2}" for n in range(10)])
    assert together.limits[-1] > 1.2 * alone.limits[-1]


def test_the_distance_is_that_of_ledoit_and_wolf():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(40, 12)) @ rng.normal(size=(12, 12)) + 5
    standard = (windows - windows.mean(0)) / windows.std(0)
    expected = LedoitWolf(assume_centered=True).fit(standard).mahalanobis(standard)
    found = unlike_images._squares(unlike_images._gaussian(windows), windows)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_images_that_are_all_the_same_do_no_harm(model):
    likeness = Likeness.fit(model, [blobs(0)] * 3)
    assert likeness.distance(model, blobs(0)) <= 1
    assert likeness.unlike(model, noise())


def test_the_warning_names_image_and_distance(likeness, model):
    image = Micrograph(noise(), name="b.tif")
    distance = likeness.distance(model, image)
    assert likeness.warning(model, image) == (
        f"b.tif looks unlike the training images (distance {distance:.1f} times the largest of"
        " theirs): do not trust its colours"
    )
    assert likeness.warning(model, noise(), what="detail").startswith("the image looks unlike")
    assert likeness.warning(model, noise(), what="detail").endswith("do not trust its detail")
    assert likeness.warning(model, blobs(51)) is None


def test_saved_and_loaded_it_says_the_same(likeness, model, tmp_path):
    path = tmp_path / "run" / "likeness.npz"
    likeness.save(path)
    again = Likeness.load(path)
    assert again.distance(model, blobs(62)) == likeness.distance(model, blobs(62))
    assert again.margin == likeness.margin
    assert [file.name for file in path.parent.iterdir()] == ["likeness.npz"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        Likeness.load(tmp_path / "none.npz")


NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"
NPY += b" " * (10 + 0x76 - 1 - len(NPY)) + b"\n" + bytes(8)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off", NPY])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npz must be a file of Likeness\.save"):
        Likeness.load(path)


def stored(likeness, path) -> dict[str, np.ndarray]:
    likeness.save(path)
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"centre": None}, "no centre"),
        ({"names": np.zeros(21)}, "version 1, or other features"),
        ({"version": np.array(2)}, "version 2, or other features"),
        ({"spread": np.ones(3)}, r"spread is float64 \(3,\), not finite floats \(21,\)"),
        ({"margin": np.array(np.nan)}, "margin is float64"),
        ({"limits": np.zeros(WINDOWS)}, "limits is not above 0"),
        ({"precision": np.array([[{}]])}, "Object arrays cannot be loaded"),
    ],
)
def test_a_changed_file_is_refused(likeness, tmp_path, change, told):
    path = tmp_path / "changed.npz"
    arrays = {**stored(likeness, path), **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=told):
        Likeness.load(path)


def test_a_damaged_file_is_refused(likeness, tmp_path):
    path = tmp_path / "damaged.npz"
    likeness.save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.npz must be a file of Likeness\.save"):
        Likeness.load(path)


def test_every_array_is_checked(likeness, tmp_path):
    assert set(stored(likeness, tmp_path / "a.npz")) == {*ARRAYS, "names", "version"}


def test_three_images_of_different_groups_are_needed(model):
    images = [blobs(0), blobs(1)]
    with pytest.raises(ValueError, match=r"3 training images.*Received: 2 images in 2 groups"):
        Likeness.fit(model, images)
    with pytest.raises(ValueError, match=r"Received: 3 images in 1 groups"):
        Likeness.fit(model, [*images, blobs(2)], groups=["a"] * 3)


def test_each_image_has_a_group(model):
    with pytest.raises(ValueError, match=r"2 groups for 3 images\. Give one for each"):
        Likeness.fit(model, [blobs(n) for n in range(3)], groups=["a", "b"])


def test_a_margin_below_one_is_refused(model):
    with pytest.raises(ValueError, match=r"margin is 1 or more\. Received: margin=0\.5"):
        Likeness.fit(model, [], margin=0.5)


def test_a_model_that_does_not_normalise_is_refused():
    pixels = keras.Input((None, None, 1))
    plain = keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))
    with pytest.raises(ValueError, match=r'a layer named "normalize"\. Received'):
        Likeness.fit(plain, [blobs(0)])
