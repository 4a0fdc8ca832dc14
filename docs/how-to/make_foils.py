"""Draws the foils of "Bubbles, loops and lines", and says what is in the new ones.

    python docs/how-to/make_foils.py

writes ``foils/`` into the current folder: 12 micrographs each of bubbles, loops and lines to learn
from, 6 new ones each, and ``foils/scenes.png``, a picture of all scenes. After the page's recipes,

    python docs/how-to/make_foils.py found

writes ``foils/found.jpg``, a picture of what they found.
"""

import math
import sys
from pathlib import Path

import cv2
import numpy as np

import temzoo
from temzoo.labels.shapes.windows import outline
from temzoo.measurement.lines import lines_of_labels, summarize_lines

FOLDER, THICKNESS_NM, SIZE = Path("foils"), 100.0, 512
NM_PER_PIXEL = {"bubbles": 0.25, "loops": 0.5, "lines": 0.5}
SHOWN = (("bubbles", {}), ("bubbles", {"defocus_nm": -700.0}), ("loops", {}), ("lines", {}))
FOUND, SIDE = {"bubbles": 2, "loops": 2, "lines": 1}, 400  # which of the new ones; px


def main() -> None:
    for scene in NM_PER_PIXEL:
        temzoo.synthetic.write_dataset(FOLDER / scene, n=12, seed=1, scene=scene)
        _, new = temzoo.synthetic.write_dataset(FOLDER / f"{scene}-new", n=6, seed=2, scene=scene)
        labels = temzoo.labels.read(new)
        print(f"drawn, {scene}-new: {lines(labels) if scene == 'lines' else sizes(labels, scene)}")
    pictures = [np.vstack(panel(scene, changes)) for scene, changes in SHOWN]
    cv2.imwrite(str(FOLDER / "scenes.png"), np.hstack(pictures))


def found() -> None:
    paths = [Path(f"found-{scene}/synthetic_{k:04d}_overlay.png") for scene, k in FOUND.items()]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise SystemExit(f"The recipes come first. Received: no {', '.join(missing)}.")
    how = {"dsize": (SIDE, SIDE), "interpolation": cv2.INTER_AREA}
    pictures = [cv2.resize(cv2.imread(str(path)), **how) for path in paths]
    cv2.imwrite(str(FOLDER / "found.jpg"), np.hstack(pictures), [cv2.IMWRITE_JPEG_QUALITY, 88])


def sizes(labels: list, scene: str) -> str:
    shapes = [shape for image in labels for shape in image.shapes]
    long, short = 2 * NM_PER_PIXEL[scene] * np.sort([s.points[1] for s in shapes])[:, ::-1].T
    diameter = np.sqrt(long * short)
    area = len(labels) * (SIZE * NM_PER_PIXEL[scene]) ** 2
    number = len(shapes) / area / THICKNESS_NM * 1e27
    fraction = math.pi / 6 * (diameter**3).sum() / area / THICKNESS_NM
    return (
        f"{len(shapes)}, {len(shapes) / area * 1e6:.0f} per um2, {number:.3g} per m3; D50"
        f" {np.median(diameter):.2f} nm; mean long axis {long.mean():.1f} nm; as spheres"
        f" {fraction:.4f} of the volume"
    )


def lines(labels: list) -> str:
    found = [one for image in labels for one in lines_of_labels(image, nm_per_pixel=0.5)]
    row = summarize_lines(found, thickness_nm=THICKNESS_NM).iloc[-1]
    return (
        f"{row['length_per_area_per_um']:.2f} per um, {row['length_per_volume_per_m2']:.3g} per m2"
    )


def panel(scene: str, changes: dict) -> tuple[np.ndarray, np.ndarray]:
    """The micrograph, and with its labels."""
    micrograph, labels = temzoo.synthetic.synthesize(3, scene=scene, size=300, **changes)
    picture = cv2.cvtColor(micrograph.pixels, cv2.COLOR_GRAY2BGR)
    drawn = picture.copy()
    for shape in labels.shapes:
        points = outline(shape) if shape.has_area else shape.points
        corners = np.round((points[:, ::-1] - 0.5) * 16).astype(np.int32)
        cv2.polylines(drawn, [corners], shape.has_area, (0, 200, 255), 1, cv2.LINE_AA, 4)
    return picture, drawn


if __name__ == "__main__":
    found() if sys.argv[1:] == ["found"] else main()
