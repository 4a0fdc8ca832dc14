"""Drawn data sets as files."""

from __future__ import annotations

from pathlib import Path

from temzoo.core import writers
from temzoo.core.types import Micrograph
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.synthesize import synthesize


def write_dataset(
    folder: str | Path,
    *,
    n: int = 24,
    seed: int = 0,
    size: int | tuple[int, int] = 512,
    scene: Scene | None = None,
    **changes: object,
) -> tuple[Path, Path]:
    """Writes micrographs as calibrated TIFF, as ImageJ does, and their labels as CVAT XML.

    Args:
        folder: gets ``images/synthetic_0000.tif`` ... and ``annotations.xml``.
        n: number of images.
        seed: image i is made from the seed (seed, i), so that more images keep the first ones.
        size, scene, changes: see ``synthesize``.

    Returns:
        The folder of images and the annotation file.
    """
    from temzoo.labels.formats import cvat_writing

    if n < 1:
        raise ValueError(f"n must be at least 1 image. Received: n={n}.")
    images, annotations = Path(folder) / "images", Path(folder) / "annotations.xml"
    labels = []
    for index in range(n):
        name = f"synthetic_{index:04d}.tif"
        micrograph, labelled = synthesize(
            (seed, index), size=size, scene=scene, name=name, **changes
        )
        write_tiff(images / name, micrograph)
        labels.append(labelled)
    cvat_writing.write(annotations, labels)
    return images, annotations


def write_tiff(path: str | Path, micrograph: Micrograph) -> None:
    """Writes a micrograph as TIFF that ImageJ opens with its calibration.

    Args:
        path: the file, replaced when it is there.
        micrograph: uint8, uint16 or float32.
    """
    writers.write_tiff(path, micrograph.pixels, micrograph.nm_per_pixel)
