"""A NumPy array (.npy): one image, without a calibration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@contextmanager
def open_npy(path: Path) -> Iterator[NumpyImage]:
    """The image of an array file."""
    # Mapped, so that a header which promises more than the file holds costs no memory.
    yield NumpyImage(np.load(path, mmap_mode="r", allow_pickle=False))


@dataclass(frozen=True)
class NumpyImage:
    """One array, still on disk."""

    mapped: np.ndarray

    def count(self) -> int:
        return 1

    def size(self, frame: int) -> tuple[int, ...]:
        return self.mapped.shape[:2]

    def read(self, frame: int) -> tuple[np.ndarray, None]:
        return np.array(self.mapped), None
