"""One micrograph of the page: its picture, objects over it as SVG paths, a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.measure import find_contours

from temzoo.core.round_numbers import round_down
from temzoo.core.types import Detection, Prediction
from temzoo.evaluation.object_overlaps import map_objects
from temzoo.pages.html import data_uri, image_element, text, with_code
from temzoo.pictures.overlays import outlines
from temzoo.pictures.scale_bar import length_text

SIDE = 1600  # px; the longest side of a picture
QUALITIES = (90, 82, 72, 60, 45)
LEAST_SIDE = 400  # px; no picture is shrunk below it to save bytes
CLASS_COLOURS = 6  # of the style sheet: --class-1 …
# An outline leaves its mask's by less than half a pixel, of the picture as it is shown.
TOLERANCE = 0.4
BAR_SHARE = 0.25  # of the picture's width that a scale bar may take


@dataclass(frozen=True, eq=False)
class Outlined:
    """An object as it is drawn.

    Attributes:
        number: the particle's, as the table gives it.
        class_id: 1, 2, …
        row, col: the middle of its pixels.
        path: of an SVG path element; holes are parts of it.
        kind: "sphere", "rod" … by the rules of morphology, where objects are coloured by it.
    """

    number: int
    class_id: int
    row: float
    col: float
    path: str
    kind: str = ""

    @property
    def style(self) -> str:
        """The class of the style sheet that colours it."""
        return f"k-{self.kind}" if self.kind else f"c{(self.class_id - 1) % CLASS_COLOURS + 1}"


@dataclass(frozen=True, eq=False)
class Plate:
    """What is drawn of one micrograph.

    Attributes:
        number: from 1, in the page's order.
        height, width: px of the micrograph.
        found: the particles; true: labelled ones, where there are labels.
        doubtful: objects that are not counted.
        picture: JPEG; None where the micrograph is not at hand, and ``missing`` says why.
        nm_per_pixel: (row, col); None when uncalibrated.
        own_bar: a scale bar in the picture said so: it needs no other while it is whole.
        facts: short texts below the name.
    """

    number: int
    name: str
    height: int
    width: int
    found: Sequence[Outlined]
    true: Sequence[Outlined] = ()
    doubtful: Sequence[Outlined] = ()
    picture: bytes | None = None
    nm_per_pixel: tuple[float, float] | None = None
    own_bar: bool = False
    facts: Sequence[str] = ()
    missing: str = ""

    @property
    def tall(self) -> float:
        """Height of a pixel by its width."""
        return 1.0 if self.nm_per_pixel is None else self.nm_per_pixel[0] / self.nm_per_pixel[1]


def jpeg(pixels: np.ndarray, *, most_bytes: int, side: int = SIDE) -> bytes:
    """A micrograph as a JPEG of bounded size, stretched for display.

    Quality is given up first, then size, until it fits.

    Args:
        pixels: (H, W) or (H, W, 3), any dtype.
        most_bytes: of the file; held unless the picture would be less than 400 px wide.
        side: longest side, px; a larger micrograph is shrunk to it.
    """
    picture = outlines(pixels, (), side=side)
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    picture = picture[..., 0] if grey else picture[..., ::-1]  # OpenCV takes B, G, R
    while True:
        for quality in QUALITIES:
            done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(data) <= most_bytes:
                return data.tobytes()
        if max(picture.shape[:2]) * 0.8 < LEAST_SIDE:
            return data.tobytes()
        picture = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)


def plate_html(plate: Plate) -> str:
    """The micrograph as a figure of the page."""
    key = f"plate-{plate.number}"
    facts = "".join(f"<li>{fact}</li>" for fact in plate.facts)
    missing = f'<p class="missing">{with_code(plate.missing)}</p>' if plate.missing else ""
    shown_height = plate.height * plate.tall
    return f"""<article class="plate" id="{key}" aria-labelledby="{key}-name">
<header><h3 id="{key}-name">{text(plate.name)}</h3><ul class="facts">{facts}</ul></header>
{missing}<div class="stage{" own-bar" if plate.own_bar else ""}" tabindex="0" role="group"
 aria-labelledby="{key}-name"
 aria-describedby="viewer-help" data-width="{plate.width}" data-height="{shown_height:.2f}"
 data-nm="{plate.nm_per_pixel[1] if plate.nm_per_pixel else ""}"
 style="aspect-ratio:{plate.width}/{shown_height:.2f};--aspect:{plate.width / shown_height:.4f}">
{_svg(plate, shown_height)}
{_scale_bar(plate)}</div></article>"""


def _svg(plate: Plate, height: float) -> str:
    background = ""
    if plate.picture is not None:
        uri = data_uri(plate.picture, "image/jpeg")
        background = image_element(uri, plate.width, plate.height)
    scaled = "" if plate.tall == 1 else f' transform="scale(1 {plate.tall:.6g})"'
    name = f"objects-{plate.number}"
    label = f"{plate.name}: {len(plate.found)} outlined"
    return (
        f'<svg class="view" viewBox="0 0 {plate.width} {height:.2f}" role="img"'
        f' aria-label="{text(label)}" style="--unit:{plate.width / 800:.4f}">'
        f"<g{scaled}>{background}"
        f'<use href="#{name}" class="casing"/>'
        f'<g id="{name}" class="objects">{_by_class(plate.found)}</g>'
        f'<g class="truth">{_paths(plate.true)}</g>'
        f'<g class="doubtful">{_paths(plate.doubtful)}</g>'
        f'<path class="glow"/></g>'
        f'<g class="numbers">{_numbers(plate)}</g></svg>'
    )


def _by_class(objects: Sequence[Outlined]) -> str:
    kinds = dict.fromkeys(one.style for one in sorted(objects, key=lambda one: one.class_id))
    return "".join(
        f'<g class="{style}">{_paths([one for one in objects if one.style == style])}</g>'
        for style in kinds
    )


def _paths(objects: Sequence[Outlined]) -> str:
    # The largest first, so that those on it can be reached.
    ordered = sorted(objects, key=lambda one: -len(one.path))
    return "".join(f'<path data-p="{one.number}" d="{one.path}"/>' for one in ordered)


def _numbers(plate: Plate) -> str:
    return "".join(
        f'<text x="{one.col:.1f}" y="{one.row * plate.tall:.1f}">{one.number}</text>'
        for one in plate.found
        if one.number
    )


def _scale_bar(plate: Plate) -> str:
    if plate.nm_per_pixel is None:
        return ""
    across = plate.width * plate.nm_per_pixel[1]
    length = round_down(across * BAR_SHARE)
    return (
        f'<div class="bar" aria-hidden="true"><i style="width:{100 * length / across:.3f}%"></i>'
        f"<span>{length_text(length)}</span></div>"
    )


def objects_of(prediction: Prediction) -> list[tuple[int, Detection]]:
    """The particles of a prediction with their numbers, as ``temzoo.measure`` numbers them."""
    if prediction.detections is not None:
        return list(enumerate(prediction.detections, start=1))
    numbers = np.unique(prediction.instances)
    found = map_objects(prediction.instances, prediction.classes, prediction.scores)
    return list(zip(numbers[numbers > 0].tolist(), found, strict=True))


def regions_of(prediction: Prediction) -> list[tuple[int, Detection]]:
    """One object a class, for a prediction whose instances were not told apart."""
    kinds = [kind for kind in np.unique(prediction.classes).tolist() if kind]
    return [(0, Detection(0, 0, prediction.classes == kind, kind, 1.0)) for kind in kinds]


def outlined(
    objects: Sequence[tuple[int, Detection]],
    *,
    tolerance: float = TOLERANCE,
    kinds: Mapping[int, str] | None = None,
) -> list[Outlined]:
    """Numbered objects as they are drawn; a line leaves the outline by ``tolerance`` px at most.

    ``kinds``: by the number, where they are coloured by it.
    """
    found = []
    for number, one in objects:
        row, col = np.mean(np.nonzero(one.mask), axis=1).tolist()
        at = one.top + row + 0.5, one.left + col + 0.5
        kind = (kinds or {}).get(number, "")
        found.append(Outlined(number, one.class_id, *at, _path(one, tolerance), kind))
    return found


def _path(one: Detection, tolerance: float) -> str:
    # Between the centres of pixels inside and outside, where the pixels' own border is.
    rings = find_contours(np.pad(one.mask, 1).astype(np.float32), 0.5)
    offset = np.array([one.top, one.left]) - 0.5  # one padded pixel before, half a pixel after
    rings.sort(key=len, reverse=True)
    # Closed lines of fewer points, of 1 or 2 where they are smaller than the tolerance; the last
    # point is the first again.
    open_rings = (ring[:-1].astype(np.float32)[:, None] for ring in rings)
    lines = [cv2.approxPolyDP(ring, tolerance, True)[:, 0] for ring in open_rings]
    # A speck that the tolerance swallows is left out, unless it is all there is.
    drawn = [line for line in lines if len(line) > 2] or [rings[0][:-1]]
    return "".join(_subpath(line + offset) for line in drawn)


def _subpath(line: np.ndarray) -> str:
    """A closed line (N, 2) as relative moves in tenths of a pixel, x before y."""
    tenths = np.rint(line[:, ::-1] * 10).astype(int)
    moves = np.diff(tenths, axis=0)
    start = " ".join(f"{v / 10:g}" for v in tenths[0].tolist())
    steps = "".join(f"l{x / 10:g} {y / 10:g}" for x, y in moves.tolist())
    return f"M{start}{steps}z"
