"""Recipes: a run is filed under no name but its own; scores of a trained one."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import recipes
from benchmarks.recipes import RECIPES, Recipe, fitted, joint_iou, seeded
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape

NAME = "emps-unet"
DISC = Shape("ellipse", "particle", np.array([[8.0, 8.0], [4.0, 4.0]]))
EXAMPLES = [
    Example(
        LabelledImage("a.png", 16, 16, (DISC,)), lambda: Micrograph(np.zeros((16, 16)), "a.png")
    )
]


def test_a_stopped_training_is_not_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopped = SimpleNamespace(interrupted=True)
    monkeypatch.setattr("temzoo.train", lambda *args, **options: stopped)
    with pytest.raises(SystemExit, match="emps-unet was stopped; run it again to go on"):
        fitted(NAME, RECIPES[NAME], EXAMPLES, EXAMPLES)


def test_the_joint_iou_is_that_of_one_hot_masks():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 40, 40))
    confusion = np.bincount(truth.ravel() * 3 + found.ravel(), minlength=9).reshape(3, 3)
    a, b = np.eye(3, dtype=bool)[truth], np.eye(3, dtype=bool)[found]
    assert joint_iou(confusion) == pytest.approx((a & b).sum() / (a | b).sum())


def test_another_seed_is_a_recipe_of_its_own():
    assert seeded("emps-unet-fast", 3).settings["seed"] == 3
    assert seeded("emps-unet-fast", 3).config == RECIPES["emps-unet-fast"].config
    with pytest.raises(ValueError, match="emps-otsu has no seed that decides"):
        seeded("emps-otsu", 3)


def test_a_recipe_is_trained_scored_and_taken_up_again(tmp_path, monkeypatch, drawn, measured):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "open_dataset", lambda *where, **how: drawn)
    settings = {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop": 32, "seed": 0}
    tiny = Recipe("tiny", "synthetic", "unet", {"filters": 2, "depth": 1}, settings, images=1)
    monkeypatch.setitem(recipes.RECIPES, "tiny", tiny)
    monkeypatch.setitem(recipes.RECIPES, "otsu", Recipe("Otsu", "synthetic", "otsu"))
    for name in ("tiny", "otsu"):
        monkeypatch.setitem(recipes.MEASUREMENTS, name, partial(recipes.measure, name))
    net, otsu = measured("recipe", "tiny", "otsu")
    assert net["command"] == "python -m benchmarks recipe tiny"
    assert net["dataset"]["train_images"] == 1
    assert net["training"]["best_epoch"] == 1
    scores = [r["figures"]["per_image"]["iou"]["value"] for r in (net, otsu)]
    assert scores[1] == pytest.approx(np.mean([row["iou"] for row in otsu["figures"]["images"]]))
    (again,) = measured("recipe", "tiny", "--seed", "1")
    assert [again["name"], again["seed"]] == ["tiny-seed1", 1]
    trained = (tmp_path / "runs" / "tiny" / "run.json").stat().st_mtime_ns
    (once_more,) = measured("recipe", "tiny")
    assert once_more["figures"]["per_image"]["iou"]["value"] == scores[0]
    other = replace(tiny, settings={**settings, "batch": 2})
    monkeypatch.setitem(recipes.RECIPES, "tiny", other)
    with pytest.raises(ValueError, match=r"it was started with. Received: batch=2, in .* 1"):
        measured("recipe", "tiny")
    monkeypatch.setitem(recipes.RECIPES, "tiny", tiny)
    monkeypatch.setattr(recipes, "open_dataset", lambda *where, **how: drawn.drawn(1, seed=3))
    with pytest.raises(ValueError, match=r"resumed with the data it was started with"):
        measured("recipe", "tiny")
    assert (tmp_path / "runs" / "tiny" / "run.json").stat().st_mtime_ns == trained
