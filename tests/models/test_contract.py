"""What every registered model keeps, whichever it is; a new model is tested by being registered."""

import re
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import temzoo
from temzoo.zoo import built, cards, plugins

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
SMALL = {"filters": 8, "depth": 3, "alpha": 0.25, "decoder_filters": (8,) * 5, "pyramid": (1,)}
EXAMPLE = "tiny"  # the model that CONTRIBUTING.md adds
DISTANCE = temzoo.list_models(task="distance")  # classes, and a distance behind them
SEMANTIC = [*temzoo.list_models(task="semantic"), *DISTANCE, EXAMPLE]


@pytest.fixture(scope="module", autouse=True)
def example(tmp_path_factory):
    """CONTRIBUTING's example, pasted as it stands into a file."""
    code = re.search(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path_factory.mktemp("contributed") / "tiny.py"
    path.write_text(code[1], encoding="utf-8")
    plugins.load_file(path)
    yield
    del cards.BUILDERS[EXAMPLE], cards._CARDS[EXAMPLE]


def offline(name: str) -> dict:
    """The keywords that keep a builder from fetching initial weights."""
    return dict.fromkeys(temzoo.model_card(name).deferred)


def small(name: str) -> dict:
    """Keywords of a network with few filters."""
    return {k: v for k, v in SMALL.items() if k in temzoo.model_card(name).config} | offline(name)


@pytest.fixture(scope="module", params=SEMANTIC)
def model(request):
    """With few filters; what it is by default is met where its parameters are counted."""
    keras.utils.set_random_seed(1)
    return temzoo.get_model(request.param, classes=3, **small(request.param))


def truth_of(model, classes, count: int) -> np.ndarray:
    """What the model's loss compares with, of a class map (B, H, W)."""
    hot = np.eye(count, dtype="uint8")[classes]
    if built.task_of(model).name != "distance":
        return hot
    inside = np.uint8(255) * (classes > 0)[..., None].astype("uint8")
    return np.concatenate([hot, inside, 0 * inside], axis=-1)


def says_frozen(name: str) -> bool:
    """Whether a model's config leaves a part of it untrained."""
    config = temzoo.model_card(name).config
    return any(key.endswith("_trainable") and value is False for key, value in config.items())


def micrographs(*shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 75), (64, 48)])
def test_any_size_gives_probabilities_of_that_size(model, size):
    y = np.asarray(model(micrographs(2, *size, 1)))
    more = built.task_of(model).name == "distance"
    assert y.shape == (2, *size, 3 + more)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[..., :3].sum(-1), 1, atol=1e-5)
    assert (y >= 0).all()
    assert (y <= 1).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_stored_range_does_not_matter(model, dtype):
    """Normalisation is in the graph: the same scene in another range, the same answer."""
    scene = micrographs(1, 32, 32, 1).astype("float64")
    scale, offset = {"uint8": (1, 0), "uint16": (200, 3000), "float32": (1e-3, -7.0)}[dtype]
    y = model((scene * scale + offset).astype(dtype))
    np.testing.assert_allclose(y, model(scene.astype("uint8")), atol=2e-3)


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_image_is_finite(model, value):
    assert np.isfinite(model(np.full((1, 20, 20, 1), value, "uint8"))).all()


def test_gradients_reach_all_trainable_weights(model):
    import tensorflow as tf

    x = micrographs(2, 32, 32, 1).astype("float32")
    truth = truth_of(model, micrographs(2, 32, 32) % 3, 3)
    weights = [v.value for v in model.weights]
    with tf.GradientTape() as tape:
        loss = model.loss(truth, model(x, training=True))
    gradients = tape.gradient(loss, weights)
    reached = {v.path for v, g in zip(model.weights, gradients, strict=True) if g is not None}
    trainable = {v.path for v in model.trainable_variables}
    assert trainable
    assert trainable <= reached
    learnt = [g for v, g in zip(model.weights, gradients, strict=True) if v.path in trainable]
    assert all(np.isfinite(g).all() for g in learnt)
    assert sum(float(np.abs(g).max()) > 0 for g in learnt) > 0.9 * len(learnt)


def test_saved_and_loaded_it_gives_the_same(model, tmp_path):
    x = micrographs(1, 24, 40, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


@pytest.mark.parametrize("name", SEMANTIC)
def test_mixed_precision_returns_float32_probabilities(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = temzoo.get_model(name, **small(name))
    finally:
        keras.config.set_dtype_policy("float32")
    y = np.asarray(model(micrographs(1, 32, 40, 1)))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[..., :2].sum(-1), 1, atol=1e-5)


@pytest.fixture(scope="module", params=SEMANTIC)
def fitted(request):
    """A small model trained on one batch: its history, and its layers before and after."""
    name = request.param
    keras.utils.set_random_seed(3)
    model = temzoo.get_model(name, **small(name))
    frozen = [layer for layer in model._flatten_layers() if layer.variables and not layer.trainable]
    fixed = [v for layer in frozen for v in layer.variables]
    before = [v.numpy() for v in fixed], model.trainable_variables[0].numpy()
    rows, cols = np.mgrid[:32, :32]
    disc = ((rows - 15) ** 2 + (cols - 17) ** 2 < 81).astype("uint8")
    x = (200 - 120 * disc + micrographs(32, 32) % 20)[None, ..., None]
    y = truth_of(model, disc[None], 2)
    model.optimizer.learning_rate = 1e-2
    history = model.fit(x, y, epochs=40, verbose=0).history
    after = [v.numpy() for v in fixed], model.trainable_variables[0].numpy()
    return SimpleNamespace(name=name, frozen=frozen, before=before, after=after, history=history)


def test_one_batch_can_be_overfitted(fitted):
    assert fitted.history["loss"][-1] < 0.25 * fitted.history["loss"][0]
    assert fitted.history["iou"][-1] > 0.9


def test_frozen_layers_are_bit_identical_after_training(fitted):
    assert bool(fitted.frozen) == says_frozen(fitted.name)
    (frozen, learning), (frozen_after, learnt) = fitted.before, fitted.after
    assert all(np.array_equal(a, b) for a, b in zip(frozen, frozen_after, strict=True))
    assert not np.array_equal(learning, learnt)


@pytest.mark.parametrize("name", SEMANTIC)
@pytest.mark.parametrize(
    ("norm", "upsampling"),
    [("batch", "bilinear"), ("group", "transpose"), ("instance", "bilinear"), (None, "transpose")],
)
def test_shared_keywords_build(name, norm, upsampling):
    card = temzoo.model_card(name)
    if not {"norm", "upsampling", "dropout"} <= set(card.config):
        pytest.skip(f"{name} does not share these keywords")
    model = temzoo.get_model(
        name, norm=norm, upsampling=upsampling, dropout=0.5, compile=False, **small(name)
    )
    assert built.built(model).config["norm"] == norm
    assert model.compute_output_shape((None, 64, 64, 1)) == (None, 64, 64, 2 + (name in DISTANCE))


@pytest.mark.parametrize("name", SEMANTIC)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"norm": "layer"}, "norm must be one of 'batch', 'group', 'instance', None"),
        ({"upsampling": "nearest"}, "upsampling must be one of 'bilinear', 'transpose'"),
        ({"classes": 1}, "classes counts the background too"),
    ],
)
def test_impossible_keywords_are_refused(name, config, message):
    if not set(config) <= set(temzoo.model_card(name).config):
        pytest.skip(f"{name} has no keyword {', '.join(config)}")
    with pytest.raises(ValueError, match=message):
        temzoo.get_model(name, **config, **offline(name))


@pytest.mark.parametrize("name", SEMANTIC)
def test_the_card_counts_the_parameters(name):
    model = temzoo.get_model(name, compile=False, **offline(name))
    assert temzoo.model_card(name).parameters == model.count_params()


@pytest.mark.parametrize("name", SEMANTIC)
def test_colour_input(name):
    model = temzoo.get_model(name, channels=3, compile=False, **small(name))
    assert model(micrographs(1, 20, 30, 3)).shape == (1, 20, 30, 2 + (name in DISTANCE))


@pytest.mark.parametrize("name", SEMANTIC)
def test_tiles_agree_with_the_whole_image(name):
    """Statistics come from the whole micrograph, and seams lie where both tiles see enough."""
    keras.utils.set_random_seed(5)
    model = temzoo.get_model(name, compile=False, **small(name))
    ramp = np.linspace(0, 120, 352)[None, :]  # tiles of their own would be normalised apart
    pixels = (micrographs(320, 352).astype("float32") / 2 + ramp).astype("uint8")
    whole, tiled = (
        temzoo.predict(model, pixels, probabilities=True, instances=None, **tiles).probabilities
        for tiles in ({}, {"tile": 256, "overlap": 224})
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
