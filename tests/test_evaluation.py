"""Metrics of temzoo.evaluation against scikit-learn, brute force and closed forms."""

import csv
import itertools
import json
import math

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics

from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.evaluation.bootstrap import mean_interval
from temzoo.evaluation.evaluate import evaluate, score_predictions
from temzoo.evaluation.object_overlaps import match_instances
from temzoo.evaluation.pixels import confusion, scores
from temzoo.evaluation.results import compare


def maps(seed, *, classes=3, shape=(37, 41), agreement=0.7):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, shape)
    other = generator.integers(0, classes, shape)
    return truth, np.where(generator.random(shape) < agreement, truth, other)


def box(top, left, bottom, right, label="particle"):
    return Shape("box", label, np.array([[top, left], [bottom, right]], float))


def example(name, shapes, *, size=(40, 60), pixels=None, classes=("particle",)):
    height, width = size
    labels = LabelledImage(name, width, height, tuple(shapes), classes)
    pixels = np.zeros(size, np.uint8) if pixels is None else pixels
    return Example(labels, lambda: Micrograph(pixels, name=name))


def paint(*boxes, size=(40, 60)):
    """Pixels whose values are the classes that ``reads_pixels`` predicts."""
    pixels = np.zeros(size, np.uint8)
    for top, left, bottom, right, value in boxes:
        pixels[top:bottom, left:right] = value
    return pixels


def reads_pixels(classes):
    return lambda batch: np.eye(classes, dtype=np.float32)[batch[..., 0]]


def noisy_examples(count, *, error=0.1, seed=0):
    """Images of one labelled box, whose pixels predict it with a few columns too many."""
    generator = np.random.default_rng(seed)
    extra = generator.integers(0, int(60 * error) + 1, count)
    return [
        example(f"{k}.png", [box(5, 5, 30, 40)], pixels=paint((5, 5, 30, 40 + extra[k], 1)))
        for k in range(count)
    ]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_agree_with_scikit_learn(classes, seed):
    truth, predicted = maps(seed, classes=classes)
    matrix = confusion(truth, predicted, classes)
    t, p = truth.ravel(), predicted.ravel()
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(t, p))
    values = scores(matrix)
    np.testing.assert_allclose(values["iou"], metrics.jaccard_score(t, p, average=None))
    np.testing.assert_allclose(values["dice"], metrics.f1_score(t, p, average=None))
    np.testing.assert_allclose(values["precision"], metrics.precision_score(t, p, average=None))
    np.testing.assert_allclose(values["recall"], metrics.recall_score(t, p, average=None))
    np.testing.assert_allclose(values["pixel_accuracy"], metrics.accuracy_score(t, p))


def test_precision_and_recall_are_not_swapped():
    truth = np.array([1, 1, 1, 1, 0, 0])
    predicted = np.array([1, 0, 0, 0, 0, 0])
    values = scores(confusion(truth, predicted, 2))
    assert values["precision"][1] == 1
    assert values["recall"][1] == 0.25


def test_a_class_in_neither_map_is_undefined_and_one_in_either_is_zero():
    values = scores(confusion(np.array([0, 1]), np.array([0, 0]), 3))
    assert values["iou"][1] == 0
    assert math.isnan(values["precision"][1])
    assert math.isnan(values["iou"][2])


def test_confusion_takes_unsigned_maps_without_overflow():
    truth = np.full((3, 3), 250, np.uint8)
    assert confusion(truth, truth, 256)[250, 250] == 9


def brute_force_matches(truth, predicted, iou):
    """Largest one-to-one matching by trying all assignments."""
    first, second = (np.unique(m[m > 0]) for m in (truth, predicted))
    if len(first) > len(second):
        first, second, truth, predicted = second, first, predicted, truth
    good = {
        (a, b)
        for a in first
        for b in second
        if ((truth == a) & (predicted == b)).sum() / ((truth == a) | (predicted == b)).sum() >= iou
    }
    return max(
        sum(pair in good for pair in zip(first, chosen, strict=True))
        for chosen in itertools.permutations(second, len(first))
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5, 0.7])
def test_instances_match_as_brute_force_does(seed, iou):
    generator = np.random.default_rng(seed)
    truth = np.kron(generator.integers(0, 6, (4, 5)), np.ones((3, 3), int))
    predicted = np.roll(truth, generator.integers(0, 2, 2), axis=(0, 1))
    predicted[:, :3] = generator.integers(0, 6)
    match = match_instances(truth * 7, predicted * 3, iou=iou)
    assert len(match.pairs) == brute_force_matches(truth, predicted, iou)
    assert match.true == len(np.unique(truth[truth > 0]))
    assert match.predicted == len(np.unique(predicted[predicted > 0]))
    for a, b in match.pairs:
        first, second = truth * 7 == a, predicted * 3 == b
        assert (first & second).sum() / (first | second).sum() >= iou
    assert len(set(match.pairs[:, 0])) == len(set(match.pairs[:, 1])) == len(match.pairs)


def test_a_tie_at_half_is_matched_once():
    truth = np.array([[1, 1, 1, 1]])
    predicted = np.array([[1, 1, 2, 2]])
    match = match_instances(truth, predicted)
    assert (len(match.pairs), match.true, match.predicted) == (1, 1, 2)


def test_no_instances_at_all_match_nothing():
    match = match_instances(np.zeros((3, 3), int), np.zeros((3, 3), int))
    assert (match.pairs.shape, match.true, match.predicted) == ((0, 2), 0, 0)


def test_instances_of_different_classes_do_not_match():
    numbers = np.array([[1, 1, 0, 2]])
    match = match_instances(
        numbers,
        numbers,
        truth_classes=np.array([[1, 1, 0, 2]]),
        predicted_classes=np.array([[1, 1, 0, 1]]),
    )
    np.testing.assert_array_equal(match.pairs, [[1, 1]])


def test_evaluate_gives_the_figures_of_known_overlaps():
    pixels = paint((0, 0, 10, 10, 1), (20, 20, 30, 40, 1), (35, 50, 37, 52, 1))
    shapes = [box(0, 0, 10, 20), box(20, 20, 30, 40), box(0, 40, 5, 50)]
    result = evaluate(reads_pixels(2), [example("a.png", shapes, pixels=pixels)], min_area_px=0)
    row = result.table[0]
    assert row["iou"] == pytest.approx(300 / 454)
    assert row["precision"] == pytest.approx(300 / 304)
    assert row["recall"] == pytest.approx(300 / 450)
    assert row["pixel_accuracy"] == pytest.approx(1 - 154 / 2400)
    assert (row["instances_true"], row["instances_predicted"]) == (3, 3)
    assert row["instances_matched"] == 2
    assert row["instance_f1"] == pytest.approx(2 / 3)
    assert row["count_error"] == 0


def test_evaluate_means_over_images_and_pools_over_pixels():
    good = example("a.png", [box(0, 0, 10, 10)], pixels=paint((0, 0, 10, 10, 1)))
    bad = example("b.png", [box(0, 0, 20, 20)], pixels=paint((0, 0, 10, 10, 1)))
    result = evaluate(reads_pixels(2), [good, bad])
    assert result.iou.value == pytest.approx((1 + 0.25) / 2)
    assert result.pooled["iou"].value == pytest.approx(200 / 500)
    assert result.pooled["instance_recall"].value == pytest.approx(1 / 2)


def test_an_image_without_a_class_is_left_out_of_its_mean():
    hit = example("a.png", [box(0, 0, 10, 10)], pixels=paint((0, 0, 10, 10, 1)))
    empty = example("b.png", [])
    result = evaluate(reads_pixels(2), [hit, empty])
    assert result.iou.value == 1
    assert math.isnan(result.table[1]["iou"])
    found = example("b.png", [], pixels=paint((0, 0, 2, 2, 1)))
    assert evaluate(reads_pixels(2), [hit, found]).iou.value == 0.5


def test_nothing_anywhere_is_undefined_without_a_warning():
    result = evaluate(reads_pixels(2), [example("a.png", [])])
    assert math.isnan(result.iou.value)
    assert math.isnan(result.iou.low)
    assert str(result.iou) == "–"
    assert result.pooled["pixel_accuracy"].value == 1


def test_several_classes_have_their_own_columns_and_a_foreground_mean():
    names = ("matrix", "void")
    shapes = [box(0, 0, 10, 10, "matrix"), box(20, 0, 30, 10, "void")]
    pixels = paint((0, 0, 10, 10, 1), (20, 0, 30, 5, 2))
    labelled = example("a.png", shapes, pixels=pixels, classes=names)
    result = evaluate(reads_pixels(3), [labelled], classes=["background", *names])
    row = result.table[0]
    assert (row["iou_matrix"], row["iou_void"], row["iou"]) == (1, 0.5, 0.75)
    assert result.classes == names
    assert result.confusions.shape == (1, 3, 3)


def test_bootstrap_interval_of_a_mean_is_the_textbook_one():
    examples = noisy_examples(60, error=0.3)
    result = evaluate(reads_pixels(2), examples, bootstrap=4000)
    values = np.array([row["iou"] for row in result.table])
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert result.iou.value == pytest.approx(values.mean())
    assert result.iou.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert result.iou.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert result.pooled["iou"].low < result.pooled["iou"].value < result.pooled["iou"].high


def test_one_seed_gives_one_interval():
    examples = noisy_examples(8)
    first, again = (evaluate(reads_pixels(2), examples, seed=4) for _ in range(2))
    other = evaluate(reads_pixels(2), examples, seed=5)
    assert first.iou == again.iou
    assert first.iou != other.iou


def test_compare_pairs_the_images():
    examples = noisy_examples(20, error=0.5)
    worse = evaluate(lambda batch: _eroded(batch), examples)
    better = evaluate(reads_pixels(2), examples)
    result = compare(better, worse)
    differences = result.first - result.second
    assert result.difference.value == pytest.approx(differences.mean())
    assert result.difference.low <= result.difference.value <= result.difference.high
    assert result.wins == np.mean((differences > 0) + 0.5 * (differences == 0))
    assert result.names == tuple(f"{k}.png" for k in range(20))
    assert compare(better, better).difference.low == 0


def _eroded(batch):
    mask = ndimage.binary_erosion(batch[..., 0] > 0, np.ones((1, 5, 5)))
    return np.eye(2, dtype=np.float32)[mask.astype(int)]


def test_instances_can_be_left_out():
    result = evaluate(reads_pixels(2), noisy_examples(2), instances=None)
    assert "instance_f1" not in result.per_image
    assert "instance_f1" not in result.pooled


def test_options_reach_predict_and_progress_is_shown(capsys):
    pixels = paint((0, 0, 10, 10, 1), (20, 20, 22, 22, 1))
    examples = [example("a.png", [box(0, 0, 10, 10)], pixels=pixels)]
    result = evaluate(reads_pixels(2), examples, min_area_px=5, tile=32, progress=True)
    assert result.table[0]["instances_predicted"] == 1
    assert "evaluating" in capsys.readouterr().out


def test_table_and_figures_are_written_and_read_back(tmp_path):
    result = evaluate(reads_pixels(2), [*noisy_examples(2), example("empty.png", [])])
    result.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["iou"]) == pytest.approx(result.table[0]["iou"])
    assert rows[2]["name"] == "empty.png"
    assert rows[2]["iou"] == ""
    result.to_json(tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["per_image"]["iou"]["value"] == pytest.approx(result.iou.value)
    assert content["table"][2]["iou"] is None
    assert content["images"] == 3
    assert np.array(content["confusion"]).sum() == 3 * 40 * 60


def test_summary_states_figure_and_interval():
    result = evaluate(reads_pixels(2), noisy_examples(5))
    line = next(line for line in result.summary().splitlines() if line.startswith("iou "))
    assert str(result.iou) in line
    assert str(result.pooled["iou"]) in line


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"one shape\. Received: \(2, 2\) and \(3, 3\)"):
        confusion(np.zeros((2, 2), int), np.zeros((3, 3), int), 2)


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"0 to 1\. Received: predicted with values from 0 to 2"):
        confusion(np.array([0, 1]), np.array([0, 2]), 2)


def test_labels_of_another_image_are_refused_by_name():
    wrong = example("a.png", [], pixels=np.zeros((10, 10), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: labels and prediction must have one shape"):
        evaluate(reads_pixels(2), [wrong])


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="at least one labelled image"):
        evaluate(reads_pixels(2), [])


def test_no_resamples_are_refused():
    with pytest.raises(ValueError, match=r"bootstrap must be at least 1\. Received: bootstrap=0"):
        evaluate(reads_pixels(2), noisy_examples(1), bootstrap=0)


def test_comparing_different_images_is_refused():
    first = evaluate(reads_pixels(2), noisy_examples(2))
    second = evaluate(reads_pixels(2), noisy_examples(3))
    with pytest.raises(ValueError, match=r"same images.*Received: 2 and 3 images"):
        compare(first, second)
    with pytest.raises(ValueError, match=r"metric must be one of iou.*metric='ious'"):
        compare(first, first, metric="ious")


def test_comparing_what_is_defined_nowhere_is_refused():
    nothing = evaluate(reads_pixels(2), [example("a.png", [])])
    with pytest.raises(ValueError, match=r"metric='iou', undefined everywhere"):
        compare(nothing, nothing)


def detected(*boxes, size=(40, 60)):
    """A detector's prediction of filled boxes: top, left, bottom, right, class, score."""
    found = tuple(
        Detection(top, left, np.ones((bottom - top, right - left), bool), kind, score)
        for top, left, bottom, right, kind, score in boxes
    )
    classes, instances = np.zeros(size, np.uint8), np.zeros(size, np.int32)
    for number, one in sorted(enumerate(found, start=1), key=lambda item: item[1].score):
        rows, columns = one.mask.shape
        window = np.s_[one.top : one.top + rows, one.left : one.left + columns]
        classes[window], instances[window] = one.class_id, number
    scores = np.array([one.score for one in found], np.float32)
    return Prediction(classes, instances, scores=scores, detections=found)


def test_overlapping_objects_count_whole_for_a_detector():
    labelled = example("a.png", [box(0, 0, 20, 20), box(0, 8, 20, 28)])
    found = detected((0, 0, 20, 20, 1, 0.9), (0, 8, 20, 28, 1, 0.8), (30, 0, 40, 9, 1, 0.4))
    row = score_predictions([labelled], [found]).table[0]
    assert (row["instances_true"], row["instances_predicted"]) == (2, 2)
    assert row["instance_f1"] == row["panoptic_quality"] == row["stardist_ap50"] == 1
    assert row["mask_ap"] == pytest.approx(1)
    assert row["box_ap75"] == pytest.approx(1)
    assert row["count_error"] == 0
    # Nor is what does not count in the class map.
    assert row["iou"] == 1
    loose = score_predictions([labelled], [found], min_score=0.3).table[0]
    assert loose["iou"] == pytest.approx(560 / 650)


def test_the_score_from_which_detections_count_can_be_chosen():
    labelled = example("a.png", [box(0, 0, 20, 20), box(20, 30, 40, 60)])
    found = detected((0, 0, 20, 20, 1, 0.9), (20, 30, 40, 60, 1, 0.4))
    strict = score_predictions([labelled], [found])
    loose = score_predictions([labelled], [found], min_score=0.4)
    assert strict.table[0]["instance_recall"] == 0.5
    assert strict.table[0]["count_error"] == -1
    assert loose.table[0]["instance_recall"] == 1
    assert strict.pooled["mask_ap50"] == loose.pooled["mask_ap50"]
    assert strict.pooled["mask_ap50"].value == pytest.approx(1)


def test_pooled_ap_ranks_the_objects_of_all_images_together():
    good = example("a.png", [box(0, 0, 20, 20)])
    none = example("b.png", [])
    found = [detected((0, 0, 20, 20, 1, 0.8)), detected((0, 0, 9, 9, 1, 0.9))]
    result = score_predictions([good, none], found)
    assert result.table[0]["mask_ap50"] == pytest.approx(1)
    assert math.isnan(result.table[1]["mask_ap50"])
    assert result.per_image["mask_ap50"].value == pytest.approx(1)
    assert result.pooled["mask_ap50"].value == pytest.approx(0.5)
    assert result.pooled["stardist_ap50"].value == 0.5


def test_ap_by_size_is_pooled_alone_and_shown():
    labelled = example("a.png", [box(0, 0, 20, 20), box(0, 25, 36, 60)])
    found = detected((0, 0, 20, 20, 1, 0.9))
    result = score_predictions([labelled], [found])
    assert result.pooled["mask_ap_small"].value == pytest.approx(1)
    assert result.pooled["mask_ap_medium"].value == 0
    assert math.isnan(result.pooled["mask_ap_large"].value)
    assert "mask_ap_small" not in result.per_image
    lines = {line.split()[0]: line for line in result.summary().splitlines()}
    assert str(result.pooled["mask_ap_small"]) in lines["mask_ap_small"]
    own = score_predictions([labelled], [found], area_ranges={"huge": (1000, 1e10)})
    assert own.pooled["box_ap_huge"].value == 0
    assert "box_ap_small" not in own.pooled


def test_pixel_models_are_ranked_on_request_by_their_probability():
    # The first one, which is not in the labels, is found with less confidence.
    pixels = paint((0, 0, 10, 10, 1), (20, 20, 30, 40, 2))
    labelled = example("a.png", [box(20, 20, 30, 40)], pixels=pixels)

    def doubtful(batch):
        share = np.array([0.0, 0.6, 0.9])[batch[..., 0]]
        return np.stack([1 - share, share], axis=-1).astype(np.float32)

    plain = evaluate(doubtful, [labelled])
    assert "mask_ap" not in plain.per_image
    assert plain.table[0]["panoptic_quality"] == pytest.approx(2 / 3)
    ranked = evaluate(doubtful, [labelled], ap=True)
    assert ranked.table[0]["mask_ap50"] == pytest.approx(1)
    assert ranked.table[0]["instance_f1"] == plain.table[0]["instance_f1"]
    unranked = evaluate(doubtful, [labelled], ap=True, probabilities=False)
    assert unranked.table[0]["mask_ap50"] == pytest.approx(0.5)


def test_pixel_models_keep_the_drawn_map_but_panoptic_quality_sees_whole_masks():
    labelled = example("a.png", [box(0, 0, 20, 20), box(0, 10, 20, 40)])
    prediction = Prediction(
        paint((0, 0, 20, 40, 1)), np.repeat([[1] * 10 + [2] * 30 + [0] * 20], 40, axis=0)
    )
    prediction.instances[20:] = 0
    row = score_predictions([labelled], [prediction]).table[0]
    assert row["instance_f1"] == 1
    # 200 of 400 px is half, no more: enough for a match, not for panoptic quality.
    assert row["stardist_ap50"] == 1
    assert row["panoptic_quality"] == pytest.approx(1 / 2)


def test_ap_of_a_detector_can_be_left_out():
    labelled = example("a.png", [box(0, 0, 20, 20)])
    result = score_predictions([labelled], [detected((0, 0, 20, 20, 1, 0.9))], ap=False)
    assert "mask_ap" not in result.pooled
    assert "panoptic_quality" in result.pooled
    bare = score_predictions([labelled], [detected()], with_instances=False)
    assert "panoptic_quality" not in bare.pooled


def test_a_detector_is_asked_for_what_ap_ranks_and_judged_by_what_counts(finder):
    shapes = [box(0, 0, 20, 20), box(22, 30, 40, 60)]
    pixels = paint((0, 0, 20, 20, 180), (22, 30, 40, 60, 60), size=(64, 64))
    labelled = example("a.png", shapes, size=(64, 64), pixels=pixels)
    result = evaluate(finder, [labelled])
    assert result.classes == ("particle",)
    assert result.table[0]["mask_ap"] == pytest.approx(1)  # of scores 0.9 and 0.3
    assert result.table[0]["instance_recall"] == 0.5
    assert result.table[0]["iou"] == pytest.approx(400 / 940)
    loose = evaluate(finder, [labelled], min_score=0.2, ap=False)
    assert loose.table[0]["instance_recall"] == loose.table[0]["iou"] == 1
    assert "mask_ap" not in loose.table[0]
    pixels_only = evaluate(finder, [labelled], instances=None)
    assert pixels_only.table[0]["iou"] == result.table[0]["iou"]


def test_intervals_of_object_figures_hold_the_figure_and_are_written(tmp_path):
    examples = [example(f"{k}.png", [box(0, 0, 20, 20), box(20, 30, 40, 60)]) for k in range(12)]
    found = [
        detected((0, 0, 20, 20 + k % 7, 1, 0.9), (20, 30 + 2 * k, 40, 60, 1, 0.7))
        for k in range(12)
    ]
    result = score_predictions(examples, found)
    for metric in ("mask_ap", "box_ap50", "panoptic_quality", "stardist_ap50"):
        figure = result.pooled[metric]
        assert figure.low < figure.value < figure.high, metric
    assert compare(result, result, metric="mask_ap").difference.value == 0
    result.to_json(tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["pooled"]["mask_ap_large"] == {"value": None, "low": None, "high": None}
    result.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["mask_ap"]) == result.table[0]["mask_ap"]


def test_two_classes_of_objects_are_judged_apart():
    names = ("matrix", "void")
    labelled = example("a.png", [box(0, 0, 9, 9, "matrix"), box(20, 0, 29, 9, "void")])
    right = detected((0, 0, 9, 9, 1, 0.9), (20, 0, 29, 9, 2, 0.9))
    wrong = detected((0, 0, 9, 9, 2, 0.9), (20, 0, 29, 9, 2, 0.9))
    row = score_predictions([labelled], [right], classes=names).table[0]
    assert row["instance_f1"] == row["panoptic_quality"] == 1
    row = score_predictions([labelled], [wrong], classes=names).table[0]
    assert row["instance_f1"] == 0.5
    assert row["panoptic_quality"] == pytest.approx((0 + 2 / 3) / 2)


def test_predictions_of_other_examples_are_refused():
    labelled = example("a.png", [])
    message = r"one prediction\. Received: 2 examples and 1 predictions\. Pass both"
    with pytest.raises(ValueError, match=message):
        score_predictions([labelled, labelled], [detected()])
    with pytest.raises(ValueError, match=r"1 examples and more predictions"):
        score_predictions([labelled], [detected(), detected()])
    hidden = detected((0, 0, 9, 9, 2, 0.6), (0, 0, 9, 9, 1, 0.9))
    with pytest.raises(ValueError, match=r"a\.png: class ids must be 1 to 1.*class_id=2"):
        score_predictions([labelled], [hidden], classes=["particle"])


def test_one_image_has_no_interval():
    """Drawn again and again it is always itself, which says nothing of other images."""
    one = mean_interval([0.25])
    assert str(one) == "0.250"
    assert np.isnan([one.low, one.high]).all()
    # Nor do equal ones tell how far others may be.
    assert str(mean_interval([0.1] * 7)) == "0.100"
