"""Commands that measure a search, a ranking and detectors, on drawn micrographs."""

import json

import pytest

from benchmarks import instances, label_next, tuning
from benchmarks.datasets import in_memory
from benchmarks.page import shown
from benchmarks.recipes import Recipe
from temzoo.data.synthetic.synthesize import crowded


def test_a_search_is_compared_with_the_default(monkeypatch, measured):
    monkeypatch.setattr(tuning, "CONFIG", {"filters": 2, "depth": 1})
    for name, value in (("TRAIN", 1), ("VAL", 1), ("SIDE", 96)):
        monkeypatch.setattr(tuning, name, value)
    examples = tuning.examples
    monkeypatch.setattr(tuning, "examples", lambda n, first=0: examples(n, first=first, side=96))
    settings = {**tuning.SETTINGS, "crop": 32, "steps_per_epoch": 1, "epochs": 1}
    monkeypatch.setattr(tuning, "TRIALS", 2)
    monkeypatch.setattr(tuning, "SETTINGS", settings)
    (record,) = measured("tuning", "random")
    figures = record["figures"]
    assert figures["trials"] == 2
    assert figures["best_score"] >= figures["default_score"]
    assert record["command"] == "python -m benchmarks tuning random"
    assert shown(record)[2].startswith("| random | 0.")


def test_measures_are_compared_with_the_true_error(drawn, monkeypatch, measured):
    monkeypatch.setattr(label_next, "dataset_of", lambda arguments: drawn)
    (record,) = measured("label-next", "--weights", "unet/emps-fast", "--data", "synthetic")
    assert [*record["figures"]["measures"]] == [*label_next.MEASURES]
    assert record["figures"]["images"] == 3
    assert record["figures"]["measures"]["doubt"]["mean_error_of_first_10"] == pytest.approx(
        record["figures"]["mean_error"]
    )
    assert json.dumps(record)


def test_detectors_are_trained_and_their_objects_counted(tmp_path, monkeypatch, measured):
    monkeypatch.chdir(tmp_path)
    config = {**instances.MOBILENET, "image_size": 64, "alpha": 0.25, "backbone_weights": None}
    settings = {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "seed": 0}
    monkeypatch.setattr(instances, "DENSE", Recipe("tiny", "dense", "mask_rcnn", config, settings))
    small = {"size": 64, "n_particles": 3, "diameter_nm": (10.0, 20.0)}
    drawn = {seed: crowded(seed, name=f"{seed}.tif", **small) for seed in (100, 200, 300)}
    monkeypatch.setattr(instances, "crowded", lambda seed, **_: drawn[100 * (seed // 100)])
    (record,) = measured("instances", "dense")
    figures = record["figures"]
    assert figures["images"][0]["instances_true"] == len(in_memory(*drawn[300]).labels.shapes)
    assert figures["relative count error"] >= -1
    assert record["training"]["best_epoch"] == 1
    assert shown(record)[2].startswith("| dense | tiny | ")
