"""The operations of augmentation, how often and how strongly each is done, and the presets."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Op:
    """One operation: how often, and how strongly.

    Attributes:
        name: what is done; one of the names in ``EM_INVERT``.
        probability: that an example is changed by it, 0 to 1.
        low, high: the range its strength is drawn from.
        unit: of the strength.
        why: what it stands for.
        spacing: "linear" (uniform), "log" (uniform in the logarithm) or "whole" (whole numbers,
            both ends included).
    """

    name: str
    probability: float
    low: float
    high: float
    unit: str
    why: str
    spacing: str = "linear"


# fmt: off
EM = (
    # name             prob. low    high   unit                      why
    Op("quarter_turn", .75,  1,     3,     "quarters clockwise",     "no side is up", "whole"),
    Op("flip",         .5,   1,     1,     "left to right",          "no hand is special", "whole"),
    Op("rotate",       .5,   -45,   45,    "degrees clockwise",      "no direction is up"),
    Op("zoom",         .5,   .8,    1.25,  "times larger",           "magnification", "log"),
    Op("shift",        .25,  -.08,  .08,   "of the side, each axis", "objects cut by the border"),
    Op("elastic",      .2,   1,     5,     "px, moves of a grid",    "no two shapes are alike"),
    Op("blur",         .15,  .4,    1.5,   "px, sigma",              "defocus, detector response"),
    Op("background",   .25,  .05,   .25,   "of the range",           "thickness, illumination"),
    Op("poisson",      .25,  20,    500,   "electrons per white px", "dose", "log"),
    Op("gaussian",     .25,  .01,   .08,   "of the range, sigma",    "readout noise"),
    Op("salt_pepper",  .1,   .0005, .01,   "of the pixels",          "dead pixels, X-rays", "log"),
    Op("gamma",        .3,   .7,    1.4,   "exponent",               "thickness law", "log"),
    Op("contrast",     .3,   .7,    1.3,   "times about mid-grey",   "gain, objective aperture"),
    Op("brightness",   .3,   -.15,  .15,   "of the range",           "beam current, offset"),
)
INVERT = Op("invert",  .3,   1,     1,     "dark to bright",         "bright or dark field")
# fmt: on
AFFINE = ("rotate", "zoom", "shift")
GEOMETRY = frozenset({*AFFINE, "quarter_turn", "flip", "elastic"})  # these move the map as well
ELASTIC_SPACING_PX = 32  # of the grid that moves; with moves up to 5 px it never folds over
MID_GREY = 0.5
_MILD = {
    "rotate": (0.3, -15, 15),
    "zoom": (0.3, 0.9, 1.11),
    "shift": (0.25, -0.05, 0.05),
    "gaussian": (0.15, 0.01, 0.03),
    "contrast": (0.3, 0.85, 1.15),
    "brightness": (0.3, -0.08, 0.08),
}
LIGHT = tuple(op for op in EM if op.name in {"quarter_turn", "flip"}) + tuple(
    replace(op, probability=_MILD[op.name][0], low=_MILD[op.name][1], high=_MILD[op.name][2])
    for op in EM
    if op.name in _MILD
)
# Where brightness tells classes apart, dark and bright must not be exchanged: a preset of its own.
EM_INVERT = (*EM, INVERT)
PRESETS: dict[str, tuple[Op, ...]] = {
    "none": (),
    "light": LIGHT,
    "em": EM,
    "em_invert": EM_INVERT,
}
