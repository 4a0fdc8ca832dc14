"""Shapes of CVAT 1.1: elements and attributes to points."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

import numpy as np

from temzoo.labels.formats.cvat_writing import BOX, CUBOID
from temzoo.labels.formats.limits import require_finite

NOT_SEPARATORS = bytes(set(range(256)) - set(b",;"))
Attributes = Mapping[str, str]


def text_of(attributes: Attributes, name: str) -> str:
    try:
        return attributes[name]
    except KeyError:
        raise ValueError(
            f"the attribute {name!r} is missing. Received: {sorted(attributes)}. "
            "Add it, or remove the element."
        ) from None


def whole(attributes: Attributes, name: str, default: int | None = None) -> int:
    if default is not None and name not in attributes:
        return default
    text = text_of(attributes, name)
    try:
        value = int(text)
    except ValueError:
        value = 2**31
    if abs(value) >= 2**31:
        raise ValueError(
            f"{name} must be a whole number below 2**31. Received: {name}={text[:60]!r}. "
            "Correct it."
        )
    return value


def flag(attributes: Attributes, name: str) -> bool:
    text = attributes.get(name, "0")
    if text not in ("0", "1"):
        raise ValueError(f"{name} must be 0 or 1. Received: {name}={text[:60]!r}. Correct it.")
    return text == "1"


def _numbers(attributes: Attributes, *names: str) -> np.ndarray:
    """What the attributes state, all of it finite."""
    values = []
    for name in names:
        text = text_of(attributes, name)
        try:
            values.append(float(text))
        except ValueError:
            raise ValueError(
                f"{name} must be a number. Received: {name}={text[:60]!r}. Correct it."
            ) from None
    numbers = np.array(values)
    require_finite(numbers)
    return numbers


def vertices(text: str) -> np.ndarray:
    """(N, 2) (row, col) of ``x,y;x,y;…``."""
    commas = text.count(",")
    separators = text.encode().translate(None, NOT_SEPARATORS).removesuffix(b";")
    try:
        flat = np.fromstring(text.replace(";", ","), dtype=np.float64, sep=",")
    except (ValueError, DeprecationWarning):  # the latter: NumPy 1
        flat = np.zeros(0)
    if not commas or flat.size != 2 * commas or separators != (b",;" * commas)[:-1]:
        raise ValueError(
            f"points must be numbers as 'x,y;x,y;…'. Received: points={text[:60]!r} "
            f"({len(text)} characters). Draw the shape again, or remove it."
        )
    points = np.ascontiguousarray(flat.reshape(-1, 2)[:, ::-1])
    require_finite(points)
    return points


def geometry(kind: str, attributes: Attributes) -> dict[str, Any]:
    """The Shape's fields ``kind``, ``points``, ``rotation`` and ``runs``."""
    fields: dict[str, Any] = {"kind": intern(kind)}
    if kind in ("polygon", "polyline", "points"):
        fields["points"] = vertices(text_of(attributes, "points"))
    elif kind in ("box", "ellipse"):
        names = BOX if kind == "box" else ("cx", "cy", "rx", "ry")
        fields["points"] = _numbers(attributes, *names).reshape(2, 2)[:, ::-1].copy()
        if "rotation" in attributes:
            fields["rotation"] = float(_numbers(attributes, "rotation")[0])
    elif kind == "mask":
        left, top, width, height = (
            whole(attributes, name) for name in ("left", "top", "width", "height")
        )
        fields["points"] = np.array([[top, left], [top + height, left + width]], dtype=np.float64)
        fields["runs"] = _runs(text_of(attributes, "rle"))
    elif kind == "cuboid":
        fields["points"] = _numbers(attributes, *CUBOID).reshape(-1, 2)[:, ::-1].copy()
    else:
        stated = attributes.get("points", "")
        fields["points"] = vertices(stated) if stated else np.zeros((0, 2))
    if kind == "ellipse" and fields["points"][1].min() < 0:
        row_axis, col_axis = fields["points"][1].tolist()
        raise ValueError(
            "an ellipse's semi-axes must not be negative. "
            f"Received: rx={col_axis}, ry={row_axis}. Draw it again, or remove it."
        )
    return fields


def _runs(text: str) -> np.ndarray:
    try:
        runs = np.fromstring(text, dtype=np.int64, sep=",")
    except (ValueError, DeprecationWarning):  # the latter: NumPy 1
        runs = np.zeros(0, dtype=np.int64)
    if runs.size != text.rstrip(" ,").count(",") + 1:
        raise ValueError(
            f"rle must be whole numbers as 'n, n, n'. Received: rle={text[:60]!r}. "
            "Draw the mask again, or remove it."
        )
    return runs
