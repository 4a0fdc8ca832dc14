"""Commands that measure a search, an export, a ranking and detectors, on drawn micrographs."""

import json

import pytest

import temzoo
from benchmarks import export, instances, label_next, tuning
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


def test_an_export_and_its_check_are_timed(measured):
    (record,) = measured("export", "vae")
    figures = record["figures"]
    assert 0 < figures["check_seconds"] < figures["seconds"]
    assert figures["bytes"]["export"] > figures["bytes"]["model"] > 0
    assert export.verify.check_saved_model.__module__ == "temzoo.deploy.exporting.verify"
    assert shown(record)[2].startswith("| vae | ")


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
    small = {"size": 128, "n_particles": 6}
    drawn = {seed: crowded(seed, name=f"{seed}.tif", **small) for seed in (100, 200, 300)}
    monkeypatch.setattr(instances, "crowded", lambda seed, **_: drawn[100 * (seed // 100)])
    (record,) = measured("instances", "dense")
    figures = record["figures"]
    assert figures["images"][0]["instances_true"] == len(in_memory(*drawn[300]).labels.shapes)
    assert figures["relative count error"] >= -1
    assert record["training"]["best_epoch"] == 1
    assert shown(record)[2].startswith("| dense | tiny | ")


def test_stages_of_a_detection_are_timed(measured, monkeypatch):
    model = temzoo.get_model(
        "mask_rcnn", image_size=64, backbone="mobilenet", alpha=0.25, backbone_weights=None
    )
    monkeypatch.setattr(temzoo, "get_model", lambda *asked, **how: model)
    monkeypatch.setattr(instances, "SIDE", 64)
    monkeypatch.setattr(instances, "REPEATS", 1)
    (record,) = measured("instances", "speed")
    assert "masks of 20 objects" in record["figures"]["milliseconds"]
    assert any(line.startswith("| normalise | ") for line in shown(record))
