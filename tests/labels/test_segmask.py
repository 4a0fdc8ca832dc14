"""CVAT's Segmentation mask 1.1: colours of classes and of objects."""

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import segmask
from temzoo.labels.shapes import raster

RED, BLUE, VOID = (250, 50, 83), (0, 0, 99), (224, 224, 192)
MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\np:250,50,83::\nq:0,0,99::\n"


def save(path, *painted, palette=False):
    """A picture of 20 x 10 px with (top, left, bottom, right, colour) boxes."""
    pixels = np.zeros((10, 20, 3), np.uint8)
    for top, left, bottom, right, colour in painted:
        pixels[top:bottom, left:right] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert("P", palette=Image.Palette.ADAPTIVE) if palette else image).save(path)


def export(folder, *, objects=True, palette=False, text=MAP):
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation" / "default.txt").write_text("a\n")
    (folder / "labelmap.txt").write_text(text)
    boxes = [(0, 0, 4, 4, RED), (0, 4, 4, 8, RED), (6, 0, 9, 5, BLUE), (6, 10, 9, 15, VOID)]
    save(folder / "SegmentationClass" / "a.png", *boxes, palette=palette)
    if objects:
        colours = ((9, 9, 9), (8, 8, 8), (7, 7, 7), VOID)
        boxes = [(*box[:4], colour) for box, colour in zip(boxes, colours, strict=True)]
        save(folder / "SegmentationObject" / "a.png", *boxes)
    return folder


@pytest.mark.parametrize("palette", [False, True])
def test_objects_that_touch_are_told_apart_and_void_is_ignored(tmp_path, palette):
    (image,) = labels.read(export(tmp_path, palette=palette))
    assert (image.name, image.width, image.height) == ("a.png", 20, 10)
    assert image.classes == ("p", "q")
    assert sorted(shape.label for shape in image.shapes) == ["ignore", "p", "p", "q"]
    assert sorted(raster.instance_masks(image).sum((1, 2)).tolist()) == [15, 16, 16]
    assert raster.ignored_pixels(image).sum() == 15


def test_without_objects_connected_parts_are_some(tmp_path):
    (image,) = labels.read(export(tmp_path, objects=False))
    assert sorted(raster.instance_masks(image).sum((1, 2)).tolist()) == [15, 32]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p:250,50::", r"labelmap.txt, line 1: it must be name:red,green,blue::.*'p:250,50::'"),
        ("p:250,50,256::", "line 1: it must be name"),
        (":250,50,83::", "line 1: it must be name"),
        ("p:250,50,83::\nq:250,50,83::", "line 2: a colour must be one class's.*'p' and 'q'"),
        ("p:250,50,83::", "a.png: each colour must be in labelmap.txt.*such as 0,0,99. Export"),
    ],
)
def test_wrong_colours_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        segmask.read(export(tmp_path, text=text))


def test_picture_that_cannot_be_read_is_left_out_alone(tmp_path):
    export(tmp_path)
    save(tmp_path / "SegmentationClass" / "b.png", (0, 0, 4, 4, (1, 2, 3)))
    (tmp_path / "SegmentationClass" / "c.png").write_bytes(b"\x89PNG")
    save(tmp_path / "SegmentationClass" / "d.png", (0, 0, 4, 4, RED))
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "SegmentationObject" / "d.png")
    said = []
    assert [image.name for image in labels.read(tmp_path, said=said)] == ["a.png"]
    assert [(one.level, one.image) for one in said] == [("error", f"{k}.png") for k in "bcd"]
    assert "must be of one size. Received: (5, 5) and (10, 20)" in said[2].text


def test_round_trip(tmp_path):
    def box(label, top, left, bottom, right):
        return Shape("box", label, np.array([[top, left], [bottom, right]], float))

    shapes = (box("p", 0, 0, 4, 4), box("p", 0, 4, 4, 8), box("q", 5, 0, 9, 5))
    region = box("ignore", 5, 10, 9, 15)
    image = LabelledImage("lot/a.tif", 20, 10, (*shapes, region), ("p", "q"))
    tag = Shape("tag", "p", np.zeros((0, 2)))
    empty = LabelledImage("b.png", 20, 10, (tag,))
    assert labels.write(tmp_path / "x", [image, empty], to="segmask") == {"tag": 1}
    plain, back = labels.read(tmp_path / "x")
    assert (plain.name, plain.shapes) == ("b.png", ())
    assert (back.name, back.classes) == ("lot/a.png", ("p", "q"))
    assert np.array_equal(raster.class_map(back, ["p", "q"]), raster.class_map(image, ["p", "q"]))
    assert len(raster.instances(back)) == 3
    assert np.array_equal(raster.ignored_pixels(back), raster.ignored_pixels(image))
    labels.write(tmp_path / "y", [plain, back], to="segmask")
    assert labels.read(tmp_path / "y") == [plain, back]
    names = (tmp_path / "x" / "ImageSets" / "Segmentation" / "default.txt").read_text()
    assert names.splitlines() == ["lot/a", "b"]


def test_colours_are_those_of_pascal_voc():
    assert segmask._palette(4).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert len(np.unique(segmask._palette(70000), axis=0)) == 70000


def test_names_that_the_list_cannot_hold_are_refused(tmp_path):
    image = LabelledImage("a.png", 9, 9, (), ("a:b",))
    with pytest.raises(ValueError, match=r"without ':'.*Received: 'a:b'. Use --rename"):
        labels.write(tmp_path, [image], to="segmask")
