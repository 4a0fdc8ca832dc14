"""YOLO: what its points are taught, its first answers, its detections, and what survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo.models import yolo_targets as targets
from temzoo.models.yolo import Yolo, _parted

SIZE = 64
SMALL = {"image_size": SIZE, "alpha": 0.25, "features": 16, "backbone_weights": None}


def build(**config):
    keras.utils.set_random_seed(0)
    return temzoo.get_model("yolo", **{**SMALL, "compile": False, **config})


@pytest.fixture(scope="module")
def model():
    """Untrained; read only."""
    return build(classes=3)


eager = pytest.mark.usefixtures("outside_a_graph")


def micrographs(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIZE, SIZE, 1), "uint8").astype("float32")


def truth(*counts, least=4, most=24, seed=0):
    """So many objects in each image, of sides from ``least`` to ``most`` px, padded."""
    rng = np.random.default_rng(seed)
    boxes = np.full((len(counts), max(1, *counts), 4), -1, "float32")
    classes = np.full(boxes.shape[:2], -1, "int32")
    for image, count in enumerate(counts):
        sides = rng.uniform(least, most, (count, 2))
        low = rng.uniform(0, SIZE - sides)
        boxes[image, :count] = np.concatenate([low, low + sides], axis=1)
        classes[image, :count] = rng.integers(1, 3, count)
    return {"boxes": boxes, "classes": classes}


def test_points_are_the_centres_of_cells_row_by_row():
    at = targets.points(SIZE)
    assert at.centres.shape == (8 * 8 + 4 * 4 + 2 * 2, 2)
    np.testing.assert_array_equal(
        at.centres[[0, 1, 8, 64, 80]], [[4, 4], [4, 12], [12, 4], [8, 8], [16, 16]]
    )
    np.testing.assert_array_equal(np.unique(at.strides), [8, 16, 32])


def test_boxes_of_known_bins():
    """All weight on bins 1, 0, 2 and 3: edges so many strides from the point."""
    at = targets.points(SIZE)
    bins = np.full((1, len(at.centres), 4, targets.BINS), -1e4, "float32")
    for edge, distance in enumerate((1, 0, 2, 3)):
        bins[..., edge, distance] = 0
    boxes = targets.decode(bins.reshape(1, -1, 64), at).numpy()[0]
    np.testing.assert_allclose(boxes[0], [4 - 8, 4, 4 + 16, 4 + 24], atol=1e-4)
    np.testing.assert_allclose(boxes[-1], [48 - 32, 48, 48 + 64, 48 + 96], atol=1e-4)


def test_distribution_focal_loss_is_least_where_the_mean_is_right():
    """Of 2.25: -(0.75 log p2 + 0.25 log p3), so its entropy where p is (0.75, 0.25)."""
    bins = np.full((1, 4, targets.BINS), -1e4, "float32")
    bins[..., 2], bins[..., 3] = np.log(0.75), np.log(0.25)
    found = targets.distribution_focal_loss(bins.reshape(1, 64), np.full((1, 4), 2.25, "float32"))
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(found, [entropy], rtol=1e-5)
    np.testing.assert_allclose(targets.distances(bins.reshape(1, 64)), [[2.25] * 4], rtol=1e-5)
    beyond = targets.distribution_focal_loss(np.zeros((1, 64), "float32"), [[-3.0, 99, 15, 0]])
    np.testing.assert_allclose(beyond, [np.log(16)], rtol=1e-5)


@pytest.mark.parametrize(("least", "most"), [(1, 4), (4, 12), (12, 48)])
def test_every_object_has_a_target_at_the_start(model, least, most):
    """Also those of 1 px without a point inside, and many in one cell."""
    y = truth(25, 3, least=least, most=most)
    bins, scores = _parted(model(micrographs(2)))
    found = targets.decode(bins, model.points)
    aims = targets.assign(scores, found, y["boxes"], y["classes"] - 1, model.points)
    for image, count in enumerate((25, 3)):
        own, aimed = aims.objects[image].numpy(), aims.scores[image].numpy()
        assert min(aimed[own == k].max(initial=0) for k in range(count)) > 1e-3
        assert set(own[aimed > 0]) == set(range(count))  # padding has none


def test_objects_in_one_place_part_its_points_and_take_no_others():
    """Of 25 objects with the same box as many are learnt as it has points."""
    at = targets.points(SIZE)
    objects = np.tile(np.array([20.0, 20, 44, 44], "float32"), (1, 25, 1))
    found = np.tile(np.array([24.0, 24, 40, 40], "float32"), (1, len(at.centres), 1))
    scores = np.full((1, len(at.centres), 1), 0.5, "float32")
    classes = np.zeros((1, 25), "int32")
    aims = targets.assign(scores, found, objects, classes, at)
    aimed = aims.scores[0].numpy() > 0
    inside = ((at.centres > 20) & (at.centres < 44)).all(axis=1)
    np.testing.assert_array_equal(aimed, inside)
    own = aims.objects[0].numpy()[aimed]
    assert sorted(own) == [*range(inside.sum())]


def test_points_that_overlap_an_object_well_are_its_targets():
    """One object; a point that gives its very box has the target 1, one that is apart none."""
    at = targets.points(SIZE)
    objects = np.array([[[8.0, 8, 32, 32], [-1, -1, -1, -1]]], "float32")
    found = np.tile(np.array([40.0, 40, 60, 60], "float32"), (1, len(at.centres), 1))
    inside = 1 * 8 + 1  # the point at (12, 12)
    found[0, inside] = objects[0, 0]
    scores = np.full((1, len(at.centres), 1), 0.5, "float32")
    aims = targets.assign(scores, found, objects, np.array([[0, -1]]), at)
    assert float(aims.scores[0, inside]) == pytest.approx(1)
    far = np.flatnonzero((at.centres > 40).all(axis=1))
    assert not aims.scores.numpy()[0, far].any()


def test_the_first_scores_are_low_and_the_first_boxes_five_strides_wide(model):
    bins, scores = _parted(model(micrographs(2)))
    assert np.median(scores) == pytest.approx(0.01, rel=0.3)
    assert scores.numpy().max() < 0.2
    np.testing.assert_allclose(np.median(2 * targets.distances(bins)), 4.8, atol=0.5)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (40, 40), (3, 0, 7)])
def test_losses_are_finite_and_teach_all_parts_for(model, counts):
    x, y = micrographs(len(counts)), truth(*counts)
    with tf.GradientTape() as tape:
        losses = model.losses_of(y, model(x, training=True))
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    assert set(losses) == set(Yolo.LOSSES)
    assert np.isfinite([float(v) for v in losses.values()]).all()
    assert all(np.isfinite(g).all() for g in gradients)
    if not sum(counts):
        assert [float(losses[n]) for n in ("box_loss", "bin_loss")] == [0, 0]


def test_training_names_its_losses():
    model = build(classes=3, compile=True)
    model.run_eagerly = True
    history = model.fit(
        micrographs(2), truth(3, 0), validation_data=(micrographs(2), truth(1, 1)), verbose=0
    ).history
    names = {"loss", *Yolo.LOSSES}
    assert set(history) == names | {f"val_{name}" for name in names}


@eager
def test_an_empty_field_has_no_boxes_and_a_limit_is_kept(model):
    assert not model.detect(micrographs(1), min_score=0.5).counts.any()
    assert model.detect(micrographs(1), min_score=0.0, max_detections=7).counts.tolist() == [7]
    with pytest.raises(TypeError, match="takes no proposals; its limits are max_detections"):
        model.detect(micrographs(1), proposals=9)


@eager
def test_masks_fill_their_boxes(model):
    found = model.detect(micrographs(1), min_score=0.0, max_detections=9)
    assert found.masks.shape == (1, 9, 1, 1)
    assert (found.masks == 1).all()


@eager
def test_saved_and_loaded_it_finds_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    pixels = micrographs(1)
    expected, found = (m.detect(pixels, min_score=0.0, max_detections=20) for m in (model, loaded))
    np.testing.assert_array_equal(found.boxes, expected.boxes)


@pytest.mark.slow
def test_exported_it_answers_raw_pixels(model, tmp_path):
    model.export(tmp_path / "model", verbose=False)
    reloaded = tf.saved_model.load(tmp_path / "model")
    served = reloaded.serve(tf.constant(micrographs(1)))
    expected = model.serve(tf.constant(micrographs(1)))
    assert set(served) == {"boxes", "classes", "scores", "masks", "counts"}
    for name, value in expected.items():
        np.testing.assert_allclose(served[name], value, atol=1e-4)
    with pytest.raises(ValueError, match='yolo is exported as "tf_saved_model" only'):
        model.export(tmp_path / "other", format="onnx")


@eager
def test_weights_fit_any_image_size(model):
    other = build(classes=3, image_size=96)
    other.set_weights(model.get_weights())
    assert other.detect(np.zeros((1, 96, 96, 1), "uint8"), min_score=0.0).boxes.shape == (1, 400, 4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 100}, "multiple of 32, from 64 on. Received: .*100. Use 512"),
        ({"max_detections": 0}, "must be a whole number from 1 on. Received: .*0. Use 1"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"classes": 1}, "classes counts the background too"),
        ({"features": 0}, "features must be a whole number from 1"),
        ({"backbone_trainable": "all"}, 'backbone_trainable must be False, True or "deep"'),
    ],
)
def test_what_it_cannot_be_built_with(config, message):
    with pytest.raises(ValueError, match=message):
        build(**config)


@pytest.mark.slow
def test_four_crops_can_be_overfitted():
    """Drawn discs from 6 to 40 px: all are found, by boxes of IoU 0.5 and more."""
    model = build(compile=True, image_size=128, backbone_trainable=True)
    rng = np.random.default_rng(0)
    x = rng.normal(120, 5, (4, 128, 128, 1)).astype("float32")
    boxes = np.full((4, 6, 4), -1, "float32")
    rows, cols = np.mgrid[:128, :128] + 0.5
    for image in range(4):
        for k, radius in enumerate((3, 5, 8, 12, 16, 20)):
            row, col = 21 + 42 * (k // 3) * 1.8, 22 + 42 * (k % 3)
            x[image, (rows - row) ** 2 + (cols - col) ** 2 < radius**2] = 40 + 10 * image
            boxes[image, k] = row - radius, col - radius, row + radius, col + radius
    y = {"boxes": boxes, "classes": np.where(boxes[..., 0] >= 0, 1, -1)}
    model.optimizer.learning_rate = 3e-3
    model.fit(x, y, batch_size=4, epochs=150, verbose=0)
    found = model.detect(x, min_score=0.3)
    for image in range(4):
        overlap = tf.convert_to_tensor(found.boxes[image, : found.counts[image]])
        from temzoo.models.boxes import iou

        best = iou(tf.constant(boxes[image]), overlap).numpy().max(axis=1, initial=0)
        assert best.min() > 0.5
