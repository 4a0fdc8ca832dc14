"""Figures of a latent space against closed forms and scikit-learn; pictures by their pixels."""

import base64
import csv
import json
import re

import cv2
import matplotlib
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import temzoo
from temzoo import latent
from temzoo.latent import information
from temzoo.pages import latent_page
from temzoo.pages.latent_page import latent_report
from temzoo.pictures import latent_mosaics, latent_scatter, sheets


class Linear:
    """Principal components by SVD: the best linear encoder and decoder there is."""

    def __init__(self, images, latent_dim, *, posterior=False):
        flat = images.reshape(len(images), -1)
        self.image_size, self.latent_dim, self.posterior = images.shape[1], latent_dim, posterior
        self.shape, self.mean = images.shape[1:], flat.mean(axis=0)
        _, values, axes = np.linalg.svd(flat - self.mean, full_matrices=False)
        self.axes = axes[:latent_dim]
        self.scale = values[:latent_dim] / np.sqrt(len(flat)) if posterior else np.ones(latent_dim)

    def encode(self, x):
        z = (x.reshape(len(x), -1) - self.mean) @ self.axes.T / self.scale
        return (z, np.full(z.shape, -3.0)) if self.posterior else (z,)

    def decode(self, z):
        flat = (z * self.scale) @ self.axes + self.mean
        return np.clip(flat, 0, 1).reshape(len(z), *self.shape)


class Grey:
    """Decodes a code to flat pictures, so that a picture's grey tells the code it was made of."""

    image_size = 4

    def __init__(self, weights):
        self.weights = np.asarray(weights, float)
        self.latent_dim = len(self.weights)

    def encode(self, x):
        return (np.tile(x.mean(axis=(1, 2)), (1, self.latent_dim)),)

    def decode(self, z):
        return np.tile((0.5 + z @ self.weights)[:, None, None, None], (1, 4, 4, 1))


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Pictures are written at a third of their resolution, for time's sake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "DPI", 50)
        yield


@pytest.fixture(scope="module")
def digits():
    """The lecture's digits, (1797, 8, 8, 1) in [0, 1], and which they are."""
    bundle = load_digits()
    return (bundle.images[..., None] / 16).astype(np.float32), bundle.target


@pytest.fixture(scope="module")
def encoded(digits):
    return latent.encode_images(Linear(digits[0], 6, posterior=True), digits[0])


@pytest.fixture
def shown(monkeypatch):
    """The figures that are written, for a look at their axes."""
    found = []
    original = latent_mosaics.write_figure
    for module in (latent_mosaics, latent_scatter):
        monkeypatch.setattr(
            module, "write_figure", lambda f, path: found.append(f) or original(f, path)
        )
    return found


def known_code(count=2000):
    """Three independent factors, and a code that holds diameter and cosine of the angle."""
    rng = np.random.default_rng(0)
    factors = {
        "diameter_nm": rng.uniform(5, 20, count),
        "angle_deg": rng.uniform(0, 180, count),
    }
    turn = np.deg2rad(2 * factors["angle_deg"])
    codes = np.column_stack([rng.normal(size=count), factors["diameter_nm"], np.cos(turn)])
    return codes, factors


def written(path):
    """(H, W, 3) pixels of a picture."""
    return cv2.imread(str(path))


# Encoding and the way back


def test_encoding_in_batches_is_encoding_at_once(digits):
    model = Linear(digits[0], 5, posterior=True)
    parts = latent.encode_images(model, digits[0], batch=100)
    mean, log_variance = model.encode(digits[0])
    np.testing.assert_allclose(parts.means, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts.log_variances, log_variance)
    assert parts.poses is None


def test_images_without_a_channel_axis_are_taken(digits):
    model = Linear(digits[0], 2)
    flat = latent.encode_images(model, digits[0][..., 0])
    np.testing.assert_array_equal(flat.means, latent.encode_images(model, digits[0]).means)
    assert flat.log_variances is None


@pytest.mark.parametrize("shape", [(3, 9, 8, 1), (8, 8), (0, 8, 8, 1)])
def test_images_of_another_size_are_refused(digits, shape):
    with pytest.raises(ValueError, match=r"images must be \(N, 8, 8\).*Received.*resize"):
        latent.encode_images(Linear(digits[0], 2), np.zeros(shape))


def test_images_that_are_not_finite_are_refused(digits):
    with pytest.raises(ValueError, match=r"images must be finite.*Received: NaN"):
        latent.encode_images(Linear(digits[0], 2), np.full((2, 8, 8), np.nan))


def test_a_model_of_any_size_has_no_latent_vector(digits):
    model = Linear(digits[0], 2)
    model.image_size = None
    with pytest.raises(ValueError, match=r"latent vector.*image_size=None.*skips=False"):
        latent.encode_images(model, digits[0])


def test_activity_orders_the_dimensions():
    encoded = latent.Encoded(np.array([[0, 5, 1], [0, -5, 2]], np.float32))
    np.testing.assert_allclose(encoded.activity, [0, 25, 0.25])
    assert encoded.order.tolist() == [1, 2, 0]


# Figures


def test_reconstruction_error_is_the_variance_that_pca_leaves(digits):
    images = digits[0]
    model = Linear(images, 10)
    model.decode = lambda z: (z @ model.axes + model.mean).reshape(-1, 8, 8, 1)  # unclipped
    error = latent.reconstruction_error(model, images)
    flat = images.reshape(len(images), -1).astype(np.float64)
    peer = PCA(10, svd_solver="full").fit(flat)
    again = peer.inverse_transform(peer.transform(flat))
    np.testing.assert_allclose(error.per_image, ((flat - again) ** 2).mean(axis=1), rtol=1e-3)
    left = flat.var(axis=0).sum() * (1 - peer.explained_variance_ratio_.sum()) / 64
    assert error.mean == pytest.approx(left, rel=1e-4)


def test_a_model_that_can_be_called_gives_the_reconstruction(digits):
    class Perfect(Linear):
        def __call__(self, x):
            return x

    assert latent.reconstruction_error(Perfect(digits[0], 2), digits[0]).mean == 0


def test_a_reconstruction_of_another_shape_is_refused(digits):
    class Colour(Linear):
        def __call__(self, x):
            return np.repeat(x, 3, axis=-1)

    with pytest.raises(ValueError, match=r"must have the shape of its images.*8, 8, 3"):
        latent.reconstruct(Colour(digits[0], 2), digits[0])


def test_kl_agrees_with_its_integral():
    mean, log_variance = np.array([[0.7, 0.0, -2.0]]), np.array([[-1.2, 0.0, 0.6]])
    kl = latent.kl_per_dimension(mean, log_variance)
    x = np.linspace(-20, 20, 200_001)
    for k in range(3):
        scale = np.exp(log_variance[0, k] / 2)
        q = norm.pdf(x, mean[0, k], scale)
        integrand = q * (norm.logpdf(x, mean[0, k], scale) - norm.logpdf(x))
        assert kl[k] == pytest.approx(trapezoid(integrand, x), abs=1e-6)
    assert kl[1] == 0


def test_kl_is_the_mean_over_the_images():
    means = np.array([[1.0, 2.0], [3.0, 0.0]])
    np.testing.assert_allclose(latent.kl_per_dimension(means, np.zeros((2, 2))), [2.5, 1.0])


def test_active_units_vary_by_more_than_a_hundredth():
    spread = np.array([1.0, 0.11, 0.09, 0.0])  # variances 1, 0.0121, 0.0081, 0
    means = np.array([[1.0], [-1.0]]) * spread + 7
    assert latent.active_units(means).tolist() == [True, True, False, False]


def test_information_agrees_with_scikit_learn():
    codes, factors = known_code(500)
    gap = latent.mutual_information_gap(codes, factors, bins=8, periods={"angle_deg": 180})
    for name, values in factors.items():
        binned = information.equal_count_bins(values, 8)
        expected = [mutual_info_score(information.equal_count_bins(c, 8), binned) for c in codes.T]
        np.testing.assert_allclose(gap.information[name], expected)
        first, second = np.sort(expected)[::-1][:2]
        assert gap.per_factor[name] == pytest.approx((first - second) / np.log(8), rel=1e-3)
    assert gap.score == pytest.approx(np.mean(list(gap.per_factor.values())))


def test_bins_of_equal_counts_are_equally_filled():
    values = np.random.default_rng(1).lognormal(size=1000)
    assert np.bincount(information.equal_count_bins(values, 20)).tolist() == [50] * 20
    assert np.unique(information.equal_count_bins(np.ones(10), 20)).tolist() == [0]


def test_a_factor_in_one_dimension_alone_has_a_gap_near_one():
    codes, factors = known_code()
    gap = latent.mutual_information_gap(codes, {"diameter_nm": factors["diameter_nm"]})
    assert gap.score > 0.9
    assert gap.baseline < 0.02


def test_a_factor_in_two_dimensions_alike_has_no_gap():
    codes, factors = known_code()
    twice = np.column_stack([codes[:, 1], -codes[:, 1], codes[:, 0]])
    gap = latent.mutual_information_gap(twice, {"diameter_nm": factors["diameter_nm"]})
    assert gap.score == pytest.approx(0, abs=1e-9)


def test_the_shuffled_gap_is_what_an_unrelated_code_has():
    rng = np.random.default_rng(2)
    codes, factor = rng.normal(size=(200, 6)), rng.uniform(size=200)
    gap = latent.mutual_information_gap(codes, {"noise": factor}, shuffles=50)
    assert 0.005 < gap.baseline < 0.1  # with 200 images and 20 bins chance is no longer small
    assert gap.score < 3 * gap.baseline
    again = latent.mutual_information_gap(codes, {"noise": factor}, shuffles=50)
    assert gap.baseline == again.baseline
    other = latent.mutual_information_gap(codes, {"noise": factor}, shuffles=50, seed=1)
    assert gap.baseline != other.baseline


def test_one_dimension_has_all_the_gap():
    codes, factors = known_code()
    gap = latent.mutual_information_gap(codes[:, 1:2], {"d": factors["diameter_nm"]})
    assert gap.score == pytest.approx(1)


def test_angles_a_period_apart_are_one():
    codes, factors = known_code()
    angle = factors["angle_deg"]
    turned = angle + 180 * np.random.default_rng(3).integers(-2, 3, len(angle))
    periods = {"a": 180}
    plain = latent.mutual_information_gap(codes, {"a": angle}, periods=periods)
    other = latent.mutual_information_gap(codes, {"a": turned}, periods=periods)
    assert other.score == pytest.approx(plain.score, rel=1e-6)
    first = latent.correlations(codes, {"a": angle}, periods=periods)
    second = latent.correlations(codes, {"a": turned}, periods=periods)
    assert list(first) == ["cos a", "sin a"]
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], atol=1e-9)
    assert first["cos a"][2] == pytest.approx(1)
    assert first["sin a"].max() < 0.1


def test_categories_are_taken_as_they_are():
    kinds = np.array(["rod", "cube", "sphere"] * 100)
    codes = np.column_stack([np.tile([0.0, 1.0, 2.0], 100), np.zeros(300)])
    gap = latent.mutual_information_gap(codes, {"kind": kinds})
    assert gap.score == pytest.approx(1)
    agreed = normalized_mutual_info_score(kinds, codes[:, 0])
    assert gap.information["kind"][0] / np.log(3) == pytest.approx(agreed)


def test_correlations_are_numpys():
    codes, factors = known_code(300)
    table = latent.correlations(codes, factors)
    for name, values in factors.items():
        expected = [abs(np.corrcoef(column, values)[0, 1]) for column in codes.T]
        np.testing.assert_allclose(table[name], expected)
    assert table["diameter_nm"][1] == pytest.approx(1)


def test_a_collapsed_dimension_correlates_with_nothing():
    table = latent.correlations(np.ones((4, 1)), {"d": np.arange(4.0)})
    assert table["d"].tolist() == [0]


def test_images_of_unknown_value_are_left_out():
    codes, factors = known_code(400)
    holes = {"d": np.where(np.arange(400) < 50, np.nan, factors["diameter_nm"])}
    whole = {"d": factors["diameter_nm"][50:]}
    table = latent.correlations(codes, holes)
    np.testing.assert_allclose(table["d"], latent.correlations(codes[50:], whole)["d"])
    first = latent.mutual_information_gap(codes, holes)
    assert first.score == latent.mutual_information_gap(codes[50:], whole).score
    kinds = [None, *["a", "b"] * 50]
    gap = latent.mutual_information_gap(codes[:101], {"kind": kinds})
    rest = latent.mutual_information_gap(codes[1:101], {"kind": kinds[1:]})
    assert gap.score == rest.score


@pytest.mark.parametrize("figure", [latent.correlations, latent.mutual_information_gap])
def test_factors_that_do_not_fit_are_refused(figure):
    codes = np.arange(12.0).reshape(6, 2)
    with pytest.raises(ValueError, match=r"must be a factor.*Received: none"):
        figure(codes, {})
    with pytest.raises(ValueError, match=r"one value of 'd'.*\(5,\) for 6 images"):
        figure(codes, {"d": np.arange(5)})
    with pytest.raises(ValueError, match=r"several values.*'d' with \[3.0\] alone.*Leave it out"):
        figure(codes, {"d": np.full(6, 3.0)})
    with pytest.raises(ValueError, match=r"codes must be \(N, D\) finite.*with NaN"):
        figure(codes * np.nan, {"d": np.arange(6)})


def test_text_is_refused_where_numbers_are_needed():
    codes = np.arange(4.0)[:, None]
    with pytest.raises(ValueError, match=r"needs numbers.*text for 'kind'"):
        latent.correlations(codes, {"kind": ["a", "b", "a", "b"]})
    angles = {"angle": [str(number) for number in range(4)]}
    with pytest.raises(ValueError, match=r"goes round must be numbers.*'angle'.*periods"):
        latent.mutual_information_gap(codes, angles, periods={"angle": 180})


def test_nearest_neighbour_agrees_with_scikit_learn(digits, encoded):
    codes, labels = encoded.means, digits[1]
    mine = latent.nearest_neighbour_accuracy(
        codes[:1000], labels[:1000], codes[1000:], labels[1000:]
    )
    peer = KNeighborsClassifier(1).fit(codes[:1000], labels[:1000])
    assert mine == pytest.approx(peer.score(codes[1000:], labels[1000:]))
    assert mine > 0.8


def test_labels_must_be_as_many_as_codes():
    with pytest.raises(ValueError, match=r"one label.*2 labels for 3 training codes"):
        latent.nearest_neighbour_accuracy(np.zeros((3, 1)), [0, 1], np.zeros((1, 1)), [0])


# Pictures


def test_the_manifold_lies_at_normal_quantiles(tmp_path, shown):
    steps = 5
    latent_mosaics.manifold(Grey([0.1, 0.02]), tmp_path / "m.png", steps=steps)
    axis = shown[0].axes[0]
    mosaic = axis.images[0].get_array()[..., 0]
    quantiles = norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    expected = 0.5 + 0.1 * quantiles[None, :] + 0.02 * quantiles[::-1, None]  # upwards
    np.testing.assert_allclose(mosaic[3::6, 3::6], expected, atol=1e-6)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("z0", "z1")
    texts = [text.get_text() for text in axis.get_yticklabels()]
    assert (texts[0], texts[2], texts[-1]) == ("1.28", "0.00", "−1.28")
    assert written(tmp_path / "m.png").shape[2] == 3


def test_the_manifold_shows_the_two_most_active_dimensions_of_many(tmp_path, shown):
    codes = np.random.default_rng(0).normal(size=(500, 4)) * [0.01, 2, 0.02, 1]
    encoded = latent.Encoded(codes.astype(np.float32), np.zeros((500, 4)))
    latent_mosaics.manifold(Grey([9, 0.1, 9, 0.01]), tmp_path / "m.png", steps=3, encoded=encoded)
    axis = shown[0].axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("z1", "z3")
    far = norm.ppf(5 / 6)
    mosaic = axis.images[0].get_array()[3::6, 3::6, 0]
    np.testing.assert_allclose(mosaic[0, 2], 0.5 + 0.11 * far, atol=1e-6)  # the prior's scale


def test_the_manifold_of_a_plain_autoencoder_has_its_codes_scale(tmp_path, shown):
    codes = np.random.default_rng(0).normal(size=(500, 2)) * [20, 10] + [5, 0]
    encoded = latent.Encoded(codes.astype(np.float32))
    latent_mosaics.manifold(Grey([0.001, 0]), tmp_path / "m.png", steps=3, encoded=encoded)
    row = shown[0].axes[0].images[0].get_array()[3, 3::6, 0]
    expected = 0.5 + 0.001 * (
        codes[:, 0].mean() + codes[:, 0].std() * norm.ppf([1 / 6, 0.5, 5 / 6])
    )
    np.testing.assert_allclose(row, expected, atol=1e-4)


def test_the_other_dimensions_lie_in_their_middle(tmp_path, shown):
    latent_mosaics.manifold(Grey([0.1, 0, 9]), tmp_path / "m.png", steps=2)
    mosaic = shown[0].axes[0].images[0].get_array()
    np.testing.assert_allclose(mosaic[3::6, 3::6].mean(), 0.5, atol=1e-6)
    np.testing.assert_allclose(mosaic[::6], latent_mosaics.THREAD)  # between the pictures


def test_a_plane_of_two_dimensions_is_laid_out_as_the_scatter(tmp_path, shown):
    codes = np.random.default_rng(0).normal(size=(50, 2)) * [0.1, 1]
    encoded = latent.Encoded(codes.astype(np.float32))
    latent_mosaics.manifold(Grey([0.1, 0.1]), tmp_path / "m.png", steps=2, encoded=encoded)
    latent_scatter.scatter(encoded.means, tmp_path / "s.png")
    for figure in shown:
        assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("z0", "z1")


def test_a_single_dimension_gives_one_row(tmp_path, shown):
    latent_mosaics.manifold(Grey([0.1]), tmp_path / "m.png", steps=6)
    assert shown[0].axes[0].images[0].get_array().shape == (6, 36, 3)


def test_a_decoder_of_colours_is_drawn_in_colour(tmp_path, shown):
    model = Grey([0.1, 0.1])
    grey = model.decode
    model.decode = lambda z: np.concatenate([grey(z), 0 * grey(z), 0 * grey(z) + 1], axis=-1)
    latent_mosaics.manifold(model, tmp_path / "m.png", steps=2)
    corner = shown[0].axes[0].images[0].get_array()[1, 1]
    assert corner.tolist() == pytest.approx([0.5, 0, 1])


def test_classes_have_a_legend_and_their_points(tmp_path, shown, digits, encoded):
    latent_scatter.scatter(encoded.means, tmp_path / "s.png", digits[1], "class")
    (figure,) = shown
    axis = figure.axes[0]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [str(k) for k in range(10)]
    assert legend.get_title().get_text() == "class"
    first, second = encoded.order[:2]
    expected = encoded.means[digits[1] == 3][:, [first, second]]
    np.testing.assert_allclose(axis.collections[3].get_offsets(), expected, rtol=1e-5)
    looks = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in axis.collections
    }
    assert len(looks) == 10
    assert axis.get_xlabel() == f"z{first} (most active)"


def test_a_measured_number_has_a_bar_with_its_unit(tmp_path, shown):
    codes, factors = known_code(100)
    values = np.where(np.arange(100) < 9, np.nan, factors["diameter_nm"])
    latent_scatter.scatter(codes[:, :2], tmp_path / "s.png", values, "diameter_nm")
    points, bar = shown[0].axes
    assert bar.get_ylabel() == "diameter (nm)"
    grey, coloured = points.collections
    assert (len(grey.get_offsets()), len(coloured.get_offsets())) == (9, 91)
    np.testing.assert_allclose(coloured.get_array(), values[9:])
    assert coloured.get_cmap().name == "viridis"


def test_an_angle_has_a_bar_that_closes(tmp_path, shown):
    codes, _ = known_code(4)
    latent_scatter.scatter(codes, tmp_path / "s.png", [0, 90, 180, -90], "angle_deg", period=180)
    (drawn,) = shown[0].axes[0].collections
    assert drawn.get_array().tolist() == [0, 90, 0, 90]
    assert drawn.get_clim() == (0, 180)
    colours = matplotlib.colormaps[drawn.get_cmap().name]
    np.testing.assert_allclose(colours(0.0), colours(1.0), atol=0.02)
    assert shown[0].axes[1].get_ylabel() == "angle (°)"


def test_names_that_would_collide_are_left_to_the_legend(tmp_path, shown):
    codes = np.array([[0, 0], [0, 0.01], [5, 5], [9, 9]], float)
    latent_scatter.scatter(codes, tmp_path / "s.png", ["a", "b", "c", "d"], "kind")
    assert [text.get_text() for text in shown[0].axes[0].texts] == ["c", "d"]


def test_the_rarest_of_many_kinds_are_grey(tmp_path, shown):
    kinds = [f"k{k:02}" for k in range(25)] * 2 + ["k00"]
    codes = np.random.default_rng(0).normal(size=(51, 2))
    latent_scatter.scatter(codes, tmp_path / "s.png", kinds, "kind")
    texts = [text.get_text() for text in shown[0].legends[0].get_texts()]
    assert len(texts) == 21
    assert texts[-1] == "others"


def test_traversals_change_one_dimension_each(tmp_path, shown):
    codes = np.random.default_rng(0).normal(size=(300, 3)) * [0.5, 0.02, 1]
    encoded = latent.Encoded(codes.astype(np.float32), np.zeros((300, 3)))
    model = Grey([0.1, 0.0, 0.01])
    latent_mosaics.traversals(model, tmp_path / "t.png", steps=3, span=2, encoded=encoded)
    axis = shown[0].axes[0]
    cells = axis.images[0].get_array()[3::6, 3::6, 0]  # 4 pixels and a white border of 1
    np.testing.assert_allclose(cells, 0.5 + np.array([[-0.02, 0, 0.02], [-0.2, 0, 0.2], [0] * 3]))
    names = [text.get_text() for text in axis.get_yticklabels()]
    assert names == ["z2", "z0", "z1 inactive"]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["−2", "0", "+2"]
    assert axis.get_xlabel() == "standard deviations of the prior"


def test_traversals_around_an_image_hold_its_code_and_frame_it(tmp_path, shown):
    model = Grey([0.1, 0.2])
    image = np.full((4, 4, 1), 0.9)  # its code is 0.9 in both dimensions
    latent_mosaics.traversals(model, tmp_path / "t.png", steps=3, span=1, around=image)
    axis = shown[0].axes[0]
    cells = axis.images[0].get_array()[3::6, 3::6, 0]
    expected = [0.5 + 0.1 * np.array([-1, 0, 1]) + 0.18, 0.5 + 0.2 * np.array([-1, 0, 1]) + 0.09]
    np.testing.assert_allclose(cells, expected, atol=1e-6)
    assert [int(frame.get_x() // 6) for frame in axis.patches] == [2, 2]


def test_many_dimensions_are_cut_to_the_most_active(tmp_path, shown):
    encoded = latent.Encoded(np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32))
    latent_mosaics.traversals(Grey(np.zeros(40)), tmp_path / "t.png", encoded=encoded)
    axis = shown[0].axes[0]
    assert len(axis.get_yticks()) == 32
    assert "32 most active of 40" in axis.get_title()
    assert axis.get_xlabel() == "standard deviations of the codes"


def test_reconstructions_go_from_best_to_worst(tmp_path, shown, digits):
    images, model = digits[0], Linear(digits[0], 6)
    latent_mosaics.reconstructions(model, images, tmp_path / "r.png", count=8)
    errors = np.sort(latent.reconstruction_error(model, images).per_image)
    texts = [text.get_text() for axis in shown[0].axes for text in axis.get_xticklabels()]
    ranks = np.linspace(0, len(images) - 1, 8).round().astype(int)
    assert texts == [f"{errors[rank]:#.3g}" for rank in ranks]
    best = latent.reconstruction_error(model, images).per_image.argmin()
    mosaic = shown[0].axes[0].images[0].get_array()[..., 0]
    np.testing.assert_allclose(mosaic[1:9, 1:9], images[best, ..., 0])  # the original above
    again = latent.reconstruct(model, images)[best, ..., 0]
    np.testing.assert_allclose(mosaic[11:19, 1:9], again, atol=1e-6)


def test_images_beyond_one_are_scaled_for_display(tmp_path, shown, digits):
    images = digits[0] * 255
    latent_mosaics.reconstructions(Linear(images, 6), images, tmp_path / "r.png", count=3)
    mosaic = shown[0].axes[0].images[0].get_array()
    assert 0.9 < mosaic[1:9, 1:9].max() <= 1
    assert np.unique(mosaic[1:9, 1:9]).size > 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("diameter_nm", "diameter (nm)"),
        ("feret_min_px", "feret min (px)"),
        ("class", "class"),
        ("nm", "nm"),
        ("aspect_ratio", "aspect ratio"),
    ],
)
def test_units_are_put_in_brackets(name, text):
    assert latent_scatter.named(name) == text


# The report


@pytest.fixture(scope="module")
def report(digits, tmp_path_factory):
    images, target = digits
    values = {
        "class": target,
        "ink_px": np.where(np.arange(len(images)) == 2, np.nan, images.sum(axis=(1, 2, 3))),
        "angle_deg": np.random.default_rng(0).uniform(0, 180, len(images)),
        "always": np.ones(len(images)),
        "a/class": [None, *["<b>odd", "even"] * 898],
    }
    folder = tmp_path_factory.mktemp("latent")
    names = [f"digit, {k}" for k in range(len(images))]
    model = Linear(images, 4, posterior=True)
    paths = latent_report(
        model, images, folder, values=values, names=names, title="Digits & <more>"
    )
    return paths, values, latent.encode_images(model, images)


def test_the_report_writes_what_it_returns_and_nothing_else(report):
    paths, _, _ = report
    assert sorted(paths) == [
        "codes",
        "figures",
        "html",
        "manifold",
        "reconstructions",
        "scatter a/class",
        "scatter angle_deg",
        "scatter class",
        "scatter ink_px",
        "traversals",
    ]
    folder = paths["html"].parent
    assert sorted(folder.iterdir()) == sorted(paths.values())
    assert len(set(paths.values())) == len(paths)
    assert all(written(p).min() < 255 for p in paths.values() if p.suffix == ".png")


def test_the_codes_are_written_with_names_and_values(report):
    paths, values, encoded = report
    with paths["codes"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1797
    assert rows[5]["name"] == "digit, 5"
    assert rows[5]["class"] == str(values["class"][5])
    assert rows[2]["ink_px"] == rows[0]["a/class"] == ""
    assert rows[0]["always"] == "1"
    means = [[float(row[f"mean_{k}"]) for k in range(4)] for row in rows]
    np.testing.assert_allclose(means, encoded.means, rtol=1e-5, atol=1e-6)
    assert float(rows[0]["log_variance_0"]) == -3


def test_the_figures_are_those_of_the_functions(report):
    paths, _, encoded = report
    found = json.loads(paths["figures"].read_text())
    assert found["latent_dim"] == found["active_units"] == 4
    kl = latent.kl_per_dimension(encoded.means, encoded.log_variances)
    assert found["kl"] == pytest.approx(kl.sum())
    assert found["dimensions"]["kl"] == pytest.approx(kl.tolist())
    assert list(found["dimensions"]["correlation"]) == ["ink_px", "cos angle_deg", "sin angle_deg"]
    assert max(found["dimensions"]["correlation"]["cos angle_deg"]) < 0.1
    gap = found["mutual_information_gap"]
    assert list(gap["per_factor"]) == ["class", "ink_px", "angle_deg", "a/class"]
    accuracy = found["nearest_neighbour_accuracy"]
    assert accuracy["class"] > 0.7
    assert 0.4 < accuracy["a/class"] < 0.6  # a coin's


def test_the_page_holds_every_picture_and_fetches_nothing(report):
    paths, _, _ = report
    text = paths["html"].read_text(encoding="utf-8")
    held = [base64.b64decode(d) for d in re.findall(r"data:image/png;base64,([^\"]+)", text)]
    drawn = [path.read_bytes() for path in paths.values() if path.suffix == ".png"]
    assert held == drawn
    assert not re.search(r"https?:|<script|<link|url\(", text)
    assert len(re.findall(r'<img alt="[^"]{10,}"', text)) == len(drawn)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert "Digits &amp; &lt;more&gt;" in text
    assert "<b>" not in text


def test_a_report_without_values_shows_the_bare_codes(tmp_path, digits):
    paths = latent_report(Linear(digits[0], 2), digits[0], tmp_path)
    assert "scatter" in paths
    found = json.loads(paths["figures"].read_text())
    assert found["kl"] is None
    assert found["mutual_information_gap"] is None
    assert "KL divergence" not in paths["html"].read_text(encoding="utf-8")


def test_names_must_be_as_many_as_images(tmp_path, digits):
    with pytest.raises(ValueError, match=r"one name. Received: 1 names for 1797 images"):
        latent_report(Linear(digits[0], 2), digits[0], tmp_path, names=["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_fails_leaves_the_old_one(tmp_path, digits, monkeypatch):
    model = Linear(digits[0], 2)
    old = latent_report(model, digits[0], tmp_path)["html"].read_bytes()
    monkeypatch.setattr(latent_page, "_page", lambda *_: "\ud800")  # no UTF-8
    with pytest.raises(UnicodeEncodeError):
        latent_report(model, digits[0], tmp_path)
    assert (tmp_path / "latent.html").read_bytes() == old
    assert not list(tmp_path.glob(".partial*"))


def test_values_of_like_names_have_files_of_their_own(tmp_path, digits):
    values = {"a b": digits[1], "a:b": digits[1]}
    paths = latent_report(Linear(digits[0], 2), digits[0], tmp_path, values=values)
    assert paths["scatter a b"].name == "scatter_a_b.png"
    assert paths["scatter a:b"].name == "scatter_a_b_2.png"


# Several models


def test_models_are_compared_by_the_same_figures(digits):
    images = digits[0]
    factors = {"ink": images.sum(axis=(1, 2, 3)), "angle_deg": np.arange(len(images)) % 180.0}
    models = {"two": Linear(images, 2), "six": Linear(images, 6, posterior=True)}
    rows = latent.compare(models, images, factors, periods={"angle_deg": 180})
    two, six = rows
    assert (two["model"], two["latent_dim"], two["kl"]) == ("two", 2, None)
    encoded = latent.encode_images(models["six"], images)
    assert six["kl"] == latent.kl_per_dimension(encoded.means, encoded.log_variances).sum()
    assert six["reconstruction_error"] < two["reconstruction_error"]
    assert six["r ink"] == pytest.approx(
        max(abs(np.corrcoef(c, factors["ink"])[0, 1]) for c in encoded.means.T), rel=1e-5
    )
    angles = latent.correlations(encoded.means, factors, periods={"angle_deg": 180})
    both = [angles["cos angle_deg"].max(), angles["sin angle_deg"].max()]
    assert six["r angle_deg"] == max(both)
    table = latent.comparison_table(rows).splitlines()
    assert table[0].startswith("| model | latent_dim | reconstruction_error | kl |")
    assert table[1].startswith("| --- | ---: |")
    assert table[2].startswith("| two | 2 | 0.0")
    assert "| – |" in table[2]
    assert len({line.count("|") for line in table}) == 1


def test_comparing_nothing_is_refused(digits):
    with pytest.raises(ValueError, match=r"must be a model to compare. Received: none"):
        latent.compare({}, digits[0], {"class": digits[1]})


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("autoencoder", {"skips": False, "latent_dim": 3}),
        ("vae", {"latent_dim": 3}),
        ("vae", {"latent_dim": 3, "rotation_invariant": True}),
    ],
)
def test_the_models_of_the_zoo_are_taken(tmp_path, name, config):
    model = temzoo.get_model(name, image_size=16, **config)
    images = np.random.default_rng(0).random((24, 16, 16, 1)).astype(np.float32)
    paths = latent_report(model, images, tmp_path, values={"sum": images.sum(axis=(1, 2, 3))})
    with paths["codes"].open(newline="") as file:
        columns = next(csv.reader(file))
    assert ("log_variance_0" in columns) == (name == "vae")
    assert ("pose_angle_rad" in columns) == config.get("rotation_invariant", False)
    again = latent.reconstruct(model, images)
    np.testing.assert_allclose(again, np.asarray(model(images)), atol=1e-5)


def test_strips_lie_below_each_other_with_their_names(digits, shown, tmp_path):
    dark, bright = np.zeros((3, 8, 8, 1)), np.ones((3, 8, 8, 1))
    latent_mosaics.strips(
        [("original", dark), ("decoded", bright)], tmp_path / "s.png", title="both"
    )
    axis = shown[0].axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["original", "decoded"]
    drawn = np.asarray(axis.images[0].get_array())
    first, second = np.split(drawn[..., 0], 2)
    assert (first == 0).sum() == 3 * 64
    assert (second == 1).all()


def test_strips_of_different_lengths_are_refused(digits, tmp_path):
    rows = [("a", digits[0][:2]), ("b", digits[0][:3])]
    with pytest.raises(ValueError, match=r"as many pictures.*Received: \[\(2, 8.*longer ones"):
        latent_mosaics.strips(rows, tmp_path / "s.png")
    with pytest.raises(ValueError, match=r"rows must be there.*Received: \[\]"):
        latent_mosaics.strips([], tmp_path / "s.png")
