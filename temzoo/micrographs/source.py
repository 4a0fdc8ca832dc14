"""The interface of all readers: the images of an open file; sizes are known before pixels."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from temzoo.micrographs.calibration import Scale

_ONE_THREAD = threading.Lock()


class MicrographError(ValueError):
    """A file that is no usable micrograph; the message names it and says what to do."""


class MissingReaderError(MicrographError):
    """A file of a format whose reader is not installed; the message says how to install it."""


class Images(Protocol):
    """The images of an open file, numbered from 0."""

    def count(self) -> int:
        """How many there are."""
        ...

    def size(self, frame: int) -> tuple[int, ...]:
        """(height, width) that ``read`` will give, from the header alone."""
        ...

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        """The pixels, and the size of one (row, col) in nm where the file says it."""
        ...


@contextmanager
def quietly(logger: str) -> Iterator[None]:
    """Holds back what a library says about a file: it is read, or refused by an error of ours."""
    log = logging.getLogger(logger)
    # Filters and levels belong to the process: two threads at once would restore each other's.
    with _ONE_THREAD, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = log.level
        log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            log.setLevel(level)
