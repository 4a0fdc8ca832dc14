"""What was drawn into pictures: a scale bar calibrates them, and nothing of it is specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from temzoo.core.hints import require_choice
from temzoo.core.types import Micrograph
from temzoo.micrographs.drawn_bars import Box
from temzoo.micrographs.drawn_text import can_read_text
from temzoo.micrographs.scale_bar import AGREE, FROM_PICTURE, ScaleBar

MODES = ("auto", "off", "require")


@dataclass(frozen=True)
class Drawn:
    """What is done about it.

    Attributes:
        scale_bar: "auto": read where ``temzoo[scalebar]`` is installed; "off"; "require": an image
            without a calibration of its own, whose bar cannot be read, is an error.
        crop_bar: info bar, scale bar and panel letters are left out; the last two where text is
            read.
        boxes: (top, left, bottom, right), half-open, that are left out of every image.
    """

    scale_bar: str = "auto"
    crop_bar: bool = True
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        require_choice("scale_bar", self.scale_bar, MODES)
        for box in self.boxes:
            if len(box) != 4 or min(box) < 0 or box[0] >= box[2] or box[1] >= box[3]:
                raise ValueError(
                    "a box to leave out is (top, left, bottom, right) in px, half-open, 0 or more."
                    f" Received: {tuple(box)}. Use (480, 0, 512, 640) for rows 480 to 511."
                )

    @property
    def reads_text(self) -> bool:
        if self.scale_bar == "auto":
            return can_read_text()
        return self.scale_bar == "require"

    def options(self) -> dict[str, Any]:
        """What a sidecar says of it; nothing of the usual, as in older ones."""
        return {} if self == Drawn() else {"drawn": vars(self)}

    def of(self, micrograph: Micrograph) -> tuple[Micrograph, tuple[Box, ...]]:
        """The micrograph, calibrated where its scale bar could be read, and what to leave out.

        Raises:
            ValueError: a scale bar is required, and there is neither one nor a calibration.
            MissingTextReaderError: a scale bar is required, and RapidOCR is not installed.
        """
        if not (self.crop_bar or self.reads_text):
            return micrograph, self.boxes
        from temzoo.micrographs.annotations import annotations_drawn_in

        found = annotations_drawn_in(micrograph.pixels, read_text=self.reads_text)
        boxes = (*self.boxes, *(found.boxes if self.crop_bar else ()))
        if found.scale_bar is None and self.scale_bar == "require" and not micrograph.nm_per_pixel:
            raise ValueError(
                f"{micrograph.name}: needs a scale bar that can be read without doubt, or a"
                " calibration in its file. Received: neither. Calibrate it by hand: `temzoo measure"
                " … --nm-per-pixel 0.5`."
            )
        return calibrated(micrograph, found.scale_bar), boxes


def calibrated(micrograph: Micrograph, bar: ScaleBar | None) -> Micrograph:
    """The micrograph with the calibration of its scale bar, where its file states none.

    A file's own calibration wins; where it differs by more than 3 %, ``calibration`` says so.
    """
    if bar is None:
        return micrograph
    seen = f"{bar.text} = {bar.length_px:.0f} px"
    if micrograph.nm_per_pixel is None:
        scale = bar.nm_per_pixel, bar.nm_per_pixel
        return replace(micrograph, nm_per_pixel=scale, calibration=f"{FROM_PICTURE}: {seen}")
    ratio = bar.nm_per_pixel / micrograph.nm_per_pixel[1]
    if 1 / (1 + AGREE) <= ratio <= 1 + AGREE:
        return micrograph
    said = f"the picture's scale bar says {bar.nm_per_pixel:.4g} nm: {seen}"
    return replace(micrograph, calibration=f"{micrograph.calibration or 'file'}; {said}")


def boxes_of(texts: Sequence[str] | None) -> tuple[Box, ...]:
    """The boxes of texts "ROW,COL,ROW,COL".

    Raises:
        ValueError: a text is not of this form.
    """
    boxes = []
    for text in texts or ():
        try:
            top, left, bottom, right = map(int, text.split(","))
        except ValueError:
            raise ValueError(
                "--ignore-box must be ROW,COL,ROW,COL in px: top, left, bottom, right, such as"
                f" 480,0,512,640. Received: {text!r}."
            ) from None
        boxes.append((top, left, bottom, right))
    return tuple(boxes)
