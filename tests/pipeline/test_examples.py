"""Label files and folders of images become examples; what does not fit is named."""

import pickle

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.examples import class_names, load_dataset
from temzoo.data.splits import read_groups, read_names, split_by_names
from temzoo.labels.formats import cvat_writing
from temzoo.labels.shapes.raster import instances

BOX = np.array([[2.0, 3.0], [10.0, 20.0]])
HEIGHT, WIDTH = 24, 32


def box(label: str = "particle") -> Shape:
    return Shape("box", label, BOX)


def entry(name: str, *shapes: Shape, classes: tuple[str, ...] = ("particle",)) -> LabelledImage:
    return LabelledImage(name, WIDTH, HEIGHT, shapes, classes)


@pytest.fixture
def folder(tmp_path):
    """Three images, one below a folder, and a place for a label file."""
    images = tmp_path / "images"
    (images / "lot").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.tif", "lot/c.png"]):
        pixels = np.full((HEIGHT, WIDTH), number, np.uint8)
        if name.endswith("tif"):
            tifffile.imwrite(images / name, pixels)
        else:
            cv2.imwrite(str(images / name), pixels)
    return tmp_path


def load(folder, *entries: LabelledImage, **options) -> list[Example]:
    cvat_writing.write(folder / "labels.xml", entries)
    return load_dataset(images=folder / "images", labels=folder / "labels.xml", **options)


def test_examples_have_labels_in_file_order_and_pixels_on_demand(folder):
    examples = load(folder, entry("lot/c.png", box()), entry("a.png", box(), box()))
    assert [e.name for e in examples] == ["lot/c.png", "a.png"]
    assert [len(e.labels.shapes) for e in examples] == [1, 2]
    assert [int(e.micrograph.pixels[0, 0]) for e in examples] == [2, 0]
    assert examples[0].group == ""


def test_images_are_found_by_their_last_part_or_without_suffix(folder):
    examples = load(folder, entry("task_7/a.png", box()), entry("b.jpg", box()), entry("c", box()))
    assert [int(e.micrograph.pixels[0, 0]) for e in examples] == [0, 1, 2]


def test_microscope_file_gives_way_to_its_export_and_is_read_alone(folder):
    for name in ("b.mrc", "lone.mrc"):
        with mrcfile.new(folder / "images" / name) as file:
            file.set_data(np.full((24, 32), 7, np.int16))
            file.voxel_size = 5  # angstrom
    examples = load(folder, entry("b.png", box()))
    assert int(examples[0].micrograph.pixels[0, 0]) == 1
    lone = load(folder, entry("lone", box()))[0].micrograph
    assert (lone.pixels == 7).all()
    assert lone.nm_per_pixel == (0.5, 0.5)


def test_image_without_a_label_entry_is_left_out_and_one_without_shapes_is_background(folder):
    examples = load(folder, entry("a.png"), entry("b.tif", box()), entry("gone.png"))
    assert [(e.name, len(e.labels.shapes)) for e in examples] == [("a.png", 0), ("b.tif", 1)]


def test_missing_images_are_counted_and_the_first_are_named(folder):
    gone = [entry(f"gone_{k}.png", box()) for k in range(8)]
    text = r"8 of 9 not in .*images \(which has 3 images\): gone_0.png, .*gone_4.png and 3 more. Pa"
    with pytest.raises(FileNotFoundError, match=text):
        load(folder, entry("a.png", box()), *gone)


def test_image_of_another_size_is_refused_with_both_sizes(folder):
    wrong = LabelledImage("a.png", 99, 24, (box(),), ("particle",))
    with pytest.raises(ValueError, match=r"'a.png' is labelled at 99 x 24 px. .*a.png, 32 x 24 px"):
        load(folder, wrong)


def test_name_that_climbs_out_of_the_folder_is_refused(folder):
    (folder / "secret.png").write_bytes((folder / "images/a.png").read_bytes())
    with pytest.raises(ValueError, match=r"secret.png"):
        load(folder, entry("../secret.png", box()))


def test_two_entries_of_one_file_are_refused(folder):
    with pytest.raises(ValueError, match=r"labelled once. Received: 'a.png' and 'x/a.png'"):
        load(folder, entry("a.png", box()), entry("x/a.png", box()))


def test_name_that_may_be_two_files_is_refused(folder):
    cv2.imwrite(str(folder / "images/a.bmp"), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(
        ValueError, match=r"lead to one image. Received: 'a', which may be a.bmp, a"
    ):
        load(folder, entry("a", box()))


def test_label_file_without_images_is_refused(folder):
    with pytest.raises(ValueError, match=r"labels.xml"):
        load(folder)


def test_calibration_by_hand_reaches_the_micrograph(folder):
    assert load(folder, entry("a.png", box()), nm_per_pixel=0.5)[0].micrograph.nm_per_pixel == (
        0.5,
        0.5,
    )


def test_groups_come_from_a_mapping_or_a_file(folder):
    entries = [entry("a.png", box()), entry("b.tif", box())]
    (folder / "groups.csv").write_text("name,doi\na,one\nb,two\n")
    for groups in ({"a": "one", "b": "two"}, folder / "groups.csv"):
        assert [e.group for e in load(folder, *entries, groups=groups)] == ["one", "two"]


def test_image_without_a_group_is_refused(folder):
    with pytest.raises(ValueError, match=r"groups: every image needs one group. Received: 1 of 2"):
        load(folder, entry("a.png", box()), entry("b.tif", box()), groups={"a": "one"})


def test_classes_are_set_checked_and_ignored(folder):
    entries = entry("a.png", box("void"), box("particle"), classes=("particle", "void"))
    examples = load(folder, entries, classes=["background", "void", "particle"])
    assert examples[0].labels.classes == ("void", "particle")
    assert class_names(examples) == ("void", "particle")
    with pytest.raises(
        ValueError, match=r"Received: 'void' in image 'a.png', classes=\['part.*ign"
    ):
        load(folder, entries, classes=["particle"])
    only = load(folder, entries, classes=["particle"], ignore=["void"])
    assert [shape.label for shape in only[0].labels.shapes] == ["particle"]


def test_loader_can_be_sent_to_another_process(folder):
    example = load(folder, entry("b.tif", box()))[0]
    assert pickle.loads(pickle.dumps(example.load))().name == "b.tif"


def test_mask_folder_matches_images_by_name_without_suffix(folder):
    (folder / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:10, 5:12] = 255
    cv2.imwrite(str(folder / "masks/b.png"), mask)
    examples = load_dataset(images=folder / "images", labels=folder / "masks")
    assert len(examples) == 1
    assert int(examples[0].micrograph.pixels[0, 0]) == 1


def labelled(*shapes: Shape, classes: tuple[str, ...] = ()) -> Example:
    return Example(
        LabelledImage("a", WIDTH, HEIGHT, shapes, classes), lambda: Micrograph(np.zeros((2, 2)))
    )


def test_class_names_keep_the_declared_order_and_leave_out_what_has_no_area():
    line = Shape("polyline", "scale bar", BOX)
    examples = [
        labelled(box("void"), line, classes=("particle", "void", "scale bar", "unused")),
        labelled(box("particle"), box("twin"), box("grain"), box("background")),
    ]
    assert class_names(examples) == ("particle", "void", "grain", "twin")
    assert class_names([]) == ()


@pytest.mark.shared
def test_emps_loads_without_decoding_and_splits_by_its_lists(shared):
    emps = shared / "data" / "emps"
    examples = load_dataset(
        images=emps / "images", labels=emps / "annotations.xml", groups=emps / "groups.csv"
    )
    assert len(examples) == 366
    assert sum(len(instances(e.labels)) for e in examples) == 8927
    assert class_names(examples) == ("particle",)
    train, val = split_by_names(
        examples, read_names(emps / "train.csv"), read_names(emps / "val.csv")
    )
    assert (len(train), len(val)) == (293, 73)
    groups = read_groups(emps / "groups.csv")
    assert all(groups[e.name.removesuffix(".png")] == e.group for e in examples)
    assert examples[0].micrograph.pixels.shape[:2] == (512, 680)


@pytest.mark.shared
@pytest.mark.parametrize(("part", "count"), [("train", 10), ("val", 4)])
def test_super1_folders_load_with_two_classes(shared, part, count):
    folder = shared / "data" / "super1" / part
    examples = load_dataset(images=folder / "images", labels=folder / "labels")
    assert len(examples) == count
    assert len(class_names(examples)) == 2
    assert examples[0].micrograph.pixels.shape[:2] == (512, 512)


@pytest.mark.shared
def test_loops_load_from_coco_and_from_masks(shared):
    folder = shared / "data" / "loops"
    examples = load_dataset(images=folder / "images", labels=folder / "coco.json")
    assert len(examples) == 16
    assert sum(len(e.labels.shapes) for e in examples) == 186


def test_labels_are_read_like_those_of_a_run_as_far_as_they_fit(folder):
    (folder / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:6, 2:6], mask[2:6, 10:14], mask[10:14, 2:6] = 1, 2, 2
    cv2.imwrite(str(folder / "masks" / "a.png"), mask)
    where = {"images": folder / "images", "labels": folder / "masks"}
    run = {"labels": {"values": "classes", "rename": {"1": "void"}, "merge": {}}}
    (found,) = load_dataset(**where, like=run)
    assert class_names([found]) == ("void", "2")
    assert found.reading == run["labels"]
    (stated,) = load_dataset(**where, like=run, values="instances", rename={"1": "p"})
    assert (class_names([stated]), len(stated.labels.shapes)) == (("p",), 2)
    cvat_writing.write(folder / "a.xml", [entry("a.png", box("void"), classes=("void",))])
    (other,) = load_dataset(images=folder / "images", labels=folder / "a.xml", like=run)
    assert class_names([other]) == ("void",)
    assert load_dataset(**where, like={"model": "unet"})[0].reading["values"] == "auto"
    for bad in (3, {"values": 1}, {"rename": []}):
        with pytest.raises(ValueError, match=r"labels of a run's run.json must say how"):
            load_dataset(**where, like={"labels": bad})
