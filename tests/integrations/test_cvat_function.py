"""The CVAT function under the SDK's own loader, driver and types; no server is asked."""

import logging
import sys
from types import SimpleNamespace

import keras
import numpy as np
import PIL.Image
import pytest
from skimage.draw import disk

import temzoo
from temzoo.annotation.cvat_function import Function, create, pixels_of
from temzoo.core.types import Shape
from temzoo.labels.shapes.windows import shape_mask
from temzoo.zoo import pretrained
from temzoo.zoo.built import built

pytest.importorskip("cvat_sdk")
pytest.importorskip("cvat_cli")

from cvat_cli._internal.common import FunctionLoader
from cvat_cli._internal.parsers import parse_function_parameter
from cvat_sdk import auto_annotation as sdk
from cvat_sdk import models
from cvat_sdk.auto_annotation import driver
from cvat_sdk.datasets.common import MediaElement, Sample
from cvat_sdk.masks import decode_mask, encode_mask

SIDE = 64
LABEL = 77  # of the task, which numbers its labels itself


def scene(seed, objects=3):
    """Bright discs on noise, (64, 64) uint8, and their class map."""
    rng, truth = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(objects):
        radius = int(rng.integers(5, 10))
        truth[disk(rng.integers(radius, SIDE - radius, 2), radius)] = 1
    return (rng.normal(60, 8, truth.shape) + 80 * truth).clip(0, 255).astype(np.uint8), truth


def written(model, folder, class_names=("particle",), **config):
    path = folder / "best.weights.h5"
    pretrained.save(model, path)
    name = built(model).name
    pretrained.write_card(path, pretrained.WeightsCard(name, config, tuple(class_names)))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a small U-Net that has learnt to find discs."""
    keras.utils.set_random_seed(0)
    config = {"filters": 4, "depth": 1, "norm": "group", "classes": 2}
    model = temzoo.get_model("unet", **config)
    model.optimizer.learning_rate = 1e-2
    pixels, truth = map(np.stack, zip(*(scene(seed) for seed in range(32)), strict=True))
    one_hot = np.eye(2, dtype="float32")[truth]
    model.fit(pixels[..., None], one_hot, batch_size=4, epochs=6, verbose=0)
    return written(model, tmp_path_factory.mktemp("run"), **config)


@pytest.fixture(scope="module")
def function(run):
    return create(str(run))


class Stored(MediaElement):
    def __init__(self, pixels):
        self.pixels = pixels

    def load_image(self):
        return PIL.Image.fromarray(self.pixels)


class Upload:
    """Stands for the server: keeps what is uploaded to a task."""

    def __init__(self):
        self.logger = logging.getLogger("cvat")
        self.tasks = SimpleNamespace(api=self)

    def partial_update_annotations(self, action, task, *, patched_labeled_data_request):
        self.shapes = patched_labeled_data_request.shapes


def annotated(monkeypatch, function, pictures, *, label_type="any", **options):
    """What ``cvat-cli task auto-annotate`` would upload."""
    label = models.Label(name="particle", id=LABEL, type=label_type, attributes=[], sublabels=[])
    samples = [
        Sample(frame_index=k, frame_name=f"{k}.png", annotations=None, media=Stored(pixels))
        for k, pixels in enumerate(pictures)
    ]
    task = SimpleNamespace(labels=[label], samples=samples)
    monkeypatch.setattr(driver, "TaskDataset", lambda *args, **more: task)
    upload = Upload()
    sdk.annotate_task(upload, 5, function, **options)
    return upload.shapes


def context(**options):
    return driver._DetectionFunctionContextImpl(frame_name="a.png", **options)


def drawn(request, shape=(SIDE, SIDE)):
    """The pixels of an uploaded shape."""
    if request.type.value == "mask":
        return decode_mask(request.points, image_width=shape[1], image_height=shape[0])
    points = np.array(request.points).reshape(-1, 2)[:, ::-1]
    return shape_mask(Shape("polygon", "particle", points), *shape)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def masks_of(prediction):
    return [prediction.instances == k for k in range(1, prediction.instances.max() + 1)]


def bright(batch):
    """A model: probability 0.9 of what is brighter than a quarter of the 16-bit range."""
    inside = np.where(batch[..., :1] > 2**14, 0.9, 0.1)
    return np.concatenate([1 - inside, inside], axis=-1)


def painted(mask):
    return PIL.Image.fromarray(np.where(mask, 40000, 300).astype(np.uint16))


def test_a_task_is_annotated_through_the_loader_and_driver(run, monkeypatch):
    words = [f"weights=str:{run}", "min_area_px=int:4", "flips=bool:true", "tolerance_px=float:0.5"]
    parameters = dict(map(parse_function_parameter, words))
    function = FunctionLoader("temzoo.annotation.cvat_function", None, parameters).load()
    assert isinstance(function.spec, sdk.DetectionFunctionSpec)
    pictures = [scene(seed)[0] for seed in (1000, 1001)]
    shapes = annotated(monkeypatch, function, pictures, label_type="polygon")
    model = temzoo.get_model("unet", weights=run)
    for frame, picture in enumerate(pictures):
        mine = [shape for shape in shapes if shape.frame == frame]
        wanted = masks_of(temzoo.predict(model, picture, flips=True, min_area_px=4))
        assert len(mine) == len(wanted) > 0
        assert all(iou(drawn(m), w) >= 0.95 for m, w in zip(mine, wanted, strict=True))
    assert {shape.label_id for shape in shapes} == {LABEL}
    assert {shape.type.value for shape in shapes} == {"polygon"}


def test_the_model_found_the_discs(function):
    picture, truth = scene(1000)
    found = [drawn(s) for s in function.detect(context(), PIL.Image.fromarray(picture))]
    assert iou(np.any(found, axis=0), truth > 0) > 0.9


def test_masks_are_the_very_pixels(run, monkeypatch):
    picture = scene(1002)[0]
    function = create(str(run), shapes="masks")
    shapes = annotated(monkeypatch, function, [picture], label_type="mask")
    wanted = masks_of(temzoo.predict(function.model, picture))
    for shape, mask in zip(shapes, wanted, strict=True):
        np.testing.assert_array_equal(drawn(shape), mask)
        assert shape.points == encode_mask(mask)


def test_masks_become_polygons_when_cvat_asks(run, monkeypatch):
    function, picture = create(str(run), shapes="masks"), scene(1002)[0]
    options = {"label_type": "polygon", "conv_mask_to_poly": True}
    shapes = annotated(monkeypatch, function, [picture], **options)
    assert {shape.type.value for shape in shapes} == {"polygon"}


def test_the_confidence_is_the_mean_probability(function):
    picture = PIL.Image.fromarray(scene(1000, objects=4)[0])
    found = temzoo.predict(function.model, np.asarray(picture), probabilities=True)
    least = float(np.sort(found.scores)[-2:].mean())
    kept = function.detect(context(conf_threshold=least), picture)
    (only,) = np.flatnonzero(found.scores >= least)
    assert len(kept) == 1 < len(found.scores)
    assert iou(drawn(kept[0]), found.instances == only + 1) >= 0.95
    assert function.detect(context(conf_threshold=1.0), picture) == []


def test_a_detector_takes_the_threshold_for_its_scores(finder):
    picture = np.zeros((80, 100), np.uint8)
    picture[10:20, 10:30], picture[40:60, 50:60] = 80, 160  # scores 0.4 and 0.8
    function = Function(finder, ("particle",))
    image = PIL.Image.fromarray(picture)
    assert len(function.detect(context(), image)) == 1
    assert len(function.detect(context(conf_threshold=0.3), image)) == 2
    (shape,) = function.detect(context(conf_threshold=0.8), image)
    assert iou(drawn(shape, picture.shape), picture == 160) >= 0.95


def test_weights_of_a_detector(tmp_path):
    config = {"image_size": SIDE, "alpha": 0.25, "features": 16, "backbone_weights": None}
    config |= {"backbone_trainable": True}
    keras.utils.set_random_seed(0)
    run = written(temzoo.get_model("mask_rcnn", compile=False, **config), tmp_path, **config)
    function = create(str(run), max_detections=5, proposals=20, labels="grain")
    assert [label.name for label in function.spec.labels] == ["grain"]
    with pytest.warns(UserWarning, match="more objects than may be found in one: 5"):
        objects = function.detect(context(conf_threshold=0.0), PIL.Image.fromarray(scene(1)[0]))
    # Untrained, it finds something everywhere; a polygon is a part of an object.
    assert 0 < len({getattr(o, "group", id(o)) for o in objects}) <= 5


def test_a_hole_stays_one_and_sixteen_bits_stay_deep():
    ring = np.zeros((SIDE, SIDE), bool)
    ring[disk((30, 30), 22)], ring[disk((30, 30), 9)] = True, False
    (shape,) = Function(bright, ("particle",)).detect(context(), painted(ring))
    assert shape.type.value == "polygon"
    assert iou(drawn(shape), ring) >= 0.95
    assert not drawn(shape)[30, 30]


class TwoParts:
    """A detector of one object in two parts, one of which has a hole."""

    image_size, input_shape = SIDE, (None, SIDE, SIDE, 1)
    masks = np.zeros((1, 1, 28, 28), np.float32)
    masks[0, 0, :, :12], masks[0, 0, 8:20, 3:9], masks[0, 0, :, 18:] = 1, 0, 1

    def detect(self, pixels, **options):
        boxes = np.array([[[4, 4, 60, 60]]], np.float32)
        ones = np.ones((1, 1))
        return SimpleNamespace(
            boxes=boxes, classes=ones.astype(int), scores=ones * 0.9, masks=self.masks, counts=[1]
        )


def test_parts_of_one_object_share_a_group_of_their_own(monkeypatch):
    function = Function(TwoParts(), ("particle",))
    shapes = annotated(monkeypatch, function, [np.zeros((SIDE, SIDE), np.uint8)] * 2)
    assert [(shape.frame, shape.group) for shape in shapes] == [(0, 1), (0, 1), (1, 2), (1, 2)]


def test_a_watershed_parts_what_touches(run):
    two = np.zeros((SIDE, SIDE), bool)
    two[disk((32, 20), 12)] = two[disk((32, 43), 12)] = True
    image = PIL.Image.fromarray((60 + 80 * two).astype(np.uint8))
    options = ({"instances": "components"}, {"neck": 0.9})
    found = [len(create(str(run), **o).detect(context(), image)) for o in options]
    assert found == [1, 2]


def test_nothing_left_gives_no_shape(run):
    function = create(str(run), min_area_px=SIDE**2)
    assert function.detect(context(), PIL.Image.fromarray(scene(1000)[0])) == []


@pytest.mark.parametrize(
    ("mode", "dtype", "shape"),
    [
        ("L", np.uint8, (3, 5)),
        ("I;16", np.uint16, (3, 5)),
        ("I;16B", np.uint16, (3, 5)),
        ("I", np.int32, (3, 5)),
        ("F", np.float32, (3, 5)),
        ("1", np.uint8, (3, 5)),
        ("LA", np.uint8, (3, 5)),
        ("P", np.uint8, (3, 5, 3)),
        ("RGB", np.uint8, (3, 5, 3)),
        ("RGBA", np.uint8, (3, 5, 3)),
    ],
)
def test_pictures_of_each_mode_keep_their_depth(mode, dtype, shape):
    pixels = pixels_of(PIL.Image.new(mode, (5, 3)))
    assert (pixels.dtype, pixels.shape) == (dtype, shape)


def test_sixteen_bits_of_either_byte_order_keep_their_values():
    values = np.array([[1, 258, 40000]], np.uint16)
    for mode, order in (("I;16", "<u2"), ("I;16B", ">u2")):
        image = PIL.Image.frombytes(mode, (3, 1), values.astype(order).tobytes())
        np.testing.assert_array_equal(pixels_of(image), values)


def test_a_restorer_is_refused(tmp_path):
    config = {"filters": 4, "depth": 2}
    run = written(temzoo.get_model("autoencoder", compile=False, **config), tmp_path, (), **config)
    with pytest.raises(ValueError, match=r"name=autoencoder.*which makes pictures"):
        create(str(run))


def test_weights_without_class_names_need_labels(tmp_path):
    config = {"filters": 2, "depth": 1, "classes": 2}
    run = written(temzoo.get_model("unet", compile=False, **config), tmp_path, (), **config)
    with pytest.raises(ValueError, match=r"do not name their classes.*labels=str:NAME"):
        create(str(run))
    assert create(str(run), labels="grain").names == ("grain",)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shapes": "box"}, r"shapes must be one of .*Received: shapes='box'"),
        ({"labels": "a,b"}, r"Received: .*\('a', 'b'\) for a model of 2 classes"),
        ({"filters": 3}, r"were trained with filters=4\. Received: filters=3"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, options, told):
    with pytest.raises(ValueError, match=told):
        create(str(run), **options)


def test_labels_differ(tmp_path):
    config = {"filters": 2, "depth": 1, "classes": 3}
    model = temzoo.get_model("unet", compile=False, **config)
    run = written(model, tmp_path, ("a", "b"), **config)
    with pytest.raises(ValueError, match=r"labels must differ .*Received: labels='c,c'"):
        create(str(run), labels="c, c")


def test_missing_weights_are_named():
    with pytest.raises(FileNotFoundError, match=r"Received: runs/none, and runs/none is not"):
        create("runs/none")


def test_without_the_extra_the_error_says_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(ImportError, match=r"pip install 'temzoo\[cvat\]'"):
        create("runs/none")
