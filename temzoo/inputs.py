"""What every prediction does with a micrograph, whether pixels or objects are predicted.

It is read, checked once, and shown with the channels that the model takes; and a model that is
elsewhere may be asked for several tiles at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from temzoo.micrographs import as_channels, load_micrograph
from temzoo.registry import built
from temzoo.types import Micrograph

Question = TypeVar("Question")
Answer = TypeVar("Answer")

BLOCK_ROWS = 64  # rows per step of whole-image work, so that temporaries stay small


def as_micrograph(micrograph: Micrograph | np.ndarray | str | Path) -> Micrograph:
    """A path is read; bare pixels get no calibration and no name."""
    if isinstance(micrograph, Micrograph):
        return micrograph
    if isinstance(micrograph, str | Path):
        return load_micrograph(micrograph)
    return Micrograph(pixels=np.asarray(micrograph))


def checked_pixels(micrograph: Micrograph) -> np.ndarray:
    """The pixels, (H, W) or (H, W, C) of any real dtype.

    Raises:
        ValueError: for a batch, an image without pixels, complex, NaN or infinite values.
    """
    pixels, name = micrograph.pixels, f" in {micrograph.name!r}" if micrograph.name else ""
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise ValueError(
            "a micrograph must be real numbers of shape (H, W) or (H, W, C). Received: shape="
            f"{pixels.shape}, dtype={pixels.dtype}{name}. Pass one image, not a batch."
        )
    if pixels.size == 0:
        raise ValueError(
            f"a micrograph must have pixels. Received: shape={pixels.shape}{name}. "
            "Check the crop or the file that it came from."
        )
    if pixels.dtype.kind == "f":
        for top in range(0, len(pixels), BLOCK_ROWS):
            if not np.isfinite(pixels[top : top + BLOCK_ROWS]).all():
                raise ValueError(
                    "pixels must be finite. Received: NaN or infinite values"
                    f"{name}, first in rows {top} to {top + BLOCK_ROWS}. "
                    "Replace them, for example by np.nan_to_num."
                )
    return pixels


def channels_view(pixels: np.ndarray, model: Any) -> np.ndarray:
    """(H, W, C) with the channels that the model takes; a view of a grey image, never a copy."""
    shape = getattr(model, "input_shape", None)
    if shape is None:
        return pixels.reshape(*pixels.shape[:2], -1)
    if pixels.ndim == 3:
        return as_channels(pixels, shape[-1])
    return np.broadcast_to(pixels[:, :, None], (*pixels.shape, shape[-1]))


def trained_class_names(model: Any) -> tuple[str, ...]:
    """Names of the classes 1, 2, … that a model's weights were trained on; () when unknown."""
    try:
        return tuple(built(model).class_names)
    except (TypeError, ValueError):
        return tuple(getattr(model, "class_names", ()))


def in_order(
    ask: Callable[[Question], Answer], questions: Iterable[Question], *, in_flight: int = 1
) -> Iterator[Answer]:
    """The answers to questions, in their order.

    Args:
        ask: answers one; with ``in_flight`` above 1 it is called from threads.
        questions: the next is taken when there is room for it.
        in_flight: questions that are taken and not yet given back with their answer, at most.

    Example:
        >>> list(in_order(len, ["a", "bc"], in_flight=2))
        [1, 2]
    """
    if in_flight == 1:
        yield from map(ask, questions)
        return
    waiting: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(in_flight)
    try:
        for question in questions:
            if len(waiting) == in_flight:
                yield waiting.popleft().result()
            waiting.append(pool.submit(ask, question))
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error, what has not begun is left undone
        pool.shutdown(cancel_futures=True)


@contextmanager
def progress_bar(total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Gives ``advance(tiles)``, which moves a progress bar when it is ``shown``."""
    if not shown:
        yield lambda tiles: None
        return
    from rich.progress import Progress  # not paid for by those who want no bar

    with Progress() as drawn:
        task = drawn.add_task("tiles", total=total)
        yield lambda tiles: drawn.advance(task, tiles)
