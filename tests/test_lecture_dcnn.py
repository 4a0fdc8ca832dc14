"""The lecture on classifiers: particles of known kind, small trainings, claims, and one page."""

import json
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from temzoo import cli
from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement.pixel_runs import runs_of_map
from temzoo.workflows import lecture_dcnn as module
from temzoo.workflows import lecture_trials, lecture_windows
from temzoo.workflows.lecture_dcnn import claims, convolved, lecture_dcnn, max_pooled
from temzoo.workflows.lecture_trials import ALEXNET, DCNN, MLP, STRIDELESS, Learnt, Trial, trials
from temzoo.workflows.lecture_windows import (
    KINDS,
    Windows,
    drawn_windows,
    labelled_windows,
    outline_kinds,
)

DISC = Shape("ellipse", "p", np.array([[60.0, 60.0], [12.0, 12.0]]))
ROD = Shape("ellipse", "p", np.array([[60.0, 140.0], [6.0, 20.0]]), rotation=30)
STAR = np.array([[20, 0], [7, 5], [4, 22], [-5, 7], [-17, 2], [-6, -6], [-1, -18], [8, -5]])
ODD = Shape("polygon", "p", STAR + np.array([140.0, 100.0]))
SMALL = Shape("ellipse", "p", np.array([[140.0, 180.0], [4.0, 4.0]]))


@pytest.fixture
def labelled():
    labels = LabelledImage("a.png", 200, 200, (DISC, ROD, ODD, SMALL))
    pixels = np.random.default_rng(0).normal(150, 5, (200, 200))
    pixels[instance_map(labels) > 0] = 40
    return Example(labels, lambda: Micrograph(pixels.astype("uint8"), None, "a.png"), "paper")


def test_outlines_are_told_by_aspect_and_by_the_ellipse_of_their_moments(labelled):
    numbered = instance_map(labelled.labels)
    assert outline_kinds(runs_of_map(numbered), numbered) == [
        "round",
        "elongated",
        "irregular",
        "",
    ]


def test_labelled_particles_lie_in_windows_as_large_as_themselves(labelled):
    found = labelled_windows([labelled])
    assert found.pixels.shape == (3, 44, 44, 1)
    assert [KINDS[k] for k in found.kinds] == ["round", "elongated", "irregular"]
    assert set(found.groups) == {"paper"}
    dark = [(picture < 95).sum(axis=0).any(axis=1).sum() for picture in found.seen()[..., 0:1]]
    assert dark[0] == pytest.approx(32 / 1.6, abs=1.5)


def test_a_shifted_window_moves_on_the_micrograph(labelled):
    found = labelled_windows([labelled])
    np.testing.assert_array_equal(found.seen(4, -6)[:, 2:9, 8:30], found.seen()[:, 6:13, 2:24])


def test_micrographs_without_the_three_kinds_are_refused(labelled):
    only = replace(labelled, labels=replace(labelled.labels, shapes=(DISC,)))
    with pytest.raises(ValueError, match=r"of which none is elongated or irregular\. Leave out"):
        labelled_windows([only])


def test_kinds_and_micrographs_weigh_alike():
    kinds = np.array([0, 0, 0, 0, 1, 2, 2, 2])
    images = np.array(["a", "a", "a", "a", "b", "c", "c", "d"])
    weights = Windows(np.zeros((8, 44, 44, 1)), kinds, images, images).weights()
    of_kind = np.bincount(kinds, weights)
    np.testing.assert_allclose(of_kind, of_kind[0], rtol=1e-6)
    assert weights[7] / weights[5] == pytest.approx(np.sqrt(2))  # alone in its micrograph


def test_drawn_particles_are_as_many_of_each_kind():
    found = drawn_windows(9, seed=2)
    assert found.pixels.shape == (9, 44, 44, 1)
    assert np.bincount(found.kinds).tolist() == [3, 3, 3]
    assert not np.array_equal(found.pixels, drawn_windows(9, seed=3).pixels)


def test_convolution_and_pooling_by_hand_are_those_of_keras():
    found = convolved(module.PIXELS, module.KERNEL)
    kernel = module.KERNEL[..., None, None]
    asked = keras.ops.conv(module.PIXELS[None, ..., None], kernel, padding="valid")
    np.testing.assert_array_equal(found, np.asarray(asked)[0, ..., 0])
    pooled = keras.ops.max_pool(found[None, ..., None], 2)
    np.testing.assert_array_equal(max_pooled(found), np.asarray(pooled)[0, ..., 0])


def test_a_network_learns_drawn_kinds_and_scores_above_a_guess():
    train, val = drawn_windows(600), drawn_windows(90, seed=1)
    trial = Trial(MLP, "mlp", {"hidden": (64,)}, images=500, augmented=False)
    found = lecture_trials.learn(trial, train, val, [0], steps=200)
    assert found.val[0] > 0.5
    assert found.shifted.shape == (1, 6)
    assert found.parameters == 32 * 32 * 64 + 64 + 64 * 3 + 3


def learnt(**scores):
    """What each trial would give with these scores: train, val and shifted by 4 px, by family."""
    found = []
    for number, trial in enumerate(trials()):
        train, val, far = scores.get(trial.family, (0.9, 0.8, 0.8))
        val -= scores.get("permuted", 0.2) * trial.permuted * (trial.family == DCNN)
        shifted = np.tile([val, val, val, val, far, far], (2, 1))
        parameters = {MLP: 100_000, DCNN: 5000}.get(trial.family, 1) + number
        kernels = np.ones((5, 5, 4)) if trial.family == ALEXNET else None
        found.append(Learnt(trial, parameters, np.full(2, train), shifted, kernels))
    return found


def test_claims_say_whether_they_hold():
    good = {MLP: (1.0, 0.8, 0.4), DCNN: (0.9, 0.8, 0.78), STRIDELESS: (0.9, 0.8, 0.79)}
    said = claims(learnt(**good))
    assert [text.split(" here")[0] for text in said.values()] == ["holds"] * 4
    bad = {MLP: (0.9, 0.8, 0.8), DCNN: (1.0, 0.8, 0.4), STRIDELESS: (0.9, 0.8, 0.5)}
    said = claims(learnt(**bad, permuted=0.0))
    assert said["Less overfitting"].startswith("does not hold throughout")
    assert said["A shift does not matter"].startswith("does not hold")
    assert said["Neighbours matter"].startswith("does not hold")


@pytest.mark.parametrize("option", [{"seeds": 0}, {"steps": 0}])
def test_fewer_than_one_seed_or_step_is_refused(option, tmp_path):
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be at least 1. Received"):
        lecture_dcnn(tmp_path, **option)


def test_the_page_holds_pictures_claims_and_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_learnt", lambda *given: learnt())
    monkeypatch.setattr(lecture_windows, "DRAWN", 12)
    monkeypatch.setattr(module, "DRAWN", 12)
    found = lecture_dcnn(tmp_path, seeds=2, steps=1)
    page = (tmp_path / "lecture.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 4
    assert not re.search(r"https?:|<script|<link", page)
    for heading in found.claims:
        assert heading in page
    told = json.loads((tmp_path / "figures.json").read_text())
    assert len(told["trials"]) == len(trials())
    assert told["trials"][0]["val_by_shift_px"]["4"] == [0.8, 0.8]
    assert told["drawn"]


def test_an_unknown_subject_names_both():
    result = CliRunner().invoke(cli.app, ["lecture", "vae"])
    assert "subject must be one of ['latent', 'dcnn']" in str(result.exception or result.output)
