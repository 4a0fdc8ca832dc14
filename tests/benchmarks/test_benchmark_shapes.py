"""What Mask R-CNN must have learnt after two real trainings; minutes each: ``make test-slow``."""

from functools import partial

import numpy as np
import pytest

import temzoo
from benchmarks import shapes
from benchmarks.page import shown
from temzoo.evaluation import object_overlaps
from temzoo.labels.shapes import raster


@pytest.fixture(scope="module")
def held_out():
    return shapes.held_out()


@pytest.mark.slow
def test_four_images_are_learnt_by_heart():
    masks = shapes.overfit()["masks"]
    assert masks["trained"]["mask_ap"] >= 0.85
    assert masks["filled boxes"]["mask_ap"] < 0.4


@pytest.mark.slow
def test_unseen_shapes_are_outlined(held_out):
    masks = held_out["masks"]
    trained = masks["trained"]
    assert trained["mask_ap50"] >= 0.90
    assert trained["mask_ap75"] >= 0.50
    for stand_in in ("filled boxes", "filled ellipses"):
        assert trained["mask_ap75"] >= masks[stand_in]["mask_ap75"] + 0.35
    assert masks["shuffled"]["mask_ap"] < 0.5 * trained["mask_ap"]


@pytest.mark.slow
def test_shapes_that_touch_and_overlap_are_told_apart(held_out):
    assert held_out["crowded"]["mask_ap50"] >= 0.8


@pytest.mark.slow
def test_where_there_is_nothing_nothing_is_found(held_out):
    assert held_out["false objects on the ground"] == 0
    assert held_out["false objects on zeros"] == 0


def test_crowded_shapes_overlap():
    masks = raster.instance_masks(shapes.scene(1, side=256, objects=24, apart=0.7).labels)
    assert masks.sum(axis=0).max() > 1


def test_shapes_keep_apart_and_inside_their_circle():
    example = shapes.scene(3, side=256, objects=12)
    masks = raster.instance_masks(example.labels)
    assert len(masks) == 12
    assert masks.sum(axis=0).max() == 1
    assert {shape.label for shape in example.labels.shapes} == {"straight", "round"}
    again = shapes.scene(3, side=256, objects=12)
    np.testing.assert_array_equal(again.micrograph.pixels, example.micrograph.pixels)


def test_labels_as_detections_score_one_and_their_stand_ins_less():
    examples = [shapes.scene(seed, side=128, objects=5) for seed in range(4)]
    found = [object_overlaps.true_objects(e.labels, shapes.CLASSES) for e in examples]
    assert shapes.precision(examples, found)["mask_ap"] == pytest.approx(1.0)
    for change in (shapes.filled, shapes.ellipse):
        replaced = [[change(one) for one in detections] for detections in found]
        figures = shapes.precision(examples, replaced)
        assert figures["box_ap"] == pytest.approx(1.0)
        assert figures["mask_ap"] < 0.5
    rng = np.random.default_rng(0)
    mixed = [shapes.shuffled(detections, rng) for detections in found]
    assert shapes.precision(examples, mixed)["mask_ap"] < 0.5


def test_a_batch_is_whole_images_with_their_objects():
    examples = [shapes.scene(seed, side=128, objects=count) for seed, count in ((0, 5), (1, 2))]
    pixels, truth = shapes.batch(examples)
    assert pixels.shape == (2, 128, 128, 1)
    counts = (truth["classes"] > 0).sum(axis=1).tolist()
    assert sorted(counts) == [2, 5]
    assert (truth["boxes"][counts.index(2), 2:] == -1).all()
    raw = {example.micrograph.pixels.tobytes() for example in examples}
    assert {image[..., 0].astype(np.uint8).tobytes() for image in pixels} == raw


def test_a_training_is_judged_with_stand_ins_for_its_masks(monkeypatch, measured):
    def untrained():
        model = temzoo.get_model("mask_rcnn", image_size=64, **shapes.SMALL, compile=False)
        found = shapes.judged(model, [shapes.scene(0, side=64, objects=2)])
        return {"steps": 0, "minutes": 0.0, **found}

    monkeypatch.setitem(shapes.MEASUREMENTS, "overfit", partial(shapes.measure, untrained))
    (record,) = measured("shapes", "overfit")
    assert [*record["figures"]["masks"]] == [
        "trained",
        "filled boxes",
        "filled ellipses",
        "shuffled",
    ]
    assert shown(record)[2].startswith("| overfit | trained | ")
