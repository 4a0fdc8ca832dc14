"""Agreement of kinds, what was labelled by eye, and the folds of the classifier."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import morphology
from benchmarks.drawn_kinds import KINDS, drawn
from temzoo.evaluation.classification import cohens_kappa
from temzoo.measurement.morphology import KINDS as NAMES

RNG = np.random.default_rng(0)


def test_kappa_is_scikit_learns_and_undecided_ones_count_against_it():
    sklearn = pytest.importorskip("sklearn.metrics")
    truth = RNG.choice(NAMES, 200).tolist()
    found = [one if RNG.random() < 0.7 else str(RNG.choice(morphology.ANSWERS)) for one in truth]
    figures = morphology.agreement(truth, found, range(200))
    assert figures["kappa"]["value"] == pytest.approx(sklearn.cohen_kappa_score(truth, found))
    sure = [(a, b) for a, b in zip(truth, found, strict=True) if b != "unsure"]
    kappa = sklearn.cohen_kappa_score(*zip(*sure, strict=True))
    assert figures["kappa_of_decided"]["value"] == pytest.approx(kappa)
    assert figures["kappa_of_decided"]["low"] < kappa < figures["kappa_of_decided"]["high"]
    assert figures["unsure"]["value"] == pytest.approx(1 - len(sure) / 200)
    wrong = np.mean([a != b for a, b in sure])
    assert figures["confusion_of_decided"]["value"] == pytest.approx(wrong)
    assert sum(sum(row.values()) for row in figures["confusion"].values()) == 200


def test_kappa_without_anything_to_agree_on_is_undefined():
    matrices = np.array([[[2, 0], [0, 2]], [[1, 1], [1, 1]], [[0, 0], [0, 0]], [[3, 0], [0, 0]]])
    np.testing.assert_allclose(cohens_kappa(matrices), [1, 0, np.nan, np.nan])


def test_three_hundred_particles_were_labelled_each_once():
    rows = morphology.by_eye()
    assert len({(row["name"], row["particle"]) for row in rows}) == len(rows) == 300
    assert {row["kind"] for row in rows} == set(NAMES)
    assert {row["half"] for row in rows} == {"train", "val"}


def test_folds_part_what_trains_chooses_and_is_judged():
    folds = np.arange(20) % morphology.FOLDS
    parts = [morphology._parts(folds, fold) for fold in range(morphology.FOLDS)]
    for learn, choose, judge in parts:
        assert (learn.astype(int) + choose + judge == 1).all()
    np.testing.assert_array_equal(sum(judge.astype(int) for *_, judge in parts), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawn_particle_has_the_area_that_was_asked_for(kind):
    for diameter in (20, 55):
        mask = drawn(kind, diameter, RNG)
        assert 2 * np.sqrt(mask.sum() / np.pi) == pytest.approx(diameter, rel=0.04)
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()


def test_the_quick_run_has_all_figures():
    told = morphology.of_drawn(SimpleNamespace(quick=True))
    figures = told["figures"]["all"]
    assert figures["particles"] == 50
    assert figures["confusion_of_decided"]["value"] < 0.05
