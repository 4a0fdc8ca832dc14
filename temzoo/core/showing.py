"""How data tells of itself: in a few lines, in a notebook with its picture, as a figure.

What draws pictures is a room above this one, which ``temzoo/__init__.py`` names here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

_DRAWERS: list[Callable[[], Any]] = []
CELL = 'style="text-align:left;vertical-align:top"'


def drawn_by(find: Callable[[], Any]) -> None:
    """Names the module that draws: it has ``png_of`` and ``figure_of``; found when first needed."""
    _DRAWERS[:] = [find]


def drawer() -> Any:
    """The module that draws."""
    return _DRAWERS[0]()


def scale_text(scale: tuple[float, float]) -> str:
    """The size of a pixel in words: "0.4989 nm", or "0.5 (rows) × 0.6 (columns) nm"."""
    row, col = (f"{side:.4g}" for side in scale)
    return f"{row} nm" if scale[0] == scale[1] else f"{row} (rows) × {col} (columns) nm"


def doubtful_text(count: int) -> str:
    """What is to be known of doubtful objects."""
    return f"doubtful: {count}, dashed in the overlays; they are in no count and no size"


def support_text(images: Sequence[str], among: int, share: float) -> str:
    """What to try where objects cover so much of a picture that they may be a support.

    Args:
        images: their names, of ``among``.
        share: of the field, 0 to 1.
    """
    return (
        f"In {len(images)} of {among}, first in {images[0]}, objects cover {share:.0%} of the"
        " picture and more. If they are a support with small particles on it, type: temzoo predict"
        " particles/supported …"
    )


class Told:
    """What is shown of a class in few lines; arrays are told by their shape.

    A subclass is a dataclass with ``repr=False``.
    """

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        """What it is, and facts by their names; an empty one is left out."""
        raise NotImplementedError

    def __repr__(self) -> str:
        head, facts = self._told()
        return "\n".join([head, *(f"  {name}: {fact}" for name, fact in facts.items() if fact)])

    def _repr_html_(self) -> str:
        """For notebooks; all text is escaped."""
        head, facts = self._told()
        rows = "".join(
            f"<tr><th {CELL}>{_html(name)}</th><td {CELL}>{_html(fact)}</td></tr>"
            for name, fact in facts.items()
            if fact
        )
        return f"<div><b>{_html(head)}</b>{self._picture()}<table>{rows}</table></div>"

    def _picture(self) -> str:
        return ""


class Pictured(Told):
    """The same of what has pixels."""

    def _picture(self) -> str:
        png = base64.b64encode(drawer().png_of(self)).decode("ascii")
        return f'<br><img src="data:image/png;base64,{png}" alt="">'


def _html(plain: Any) -> str:
    return escape(str(plain).encode("utf-8", "replace").decode("utf-8"))
