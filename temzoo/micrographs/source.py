"""The interface of all readers: the images of an open file; sizes are known before pixels."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from temzoo.micrographs.calibration import Scale

_ONE_THREAD = threading.Lock()
LOG = logging.getLogger("temzoo.micrographs")


def say(path: Path, how: str) -> None:
    """Logs how a file was read that could be read in two ways; ``temzoo info`` shows it."""
    LOG.info("%s: %s", path, how)


class MicrographError(ValueError):
    """A file that is no usable micrograph; the message names it and says what to do."""


class MissingReaderError(MicrographError):
    """A file of a format whose reader is not installed; the message says how to install it."""


class Images(Protocol):
    """The images of an open file, numbered from 0; one, where it does not say how many."""

    def count(self) -> int:
        """How many there are."""
        return 1

    def size(self, frame: int) -> tuple[int, ...]:
        """(height, width) that ``read`` will give, from the header alone."""
        ...

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        """The pixels, and the size of one (row, col) in nm where the file says it."""
        ...

    def stored(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        """The same, but the numbers that are stored: no palette's colours, nothing inverted."""
        return self.read(frame)


@dataclass(frozen=True)
class Stack(Images):
    """Images of one size and calibration: (H, W) or (frames, H, W), perhaps left on disk."""

    data: Any
    scale: Scale | None

    def count(self) -> int:
        return 1 if self.data.ndim == 2 else len(self.data)

    def size(self, frame: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.data.shape[-2:])

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        plane = self.data if self.data.ndim == 2 else self.data[frame]
        if hasattr(plane, "compute"):
            # No threads of dask's beside those of the training pipeline.
            plane = plane.compute(scheduler="synchronous")
        if plane.dtype.names:  # red, green, blue and alpha of Digital Micrograph
            plane = np.stack([plane[name] for name in plane.dtype.names[:3]], axis=-1)
        return np.array(plane), self.scale


@dataclass(frozen=True)
class OneAfterAnother(Images):
    """The images of several files, or stacks of a file, in their order."""

    parts: Sequence[Images]

    def count(self) -> int:
        return sum(part.count() for part in self.parts)

    def size(self, frame: int) -> tuple[int, ...]:
        part, frame = self._find(frame)
        return part.size(frame)

    def read(self, frame: int) -> tuple[np.ndarray, Scale | None]:
        part, frame = self._find(frame)
        return part.read(frame)

    def _find(self, frame: int) -> tuple[Images, int]:
        for part in self.parts:
            if frame < part.count():
                return part, frame
            frame -= part.count()
        raise IndexError(frame)


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
