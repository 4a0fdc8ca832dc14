"""temzoo.evaluation.instance_tuning finds what separates particles that touch."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.synthetic.synthesize import crowded
from temzoo.evaluation.evaluate import evaluate
from temzoo.evaluation.instance_tuning import InstanceTuning, tune_instances
from temzoo.inference.regions import Watershed
from temzoo.labels.shapes.raster import class_map


class Blurred:
    """Labels pixels as a network does: sure inside, unsure at outlines and between neighbours."""

    def __init__(self, sigma=1.5):
        self.sigma, self.images = sigma, 0

    def predict_probabilities(self, pixels):
        self.images += 1
        foreground = ndimage.gaussian_filter(pixels.astype(np.float32), self.sigma)
        return np.stack([1 - foreground, foreground], axis=-1)


def example(labels, specks=()):
    truth = (class_map(labels, ["particle"]) > 0).astype(np.float32)
    for row, col in specks:
        truth[row : row + 4, col : col + 4] = 1
    micrograph = Micrograph(truth)
    return Example(labels, lambda: micrograph)


def discs(*circles, size=(100, 160)):
    shapes = tuple(
        Shape("ellipse", "particle", np.array([[row, col], [radius, radius]]))
        for row, col, radius in circles
    )
    return LabelledImage("discs", size[1], size[0], shapes)


def test_the_best_setting_scores_the_same_in_evaluate():
    labels = crowded(3, size=384, n_particles=60)[1]
    examples = [example(labels), example(replace(labels, name="second"), [(5, 5), (380, 200)])]
    model = Blurred()
    tuned = tune_instances(model, examples, min_areas_px=(0, 40))
    assert model.images == len(examples)
    assert len(tuned.table) == 4 * 2 * 2
    assert tuned.best["f1"] == max(row["f1"] for row in tuned.table)
    found = evaluate(model, examples, bootstrap=5, **tuned.options)
    assert found.pooled["instance_f1"].value == pytest.approx(tuned.best["f1"])


@pytest.mark.parametrize("index", [0, 5, 10, 15])
def test_each_row_is_what_evaluate_says_of_its_setting(index):
    labels = crowded(5, size=256, n_particles=40)[1]
    examples, model = [example(labels, [(3, 3), (200, 9)])], Blurred()
    row = tune_instances(model, examples, min_areas_px=(0, 40)).table[index]
    setting = InstanceTuning(best=row, table=(row,)).options
    found = evaluate(model, examples, bootstrap=5, **setting)
    assert found.pooled["instance_f1"].value == pytest.approx(row["f1"])


def test_particles_that_touch_need_a_cut_and_specks_an_area():
    chain = discs((50, 40, 20), (50, 78, 20), (50, 116, 20))
    tuned = tune_instances(Blurred(1), [example(chain, [(5, 120), (80, 140), (90, 5)])])
    assert tuned.best["f1"] == 1
    assert tuned.best["neck"] > 0
    assert tuned.best["min_area_px"] >= 25
    assert tuned.options["instances"] == Watershed(tuned.best["neck"], tuned.best["threshold"])
    whole = next(row for row in tuned.table if row["neck"] == 0 and row["min_area_px"] == 100)
    assert (whole["matched"], whole["true"], whole["predicted"]) == (0, 3, 1)


def test_of_equal_settings_the_plainest_is_best():
    tuned = tune_instances(Blurred(0), [example(discs((50, 40, 20), (50, 110, 20)))])
    assert (tuned.best["neck"], tuned.best["threshold"], tuned.best["min_area_px"]) == (0, None, 0)


def test_images_without_particles_are_no_error():
    tuned = tune_instances(Blurred(), [example(discs())], classes=["particle"])
    assert tuned.best["f1"] == 1


@pytest.mark.parametrize("name", ["necks", "thresholds", "min_areas_px"])
def test_nothing_to_try_is_refused(name):
    with pytest.raises(ValueError, match=rf"needs at least one of {name}\. Received: {name}=\(\)"):
        tune_instances(Blurred(), [example(discs((50, 40, 20)))], **{name: ()})


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match=r"needs at least one of examples\. Received: examples"):
        tune_instances(Blurred(), [])


def test_a_detector_is_refused():
    class Detector:
        detect = None

    with pytest.raises(ValueError, match=r"labels pixels\. Received: Detector"):
        tune_instances(Detector(), [example(discs((50, 40, 20)))])
