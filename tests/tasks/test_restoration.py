"""Losses and score of restoration against closed forms and scikit-image."""

import keras
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from temzoo.tasks import restoration, restoration_graph
from temzoo.zoo.task import task_named

RESTORATION = task_named("restoration")


def pairs(channels=1, seed=0):
    """Truth in two ranges (8 and 16 bits), and what a model might say of it; (3, 8, 9, C)."""
    rng = np.random.default_rng(seed)
    scale = np.array([255, 65535, 2.5]).reshape(3, 1, 1, 1)
    truth = rng.uniform(0, 1, (3, 8, 9, channels)) * scale
    said = truth + rng.normal(0, 0.1, truth.shape) * scale
    return truth.astype("float32"), said.astype("float32")


def ranges(truth):
    return np.ptp(truth.reshape(len(truth), -1), axis=1)


def relative(truth, said):
    return (said - truth).astype("float64") / ranges(truth).reshape(-1, 1, 1, 1)


FORMULAS = {
    "mse": lambda e: (e**2).mean(),
    "mae": lambda e: np.abs(e).mean(),
    "charbonnier": lambda e: np.sqrt(e**2 + 1e-6).mean(),
    "psnr": lambda e: np.mean(10 * np.log10((e**2).mean(axis=(1, 2, 3)))),
}


@pytest.mark.parametrize("kind", restoration.LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_losses_are_their_formulas(kind, channels):
    truth, said = pairs(channels)
    expected = FORMULAS[kind](relative(truth, said))
    assert float(restoration_graph.RestorationLoss(kind)(truth, said)) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("kind", restoration.LOSSES)
def test_a_loss_is_the_same_in_every_stored_range(kind):
    truth, said = pairs()
    loss = restoration_graph.RestorationLoss(kind)
    assert float(loss(truth * 257, said * 257)) == pytest.approx(float(loss(truth, said)), rel=1e-4)


def test_a_better_picture_has_a_smaller_loss_and_a_higher_score():
    truth, said = pairs()
    better = truth + (said - truth) / 2
    for kind in restoration.LOSSES:
        loss = restoration_graph.RestorationLoss(kind)
        assert float(loss(truth, better)) < float(loss(truth, said))
    gain = score(truth, better) - score(truth, said)
    assert gain == pytest.approx(20 * np.log10(2), abs=1e-3)


@pytest.mark.parametrize("kind", restoration.LOSSES)
def test_flat_ground_does_not_outweigh_the_rest(kind):
    """Its unit is half its grey level, not its range of 1 or 0."""
    flat = np.full((1, 8, 8, 1), 200, "float32")
    nearly = flat + (np.arange(64).reshape(flat.shape) % 2)
    loss = restoration_graph.RestorationLoss(kind)
    expected = FORMULAS[kind](np.full(flat.shape, 20 / 100))
    assert float(loss(flat, flat + 20)) == pytest.approx(expected, rel=1e-4)
    assert float(loss(nearly, nearly + 20)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", restoration.LOSSES)
def test_black_truth_is_finite_and_so_is_no_error(kind):
    black = np.zeros((2, 8, 8, 1), "float32")
    assert np.isfinite(restoration_graph.RestorationLoss(kind)(black, black))
    assert np.isfinite(restoration_graph.RestorationLoss(kind)(black, black + 1))


@pytest.mark.parametrize("kind", restoration.LOSSES)
def test_only_pixels_of_weight_one_count(kind):
    truth, said = pairs()
    weight = (np.random.default_rng(1).random(truth.shape[:3]) < 0.3).astype("float32")
    errors = relative(truth, said)
    mean = {"psnr": lambda e: 10 * np.log10((e**2).mean())}.get(kind, FORMULAS[kind])
    expected = np.mean([mean(e[w > 0]) for e, w in zip(errors, weight, strict=True)])
    loss = restoration_graph.RestorationLoss(kind)
    assert float(loss(truth, said, weight)) == pytest.approx(expected, rel=1e-4)
    spoilt = np.where(weight[..., None] > 0, said, 1e6).astype("float32")
    assert float(loss(truth, spoilt, weight)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("per_pixel", [True, False])
def test_an_image_without_weight_is_left_out(per_pixel):
    truth, said = pairs()
    weight = np.array([1, 0, 1], "float32")
    weights = np.ones(truth.shape[:3], "float32") * weight[:, None, None] if per_pixel else weight
    kept = weight > 0
    loss = restoration_graph.RestorationLoss("psnr")
    assert float(loss(truth, said, weights)) == pytest.approx(float(loss(truth[kept], said[kept])))
    assert score(truth, said, weights) == pytest.approx(score(truth[kept], said[kept]), abs=1e-4)


def score(truth, said, weight=None):
    metric = restoration_graph.PSNR()
    metric.update_state(truth, said, weight)
    return float(metric.result())


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_is_scikit_images_averaged_over_images(channels):
    truth, said = pairs(channels)
    each = [
        peak_signal_noise_ratio(t, s, data_range=np.ptp(t))
        for t, s in zip(truth, said, strict=True)
    ]
    assert score(truth, said) == pytest.approx(np.mean(each), abs=1e-3)


def test_psnr_gathers_over_batches_and_forgets_on_reset():
    truth, said = pairs()
    metric = restoration_graph.PSNR()
    for i in range(3):
        metric.update_state(truth[i : i + 1], said[i : i + 1])
    assert float(metric.result()) == pytest.approx(score(truth, said), abs=1e-3)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_psnr_of_weighted_pixels():
    truth, said = pairs()
    weight = np.zeros(truth.shape[:3], "float32")
    weight[:, ::2, ::3] = 1
    chosen = weight > 0
    each = [
        10 * np.log10(r**2 / np.mean((t[c] - s[c]) ** 2))
        for t, s, c, r in zip(truth, said, chosen, ranges(truth), strict=True)
    ]
    assert score(truth, said, weight) == pytest.approx(np.mean(each), abs=1e-3)


def test_psnr_leaves_out_constant_truth_and_ends_at_100_db():
    truth, said = pairs()
    truth_with_flat = np.concatenate([truth, np.full_like(truth[:1], 9)])
    said_with_flat = np.concatenate([said, said[:1]])
    assert score(truth_with_flat, said_with_flat) == pytest.approx(score(truth, said), abs=1e-4)
    assert score(truth, truth) == pytest.approx(100)


def gain():
    """A model that multiplies all pixels by one number, at first 0.5."""
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.Conv2D(
        1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(0.5)
    )(inputs)
    return keras.Model(inputs, outputs)


def test_compiled_it_trains_with_and_without_weights():
    truth, _ = pairs()
    weight = np.ones(truth.shape[:3], "float32")
    weight[:, 0] = 0
    histories = []
    for options in ({}, {"sample_weight": weight}):
        model = gain()
        RESTORATION.compile(model, optimizer=keras.optimizers.AdamW(0.05))
        histories.append(
            model.fit(truth, truth, epochs=8, verbose=0, validation_split=0.34, **options).history
        )
        assert isinstance(model.loss, restoration_graph.RestorationLoss)
    for history in histories:
        assert history["psnr"][-1] > history["psnr"][0] + 3
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        assert RESTORATION.score in history
    assert histories[0]["loss"][0] != histories[1]["loss"][0]


def test_compile_takes_a_name_or_a_loss():
    model = gain()
    RESTORATION.compile(model)
    assert model.loss.kind == "mse"
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    RESTORATION.compile(model, loss="charbonnier")
    assert model.loss.kind == "charbonnier"
    own = keras.losses.MeanSquaredError()
    RESTORATION.compile(model, loss=own)
    assert model.loss is own


def test_unknown_losses_and_class_weights_are_refused():
    with pytest.raises(ValueError, match="loss must be one of mse, mae, charbonnier, psnr"):
        RESTORATION.compile(gain(), loss="ssim")
    with pytest.raises(ValueError, match="'restoration' takes no class weights"):
        RESTORATION.compile(gain(), class_weights=[1, 2])
