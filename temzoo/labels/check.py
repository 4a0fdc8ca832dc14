"""Finds what is wrong with a label set and says it in words: the workshop's advice as a tool.

Errors are what training would fail on or learn wrongly, warnings what a person should look at,
infos what is good to know. ``pages.label_check.to_html`` draws the shapes that were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from temzoo.core.connected import connected_components
from temzoo.core.hints import did_you_mean
from temzoo.core.types import IGNORE, LINE_KINDS, LabelledImage, Shape
from temzoo.labels import not_areas, nothing_to_learn
from temzoo.labels.check_folder import compared_with_files
from temzoo.labels.check_report import LEVELS, ClassSummary, Finding, Report
from temzoo.labels.shapes import raster, soundness
from temzoo.labels.shapes.run_lengths import check_runs
from temzoo.labels.shapes.windows import Window, shape_extent, shape_window

__all__ = ["ClassSummary", "Finding", "Report", "check"]
# Of one label: two outlines of one object drawn by hand overlap less than this.
DUPLICATE_IOU = 0.95
# A disc with a tenth of its area bitten off by a neighbour in front.
CONCAVE_SOLIDITY = 0.9
# Below, about 11 px across, a wobble of one pixel looks like a bite.
CONCAVE_AREA_PX = 100
# Of the objects around it: four discs packed in a square enclose 7 %, a loose ring more than 10 %.
HOLE_SHARE = 0.1
# Smaller gaps are what two hand-drawn outlines of one border leave between them: up to so many
# pixels they are not worth a line, and below this share of the objects around it they are a note.
HOLE_AREA_PX = 4
SEAM_SHARE = 0.01
Object = tuple[str, int]  # with an area: its class, and its pixels within the image


def check(
    images: Iterable[LabelledImage],
    *,
    image_folder: str | Path | None = None,
    image_sizes: Mapping[str, tuple[int, int]] | None = None,
    said: Iterable[Finding] = (),
) -> Report:
    """Looks for what is wrong with a label set; ``exit_status`` of the report is 1 with errors.

    Args:
        image_folder: where the images lie, to be compared with the labels; only their headers
            are read.
        image_sizes: (height, width) by name, instead of a folder.
        said: what ``read`` had to say of the file; the report has it too.

    Raises:
        ValueError: when both a folder and sizes are given.
        NotADirectoryError: when the folder is none.
    """
    images = list(images)
    findings, sizes = compared_with_files(images, image_folder, image_sizes)
    findings = [*said, *findings, *_set_findings(images, sizes)]
    objects: list[Object] = []
    touching_pairs = 0
    for image in images:
        found, held, touching = _image_findings(image)
        findings += found
        objects += held
        touching_pairs += touching
    # sorted is stable: within a code, findings stay in file order.
    findings.sort(key=lambda finding: (LEVELS.index(finding.level), finding.code))
    return Report(
        findings=tuple(findings),
        images=len(images),
        shapes=sum(len(image.shapes) for image in images),
        kinds=dict(Counter(shape.kind for image in images for shape in image.shapes).most_common()),
        classes=_class_summaries(images, objects),
        sizes=_size_counts(images, sizes),
        touching_pairs=touching_pairs,
    )


def _size_counts(
    images: list[LabelledImage], sizes: Mapping[str, tuple[int, int]]
) -> dict[tuple[int, int], int]:
    each = (sizes.get(image.name, (image.height, image.width)) for image in images)
    return dict(Counter(each).most_common())


def _set_findings(
    images: list[LabelledImage], sizes: Mapping[str, tuple[int, int]]
) -> list[Finding]:
    """What concerns the label set as a whole."""
    found = []  # level, code, name of an image, text
    if not images:
        text = "there is no image in the labels. Export the task again."
        found.append(("error", "no-images", "", text))
    elif (text := nothing_to_learn(images)) is not None:
        found.append(("error", "nothing-to-learn", "", text))
    counts = _size_counts(images, sizes)
    if len(counts) > 1:
        text = (
            f"{len(counts)} sizes among {len(images)} images. Train on crops of one size; "
            "scale no image without its calibration."
        )
        found.append(("warning", "sizes-differ", "", text))
    found += [
        ("warning", "repeated-name", name, f"{n} images of the labels have this name.")
        for name, n in Counter(image.name for image in images).items()
        if n > 1
    ]
    regions = sum(shape.label == IGNORE for image in images for shape in image.shapes)
    if regions:
        text = f"{regions} regions of label {IGNORE!r}: they weigh nothing in loss and scores."
        found.append(("info", "ignored-regions", "", text))
    for kind, n in not_areas(images).items():
        remedy = "it takes a line width" if kind in LINE_KINDS else "it makes no mask"
        text = f"{n} of kind {kind}, which has no area: {remedy}."
        found.append(("info", "no-area", "", text))
    used = {shape.label for image in images for shape in image.shapes}
    unused = dict.fromkeys(name for image in images for name in image.classes if name not in used)
    text = "class {!r} is declared, but nothing is labelled with it."
    found += [("info", "unused-class", "", text.format(name)) for name in unused]
    return [Finding(level, code, name, None, text) for level, code, name, text in found]


def _image_findings(image: LabelledImage) -> tuple[list[Finding], list[Object], int]:
    """Findings of one image, its objects, and how many pairs of them touch."""
    if not image.shapes:
        text = "no shapes. Label it, or make sure that there is nothing to label in it."
        return [Finding("warning", "image-without-labels", image.name, None, text)], [], 0
    if image.height < 1 or image.width < 1:
        text = (
            f"the labels say {image.height} x {image.width} px (height x width); its shapes were "
            "not looked at. Write the true size into the label file."
        )
        return [Finding("error", "image-without-size", image.name, None, text)], [], 0
    findings, sound = [], []
    for index, shape in enumerate(image.shapes):
        found = _shape_findings(image, index, shape)
        findings += found
        judged = shape.has_area and shape.label != IGNORE
        if judged and not any(finding.level == "error" for finding in found):
            sound.append(index)
    found, objects, touching = _area_findings(image, sound)
    return findings + found, objects, touching


def _shape_findings(image: LabelledImage, index: int, shape: Shape) -> list[Finding]:
    """What is wrong with one shape by itself."""

    def finding(level: str, code: str, text: str, place: tuple | None = None) -> Finding:
        return Finding(level, code, image.name, index, text, place)

    found = []
    if image.classes and shape.label not in (*image.classes, IGNORE):
        hint = did_you_mean(shape.label, image.classes, repr)
        text = f"label {shape.label!r} is not among the classes that the file declares.{hint}"
        found.append(finding("warning", "undeclared-label", text))
    fault = _fault(shape)
    if fault is not None:
        text = f"{fault} Draw it again, or remove it."
        return [*found, finding("error", "degenerate-shape", text)]
    extent = shape_extent(shape)
    if extent is not None:
        found += [finding(*off) for off in _off_image(extent, image.height, image.width)]
    crossing = soundness.self_crossing(shape.points) if shape.kind == "polygon" else None
    if crossing is not None:
        text = f"edges of the polygon cross near row {crossing[0]:.1f}, column {crossing[1]:.1f}."
        found.append(finding("warning", "self-intersecting", text, crossing))
    return found


def _fault(shape: Shape) -> str | None:
    """What makes a shape unusable; None where nothing does."""
    try:
        extent = shape_extent(shape)
        least = {"polygon": 3, "polyline": 2, "points": 1}.get(shape.kind, 0)
        if len(shape.points) < least:
            return f"{len(shape.points)} point(s), where a {shape.kind} takes {least} or more."
        if shape.kind == "polygon" and soundness.is_collinear(shape.points):
            return "a polygon without area: its points lie on one line."
        flat = shape.kind == "ellipse" and not (shape.points[1] > 0).all()
        if flat or (shape.kind == "box" and (shape.points[0] == shape.points[1]).any()):
            return f"the {shape.kind} is of zero size."
        if shape.kind == "polyline" and extent[:2] == extent[2:]:
            return "a polyline of zero length."
        if shape.kind == "mask":
            check_runs(shape.runs, *np.diff(shape.points, axis=0)[0].astype(int).tolist())
            if not shape.runs[1::2].any():
                return "a mask without pixels."
    except ValueError as error:
        return str(error)
    return None


def _off_image(
    extent: tuple[float, float, float, float], height: int, width: int
) -> list[tuple[str, str, str]]:
    top, left, bottom, right = extent
    rows = f"rows {top:.1f} to {bottom:.1f}, columns {left:.1f} to {right:.1f}"
    size = f"an image of {height} x {width} px (height x width)"
    if bottom <= 0 or right <= 0 or top >= height or left >= width:
        text = f"it lies wholly outside: {rows}, in {size}. Remove it, or check the image's size."
        return [("error", "off-image", text)]
    if top < 0 or left < 0 or bottom > height or right > width:
        return [("info", "partly-off-image", f"it is cut at the border: {rows}, in {size}.")]
    return []


def _area_findings(
    image: LabelledImage, sound: list[int]
) -> tuple[list[Finding], list[Object], int]:
    """What the pixels tell: objects, pairs of them, the gaps between them.

    ``sound`` are the indices of the shapes with an area and without an error.
    """
    drawn = replace(image, shapes=tuple(image.shapes[index] for index in sound))
    numbers = [number for _, number in raster.numbered_shapes(drawn)]
    windows = [shape_window(shape, image.height, image.width) for shape in drawn.shapes]
    objects = _objects(drawn, windows, numbers)
    findings = [
        finding
        for index, shape, window in zip(sound, drawn.shapes, windows, strict=True)
        for finding in _window_findings(image.name, index, shape, window[2])
    ]
    pair_findings, touching = _pair_findings(image, sound, windows, numbers)
    pixels = raster.instance_map(drawn)
    first_index = {number: index for index, number in zip(sound[::-1], numbers[::-1], strict=True)}
    findings += pair_findings
    findings += _covered_findings(image.name, pixels, objects, first_index)
    findings += _hole_findings(image.name, pixels, objects, first_index)
    return findings, [held for held in objects if held[1]], touching


def _objects(drawn: LabelledImage, windows: list[Window], numbers: list[int]) -> list[Object]:
    areas = dict(zip(numbers, (int(window[2].sum()) for window in windows), strict=True))
    objects = []
    for number, instance in enumerate(raster.instances(drawn), start=1):
        if len(instance.shapes) > 1:  # parts may overlap
            union = raster.instance_window(instance, drawn.height, drawn.width)
            areas[number] = int(union[2].sum())
        objects.append((instance.label, areas[number]))
    return objects


def _window_findings(name: str, index: int, shape: Shape, window: np.ndarray) -> list[Finding]:
    area = int(window.sum())
    if area == 0:
        text = "it holds no pixel's centre: it is too small or too thin to be seen in a mask."
        return [Finding("warning", "without-pixel", name, index, text)]
    # A grouped shape is known to be a piece of an object.
    if shape.kind not in ("polygon", "mask") or shape.group_id > 0:
        return []
    pieces = np.bincount(connected_components(window).ravel())[1:] if shape.kind == "mask" else []
    if len(pieces) > 1:
        text = (
            f"in {len(pieces)} pieces, the smallest of {min(pieces)} px; box and diameters span "
            "all of them. Remove specks, and give objects of their own a number of their own."
        )
        return [Finding("warning", "in-pieces", name, index, text)]
    if area < CONCAVE_AREA_PX:
        return []
    share = soundness.solidity(window)
    if share >= CONCAVE_SOLIDITY:
        return []
    text = (
        f"concave: it fills {share:.0%} of its convex hull. Likely a convex object that another "
        "hides in part: label its whole outline and order them by z, or keep it if it is concave."
    )
    return [Finding("warning", "concave-mask", name, index, text)]


def _pair_findings(
    image: LabelledImage, sound: list[int], windows: list[Window], numbers: list[int]
) -> tuple[list[Finding], int]:
    """Shapes drawn twice; and how many pairs of objects touch."""
    areas = [int(window[2].sum()) for window in windows]
    twice: dict[int, tuple[int, float]] = {}
    touching = set()
    for i, j in soundness.near_pairs(windows):
        shared, meet = soundness.shared_pixels(windows[i], windows[j])
        if meet and numbers[i] != numbers[j]:
            touching.add(frozenset((numbers[i], numbers[j])))
        iou = shared / max(1, areas[i] + areas[j] - shared)
        first, second = sound[i], sound[j]
        if iou > DUPLICATE_IOU and image.shapes[first].label == image.shapes[second].label:
            twice[second] = min(twice.get(second, (first, iou)), (first, iou))
    text = (
        "it covers the same pixels as shape {} of the same label (IoU {:.2f}). Remove one of them."
    )
    findings = [
        Finding("warning", "duplicate-shape", image.name, index, text.format(*other))
        for index, other in sorted(twice.items())
    ]
    return findings, len(touching)


def _covered_findings(
    name: str, pixels: np.ndarray, objects: list[Object], first_index: Mapping[int, int]
) -> list[Finding]:
    seen = np.bincount(pixels.ravel(), minlength=len(objects) + 1)
    text = "other objects lie over the whole of it: it has no pixel in a map. Set its z order."
    return [
        Finding("warning", "covered-object", name, first_index[number], text)
        for number, (_, area) in enumerate(objects, start=1)
        if area and not seen[number]
    ]


def _hole_findings(
    name: str, pixels: np.ndarray, objects: list[Object], first_index: Mapping[int, int]
) -> list[Finding]:
    """One finding for each set of objects, however many gaps a ragged seam leaves."""
    between: dict[tuple[int, ...], list[soundness.Hole]] = {}
    for hole in soundness.enclosed_holes(pixels):
        around = sum(objects[number - 1][1] for number in hole.objects)
        if len(hole.objects) >= 2 and hole.area_px <= HOLE_SHARE * around:
            between.setdefault(hole.objects, []).append(hole)
    findings = []
    for numbers, holes in between.items():
        largest = max(holes, key=lambda hole: hole.area_px)
        if largest.area_px < HOLE_AREA_PX:
            continue
        shapes = ", ".join(str(first_index[number]) for number in numbers)
        text = (
            f"{_holes_in_words(holes)} at row {largest.row}, column {largest.col}, enclosed "
            f"between shapes {shapes}. Close it if the objects touch there."
        )
        place = largest.row + 0.5, largest.col + 0.5
        index = first_index[numbers[0]]
        around = sum(objects[number - 1][1] for number in numbers)
        seam = largest.area_px < SEAM_SHARE * around
        level, code = ("info", "ragged-seam") if seam else ("warning", "enclosed-hole")
        text += f" It is below {SEAM_SHARE:.0%} of the area of these." if seam else ""
        findings.append(Finding(level, code, name, index, text, place))
    return findings


def _holes_in_words(holes: list[soundness.Hole]) -> str:
    areas = [hole.area_px for hole in holes]
    if len(holes) == 1:
        return f"{areas[0]} px of background"
    return (
        f"{len(holes)} patches of background, {sum(areas)} px together, the largest of "
        f"{max(areas)} px"
    )


def _class_summaries(
    images: list[LabelledImage], objects: list[Object]
) -> tuple[ClassSummary, ...]:
    shapes = Counter(shape.label for image in images for shape in image.shapes)
    held = Counter(label for image in images for label in {s.label for s in image.shapes})
    areas: dict[str, list[int]] = {}
    for label, area in objects:
        areas.setdefault(label, []).append(area)
    declared = dict.fromkeys(name for image in images for name in image.classes)
    labels = [*declared, *sorted(set(shapes) - set(declared))]
    spreads = {k: (float(min(a)), float(np.median(a)), float(max(a))) for k, a in areas.items()}
    return tuple(
        ClassSummary(k, shapes[k], len(areas.get(k, ())), held[k], spreads.get(k)) for k in labels
    )
