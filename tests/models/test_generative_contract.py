"""What every registered generative model keeps; a new one is tested by being registered."""

import json
from functools import cache

import keras
import numpy as np
import pytest

import temzoo
from temzoo.zoo import built, pretrained
from temzoo.zoo.task import task_named

TASK = task_named("generative")

GENERATIVE = temzoo.list_models(task="generative")
SIZE, LATENT = 12, 3  # no multiple of 8, so that sizes that do not halve evenly are met
KEYS = {"loss", "reconstruction", "kl", "elbo"}


def build(name, **config):
    """A small one, by the keywords that it has; a few eager steps take less time than tracing."""
    keras.utils.set_random_seed(1)
    offered = temzoo.model_card(name).config
    small = {k: v for k, v in {"filters": 8, "depth": 2, "hidden": 32}.items() if k in offered}
    model = temzoo.get_model(name, **{"latent_dim": LATENT, "image_size": SIZE, **small, **config})
    model.run_eagerly = True
    return model


def variants():
    """Each model, and rotation-invariant where there is such a thing."""
    for name in GENERATIVE:
        yield pytest.param(name, {}, id=name)
        if "rotation_invariant" in temzoo.model_card(name).config:
            yield pytest.param(name, {"rotation_invariant": True}, id=f"{name}-invariant")


every = pytest.mark.parametrize(("name", "config"), list(variants()))


def pictures(count, seed=0, size=SIZE):
    """Bright bars on a dark ground at any angle, noisy, (count, size, size, 1) in [0, 1]."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    angle = rng.uniform(0, np.pi, (count, 1, 1))
    across = np.abs(cols * np.sin(angle) - rows * np.cos(angle))
    along = np.abs(cols * np.cos(angle) + rows * np.sin(angle))
    half = rng.uniform(0.2, 0.4, (count, 1, 1)) * size
    bars = np.clip(half - along, 0, 1) * np.clip(1.5 - across, 0, 1)
    noisy = 0.1 + 0.8 * bars + rng.normal(0, 0.02, bars.shape)
    return np.clip(noisy, 0, 1).astype("float32")[..., None]


@pytest.fixture(scope="module")
def untrained():
    """Models of every variant that tests only ask, by name and config."""
    return cache(lambda name, *config: build(name, **dict(config)))


def values(*tensors):
    return [np.asarray(tensor) for tensor in tensors]


@every
def test_it_trains_on_raw_arrays_at_once_and_names_its_losses(name, config):
    model = build(name, **config)
    model.run_eagerly = False
    x = pictures(24)
    history = model.fit(x, validation_split=0.25, epochs=2, batch_size=8, verbose=0).history
    assert set(history) == KEYS | {f"val_{key}" for key in KEYS}
    assert TASK.score in history
    assert np.isfinite(list(history.values())).all()
    assert min(history["kl"] + history["val_kl"]) >= 0
    for prefix in ("", "val_"):
        elbo = -(np.array(history[f"{prefix}reconstruction"]) + history[f"{prefix}kl"])
        np.testing.assert_allclose(history[f"{prefix}elbo"], elbo, rtol=1e-5)


@every
def test_it_trains_on_streams_with_and_without_targets(name, config):
    import tensorflow as tf

    x = pictures(16)
    streams = [tf.data.Dataset.from_tensor_slices(parts).batch(8) for parts in (x, (x, x))]
    alone, paired = (
        build(name, **config).fit(s, shuffle=False, verbose=0).history for s in streams
    )
    assert set(alone) == KEYS
    assert paired["loss"] == pytest.approx(alone["loss"], rel=1e-5)


@every
@pytest.mark.parametrize("count", [1, 5, 300])
def test_encode_and_decode_take_any_number_of_pictures(untrained, name, config, count):
    model = untrained(name, *config.items())
    mean, log_variance, *rest = values(*model.encode(pictures(count)))
    assert mean.shape == log_variance.shape == (count, LATENT)
    drawn = np.asarray(model.decode(mean, *rest))
    assert drawn.shape == (count, SIZE, SIZE, 1)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert np.asarray(model.decode(mean)).shape == drawn.shape
    assert (model.latent_dim, model.image_size) == (LATENT, SIZE)


@every
def test_one_picture_is_encoded_as_among_many(untrained, name, config):
    model = untrained(name, *config.items())
    x = pictures(9)
    for alone, among in zip(model.encode(x[4:5]), model.encode(x), strict=True):
        np.testing.assert_allclose(alone[0], among[4], atol=1e-5)


@every
def test_calling_it_draws_from_the_mean(untrained, name, config):
    model = untrained(name, *config.items())
    x = pictures(4)
    mean, _, *rest = model.encode(x)
    np.testing.assert_allclose(model(x), model.decode(mean, *rest), atol=1e-6)
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), atol=1e-5)


@every
def test_samples_are_those_of_their_seed(untrained, name, config):
    model = untrained(name, *config.items())
    first, again, other = values(*(model.sample(3, seed=seed) for seed in (4, 4, 5)))
    assert first.shape == (3, SIZE, SIZE, 1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-4)


@every
def test_training_and_judging_are_those_of_their_seed(name, config):
    x = pictures(16)
    losses, judged = [], []
    for _ in range(2):
        model = build(name, **config)
        losses.append(model.fit(x, epochs=2, batch_size=8, verbose=0).history["loss"])
        judged += [model.evaluate(x, verbose=0)[0] for _ in range(2)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert judged == pytest.approx([judged[0]] * 4, rel=1e-5)


@every
def test_gradients_reach_all_trainable_weights(name, config):
    import tensorflow as tf

    model = build(name, **config)
    x = pictures(16)
    weights = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, training=True)
    gradients = tape.gradient(loss, weights)
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    assert np.mean([float(np.abs(g).max()) > 0 for g in gradients]) > 0.9


@every
def test_one_batch_can_be_overfitted(name, config):
    model = build(name, **config)
    model.run_eagerly = False
    x = pictures(4)
    model.optimizer.learning_rate = 1e-2
    before = float(np.abs(model(x) - x).mean())
    many = np.tile(x, (400, 1, 1, 1))
    history = model.fit(many[:16], batch_size=16, verbose=0).history
    later = model.fit(many, batch_size=16, verbose=0).history
    assert later["elbo"][-1] > history["elbo"][0]
    assert float(np.abs(model(x) - x).mean()) < 0.3 * before


@every
def test_saved_and_loaded_it_encodes_the_same_and_trains_on(name, config, tmp_path):
    model = build(name, **config)
    x = pictures(8)
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.encode(x), loaded.encode(x), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)
    loaded.run_eagerly = True
    assert loaded.fit(x, verbose=0).history.keys() == KEYS


@every
def test_its_weights_are_kept_and_loaded_by_name(name, config, tmp_path):
    model = build(name, **config)
    x = pictures(8)
    model.fit(x, epochs=2, verbose=0)
    path = tmp_path / f"best{pretrained.SUFFIX}"
    pretrained.save(model, path)
    how = built.built(model)
    plain = json.loads(json.dumps(dict(how.config)))
    pretrained.write_card(path, pretrained.WeightsCard(model=name, config=plain))
    again = temzoo.get_model(name, weights=path)
    for one, other in zip(model.encode(x), again.encode(x), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


@every
def test_an_exported_model_has_two_signatures_that_need_no_keras(name, config, tmp_path):
    import tensorflow as tf

    model = build(name, **config)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    assert {"encode", "decode"} <= set(served.signatures)
    for count in (1, 5):
        x = pictures(count)
        mean, log_variance, *rest = model.encode(x)
        found = served.encode(x)
        np.testing.assert_allclose(found["mean"], mean, atol=1e-4)
        np.testing.assert_allclose(found["log_variance"], log_variance, atol=1e-4)
        drawn = served.decode(mean, *rest)
        np.testing.assert_allclose(drawn, model.decode(mean, *rest), atol=1e-4)


@every
def test_another_format_of_export_is_refused(name, config, tmp_path):
    with pytest.raises(ValueError, match=r'"tf_saved_model" only. Received: format="onnx"'):
        build(name, **config).export(tmp_path / "served", format="onnx")


@every
def test_impossible_pictures_are_refused(name, config):
    model = build(name, **config)
    wide, bright, hole = pictures(2, size=SIZE + 1), pictures(2) * 255, pictures(2)
    hole[0, 3, 3] = np.nan
    cases = [
        (wide, r"pixels must be \(images, 12, 12, 1\). Received: shape \(2, 13, 13, 1\)"),
        (pictures(2)[..., 0], r"pixels must be \(images, 12, 12, 1\). Received: shape \(2, 12, 12"),
        (bright, r"in \[0, 1\]. Received: float32 from"),
        (bright.astype("uint8"), r"in \[0, 1\]. Received: uint8 from \d+ to \d+. Divide by"),
        (hole, r"must be finite and in \[0, 1\]. Received: float32 from nan"),
    ]
    for x, message in cases:
        for use in (model.encode, lambda x: model.fit(x, verbose=0), model.evaluate):
            with pytest.raises(ValueError, match=message):
                use(x)
    with pytest.raises(ValueError, match=r"in \[0, 1\]. Received: float32 from"):
        model.fit(pictures(2), validation_data=(bright, None), verbose=0)


@every
def test_impossible_latents_are_refused(untrained, name, config):
    model = untrained(name, *config.items())
    with pytest.raises(ValueError, match=r"z must be \(pictures, 3\). Received: shape \(2, 4\)"):
        model.decode(np.zeros((2, 4), "float32"))


@pytest.mark.parametrize("name", GENERATIVE)
def test_the_ranges_that_a_search_may_choose_from_can_be_built(name):
    ranges = temzoo.model_card(name).ranges
    assert set(ranges) <= set(temzoo.model_card(name).config)
    for keyword, choices in ranges.items():
        ends = choices if isinstance(choices, list) else choices[:2]
        for value in ends:
            model = temzoo.get_model(name, **{"image_size": 16, keyword: value}, compile=False)
            assert built.built(model).config[keyword] == value


@pytest.mark.parametrize("name", GENERATIVE)
def test_the_card_states_the_parameters_of_the_defaults(name):
    model = temzoo.get_model(name, compile=False)
    assert temzoo.model_card(name).parameters == model.count_params()


@every
def test_mixed_precision_gives_float32(name, config):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name, **config)
    finally:
        keras.config.set_dtype_policy("float32")
    x = pictures(8)
    history = model.fit(x, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    mean, *_ = values(*model.encode(x))
    assert mean.dtype == np.float32
    assert np.asarray(model.decode(mean)).dtype == np.float32
