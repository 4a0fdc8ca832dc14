"""A scale bar drawn into a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temzoo.core.round_numbers import round_down

SHARE = 0.2  # of the picture's width that the bar takes, about
LEAST_WIDTH = 100  # px; in a smaller picture the text could not be read
BRIGHT, DARK = (255, 255, 255), (0, 0, 0)


def with_scale_bar(picture: np.ndarray, nm_per_pixel: float) -> np.ndarray:
    """A picture with a scale bar in its lower left corner, white on a black field.

    The bar is 1, 2 or 5 times a power of ten long, the one nearest to a fifth of the width.

    Args:
        picture: (H, W, 3) uint8.
        nm_per_pixel: the width of one of its own pixels.

    Returns:
        (H, W, 3) uint8; the picture as it is where it is too small, below 100 px.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = picture.shape[:2]
    if min(height, width) < LEAST_WIDTH:
        return picture
    length = bar_length(width * nm_per_pixel)
    across, size = max(round(length / nm_per_pixel), 1), max(12, round(width / 40))
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    # Matplotlib's font, which is there and has the letter µ.
    font = ImageFont.truetype(_font(), size)
    text = length_text(length)
    edge, thick = size // 2, max(size // 5, 2)
    wide = max(across, round(draw.textlength(text, font=font)))
    left, bottom = edge, height - edge - 1
    top, right = bottom - (round(1.3 * size) + thick + 2 * edge), left + wide + 2 * edge
    draw.rectangle((left, top, right, bottom), fill=DARK)
    middle = (left + right) / 2
    draw.text((middle, top + edge), text, font=font, fill=BRIGHT, anchor="mt")
    first = round(middle - across / 2)
    draw.rectangle((first, bottom - edge - thick, first + across - 1, bottom - edge), fill=BRIGHT)
    return np.asarray(image)


def bar_length(across_nm: float) -> float:
    """Of 1, 2 and 5 times powers of ten, the nearest to a fifth of a length, by their ratio."""
    wanted = SHARE * across_nm
    below = round_down(wanted)
    above = round_down(2.5 * below)
    return below if wanted / below <= above / wanted else above


def length_text(nanometres: float) -> str:
    """A length with the unit that suits it: "200 nm", "5 µm"."""
    if nanometres >= 1e6:
        return f"{nanometres / 1e6:.3g} mm"
    if nanometres >= 1000:
        return f"{nanometres / 1000:.3g} µm"
    return f"{nanometres:.3g} nm"


def _font() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
