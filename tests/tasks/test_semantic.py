"""Loss and metric of semantic segmentation against closed forms and scikit-learn."""

import math

import keras
import numpy as np
import pytest
from sklearn.metrics import jaccard_score, log_loss

from temzoo.tasks import semantic, semantic_graph


def one_hot(classes, count):
    return np.eye(count, dtype="float32")[classes]


def random_case(classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (2, 8, 9))
    logits = rng.normal(size=(2, 8, 9, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return truth, probabilities.astype("float32")


def test_cross_entropy_is_scikit_learns():
    truth, p = random_case()
    loss = semantic_graph.SegmentationLoss("ce")(one_hot(truth, 3), p)
    assert float(loss) == pytest.approx(log_loss(truth.ravel(), p.reshape(-1, 3)), rel=1e-4)


def test_class_weights_weigh_the_true_class():
    truth, p = random_case()
    weights = np.array([0.5, 1.0, 4.0])
    expected = np.mean(
        -np.log(np.take_along_axis(p, truth[..., None], -1)[..., 0]) * weights[truth]
    )
    loss = semantic_graph.SegmentationLoss("ce", weights)(one_hot(truth, 3), p)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_class_weights_weigh_the_foreground_of_dice():
    truth = np.arange(64).reshape(1, 8, 8) % 3
    found = np.where(truth == 2, 0, truth)  # class 1 all right, class 2 all missed
    equal, heavy = (
        float(semantic_graph.SegmentationLoss("dice", w)(one_hot(truth, 3), one_hot(found, 3)))
        for w in ([1, 1, 1], [1, 1, 3])
    )
    miss = 1 - 1 / (0.5 * (truth == 2).sum() + 1)
    assert equal == pytest.approx(miss / 2, abs=1e-6)
    assert heavy == pytest.approx(miss * 3 / 4, abs=1e-6)


def test_focal_loss_is_its_formula():
    truth, p = random_case()
    hit = np.take_along_axis(p, truth[..., None], -1)
    loss = semantic_graph.SegmentationLoss("focal")(one_hot(truth, 3), p)
    assert float(loss) == pytest.approx(np.mean(-((1 - hit) ** 2) * np.log(hit)), rel=1e-4)


@pytest.mark.parametrize("kind", ["dice", "tversky"])
def test_region_losses_are_zero_when_right_and_near_one_when_wrong(kind):
    truth = np.zeros((1, 32, 32), int)
    truth[0, :16] = 1
    loss = semantic_graph.SegmentationLoss(kind)
    assert float(loss(one_hot(truth, 2), one_hot(truth, 2))) == pytest.approx(0, abs=1e-6)
    assert float(loss(one_hot(truth, 2), one_hot(1 - truth, 2))) > 0.99


def test_dice_is_its_formula():
    truth = np.zeros((1, 100, 100), int)
    truth[0, :50] = 1
    found = np.zeros_like(truth)
    found[0, 25:75] = 1  # half of it right: Dice = 0.5
    loss = semantic_graph.SegmentationLoss("dice")(one_hot(truth, 2), one_hot(found, 2))
    assert float(loss) == pytest.approx(0.5, abs=1e-3)


def test_tversky_forgives_false_alarms_sooner_than_misses():
    truth = np.zeros((1, 40, 40), int)
    truth[0, :20] = 1
    more, less = truth.copy(), truth.copy()
    more[0, 20:25] = 1
    less[0, 15:20] = 0
    loss = semantic_graph.SegmentationLoss("tversky")
    assert loss(one_hot(truth, 2), one_hot(more, 2)) < loss(one_hot(truth, 2), one_hot(less, 2))


def test_the_default_is_dice_plus_cross_entropy():
    truth, p = random_case()
    parts = [
        float(semantic_graph.SegmentationLoss(k)(one_hot(truth, 3), p)) for k in ("dice", "ce")
    ]
    whole = float(semantic_graph.SegmentationLoss()(one_hot(truth, 3), p))
    assert whole == pytest.approx(sum(parts), rel=1e-5)


@pytest.mark.parametrize("kind", semantic.LOSSES)
def test_losses_fall_towards_the_truth_and_stay_finite(kind):
    truth, p = random_case(2)
    right = one_hot(truth, 2)
    loss = semantic_graph.SegmentationLoss(kind)
    assert float(loss(right, 0.5 * p + 0.5 * right)) < float(loss(right, p))
    empty = one_hot(np.zeros((1, 8, 8), int), 2)
    assert math.isfinite(float(loss(empty, 1 - empty)))


def test_unknown_loss_lists_the_names():
    with pytest.raises(ValueError, match=r"loss must be one of dice_ce, ce, dice, focal, tversky"):
        semantic_graph.SegmentationLoss("hinge")


def test_loss_survives_serialisation():
    loss = semantic_graph.SegmentationLoss("focal", [1, 2, 3])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    truth, p = random_case()
    assert float(again(one_hot(truth, 3), p)) == pytest.approx(float(loss(one_hot(truth, 3), p)))


def test_iou_is_the_mean_over_images_of_scikit_learns_jaccard():
    truth, p = random_case(3, seed=4)
    metric = semantic_graph.ImageIoU()
    for image in range(2):
        metric.update_state(one_hot(truth[image : image + 1], 3), p[image : image + 1])
    found = p.argmax(-1)
    expected = [
        jaccard_score(truth[i].ravel(), found[i].ravel(), labels=[1, 2], average="macro")
        for i in range(2)
    ]
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-5)


def test_iou_leaves_out_what_an_image_does_not_have():
    empty = one_hot(np.zeros((1, 8, 8), int), 3)
    half = np.zeros((1, 8, 8), int)
    half[0, :4] = 1
    metric = semantic_graph.ImageIoU()
    metric.update_state(empty, empty)
    metric.update_state(one_hot(half, 3), one_hot(half, 3))
    assert float(metric.result()) == 1
    metric.update_state(empty, one_hot(half, 3))  # a false alarm counts
    assert float(metric.result()) == 0.5


def test_balanced_weights_favour_rare_classes_and_average_one_per_pixel():
    image = np.zeros((100, 100), int)
    image[:10, :10] = 1
    weights = np.array(semantic.balanced_weights([image], 2))
    assert weights[1] / weights[0] == pytest.approx(math.sqrt(99))
    assert weights @ [0.99, 0.01] == pytest.approx(1)
