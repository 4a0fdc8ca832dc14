"""The five calls of the slides, on a CVAT file and images written for the test."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels import encode
from temzoo.labels.formats import cvat_writing
from temzoo.labels.workshop import (
    get_imgs,
    get_maskrcnn_dataset,
    get_maskrcnn_mask,
    get_unet_mask,
    parse_anno_file,
)

HEIGHT, WIDTH = 30, 40


def box(top, left, bottom, right, label="particle"):
    return Shape("box", label, np.array([[top, left], [bottom, right]], dtype=np.float64))


def labelled(name, *shapes, classes=("void", "particle")):
    return LabelledImage(name, WIDTH, HEIGHT, tuple(shapes), classes)


@pytest.fixture
def export(tmp_path):
    """A CVAT file of three images, and two of these images."""
    images = [
        labelled("a.png", box(2, 3, 10, 12), box(12, 20, 20, 30, "void")),
        labelled("lot3/b.png", box(0, 0, 5, 5)),
        labelled("lot4/b.png", box(0, 0, 6, 6)),
    ]
    cvat_writing.write(tmp_path / "annotations.xml", images, classes=["void", "particle"])
    rng = np.random.default_rng(0)
    (tmp_path / "lot3").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8))
    cv2.imwrite(str(tmp_path / "lot3/b.png"), rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8))
    return tmp_path


def test_the_slide_runs_from_export_to_dataset(export):
    xml = export / "annotations.xml"
    train_img_names = [export / "a.png", export / "lot3/b.png"]
    train_imgs = get_imgs(train_img_names)
    annos = [parse_anno_file(xml, name) for name in train_img_names]
    unet_masks = get_unet_mask(annos)
    mask_rcnn_masks = get_maskrcnn_mask(annos)
    pairs = get_maskrcnn_dataset(images=train_imgs, labels=mask_rcnn_masks)
    assert [mask.shape for mask in unet_masks] == [(HEIGHT, WIDTH, 3)] * 2
    assert [len(target["labels"]) for _, target in pairs] == [2, 1]
    assert pairs[0][0] is train_imgs[0]
    # The file declares void first.
    assert pairs[0][1]["labels"].tolist() == [2, 1]
    assert pairs[0][1]["boxes"].tolist() == [[3, 2, 12, 10], [20, 12, 30, 20]]


def test_images_are_read_with_their_stored_pixels_red_first(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colour = np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    alpha = np.dstack([colour[..., ::-1], grey])
    paths = [tmp_path / name for name in ("grey é.png", "colour.tif", "alpha.png")]
    for path, pixels in zip(paths, (grey, colour[..., ::-1], alpha), strict=True):
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    read = get_imgs([paths[0], str(paths[1]), paths[2]])
    np.testing.assert_array_equal(read[0], grey)
    np.testing.assert_array_equal(read[1], colour)
    np.testing.assert_array_equal(read[2], colour)


def test_image_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert get_imgs([tmp_path / "turned.jpg"])[0].shape == (40, 30)


def test_missing_unreadable_16_bit_and_single_names_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png', which is not there. Give the path"):
        get_imgs([tmp_path / "gone.png"])
    for content in (b"not an image", b""):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.png', which cannot be read.*load_micrograph"):
            get_imgs([tmp_path / "bad.png"])
    (tmp_path / "scan").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"scan', which cannot be read as one: .*must end in one"):
        get_imgs([tmp_path / "scan"])
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 4), 3000, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"8 bits. Received: '.*deep\.png' of uint16"):
        get_imgs([tmp_path / "deep.png"])
    with pytest.raises(ValueError, match=r"must be a list of paths.*Use \['a\.png'\]"):
        get_imgs("a.png")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("a.png", "a.png"),
        ("somewhere/else/a.png", "a.png"),
        ("lot3/b.png", "lot3/b.png"),
        ("/data/lot4/b.png", "lot4/b.png"),
        ("data\\lot4\\b.png", "lot4/b.png"),
        ("images/a.tif", "a.png"),
    ],
)
def test_image_is_found_by_its_name_or_by_the_end_of_its_path(export, asked, name):
    assert parse_anno_file(export / "annotations.xml", asked).name == name


def test_ambiguous_and_unknown_names_are_refused(export):
    xml = export / "annotations.xml"
    text = r"must name one image of .*'lot3/b\.png', 'lot4/b\.png'. Give the whole name"
    with pytest.raises(ValueError, match=text):
        parse_anno_file(xml, "lot5/b.png")
    with pytest.raises(ValueError, match=r"one of the 3 images.*'aa\.png'. Did you mean 'a\.png'"):
        parse_anno_file(xml, "aa.png")
    with pytest.raises(ValueError, match=r"train_img_filename='micrograph_0012\.tif'. Names are"):
        parse_anno_file(xml, "micrograph_0012.tif")


def test_name_that_two_images_have_is_refused(tmp_path):
    cvat_writing.write(tmp_path / "x.xml", [labelled("a.png"), labelled("a.png", box(0, 0, 5, 5))])
    with pytest.raises(ValueError, match=r"may be any of 'a\.png', 'a\.png'.*where names repeat"):
        parse_anno_file(tmp_path / "x.xml", "a.png")


def test_changed_file_is_read_again(export):
    xml = export / "annotations.xml"
    assert len(parse_anno_file(xml, "a.png").shapes) == 2
    cvat_writing.write(xml, [labelled("a.png", box(0, 0, 5, 5))])
    status = xml.stat()
    os.utime(xml, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert len(parse_anno_file(xml, "a.png").shapes) == 1


def test_unet_mask_is_one_hot_with_background_first():
    mask = get_unet_mask(labelled("a.png", box(2, 3, 10, 12)))
    assert mask.shape == (HEIGHT, WIDTH, 3)
    assert mask.dtype == np.uint8
    assert mask[5, 5].tolist() == [0, 0, 1]
    assert mask[0, 0].tolist() == [1, 0, 0]


def test_classes_default_to_the_labels_of_all_images_where_none_are_declared():
    annos = [
        labelled("a.png", box(0, 0, 5, 5, "zinc"), classes=()),
        labelled("b.png", box(0, 0, 5, 5, "gold"), classes=()),
    ]
    masks = get_unet_mask(annos)
    assert [mask.shape[-1] for mask in masks] == [3, 3]
    assert masks[0][1, 1].tolist() == [0, 0, 1]
    assert masks[1][1, 1].tolist() == [0, 1, 0]
    assert get_maskrcnn_mask(annos)[0]["labels"].tolist() == [2]
    assert get_unet_mask(annos[0], classes=["zinc", "gold"])[1, 1].tolist() == [0, 1, 0]


def test_mask_rcnn_mask_of_one_image_is_its_encoding():
    anno = labelled("a.png", box(2, 3, 10, 12), box(0, 0, 4, 4, "void"))
    target = get_maskrcnn_mask(anno)
    expected = encode.boxes_labels_masks(anno, ["void", "particle"])
    for key in ("boxes", "labels", "masks"):
        np.testing.assert_array_equal(target[key], expected[key])


def test_label_that_is_not_declared_is_refused():
    with pytest.raises(ValueError, match="every label must be one of the classes"):
        get_unet_mask(labelled("a.png", box(2, 3, 10, 12, "partcle")))


def test_polylines_count_with_a_line_width():
    line = Shape("polyline", "void", np.array([[5.0, 5.0], [5.0, 30.0]]))
    assert not get_unet_mask(labelled("a.png", line))[..., 1].any()
    assert get_unet_mask(labelled("a.png", line), line_width=3)[..., 1].any()
    assert len(get_maskrcnn_mask(labelled("a.png", line), line_width=3)["labels"]) == 1


def test_pairs_that_do_not_belong_together_are_refused():
    target = get_maskrcnn_mask(labelled("a.png", box(2, 3, 10, 12)))
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"as many labels as images. Received: 2 images, 1 labels"):
        get_maskrcnn_dataset(images=[pixels, pixels], labels=[target])
    with pytest.raises(ValueError, match=r"image 0 of 40 x 30 px .*masks of 30 x 40"):
        get_maskrcnn_dataset(images=[pixels.T], labels=[target])
    with pytest.raises(ValueError, match="Received: label 0 without boxes, masks"):
        get_maskrcnn_dataset(images=[pixels], labels=[{"labels": target["labels"]}])
    with pytest.raises(
        ValueError, match=r"must be of one length. Received: label 0 with \{'boxes': 0"
    ):
        get_maskrcnn_dataset(
            images=[pixels], labels=[{**target, "boxes": np.zeros((0, 4), np.float32)}]
        )


def test_image_without_objects_makes_a_pair_too():
    pairs = get_maskrcnn_dataset(
        images=[np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)],
        labels=[get_maskrcnn_mask(labelled("a.png"))],
    )
    assert pairs[0][1]["masks"].shape == (0, HEIGHT, WIDTH)


@pytest.mark.shared
def test_emps_image_is_parsed_by_its_path(shared):
    folder = shared / "data/emps"
    path = folder / "images/f78844f8ce.png"
    anno = parse_anno_file(folder / "annotations.xml", path)
    (pixels,) = get_imgs([path])
    assert get_unet_mask(anno).shape == (*pixels.shape[:2], 2)
    truth = cv2.imread(str(folder / "segmaps" / path.name), cv2.IMREAD_UNCHANGED)
    assert (get_unet_mask(anno)[..., 1] != (truth > 0)).mean() < 1e-3
