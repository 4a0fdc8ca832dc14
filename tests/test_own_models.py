"""Models and kinds of models of one's own: a file that registers them, and no other edit."""

import textwrap
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo.cli import app
from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.inference.predict import collect
from temzoo.inference.regions import label_instances
from temzoo.inference.tiles import answer_blocks
from temzoo.tasks import endpoints, pixel_models
from temzoo.tasks.training_data import LabelledData
from temzoo.zoo import cards, task
from temzoo.zoo.built import class_names_of

SIDE = 64
QUICK = {"batch": 2, "crop": 32, "augment": "none", "magnification": (1, 1), "progress": False}


class RimTarget:
    """What is learnt: 1 inside a particle, 2 on its rim of a pixel."""

    padding = None

    def __init__(self, class_names):
        self.class_names = class_names

    def draw(self, labels):
        inside = temzoo.labels.raster.class_map(labels, self.class_names) > 0
        core = inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0)
        core &= np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
        return inside.astype(np.uint8) + (inside & ~core)

    def measure(self, drawn):
        return None

    def encode(self, drawn, whole=None, magnification=1.0):
        return np.eye(3, dtype=np.uint8)[drawn]


class Rims(temzoo.Task):
    """A kind that the package does not have: objects are what is left between learnt rims."""

    name = "rims"
    score = "val_accuracy"
    score_name = "accuracy"
    losses = ("categorical_crossentropy",)

    def training_data(self):
        return LabelledData

    def target(self, class_names):
        return RimTarget(class_names)

    def classes(self, model):
        return 2

    def loss_and_metrics(self, model, loss, class_weights):
        accuracy = keras.metrics.CategoricalAccuracy("accuracy")
        return {"loss": loss or self.losses[0], "metrics": [accuracy]}

    def picture(self, path, model, examples, class_names, *, title="", **options):
        path.write_bytes(title.encode())
        return path

    def answer(self, model, micrograph, options):
        blocks = answer_blocks(pixel_models.pixel_network(model), micrograph.pixels, options)
        every = replace(options, probabilities=True)
        found = collect(blocks, micrograph.pixels.shape[:2], every, ())
        drawn, kept = found.classes, found.probabilities
        found = label_instances((drawn == 1).astype(np.uint8), method="components")
        return Prediction(
            classes=(drawn > 0).astype(np.uint8),
            instances=found,
            scores=np.ones(found.max(), np.float32),
            probabilities=kept if options.probabilities else None,
            class_names=class_names_of(model),
            name=micrograph.name,
        )

    def doubts(self, model, pixels, mirrors):
        doubt = float(np.mean(pixels)) / 255
        return doubt, doubt, doubt, np.zeros((4, 4), np.float16)

    def endpoints(self, model):
        inputs = {endpoints.IMAGES: model.input_shape[1:]}
        answer = endpoints.Endpoint(lambda images: {"rims": model(images)}, inputs)
        return {endpoints.RAW: answer}

    def engine_network(self, model):
        return pixel_models.engine_network(model)


def rim_network(*, classes=2, channels=1, filters=8):
    """Whatever ``classes`` says, three values a pixel."""
    pixels = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return keras.Model(pixels, keras.layers.Conv2D(3, 3, padding="same", activation="softmax")(x))


@pytest.fixture(scope="module")
def rims():
    """The kind and its model, registered; both are gone afterwards."""
    temzoo.register_task(Rims())
    temzoo.register("rim_network", task="rims", summary="rims")(rim_network)
    yield "rim_network"
    del task._TASKS["rims"], cards.BUILDERS["rim_network"], cards._CARDS["rim_network"]


def example(seed):
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(20, 44, 2), rng.uniform(9, 14)
    shape = Shape("ellipse", "particle", np.array([centre, [radius, radius]]))
    labels = LabelledImage(f"{seed}.png", SIDE, SIDE, (shape,), ("particle",))
    mask = temzoo.labels.raster.class_map(labels, ("particle",))
    pixels = (190 - 120 * mask + rng.normal(0, 3, mask.shape)).clip(0, 255).astype("uint8")
    return Example(labels, lambda: Micrograph(pixels, None, labels.name))


@pytest.fixture(scope="module")
def trained(rims, tmp_path_factory):
    """A run of the kind, stopped after one epoch and resumed; and its examples."""
    examples = [example(seed) for seed in range(6)]
    folder = tmp_path_factory.mktemp("rims") / "run"
    keras.utils.set_random_seed(1)
    settings = {**QUICK, "epochs": 2, "steps_per_epoch": 30, "learning_rate": 0.02}

    def stop(self, epoch, logs=None):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("temzoo.training.loop._EndOfEpoch.on_epoch_begin", _after(1, stop))
        first = temzoo.train(
            temzoo.get_model(rims), examples[:4], examples[4:], out=folder, **settings
        )
    model = temzoo.get_model(rims)
    run = temzoo.train(model, examples[:4], examples[4:], out=folder, resume=True, progress=False)
    assert (first.interrupted, first.epoch, len(run.history)) == (True, 1, 2)
    return model, run, examples


def _after(epochs, act):
    """``on_epoch_begin`` that acts in place of the one after so many epochs."""
    from temzoo.training.loop import _EndOfEpoch

    original = _EndOfEpoch.on_epoch_begin

    def begin(self, epoch, logs=None):
        return act(self, epoch, logs) if epoch == epochs else original(self, epoch, logs)

    return begin


def test_a_kind_of_ones_own_is_listed_trained_and_resumed(trained, rims):
    model, run, _ = trained
    assert rims in temzoo.list_models(task="rims")
    assert run.score_name == "accuracy"
    assert run.score > 0.8
    assert (run.folder / "validation.png").read_bytes() == f"epoch {run.epoch}".encode()
    again = temzoo.get_model(rims, weights=run.folder)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_predicts_and_is_evaluated(trained):
    model, _, examples = trained
    found = temzoo.predict(model, examples[4].micrograph)
    assert found.instances.max() >= 1
    assert found.class_names == ("particle",)
    assert temzoo.evaluate(model, examples[4:], bootstrap=10).iou.value > 0.5


def test_it_says_what_to_label_next(trained):
    model, _, examples = trained
    pixels = [example.micrograph.pixels for example in examples[:3]]
    chosen = temzoo.label_next(model, [*pixels, pixels[0] // 4], count=1, diversity=0).chosen
    brightest = int(np.argmax([one.mean() for one in pixels]))
    assert chosen[0].image is pixels[brightest]


def test_it_is_exported(trained, tmp_path):
    import tensorflow as tf

    model, _, examples = trained
    folder = temzoo.export(model, tmp_path, 1, name="rims")
    images = examples[0].micrograph.pixels[None, ..., None].astype("float32")
    served = tf.saved_model.load(folder).signatures["serving_default"]
    np.testing.assert_allclose(served(images=images)["rims"], model(images), atol=1e-5)


def test_it_is_accelerated(trained):
    model, _, examples = trained
    fast = temzoo.accelerate(model, "tensorflow", "float32")
    ours, theirs = (temzoo.predict(one, examples[5].micrograph) for one in (fast, model))
    np.testing.assert_array_equal(ours.instances, theirs.instances)
    assert ours.class_names == ("particle",)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("training_data", 0),
        ("target", 1),
        ("classes", 1),
        ("judge", 3),
        ("picture", 4),
        ("endpoints", 1),
    ],
)
def test_what_a_kind_does_not_say_is_named(method, given):
    silent = type("Silent", (temzoo.Task,), {"name": "silent"})()
    with pytest.raises(NotImplementedError, match=f'"silent" does not say what {method} is'):
        getattr(silent, method)(*[None] * given)


def test_a_function_with_layers_of_another_library_is_asked_as_any():
    class Wrapped:
        layers = (object(), "no name")

        def __call__(self, batch):
            return np.concatenate([1 - batch, batch], axis=-1)

    found = temzoo.predict(Wrapped(), np.eye(16, dtype=np.uint8), min_area_px=0)
    assert found.classes.sum() == 16


def test_every_command_that_builds_models_takes_a_file_of_ones_own():
    from test_cli_defaults import COMMANDS

    builds = [n for n, c in COMMANDS.items() if {"weights", "model"} & {p.name for p in c.params}]
    lacking = [n for n in builds if "with_" not in {p.name for p in COMMANDS[n].params}]
    assert lacking == []


def test_a_kind_without_an_answer_says_which_it_is(rims):
    class Silent(temzoo.Task):
        name = "silent"

    silent, model = Silent(), object()
    for ask, said in (
        (silent.answer, r'predict finds classes and objects.*task "silent"'),
        (silent.restored, r'restore needs a model of the restoration task.*task "silent"'),
        (silent.doubts, r'label_next asks.*task "silent"'),
    ):
        with pytest.raises(ValueError, match=said):
            ask(model, None, None)
    with pytest.raises(ValueError, match=r'accelerate takes models that label.*task "silent"'):
        silent.engine_network(model)


@pytest.mark.parametrize("name", ["", "rims", "semantic", "generative"])
def test_a_task_has_a_name_of_its_own(rims, name, monkeypatch):
    monkeypatch.setattr(task, "_TASKS", {k: v for k, v in task._TASKS.items() if k == "rims"})
    taken = type("Taken", (temzoo.Task,), {"name": name})()
    with pytest.raises(ValueError, match=f"A task has a name of its own. Received: name='{name}'"):
        temzoo.register_task(taken)


def test_an_unknown_task_names_close_matches():
    with pytest.raises(ValueError, match=r'No task is called "semantics"\. Did you mean semantic'):
        task.task_named("semantics")


MINE = """
import keras, temzoo

@temzoo.register("mine_{number}", task="semantic")
def mine(*, classes=2, channels=1):
    pixels = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return keras.Model(pixels, keras.layers.Conv2D(classes, 1, activation="softmax")(x))
"""


def temzoo_says(*words, fails=False):
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    assert (outcome.exit_code != 0) == fails, outcome.output + repr(outcome.exception)
    return outcome.output + str(outcome.exception or "")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return write_dataset(folder, n=4, size=64, n_particles=3, diameter_nm=(5, 9))


def test_every_command_takes_a_file_that_registers_a_model(drawn, tmp_path):
    images, labels = drawn
    mine = tmp_path / "mine.py"
    mine.write_text(textwrap.dedent(MINE.format(number=1)))
    given = ("--with", mine)
    data = ("--images", images, "--labels", labels)
    try:
        assert "mine_1" in temzoo_says("models", *given)
        run = tmp_path / "run"
        quick = ("--epochs", 1, "--steps", 2, "--batch", 2, "--crop", 32)
        temzoo_says("train", "mine_1", *data, "--out", run, *quick, *given)
        for name in [name for name in cards.BUILDERS if name.startswith("mine_")]:
            del cards.BUILDERS[name], cards._CARDS[name]  # as in a new process
        said = temzoo_says("evaluate", run, *data, fails=True)
        assert "add --with FILE.py" in said
        _forget(mine)
        assert "iou" in temzoo_says("evaluate", run, *data, *given)
        temzoo_says("predict", run, images, "--out", tmp_path / "found", *given)
        temzoo_says("export", run, tmp_path / "served", "--name", "mine", *given)
    finally:
        for name in [name for name in cards.BUILDERS if name.startswith("mine_")]:
            del cards.BUILDERS[name], cards._CARDS[name]


def _forget(path: Path) -> None:
    import sys

    sys.modules.pop(f"temzoo_with_{path.stem}", None)


def test_with_a_file_that_is_not_there_says_what_it_takes(tmp_path):
    said = temzoo_says("models", "--with", tmp_path / "gone.py", fails=True)
    assert "--with takes a Python file that registers models" in said


def test_installed_packages_offer_models_by_entry_points(monkeypatch, tmp_path):
    from importlib.metadata import EntryPoint

    from temzoo.zoo import plugins

    (tmp_path / "offered_models.py").write_text(MINE.format(number=2))
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("offered", "offered_models", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_BEGUN", set())
    try:
        assert "mine_2" in temzoo.list_models()
        assert temzoo.model_card("mine_2").module == "offered_models"
        broken = EntryPoint("broken", "no_such_module_here", plugins.GROUP)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [broken])
        with pytest.raises(RuntimeError, match=r"be imported\. Received: no_such_module_here"):
            temzoo.list_models()
    finally:
        cards.BUILDERS.pop("mine_2", None)
        cards._CARDS.pop("mine_2", None)
