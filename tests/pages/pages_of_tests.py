"""What the tests of the report share: predictions of known disks, and a strict reader of HTML."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from temzoo.core.files import file_stem
from temzoo.core.types import Micrograph, Prediction
from temzoo.store import predictions, sidecar

VOID = {"meta", "link", "img", "br", "input", "hr", "image", "use", "path", "rect", "circle"}
HOSTILE = """</script><script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;"""


def disks(
    name: str = "a.png", *, size: int = 160, radius: int = 12, every: int = 40, **more
) -> tuple[Prediction, np.ndarray]:
    """A prediction of disks on a grid, and its micrograph; the first row is cut by the border."""
    row, col = np.mgrid[:size, :size]
    instances = np.zeros((size, size), np.int32)
    number = 0
    for top in range(0, size, every):
        for left in range(every // 2, size - radius, every):
            number += 1
            instances[(row - top) ** 2 + (col - left) ** 2 <= radius**2] = number
    pixels = (180 - 90 * (instances > 0)).astype(np.uint8)
    prediction = Prediction(
        classes=(instances > 0).astype(np.uint8),
        instances=instances,
        class_names=more.pop("class_names", ("particle",)),
        name=name,
        **more,
    )
    return prediction, pixels


def save_disks(folder: Path, images: Path, names: list[str], **more) -> Path:
    """Predictions of disks with their micrographs on disk."""
    images.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        prediction, pixels = disks(name, radius=8 + 2 * k, **more)
        source = images / f"{file_stem(name)}.png"
        cv2.imwrite(str(source), pixels)
        origin = sidecar.Origin(source, "unet", "runs/first", "0" * 64, {"tile": None}, 1.5)
        predictions.save(prediction, folder, origin=origin)
    return folder


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict, str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            attributes, before = self.scripts.pop()
            self.scripts.append((attributes, before + data))
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def block(self, name: str):
        return next(json.loads(c) for a, c in self.scripts if a.get("id") == name)

    def all(self, tag: str, **wanted) -> list[dict]:
        wanted = {k.rstrip("_"): v for k, v in wanted.items()}
        return [a for t, a in self.tags if t == tag and wanted.items() <= a.items()]


__all__ = ["HOSTILE", "Micrograph", "Reader", "disks", "save_disks"]
