"""What the tests share: the folder of real data, and a quiet TensorFlow."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["TEMZOO_NETWORKS"] = "off"  # of the small models here; tests/test_kept.py keeps some

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real micrographs beside the checkout; skips where it is absent."""
    if not (SHARED / "README.md").is_file():
        pytest.skip(f"needs the real data of {SHARED}, which is not there")
    return SHARED


@pytest.fixture(autouse=True, scope="module")
def optimizers_built():
    """A step is traced once: Keras traces it again where its first trace makes variables."""
    if "keras" not in sys.modules:
        yield
        return
    import keras

    fitted = keras.Model.fit

    def fit(self, *args, **keywords):
        if self.optimizer is not None and self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return fitted(self, *args, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit)
        yield


def step_eagerly(patch: pytest.MonkeyPatch) -> None:
    import keras

    compiled = keras.Model.compile

    def compile(self, *args, **keywords):
        compiled(self, *args, **{**keywords, "run_eagerly": True})

    patch.setattr(keras.Model, "compile", compile)


@pytest.fixture
def outside_a_graph():
    """What is detected once takes less time so than tracing does."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def eager_steps(monkeypatch):
    """Models step outside a graph, where a few small steps take less time than tracing one."""
    step_eagerly(monkeypatch)


@pytest.fixture(scope="module")
def eager_file():
    """The same for all of a file, its shared runs too."""
    with pytest.MonkeyPatch.context() as patch:
        step_eagerly(patch)
        yield


class Finder:
    """A detector of 64 px that finds regions of one value, scored by that value of 200."""

    image_size, input_shape = 64, (None, 64, 64, 1)
    class_names = ("particle",)

    def detect(self, pixels, *, statistics=None, min_score=0.05, max_detections=None):
        values = [v for v in np.unique(pixels[0])[::-1] if v / 200 >= max(min_score, 1e-3)]
        places = [np.argwhere(pixels[0, ..., 0] == value) for value in values]
        boxes = [[*place.min(axis=0), *(place.max(axis=0) + 1)] for place in places]
        return SimpleNamespace(
            boxes=np.array(boxes, np.float32).reshape(1, -1, 4),
            classes=np.ones((1, len(values)), np.int32),
            scores=np.array(values, np.float32)[None] / 200,
            masks=np.ones((1, len(values), 28, 28), np.float32),
            counts=np.array([len(values)]),
        )


@pytest.fixture
def finder() -> Finder:
    """A detector without a network."""
    return Finder()
