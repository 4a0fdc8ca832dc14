"""What errors of all rooms say alike: suggestions, places, and the checks of names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager


def did_you_mean(word: str, words: Iterable[str], show: Callable[[str], str] = str) -> str:
    """The words " Did you mean …?" with close matches, as ``show`` writes them; "" without any."""
    close = difflib.get_close_matches(str(word), [str(w) for w in words], n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(show, close))}?" if close else ""


def require_choice(name: str, value: object, choices: Iterable) -> None:
    """Raises ValueError unless the value of an option is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}. Received: {name}={value!r}.")


def require_classes(
    classes: Sequence[str], known: Collection[str] | None = None, of: str = ""
) -> None:
    """Raises ValueError where class names are one string, or one is not among those known."""
    if isinstance(classes, str):
        raise ValueError(
            f"classes must be a sequence of names. Received: classes={classes!r}. "
            f"Use [{classes!r}]."
        )
    unknown = next((name for name in classes if known is not None and name not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known) or sorted(known)
        raise ValueError(
            f"classes must be among those of the {of}. Received: {unknown!r}. Use "
            f"{', '.join(map(repr, near)) or f'None: there are no {of}'}."
        )


@contextmanager
def located(place: str) -> Iterator[None]:
    """Puts a place, such as a file and its image, before the text of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
