"""Suggestions for names that were not found."""

from __future__ import annotations

import difflib


def did_you_mean(word: str, words: list[str] | tuple[str, ...]) -> str:
    """The words " Did you mean …?" with close matches; an empty text where there are none."""
    close = difflib.get_close_matches(str(word), [str(w) for w in words], n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""
