"""Noise as an electron microscope makes it: a clean image becomes a poor one, by a seed.

A degradation is stated in physical units and applied in the order of the instrument, on a scale
where 0 is black and 1 is white:

1. background: thickness and uneven illumination add a smooth field,
2. blur: defocus and the detector's point spread are a Gaussian,
3. scan: the beam is off its place, in a row of its own in each scan line, and its current flickers,
   so that a line is brighter or darker (Jones & Nellist, Microsc. Microanal. 19 (2013) 1050,
   doi:10.1017/S1431927613001402, on the former),
4. dose: electrons are counted. They arrive independently, so counts are Poisson distributed, and
   the variance of a pixel is its signal by the dose (Reimer & Kohl, Transmission Electron
   Microscopy, 5th ed. 2008, on shot noise and the dose that contrast needs),
5. readout: the amplifier adds Gaussian noise, and an offset to each scan line,
6. dead pixels: some show black or white whatever arrives.

Counting comes after the blur: a detector that counts each electron in one pixel. Where electrons
spread over several pixels, as in a scintillator, neighbouring noise is correlated; ``synthetic.py``
images have that.

Nothing is clipped, since that would shift the mean of dark and bright pixels: the mean over many
seeds is the clean image, but for background, blur, jitter and dead pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType

import cv2
import numpy as np

from temzoo.core.hints import did_you_mean

Range = float | tuple[float, float]
Levels = tuple[float, float]
LEVEL_PERCENTILES = (0.1, 99.9)
BACKGROUND_WAVES = 3  # half-waves per side of the background, at most
SHARES = ("background", "salt_pepper", "streaks")
# Of the neighbours at -1, 0, 1, 2 the weights for a place p of the way from 0 to 1: p³, p², p, 1.
KEYS = np.array([[-1, 2, -1, 0], [3, -5, 0, 2], [-3, 4, 1, 0], [1, -1, 0, 0]], np.float32) / 2


def _ends(value: Range) -> tuple[float, float]:
    return tuple(value) if np.shape(value) else (value, value)


@dataclass(frozen=True)
class Degradation:
    """How an image is made poorer. A pair (low, high) is a range that each image draws from.

    Attributes:
        dose_e_per_px: electrons per pixel where the image is white; drawn uniformly in the
            logarithm, everything else uniformly. None: no counting noise.
        readout_e: Gaussian readout noise, electrons rms; needs a dose.
        blur_px: standard deviation of the Gaussian.
        background: largest value of a smooth field of zero mean, as a share of the range.
        salt_pepper: share of the pixels that are black or white.
        jitter_px: standard deviation of the scan lines' shifts along themselves.
        streaks: standard deviation, from line to line, of the gain, and of the offset as a share
            of the range: of a flat image of level v, line means vary by streaks * sqrt(v² + 1).
    """

    dose_e_per_px: Range | None = None
    readout_e: Range = 0.0
    blur_px: Range = 0.0
    background: Range = 0.0
    salt_pepper: Range = 0.0
    jitter_px: Range = 0.0
    streaks: Range = 0.0

    def __post_init__(self) -> None:
        for name, value in self._stated():
            low, high = _ends(value) if np.shape(value) in ((), (2,)) else (-1, -1)
            if not 0 <= low <= high < math.inf:
                raise _refusal(name, value, "a number from 0 on, or (low, high) of such")
            if name in SHARES and high > 1:
                raise _refusal(name, value, "a share, from 0 to 1")
            if name == "dose_e_per_px" and low == 0:
                raise _refusal(name, value, "greater than 0, or None for no counting noise")
        if self.dose_e_per_px is None and _ends(self.readout_e)[1] > 0:
            raise ValueError(
                "readout_e is in electrons, so white must have a number of them. Received: "
                f"readout_e={self.readout_e}, dose_e_per_px=None. State the dose too."
            )

    def draw(self, rng: np.random.Generator) -> Degradation:
        """The same with one number in the place of each range."""
        return Degradation(**{name: _draw(name, value, rng) for name, value in self._stated()})

    def _stated(self) -> list[tuple[str, Range]]:
        pairs = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]


NAMED: Mapping[str, Degradation] = MappingProxyType(
    {
        "low-dose": Degradation(dose_e_per_px=4.0),
        "medium-dose": Degradation(dose_e_per_px=16.0),
        "high-dose": Degradation(dose_e_per_px=64.0),
        "any-dose": Degradation(dose_e_per_px=(2.0, 100.0)),
        # A scan with shaken and flickering lines; photomultipliers count with hardly any readout.
        "stem": Degradation(
            dose_e_per_px=(8.0, 100.0),
            blur_px=(0.0, 0.8),
            jitter_px=(0.1, 0.7),
            streaks=(0.0, 0.04),
        ),
        # A camera behind a scintillator: readout, point spread, uneven field, hot and dead pixels.
        "camera": Degradation(
            dose_e_per_px=(8.0, 100.0),
            readout_e=(0.5, 3.0),
            blur_px=(0.3, 1.0),
            background=(0.0, 0.15),
            salt_pepper=(0.0, 0.002),
        ),
    }
)


def degradation(how: str | Degradation) -> Degradation:
    """A degradation by its name; one that is given comes back as it is.

    Raises:
        ValueError: no degradation is called so; close matches are named.
    """
    if isinstance(how, Degradation):
        return how
    if how not in NAMED:
        raise ValueError(
            f"A degradation is a Degradation or the name of one. Received: {how!r}."
            f"{did_you_mean(how, list(NAMED))} Known: {', '.join(NAMED)}."
        )
    return NAMED[how]


def degrade(
    pixels: np.ndarray,
    how: str | Degradation,
    seed: int | Sequence[int],
    *,
    levels: Levels | None = None,
) -> np.ndarray:
    """Makes an image poorer, as a dose, a scan or a camera would.

    Args:
        pixels: (H, W) or (H, W, C), of any real dtype; rows are the scan lines.
        how: a name in ``NAMED``, or a Degradation.
        seed: whole numbers from 0 on; the same seed gives the same result, bit by bit.
        levels: (black, white) in the pixels' units; None: ``black_and_white(pixels)``. For a crop,
            those of the whole image.

    Returns:
        float32 in the shape and range of ``pixels``, not clipped and not rounded: values below
        black and above white are part of the noise, and cutting them off would shift the mean.

    Raises:
        ValueError: unknown name, or pixels that are no image.
    """
    if pixels.ndim not in (2, 3) or not pixels.size or pixels.dtype.kind not in "uif":
        raise ValueError(
            "pixels must be real numbers of shape (H, W) or (H, W, C), not empty. Received: shape="
            f"{pixels.shape}, dtype={pixels.dtype}. Pass one image."
        )
    rng = np.random.default_rng(seed)
    drawn = degradation(how).draw(rng)
    black, white = black_and_white(pixels) if levels is None else levels
    range_ = np.float32(white - black)
    signal = (pixels.reshape(*pixels.shape[:2], -1).astype(np.float32) - np.float32(black)) / range_
    for step in _STEPS:
        signal = step(signal, drawn, rng)
    return (signal * range_ + np.float32(black)).astype(np.float32).reshape(pixels.shape)


def black_and_white(pixels: np.ndarray) -> Levels:
    """The levels of an image that count as black and white.

    (0, 255) for uint8, since image programs have stretched it; else the 0.1 and 99.9 percentiles,
    because uint16 and float images fill any part of their range, and hot pixels must not set the
    scale. A flat image has a range of 1.
    """
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    black, white = (float(level) for level in np.percentile(pixels, LEVEL_PERCENTILES))
    return black, white if white > black else black + 1.0


def smooth_field(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A random smooth field of zero mean: (height, width) float32, its largest magnitude 1.

    A sum of cosines up to ``BACKGROUND_WAVES`` half-waves a side, the lowest of a DCT.
    """
    waves = np.arange(BACKGROUND_WAVES + 1)[:, None]
    rows, cols = (np.cos(np.pi * waves * (np.arange(n) + 0.5) / n) for n in (height, width))
    strength = rng.standard_normal((len(waves), len(waves)))
    strength[0, 0] = 0.0  # the mean
    field = rows.T @ strength @ cols
    return (field / max(float(np.abs(field).max()), 1e-6)).astype(np.float32)


def count_electrons(signal: np.ndarray, dose: float, rng: np.random.Generator) -> np.ndarray:
    """Counts electrons: 1 receives ``dose`` a pixel, so the variance is signal / dose.

    What lies below 0 gives no counts and stays, so that the mean is kept there as well.
    """
    lit = np.maximum(signal, 0)
    counts = rng.poisson(lit * dose).astype(np.float32)
    return counts / np.float32(dose) + (signal - lit)


def shift_rows(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Each row of (H, W, C) float32 moved right by its own part of pixels, (H,).

    Rows go on as their mirror image. Interpolation is Keys' (IEEE Trans. ASSP 29 (1981) 1153,
    a = -1/2), which keeps parabolas; a linear one would blur rows by their shift.
    """
    width = pixels.shape[1]
    start = np.floor(-shifts).astype(np.int64)
    powers = (-shifts - start).astype(np.float32)[:, None] ** np.array([3, 2, 1, 0])
    shifted = np.zeros_like(pixels)
    for tap, weights in zip((-1, 0, 1, 2), KEYS, strict=True):
        at = (np.arange(width)[None, :] + start[:, None] + tap) % (2 * width)
        at = np.where(at < width, at, 2 * width - 1 - at)
        neighbours = np.take_along_axis(pixels, at[:, :, None], axis=1)
        shifted += (powers @ weights).astype(np.float32)[:, None, None] * neighbours
    return shifted


def _draw(name: str, value: Range, rng: np.random.Generator) -> float:
    low, high = _ends(value)
    if name == "dose_e_per_px":
        return float(np.exp(rng.uniform(math.log(low), math.log(high))))
    return float(rng.uniform(low, high))


def _refusal(name: str, value: object, rule: str) -> ValueError:
    return ValueError(
        f"{name} must be {rule}. Received: {name}={value!r}. Named degradations: "
        f"{', '.join(NAMED)}."
    )


def _background(signal, how, rng):
    if not how.background:
        return signal
    field = smooth_field(*signal.shape[:2], rng)
    return signal + np.float32(how.background) * field[..., None]


def _blur(signal, how, rng):
    if not how.blur_px:
        return signal
    side = 2 * math.ceil(4 * how.blur_px) + 1
    blurred = cv2.GaussianBlur(signal, (side, side), how.blur_px, borderType=cv2.BORDER_REFLECT_101)
    return blurred.reshape(signal.shape)  # OpenCV drops a last axis of 1


def _scan(signal, how, rng):
    if how.jitter_px:
        signal = shift_rows(signal, how.jitter_px * rng.standard_normal(len(signal)))
    if how.streaks:
        signal = signal * (1 + _per_row(signal, how.streaks, rng))
    return signal


def _dose(signal, how, rng):
    return count_electrons(signal, how.dose_e_per_px, rng) if how.dose_e_per_px else signal


def _readout(signal, how, rng):
    if how.readout_e:
        noise = rng.standard_normal(signal.shape, dtype=np.float32)
        signal = signal + noise * np.float32(how.readout_e / how.dose_e_per_px)
    if how.streaks:
        signal = signal + _per_row(signal, how.streaks, rng)
    return signal


def _dead_pixels(signal, how, rng):
    if not how.salt_pepper:
        return signal
    dead = rng.random(signal.shape[:2]) < how.salt_pepper
    shown = rng.integers(2, size=(int(dead.sum()), 1)).astype(np.float32)
    signal = signal.copy()
    signal[dead] = shown  # all channels alike
    return signal


def _per_row(signal: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    return (spread * rng.standard_normal((len(signal), 1, 1))).astype(np.float32)


_STEPS = (_background, _blur, _scan, _dose, _readout, _dead_pixels)
