"""Label files of any format: told apart by what they are, and converted."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import cvat_writing, via, yolo
from temzoo.labels.shapes import raster


@pytest.fixture
def image():
    shapes = (
        Shape("box", "a", np.array([[2.0, 4.0], [6.0, 8.0]])),
        Shape("polygon", "b", np.array([[8.0, 8.0], [8.0, 16.0], [10.0, 16.0], [10.0, 8.0]])),
        Shape("points", "b", np.array([[1.0, 1.0]])),
        Shape("tag", "b", np.zeros((0, 2))),
    )
    return LabelledImage("a.png", 20, 10, shapes, ("a", "b"))


@pytest.mark.parametrize("to", ["cvat", "coco", "masks"])
@pytest.mark.parametrize("name", ["labels", "labels.xml", "labels.json"])
def test_what_was_written_is_recognised_whatever_its_name(tmp_path, image, to, name):
    left_out = labels.write(tmp_path / name, [image], to=to)
    assert left_out == ({} if to == "cvat" else {"points": 1, "tag": 1})
    (back,) = labels.read(tmp_path / name)
    areas = LabelledImage("", 20, 10, image.shapes[:2])
    names = ("a", "b")
    assert np.array_equal(raster.class_map(back, names), raster.class_map(areas, names))
    assert back.classes == names


def test_via_is_recognised_and_asks_for_the_images(tmp_path, image):
    via.write(tmp_path / "v.json", [image])
    with pytest.raises(ValueError, match=r"v.json: VIA states no image sizes.*images=…"):
        labels.read(tmp_path / "v.json")
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / "a.png")
    (back,) = labels.read(tmp_path / "v.json", images=tmp_path)
    assert [shape.kind for shape in back.shapes] == ["box", "polygon", "points"]


def test_folder_of_an_unpacked_export_is_read_as_its_label_file(tmp_path, image):
    grey = np.random.default_rng(0).integers(0, 256, (10, 20)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(grey).save(tmp_path / "images" / "a.png")
    (tmp_path / "notes.json").write_text('{"by": "hand"}')
    labels.write(tmp_path / "annotations.xml", [image], to="cvat")
    said = []
    assert labels.read(tmp_path, said=said) == [image]
    assert "holds the label file annotations.xml, which was read" in said[0].text
    labels.write(tmp_path / "annotations" / "instances.json", [image], to="coco")
    with pytest.raises(
        ValueError, match=r"one label file, .*annotations/instances.json, annotations.xml"
    ):
        labels.read(tmp_path)


def test_how_masks_were_read_is_logged_where_nobody_asks(tmp_path, image, caplog):
    labels.write(tmp_path, [image], to="masks")
    with caplog.at_level("INFO", logger="temzoo"):
        labels.read(tmp_path)
    assert f"{tmp_path}: mask-values: 1 label images, read as numbers of classes" in caplog.text


def test_box_that_bounds_its_own_outline_is_left_out_with_a_warning(tmp_path):
    triangle = Shape("polygon", "p", np.array([[0.0, 5], [10, 10], [10, 0]]), group_id=1)
    own = Shape("box", "p", np.array([[0.0, 0], [10, 10]]), group_id=1)
    beside = Shape("box", "p", np.array([[10.0, 0], [14, 10]]), group_id=1)
    other = Shape("box", "p", np.array([[0.0, 0], [10, 10]]), group_id=2)
    for shapes, kept in (((triangle, own), 1), ((triangle, beside), 2), ((triangle, other), 2)):
        labels.write(tmp_path / "a.xml", [LabelledImage("a.png", 20, 20, shapes)], to="cvat")
        said = []
        (image,) = labels.read(tmp_path / "a.xml", said=said)
        assert len(image.shapes) == kept
        assert [one.code for one in said] == ["box-of-its-outline"] * (kept == 1)
    (one,) = raster.instances(LabelledImage("a.png", 20, 20, (triangle,)))
    assert raster.instance_window(one, 20, 20)[2].sum() == 50


def test_left_out_entries_are_counted_in_the_log(tmp_path, image, caplog):
    labels.write(tmp_path / "c.json", [image], to="coco")
    document = json.loads((tmp_path / "c.json").read_text())
    document["annotations"] += [{"id": 8}, {"id": 9}]
    (tmp_path / "c.json").write_text(json.dumps(document))
    with caplog.at_level("WARNING", logger="temzoo"):
        (back,) = labels.read(tmp_path / "c.json")
    assert len(back.shapes) == 2
    assert "c.json: entry-left-out (2), such as: " in caplog.text
    assert "annotation 8 was left out: image_id" in caplog.text
    assert "`temzoo labels check` lists them" in caplog.text


def test_values_are_for_masks_alone(tmp_path, image):
    labels.write(tmp_path / "a.xml", [image], to="cvat")
    with pytest.raises(ValueError, match=r"pixels of masks mean.*values='classes' for .*a\.xml"):
        labels.read(tmp_path / "a.xml", values="classes")


def test_byte_order_mark_and_space_before_xml(tmp_path):
    text = '<annotations><image name="a" width="2" height="3"/></annotations>'
    (tmp_path / "a.xml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert labels.read(tmp_path / "a.xml") == [LabelledImage("a", 2, 3)]
    (tmp_path / "b.xml").write_text(f"\n {text}")
    assert labels.read(tmp_path / "b.xml") == [LabelledImage("a", 2, 3)]


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"PK\x03\x04zip", r"begins with b'PK.*Unpack it when it is a zip"),
        (b"", "begins with b''"),
        (b"a,b\n1,2", "begins with b'a,b"),
        (b'{"shapes": [], "version": 1}', r"JSON with \['shapes', 'version'\]"),
        (b"[1]", "JSON with a list"),
        (b"{}", r"JSON with \[\]"),
    ],
)
def test_other_files_are_refused_with_what_is_supported(tmp_path, content, received):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(
        ValueError, match=f"labels must be CVAT.*COCO.*VIA.*folder of PNG/TIFF masks.*{received}"
    ):
        labels.read(tmp_path / "labels")


def test_broken_json_and_other_xml_are_refused(tmp_path):
    (tmp_path / "a").write_text('{"images": [')
    with pytest.raises(ValueError, match="a: the file must be complete JSON"):
        labels.read(tmp_path / "a")
    (tmp_path / "b").write_text("<html></html>")
    with pytest.raises(ValueError, match="outermost element of a CVAT file"):
        labels.read(tmp_path / "b")


def test_absent_file_and_unknown_format_are_refused(tmp_path, image):
    with pytest.raises(FileNotFoundError, match=r"must be a label file or folder.*absent"):
        labels.read(tmp_path / "absent")
    for refuse in (
        lambda: labels.write(tmp_path / "o", [image], to="voc"),
        lambda: labels.convert(tmp_path, tmp_path / "o", to="voc"),
    ):
        with pytest.raises(ValueError, match=r"to must be one of \['cvat', 'coco'.*to='voc'"):
            refuse()


def test_summary_names_what_has_no_area(image):
    assert labels.summary([image, image]) == (
        "2 images, 8 shapes: 2 box, 2 polygon, 2 points, 2 tag; without area: 2 points, 2 tag"
    )
    assert labels.summary(iter([LabelledImage("a", 1, 1)])) == "1 image, 0 shapes"
    assert labels.not_areas([image]) == {"points": 1, "tag": 1}


TOUCHING = (
    Shape("box", "a", np.array([[2.0, 2.0], [6.0, 6.0]])),
    Shape("ellipse", "a", np.array([[4.0, 8.0], [2.0, 2.0]]), attributes={"grade": "2"}),
    Shape("box", "b", np.array([[3.0, 12.0], [5.0, 14.0]]), z_order=-1),
    Shape("box", "a", np.array([[3.0, 12.0], [5.0, 14.0]])),
    Shape("box", "b", np.array([[8.0, 0.0], [10.0, 2.0]]), group_id=1),
    Shape("box", "b", np.array([[8.0, 4.0], [10.0, 6.0]]), group_id=1),
)


@pytest.mark.parametrize(
    ("to", "kind", "lost"),
    [
        ("masks", None, ["4 of 5 objects, which touch .* 4 parts are left. --kind ins", "attr"]),
        ("masks", "instances", [r"the 2 classes \(a, b\)", "1 objects without a pixel", "attrib"]),
        ("yolo", None, ["1 outlines became upright boxes: --to yolo-seg", "attributes of 1 sh"]),
        ("yolo-seg", None, ["attributes of 1 shapes"]),
        ("coco", None, []),
        ("labelme", None, ["attributes of 1 shapes"]),
        ("via", None, ["1 objects of several parts became one object a part"]),
        ("via3", None, ["1 objects of several parts", "attributes of 1 shapes"]),
        ("via-csv", None, ["1 objects of several parts became one object a part"]),
        ("datumaro", None, []),
        ("labelstudio", None, ["1 objects of several parts", "attributes of 1 shapes"]),
        ("labelbox", None, ["1 objects of several parts", "attributes of 1 shapes"]),
        ("cvat", None, []),
    ],
)
def test_convert_says_what_the_format_loses(tmp_path, to, kind, lost):
    cvat_writing.write(tmp_path / "in.xml", [LabelledImage("a.png", 20, 10, TOUCHING)])
    words = labels.convert(tmp_path / "in.xml", tmp_path / "out", to=to, kind=kind).splitlines()
    assert len(words) == 1 + len(lost)
    for line, expected in zip(words[1:], lost, strict=True):
        assert re.match(f"lost: (the )?{expected}", line)


@pytest.mark.parametrize("to", ["labelme", "imagej", "qupath", "cellpose", "yolo", "masks"])
def test_labels_in_subfolders_alone_are_of_the_images_there(tmp_path, to):
    if to == "imagej":
        pytest.importorskip("roifile")
    for place, side in (("one", 20), ("two", 30)):
        (tmp_path / "images" / place).mkdir(parents=True)
        Image.fromarray(np.eye(10, side, dtype=np.uint8)).save(
            tmp_path / "images" / place / "a.png"
        )
    written = [
        LabelledImage("one/a.png", 20, 10, TOUCHING[:1], ("a",)),
        LabelledImage("two/a.png", 30, 10, TOUCHING[:2], ("a",)),
    ]
    labels.write(tmp_path / "out", written, to=to)
    back = labels.read(tmp_path / "out", images=tmp_path / "images")
    assert [(one.name, one.width, len(one.shapes)) for one in back] == [
        ("one/a.png", 20, 1),
        ("two/a.png", 30, 1 if to == "masks" else 2),  # which touch
    ]


def test_instances_keep_touching_objects_apart(tmp_path):
    image = LabelledImage("a.png", 20, 10, TOUCHING[:2])
    labels.write(tmp_path, [image], to="masks", kind="instances")
    (back,) = labels.read(tmp_path)
    assert [shape.label for shape in back.shapes] == ["a", "a"]
    assert np.array_equal(raster.instance_map(back), raster.instance_map(image))
    with pytest.raises(ValueError, match=r"pixels of masks are. Received: kind='classes' for 'coc"):
        labels.write(tmp_path / "c.json", [image], to="coco", kind="classes")


@pytest.mark.parametrize("to", ["masks", "cvat", "coco"])
def test_ignored_regions_come_back(tmp_path, to):
    region = Shape("box", "ignore", np.array([[0.0, 15.0], [10.0, 20.0]]))
    image = LabelledImage("a.png", 20, 10, (*TOUCHING[:2], region), ("a",))
    labels.write(tmp_path / "out", [image], to=to)
    (back,) = labels.read(tmp_path / "out")
    assert np.array_equal(raster.ignored_pixels(back), raster.ignored_pixels(image))
    assert np.array_equal(raster.class_map(back, ["a"]), raster.class_map(image, ["a"]))


@pytest.mark.parametrize("to", labels.FORMATS)
def test_an_image_without_objects_comes_back(tmp_path, to):
    if to == "imagej":
        pytest.importorskip("roifile")
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / name)
    written = [LabelledImage(f"{n}.png", 20, 10, TOUCHING[: n == "a"], ("a",)) for n in "ab"]
    labels.write(tmp_path / "out", written, to=to)
    back = labels.read(tmp_path / "out", images=tmp_path)
    assert [(one.name, len(one.shapes)) for one in back] == [("a.png", 1), ("b.png", 0)]


@pytest.mark.parametrize("to", labels.FORMATS)
def test_convert_says_where_ignored_regions_are_lost(tmp_path, to):
    if to == "imagej":
        pytest.importorskip("roifile")
    region = Shape("box", "ignore", np.array([[0.0, 15.0], [10.0, 20.0]]))
    image = LabelledImage("a.png", 20, 10, (TOUCHING[0], region), ("a",))
    cvat_writing.write(tmp_path / "in.xml", [image])
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / "a.png")
    kind = {"kind": "instances"} if to == "masks" else {}
    words = labels.convert(tmp_path / "in.xml", tmp_path / "out", to=to, **kind)
    (back,) = labels.read(tmp_path / "out", images=tmp_path)
    kept = raster.ignored_pixels(back) is not None
    assert kept != ('lost: 1 regions of the label "ignore": they become background' in words)


@pytest.mark.parametrize("to", labels.FORMATS)
def test_convert_says_what_was_left_out(tmp_path, image, to):
    cvat_writing.write(tmp_path / "in.xml", [image])
    words = labels.convert(tmp_path / "in.xml", tmp_path / "out", to=to)
    assert words.startswith("1 image, 4 shapes: 1 box, 1 polygon")
    points_held = ("labelme", "via", "via3", "via-csv", "labelstudio", "labelbox")
    points_held += ("imagej", "qupath")
    some = {"cvat": "", "datumaro": ""} | dict.fromkeys(points_held, "1 tag")
    lost = some.get(to, "1 points, 1 tag")
    assert (f"left out, since {to} cannot hold them: {lost}" in words) == bool(lost)
    assert (tmp_path / "out").exists()


def test_convert_reads_via_with_its_images(tmp_path, image):
    via.write(tmp_path / "v.json", [image])
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / "a.png")
    labels.convert(tmp_path / "v.json", tmp_path / "o.json", to="coco", images=tmp_path)
    assert json.loads((tmp_path / "o.json").read_text())["images"][0]["width"] == 20


def test_yolo_lines_are_centres_and_sizes_in_shares(tmp_path, image):
    empty = LabelledImage("lot/b.tif", 5, 5)
    assert yolo.write(tmp_path, iter([image, empty])) == {"points": 1, "tag": 1}
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert [[float(value) for value in line.split()] for line in lines] == [
        pytest.approx([0, 0.3, 0.4, 0.2, 0.4]),
        pytest.approx([1, 0.6, 0.9, 0.4, 0.2]),
    ]
    assert (tmp_path / "lot" / "b.txt").read_text() == ""
    assert (tmp_path / "classes.txt").read_text() == "a\nb\n"


def test_yolo_refuses_names_that_collide_or_leave_the_folder(tmp_path, image):
    with pytest.raises(ValueError, match=r"classes.txt must be free.*Rename"):
        yolo.write(tmp_path, [LabelledImage("classes.png", 5, 5)])
    with pytest.raises(ValueError, match=r"inside the folder of images.*'/a.png'"):
        yolo.write(tmp_path, [LabelledImage("/a.png", 5, 5)])
    with pytest.raises(ValueError, match=r"one of the classes.*label='b'"):
        yolo.write(tmp_path, [image], classes=["a"])
    assert not list(tmp_path.iterdir())


def test_unknown_attribute_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'voc'"):
        labels.voc  # noqa: B018


def test_import_is_light_and_formats_load_when_used():
    code = (
        "import sys, temzoo.labels as labels; "
        "heavy = ('tensorflow', 'keras', 'imgaug', 'cv2', 'scipy', 'skimage', 'pycocotools', "
        "'tifffile', 'PIL', 'temzoo.labels.cvat'); "
        "print([name for name in heavy if name in sys.modules]); "
        "print(labels.cvat.read.__name__, labels.raster.instance_map.__name__); "
        "[getattr(labels, name) for name in ('coco', 'via', 'masks', 'yolo')]; "
        "print([name for name in heavy[:3] if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[:3] == ["[]", "read instance_map", "[]"]


@pytest.mark.shared
def test_real_labels_of_every_format_are_recognised(shared, tmp_path):
    data = shared / "data"
    assert len(labels.read(data / "loops/coco.json")) == 16
    assert len(labels.read(data / "loops/masks")) == 16
    words = labels.convert(data / "cvat/images.xml", tmp_path / "o.json", to="coco")
    assert "left out, since coco cannot hold them: 1 polyline, 2 skeleton, 1 points" in words
