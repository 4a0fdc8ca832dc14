"""Synthetic micrographs, whose particles are known: labels in, nanometres out."""

import numpy as np
import pandas as pd
import pytest

import temzoo
from temzoo.core.types import Prediction
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import instance_map


@pytest.fixture(scope="module")
def measured():
    """Ten images with 40 particles each: their tables, and their labels' own figures."""
    tables, truths = [], []
    for seed in range(10):
        _, labels = synthesize(seed, size=384, n_particles=40, diameter_nm=(6.0, 16.0))
        instances = instance_map(labels)
        name = f"{seed}.tif"
        prediction = Prediction(
            (instances > 0).astype(np.uint8), instances, nm_per_pixel=(0.5, 0.5), name=name
        )
        tables.append(temzoo.measure(prediction))
        truths += [
            {
                "image": name,
                "particle": number,
                **{key: float(s.attributes[key]) for key in ("diameter_nm", "angle_deg")},
                "aspect_ratio": float(s.attributes["aspect_ratio"]),
                "kind": s.attributes["kind"],
            }
            for number, s in enumerate(labels.shapes, start=1)
        ]
    table, truth = pd.concat(tables, ignore_index=True), pd.DataFrame(truths)
    return table, truth, table.merge(truth, on=["image", "particle"], suffixes=("", "_true"))


def test_the_count_lies_within_two_percent(measured):
    table, truth, _ = measured
    assert len(table) == pytest.approx(len(truth), rel=0.02)
    # By density too, which sees only those that lie free.
    row = temzoo.summarize(table, by=None).iloc[0]
    expected = 40 / (384 * 0.5) ** 2 * 1e6
    assert row["density_per_um2"] == pytest.approx(expected, rel=0.05)
    assert row["density_per_um2_low"] < expected < row["density_per_um2_high"]


def test_d50_lies_within_two_percent(measured):
    table, truth, both = measured
    free = both[~both["touches_border"]]
    same = temzoo.summarize(table, by=None).iloc[0]["diameter_d50_nm"]
    assert same == pytest.approx(np.quantile(free["diameter_nm_true"], 0.5), rel=0.005)
    row = temzoo.summarize(table, by=None, border="correct").iloc[0]
    assert row["diameter_d50_nm"] == pytest.approx(truth["diameter_nm"].median(), rel=0.02)


def test_single_sizes_have_no_bias_of_the_boundary(measured):
    """A pixel belongs to a label when its centre does: areas are right on average."""
    _, _, both = measured
    free = both[~both["touches_border"]]
    ratio = free["diameter_nm"] / free["diameter_nm_true"]
    assert ratio.mean() == pytest.approx(1, abs=0.001)
    assert ratio.std() < 0.01


def test_shapes_come_out_as_they_were_drawn(measured):
    _, _, both = measured
    ellipses = both[~both["touches_border"] & (both["kind"] == "ellipsoid")]
    ratio = ellipses["aspect_ratio"] / ellipses["aspect_ratio_true"]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    long = ellipses[ellipses["aspect_ratio_true"] > 1.3]
    turned = (long["orientation_deg"] - long["angle_deg"] + 90) % 180 - 90
    assert len(long) > 20
    assert np.abs(turned).max() < 8
    assert abs(turned.mean()) < 1


def test_the_intervals_of_an_images_median_hold_that_of_its_population():
    """Spheres about a size that the generator draws first, so that it is known."""
    scene = {
        "size": 320,
        "n_particles": 30,
        "diameter_nm": (5.0, 11.0),
        "shares": (1.0, 0.0, 0.0),
        "clustering": 0.0,
        "noise": False,
    }
    held = 0
    for seed in range(40):
        _, alone = synthesize(seed, **(scene | {"n_particles": 1, "size_spread": 0.0}))
        truth = float(alone.shapes[0].attributes["diameter_nm"])
        _, labels = synthesize(seed, **scene)
        instances = instance_map(labels)
        table = temzoo.measure(Prediction(instances, instances, nm_per_pixel=(0.5, 0.5)))
        row = temzoo.summarize(table, border="correct", bootstrap=299).iloc[0]
        held += row["diameter_d50_low_nm"] <= truth <= row["diameter_d50_high_nm"]
    # 35 of 40 or more: 99 % of all draws, where each holds in 95 %.
    assert held >= 35
