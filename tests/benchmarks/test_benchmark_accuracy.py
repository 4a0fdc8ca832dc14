"""Accuracy: known predictions, paired differences, and VAEs."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import temzoo
from benchmarks import accuracy, denoise, latent, recipes
from benchmarks.datasets import Dataset, open_dataset
from benchmarks.page import shown
from benchmarks.records import scores
from temzoo.labels.shapes.raster import class_map


class Oracle:
    """Knows the labels by the image's pixels, and grows every particle by some."""

    def __init__(self, examples, grow=0, class_names=("particle",)):
        self.grow, self.class_names = grow, class_names
        self.truth = {
            e.micrograph.pixels.tobytes(): class_map(e.labels, ("particle",)) for e in examples
        }

    def predict_probabilities(self, pixels):
        from scipy.ndimage import binary_dilation

        mask = (
            self.truth[
                np.ascontiguousarray(pixels[..., 0] if pixels.ndim == 3 else pixels).tobytes()
            ]
            > 0
        )
        if self.grow:
            mask = binary_dilation(mask, iterations=self.grow)
        return np.stack([1 - mask, mask], axis=-1).astype(np.float32)


def test_the_truth_scores_one_and_no_error(drawn):
    judged = accuracy.judge(Oracle(drawn.val), drawn.val, bootstrap=50)
    assert judged.per_image["iou"].value == judged.per_image["dice"].value == 1.0
    assert scores(judged)["pooled_iou_of_classes"] == {"background": 1.0, "particle": 1.0}
    assert set(accuracy.GAINS) <= {*judged.table[0]}


def test_grown_particles_are_larger_and_their_sizes_tell_it(drawn):
    apart = [e for e in drawn.val if len(e.labels.shapes) > 1]
    judged = accuracy.judge(Oracle(apart, grow=2), apart, bootstrap=50)
    assert judged.pooled["d50_error"].value > 0.05


def test_pooled_count_error_is_that_of_all_objects(drawn):
    found = accuracy.judge(Oracle(drawn.val, grow=1), drawn.val, bootstrap=50)
    true, predicted = (sum(r[f"instances_{k}"] for r in found.table) for k in ("true", "predicted"))
    assert found.pooled["relative_count_error"].value == pytest.approx(predicted / true - 1)


def test_instances_below_the_least_area_are_no_particles(drawn, monkeypatch):
    monkeypatch.setitem(accuracy.OBJECTS, "min_area_px", 10**6)
    found = accuracy.judge(Oracle(drawn.val), drawn.val, bootstrap=20)
    assert found.iou.value == 1.0
    assert found.pooled["relative_count_error"].value == -1.0
    assert math.isnan(found.pooled["d50_error"].value)


def test_labels_of_other_names_count_as_the_one_class_of_a_model(drawn):
    other = []
    for e in drawn.val:
        shapes = tuple(replace(shape, label="rod") for shape in e.labels.shapes)
        other.append(replace(e, labels=replace(e.labels, shapes=shapes, classes=("rod",))))
    judged = accuracy.judge(Oracle(drawn.val), other, bootstrap=20)
    assert judged.iou.value == 1.0


def test_a_detector_is_judged_by_its_objects(drawn, finder):
    """Two discs of brightness 180 and 60: scores 0.9 and 0.3, the latter no object."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:24, 8:24], pixels[40:52, 40:52] = 180, 60
    prediction = temzoo.predict(finder, pixels, min_score=0.05)
    assert len(prediction.detections) == 2
    diameters, cut = accuracy._found(prediction, 0.7)
    assert (diameters.tolist(), cut.tolist()) == ([16], [False])


def test_what_the_border_cuts_has_no_size(drawn):
    """Of two squares, one lies at the border."""
    instances = np.zeros((20, 30), np.int32)
    instances[2:6, 2:6], instances[10:20, 10:20] = 1, 2
    prediction = SimpleNamespace(detections=None, instances=instances, scores=np.ones(2))
    diameters, cut = accuracy._found(prediction, None)
    assert (diameters.tolist(), cut.tolist()) == ([4, 10], [False, True])
    assert [part.tolist() for part in accuracy._found(prediction, 2.0)] == [[], []]
    judged = accuracy.judge(Oracle(drawn.val), drawn.val, bootstrap=20)
    assert judged.pooled["free_d50_error"].value == 0


def test_pooled_errors_are_those_of_the_images_as_often_as_they_are_drawn():
    rng = np.random.default_rng(0)
    true = [rng.uniform(5, 9, 8), rng.uniform(5, 20, 3), np.zeros(0)]
    found = [rng.uniform(5, 9, 6), rng.uniform(4, 18, 5), rng.uniform(4, 5, 2)]
    sizes = [*zip(true, found, strict=True)]
    errors = accuracy.pooled_errors(sizes, np.array([[1, 1, 1], [0, 2, 1], [0, 0, 1]]))
    second = [np.concatenate([part[1], part[1], part[2]]) for part in (true, found)]
    first = [np.concatenate(part) for part in (true, found)]
    for row, (t, f) in enumerate((first, second)):
        assert errors["d50_error"][row] == pytest.approx(np.median(f) / np.median(t) - 1)
        assert errors["relative_count_error"][row] == pytest.approx(len(f) / len(t) - 1)
    assert np.isnan(errors["d50_error"][2])


def test_better_is_said_only_where_the_interval_excludes_zero():
    def of(low, high):
        return SimpleNamespace(low=low, high=high)

    assert accuracy.verdict(of(0.01, 0.2)) == "better"
    assert accuracy.verdict(of(-0.2, -0.01)) == "worse"
    for low, high in ((-0.1, 0.1), (0.0, 0.1), (math.nan, math.nan)):
        assert accuracy.verdict(of(low, high)) == "not told apart"


def test_paired_differences_are_means_over_the_images(drawn):
    good, bad = (
        accuracy.judge(Oracle(drawn.val, grow), drawn.val, bootstrap=50) for grow in (0, 2)
    )
    found = accuracy.comparison(good, bad)
    mean = np.mean([1 - row["iou"] for row in bad.table])
    assert found["iou"]["value"] == pytest.approx(mean)
    assert found["iou"]["verdict"] == "better"
    assert found["iou"]["images"] == 3
    assert accuracy.comparison(bad, good)["iou"]["verdict"] == "worse"
    assert accuracy.comparison(good, good)["iou"]["verdict"] == "not told apart"


def test_a_run_of_two_contestants_is_recorded_and_compared(monkeypatch, drawn, measured):
    monkeypatch.setattr(accuracy, "dataset_of", lambda arguments: drawn)
    monkeypatch.setitem(recipes.CONTESTANTS, "oracle", lambda learn: Oracle(drawn.val))
    words = ["--weights", "otsu", "--compare", "oracle", "--quick"]
    records = {record["model"]: record for record in measured("accuracy", *words)}
    assert set(records) == {"otsu", "oracle", None}
    second, paired = records["oracle"], records[None]
    (pair,) = paired["figures"]["pairs"]
    assert [pair["model"], pair["beside"]] == ["oracle", "otsu"]
    assert pair["metrics"]["iou"]["verdict"] == "better"
    start = "python -m benchmarks accuracy --weights"
    assert paired["command"] == f"{start} otsu --compare oracle --quick"
    assert second["command"] == f"{start} oracle --quick"
    assert second["dataset"]["fingerprint"] == drawn.told()["fingerprint"]


def test_restorers_are_scored_at_every_dose():
    model = temzoo.get_model("autoencoder", filters=4, depth=2, compile=False)
    found = denoise.judged(model, open_dataset("synthetic", quick=True).val[:2])
    assert [*found] == ["low-dose", "medium-dose", "high-dose"]
    assert all(0 < value < 60 for value in found.values())


def test_a_vae_is_judged_by_what_its_latent_numbers_know():
    model = temzoo.get_model("vae", latent_dim=3, image_size=16, filters=4, depth=1)
    figures = latent.known(model, count=80)
    images, factors = latent.pictures(model, 80)
    means = np.asarray(model.encode(images)[0])
    again = np.asarray(model.decode(means))
    error = figures["reconstruction_error"]
    assert error["value"] == pytest.approx(np.mean((again - images) ** 2), rel=1e-4)
    assert error["low"] < error["value"] < error["high"]
    r = np.corrcoef(np.column_stack([means, factors["diameter_px"]]).T)[-1, :-1]
    assert figures["r diameter_px"]["value"] == pytest.approx(np.abs(r).max(), rel=1e-4)
    assert figures["latent_dim"] == 3


def test_a_vae_of_colour_is_refused():
    with pytest.raises(ValueError, match=r"drawn grey particles. Received: one of 3 channels"):
        latent.pictures(SimpleNamespace(channels=3, image_size=16), 1)


def test_models_of_every_task_are_judged_in_one_run(monkeypatch, drawn, measured):
    vae = temzoo.get_model("vae", latent_dim=2, image_size=16, filters=4, depth=1)
    monkeypatch.setattr(accuracy, "dataset_of", lambda arguments: drawn)
    monkeypatch.setattr(latent, "QUICK_PICTURES", 40)
    monkeypatch.setitem(recipes.CONTESTANTS, "vae", lambda learn: vae)
    records = measured("accuracy", "--weights", "otsu", "--compare", "vae", "--quick")
    assert [r["what"] for r in records] == ["accuracy", "vae"]
    for record in records:
        assert {"name", "split", "fingerprint"} <= {*record["dataset"]}
        assert record["seed"] is not None
        assert record["repetitions"] >= 1
        assert shown(record)[-1].startswith("|")


def test_what_is_judged_must_be_named(measured, capsys):
    with pytest.raises(SystemExit):
        measured("accuracy")
    assert "required: --weights" in capsys.readouterr().err


def test_a_word_that_names_no_weights_is_refused():
    with pytest.raises(FileNotFoundError, match="Give a run folder"):
        recipes.contestant_of("nothing-of-the-kind", [])


def test_one_more_contestant_is_a_function(drawn):
    @recipes.contestant("dark")
    def dark(learn):
        level = np.mean([e.micrograph.pixels.mean() for e in learn])

        def network(batch):
            lit = (batch < level).astype("float32")
            return np.concatenate([1 - lit, lit], axis=-1)

        return network

    try:
        model = recipes.contestant_of("dark", drawn.train)
        assert 0 <= accuracy.judge(model, drawn.val, bootstrap=20).iou.value <= 1
    finally:
        del recipes.CONTESTANTS["dark"]


def test_a_dataset_part_is_named_in_the_record(drawn):
    told = Dataset("d", drawn.train, drawn.val, "by hand").told("all")
    assert told["images"] == 5
    assert told["part"] == "all"
