"""Mask R-CNN: its losses and whom they teach, its detections, and what survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo.models import boxes as box_geometry
from temzoo.models import detector, mask_rcnn, mask_rcnn_networks, roi
from temzoo.zoo import building, built, pretrained

SIZE = 64
SMALL = {
    "image_size": SIZE,
    "alpha": 0.25,
    "features": 16,
    "backbone_weights": None,
    "backbone_trainable": True,
    "compile": False,
}


def build(**config):
    keras.utils.set_random_seed(0)
    return temzoo.get_model("mask_rcnn", **{**SMALL, **config})


@pytest.fixture(scope="module")
def model():
    """Untrained, so that it finds something everywhere; read only."""
    return build(classes=3)


eager = pytest.mark.usefixtures("outside_a_graph")


def micrographs(count, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, 1), "uint8").astype("float32")


def truth(*counts, room=None, seed=0):
    """So many objects in each image of a batch, with room for ``room``."""
    rng = np.random.default_rng(seed)
    room = room or max(1, *counts)
    boxes = np.full((len(counts), room, 4), -1, "float32")
    classes = np.full((len(counts), room), -1, "int32")
    masks = np.zeros((len(counts), room, 56, 56), "uint8")
    for image, count in enumerate(counts):
        low = rng.uniform(0, SIZE - 24, (count, 2))
        boxes[image, :count] = np.concatenate([low, low + rng.uniform(6, 24, (count, 2))], axis=1)
        classes[image, :count] = rng.integers(1, 3, count)
        masks[image, :count, 10:50, 5:] = 1
    return {"boxes": boxes, "classes": classes, "masks": masks}


def test_training_names_its_losses():
    """Also with a last batch that is smaller and without any object."""
    model = build(backbone_trainable=False, compile=True)
    model.run_eagerly = True  # two steps take less time than tracing one
    x, y = micrographs(3), truth(3, 1, 0)
    y["classes"] = np.minimum(y["classes"], 1)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    history = model.fit(data, validation_data=data, shuffle=False, verbose=0).history
    names = {"loss", *mask_rcnn.MaskRCNN.LOSSES}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert np.isfinite([history[name] for name in history]).all()
    total = sum(np.array(history[f"val_{name}"]) for name in mask_rcnn.MaskRCNN.LOSSES)
    np.testing.assert_allclose(history["val_loss"], total, rtol=0.2)  # a mean of unequal batches


@pytest.mark.parametrize(
    "counts",
    [(0, 0), (1, 0), (1,), (40, 40), (3, 0, 7)],
    ids=["empty", "one", "one in one", "full", "three images"],
)
def test_losses_are_finite_for(model, counts):
    x, y = micrographs(len(counts)), truth(*counts)
    with tf.GradientTape() as tape:
        losses = model.losses_of(y, model(x, training=True))
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    assert set(losses) == set(mask_rcnn.MaskRCNN.LOSSES)
    assert np.isfinite([float(v) for v in losses.values()]).all()
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
    if not sum(counts):
        assert [float(losses[n]) for n in ("rpn_box_loss", "box_loss", "mask_loss")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("loss", "taught", "untouched"),
    [
        ("mask_loss", {"backbone", "pyramid", "mask"}, {"rpn", "box"}),
        ("class_loss", {"backbone", "pyramid", "box"}, {"rpn", "mask"}),
        ("box_loss", {"backbone", "pyramid", "box"}, {"rpn", "mask"}),
        ("rpn_objectness_loss", {"backbone", "pyramid", "rpn"}, {"box", "mask"}),
        ("rpn_box_loss", {"backbone", "pyramid", "rpn"}, {"box", "mask"}),
    ],
)
def test_each_loss_teaches_its_own_parts(model, loss, taught, untouched):
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        value = model.losses_of(truth(6, 6), model(micrographs(2), training=True))[loss]
    gradients = tape.gradient(value, [v.value for v in variables])
    greatest = dict.fromkeys(taught | untouched, 0.0)
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            greatest[part(variable.path)] = max(
                greatest[part(variable.path)], float(tf.reduce_max(tf.abs(gradient)))
            )
    assert {name for name, value in greatest.items() if value > 0} == taught


def part(path):
    for start, name in (("rpn_", "rpn"), ("box_", "box"), ("mask_", "mask"), ("conv", "backbone")):
        if path.startswith(start):
            return name
    return "pyramid"


def test_validation_draws_the_same_sample_each_time_and_training_does_not(model):
    y, outputs = truth(5, 5), model(micrographs(2))
    fixed = [model.losses_of(y, outputs, training=False)["class_loss"] for _ in range(2)]
    drawn = [model.losses_of(y, outputs, training=True)["class_loss"] for _ in range(2)]
    assert float(fixed[0]) == float(fixed[1])
    assert float(drawn[0]) != float(drawn[1])


def test_boxes_of_one_class_overlap_by_half_at_most(model):
    found = model.detect(micrographs(1), max_detections=50)
    boxes, classes = found.boxes[0], found.classes[0]
    overlap = box_geometry.iou(boxes, boxes).numpy() * (classes[:, None] == classes[None])
    assert (overlap - np.eye(len(boxes))).max() <= detector.DETECTION_IOU + 1e-5


def test_each_detection_has_the_mask_of_its_own_box_and_class(model):
    """Against the mask head called by hand on the refined box, among masks of other images."""
    x = micrographs(2)
    found, outputs = model.detect(x, max_detections=50), model(x)
    for image, row in [(0, 0), (1, 3), (1, found.counts[1] - 1)]:
        seen = roi.align(
            outputs["features"],
            found.boxes[image, row][None],
            tf.constant([image]),
            bins=14,
            strides=mask_rcnn_networks.STRIDES,
        )
        logits = model.mask_head(seen)[0, ..., found.classes[image, row] - 1]
        np.testing.assert_allclose(found.masks[image, row], tf.sigmoid(logits), atol=1e-4)


def test_an_image_may_have_more_than_a_hundred_detections(model):
    found = model.detect(micrographs(1), min_score=0.0)
    assert found.boxes.shape[1] == model.max_detections == 400
    assert found.counts[0] > 100


def test_limits_of_a_detection_cut_the_same_list(model):
    x = micrographs(1)
    found = model.detect(x, max_detections=50)
    every = model.detect(x)
    assert every.boxes.shape[1] == model.max_detections == 400
    np.testing.assert_allclose(every.boxes[0, :50], found.boxes[0], atol=1e-4)
    middle = float(found.scores[0, 20])
    assert model.detect(x, min_score=middle + 1e-6, max_detections=50).counts[0] <= 20
    assert model.detect(x, min_score=1.0, max_detections=50).counts[0] == 0
    assert model.detect(x, proposals=3, max_detections=50).counts[0] <= 3 * 2


def test_statistics_of_the_micrograph_normalise_its_tiles(model):
    tile = micrographs(1) / 4 + 100
    alone = model.detect(tile, max_detections=50)
    own = model.detect(tile, statistics=model.normalize.statistics(tile[0]), max_detections=50)
    np.testing.assert_allclose(own.scores, alone.scores, atol=1e-4)
    other = model.detect(tile, statistics=(0.0, 0.01), max_detections=50)
    assert np.abs(other.scores - alone.scores).max() > 1e-3


@pytest.mark.parametrize("shape", [(SIZE, SIZE, 1), (1, 32, 32, 1), (1, SIZE, SIZE, 3)])
def test_pixels_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"pixels must be \(images, 64, 64, 1\). Received: shape"):
        model.detect(np.zeros(shape))


def test_anchor_sizes_are_set_and_checked(model):
    other = build(anchor_sizes=(8, 20, 40, 90))
    np.testing.assert_array_equal(other.anchor_sizes, [8, 20, 40, 90])
    np.testing.assert_array_equal(model.anchor_sizes, [12, 24, 48, 96])
    for sizes in [(8, 20), (8, 8, 9, 10), (0, 1, 2, 3), (1, 2, 3, np.nan)]:
        with pytest.raises(ValueError, match=r"anchor_sizes gives one size .* 4 levels, rising"):
            other.set_anchor_sizes(sizes)


@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenet_v3", "resnet18"])
def test_backbones_give_a_pyramid_from_a_quarter_on(backbone):
    model = build(backbone=backbone, backbone_weights=None, channels=3)
    outputs = model.network.output
    shapes = [tuple(level.shape[1:]) for level in outputs["features"]]
    assert shapes == [(SIZE // s, SIZE // s, 16) for s in mask_rcnn_networks.STRIDES]
    assert outputs["deltas"].shape == (None, 2040, 4)
    assert model.input_shape == (None, SIZE, SIZE, 3)
    layer = model.network.get_layer("backbone")
    assert layer.trainable_variables
    norms = [n for n in layer._flatten_layers() if isinstance(n, keras.layers.BatchNormalization)]
    assert norms
    assert all(norm.momentum <= 0.95 for norm in norms)


@eager
def test_mixed_precision_keeps_boxes_and_answers_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(micrographs(1))
    assert {outputs[name].dtype for name in ("objectness", "deltas")} == {tf.float32}
    assert outputs["features"][0].dtype == tf.bfloat16
    y = truth(4)
    y["classes"] = np.minimum(y["classes"], 1)
    losses = model.losses_of(y, outputs)
    assert {value.dtype for value in losses.values()} == {tf.float32}
    assert np.isfinite([float(v) for v in losses.values()]).all()
    found = model.detect(micrographs(1), max_detections=50)
    assert found.masks.dtype == np.float32
    assert np.isfinite(found.masks).all()
    again = mask_rcnn.MaskRCNN.from_config(model.get_config())
    assert again.network.get_layer("p2").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def assert_same(model, other):
    x = micrographs(2, seed=7)
    ours, theirs = (m.detect(x, max_detections=50) for m in (model, other))
    for name in ("boxes", "scores", "masks"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4)


@eager
def test_weights_alone_survive_a_file_and_leave_the_optimizer_out(tmp_path):
    model = build(compile=True)
    model.optimizer.build(model.trainable_variables)
    model.set_anchor_sizes((7, 15, 31, 63))
    path = tmp_path / "bare.weights.h5"
    pretrained.save(model, path)
    again = build(compile=True)
    assert not np.array_equal(again.get_weights()[0], model.get_weights()[0] + 1)
    again.set_weights([np.zeros_like(w) for w in again.get_weights()])
    pretrained.load(again, path)
    np.testing.assert_array_equal(again.anchor_sizes, [7, 15, 31, 63])
    assert_same(model, again)
    assert path.stat().st_size < 1.2 * 4 * model.count_params() + 500_000


def test_what_was_trained_alone_survives_beside_a_frozen_backbone(tmp_path):
    model = build(backbone_trainable=False)
    model.set_anchor_sizes((7, 15, 31, 63))
    path = tmp_path / "trained.weights.h5"
    pretrained.save_trained(model, path)
    again = build(backbone_trainable=False)
    backbone = [again.network.get_layer("backbone"), model.network.get_layer("backbone")]
    backbone[0].set_weights(backbone[1].get_weights())
    again.box_head.set_weights([w * 0 for w in again.box_head.get_weights()])
    pretrained.load_trained(again, path)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    assert path.stat().st_size < 2.2 * model.count_params() + 100_000


@eager
def test_rebuilt_for_other_images_it_takes_the_same_weights(model):
    other = building.rebuild(built.built(model), image_size=96, max_detections=9)
    other.set_weights(model.get_weights())
    found = other.detect(micrographs(1, size=96))
    assert found.boxes.shape == (1, 9, 4)
    np.testing.assert_array_equal(other.anchor_sizes, model.anchor_sizes)


@eager
def test_saved_and_loaded_it_gives_the_same(tmp_path, monkeypatch):
    """The initial weights' name is in the config, and must not be fetched again."""
    model = build(max_detections=12, compile=True)
    model.optimizer.build(model.trainable_variables)
    model.set_anchor_sizes((10, 20, 40, 80))
    model.config["backbone_weights"] = "imagenet"
    model.save(tmp_path / "model.keras")
    monkeypatch.setattr(keras.utils, "get_file", None)  # calling it would fail
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.anchor_sizes, [10, 20, 40, 80])
    assert_same(model, loaded)


@eager
def test_a_step_of_predict_gives_detections_by_name(model):
    x = micrographs(2)
    predicted = model.predict_step((x,))
    assert set(predicted) == {"boxes", "classes", "scores", "masks", "counts"}
    np.testing.assert_allclose(predicted["scores"], model.detect(x).scores, atol=1e-4)


def test_other_formats_are_not_exported(model, tmp_path):
    with pytest.raises(
        ValueError, match=r'exported as "tf_saved_model" only. Received: format="on'
    ):
        model.export(tmp_path / "x.onnx", format="onnx")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"classes": 1}, "classes counts the background too"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"image_size": 100}, "image_size must be a multiple of 32, from 64 on. Received: .*100"),
        ({"image_size": 32}, "image_size must be a multiple of 32, from 64 on"),
        ({"backbone": "vgg"}, "backbone must be one of 'mobilenet', 'mobilenet_v3', 'resnet18'"),
        ({"alpha": 0.3}, r"alpha must be one of \[0.25, 0.5, 0.75, 1.0\]"),
        ({"backbone_trainable": "all"}, 'backbone_trainable must be False, True or "deep"'),
        (
            {"backbone": "resnet18", "backbone_weights": "x.h5"},
            'backbone_weights are those of "mobilenet"; "resnet18" starts random',
        ),
        (
            {"backbone": "mobilenet_v3", "backbone_trainable": "deep"},
            'backbone_trainable="deep" is for "mobilenet"; "mobilenet_v3" always learns',
        ),
        ({"features": 20}, "features must be a multiple of 8"),
        ({"regions": 1}, "regions must be a whole number from 4 on. Received: regions=1"),
        ({"proposals": 0}, "proposals must be a whole number from 1 on"),
        ({"max_detections": 1.5}, "max_detections must be a whole number from 1 on"),
        ({"train_proposals": 20}, "train_proposals must be at least regions"),
        ({"anchor_sizes": (1, 2)}, "anchor_sizes gives one size in pixels"),
    ],
)
def test_impossible_keywords(config, message):
    with pytest.raises(ValueError, match=message):
        build(**config)


def test_a_missing_backbone_file_is_named():
    with pytest.raises(FileNotFoundError, match='backbone_weights must be "imagenet", None or'):
        build(backbone_weights="missing.h5")
