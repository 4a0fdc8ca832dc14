"""Boxes: coding, overlap, matching and sampling, against brute force and closed forms."""

import keras
import keras_cv
import numpy as np
import pytest
import tensorflow as tf

from temzoo.models import boxes, mask_rcnn_networks

SIZE = 160  # 12,750 anchors: more than one chunk of them
GRID = boxes.Grid(SIZE, mask_rcnn_networks.STRIDES, mask_rcnn_networks.SHAPES)
THRESHOLDS = {"positive": 0.6, "negative": 0.3}


@pytest.fixture(scope="module")
def anchors():
    layer = mask_rcnn_networks.Anchors(SIZE)
    layer.sizes.assign([12, 24, 48, 96])
    return layer.generate()


def random_boxes(count, low=4, high=60, seed=0):
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(0, SIZE, (count, 2)), rng.uniform(low, high, (count, 2))
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    return np.clip(corners, 0, SIZE).astype("float32")


def test_decoding_undoes_encoding():
    anchors, found = random_boxes(200), random_boxes(200, seed=1)
    np.testing.assert_allclose(
        boxes.decode(boxes.encode(found, anchors), anchors), found, atol=1e-3
    )


def test_deltas_are_shift_and_log_of_size_over_their_variances():
    deltas = boxes.encode(tf.constant([[12.0, 20, 32, 60]]), tf.constant([[10.0, 20, 20, 40]]))
    expected = [(22 - 15) / 10 / 0.1, (40 - 30) / 20 / 0.1, np.log(2) / 0.2, np.log(2) / 0.2]
    np.testing.assert_allclose(deltas[0], expected, rtol=1e-5)


def test_a_wild_delta_stays_finite():
    grown = boxes.decode(tf.constant([[0.0, 0, 1e6, -1e6]]), tf.constant([[0.0, 0, 10, 10]]))
    sides = (grown[0, 2:] - grown[0, :2]).numpy()
    np.testing.assert_allclose(sides, [10 * boxes.LARGEST_STEP, 10 / boxes.LARGEST_STEP], rtol=1e-4)


def test_iou_agrees_with_kerascv_and_a_sum_in_the_head():
    ours, theirs = random_boxes(40), random_boxes(30, seed=1)
    expected = keras_cv.bounding_box.compute_iou(ours, theirs, "yxyx")
    np.testing.assert_allclose(boxes.iou(ours, theirs), expected, atol=1e-5)
    halves = boxes.iou(tf.constant([[0.0, 0, 2, 2]]), tf.constant([[0.0, 1, 2, 3]]))
    np.testing.assert_allclose(halves, [[2 / 6]])


def test_padding_has_no_area_and_no_overlap():
    padding = tf.constant([[-1.0, -1, -1, -1]])
    assert float(boxes.area(padding)[0]) == 0
    assert float(boxes.iou(padding, padding)[0, 0]) == 0


def test_clipping_keeps_boxes_in_the_image():
    cut = boxes.clip(tf.constant([[-3.0, 5, 170, 20]]), SIZE)
    np.testing.assert_array_equal(cut, [[0, 5, 160, 20]])


def test_anchors_lie_around_the_middles_of_cells(anchors):
    """Level by level, row by row: the first cell of P2, and the second of P3's second row."""
    assert anchors.shape == (sum(GRID.counts), 4)
    first = anchors[:6].numpy()
    np.testing.assert_allclose((first[:, :2] + first[:, 2:]) / 2, 2, atol=1e-5)
    sides = first[:, 2:] - first[:, :2]
    scales = np.repeat([1, 2**0.5], 3)
    np.testing.assert_allclose(np.sqrt(sides.prod(axis=1)), 12 * scales, rtol=1e-6)
    np.testing.assert_allclose(sides[:, 1] / sides[:, 0], [0.5, 1, 2] * 2, rtol=1e-6)
    start = GRID.counts[0] + (SIZE // 8 + 1) * 6
    np.testing.assert_allclose(anchors[start + 1], [0, 0, 24, 24], atol=1e-4)


def test_anchors_do_not_drift_in_bfloat16(anchors):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = mask_rcnn_networks.Anchors(SIZE)
    finally:
        keras.config.set_dtype_policy("float32")
    layer.sizes.assign([12, 24, 48, 96])
    np.testing.assert_array_equal(layer.generate(), anchors)


@pytest.mark.parametrize("seed", range(3))
def test_matching_by_chunks_equals_comparing_all_with_all(anchors, seed):
    objects = np.full((2, 50, 4), -1, "float32")
    objects[0, :50], objects[1, 10:40] = (
        random_boxes(50, seed=seed),
        random_boxes(30, seed=seed + 9),
    )
    matches = boxes.match_anchors(anchors, tf.constant(objects), GRID, **THRESHOLDS)
    for image, real in enumerate([slice(0, 50), slice(10, 40)]):
        table = boxes.iou(anchors, objects[image]).numpy()
        forced = boxes.best_anchors(anchors, objects[image, real], GRID).numpy()
        others = np.setdiff1d(np.arange(len(table)), forced)
        best = table.max(axis=1)
        expected_positive, expected_negative = best >= 0.6, best < 0.3
        expected_positive[forced], expected_negative[forced] = True, False
        np.testing.assert_array_equal(matches.positive[image], expected_positive)
        np.testing.assert_array_equal(matches.negative[image], expected_negative)
        hits = others[best[others] >= 0.6]
        which = matches.objects[image].numpy()
        np.testing.assert_array_equal(which[hits], table.argmax(axis=1)[hits])
        np.testing.assert_array_equal(which[forced], np.arange(50)[real])


@pytest.mark.parametrize("high", [6, 60, 150])
def test_the_best_anchor_is_found_without_looking_at_all(anchors, high):
    objects = random_boxes(12, high=high, seed=4)
    table = boxes.iou(anchors, objects).numpy()
    best = boxes.best_anchors(anchors, objects, GRID).numpy()
    np.testing.assert_allclose(table[best, np.arange(12)], table.max(axis=0), atol=1e-6)


def test_every_object_has_a_positive_anchor_and_padding_none(anchors):
    """Also tiny ones, huge ones, and two in the same place."""
    objects = np.full((1, 9, 4), -1, "float32")
    objects[0, 2:7] = [
        [50, 50, 52, 52],
        [0, 0, 160, 160],
        [80, 80, 110, 110],
        [80, 80, 110, 110],
        [3, 150, 5, 160],
    ]
    matches = boxes.match_anchors(anchors, tf.constant(objects), GRID, **THRESHOLDS)
    positive = matches.positive[0].numpy()
    assert set(matches.objects[0].numpy()[positive]) == {2, 3, 4, 5, 6}
    assert not (positive & matches.negative[0].numpy()).any()


def test_an_empty_image_has_negative_anchors_alone(anchors):
    matches = boxes.match_anchors(anchors, tf.fill((1, 3, 4), -1.0), GRID, **THRESHOLDS)
    assert not matches.positive.numpy().any()
    assert matches.negative.numpy().all()


def test_proposals_are_matched_by_overlap_and_padding_never():
    regions = tf.constant([[[0.0, 0, 10, 10], [0, 0, 10, 21], [50, 50, 60, 60], [0, 0, 0, 0]]])
    objects = tf.constant([[[-1.0, -1, -1, -1], [0, 0, 10, 10]]])
    matches = boxes.match_regions(regions, objects, positive=0.5)
    np.testing.assert_array_equal(matches.positive[0], [True, False, False, False])
    np.testing.assert_array_equal(matches.negative[0], [False, True, True, False])
    assert int(matches.objects[0, 0]) == 1


def matches_of(positive, negative):
    return boxes.Matches(
        tf.constant(positive)[None],
        tf.constant(negative)[None],
        tf.zeros((1, len(positive)), tf.int32),
    )


@pytest.mark.parametrize(("hits", "expected"), [(0, 0), (3, 3), (5, 5), (40, 5)])
def test_a_sample_has_positives_first_and_at_most_as_many_as_asked(hits, expected):
    number = np.arange(100)
    matches = matches_of(number < hits, number >= 60)
    random = np.random.default_rng(0).uniform(size=(1, 100)).astype("float32")
    drawn = boxes.sample(matches, random, count=20, positives=5)
    indices, positive = drawn.indices[0].numpy(), drawn.positive[0].numpy()
    assert len(set(indices)) == 20
    np.testing.assert_array_equal(positive, np.arange(20) < expected)
    assert (indices[positive] < hits).all()
    assert (indices[~positive] >= 60).all()
    assert drawn.chosen.numpy().all()


def test_a_sample_says_what_it_could_not_fill():
    number = np.arange(30)
    matches = matches_of(number == 4, number > 26)
    drawn = boxes.sample(matches, np.full((1, 30), 0.5, "float32"), count=10, positives=5)
    chosen = drawn.chosen[0].numpy()
    np.testing.assert_array_equal(chosen, np.arange(10) < 4)
    assert set(drawn.indices[0].numpy()[chosen]) == {4, 27, 28, 29}


def test_samples_follow_the_random_numbers():
    matches = matches_of(np.arange(100) < 50, np.arange(100) >= 50)
    rng = np.random.default_rng(0)
    counts = np.zeros(100)
    for _ in range(200):
        random = rng.uniform(size=(1, 100)).astype("float32")
        drawn = boxes.sample(matches, random, count=20, positives=10)
        counts[drawn.indices[0].numpy()] += 1
    assert counts.min() > 15  # 40 on average, with a deviation of 5.7
    assert counts.max() < 65
