"""Texts of errors: suggestions for names that were not found, and the place of what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The words " Did you mean …?" with close matches; an empty text where there are none."""
    close = difflib.get_close_matches(str(word), [str(w) for w in words], n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


@contextmanager
def located(place: str) -> Iterator[None]:
    """Puts a place, such as a file and its image, before the text of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
