"""Colours of pictures and plots.

They are Okabe and Ito's (jfly.uni-koeln.de/color). For errors the choice among them was made by
computing CIELAB distances between the translucent colours, and to the grey beneath, as seen by
normal, protan, deutan and tritan eyes (Machado et al., IEEE TVCG 15, 1291, 2009): sky blue, yellow,
vermilion and blue stay apart by 11 or more on any grey; green and vermilion, the habit, by 2.
Objects are outlined in the same colours, and missed and false ones differ by their line too. The
first five of ``KIND_COLOURS`` are those of the seven that stay farthest apart, by 20 and more.
"""

from __future__ import annotations

from dataclasses import dataclass

ORANGE, SKY, GREEN, YELLOW = (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE, BLACK = (0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0)
CLASS_COLOURS = (SKY, ORANGE, GREEN, YELLOW, VERMILION, PURPLE, BLUE)
KIND_COLOURS = (SKY, YELLOW, VERMILION, BLUE, PURPLE, ORANGE, GREEN)
# Codes of an error map and how they are drawn; 0 is a true negative, left as it is.
CORRECT, FALSE_POSITIVE, MISSED, WRONG_CLASS = 1, 2, 3, 4
ERROR_COLOURS = {
    CORRECT: SKY,
    FALSE_POSITIVE: VERMILION,
    MISSED: YELLOW,
    WRONG_CLASS: BLUE,
}
ERROR_NAMES = {
    CORRECT: "true positive",
    FALSE_POSITIVE: "false positive",
    MISSED: "missed",
    WRONG_CLASS: "wrong class",
}


@dataclass(frozen=True)
class Mark:
    """How an object's outline is drawn.

    Attributes:
        colour: R, G, B.
        width: pixels, in a picture of 512 px.
        dashed: a broken line.
        crossed: with a cross in the middle of the object.
    """

    colour: tuple[int, int, int]
    width: int = 1
    dashed: bool = False
    crossed: bool = False


MARKS = {
    "found": Mark(SKY),
    "missed": Mark(YELLOW, width=2, dashed=True),
    "false": Mark(VERMILION, width=2, crossed=True),
}
UNDECIDED = Mark((190, 190, 190), dashed=True)  # particles whose kind is not sure
DOUBTFUL = Mark(YELLOW, dashed=True)  # objects of which a model is not sure


def error_legend(*, several_classes: bool = False) -> dict[str, tuple[int, int, int]]:
    """Names and colours (R, G, B) of ``error_overlay``, for a legend."""
    codes = [code for code in ERROR_COLOURS if several_classes or code != WRONG_CLASS]
    return {ERROR_NAMES[code]: ERROR_COLOURS[code] for code in codes}


def rgb(colour: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(part / 255 for part in colour)
