"""Pictures that a latent space holds: of a plane, along an axis, between two images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import norm

from temzoo.latent.codes import (
    Encoded,
    active_units,
    checked_images,
    decode_codes,
    encode_images,
    reconstruct,
    squared_error,
)
from temzoo.pictures.colours import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from temzoo.pictures.sheets import write_figure

# The palette of ``report`` and two more, for ten digits; markers differ too, since no ten colours
# stay apart for all eyes.
BROWN, VIOLET = (122, 74, 30), (94, 60, 153)
POINT_COLOURS = tuple(
    "#{:02x}{:02x}{:02x}".format(*colour)
    for colour in (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK, BROWN, VIOLET)
)
UNKNOWN_COLOUR = "#b4b4b4"
FRAME_COLOUR = POINT_COLOURS[3]
MOST_AXES = 32  # rows of the traversals
GUTTER = 0.08  # of an image's side, around each picture
THREAD = 0.5  # grey between the pictures of the plane: without it digits of 8 px grow together
TICKS = 6


def manifold(
    model: Any,
    path: str | Path,
    *,
    steps: int = 20,
    encoded: Encoded | None = None,
    title: str = "",
) -> Path:
    """Draws what the model decodes over a plane of its latent space.

    The coordinates are normal quantiles of evenly spaced probabilities, so that every picture
    stands for the same share of the prior (Kingma and Welling 2014, figure 4). Of a plain
    autoencoder, which has no prior, they are scaled to its codes where these are given.

    Args:
        model: with ``decode`` and ``latent_dim``.
        path: of the picture (PNG, PDF …).
        steps: pictures along each side.
        encoded: data: the two most active dimensions in it are drawn, else 0 and 1 (of a single
            one a row); an autoencoder's scale and middle are those of its codes.
    """
    right, up = _plane(model.latent_dim, encoded)
    middle, scale = _scale(model.latent_dim, encoded)
    quantiles = norm.ppf((np.arange(steps) + 0.5) / steps)
    columns = middle[right] + scale[right] * quantiles
    rows = np.zeros(1) if up is None else (middle[up] + scale[up] * quantiles)[::-1]
    codes = np.tile(middle, (len(rows), steps, 1))
    codes[..., right] = columns
    if up is not None:
        codes[..., up] = rows[:, None]
    pictures = decode_codes(model, codes.reshape(-1, model.latent_dim))
    pictures = pictures.reshape(len(rows), steps, *pictures.shape[1:])

    figure = Figure(figsize=(6.8, 6.1 * len(rows) / steps + 0.8), layout="constrained")
    axis = figure.subplots()
    side = _show(axis, _mosaic(pictures, fill=THREAD)) / steps
    axis.set_xticks(*_ticks(columns, side))
    axis.set_xlabel(f"z{right}")
    axis.set_yticks(*(_ticks(rows, side) if up is not None else ([], [])))
    axis.set_ylabel("" if up is None else f"z{up}")
    axis.set_title(title or _manifold_title(model.latent_dim, encoded), fontsize=10)
    return write_figure(figure, path)


def traversals(
    model: Any,
    path: str | Path,
    *,
    steps: int = 11,
    span: float = 3.0,
    encoded: Encoded | None = None,
    around: np.ndarray | None = None,
) -> Path:
    """Draws what each latent dimension does: one row each, all others held.

    Args:
        model: with ``decode`` and ``latent_dim``; with ``encode`` where ``around`` is given.
        steps: pictures in a row.
        span: standard deviations from the middle to either end; of the prior, or of the codes of a
            plain autoencoder.
        encoded: data: rows are ordered by their activity in it, and inactive ones marked; without
            it, rows are in the dimensions' order. At most 32 rows are drawn.
        around: (S, S) or (S, S, C) image whose code the others are held at; the step nearest to
            its own is framed. None: 0, or a plain autoencoder's mean code.

    Raises:
        ValueError: the image is not of the model's size.
    """
    count = model.latent_dim
    order = (np.arange(count) if encoded is None else encoded.order)[:MOST_AXES]
    middle, scale = _scale(count, encoded)
    held = middle if around is None else encode_images(model, around[None]).means[0]
    offsets = np.linspace(-span, span, steps)
    codes = np.tile(held, (len(order), steps, 1)).astype(np.float64)
    for row, k in enumerate(order):
        codes[row, :, k] = middle[k] + scale[k] * offsets
    pictures = decode_codes(model, codes.reshape(-1, count))
    pictures = pictures.reshape(len(order), steps, *pictures.shape[1:])

    size = (0.56 * steps + 1.5, 0.56 * len(order) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    step = _show(axis, _mosaic(pictures)) / steps
    if around is not None:
        _frame(axis, np.abs((held - middle) / scale - offsets[:, None]).argmin(0)[order], step)
    texts = [f"{x:+.2g}".replace("-", "−") if round(x, 9) else "0" for x in offsets]
    axis.set_xticks(step * (np.arange(steps) + 0.5), texts, fontsize=8)
    axis.set_xlabel(f"standard deviations of {_spread_name(encoded)}")
    _name_rows(axis, order, step, encoded)
    axis.set_title(_traversal_title(count, len(order), around, encoded), fontsize=10)
    return write_figure(figure, path)


def reconstructions(
    model: Any,
    images: np.ndarray,
    path: str | Path,
    *,
    count: int = 12,
    encoded: Encoded | None = None,
    title: str = "",
) -> Path:
    """Draws originals above what the model gives back, from the best to the worst.

    Args:
        model: what ``reconstruct`` takes.
        images: (N, S, S) or (N, S, S, C).
        count: how many are shown, at even steps of the error's rank.
        encoded: of these images, where it is there already.
    """
    images = checked_images(model, images)
    again = reconstruct(model, images, encoded=encoded)
    errors = squared_error(images, again).per_image
    ranks = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    shown = np.argsort(errors, kind="stable")[np.unique(ranks)]
    columns = min(6, len(shown))
    bands = np.array_split(shown, -(-len(shown) // columns))
    # Black and white are 0 and 1, or the images' least and greatest beyond those.
    low, high = float(images.min()), float(images.max())
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    figure = Figure(figsize=(1.1 * columns + 0.9, 2.55 * len(bands) + 0.6), layout="constrained")
    for axis, band in zip(figure.subplots(len(bands), 1, squeeze=False)[:, 0], bands, strict=True):
        pair = (np.stack([images[band], again[band]]) - low) / (high - low)
        width = _show(axis, _mosaic(pair, columns=columns))
        step = width / columns
        texts = [f"{error:#.3g}" for error in errors[band]]
        axis.set_xticks(step * (np.arange(len(band)) + 0.5), texts, fontsize=8)
        axis.set_yticks(step * np.array([0.5, 1.5]), ["original", "decoded"], fontsize=8)
    figure.supxlabel("mean squared error per pixel", fontsize=9)
    text = f"Best to worst of {len(images):,} images, at even steps of rank"
    figure.suptitle(title or text, fontsize=10)
    return write_figure(figure, path)


def strips(rows: Sequence[tuple[str, np.ndarray]], path: str | Path, *, title: str = "") -> Path:
    """Draws rows of pictures below each other, each with its name.

    Args:
        rows: name, and (N, S, S, C) pictures in [0, 1], as many in each row.

    Raises:
        ValueError: there are no rows, or they differ in shape.
    """
    shapes = [pictures.shape for _, pictures in rows]
    if len(set(shapes)) != 1:
        raise ValueError(
            f"rows must be there, and hold as many pictures of one size. Received: {shapes}. "
            "Leave pictures out of the longer ones."
        )
    count, names = shapes[0][0], [name for name, _ in rows]
    longest = max(len(line) for name in names for line in name.split("\n"))
    size = (0.56 * count + 0.08 * longest + 0.4, 0.56 * len(rows) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    step = _show(axis, _mosaic(np.stack([pictures for _, pictures in rows]))) / count
    axis.set_anchor("E")  # what is left over is for the names
    axis.set_xticks([])
    axis.set_yticks(step * (np.arange(len(rows)) + 0.5), names, fontsize=8)
    axis.set_title(title, fontsize=10)
    return write_figure(figure, path)


def _plane(count: int, encoded: Encoded | None) -> tuple[int, int | None]:
    """The dimensions drawn to the right and upwards."""
    if count == 1:
        return 0, None
    # Of two both are drawn, laid out as in ``scatter``.
    first, second = (0, 1) if count == 2 or encoded is None else encoded.order[:2].tolist()
    return first, second


def _scale(count: int, encoded: Encoded | None) -> tuple[np.ndarray, np.ndarray]:
    """(D,) middle and standard deviation: of the prior, or of a plain autoencoder's codes."""
    if encoded is None or encoded.log_variances is not None:
        return np.zeros(count), np.ones(count)
    spread = np.sqrt(encoded.activity)
    return encoded.means.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def _spread_name(encoded: Encoded | None) -> str:
    plain = encoded is not None and encoded.log_variances is None
    return "the codes" if plain else "the prior"


def _manifold_title(count: int, encoded: Encoded | None) -> str:
    if count <= 2:
        plain = _spread_name(encoded) == "the codes"
        over = "over the spread of its codes" if plain else "at even shares of the prior"
        return f"The whole latent space, decoded {over}"
    others = "1 dimension" if count == 3 else f"{count - 2} dimensions"
    return f"A plane of the latent space, decoded; the other {others} at their middle"


def _traversal_title(
    count: int, drawn: int, around: np.ndarray | None, encoded: Encoded | None
) -> str:
    which = f"The {drawn} most active of {count}" if drawn < count else "All"
    which = f"The first {drawn} of {count}" if drawn < count and encoded is None else which
    held = "their middle" if around is None else "an image's code (framed)"
    return f"{which} latent dimensions one at a time, the others at {held}"


def _ticks(values: np.ndarray, side: float) -> tuple[np.ndarray, list[str]]:
    """Places and texts of some of the coordinates of a mosaic's cells."""
    count = TICKS + len(values) % 2  # the middle has a tick where it has a cell
    chosen = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
    return (chosen + 0.5) * side, [f"{values[k]:.2f}".replace("-", "−") for k in chosen]


def _mosaic(pictures: np.ndarray, *, fill: float = 1.0, columns: int | None = None) -> np.ndarray:
    """(rows, columns, S, S, C) pictures as one, ``fill`` between and where a row is short."""
    rows, found, side, _, channels = pictures.shape
    border = max(round(GUTTER * side), 1)
    step = side + 2 * border
    canvas = np.full((rows * step, (columns or found) * step, channels), fill, np.float32)
    for row in range(rows):
        for column in range(found):
            top, left = row * step + border, column * step + border
            canvas[top : top + side, left : left + side] = pictures[row, column]
    return canvas


def _show(axis: Axes, mosaic: np.ndarray) -> int:
    """Shows a mosaic in whole pixels from 0, grey or in colour; its width."""
    height, width, channels = mosaic.shape
    seen = np.clip(mosaic if channels == 3 else mosaic.mean(axis=2, keepdims=True), 0, 1)
    rgb = np.broadcast_to(seen, (height, width, 3))
    # Enlarged pixels keep their edges, shrunk ones are averaged.
    axis.imshow(rgb, extent=(0, width, height, 0), interpolation="antialiased")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return width


def _frame(axis: Axes, columns: np.ndarray, step: float) -> None:
    inset = GUTTER / (1 + 2 * GUTTER) / 2 * step  # midway between two pictures' borders
    for row, column in enumerate(columns):
        corner, side = (column * step + inset, row * step + inset), step - 2 * inset
        frame = Rectangle(corner, side, side, fill=False, ec=FRAME_COLOUR, lw=1.8, clip_on=False)
        axis.add_patch(frame)


def _name_rows(axis: Axes, order: np.ndarray, step: float, encoded: Encoded | None) -> None:
    names = [f"z{k}" for k in order]
    active = np.ones(len(order), bool)
    if encoded is not None:
        active = active_units(encoded.means)[order]
        marked = zip(order, active, strict=True)
        names = [f"z{k}" if on else f"z{k} inactive" for k, on in marked]
    axis.set_yticks(step * (np.arange(len(order)) + 0.5), names, fontsize=8)
    for text, on in zip(axis.get_yticklabels(), active, strict=True):
        text.set(color="black" if on else "#767676", style="normal" if on else "italic")
