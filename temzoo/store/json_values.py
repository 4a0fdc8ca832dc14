"""Tests of what kind a value that was read from JSON is."""

from __future__ import annotations

from typing import Any


def is_finite_number(value: Any) -> bool:
    # Whole numbers of JSON have any length.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_list_of(holds: Any) -> Any:
    return lambda value: isinstance(value, list) and all(holds(item) for item in value)


def is_scale(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(is_finite_number(v) and v > 0 for v in value)
    )


def or_null(holds: Any) -> Any:
    return lambda value: value is None or holds(value)
