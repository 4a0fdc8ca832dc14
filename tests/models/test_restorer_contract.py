"""What every registered restorer keeps; a new one is tested by being registered."""

import keras
import numpy as np
import pytest

import temzoo

RESTORERS = temzoo.list_models(task="restoration")


def offline(name: str) -> dict:
    """The keywords that keep a builder from fetching initial weights."""
    return dict.fromkeys(temzoo.model_card(name).deferred)


def scenes(*shape, seed=0):
    """(B, H, W, 1) uint8: blocks of 8 px, and noise of a standard deviation of 20 on them."""
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    blocks = rng.integers(60, 200, (batch, height // 8 + 1, width // 8 + 1, 1))
    clean = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return clean, np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype("uint8")


def learned(name: str, **config):
    """A model after two steps: some start as the identity, of which anything would be true."""
    keras.utils.set_random_seed(1)
    model = temzoo.get_model(name, **config, **offline(name))
    clean, noisy = scenes(2, 32, 32)
    model.run_eagerly = True
    model.fit(noisy, clean, batch_size=1, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module", params=RESTORERS)
def model(request):
    return learned(request.param)


def test_a_restorer_is_registered():
    assert RESTORERS


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 75), (64, 48)])
def test_any_size_gives_pixels_of_that_size(model, size):
    y = np.asarray(model(scenes(2, *size)[1]))
    assert y.shape == (2, *size, 1)
    assert y.dtype == np.float32
    assert np.isfinite(y).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_restored_pixels_have_the_stored_range(model, dtype):
    """The same scene in another range is restored to the same picture in that range."""
    scene = scenes(1, 32, 32)[1].astype("float64")
    scale, offset = {"uint8": (1, 0), "uint16": (200, 3000), "float32": (1e-3, -7.0)}[dtype]
    expected = np.asarray(model(scene.astype("uint8")))
    y = (np.asarray(model((scene * scale + offset).astype(dtype))) - offset) / scale
    assert np.abs(expected - scene).max() > 3  # it does not merely return its input
    np.testing.assert_allclose(y, expected, atol=0.3)


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_image_is_finite(model, value):
    assert np.isfinite(model(np.full((1, 20, 20, 1), value, "uint8"))).all()


def test_gradients_reach_all_trainable_weights(model):
    import tensorflow as tf

    clean, noisy = scenes(2, 32, 32)
    weights = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = model.loss(clean, model(noisy, training=True))
    gradients = tape.gradient(loss, weights)
    assert weights
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    assert sum(float(np.abs(g).max()) > 0 for g in gradients) > 0.9 * len(gradients)


def test_the_part_behind_the_normalisation_takes_the_statistics_of_the_whole(model):
    """Tiles of one micrograph are normalised by its statistics, and agree.

    The raw pixels are no input of that part: as one, Keras 3.15 could not save the model again.
    """
    noisy = scenes(1, 48, 64)[1].astype("float32")
    normalize = model.get_layer("normalize")
    core = keras.Model(normalize.output, model.get_layer("restored").output)
    shift, scale = normalize.statistics(noisy[0])
    tile = noisy[:, :32, :32]
    whole, part = (
        normalize.invert(core.predict_on_batch(normalize.apply(raw, shift, scale)), shift, scale)
        for raw in (noisy, tile)
    )
    np.testing.assert_allclose(whole, model(noisy), atol=1e-2)
    np.testing.assert_allclose(part[:, :2, :2], whole[:, :2, :2], atol=2)
    by_itself = np.asarray(model(tile))
    assert np.abs(part - by_itself).max() > 1e-2  # a tile's own statistics are others


def test_saved_and_loaded_it_gives_the_same(model, tmp_path):
    x = scenes(1, 24, 40)[1]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-3)
    assert type(loaded) is type(model)
    assert loaded.loss.get_config() == model.loss.get_config()


def test_a_saved_model_takes_any_size_without_keras(model, tmp_path):
    import tensorflow as tf

    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for shape in [(1, 32, 32), (2, 21, 50)]:
        x = scenes(*shape)[1].astype("float32")
        np.testing.assert_allclose(served.serve(x), model(x), atol=1e-2)


@pytest.mark.parametrize("name", RESTORERS)
def test_mixed_precision_returns_float32_and_keeps_the_pixels(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = temzoo.get_model(name, **offline(name))
    finally:
        keras.config.set_dtype_policy("float32")
    x = (scenes(1, 32, 40)[1].astype("float32") * 200 + 3000).astype("uint16")
    y = np.asarray(model(x))
    assert y.dtype == np.float32
    # bfloat16 has 8 bits: had the pixels gone through it, 50 000 would be off by up to 100.
    np.testing.assert_allclose(y, x, atol=1)


@pytest.mark.parametrize("name", RESTORERS)
def test_one_batch_can_be_overfitted(name):
    keras.utils.set_random_seed(3)
    narrow = {"filters": 8} if "filters" in temzoo.model_card(name).config else {}
    model = temzoo.get_model(name, **narrow, **offline(name))
    clean, noisy = scenes(1, 32, 32)
    model.optimizer.learning_rate = 5e-3
    history = model.fit(noisy, clean, epochs=60, verbose=0).history
    assert history["psnr"][0] < 20
    assert history["psnr"][-1] > history["psnr"][0] + 6
    assert history["loss"][-1] < history["loss"][0]
