"""The VAE's own arithmetic, against closed forms, SciPy, scikit-learn and OpenCV."""

import math

import cv2
import keras
import numpy as np
import pytest
import scipy.stats
from scipy.integrate import trapezoid
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

import temzoo
from temzoo.models import vae_networks, vae_rotation

SMALL = {"latent_dim": 3, "image_size": 16, "filters": 4, "depth": 2, "hidden": 16}


def build(**config):
    keras.utils.set_random_seed(2)
    return temzoo.get_model("vae", **{**SMALL, **config})


def blobs(count=12, size=16, seed=0):
    """Smooth random pictures, (count, size, size, 1) in [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.random((count, size, size)).astype("float32")
    return np.stack([cv2.GaussianBlur(one, (0, 0), 2) for one in noise])[..., None]


def test_the_divergence_is_its_integral():
    for mean, log_variance in [(0.0, 0.0), (1.5, -1.0), (-0.3, 0.8)]:
        found = float(vae_networks.gaussian_kl(np.float32(mean), np.float32(log_variance)))
        q = scipy.stats.norm(mean, math.exp(log_variance / 2))
        z = np.linspace(-12, 12, 200_001)
        integrand = q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z))
        assert found == pytest.approx(trapezoid(integrand, z), abs=1e-5)
        assert found >= 0


def test_bernoulli_nats_are_scikit_learns_cross_entropy():
    rng = np.random.default_rng(0)
    pixels, logits = rng.integers(0, 2, 50), rng.normal(0, 3, 50).astype("float32")
    nats = vae_networks.Likelihood("bernoulli")(pixels.astype("float32"), logits)
    assert float(np.mean(nats)) == pytest.approx(log_loss(pixels, 1 / (1 + np.exp(-logits))))


@pytest.mark.parametrize("sigma", [0.05, None])
def test_gaussian_nats_are_scipys_density(sigma):
    rng = np.random.default_rng(0)
    pixels, logits = rng.random((2, 50)).astype("float32")
    nats = vae_networks.Likelihood("gaussian", sigma)(pixels, logits)
    deviation = vae_networks.FIRST_SIGMA if sigma is None else sigma
    expected = -scipy.stats.norm.logpdf(pixels, 1 / (1 + np.exp(-logits)), deviation)
    np.testing.assert_allclose(nats, expected, rtol=1e-4, atol=1e-5)


def test_the_learnt_sigma_becomes_that_of_the_noise():
    noisy = np.clip(0.5 + np.random.default_rng(0).normal(0, 0.05, (64, 8, 8, 1)), 0, 1)
    model = build(likelihood="gaussian", image_size=8, latent_dim=1, architecture="dense")
    model.optimizer.learning_rate = 1e-2
    model.fit(noisy.astype("float32"), epochs=40, batch_size=16, verbose=0)
    assert math.exp(float(model.likelihood.log_sigma)) == pytest.approx(0.05, rel=0.1)


def test_the_history_has_the_terms_of_the_bound():
    model = build(warmup=0)
    x = blobs()
    found = model.evaluate(x, verbose=0, return_dict=True)
    mean, log_variance = (np.asarray(each, "float64") for each in model.encode(x))
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1)
    assert found["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    noise = np.asarray(keras.random.normal(mean.shape, seed=0))
    drawn = np.asarray(model.decode(mean + np.exp(log_variance / 2) * noise))
    nats = -(x * np.log(drawn) + (1 - x) * np.log(1 - drawn)).sum(axis=(1, 2, 3))
    assert found["reconstruction"] == pytest.approx(nats.mean(), rel=1e-4)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"], rel=1e-5)


@pytest.mark.parametrize("rotation_invariant", [False, True])
def test_beta_weighs_the_divergence_of_z(rotation_invariant):
    model = build(beta=3.0, rotation_invariant=rotation_invariant)
    x = blobs()
    terms = [np.asarray(each) for each in model.terms(x, training=False)]
    expected = np.mean(terms[0] + 3 * terms[1] + terms[2])
    found = model.evaluate(x, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert found["elbo"] == pytest.approx(-np.mean(sum(terms)), rel=1e-4)
    assert (np.max(terms[2]) > 0) == rotation_invariant


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_has_the_whole_divergence_of_the_pose(training):
    """Without it, angle and shifts would cost nothing, and z could hide in them."""
    model = build(rotation_invariant=True, warmup=10)
    posterior = model.encoder.get_layer("posterior")
    kernel, bias = posterior.get_weights()
    bias[3:6] = 4.0  # of angle, row and column shift: four standard deviations of their priors
    posterior.set_weights([kernel, bias])
    x = blobs()
    loss = float(model.compute_loss(x, training=training))
    reconstruction = float(model.trackers[0].result())
    terms = model.terms(x, training=False)
    of_z, of_pose = float(np.mean(terms.kl)), float(np.mean(terms.pose_kl))
    assert of_pose > 20  # at least 3 x 4² / 2
    beta = 0.1 if training else 1.0  # of z alone; the first of ten steps of the warm-up
    assert loss - reconstruction == pytest.approx(beta * of_z + of_pose, rel=1e-3)


def test_beta_rises_in_the_warmup_alone_and_the_count_is_kept(tmp_path):
    model = build(warmup=4)
    parts = [model.warmup.advance() for _ in range(6)]
    np.testing.assert_allclose(parts, [0.25, 0.5, 0.75, 1, 1, 1])
    again = build(warmup=4)
    again.warmup.advance()
    again.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.warmup.advance()) == 0.5
    assert build(warmup=0).warmup.advance() == 1.0


def test_the_loss_of_a_step_in_the_warmup():
    model = build(warmup=10)
    x = blobs(8)
    before = float(model.warmup.done)
    history = model.fit(x, batch_size=8, verbose=0).history
    assert float(model.warmup.done) == before + 1
    expected = history["reconstruction"][0] + 0.1 * history["kl"][0]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_digits_in_the_latent_are_told_apart_by_their_nearest_neighbour():
    digits = load_digits()
    x = np.kron(digits.images / 16, np.ones((1, 2, 2))).astype("float32")[..., None]
    seen, held, names, truth = train_test_split(
        x, digits.target, test_size=0.25, random_state=0, stratify=digits.target
    )
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("vae", latent_dim=8, image_size=16)
    model.fit(seen, epochs=12, verbose=0)
    near = KNeighborsClassifier(1).fit(np.asarray(model.encode(seen)[0]), names)
    assert near.score(np.asarray(model.encode(held)[0]), truth) >= 0.90


# Turned copies.


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("degrees", [0, 45, 90, 200])
def test_a_turned_copy_is_opencvs(size, degrees):
    x = blobs(2, size)
    found = np.asarray(vae_networks.turned_copies(x, np.deg2rad([degrees])))[:, 0, ..., 0]
    centre = ((size - 1) / 2, (size - 1) / 2)
    # OpenCV's angle is anticlockwise on screen: turning back a clockwise one.
    turn = cv2.getRotationMatrix2D(centre, degrees, 1.0)
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    inside = np.hypot(rows, cols) < size / 2 - 1
    for one, copy in zip(x[..., 0], found, strict=True):
        expected = cv2.warpAffine(one, turn, (size, size), flags=cv2.INTER_LINEAR)
        np.testing.assert_allclose(copy[inside], expected[inside], atol=0.02)
        assert not copy[np.hypot(rows, cols) > size / 2 + 0.5].any()


def test_turns_by_quarters_are_exact():
    x = blobs(3)
    copies = np.asarray(vae_networks.turned_copies(x, np.arange(4) * math.pi / 2))
    for quarter in range(4):
        expected = np.rot90(copies[:, 0], quarter, axes=(1, 2))
        np.testing.assert_allclose(copies[:, quarter], expected, atol=1e-6)


def test_a_thing_at_an_angle_lies_along_the_columns_in_its_copy():
    rows, cols = np.mgrid[:21, :21] - 10.0
    angle = math.radians(30)  # clockwise on screen: down and to the right
    ray = (np.abs(cols * math.sin(angle) - rows * math.cos(angle)) < 1) & (cols > 1)
    copy = np.asarray(
        vae_networks.turned_copies(ray[None, ..., None].astype("float32"), np.array([angle]))
    )
    row, col = np.average(np.argwhere(copy[0, 0, ..., 0] > 0.5) - 10, axis=0)
    assert abs(row) < 0.3
    assert col > 3


# Without angle and shift.


@pytest.fixture(scope="module")
def invariant():
    keras.utils.set_random_seed(3)
    return temzoo.get_model("vae", **SMALL, rotation_invariant=True)


def test_a_quarter_turn_of_the_picture_changes_the_angle_alone(invariant):
    x = blobs(20)
    mean, log_variance, pose = (np.asarray(each) for each in invariant.encode(x))
    clockwise = np.rot90(x, -1, axes=(1, 2))
    turned = [np.asarray(each) for each in invariant.encode(clockwise)]
    np.testing.assert_allclose(turned[0], mean, atol=1e-4)
    np.testing.assert_allclose(turned[1], log_variance, atol=1e-4)
    difference = np.angle(np.exp(1j * (turned[2][:, 0] - pose[:, 0])))
    np.testing.assert_allclose(difference, math.pi / 2, atol=1e-4)
    assert (np.abs(turned[2][:, 0]) <= math.pi + 1e-6).all()
    # Clockwise, what was down goes left and what was right goes down.
    np.testing.assert_allclose(turned[2][:, 1], pose[:, 2], atol=1e-4)
    np.testing.assert_allclose(turned[2][:, 2], -pose[:, 1], atol=1e-4)


def test_the_pose_turns_and_shifts_what_is_drawn(invariant):
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    upright = np.asarray(invariant.decode(z))
    pose = np.zeros((4, 3), "float32")
    pose[:, 0] = math.pi / 2
    turned = np.asarray(invariant.decode(z, pose))
    np.testing.assert_allclose(turned, np.rot90(upright, -1, axes=(1, 2)), atol=1e-4)
    shifted = np.asarray(invariant.decode(z, np.array([[0, 2, -3]] * 4, "float32")))
    np.testing.assert_allclose(shifted[:, 2:, :-3], upright[:, :-2, 3:], atol=1e-4)


def test_the_terms_of_a_turned_picture_are_the_same(invariant):
    x = blobs(6)
    share = np.exp(np.asarray(invariant._infer(x).log_share))
    turned = np.exp(np.asarray(invariant._infer(np.rot90(x, -1, axes=(1, 2))).log_share))
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.roll(share, 2, axis=1), turned, atol=1e-5)


def test_the_divergence_of_the_pose_has_that_of_the_copy(invariant):
    inferred = invariant._infer(blobs(6))
    terms = invariant._expected(inferred, np.zeros((6, 8), "float32"))
    mean, log_variance, log_share = (np.asarray(each, "float64") for each in inferred)
    share = np.exp(log_share)
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance)
    copy = scipy.stats.entropy(share, np.full(8, 1 / 8), axis=1)
    np.testing.assert_allclose(terms.kl, (share * kl[..., :3].sum(-1)).sum(1), rtol=1e-4)
    expected = (share * kl[..., 3:].sum(-1)).sum(1) + copy
    np.testing.assert_allclose(terms.pose_kl, expected, rtol=1e-4)


def test_a_part_of_the_pixels_stands_for_all(invariant, monkeypatch):
    x = blobs(6)
    whole = np.asarray(invariant.terms(x, training=False).reconstruction)  # all 256 of 16 x 16
    inferred = invariant._infer(x)
    assert invariant._chosen_pixels(False).shape == (256,)
    assert sorted(np.asarray(invariant._chosen_pixels(False))) == list(range(256))
    monkeypatch.setattr(vae_rotation, "TRAINING_PIXELS", 32)
    monkeypatch.setattr(invariant, "_draw", lambda mean, log_variance, training: mean)
    monkeypatch.setattr(invariant, "_infer", lambda pixels: inferred)
    exact = np.asarray(invariant.terms(x, training=False).reconstruction)
    parts = [np.asarray(invariant.terms(x, training=True).reconstruction) for _ in range(60)]
    assert np.std(parts, axis=0).min() > 0
    np.testing.assert_allclose(np.mean(parts, axis=0), exact, rtol=0.01)
    assert np.isfinite(whole).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"likelihood": "poisson"}, "likelihood must be one of 'bernoulli', 'gaussian'. Received"),
        ({"architecture": "unet"}, "architecture must be one of 'conv', 'dense'. Received"),
        ({"latent_dim": 0}, "latent_dim must be a whole number from 1 on. Received: latent_dim=0"),
        ({"image_size": 7}, "image_size must be a whole number from 8 on. Received: image_size=7"),
        ({"warmup": -1}, "warmup must be a whole number from 0 on"),
        ({"hidden": 1}, "hidden must be a whole number from 2 on"),
        ({"filters": 0}, "filters must be a whole number from 1"),
        ({"beta": -1.0}, "beta must be 0 or more. Received: beta=-1.0"),
        ({"copies": 6}, "copies must be a multiple of 4. Received: copies=6"),
        ({"sigma": 0.1}, 'sigma is that of likelihood="gaussian". Received: sigma=0.1'),
        ({"sigma": 0.0, "likelihood": "gaussian"}, "sigma must be greater than 0. Received"),
    ],
)
def test_impossible_keywords_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        temzoo.get_model("vae", **config)


def test_a_pose_where_there_is_none_is_refused():
    z = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match=r"Only a model of rotation_invariant=True has a pose"):
        build().decode(z, np.zeros((2, 3), "float32"))


def test_a_pose_of_another_shape_is_refused(invariant):
    with pytest.raises(ValueError, match=r"pose must be \(2, 3\): angle.*Received: shape \(3, 3"):
        invariant.decode(np.zeros((2, 3), "float32"), np.zeros((3, 3), "float32"))


@pytest.mark.parametrize("size", [8, 13, 33])
@pytest.mark.parametrize("architecture", ["conv", "dense"])
@pytest.mark.parametrize("rotation_invariant", [False, True])
def test_any_size_and_colour(size, architecture, rotation_invariant):
    model = build(
        image_size=size,
        channels=3,
        architecture=architecture,
        rotation_invariant=rotation_invariant,
        compile=False,
    )
    x = np.random.default_rng(0).random((2, size, size, 3), "float32")
    assert model(x).shape == x.shape
    assert np.isfinite(model.compute_loss(x, training=True))
