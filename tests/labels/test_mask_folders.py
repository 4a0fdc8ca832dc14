"""Folders of label images: told apart, read, written and refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import masks
from temzoo.labels.shapes import raster

# Two parts of class 1 (one held together by a corner), one of class 2.
CLASSES = np.array([[1, 1, 0, 0, 2], [0, 0, 1, 0, 2], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], np.uint8)


def save(folder, **images):
    folder.mkdir(exist_ok=True)
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def pixels_of(image):
    return [mask.tolist() for mask in raster.instance_masks(image)]


def test_class_numbers_give_a_shape_for_each_connected_part(tmp_path):
    (image,) = masks.read(save(tmp_path, a=CLASSES))
    assert (image.name, image.width, image.height) == ("a.png", 5, 4)
    assert image.classes == ("1", "2")
    assert [shape.label for shape in image.shapes] == ["1", "1", "2"]
    assert {(shape.kind, shape.source) for shape in image.shapes} == {("mask", "file")}
    assert np.array_equal(raster.class_map(image, image.classes), CLASSES)
    assert [np.sum(mask) for mask in raster.instance_masks(image)] == [3, 1, 2]


def test_ground_that_has_a_number_is_noticed_and_can_be_named(tmp_path):
    # ilastik's "Simple Segmentation" counts its labels from 1 on, the ground's too.
    ground = np.where(CLASSES == 1, 1, 2).astype(np.uint8)
    said = []
    (image,) = masks.read(save(tmp_path, a=ground), said=said)
    assert image.classes == ("1", "2")
    assert said[0].level == "warning"
    assert "no pixel is 0, the background, and 2 stands on 80% of them" in said[0].text
    assert "call it 'background' in classes.txt" in said[0].text
    (tmp_path / "classes.txt").write_text("particle\nbackground\n")
    said = []
    (image,) = masks.read(tmp_path, said=said)
    assert image.classes == ("particle",)
    assert np.array_equal(raster.class_map(image, image.classes), CLASSES == 1)
    assert [one.level for one in said] == ["info"]


def test_instance_numbers_give_a_shape_each_whatever_they_are(tmp_path):
    pixels = np.array([[7, 7, 0, 40000], [0, 0, 0, 7]], np.uint16)
    (image,) = masks.read(save(tmp_path, a=pixels))
    assert [shape.label for shape in image.shapes] == ["1", "1"]
    assert pixels_of(image) == [(pixels == 7).tolist(), (pixels == 40000).tolist()]


def test_instances_without_background(tmp_path):
    (image,) = masks.read(save(tmp_path, a=np.array([[3, 5]], np.uint16)))
    assert pixels_of(image) == [[[True, False]], [[False, True]]]


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_two_values_are_binary(tmp_path, value, dtype):
    pixels = (CLASSES > 0).astype(dtype) * value
    (image,) = masks.read(save(tmp_path, a=pixels), classes=["particle"])
    assert [shape.label for shape in image.shapes] == ["particle"] * 3


def test_auto_looks_at_all_files(tmp_path):
    one = np.array([[0, 1], [0, 1]], np.uint8)
    first, second = masks.read(save(tmp_path, a=one, b=one * 2))
    assert [shape.label for shape in first.shapes + second.shapes] == ["1", "2"]


def test_many_values_of_8_bits_are_instances(tmp_path):
    pixels = np.kron(np.arange(40).reshape(4, 10), np.ones((3, 3))).astype(np.uint8)
    (image,) = masks.read(save(tmp_path, a=pixels))
    assert image.classes == ("1",)
    assert len(image.shapes) == 39


def test_values_can_be_stated(tmp_path):
    folder = save(tmp_path, a=CLASSES)
    (instances,) = masks.read(folder, values="instances", classes=["x"])
    (binary,) = masks.read(folder, values="binary")
    assert [shape.label for shape in instances.shapes] == ["x", "x"]
    assert [shape.label for shape in binary.shapes] == ["1"] * 3
    (wide,) = masks.read(save(tmp_path, a=CLASSES.astype(np.uint16)), values="classes")
    assert wide.classes == ("1", "2")


def test_class_names_fit_numbers_or_their_order(tmp_path):
    folder = save(tmp_path, a=CLASSES * 100)
    assert masks.read(folder)[0].classes == ("100", "200")
    (image,) = masks.read(folder, classes=["loop", "void"])
    assert [shape.label for shape in image.shapes] == ["loop", "loop", "void"]
    (image,) = masks.read(save(tmp_path, a=CLASSES), classes=["loop", "void", "unused"])
    assert image.classes == ("loop", "void", "unused")


def test_empty_masks_and_subfolders(tmp_path):
    save(tmp_path, b=np.zeros((2, 3), np.uint8))
    (tmp_path / "lot").mkdir()
    tifffile.imwrite(tmp_path / "lot" / "a.tif", np.ones((3, 2), bool))
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "notes.txt").touch()
    first, second = masks.read(tmp_path)
    assert (first.name, first.shapes) == ("b.png", ())
    assert (second.name, second.width, second.height) == ("lot/a.tif", 2, 3)


def test_palette_png_gives_its_indices(tmp_path):
    image = Image.new("P", (5, 4))
    image.putdata(CLASSES.ravel().tolist())
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png")
    (back,) = masks.read(tmp_path)
    assert np.array_equal(raster.class_map(back, back.classes), CLASSES)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_damaged_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (99, 99), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"a{suffix}: cannot be read as .* damaged or incomplete"):
        masks.read(tmp_path)


def test_colours_and_fractions_are_refused(tmp_path):
    save(tmp_path / "rgb", a=np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a.png: .* one channel.*shape \(4, 5, 3\), uint8.*Save"):
        masks.read(tmp_path / "rgb")
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 0.5, np.float32))
    with pytest.raises(ValueError, match=r"a.tif: .* whole numbers.*float32"):
        masks.read(tmp_path)


def squares(numbers, side=5, dtype=np.uint8):
    """Apart from each other, a square of each number."""
    pixels = np.zeros((side + 2, len(numbers) * (side + 2)), dtype)
    for place, number in enumerate(numbers):
        start = place * (side + 2) + 1
        pixels[1:-1, start : start + side] = number
    return pixels


def read_saying(folder, **options):
    said = []
    return masks.read(folder, said=said, **options), [(one.level, one.text) for one in said]


def test_few_numbers_of_8_bits_in_one_piece_each_are_objects_and_it_says_so(tmp_path):
    folder = save(tmp_path, a=squares(range(1, 10)))
    (image,), [(level, text)] = read_saying(folder)
    assert (image.classes, len(image.shapes)) == (("1",), 9)
    assert level == "warning"
    assert "read as numbers of objects: up to 9 numbers in an image" in text
    assert "say so: --values classes, instances or binary" in text
    (image,), [(level, text)] = read_saying(folder, values="classes")
    assert len(image.classes) == 9
    assert (level, "read as numbers of classes: as stated" in text) == ("info", True)


def test_names_of_classes_decide_whatever_the_bits(tmp_path):
    pixels = squares([1, 1, 2], dtype=np.uint16)
    (tmp_path / "classes.txt").write_text("austenite\nferrite\n")
    ((image,), [(level, _)]) = read_saying(save(tmp_path, a=pixels))
    assert [shape.label for shape in image.shapes] == ["austenite", "austenite", "ferrite"]
    assert level == "info"
    (tmp_path / "classes.txt").write_text("particle\n")
    (image,) = masks.read(save(tmp_path, a=squares(range(1, 7))))
    assert [shape.label for shape in image.shapes] == ["particle"] * 6


def test_few_scattered_numbers_of_16_bits_are_classes(tmp_path):
    pixels = squares([1, 2] * 9, dtype=np.uint16)
    (image,), [(level, text)] = read_saying(save(tmp_path, a=pixels))
    assert (image.classes, len(image.shapes), level) == (("1", "2"), 18, "warning")
    assert "2 numbers, and only 0% of the numbers are in one piece" in text


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_0_and_white_are_binary(tmp_path, dtype):
    pixels = squares([np.iinfo(dtype).max] * 3, dtype=dtype)
    (image,) = masks.read(save(tmp_path, a=pixels))
    assert len(image.shapes) == 3


def test_255_beside_classes_is_ignored_unless_it_is_named(tmp_path):
    pixels = squares([1, 1, 255])
    (image,), said = read_saying(save(tmp_path, a=pixels))
    assert image.classes == ("1",)
    assert [shape.label for shape in image.shapes] == ["1", "1", "ignore"]
    assert len(raster.instances(image)) == 2
    assert np.array_equal(raster.ignored_pixels(image), pixels == 255)
    assert any("pixels of 255 weigh nothing in loss and scores" in text for _, text in said)
    (tmp_path / "classes.txt").write_text("steel\ncrack\n")
    (image,) = masks.read(tmp_path)
    assert [shape.label for shape in image.shapes] == ["steel", "steel", "crack"]
    assert masks.read(save(tmp_path, a=squares([128, 255])), classes=None)[0].classes == (
        "steel",
        "crack",
    )
    (tmp_path / "classes.txt").unlink()
    assert masks.read(tmp_path)[0].classes == ("128", "255")


def test_any_number_can_be_named_ignore(tmp_path):
    (tmp_path / "classes.txt").write_text("steel\nignore\n")
    (image,) = masks.read(save(tmp_path, a=squares([1, 2])))
    assert image.classes == ("steel",)
    assert np.count_nonzero(raster.ignored_pixels(image)) == 25


def anti_aliased(levels):
    """Black and white with a rim of grey levels around each of nine discs."""
    rows, cols = np.mgrid[:120, :120] % 40 - 19.5
    share = np.clip(14.5 - np.hypot(rows, cols), 0, 1)
    return np.round(np.round(share * levels) * (255 / levels)).astype(np.uint8)


@pytest.mark.parametrize("levels", [8, 255])
def test_anti_aliased_masks_are_refused_and_parted_at_the_middle_as_binary(tmp_path, levels):
    pixels = anti_aliased(levels)
    folder = save(tmp_path, a=pixels)
    with pytest.raises(
        ValueError, match=r"a\.png: .*anti-aliased, or saved as JPEG.*values binary"
    ):
        masks.read(folder)
    (image,), [(_, text)] = read_saying(folder, values="binary")
    assert len(image.shapes) == 9
    assert np.array_equal(raster.instance_map(image) > 0, pixels >= 128)
    assert "From 128 on" in text


def test_mask_that_was_a_jpeg_is_refused(tmp_path):
    Image.fromarray(anti_aliased(1)).save(tmp_path / "a.jpg", quality=60)
    with Image.open(tmp_path / "a.jpg") as opened:
        save(tmp_path / "masks", a=np.asarray(opened))
    with pytest.raises(ValueError, match="anti-aliased, or saved as JPEG"):
        masks.read(tmp_path / "masks")


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_micrographs_are_no_masks(tmp_path, dtype, highest):
    pixels = np.random.default_rng(0).integers(0, highest, (90, 90), endpoint=True).astype(dtype)
    with pytest.raises(ValueError, match=r"grey levels that lie scattered, as in a micrograph"):
        masks.read(save(tmp_path, a=pixels))


def test_classes_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path):
    save(tmp_path, a=CLASSES)
    (tmp_path / "classes.txt").write_bytes("Ferrit\nKörner\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt, line 2: .*UTF-8.*'Körner', as Latin-1"):
        masks.read(tmp_path)


def test_wrong_arguments_are_refused(tmp_path):
    save(tmp_path, a=CLASSES * 100)
    with pytest.raises(ValueError, match=r"values must be one of .*Received: values='grey'"):
        masks.read(tmp_path, values="grey")
    with pytest.raises(ValueError, match=r"name for each class number.*\[100, 200\].*Pass 2"):
        masks.read(tmp_path, classes=["a"])
    with pytest.raises(ValueError, match=r"sequence of names. Received: classes='ab'.*\['ab'\]"):
        masks.read(tmp_path, classes="ab")
    with pytest.raises(ValueError, match=r"kind must be one of .*kind='colours'"):
        masks.write(tmp_path, [], kind="colours")


def test_absent_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there must be a folder.*absent"):
        masks.read(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"must hold label images.*\.png.*none"):
        masks.read(tmp_path)


def drawn_image(name="lot/a.tif"):
    shapes = (
        Shape("box", "b", np.array([[1.0, 1.0], [4.0, 5.0]])),
        Shape("ellipse", "a", np.array([[8.0, 8.0], [3.0, 3.0]])),
        Shape("polyline", "line", np.array([[0.0, 0.0], [9.0, 9.0]])),
        Shape("box", "a", np.array([[7.0, 8.0], [12.0, 14.0]]), z_order=-1),
    )
    return LabelledImage(name, 20, 12, shapes, ("a", "b"))


def test_written_classes_come_back_with_their_names(tmp_path):
    image = drawn_image()
    assert masks.write(tmp_path, [image]) == {"polyline": 1}
    with Image.open(tmp_path / "lot" / "a.png") as written:
        assert written.mode == "L"
    (back,) = masks.read(tmp_path)
    assert (back.name, back.classes) == ("lot/a.png", ("a", "b"))
    names = ("a", "b")
    area_only = LabelledImage("", 20, 12, tuple(s for s in image.shapes if s.has_area))
    assert np.array_equal(raster.class_map(back, names), raster.class_map(area_only, names))


def test_written_instances_come_back_one_by_one(tmp_path):
    image = drawn_image()
    assert masks.write(tmp_path, [image], kind="instances") == {"polyline": 1}
    assert not (tmp_path / "classes.txt").exists()
    (back,) = masks.read(tmp_path)
    area_only = LabelledImage("", 20, 12, tuple(s for s in image.shapes if s.has_area))
    assert np.array_equal(raster.instance_map(back) > 0, raster.instance_map(area_only) > 0)
    assert len(back.shapes) == 3


def test_second_round_trip_changes_nothing(tmp_path):
    masks.write(tmp_path / "a", [drawn_image()])
    once = masks.read(tmp_path / "a")
    masks.write(tmp_path / "b", once)
    assert masks.read(tmp_path / "b") == once


def test_images_without_shapes_come_back(tmp_path):
    masks.write(tmp_path, [LabelledImage("a.png", 3, 2)])
    (back,) = masks.read(tmp_path)
    assert (back.width, back.height, back.shapes) == (3, 2, ())


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_label_image_named_png_is_read_by_its_content(tmp_path, kind):
    (expected,) = masks.read(save(tmp_path / "png", a=CLASSES))
    (tmp_path / "other").mkdir()
    Image.fromarray(CLASSES).save(tmp_path / "other" / "a.png", kind)
    assert masks.read(tmp_path / "other") == [expected]


def test_jpeg_named_png_is_refused_since_it_does_not_keep_numbers(tmp_path):
    Image.fromarray(CLASSES).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(ValueError, match=r"a\.png: a label image .*Received: a JPEG, which blurs"):
        masks.read(tmp_path)


def test_unsafe_and_colliding_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"inside the folder of images.*'../a.png'"):
        masks.write(tmp_path / "out", [drawn_image("../a.png")])
    with pytest.raises(ValueError, match=r"file of its own.*'a.png' and 'a.tif'"):
        masks.write(tmp_path / "out", [drawn_image("a.png"), drawn_image("a.tif")])
    assert not list(tmp_path.rglob("*.png"))


def test_more_numbers_than_a_png_holds_are_refused(tmp_path):
    runs = np.array([0, 1])
    shapes = tuple(
        Shape("mask", "a", np.array([[k // 300, k % 300], [k // 300 + 1, k % 300 + 1]]), runs=runs)
        for k in range(66000)
    )
    with pytest.raises(ValueError, match=r"a.png: a PNG must have at most 65535.*66000"):
        masks.write(tmp_path, [LabelledImage("a.png", 300, 300, shapes)], kind="instances")


@pytest.mark.shared
def test_real_masks(shared):
    (first, *_) = three = masks.read(shared / "data/super1/train/labels")
    assert len(three) == 10
    assert first.classes == ("1", "2")
    for image in three[:3]:
        pixels = np.asarray(Image.open(shared / "data/super1/train/labels" / image.name))
        assert np.array_equal(raster.class_map(image, image.classes), pixels)
    loops = masks.read(shared / "data/loops/masks", classes=["loop"])
    assert {shape.label for image in loops for shape in image.shapes} == {"loop"}


def test_masks_of_cellpose_are_told_from_the_images_beside_them(tmp_path):
    numbers = np.zeros((6, 9), np.uint32)
    numbers[1:3, 1:3], numbers[3:5, 4:8] = 1, 70_000
    folder = save(tmp_path / "both", a=np.arange(54, dtype=np.uint8).reshape(6, 9))
    tifffile.imwrite(folder / "a_cp_masks.tif", numbers)
    (image,) = masks.read(folder)
    assert image.name == "a.tif"
    assert [int(np.sum(mask)) for mask in raster.instance_masks(image)] == [4, 8]
