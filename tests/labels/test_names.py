"""Image names from label files, as paths that stay inside their folder."""

import numpy as np
import pytest

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.names import (
    NameIndex,
    class_names,
    label_paths,
    name_keys,
    safe_name,
    safe_path,
)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.png", "a.png"),
        ("lot3/a b [1] ü.png", "lot3/a b [1] ü.png"),
        ("lot3\\a.png", "lot3/a.png"),
        ("./a.png", "a.png"),
        ("a..png", "a..png"),
        ("frame_000123", "frame_000123"),
    ],
)
def test_harmless_names_are_kept(name, path, tmp_path):
    assert str(safe_name(name)) == path
    assert safe_path(tmp_path, name) == tmp_path.resolve() / path


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "lot3/../../a.png",
        "lot3\\..\\a.png",
        "/etc/passwd",
        "\\\\server\\a.png",
        "C:\\a.png",
        "c:a.png",
        "",
        ".",
        "a\x00.png",
        "a\nb.png",
    ],
)
def test_names_that_leave_the_folder_are_refused(name, tmp_path):
    for refuse in (safe_name, lambda name: safe_path(tmp_path, name)):
        with pytest.raises(ValueError, match=r"inside the folder of images.*name=.*Rename"):
            refuse(name)


def test_link_out_of_the_folder_is_refused(tmp_path):
    inside = tmp_path / "images"
    inside.mkdir()
    (tmp_path / "secret.png").touch()
    (inside / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"must lie inside its folder.*'a.png'.*secret.png"):
        safe_path(inside, "a.png")


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert safe_path(tmp_path / "link", "a.png") == (tmp_path / "real" / "a.png").resolve()


def test_label_paths_replace_suffixes_but_keep_numbers(tmp_path):
    names = ["a.tif", "lot/b.dm3", "frame_000012", "frame.0012", "c.v-2"]
    paths = label_paths(tmp_path, names, ".png")
    assert [path.relative_to(tmp_path.resolve()).as_posix() for path in paths] == [
        "a.png",
        "lot/b.png",
        "frame_000012.png",
        "frame.0012.png",
        "c.v-2.png",
    ]


def test_label_paths_that_meet_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"file of its own. Received: 'a.tif' and 'a.png', both"):
        label_paths(tmp_path, ["a.tif", "a.png"], ".txt")


def test_names_in_two_folders_are_two_images_unless_any_folder_will_do():
    index = NameIndex(["x/a.png", "y/a.png", "z/b.png"])
    assert index.find("y/a") == "y/a.png"
    assert index.find("x\\a.png") == "x/a.png"
    assert index.matches("z/a.png") == []
    assert index.matches("z/a.png", any_folder=True) == ["x/a.png", "y/a.png"]
    assert index.matches("w/b.jpg", any_folder=True) == ["z/b.png"]


def test_longest_end_of_a_path_decides():
    index = NameIndex(["b.png", "lot4/b.png", "old/lot4/b.png"])
    assert index.matches("/data/lot4/b.png") == ["lot4/b.png"]
    assert index.matches("b.png") == ["b.png"]
    assert NameIndex(["x/lot4/b.png", "lot3/b.png"]).matches("lot4/b", any_folder=True) == [
        "x/lot4/b.png"
    ]


def test_name_of_another_frame_is_no_name_without_suffix():
    index = NameIndex(["frame.0012", "scan.png"])
    assert index.matches("frame.0013") == []
    assert index.matches("frame.0012.png") == ["frame.0012"]


def test_name_keys_go_from_exact_to_bare_and_survive_odd_names():
    assert name_keys("lot3/a.b.png") == ("lot3/a.b.png", "lot3/a.b", "a.b.png", "a.b")
    for odd in ("", ".", "..", "/", "a.png[0:4,0:4]"):
        assert name_keys(odd)


def test_class_names_are_the_declared_ones_then_the_used_ones():
    tag = Shape("tag", "used", np.zeros((0, 2)))
    images = [LabelledImage("a", 1, 1, (tag,), ("b", "c")), LabelledImage("b", 1, 1, (), ("a",))]
    assert class_names(images) == ["b", "c", "a", "used"]
    assert class_names([]) == []
