"""The accuracy benchmark files a run under no name but its own."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.accuracy import EXPERIMENTS, _finished, fitted, joint_iou
from temzoo.types import Example, LabelledImage, Micrograph, Shape

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
    told["settings"].update(settings)
    (folder / "state").mkdir()
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def test_a_run_is_finished_after_its_last_phase(tmp_path):
    assert not _finished(NAME, EXPERIMENTS[NAME], tmp_path)
    folder = run_of(tmp_path)
    for phase, finished in ((0, False), (1, True)):
        (folder / "state" / "progress.json").write_text(json.dumps({"phase": phase}))
        assert _finished(NAME, EXPERIMENTS[NAME], folder) == finished


def test_a_run_trained_otherwise_is_refused(tmp_path):
    folder = run_of(tmp_path, batch=3)
    (folder / "state" / "progress.json").write_text('{"phase": 1}')
    with pytest.raises(ValueError, match=r'"emps-unet" has batch=8. Received: .* batch=3'):
        _finished(NAME, EXPERIMENTS[NAME], folder)


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
