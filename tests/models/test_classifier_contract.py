"""What every registered classifier keeps; a new one is tested by being registered."""

import keras
import numpy as np
import pytest

import temzoo
from temzoo.zoo import built

CLASSIFIERS = temzoo.list_models(task="classification")
SIZE = 32
EVERY = pytest.mark.parametrize("name", CLASSIFIERS)


def offline(name: str) -> dict:
    """The keywords that keep a builder from fetching initial weights."""
    return dict.fromkeys(temzoo.model_card(name).deferred)


def small(name: str, **config) -> dict:
    """Keywords of a network with a narrow encoder, and without initial weights."""
    offered = temzoo.model_card(name).config
    return {k: v for k, v in {"alpha": 0.25}.items() if k in offered} | offline(name) | config


@pytest.fixture(scope="module", params=CLASSIFIERS)
def model(request):
    keras.utils.set_random_seed(1)
    return temzoo.get_model(request.param, **small(request.param, classes=3))


def images(count, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIZE, SIZE, channels), "uint8")


def test_it_gives_probabilities_of_each_class(model):
    y = np.asarray(model(images(5)))
    assert (y.shape, y.dtype) == ((5, 3), np.float32)
    np.testing.assert_allclose(y.sum(-1), 1, atol=1e-5)
    assert (y >= 0).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_stored_range_does_not_matter(model, dtype):
    scene = images(2).astype("float64")
    scale, offset = {"uint16": (200, 3000), "float32": (1e-3, -7.0)}[dtype]
    y = model((scene * scale + offset).astype(dtype))
    np.testing.assert_allclose(y, model(scene.astype("uint8")), atol=2e-3)


def test_a_constant_image_is_finite(model):
    assert np.isfinite(model(np.full((1, SIZE, SIZE, 1), 255, "uint8"))).all()


def test_gradients_reach_all_trainable_weights(model):
    import tensorflow as tf

    truth = np.eye(3, dtype="float32")[np.arange(12) % 3]
    weights = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = model.loss(truth, model(images(12), training=True))
    gradients = tape.gradient(loss, weights)
    assert weights
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    assert sum(float(np.abs(g).max()) > 0 for g in gradients) > 0.9 * len(gradients)


def test_saved_and_loaded_it_gives_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(images(2)), model(images(2)), atol=1e-6)


@EVERY
def test_mixed_precision_returns_float32_probabilities(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = temzoo.get_model(name, **small(name))
    finally:
        keras.config.set_dtype_policy("float32")
    y = np.asarray(model(images(2)))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.sum(-1), 1, atol=1e-5)


def frozen_of(model) -> list:
    layers = [each for each in model._flatten_layers() if each.variables and not each.trainable]
    return [v for layer in layers for v in layer.variables]


def says_frozen(name: str) -> bool:
    return temzoo.model_card(name).config.get("encoder_trainable") is False


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if not says_frozen(name)])
def test_one_batch_can_be_overfitted(name):
    keras.utils.set_random_seed(3)
    model = temzoo.get_model(name, **small(name, dropout=0.0))
    x, y = images(4), np.eye(2)[[0, 1, 1, 0]]
    x[1:3, 4:16] = 250
    model.fit(np.tile(x, (30, 1, 1, 1)), np.tile(y, (30, 1)), batch_size=4, verbose=0)
    assert (np.argmax(model(x), axis=-1) == y.argmax(axis=-1)).all()


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if says_frozen(name)])
def test_frozen_layers_are_bit_identical_after_a_step_and_others_not(name, eager_steps):
    model = temzoo.get_model(name, **small(name))
    frozen = frozen_of(model)
    assert frozen
    before, head = [v.numpy() for v in frozen], model.trainable_variables[0].numpy()
    model.fit(images(4), np.eye(2)[[0, 1, 1, 0]], verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, frozen, strict=True))
    assert not np.array_equal(head, model.trainable_variables[0])


@EVERY
def test_the_card_counts_the_parameters(name):
    model = temzoo.get_model(name, compile=False, **offline(name))
    assert temzoo.model_card(name).parameters == model.count_params()


@EVERY
def test_colour_and_another_size(name):
    config = small(name, channels=3, image_size=48, compile=False)
    model = temzoo.get_model(name, **config)
    assert model.output_shape == (None, 2)
    assert model.input_shape == (None, 48, 48, 3)


@EVERY
def test_the_ranges_that_a_search_may_choose_from_can_be_built(name):
    card = temzoo.model_card(name)
    assert set(card.ranges) <= set(card.config)
    ends = {k: v[0] if isinstance(v, list) else v[1] for k, v in card.ranges.items()}
    model = temzoo.get_model(name, **small(name, compile=False) | ends)
    config = built.built(model).config
    assert {keyword: config[keyword] for keyword in ends} == ends


@EVERY
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"classes": 1}, "at least 2 classes apart; there is no background. Received: classes=1"),
        ({"image_size": 0}, "image_size must be a whole number from 1 to 8192. Received: 0"),
        ({"dropout": 1}, "dropout must be a share from 0 to below 1. Received: 1"),
    ],
)
def test_impossible_keywords_are_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        temzoo.get_model(name, **small(name, **config))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("mlp", {"hidden": 16}, r"hidden must give one width per layer.* Received: 16"),
        ("mlp", {"hidden": (0,)}, r"hidden must be a whole number from 1 to 8192. Received: 0"),
        ("mlp", {"activation": "step"}, r"must be one of 'relu', .*activation='step'"),
        ("dcnn", {"filters": ()}, r"one width per level, one at least. Received: \(\)"),
        ("dcnn", {"image_size": 4}, r"at least 8 px for this network. Received: image_size=4"),
        ("alexnet", {"hidden": (16,)}, r"two dense layers before the last.*hidden=\(16,\)"),
        ("mobilenet", {"channels": 2}, r"channels must be 1 or 3"),
    ],
)
def test_what_one_network_cannot_be_is_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        temzoo.get_model(name, **small(name, **config))


def test_alexnet_can_be_that_of_the_paper():
    """62,378,344 weights in one group: the sum over the paper's layers, biases included."""
    wide = {"filters": (96, 256, 384, 384, 256), "hidden": (4096, 4096)}
    paper = temzoo.get_model(
        "alexnet", image_size=224, channels=3, classes=1000, compile=False, **wide
    )
    kernels = [11 * 11 * 3 * 96, 25 * 96 * 256, 9 * 256 * 384, 9 * 384 * 384, 9 * 384 * 256]
    dense = [6 * 6 * 256 * 4096, 4096 * 4096, 4096 * 1000]
    biases = 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 1000
    assert paper.count_params() == sum(kernels) + sum(dense) + biases == 62_378_344


def test_without_strides_a_shift_changes_nothing():
    keras.utils.set_random_seed(1)
    spot = np.zeros((1, 48, 48, 1), "float32")  # far from what sees the border
    spot[:, 22:26, 20:24] = 200
    moved = np.roll(spot, 3, axis=2)
    apart = {}
    for strides in (True, False):
        config = {"strides": strides, "filters": (8, 16, 32), "image_size": 48}
        model = temzoo.get_model("dcnn", compile=False, **config)
        pooled = keras.Model(model.input, model.get_layer("mean").output)
        one, other = (np.asarray(pooled(each)) for each in (spot, moved))
        apart[strides] = np.abs(one - other).max() / np.abs(one).max()
    assert apart[False] < 1e-5
    assert apart[True] > 1e-3
