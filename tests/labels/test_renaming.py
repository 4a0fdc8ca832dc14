"""Classes under other names, and several under one."""

import numpy as np
import pytest

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.renaming import fitting, parsed, renamed
from temzoo.labels.shapes import raster


def box(label, left, **more):
    return Shape("box", label, np.array([[0.0, left], [4.0, left + 4]]), **more)


IMAGE = LabelledImage(
    "a.png",
    40,
    10,
    (box("a", 0, group_id=1), box("a", 5, group_id=1), box("b", 10, group_id=1), box("c", 20)),
    ("a", "b", "c"),
)


def test_a_class_is_renamed_in_shapes_and_declaration():
    (image,) = renamed([IMAGE], {"c": "crack"})
    assert image.classes == ("a", "b", "crack")
    assert [shape.label for shape in image.shapes] == ["a", "a", "b", "crack"]
    assert renamed([IMAGE]) == [IMAGE]


def test_names_can_be_exchanged():
    (image,) = renamed([IMAGE], {"a": "b", "b": "a"})
    assert [shape.label for shape in image.shapes] == ["b", "b", "a", "c"]


def test_merged_classes_are_one_and_their_objects_stay_apart():
    (image,) = renamed([IMAGE], merge={"b": ["a", "b"]})
    assert image.classes == ("b", "c")
    assert [shape.label for shape in image.shapes] == ["b", "b", "b", "c"]
    assert len(raster.instances(image)) == len(raster.instances(IMAGE)) == 3


@pytest.mark.parametrize(
    ("rename", "merge", "message"),
    [
        ({"x": "y"}, {}, r"classes of the labels can be renamed. Received: 'x', known \['a', 'b'"),
        ({"a": "b"}, {}, r"names of their own. Received: two that would be 'b'. Use merge="),
        ({"a": "n", "b": "n"}, {}, r"two that would be 'n'.*--merge A,B=n"),
        ({}, {"c": ["a", "b"]}, r"two that would be 'c'"),
        ({"a": "n"}, {"m": ["a", "b"]}, r"one new name. Received: 'a' twice"),
    ],
)
def test_names_that_are_unknown_or_taken_are_refused(rename, merge, message):
    with pytest.raises(ValueError, match=message):
        renamed([IMAGE], rename, merge)


def test_options_of_the_command_line_are_read():
    assert parsed(["a=b"], ["x, y=z"]) == ({"a": "b"}, {"z": ["x", "y"]})
    assert parsed(None, None) == ({}, {})
    for rename, merge, form in ((["a"], [], "OLD=NEW"), ([], ["=c"], "A,B=NEW")):
        with pytest.raises(ValueError, match=f"must be {form}. Received: "):
            parsed(rename, merge)


def test_conversion_takes_them(tmp_path):
    labels.write(tmp_path / "a.xml", [IMAGE], to="cvat")
    how = {"rename": {"c": "crack"}, "merge": {"p": ["a", "b"]}}
    labels.convert(tmp_path / "a.xml", tmp_path / "b.xml", to="cvat", **how)
    assert labels.read(tmp_path / "b.xml")[0].classes == ("p", "crack")


def test_names_that_were_for_other_labels_hold_as_far_as_they_fit():
    assert fitting([IMAGE], {"c": "crack", "gone": "x"}, {}) == ({"c": "crack"}, {})
    assert fitting([IMAGE], {"a": "b", "b": "a"}, {}) == ({"a": "b", "b": "a"}, {})
    assert fitting([IMAGE], {"a": "c"}, {}) == ({}, {})
    assert fitting([IMAGE], {}, {"d": ["a", "gone"], "e": ["gone"]}) == ({}, {"d": ["a"]})
    assert fitting([IMAGE], {}, {"b": ["a", "gone"]}) == ({}, {"b": ["a", "b"]})
