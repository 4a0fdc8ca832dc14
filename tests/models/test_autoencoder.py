"""The autoencoder's own: its start, its colours, its latent, and the way back to raw pixels."""

import keras
import numpy as np
import pytest

import temzoo
from temzoo.models import layers


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def vectors(**config):
    keras.utils.set_random_seed(2)
    options = {"latent_dim": 3, "image_size": 20, "filters": 4, "depth": 2, **config}
    return temzoo.get_model("autoencoder", skips=False, **options)


@pytest.mark.parametrize("size", [(31, 45), (300, 16)])
def test_before_training_it_returns_its_input(size):
    x = images(2, *size, 1)
    model = temzoo.get_model("autoencoder", filters=4)
    np.testing.assert_allclose(model(x), x, atol=1e-3)


def test_a_hot_pixel_is_given_back_but_not_shown_to_the_convolutions():
    x = images(1, 64, 64, 1).astype("float32")
    x[0, 5, 5] = 1e5
    model = temzoo.get_model("autoencoder", filters=4)
    np.testing.assert_allclose(model(x), x, rtol=1e-5, atol=1e-2)
    shown = keras.Model(model.input, model.get_layer("clip").output)(x)
    assert np.abs(shown).max() == 3


def test_a_constant_image_stays_that_constant_also_after_training():
    model = temzoo.get_model("autoencoder", filters=4)
    x = images(2, 32, 32, 1)
    model.run_eagerly = True
    model.fit(x, x[::-1], epochs=2, verbose=0)
    flat = np.full((1, 20, 24, 1), 137, "uint8")
    np.testing.assert_array_equal(model(flat), flat)


def test_colorize_starts_grey_and_learns_colours():
    keras.utils.set_random_seed(4)
    model = temzoo.get_model("autoencoder", outputs="colorize", filters=8)
    rows, cols = np.mgrid[:32, :32]
    grey = (80 + 120 * ((rows - 16) ** 2 + (cols - 16) ** 2 < 100)).astype("uint8")[None, ..., None]
    np.testing.assert_allclose(model(grey), np.repeat(grey, 3, axis=-1), atol=1e-3)
    colours = np.array([[20, 90, 200], [250, 180, 10]], "float32")
    truth = colours[(grey[..., 0] > 100).astype(int)]
    model.optimizer.learning_rate = 5e-3
    history = model.fit(grey, truth, epochs=30, verbose=0).history
    assert history["psnr"][-1] > history["psnr"][0] + 6
    said = np.asarray(model(grey))
    assert said.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(said[0, 16, 16], colours[1], atol=40)


@pytest.mark.parametrize("config", [{"residual": False}, {"skips": False}, {"depth": 1}])
@pytest.mark.parametrize("upsampling", ["bilinear", "transpose"])
def test_every_kind_takes_any_size(config, upsampling):
    model = temzoo.get_model("autoencoder", filters=4, upsampling=upsampling, **config)
    assert model(images(1, 21, 34, 1)).shape == (1, 21, 34, 1)


def test_without_skips_all_goes_through_a_map_of_latent_dim_channels():
    model = temzoo.get_model("autoencoder", filters=4, skips=False, latent_dim=5)
    inner = keras.Model(model.input, model.get_layer("latent").output)
    assert inner(images(1, 32, 48, 1)).shape == (1, 4, 6, 5)
    names = {layer.name for layer in model.layers}
    assert not names & {"join0", "join1", "join2"}
    zeroed = model.get_layer("latent")
    zeroed.set_weights([np.zeros_like(w) for w in zeroed.get_weights()])
    picture = images(1, 32, 48, 1)
    other = picture.copy()
    # With the latent silenced, the answer knows only the range of its input.
    other[:, 8:24, 8:24] = other[:, 8:24, 8:24][:, ::-1]
    np.testing.assert_allclose(model(picture), model(other), atol=1e-3)


@pytest.mark.parametrize("outputs", ["denoise", "colorize"])
def test_encode_and_decode_are_the_two_halves_of_the_model(outputs):
    model = vectors(outputs=outputs)
    x = images(4, 20, 20, 1)
    (z,) = model.encode(x)
    assert z.shape == (4, 3)
    assert (model.latent_dim, model.image_size) == (3, 20)
    pictures = np.asarray(model.decode(z))
    assert pictures.shape == (4, 20, 20, 1 if outputs == "denoise" else 3)
    low, high = np.percentile(x.reshape(4, -1), [1, 99], axis=1).reshape(2, 4, 1, 1, 1)
    np.testing.assert_allclose(low + pictures * (high - low), model(x), atol=1e-2)


def test_a_vector_of_two_numbers_tells_images_apart_after_training():
    model = vectors(latent_dim=2, filters=8)
    x = np.zeros((2, 20, 20, 1), "uint8")
    x[0, :10], x[1, :, :10] = 200, 200
    model.optimizer.learning_rate = 5e-3
    history = model.fit(x, x, epochs=50, verbose=0).history
    assert history["psnr"][-1] > 15
    (z,) = model.encode(x)
    pictures = np.asarray(model.decode(z))
    assert ((pictures > 0.5) == (x > 100)).mean() > 0.97
    first, second = np.asarray(z)
    assert np.linalg.norm(first - second) > 0.1


def test_loaded_again_it_encodes_and_decodes_the_same(tmp_path):
    model = vectors()
    x = images(3, 20, 20, 1)
    (z,) = model.encode(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.encode(x)[0], z, atol=1e-5)
    np.testing.assert_allclose(loaded.decode(z), model.decode(z), atol=1e-5)
    assert (loaded.latent_dim, loaded.image_size) == (3, 20)


def test_mixed_precision_keeps_the_latent_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vectors()
    finally:
        keras.config.set_dtype_policy("float32")
    (z,) = model.encode(images(1, 20, 20, 1))
    assert np.asarray(z).dtype == np.float32
    assert np.asarray(model.decode(z)).dtype == np.float32


@pytest.mark.parametrize("verb", ["encode", "decode"])
@pytest.mark.parametrize("skips", [True, False])
def test_a_latent_map_is_not_read_as_a_vector(verb, skips):
    model = temzoo.get_model("autoencoder", filters=4, skips=skips)
    assert (model.latent_dim, model.image_size) == (None, None)
    with pytest.raises(ValueError, match=f"{verb} needs an autoencoder with a latent vector"):
        getattr(model, verb)(images(1, 32, 32, 1))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"outputs": "sharpen"}, "outputs must be one of 'denoise', 'colorize'"),
        ({"skips": False, "residual": True}, "residual needs skips"),
        ({"image_size": 32}, "image_size is for an autoencoder with a latent vector"),
        ({"skips": False, "image_size": 0}, "image_size must be a whole number from 1"),
        ({"latent_dim": 0}, "latent_dim must be a whole number from 1"),
        ({"filters": 0}, "filters must be a whole number from 1"),
        ({"upsampling": "nearest"}, "upsampling must be one of"),
    ],
)
def test_impossible_keywords_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        temzoo.get_model("autoencoder", **config)


@pytest.mark.parametrize("keyword", ["filters", "depth", "upsampling"])
def test_every_choice_that_a_search_has_builds(keyword):
    card = temzoo.model_card("autoencoder")
    for value in card.ranges[keyword]:
        model = temzoo.get_model("autoencoder", **{"filters": 4, keyword: value}, compile=False)
        assert model.output_shape == (None, None, None, 1)


def raw(dtype):
    rng = np.random.default_rng(5)
    return (rng.normal(0, 1, (2, 300, 270, 1)) * [[[[9]]], [[[700]]]] + 5000).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_denormalize_undoes_normalize_but_for_what_was_clipped(dtype):
    x = raw(dtype).astype("float32")
    wide = layers.Normalize(limit=1e9)
    np.testing.assert_allclose(layers.Denormalize()([wide(x), x]), x, rtol=1e-5)
    shift, scale = wide.statistics(x[0])
    np.testing.assert_allclose(
        wide.invert(wide.apply(x[0], shift, scale), shift, scale), x[0], rtol=1e-5
    )
    clipped = np.asarray(layers.Denormalize()([layers.Normalize(limit=1.0)(x), x]))
    low, high = np.percentile(x[:, ::2, ::2], [1, 99], axis=(1, 2, 3)).reshape(2, 2, 1, 1, 1)
    np.testing.assert_allclose(clipped, np.clip(x, low, high), rtol=1e-4)


def test_denormalize_has_the_percentiles_that_normalize_was_given():
    x = raw("float32")
    options = {"low": 10.0, "high": 80.0, "grid": 64}
    normal = layers.Normalize(limit=1e9, **options)(x)
    layer = layers.Denormalize(**options)
    again = layers.Denormalize.from_config(layer.get_config())
    np.testing.assert_allclose(again([normal, x]), x, rtol=1e-5)
    assert np.abs(np.asarray(layers.Denormalize()([normal, x])) - x).max() > 1


def test_a_constant_image_denormalizes_to_itself():
    x = np.full((1, 16, 16, 1), 42, "float32")
    layer = layers.Normalize()
    anything = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(layers.Denormalize()([anything, x]), np.full_like(anything, 42))
    np.testing.assert_array_equal(
        layer.invert(anything[0], *layer.statistics(x[0])), np.full_like(anything[0], 42)
    )
