"""The colours that the benchmark knows: grey tells luma alone, and baselines are what they say."""

import numpy as np
import pytest

from benchmarks import colour
from benchmarks.colour import BT601, chroma, errors, example, guesses, phases, photograph
from temzoo.micrographs import to_grey


def test_a_phase_colour_adds_no_luma():
    np.testing.assert_allclose(chroma() @ BT601, 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(chroma()).max(axis=1), colour.STRENGTH)


def test_the_luma_of_a_drawn_image_is_its_grey_and_no_colour_is_cut_off():
    image = phases(3)
    assert image.shape == (256, 256, 3)
    assert image.min() > 0
    assert image.max() < 255
    chromas = image - to_grey(image)[..., None].astype(float)
    nearest = np.abs(chromas[..., None, :] - chroma()).max(axis=-1).min(axis=-1)
    assert nearest.max() <= 1.01  # rounding of a channel, and of the luma


def test_grey_levels_of_the_phases_overlap():
    levels = [[] for _ in colour.HUES]
    for seed in range(6):
        image = phases(seed, side=128)
        grey = to_grey(image).astype(float)
        chromas = image - grey[..., None]
        phase = np.abs(chromas[..., None, :] - chroma()).max(axis=-1).argmin(axis=-1)
        for number, values in enumerate(levels):
            values.append(grey[phase == number])
    ranges = [np.percentile(np.concatenate(values), (5, 95)) for values in levels]
    assert max(low for low, _ in ranges) < min(high for _, high in ranges)


def test_seeds_give_the_same_image_and_different_ones():
    assert np.array_equal(phases(5, side=64), phases(5, side=64))
    assert not np.array_equal(phases(5, side=64), phases(6, side=64))


def test_sets_do_not_share_images():
    for training in ("phases", "photographs"):
        learn, choose, judge = ({e.name for e in part} for part in colour.sets(training))
        assert len(learn | choose | judge) == len(learn) + len(choose) + len(judge)


def test_photographs_are_no_larger_than_said():
    assert max(photograph("retina").shape) == colour.LARGEST


def test_baselines_do_not_look():
    truth = phases(1, side=64)
    found = guesses(truth)
    assert np.ptp(found["mean colour"].reshape(-1, 3), axis=0).max() == 0
    np.testing.assert_allclose(found["mean colour"][0, 0], truth.mean(axis=(0, 1)))
    np.testing.assert_allclose(
        found["grey + mean chroma"].mean(axis=(0, 1)), truth.mean(axis=(0, 1)), atol=0.5
    )
    assert np.array_equal(found["grey"][..., 2], to_grey(truth))


def test_errors_are_those_of_the_channels():
    truth = np.zeros((4, 4, 3), np.uint8)
    found = errors(truth, truth + np.array([3.0, 0.0, 0.0]))
    assert found["mse"] == pytest.approx(3.0)
    assert errors(truth, truth.astype(float)) == {"mse": 0.0, "ciede2000": 0.0}


def test_an_example_is_drawn_when_asked_for():
    one = example("phases-2", lambda: phases(2, side=64))
    assert one.micrograph.pixels.shape == (one.labels.height, one.labels.width, 3)


def test_phases_are_coloured_judged_and_told_from_unlike_images(monkeypatch, measured):
    settings = {**colour.SETTINGS, "epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop": 32}
    monkeypatch.setattr(colour, "SETTINGS", settings)
    monkeypatch.setattr(colour, "CONFIG", {"outputs": "colorize", "filters": 2, "depth": 1})
    one = [example(f"phases-{n}", lambda n=n: phases(n, side=64)) for n in range(6)]
    monkeypatch.setattr(colour, "sets", lambda name: (one[:3], one[3:4], one[4:]))
    monkeypatch.setattr(colour, "LIKE_SEEDS", range(2))
    monkeypatch.setattr(
        colour, "unlike_sets", lambda data: {"black": [np.zeros((64, 64), np.uint8)]}
    )
    (record,) = measured("colour", "phases")
    found = record["figures"]["judged"]
    assert [*found["overall"]] == ["model", "mean colour", "grey + mean chroma", "grey"]
    truth = one[4].micrograph.pixels
    grey = errors(truth, guesses(truth)["grey"])
    assert found["of_images"]["phases-4"]["grey"] == grey
    kinds = record["figures"]["likeness"]["kinds"]
    assert [one["images"] for one in kinds.values()] == [2, 1]
