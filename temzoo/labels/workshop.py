"""The five calls of the workshop's slides, from a CVAT export to what two networks train on.

    train_imgs = get_imgs(train_img_names)
    annos = [parse_anno_file("annotations.xml", name) for name in train_img_names]
    unet_masks = get_unet_mask(annos)
    maskRcnn_masks = get_maskrcnn_mask(annos)
    train_data = get_maskrcnn_dataset(images=train_imgs, labels=maskRcnn_masks)

Where ``classes`` is not given, the classes are those that the CVAT file declares, in its order;
where it declares none, the labels of all the images given, sorted. Give the same ``classes`` for
training and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from temzoo.core.hints import did_you_mean
from temzoo.core.types import LabelledImage
from temzoo.labels import encode, read
from temzoo.labels.names import NameIndex
from temzoo.micrographs import MicrographError, load_micrograph

Target = dict[str, np.ndarray]


def get_imgs(train_img_names: Sequence[str | Path]) -> list[np.ndarray]:
    """Reads images of 8 bits.

    Args:
        train_img_names: paths of PNG, JPEG, BMP or TIFF files.

    Returns:
        one array for each, in that order: (H, W) uint8 for grey images, (H, W, 3) uint8, red
        first, for colour ones (an alpha channel is left out). Turned as Exif says, as CVAT does.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: when a file is no image, or not of 8 bits, or the names are one string.

    Example:
        >>> train_imgs = get_imgs(["images/a.png", "images/b.png"])
        >>> train_imgs[0].shape, train_imgs[0].dtype
        ((512, 680), dtype('uint8'))
    """
    if isinstance(train_img_names, (str, Path)):
        raise ValueError(
            "train_img_names must be a list of paths. "
            f"Received: train_img_names={str(train_img_names)!r}. Use [{str(train_img_names)!r}]."
        )
    return [_read_image(Path(name)) for name in train_img_names]


def parse_anno_file(xml: str | Path, train_img_filename: str | Path) -> LabelledImage:
    """The labels of one image in a CVAT file.

    The image is found by its whole name as the file states it; else by the longest end of
    ``train_img_filename`` that a name in the file has, with or without its suffix. The file is
    read once and remembered until it changes, so calling this for each image is cheap.

    Args:
        xml: CVAT 1.1 export ("for images" or "for video").
        train_img_filename: name or path of the image.

    Returns:
        the image's shapes, with its size and the file's classes.

    Raises:
        ValueError: when no image of the file has this name, or several do, or the file is no CVAT
            1.1 XML.

    Example:
        >>> annos = parse_anno_file("annotations.xml", "images/a.png")
        >>> len(annos.shapes)
        24
    """
    path = Path(xml)
    status = path.stat()
    images = _read_labels(path.resolve(), status.st_mtime_ns, status.st_size)
    name = str(train_img_filename)
    names = NameIndex(image.name for image in images).matches(name, any_folder=True)
    found = [image for image in images if image.name in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"train_img_filename must name one image of {path}. Received: "
            f"train_img_filename={name!r}, which may be any of "
            f"{', '.join(repr(image.name) for image in found[:5])}. Give the whole name; where "
            "names repeat, export the tasks one by one."
        )
    bases = {PurePosixPath(image.name.replace("\\", "/")).name for image in images}
    hint = did_you_mean(PurePosixPath(name).name, sorted(bases), repr)
    raise ValueError(
        f"train_img_filename must be one of the {len(images)} images of {path}. Received: "
        f"train_img_filename={name!r}.{hint} Names are compared letter by letter."
    )


def get_unet_mask(
    annos: LabelledImage | Sequence[LabelledImage],
    *,
    classes: Sequence[str] | None = None,
    line_width: float | None = None,
) -> np.ndarray | list[np.ndarray]:
    """One-hot masks, as a U-Net is trained on.

    Args:
        annos: labels of one image, or a list of them.
        classes: names of the K classes; see the module for the default.
        line_width: width in pixels of the band that a polyline stands for; None: lines are left
            out.

    Returns:
        (H, W, K + 1) uint8, 0 or 1: channel 0 is background, channel k the k-th class. A list of
        them for a list.

    Raises:
        ValueError: when a label is not among the classes.

    Example:
        >>> get_unet_mask(annos).shape
        (512, 680, 2)
    """
    return _encoded(encode.one_hot, annos, classes, line_width)


def get_maskrcnn_mask(
    annos: LabelledImage | Sequence[LabelledImage],
    *,
    classes: Sequence[str] | None = None,
    line_width: float | None = None,
) -> Target | list[Target]:
    """Boxes, labels and masks of the objects, as a Mask R-CNN is trained on.

    Args:
        annos, classes, line_width: as in ``get_unet_mask``.

    Returns:
        for N objects ``{"boxes": (N, 4) float32 [x1 y1 x2 y2] in pixels, "labels": (N,) int32
        1..K, "masks": (N, H, W) uint8, 0 or 1}``; a list of them for a list. Objects without a
        pixel in the image are left out.

    Raises:
        ValueError: when a label is not among the classes.

    Example:
        >>> {key: value.shape for key, value in get_maskrcnn_mask(annos).items()}
        {'boxes': (24, 4), 'labels': (24,), 'masks': (24, 512, 680)}
    """
    return _encoded(encode.boxes_labels_masks, annos, classes, line_width)


def get_maskrcnn_dataset(
    images: Sequence[np.ndarray], labels: Sequence[Target]
) -> list[tuple[np.ndarray, Target]]:
    """Images and targets as pairs, checked to belong together.

    Args:
        images: (H, W) or (H, W, C) arrays, as ``get_imgs`` returns.
        labels: one target for each, as ``get_maskrcnn_mask`` returns.

    Returns:
        (image, target) pairs; nothing is copied. For TensorFlow, with N, H and W of each image:
        ``tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=(
        tf.TensorSpec((None, None), tf.uint8), {"boxes": tf.TensorSpec((None, 4), tf.float32),
        "labels": tf.TensorSpec((None,), tf.int32),
        "masks": tf.TensorSpec((None, None, None), tf.uint8)}))``.

    Raises:
        ValueError: when there are not as many images as labels, a target lacks a part or its parts
            are of different length, or its masks are not of the image's size.

    Example:
        >>> image, target = get_maskrcnn_dataset(images=train_imgs, labels=maskRcnn_masks)[0]
    """
    images, labels = list(images), list(labels)
    if len(images) != len(labels):
        raise ValueError(
            "there must be as many labels as images. "
            f"Received: {len(images)} images, {len(labels)} labels. "
            "Make both from the same list of names."
        )
    for number, (image, target) in enumerate(zip(images, labels, strict=True)):
        _require_target(number, image, target)
    return list(zip(images, labels, strict=True))


def _read_image(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"train_img_names must be paths of image files. Received: {str(path)!r}, which is not "
            f"there. Give the path from the current folder, {Path.cwd()}, or a whole one."
        )
    try:
        pixels = load_micrograph(path).pixels
    except MicrographError as error:
        raise ValueError(
            f"train_img_names must be PNG, JPEG, BMP or TIFF images. Received: {str(path)!r}, "
            f"which cannot be read as one: {error} Read a microscope's own format with "
            "temzoo.load_micrograph."
        ) from error
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"get_imgs reads images of 8 bits. Received: {str(path)!r} of {pixels.dtype}. "
            "Read it with temzoo.load_micrograph, which keeps the stored range."
        )
    return pixels


@lru_cache(maxsize=2)
def _read_labels(path: Path, modified_ns: int, size: int) -> tuple[LabelledImage, ...]:
    # The time and size are in the key so that a changed file is read again.
    return tuple(read(path))


def _encoded(
    encoding: Callable[..., Any],
    annos: LabelledImage | Sequence[LabelledImage],
    classes: Sequence[str] | None,
    line_width: float | None,
) -> Any:
    """One image's encoding, or a list's, by the module's default classes."""
    images = [annos] if isinstance(annos, LabelledImage) else list(annos)
    if classes is None:
        declared = dict.fromkeys(name for image in images for name in image.classes)
        classes = list(declared) or sorted({s.label for image in images for s in image.shapes})
    encoded = [encoding(image, list(classes), line_width=line_width) for image in images]
    return encoded[0] if isinstance(annos, LabelledImage) else encoded


def _require_target(number: int, image: np.ndarray, target: Target) -> None:
    missing = [key for key in ("boxes", "labels", "masks") if key not in target]
    if missing:
        raise ValueError(
            f"each label must have boxes, labels and masks. Received: label {number} without "
            f"{', '.join(missing)}. Make it with get_maskrcnn_mask."
        )
    lengths = {key: len(target[key]) for key in ("boxes", "labels", "masks")}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"boxes, labels and masks must be of one length. Received: label {number} with "
            f"{lengths}. Make it with get_maskrcnn_mask."
        )
    size, mask_size = image.shape[:2], target["masks"].shape[1:]
    if size != mask_size:
        raise ValueError(
            f"masks must be of their image's size. Received: image {number} of {size[0]} x "
            f"{size[1]} px (height x width), masks of {' x '.join(map(str, mask_size))}. "
            "Make both from the same list of names, in the same order."
        )
