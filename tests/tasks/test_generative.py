"""What the task of generative models hands to training."""

import keras
import pytest

import temzoo
from temzoo.zoo.task import task_named

GENERATIVE = task_named("generative")


@pytest.fixture
def model():
    config = {"latent_dim": 2, "image_size": 8, "filters": 4, "depth": 1, "hidden": 8}
    return temzoo.get_model("vae", compile=False, **config)


def test_the_default_optimizer_is_adam_without_weight_decay(model):
    GENERATIVE.compile(model)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert model.optimizer.weight_decay is None
    assert not model.jit_compile


def test_another_optimizer_is_taken(model):
    GENERATIVE.compile(model, optimizer=keras.optimizers.SGD(0.1))
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_a_loss_is_refused(model):
    with pytest.raises(ValueError, match=r"its own, the negative ELBO. Received: loss='mse'"):
        GENERATIVE.compile(model, loss="mse")


def test_class_weights_are_refused(model):
    with pytest.raises(ValueError, match=r"no class weights. Received: class_weights=\[1, 2\]"):
        GENERATIVE.compile(model, class_weights=[1, 2])


def test_the_score_is_in_the_history_and_higher_is_better(model):
    import numpy as np

    GENERATIVE.compile(model)
    x = np.random.default_rng(0).random((32, 8, 8, 1), "float32").round()
    history = model.fit(x, validation_data=(x, None), epochs=8, batch_size=4, verbose=0).history
    scores = history[GENERATIVE.score]
    assert scores[-1] > scores[0]
    assert scores[-1] == pytest.approx(
        -(history["val_reconstruction"][-1] + history["val_kl"][-1]), rel=1e-5
    )
