"""Separation by distance: what is learnt, the loss, and objects parted where the distance dips."""

import keras
import numpy as np
import pytest
from scipy import ndimage

import temzoo
from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Shape
from temzoo.inference.fused import fuse
from temzoo.inference.regions import FULL, Watershed, label_instances
from temzoo.store.predictions import list_predictions, load_prediction, save
from temzoo.tasks import distance_graph, distance_targets
from temzoo.tasks.distance import DistanceMaps
from temzoo.tasks.semantic_graph import SegmentationLoss
from temzoo.zoo.task import task_named

SIDE = 96


def circle(row, col, radius, label="p", z_order=0):
    return Shape("ellipse", label, np.array([[row, col], [radius, radius]], float), z_order=z_order)


def labelled(*shapes, side=SIDE):
    return LabelledImage("a.png", side, side, tuple(shapes))


def learnt(*shapes, names=("p",)):
    maps = distance_targets.distance_maps(labelled(*shapes), names)
    return maps[..., 0], maps[..., 1] / FULL, maps[..., 2] / FULL


def test_the_distance_is_scipys_over_the_largest_of_each_object():
    classes, distance, _ = learnt(circle(30, 30, 20), circle(70, 70, 8))
    parts, count = ndimage.label(classes)
    assert count == 2
    for number in (1, 2):
        exact = ndimage.distance_transform_edt(parts == number)
        np.testing.assert_allclose(
            distance[parts == number], (exact / exact.max())[parts == number], atol=0.01
        )
    assert (distance[classes == 0] == 0).all()


def test_touching_objects_have_a_valley_between_them():
    classes, distance, nearness = learnt(circle(48, 28, 20), circle(48, 68, 20))
    assert ndimage.label(classes)[1] == 1  # one region
    line = distance[48]
    assert line[28] > 0.95
    assert line[68] > 0.95
    assert line[47:50].max() < 0.15
    assert nearness[48, 48] > 0.8
    assert nearness[48, 28] < 0.01


def test_the_images_edge_is_no_outline():
    _, distance, _ = learnt(circle(0, 48, 20))
    assert distance[0, 48] == 1
    assert distance[:, 48].argmax() == 0


def test_parts_of_a_hidden_object_each_have_a_middle():
    bar = Shape("box", "p", np.array([[40, 10], [56, 86]], float))
    over = Shape("box", "q", np.array([[20, 40], [76, 56]], float), z_order=1)
    classes, distance, _ = learnt(bar, over, names=("p", "q"))
    parts, count = ndimage.label(classes == 1)
    assert count == 2
    assert [distance[parts == number].max() for number in (1, 2)] == [1, 1]


def test_an_object_that_fills_the_image_is_all_middle():
    _, distance, nearness = learnt(Shape("box", "p", np.array([[0, 0], [SIDE, SIDE]], float)))
    assert (distance == 1).all()
    assert (nearness == 0).all()


def test_nearness_is_the_u_nets_formula():
    _, _, nearness = learnt(
        Shape("box", "p", np.array([[10, 10], [80, 40]], float)),
        Shape("box", "p", np.array([[10, 46], [80, 80]], float)),
    )
    # Between columns 39 and 46 lie six; a pixel of them is d1 + d2 = 7 from the two.
    expected = np.exp(-(7**2) / (2 * distance_targets.GAP**2))
    np.testing.assert_allclose(nearness[45, 40:46], expected, atol=0.01)
    assert nearness[45, 5] < 0.01


def test_a_crop_is_encoded_with_its_classes_first():
    drawn = DistanceMaps(("p", "q")).draw(labelled(circle(30, 30, 12, "q")))
    encoded = DistanceMaps(("p", "q")).encode(drawn)
    assert encoded.shape == (SIDE, SIDE, 5)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded[..., :3].argmax(-1), drawn[..., 0])
    np.testing.assert_array_equal(encoded[..., 3:], drawn[..., 1:])


def answer_of(hot, distance):
    return np.concatenate([hot, distance[..., None]], axis=-1).astype("float32")


def test_the_loss_is_that_of_the_classes_and_the_weighted_error_of_the_distance():
    rng = np.random.default_rng(0)
    hot = np.eye(2)[rng.integers(0, 2, (1, 8, 8))]
    probabilities = rng.dirichlet([1, 1], (1, 8, 8))
    distance, found, near = rng.random((3, 1, 8, 8))
    truth = np.concatenate([hot, FULL * distance[..., None], FULL * near[..., None]], axis=-1)
    weight = 1 + distance_graph.NEAR * near
    entropy = np.mean(-weight * np.log((hot * probabilities).sum(-1)))
    dice = float(SegmentationLoss("dice")(hot.astype("float32"), probabilities.astype("float32")))
    expected = entropy + dice + distance_graph.DISTANCE * np.mean(weight * abs(found - distance))
    loss = distance_graph.DistanceLoss()(truth.astype("float32"), answer_of(probabilities, found))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_score_is_that_of_the_classes():
    hot = np.eye(2, dtype="uint8")[np.arange(64).reshape(1, 8, 8) % 2]
    truth = np.concatenate([hot, 255 * hot, 0 * hot[..., :1]], axis=-1)[..., :4]
    metric = distance_graph.ClassIoU()
    metric.update_state(truth, answer_of(hot, np.zeros((1, 8, 8))))
    assert float(metric.result()) == 1


def valley(depth):
    """Two peaks of 1 in one region, with a lowest distance of ``depth`` between them."""
    classes = np.zeros((40, 90), np.uint8)
    classes[5:35, 5:85] = 1
    columns = np.abs(np.arange(90) - 45) / 40
    distance = np.where(classes, np.clip(depth + (1 - depth) * columns * 1.6, 0, 1), 0)
    return classes, np.rint(FULL * distance).astype(np.uint8)


@pytest.mark.parametrize(("depth", "count"), [(0.1, 2), (0.3, 2), (0.9, 1)])
def test_a_region_is_parted_where_the_learnt_distance_dips(depth, count):
    classes, distance = valley(depth)
    found = label_instances(classes, method="auto", distance=distance)
    assert found.max() == count
    assert (found[classes > 0] > 0).all()
    if count == 2:
        assert set(found[20, [10, 80]]) == {1, 2}
        assert abs((found == 1).sum() - (found == 2).sum()) < 0.1 * (found > 0).sum()


def test_the_neck_decides_how_deep_a_dip_must_be():
    classes, distance = valley(0.7)
    counts = [
        label_instances(classes, method=Watershed(neck=neck), distance=distance).max()
        for neck in (0.0, 0.5, 0.95)
    ]
    assert counts == [1, 1, 2]


class Stub:
    """A network that gives drawn maps, whatever it is shown."""

    def __init__(self, probabilities, distance):
        self.answered = np.concatenate([probabilities, distance[..., None]], axis=-1)

    def tile_network(self, channels):
        return lambda batch: np.asarray(self.answered[None, : batch.shape[1], : batch.shape[2]])


def two_discs(sure=(0.95, 0.75)):
    rows, cols = np.mgrid[:64, :96]
    probabilities = np.zeros((64, 96, 2), np.float32)
    distance = np.zeros((64, 96), np.float32)
    for centre, value in zip((24, 68), sure, strict=True):
        depth = 1 - np.hypot(rows - 32, cols - centre) / 18
        inside = depth > 0
        probabilities[..., 1][inside] = value
        distance[inside] = depth[inside]
    probabilities[..., 0] = 1 - probabilities[..., 1]
    return probabilities, distance


def asked(network, **options):
    from temzoo.zoo.built import stands_for

    stands_for(network, task_named("distance"), ("p",))
    return temzoo.predict(network, np.zeros((64, 96), np.uint8), **options)


def test_doubtful_objects_are_not_counted_but_kept_apart():
    found = asked(Stub(*two_discs()))
    assert found.instances.max() == 1
    assert found.scores[0] > 0.9
    assert found.instances[32, 68] == 0
    assert found.classes[32, 68] == 1  # the class map keeps what is likelier than not
    (doubtful,) = found.doubtful
    assert 0.2 <= doubtful.score < 0.5
    assert doubtful.class_id == 1
    assert abs(doubtful.top + doubtful.mask.shape[0] / 2 - 32) < 1
    assert abs(doubtful.left + doubtful.mask.shape[1] / 2 - 68) < 1
    every = asked(Stub(*two_discs()), min_score=0.0)
    assert every.scores == pytest.approx([found.scores[0], doubtful.score])
    assert every.doubtful == ()


def test_doubtful_objects_are_saved_and_read(tmp_path):
    found = asked(Stub(*two_discs()))
    save(found, tmp_path)
    (path,) = list_predictions(tmp_path)
    (read,) = load_prediction(path).doubtful
    assert np.array_equal(read.mask, found.doubtful[0].mask)
    assert read.score == pytest.approx(found.doubtful[0].score)


def test_probabilities_bring_the_distance_along():
    found = asked(Stub(*two_discs()), probabilities=True, min_score=0.0)
    assert found.probabilities.shape == (64, 96, 2)
    assert found.distance.max() == FULL
    assert found.scores == pytest.approx(asked(Stub(*two_discs()), min_score=0.0).scores)
    assert asked(Stub(*two_discs())).distance is None


def test_evaluation_counts_the_sure_and_ranks_all():
    network = Stub(*two_discs())
    labels = LabelledImage("a.png", 96, 64, (circle(32.5, 24.5, 18), circle(32.5, 68.5, 18)))
    example = Example(labels, lambda: Micrograph(np.zeros((64, 96), np.uint8), name="a.png"))
    asked(network)
    found = temzoo.evaluate(network, [example], bootstrap=1)
    assert found.pooled["instance_recall"].value == 0.5
    assert found.pooled["instance_precision"].value == 1
    assert found.pooled["mask_ap50"].value == 1
    every = temzoo.evaluate(network, [example], bootstrap=1, min_score=0.2)
    assert every.pooled["instance_recall"].value == 1


def disc_at(column, score, radius=14):
    rows, cols = np.mgrid[: 2 * radius, : 2 * radius] + 0.5
    mask = np.hypot(rows - radius, cols - radius) < radius
    return Detection(32 - radius, column - radius, mask, 1, score)


def test_a_detector_parts_what_the_distance_does_not_and_adds_nothing_by_itself():
    rows, cols = np.mgrid[:64, :96]
    merged = np.hypot(rows - 32, np.minimum(abs(cols - 20), abs(cols - 44))) < 14
    doubtful = np.hypot(rows - 32, cols - 76) < 14
    instances = (merged + 2 * doubtful).astype(np.int32)
    distance = np.full((64, 96), 200, np.uint8)
    seen = disc_at(20, 0.95), disc_at(44, 0.9), disc_at(76, 0.85)
    ghost = Detection(0, 0, np.ones((10, 90), bool), 1, 0.99)
    weak = disc_at(32, 0.5)
    scores = fuse(instances, np.array([0.9, 0.3]), distance, (ghost, weak, *seen))
    assert scores == pytest.approx([0.95, 0.85, 0.9])
    numbers = [instances[32, column] for column in (20, 76, 44)]
    assert numbers == [1, 2, 3]
    assert np.array_equal(instances > 0, merged | doubtful)
    assert abs(int((instances == 1).sum()) - int((instances == 3).sum())) < 40
    # One object that the detector sees in one piece stays as it is.
    whole = merged.astype(np.int32)
    assert fuse(whole, np.array([0.9]), distance, seen[:1]) == pytest.approx([0.9])
    assert whole.max() == 1


def test_fused_instances_need_a_learnt_distance_and_one_class():
    found = asked(Stub(*two_discs()), instances="fused")  # the detector sees a blank field
    assert np.array_equal(found.instances, asked(Stub(*two_discs())).instances)
    with pytest.raises(ValueError, match="serves one class"):
        asked(Stub(*two_discs()), instances="fused", class_names=("p", "q"))
    with pytest.raises(ValueError, match="needs a model that has learnt distances"):
        temzoo.predict(lambda batch: two_discs()[0][None], np.zeros((64, 96)), instances="fused")
    with pytest.raises(ValueError, match="a detector has tiles of its own"):
        temzoo.predict(
            temzoo.get_model("mask_rcnn", weights="emps"), np.zeros((64, 96)), instances="fused"
        )


def test_neck_and_score_are_tuned_as_evaluate_counts_them():
    network = Stub(*two_discs(sure=(0.95, 0.8)))  # the second scores 0.41
    labels = LabelledImage("a.png", 96, 64, (circle(32.5, 24.5, 18), circle(32.5, 68.5, 18)))
    example = Example(labels, lambda: Micrograph(np.zeros((64, 96), np.uint8), name="a.png"))
    asked(network)
    tuned = temzoo.tune_instances(network, [example], min_areas_px=[10])
    assert tuned.best["f1"] == 1
    assert tuned.options["min_score"] < 0.5
    found = temzoo.evaluate(network, [example], bootstrap=1, **tuned.options)
    assert found.pooled["instance_f1"].value == 1
    row = next(row for row in tuned.table if row["min_score"] == 0.5)
    assert row["predicted"] == 1


def test_a_watershed_without_a_neck_has_that_of_the_learnt_distance():
    classes, distance = valley(0.6)  # cut at 0.8, left whole at 0.5
    how = {"distance": distance}
    assert label_instances(classes, method=Watershed(neck=0.8), **how).max() == 2
    assert label_instances(classes, method=Watershed(), **how).max() == 1


def test_a_run_learns_to_part_touching_discs(tmp_path):
    """A network small enough for a test finds each of two touching discs."""
    keras.utils.set_random_seed(0)
    model = temzoo.get_model(
        "particles", alpha=0.25, encoder_weights=None, pyramid=(1,), decoder_filters=(8, 8, 8, 8, 8)
    )
    shapes = circle(48, 28, 20), circle(48, 68, 20)
    pixels = np.full((SIDE, SIDE), 200, np.uint8)
    rows, cols = np.mgrid[:SIDE, :SIDE] + 0.5
    for shape in shapes:
        (row, col), (radius, _) = shape.points
        pixels[np.hypot(rows - row, cols - col) < radius] = 60
    maps = DistanceMaps(("p",)).encode(DistanceMaps(("p",)).draw(labelled(*shapes)))[None]
    model.optimizer.learning_rate = 1e-2
    history = model.fit(
        pixels[None, ..., None].astype("float32"), maps, epochs=80, verbose=0
    ).history
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    found = temzoo.predict(model, pixels, min_score=0.0)
    assert found.instances[48, 28] != found.instances[48, 68]


def test_another_engine_parts_the_same_objects():
    model = temzoo.get_model(
        "particles", alpha=0.25, encoder_weights=None, pyramid=(1,), decoder_filters=(8, 8, 8, 8, 8)
    )
    fast = temzoo.accelerate(model, "tensorflow")
    pixels = np.random.default_rng(0).integers(0, 255, (48, 70), np.uint8)
    how = {"min_score": 0.0, "probabilities": True}
    expected, found = (temzoo.predict(each, pixels, **how) for each in (model, fast))
    assert found.distance is not None
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.distance.astype(int), expected.distance, atol=1)
