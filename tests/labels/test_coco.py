"""COCO JSON: read, written, and checked against pycocotools."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from scipy import ndimage

import temzoo
from temzoo import labels
from temzoo.core.files import read_json
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import coco, geometry
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import decode_runs, mask_geometry

TRIANGLE = [1.0, 2.0, 6.5, 2.0, 1.0, 7.0]


def document(*annotations, **changes):
    image = {"id": 5, "file_name": "a.png", "width": 9, "height": 8}
    categories = [{"id": 7, "name": "void"}, {"id": 3, "name": "particle"}]
    entries = [
        {"id": number, "image_id": 5, "category_id": 3, **annotation}
        for number, annotation in enumerate(annotations, start=1)
    ]
    return {"images": [image], "annotations": entries, "categories": categories, **changes}


def read(path, **options):
    return coco.parse(read_json(path), path, **options)


@pytest.fixture
def read_document(tmp_path):
    def read_written(content):
        path = tmp_path / "coco.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read(path)

    return read_written


def shapes_of(read_document, *annotations):
    (image,) = read_document(document(*annotations))
    return image.shapes


def test_polygon_x_y_becomes_row_col_and_classes_follow_their_ids(read_document):
    (image,) = read_document(document({"segmentation": [TRIANGLE], "iscrowd": 0}))
    assert (image.name, image.width, image.height) == ("a.png", 9, 8)
    assert image.classes == ("particle", "void")
    (shape,) = image.shapes
    assert (shape.kind, shape.label, shape.group_id) == ("polygon", "particle", 0)
    assert shape.points.tolist() == [[2, 1], [2, 6.5], [7, 1]]


def test_parts_of_an_annotation_share_a_group(read_document):
    parts = {"segmentation": [TRIANGLE, TRIANGLE]}
    shapes = shapes_of(read_document, parts, {"segmentation": [TRIANGLE]}, parts)
    assert [shape.group_id for shape in shapes] == [1, 1, 0, 2, 2]


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_go_down_the_columns(read_document, compressed):
    mask = np.zeros((8, 9), dtype=bool)
    mask[2:5, 3:7] = True
    mask[4, 3] = False
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts = encoded["counts"].decode() if compressed else [26, 2, 6, 3, 5, 3, 5, 3, 19]
    segmentation = {"size": [8, 9], "counts": counts}
    (shape,) = shapes_of(read_document, {"segmentation": segmentation, "iscrowd": 1})
    assert shape.kind == "mask"
    assert dict(shape.attributes) == {"iscrowd": "1"}
    assert shape.points.tolist() == [[2, 3], [5, 7]]
    assert np.array_equal(decode_runs(shape.runs, 3, 4), mask[2:5, 3:7])


@pytest.mark.parametrize("seed", range(30))
def test_decompression_agrees_with_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 90, 2)) < rng.random() ** 3
    counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    assert np.array_equal(decode_runs(geometry.decompress(counts), *mask.T.shape).T, mask)


def test_without_segmentation_the_box_counts(read_document):
    shapes = shapes_of(
        read_document, {"bbox": [1, 2, 3, 4]}, {"bbox": [0, 0, 1, 1], "segmentation": []}
    )
    assert [shape.kind for shape in shapes] == ["box", "box"]
    assert shapes[0].points.tolist() == [[2, 1], [6, 4]]


def test_attributes_and_occlusion_are_kept(read_document):
    (shape,) = shapes_of(
        read_document, {"bbox": [1, 2, 3, 4], "attributes": {"occluded": True, "size": 3}}
    )
    assert shape.occluded
    assert dict(shape.attributes) == {"size": "3"}


BAD_ANNOTATIONS = {
    "crossed": ({"segmentation": [[1, 2, 3, 4, 5]]}, "3 vertices. Received: 5 numbers"),
    "word": ({"segmentation": [[1, 2, 3, 4, 5, "x"]]}, "segmentation must be a list of numbers"),
    "nested": ({"segmentation": [[[1, [2]], [3, 4], [5, 6]]]}, "must be a list of numbers"),
    "huge number": ({"bbox": [0, 0, 10**400, 1]}, r"bbox must be a list.*0… \(\d+ characters\)"),
    "empty": ({"segmentation": [[]]}, "3 vertices. Received: 0 numbers"),
    "nan": ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "must be finite.*nan"),
    "text": ({"segmentation": "x"}, "list of polygons or run lengths. Received: str"),
    "nothing": ({}, "bbox must be a list of 4 numbers. Received: bbox=None"),
    "size": ({"segmentation": {"size": [9, 8], "counts": [72]}}, r"\[height, width\].*\[8, 9\]"),
    "no size": ({"segmentation": {"size": True, "counts": [72]}}, "size=True, image"),
    "sum": ({"segmentation": {"size": [8, 9], "counts": [71]}}, "must sum to height x width"),
    "half": ({"segmentation": {"size": [8, 9], "counts": [0.5, 71.5]}}, "counts must be whole"),
    "no counts": ({"segmentation": {"size": [8, 9]}}, "counts must be a list of numbers"),
    "string": ({"segmentation": {"size": [8, 9], "counts": "0"}}, "must sum to height x width"),
    "cut": ({"segmentation": {"size": [8, 9], "counts": "X"}}, "compressed run-length.*'X'"),
    "letters": ({"segmentation": {"size": [8, 9], "counts": "ÿ~"}}, "compressed run-length"),
    "endless": ({"segmentation": {"size": [8, 9], "counts": "o" * 99}}, r"\(99 characters\)"),
    "huge": ({"segmentation": {"size": [8, 9], "counts": "PPPPPPPPPPP1"}}, "compressed run-l"),
    "image": ({"image_id": 6, "bbox": [0, 0, 1, 1]}, r"image_id=6, known \[5\]"),
    "category": ({"category_id": 1, "bbox": [0, 0, 1, 1]}, r"category_id=1, known \[3, 7\]"),
    "notes": ({"bbox": [0, 0, 1, 1], "attributes": [1]}, "attributes must be an object"),
}


@pytest.mark.parametrize("case", BAD_ANNOTATIONS)
def test_malformed_annotation_is_named(read_document, case):
    annotation, message = BAD_ANNOTATIONS[case]
    content = document({"bbox": [0, 0, 1, 1]}, annotation)
    with pytest.raises(ValueError, match=f"coco.json, annotation 2[:,].*{message}"):
        read_document(content)


@pytest.mark.parametrize("case", BAD_ANNOTATIONS)
def test_malformed_annotation_is_left_out_where_there_is_a_list_for_it(tmp_path, case):
    annotation, message = BAD_ANNOTATIONS[case]
    content, said = document({"bbox": [0, 0, 1, 1]}, annotation), []
    (image,) = coco.parse(content, tmp_path / "coco.json", said=said)
    assert [shape.kind for shape in image.shapes] == ["box"]
    (finding,) = said
    assert (finding.level, finding.code) == ("error", "entry-left-out")
    assert re.search(f"coco.json, annotation 2.* was left out: .*{message}", finding.text)


def test_outline_that_cannot_be_read_is_left_out_alone(tmp_path):
    said = []
    content = document({"segmentation": [TRIANGLE, [1, 2, 3, 4], TRIANGLE]})
    (image,) = coco.parse(content, tmp_path / "c.json", said=said)
    assert [shape.group_id for shape in image.shapes] == [1, 1]
    assert "annotation 1, outline 2 was left out" in said[0].text
    assert said[0].image == "a.png"


@pytest.mark.parametrize("segmentation", [[[[1, 2], [6.5, 2], [1, 7]]], [[1, 2], [6.5, 2], [1, 7]]])
def test_vertices_may_be_pairs(read_document, segmentation):
    (shape,) = shapes_of(read_document, {"segmentation": segmentation})
    assert shape.points.tolist() == [[2, 1], [2, 6.5], [7, 1]]


def test_ids_may_be_texts_or_floats_and_those_of_annotations_absent(read_document):
    first = {"image_id": 5.0, "category_id": 3.0, "bbox": [0, 0, 1, 1]}
    second = {"image_id": "x7", "category_id": "3", "bbox": [0, 0, 2, 2]}
    entries = [image_entry(id="5"), image_entry(id="x7", file_name="b")]
    images = read_document(document(images=entries, annotations=[first, second]))
    assert [(one.name, len(one.shapes)) for one in images] == [("a", 1), ("b", 1)]
    assert images[0].classes == ("particle", "void")


def test_ids_of_two_images_leave_both_and_their_annotations_out(tmp_path):
    entries = [image_entry(), image_entry(file_name="b"), image_entry(id=5, file_name="c")]
    of_either = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}
    content, said = document(images=entries, annotations=[of_either]), []
    (image,) = coco.parse(content, tmp_path / "c.json", said=said)
    assert (image.name, image.shapes) == ("c", ())
    assert "image 1 was left out: ids must be unique" in said[0].text
    assert "annotation 1 was left out: image_id" in said[1].text


def test_absent_sizes_are_read_from_the_images(tmp_path):
    entry = {"id": 5, "file_name": "a.png"}
    content = document({"bbox": [0, 0, 1, 1]}, images=[entry])
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"image 5: the labels state no size of image 'a.png'"):
        read(tmp_path / "c.json")
    with pytest.raises(ValueError, match=r"name='a.png', which is not in .*Pass the folder"):
        read(tmp_path / "c.json", images=tmp_path)
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "a.png")
    (image,) = read(tmp_path / "c.json", images=tmp_path)
    assert (image.height, image.width, len(image.shapes)) == (8, 9, 1)


def image_entry(**changes):
    return {"id": 1, "file_name": "a", "width": 2, "height": 2, **changes}


BAD_DOCUMENTS = {
    "half": ('{"images": [', "must be complete JSON"),
    "deep": ("[" * 100_000, "must be complete JSON.*recursion"),
    "list": ([], "'images' and 'annotations'. Received: list"),
    "other": ({"shapes": []}, r"'images' and 'annotations'. Received: \['shapes'\]"),
    "categories": (document(categories={}), "'categories' must be a list. Received: dict"),
    "twice": (
        document(images=[image_entry(), image_entry(file_name="b")]),
        "image 1: ids must be unique",
    ),
    "float id": (document(images=[image_entry(id=1.5)]), "image 1.5: id must be a whole number"),
    "bool id": (document(images=[image_entry(id=True)]), "image True: id must be a whole number"),
    "no id": (document(images=[{}]), "image at position 0: id must be a whole number"),
    "name": (document(images=[image_entry(file_name=3)]), "file_name must be a text.*file_name=3"),
    "size": (document(images=[image_entry(width=0)]), "image 1: width and height must be at least"),
    "no object": (
        document(annotations=[3]),
        "annotation at position 0: an entry must be an object",
    ),
}


@pytest.mark.parametrize("case", BAD_DOCUMENTS)
def test_malformed_document_is_refused(read_document, case):
    content, message = BAD_DOCUMENTS[case]
    with pytest.raises(ValueError, match=f"coco.json.*{message}"):
        read_document(content)


def drawn_image(seed=0):
    rng = np.random.default_rng(seed)
    blob = ndimage.gaussian_filter(rng.random((60, 70)), 3) > 0.5
    points, runs = mask_geometry(blob[10:40, 20:60], 10, 20)
    star = np.array([[5.0, 5.0], [5.0, 25.5], [14.25, 12.0], [30.0, 40.0], [33.0, 8.0]])
    shapes = (
        Shape("polygon", "b", star, z_order=1, occluded=True, attributes={"grade": "2"}),
        Shape("box", "a", np.array([[20.0, 30.0], [44.0, 50.0]]), rotation=25),
        Shape("ellipse", "a", np.array([[40.0, 35.0], [9.0, 22.0]]), rotation=-70),
        Shape("mask", "b", points, runs=runs, attributes={"iscrowd": "1"}),
        Shape("box", "b", np.array([[0.0, 0.0], [4.0, 4.0]]), group_id=4),
        Shape("polyline", "b", star, group_id=4),
        Shape("box", "b", np.array([[50.0, 60.0], [75.0, 80.0]]), group_id=4),
        Shape("mask", "a", points, runs=runs, group_id=4),
        Shape("box", "a", np.array([[0.0, 50.0], [9.0, 58.0]]), group_id=4),
        Shape("polygon", "a", star[:2]),
    )
    return LabelledImage("ü/a.png", 70, 60, shapes, ("b",))


def test_what_was_written_covers_the_same_pixels_in_the_same_order(tmp_path):
    image = drawn_image()
    left_out = coco.write(tmp_path / "o.json", iter([image]))
    assert left_out == {"polyline": 1, "polygon": 1}
    (back,) = read(tmp_path / "o.json")
    assert (back.name, back.width, back.height, back.classes) == ("ü/a.png", 70, 60, ("b", "a"))
    before, after = raster.class_map(image, ("a", "b")), raster.class_map(back, ("a", "b"))
    assert np.mean(before != after) < 0.001
    objects = raster.instance_masks(LabelledImage("", 70, 60, image.shapes[:-1]))
    assert sorted(objects.sum((1, 2))) == pytest.approx(
        sorted(raster.instance_masks(back).sum((1, 2))), abs=2
    )
    polygon = next(shape for shape in back.shapes if "grade" in shape.attributes)
    assert polygon.occluded
    assert polygon.points.tolist() == image.shapes[0].points.tolist()
    assert [s.kind for s in back.shapes if s.attributes.get("iscrowd")] == ["mask"]


# pycocotools 2.0.11 decodes with an array protocol that NumPy 2 is about to drop.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_what_was_written(tmp_path):
    image = drawn_image(1)
    coco.write(tmp_path / "o.json", [image])
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCO(tmp_path / "o.json")
    (back,) = read(tmp_path / "o.json")
    masks = raster.instance_masks(back)
    annotations = judge.loadAnns(judge.getAnnIds())
    assert len(annotations) == len(masks) == 6
    for annotation, mask in zip(annotations, masks, strict=True):
        theirs = judge.annToMask(annotation).astype(bool)
        border = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
        assert not (theirs ^ mask)[~border].any()
        # The pixels of what lies in the image; the file's area counts what lies outside, too.
        if annotation["bbox"][0] + annotation["bbox"][2] <= 70:
            assert annotation["area"] == pytest.approx(mask.sum(), rel=0.06)


def test_second_round_trip_changes_nothing(tmp_path):
    coco.write(tmp_path / "a.json", [drawn_image()])
    once = read(tmp_path / "a.json")
    coco.write(tmp_path / "b.json", once)
    assert read(tmp_path / "b.json") == once


def test_label_outside_the_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of the classes. Received: label='.' in image 'ü/a"):
        coco.write(tmp_path / "o.json", [drawn_image()], classes=["b"])
    assert not list(tmp_path.iterdir())


def depth(mask):
    """Distance of each pixel to the outside of a mask; the outside of the image counts as one."""
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def annotated(mask, drawn):
    """The parts of a mask that an annotation touches: two small ones have none."""
    parts, _ = ndimage.label(mask)
    return np.isin(parts, np.unique(parts[drawn & mask]))


@pytest.mark.shared
def test_real_loops_agree_with_their_masks(shared, tmp_path):
    images = read(shared / "data/loops/coco.json")
    assert len(images) == 16
    assert sum(len(image.shapes) for image in images) == 186
    assert images[0].classes == ("hcloop",)
    for image in images:
        mask = np.asarray(Image.open(shared / "data/loops/masks" / image.name)) > 0
        drawn = raster.class_map(image, image.classes) > 0
        # The file's vertices are the outermost pixels' indices, simplified: half a pixel inside
        # the masks all round, and nowhere three pixels away from their border.
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.88
        assert depth(mask)[~drawn & annotated(mask, drawn)].max() < 3
        assert depth(~mask)[drawn].max(initial=0) < 3
    assert coco.write(tmp_path / "o.json", images) == {}
    assert read(tmp_path / "o.json") == images


def roboflow(name, *, used=1):
    """Of one image; the first category is no class, but what the project calls all of them."""
    image = {"id": 0, "license": 1, "file_name": name, "width": 9, "height": 8}
    categories = [
        {"id": 0, "name": "particles", "supercategory": "none"},
        {"id": 1, "name": "rod", "supercategory": "particles"},
        {"id": 2, "name": "disc", "supercategory": "particles"},
    ]
    entry = {"id": 0, "image_id": 0, "category_id": used, "bbox": [1, 2, 3, 4], "segmentation": []}
    return {"info": {}, "images": [image], "annotations": [entry], "categories": categories}


def test_category_above_all_others_is_a_class_only_where_it_is_used(read_document):
    assert read_document(roboflow("a.jpg"))[0].classes == ("rod", "disc")
    assert read_document(roboflow("a.jpg", used=0))[0].classes == ("particles", "rod", "disc")
    same = roboflow("a.jpg")
    same["categories"] = [
        {"id": 0, "name": "p", "supercategory": "none"},
        {"id": 1, "name": "p", "supercategory": "p"},
    ]
    assert read_document(same)[0].classes == ("p",)
    plain = roboflow("a.jpg", used=2)
    plain["categories"] = [{"id": k, "name": str(k), "supercategory": "none"} for k in range(3)]
    assert read_document(plain)[0].classes == ("0", "1", "2")


def test_roboflow_folders_are_read_together_and_matched_with_their_images(tmp_path):
    for part in ("train", "valid"):
        (tmp_path / part).mkdir()
        name = f"{part}1_png.rf.0a1b2c.jpg"
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / part / name)
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(roboflow(name)))
    first, second = labels.read(tmp_path)
    assert (first.name, first.subset) == ("train/train1_png.rf.0a1b2c.jpg", "train")
    assert (second.subset, second.classes) == ("valid", ("rod", "disc"))
    examples = temzoo.load_dataset(images=tmp_path, labels=tmp_path)
    assert [example.micrograph.height for example in examples] == [8, 8]
    (alone,) = labels.read(tmp_path / "train")
    assert alone.name == "train1_png.rf.0a1b2c.jpg"
    (tmp_path / "valid" / "_annotations.coco.json").write_text("{")
    said = []
    assert len(labels.read(tmp_path, said=said)) == 1
    assert "valid/_annotations.coco.json was left out: " in said[0].text
