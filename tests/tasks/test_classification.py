"""Classification: what it learns from, its loss and scores, and what a trained one answers."""

import csv
import json

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo.cli import app
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data.classes import class_of, tagged
from temzoo.evaluation.classification import evaluate_classifier
from temzoo.tasks.classification import calibrate, temperature
from temzoo.tasks.classification_graph import ClassLoss, ClassMean
from temzoo.zoo.task import task_named

TASK = task_named("classification")
CLASSES = ("disc", "rod")
TRUTH = np.eye(3)[[0, 0, 0, 1, 1, 0]]
FOUND = np.eye(3)[[0, 0, 1, 1, 2, 0]] * 0.7 + 0.1


def particle(kind, rng, size=32):
    """A dark ellipse of 150 px on a noisy ground: round, or 2.5 times as long as wide."""
    turn, (long, short) = rng.uniform(0, np.pi), {"disc": (7, 7), "rod": (11, 4.4)}[kind]
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = (
        cols * np.cos(turn) + rows * np.sin(turn),
        rows * np.cos(turn) - cols * np.sin(turn),
    )
    inside = (along / long) ** 2 + (across / short) ** 2 < 1
    noisy = 170 - rng.uniform(60, 100) * inside + rng.normal(0, 12, inside.shape)
    return noisy.clip(0, 255).astype("uint8")


def example(number, group=""):
    """Discs and rods in turn, as images of a class."""
    kind = CLASSES[number % 2]
    pixels = particle(kind, np.random.default_rng(number))
    image = Micrograph(pixels, None, f"{number}.png")
    labels = LabelledImage(image.name, *pixels.shape[::-1])
    return tagged(Example(labels, lambda: image, group), kind)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48 particles of 6 micrographs in a folder of each class, and which is of which."""
    home = tmp_path_factory.mktemp("classes")
    groups = [["image", "group"]]
    for number in range(48):
        name = f"{CLASSES[number % 2]}/{number}.png"
        (home / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(home / name), particle(CLASSES[number % 2], np.random.default_rng(number)))
        groups.append([name, f"m{number // 8}"])
    with (home / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows(groups)
    return home


def call(*words, fails=False):
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    assert (outcome.exit_code != 0) == fails, outcome.output + repr(outcome.exception)
    return outcome.output + str(outcome.exception or "")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    said = call(
        *("train", "dcnn", "--images", folder, "--groups", folder / "groups.csv", "--out", out),
        *("--batch", 16, "--epochs", 5, "--steps", 15, "--learning-rate", 0.01, "--balance"),
        *("--val", 0.34),
    )
    assert "best validation balanced accuracy" in said
    assert "counts as a specimen of its own" not in said
    return out


def test_a_drawn_set_is_learnt_from_other_micrographs(run, folder):
    told = json.loads((run / "run.json").read_text())
    assert told["class_names"] == list(CLASSES)
    learnt, judged = (
        {int(name.split("/")[1].split(".")[0]) // 8 for name in told["data"][part]["names"]}
        for part in ("train", "val")
    )
    assert not learnt & judged
    said = call(
        *("evaluate", run, "--images", folder, "--groups", folder / "groups.csv"),
        *("--out", run / "scores"),
    )
    assert "16 images, classes: disc, rod; 95% bootstrap intervals over 2 groups" in said
    figures = json.loads((run / "scores" / "figures.json").read_text())
    assert figures["figures"]["balanced_accuracy"]["value"] > 0.9
    assert np.sum(figures["confusion"]) == 16
    assert len((run / "scores" / "images.csv").read_text().splitlines()) == 17
    assert (run / "scores" / "confusion.png").stat().st_size > 5000
    assert (run / "validation.png").stat().st_size > 5000


def test_scores_stand_alone_where_json_is_asked_for(run, folder):
    words = ["evaluate", str(run), "--images", str(folder), "--json"]
    done = CliRunner().invoke(app, words)
    told = json.loads(done.stdout)
    assert told["classes"] == list(CLASSES)
    assert np.sum(told["confusion"]) == told["images"]
    assert "95% bootstrap intervals" in done.stderr


def test_a_trained_one_tells_the_classes_of_images(run):
    model = temzoo.get_model("dcnn", weights=run)
    rng = np.random.default_rng(99)
    images = [particle(kind, rng, size) for kind in CLASSES for size in (32, 32)]
    found = temzoo.classify(model, images)
    assert found.found == ["disc", "disc", "rod", "rod"]
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)
    assert temzoo.classify(model, [Micrograph(images[3].astype("uint16") * 9)]).found == ["rod"]


def test_the_command_writes_the_class_of_each_image(run, folder, tmp_path):
    said = call("classify", run, "--images", folder / "rod", "--out", tmp_path / "classes.csv")
    names = sorted(path.name for path in (folder / "rod").iterdir())
    with (tmp_path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == names
    assert f"{len(names)} images, " in said
    right = [row["class"] == "rod" for row in rows]
    assert np.mean(right) > 0.9
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)


def test_another_classifier_begins_from_it_and_knows_the_names(run):
    model = temzoo.get_model("dcnn", start=run)
    assert temzoo.classify(model, [example(0)]).class_names == CLASSES


def test_what_is_for_micrographs_is_refused_and_says_what_to_do(run, folder):
    model = temzoo.get_model("dcnn", weights=run)
    micrograph = np.zeros((64, 64), "uint8")
    with pytest.raises(ValueError, match=r"predict takes models of whole.*ask temzoo.classify"):
        temzoo.predict(model, micrograph)
    with pytest.raises(ValueError, match=r"label_next takes models of whole.*Cut particles with"):
        temzoo.label_next(model, [micrograph])
    said = call("evaluate", "unet_mobilenet/emps", "--images", folder, fails=True)
    assert "is scored on labelled micrographs. Received: no --labels. Add --labels FILE" in said
    said = call(
        *("train", "dcnn", "--images", folder, "--labels", folder, "--out", folder), fails=True
    )
    assert "dcnn learns from particles with a class: cut them with `temzoo particles" in said
    said = call("evaluate", "otsu", "--images", folder, fails=True)
    assert "Received: no --labels" in said


def test_a_model_of_pixels_is_no_classifier():
    unet = temzoo.get_model("unet", filters=4, depth=1, compile=False)
    with pytest.raises(ValueError, match=r'classify needs a classifier.*of the task "semantic"'):
        temzoo.classify(unet, [np.zeros((8, 8))])


def test_weights_of_the_loss_are_as_many_as_the_classes():
    model = temzoo.get_model("mlp", hidden=(2,), image_size=4, compile=False)
    with pytest.raises(ValueError, match=r"one factor per class: 2 here.*\[1, 2, 3\]"):
        TASK.compile(model, class_weights=[1, 2, 3])
    with pytest.raises(ValueError, match=r"loss must be one of smooth_ce, ce.*loss='dice'"):
        TASK.compile(model, loss="dice")
    TASK.compile(model, loss="ce", class_weights=[1, 2])
    assert model.loss.class_weights == [1, 2]


def test_the_loss_is_the_weighted_cross_entropy():
    weights = np.array([1, 2, 3])
    expected = -(np.log((TRUTH * FOUND).sum(-1)) * (TRUTH * weights).sum(-1)).mean()
    assert float(ClassLoss("ce", weights)(TRUTH, FOUND)) == pytest.approx(expected, rel=1e-5)
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(TRUTH, FOUND)
    assert float(ClassLoss()(TRUTH, FOUND)) == pytest.approx(float(smooth), rel=1e-5)


def test_the_scores_of_an_epoch_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    true, found = TRUTH.argmax(-1), FOUND.argmax(-1)
    expected = {
        "balanced_accuracy": sklearn.recall_score(true, found, labels=[0, 1], average="macro"),
        "macro_f1": sklearn.f1_score(true, found, average="macro"),
    }
    for kind, value in expected.items():
        metric = ClassMean(kind, 3)
        metric.update_state(TRUTH[:2], FOUND[:2])
        metric.update_state(TRUTH[2:], FOUND[2:])
        assert float(metric.result()) == pytest.approx(value, rel=1e-6)
        assert type(metric).from_config(metric.get_config()).kind == kind


class Scripted:
    """A classifier that answers what it is told, image by image."""

    input_shape = (None, 32, 32, 1)

    def __init__(self, answers):
        self.answers = np.asarray(answers, np.float32)

    def __call__(self, images, training):
        assert len(images) == len(self.answers)
        return self.answers


def test_figures_agree_with_an_epochs_and_intervals_are_over_groups():
    names = ("a", "b", "c")
    of = [tagged(example(k, group="ab"[k % 2]), names[c]) for k, c in enumerate(TRUTH.argmax(-1))]
    found = evaluate_classifier(Scripted(FOUND), of, classes=names, bootstrap=200)
    for kind in ("balanced_accuracy", "macro_f1"):
        metric = ClassMean(kind, 3)
        metric.update_state(TRUTH, FOUND)
        assert found.figures[kind].value == pytest.approx(float(metric.result()), rel=1e-6)
    assert found.groups == 2
    np.testing.assert_array_equal(found.confusion, [[3, 1, 0], [0, 1, 1], [0, 0, 0]])
    # Groups a: a a b → a b c; b: a b a → a b a. Each resample is one of three mixtures.
    assert found.figures["accuracy"].low == pytest.approx(1 / 3)
    assert found.figures["accuracy"].high == 1
    assert "a                        3             1             0" in found.summary()


def test_images_of_other_classes_are_refused():
    with pytest.raises(
        ValueError, match=r"images of the model's classes, a, b.* 1 images, of disc"
    ):
        evaluate_classifier(Scripted(FOUND), [example(0)], classes=("a", "b"))


def test_an_image_without_a_class_is_refused():
    plain = Example(LabelledImage("a.png", 4, 4), lambda: None)
    with pytest.raises(ValueError, match=r"a.png: an image to classify has one class. Received: 0"):
        class_of(plain)


@pytest.mark.parametrize("true", [0.7, 2.0])
def test_the_temperature_of_drawn_answers_is_found(true):
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20_000, 3))
    softmax = keras.ops.softmax
    drawn = np.asarray(softmax(scores / true))
    truth = np.eye(3)[(drawn.cumsum(-1) > rng.random((len(drawn), 1))).argmax(-1)]
    assert temperature(np.asarray(softmax(scores)), truth) == pytest.approx(true, rel=0.05)


def test_calibration_changes_how_sure_a_model_is_and_not_of_what():
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("mlp", hidden=(4,), compile=False)
    x = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 1), "uint8")
    before = np.asarray(model(x))
    truth = np.eye(2)[before.argmin(-1)]  # wrong of all, so that any sureness is too much
    assert calibrate(model, before, truth) == pytest.approx(5, rel=0.01)
    after = np.asarray(model(x))
    assert (after.argmax(-1) == before.argmax(-1)).all()
    assert after.max(-1).mean() < before.max(-1).mean()
    plain = keras.Sequential([keras.layers.Dense(2)])
    assert calibrate(plain, before, truth) == 1


def test_weights_are_balanced_by_the_classes_of_the_images():
    from temzoo.core.settings import Settings
    from temzoo.tasks.training_data import ClassData

    model = temzoo.get_model("mlp", hidden=(2,), compile=False)
    train = [example(k) for k in (0, 2, 4, 6, 1)]
    data = ClassData(model, Settings(), train, [example(8), example(9)])
    few, many = data.class_weights("balanced")[1], data.class_weights("balanced")[0]
    assert few == pytest.approx(2 * many)
    assert data.class_weights([1, 5]) == [1, 5]
    assert "counts as a specimen of its own" in data.notes[-1]
    with pytest.raises(ValueError, match=r"\(disc, rod\), so the model needs classes=2.*classes=3"):
        ClassData(temzoo.get_model("mlp", classes=3, compile=False), Settings(), train, train)
    with pytest.raises(ValueError, match=r"augment must be one of .*'turns'"):
        ClassData(model, Settings(augment="turns"), train, train)
