"""The accuracy benchmark files a run under no name but its own."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.accuracy import EXPERIMENTS, _finished, fitted, joint_iou, seeded, write_table
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.training.run_folder import fingerprint

NAME = "emps-unet"
DISC = Shape("ellipse", "particle", np.array([[8.0, 8.0], [4.0, 4.0]]))
EXAMPLES = [
    Example(
        LabelledImage("a.png", 16, 16, (DISC,)), lambda: Micrograph(np.zeros((16, 16)), "a.png")
    )
]


def run_of(folder, **settings):
    experiment = EXPERIMENTS[NAME]
    told = {"config": experiment.config, "settings": {**experiment.settings, "finetune": None}}
    told["data"] = {"train": {"fingerprint": fingerprint(EXAMPLES)}}
    told["settings"].update(settings)
    (folder / "state").mkdir()
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def test_a_run_is_finished_after_its_last_phase(tmp_path):
    assert not _finished(NAME, EXPERIMENTS[NAME], tmp_path, EXAMPLES)
    folder = run_of(tmp_path)
    for phase, finished in ((0, False), (1, True)):
        (folder / "state" / "progress.json").write_text(json.dumps({"phase": phase}))
        assert _finished(NAME, EXPERIMENTS[NAME], folder, EXAMPLES) == finished


def test_a_run_trained_on_other_data_is_refused(tmp_path):
    folder = run_of(tmp_path)
    (folder / "state" / "progress.json").write_text('{"phase": 1}')
    with pytest.raises(ValueError, match=r"learns from data of fingerprint .* Move it away"):
        _finished(NAME, EXPERIMENTS[NAME], folder, EXAMPLES[1:])


def test_a_run_trained_otherwise_is_refused(tmp_path):
    folder = run_of(tmp_path, batch=3)
    (folder / "state" / "progress.json").write_text('{"phase": 1}')
    with pytest.raises(
        ValueError, match=r'"emps-unet" has batch=8. Received: .* batch=3. Name another'
    ):
        _finished(NAME, EXPERIMENTS[NAME], folder, EXAMPLES)


def test_an_unfinished_run_is_not_trained_by_scoring_it(tmp_path):
    with pytest.raises(ValueError, match=r"--run names a finished run of emps-unet"):
        fitted(NAME, EXPERIMENTS[NAME], [], [], tmp_path)


def test_a_stopped_training_is_not_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopped = SimpleNamespace(interrupted=True)
    monkeypatch.setattr("temzoo.train", lambda *args, **options: stopped)
    with pytest.raises(SystemExit, match="emps-unet was stopped; run it again to go on"):
        fitted(NAME, EXPERIMENTS[NAME], EXAMPLES, EXAMPLES, None)


def test_the_joint_iou_is_that_of_one_hot_masks():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 40, 40))
    confusion = np.bincount(truth.ravel() * 3 + found.ravel(), minlength=9).reshape(3, 3)
    a, b = np.eye(3, dtype=bool)[truth], np.eye(3, dtype=bool)[found]
    assert joint_iou(confusion) == pytest.approx((a & b).sum() / (a | b).sum())


def test_another_seed_is_an_experiment_of_its_own(monkeypatch):
    monkeypatch.setattr("benchmarks.accuracy.EXPERIMENTS", dict(EXPERIMENTS))
    name = seeded("emps-unet-fast", 3)
    assert accuracy.EXPERIMENTS[name].settings["seed"] == 3
    assert accuracy.EXPERIMENTS[name].config == EXPERIMENTS["emps-unet-fast"].config
    with pytest.raises(ValueError, match="emps-otsu has no seed that decides"):
        seeded("emps-otsu", 3)


def test_the_table_says_whether_another_seed_lies_in_the_interval(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.accuracy.RESULTS", tmp_path)
    committed = Path(__file__).parents[1] / "benchmarks/results/accuracy-emps-unet.json"
    record = json.loads(committed.read_text(encoding="utf-8"))
    (tmp_path / "accuracy-emps-unet.json").write_text(json.dumps(record))
    for seed, shift in ((1, 0.001), (2, 0.4)):
        figure = {**record["per_image"]["iou"], "value": record["per_image"]["iou"]["low"] + shift}
        again = {**record, "name": f"emps-unet-seed{seed}", "per_image": {"iou": figure}}
        (tmp_path / f"seeds-emps-unet-seed{seed}.json").write_text(json.dumps(again))
    rows = [line for line in write_table().read_text().splitlines() if line.startswith("|")]
    assert [row.split("|")[4].strip() for row in rows[-2:]] == ["yes", "no"]
