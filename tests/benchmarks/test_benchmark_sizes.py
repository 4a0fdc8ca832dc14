"""Errors of D50 and number, and how often intervals hold the labels."""

import math

import numpy as np
import pytest

from benchmarks import size_errors
from benchmarks.datasets import synthetic
from temzoo.core.types import Prediction
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement.model_error import ModelError


@pytest.mark.parametrize("scale", [None, (0.5, 0.5)])
def test_a_prediction_that_is_the_labels_has_no_error(scale):
    (example,) = synthetic(train=0, val=1, size=256).val
    instances = instance_map(example.labels)
    found = Prediction((instances > 0).astype(np.uint8), instances, nm_per_pixel=scale)
    row = size_errors.row_of(example, found)
    for name in size_errors.FIGURES:
        assert row[f"found_{name}"] == row[f"labelled_{name}"] > 0
    assert row["found_free"] == row["labelled_free"] > 0


def rows(number=24, *, sd, sampling=0.02, free=9, seed=0):
    """Images of ``number`` publications of two, whose figures a model gets wrong by a factor."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(2 * number):
        row = {"name": str(k), "group": str(k // 2), "labelled_free": free, "found_free": free}
        for name in size_errors.FIGURES:
            value = 10 * math.exp(sd * rng.standard_normal())
            limits = {"": 1, "_low": math.exp(-sampling), "_high": math.exp(sampling)}
            row |= {f"labelled_{name}": 10.0}
            row |= {f"found_{name}{end}": value * factor for end, factor in limits.items()}
        found.append(row)
    return found


def test_the_error_of_the_model_makes_intervals_hold():
    found = size_errors.figures(rows(sd=0.1))
    assert found["errors"]["d50"]["sd"] == pytest.approx(0.1, rel=0.3)
    assert ModelError.of_card(found["errors"]).images == found["images"] == 48
    assert found["groups"] == 24
    for each in found["coverage"].values():
        assert each["sampling"] < 0.4
        assert each["sampling and model"] >= 0.9


def test_images_of_few_free_particles_do_not_count():
    few = rows(4, sd=0.1, free=5)
    found = size_errors.figures([*rows(sd=0.1), *few])
    assert found["errors"]["images"] == 48
    assert (found["images"], found["labelled with six free particles"]) == (56, 48)


def test_the_error_of_an_image_is_that_on_other_publications():
    """One publication that is far off widens the intervals of the others, not its own."""
    images = rows(sd=0.001)
    for row in images[:2]:
        row |= {key: 3 * row[key] for key in row if key.startswith("found_d50")}
    held = size_errors.coverage(images)["d50"]["sampling and model"]
    assert held == pytest.approx(46 / 48)
