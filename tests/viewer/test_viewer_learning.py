"""Training on layers of napari: which images are learnt from, and a run of a few steps."""

import numpy as np
import pytest

import temzoo
from temzoo.core.types import Micrograph
from temzoo.viewer import layers, learning
from temzoo.workflows import training

MASK = np.zeros((64, 96), np.int32)
MASK[10:30, 10:30], MASK[40:56, 20:40], MASK[20:40, 74:92] = 4, 5, 9
PIXELS = (200 - 120 * (MASK > 0)).astype(np.uint8)


def pair(name="a.tif", mask=MASK, pixels=PIXELS, **metadata):
    shown = layers.image_layer(Micrograph(pixels, (0.5, 0.5), name))
    attributes = {"name": f"{name} drawn", "metadata": {"file": name, **metadata}}
    return shown, (mask, attributes | layers.place_of((0.5, 0.5)), "labels")


def test_labels_find_the_image_that_they_lie_on():
    (one, labels), (two, _) = pair(), pair("b.tif")
    small = layers.image_layer(Micrograph(PIXELS[:32], None, "small.tif"))
    assert learning.image_of(labels, [small, two, one]) is one
    labels[1]["metadata"] = {}
    assert learning.image_of(labels, [small, two]) is two
    for images, told in (([one, two], r"'a\.tif', 'b\.tif'"), ([small], "none")):
        with pytest.raises(ValueError, match=rf"one image layer of that size\. Received: {told}"):
            learning.image_of(labels, images)


def test_images_are_dealt_out_whole():
    learn, judge = learning.parts_of([pair(f"{name}.tif") for name in "abcde"])
    assert (len(learn), len(judge)) == (4, 1)
    example = learn[0]
    np.testing.assert_array_equal(example.micrograph.pixels, PIXELS)
    drawn = temzoo.labels.raster.instance_map(example.labels)
    np.testing.assert_array_equal(drawn > 0, MASK > 0)
    assert {shape.label for shape in example.labels.shapes} == {"particle"}


def test_a_single_image_is_cut_and_labels_stay_in_place():
    [learn], [judge] = learning.parts_of([pair()])
    assert learn.micrograph.pixels.shape == (64, 72)
    assert judge.micrograph.pixels.shape == (64, 24)
    for part, mask in ((learn, MASK[:, :72]), (judge, MASK[:, 72:])):
        drawn = temzoo.labels.raster.instance_map(part.labels)
        np.testing.assert_array_equal(drawn > 0, mask > 0)
        np.testing.assert_array_equal(part.micrograph.pixels < 200, mask > 0)
        assert part.micrograph.nm_per_pixel == (0.5, 0.5)
    assert learn.group != judge.group


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(ValueError, match=r"labels layers on their images\. Received: none\."):
        learning.parts_of([])
    with pytest.raises(ValueError, match=r"learnt from once\. Received: two .* of 'a\.tif'"):
        learning.parts_of([pair(), pair()])
    shown, labels = pair()
    stack = np.stack([PIXELS, PIXELS]), {**shown[1], **layers.place_of(None, stack=True)}, "image"
    with pytest.raises(ValueError, match=r"as many planes as their image\. Received: 1 for 2"):
        learning.parts_of([(stack, labels)])


@pytest.mark.usefixtures("eager_steps")
def test_layers_are_trained_on_further_and_a_run_can_be_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda run, model, data: None)  # draws pictures
    kinds = {"class_names": ("gold",)}
    how = {"start": "unet/emps-fast", "batch": 1, "crop": 32, "steps_per_epoch": 2, "epochs": 3}
    told = []

    def tell(share, text):
        told.append(text)
        if len(told) == 3:
            raise KeyboardInterrupt

    run = learning.train_on([pair(**kinds)], out=tmp_path / "run", tell=tell, **how)
    assert run.interrupted
    assert run.epoch == 1
    assert told[0] == "epoch 1 of 3"
    model = temzoo.get_model("unet", weights=run.folder)
    assert temzoo.predict(model, PIXELS).class_names == ("gold",)
