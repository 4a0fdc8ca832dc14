"""CVAT 1.1 exports of any size, the same on every machine: outlines and boxes of particles."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

LABEL = "particle"
DECLARED = f"<labels><label><name>{LABEL}</name><attributes></attributes></label></labels>"
FIRST = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'


def outline(rng: np.random.Generator, side: int, vertices: int) -> np.ndarray:
    """(vertices, 2) x, y of an uneven blob of 12 to 100 px that lies in the image."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = rng.uniform(8, 40) * (1 + 0.25 * rng.uniform(-1, 1, vertices))
    centre = rng.uniform(60, side - 60, 2)
    return centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def polygon(points: np.ndarray, tags: str, inside: str = "") -> str:
    """A polygon as CVAT writes it."""
    corners = ";".join(f"{x:.2f},{y:.2f}" for x, y in points.tolist())
    return f'    <polygon {tags} points="{corners}" z_order="0">\n{inside}    </polygon>\n'


def images(shapes: Iterable[str], each: int, side: int, count: int | None = None) -> Iterator[str]:
    """CVAT "for images", part by part: so many shapes an image; without ``count`` no end."""
    shapes = iter(shapes)
    if count is not None:
        yield f"  <meta><task><size>{count}</size><mode>annotation</mode>{DECLARED}</task></meta>\n"
    for number in itertools.count() if count is None else range(count):
        yield f'  <image id="{number}" name="{number:06d}.png" width="{side}" height="{side}">\n'
        yield from itertools.islice(shapes, each)
        yield "  </image>\n"


def video(
    tracks: Iterable[tuple[int, np.ndarray]], *, life: int, every: int, side: int, frames: int
) -> Iterator[str]:
    """CVAT "for video", part by part: tracks of so many frames that drift by 2 px a frame.

    Tracks are given by first frame and outline; all frames of theirs are written, and a keyframe is
    ``every`` so many.
    """
    yield f"  <meta><task><size>{frames}</size><mode>interpolation</mode><start_frame>0"
    yield f"</start_frame><stop_frame>{frames - 1}</stop_frame>{DECLARED}<original_size>"
    yield f"<width>{side}</width><height>{side}</height></original_size></task></meta>\n"
    for number, (first, start) in enumerate(tracks):
        yield f'  <track id="{number}" label="{LABEL}" source="manual">\n'
        for frame in range(first, min(first + life + 1, frames)):
            gone, key = frame == first + life, (frame - first) % every == 0
            tags = f'frame="{frame}" outside="{gone:d}" occluded="0" keyframe="{key or gone:d}"'
            yield polygon(start + 2 * (frame - first), tags)
        yield "  </track>\n"


def write(path: Path, parts: Iterable[str], size: int | None = None) -> None:
    """The parts as a file; where a size is given, to the first whole image or track beyond it."""
    with path.open("w", encoding="utf-8") as out:
        written = out.write(FIRST)
        for part in parts:
            written += out.write(part)
            if size and written >= size and part.startswith(("  </image", "  </track")):
                break
        out.write("</annotations>\n")
