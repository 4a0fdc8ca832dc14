"""JSON files: read with errors that name the file, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from temzoo.core.files import atomic_path


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: when it is no complete JSON, or nested beyond any label format.

    Example:
        >>> document = read_json("coco.json")
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: the file must be complete JSON. Received: {error}. Export it again."
        ) from error


def write_json(path: str | Path, document: Any, *, indent: int | None = None) -> None:
    """Writes a JSON file in UTF-8, whole or not at all; with an indent for people to read."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n" if indent else text, encoding="utf-8")
