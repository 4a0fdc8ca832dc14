"""Label images of OME-Zarr, inside the image that they are of, or alone.

The format: https://ngff.openmicroscopy.org/0.5, "labels" and "image-label". What is said of a label
image is written last: before, no reader takes it for one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.micrographs.calibration import Scale
from temzoo.micrographs.zarr_file import attributes_of, is_zarr, sizes_of

CHUNK = 1024  # px
NAME = re.compile(r"[\w.-]*\w")
LABELS, VERSIONS = "labels", {2: "0.4", 3: "0.5"}  # of OME-Zarr by that of Zarr


def save_ome_zarr(
    labels: Any,
    path: str | Path,
    *,
    name: str = "instances",
    nm_per_pixel: Scale | None = None,
) -> Path:
    """Writes labels as OME-Zarr, of version 0.5, or of that of the image which they are put into.

    Args:
        labels: (H, W) or (N, H, W) whole numbers, 0 is background; also a dask array, such as
            ``temzoo.predict`` gives of a lazy image, which is computed block by block.
        path: an image of OME-Zarr of the labels' shape, which gets them as ``labels/NAME``, with
            its axes and scale; or a folder that is not there, which holds them alone.
        name: of the labels in the image.
        nm_per_pixel: (row, col), of labels alone.

    Returns:
        The folder of the labels.

    Raises:
        ValueError: other labels; an image of another shape.
        FileExistsError: there are labels of that name, or a folder that is no image.

    Example:
        >>> labels = temzoo.predict(model, zarr.open_array("scan.ome.zarr/0"))
        >>> save_ome_zarr(labels, "scan.ome.zarr")
    """
    import zarr

    path = Path(path)
    require_labels(labels, name)
    if not path.exists():
        axes, scale = _axes_of(labels.ndim, nm_per_pixel)
        _write(zarr.open_group(path, mode="w", zarr_format=3), labels, axes, scale)
        return path
    image: Any = zarr.open_group(path, mode="r+") if is_zarr(path) else None
    told = attributes_of(image).get("multiscales") if image is not None else None
    if not told:
        raise FileExistsError(
            "Labels are written into an image of OME-Zarr, or into a new folder. Received: "
            f"{path}, which is neither. Give another path."
        )
    axes = told[0].get("axes")
    shape = tuple(image[told[0]["datasets"][0]["path"]].shape)
    if shape != tuple(labels.shape) or not axes:
        raise ValueError(
            f"labels must have the shape and the named axes of their image. Received: "
            f"{tuple(labels.shape)} for {shape}, {path}. Write them alone, into a new folder."
        )
    group = image.require_group(LABELS)
    known = attributes_of(group).get(LABELS, [])
    if name in known:
        raise FileExistsError(
            f"Labels have a name of their own. Received: {name}, which {path} has. Give another"
            " name."
        )
    scale = [float(size or 1) for size in sizes_of(told[0], labels.ndim)]
    inside = group.create_group(name, overwrite=True)  # of a writer that was killed
    _write(inside, labels, axes, scale, source="../../")
    _tell(group, {LABELS: [*known, name]})
    return path / LABELS / name


def _axes_of(dimensions: int, nm: Scale | None) -> tuple[list[dict[str, str]], list[float]]:
    """Axes of labels alone, and the size of a pixel along each."""
    unit = {} if nm is None else {"unit": "nanometer"}
    axes = [{"name": name, "type": "space", **unit} for name in "yx"]
    frames = [{"name": "t", "type": "time"}] * (dimensions - 2)
    return frames + axes, [1.0] * (dimensions - 2) + [float(side) for side in nm or (1, 1)]


def require_labels(labels: Any, name: str) -> None:
    """Raises ValueError where something is no label image, or its name none of a folder."""
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "ui" or not NAME.fullmatch(name):
        raise ValueError(
            "labels must be whole numbers, (H, W) or (N, H, W), of a name without / or spaces."
            f" Received: {labels.dtype} of shape {tuple(labels.shape)}, {name!r}. Take the"
            " instances of a prediction."
        )


def write_array(group: Any, name: str, labels: Any, **how: Any) -> None:
    """Writes labels as an array of a group, a frame or a square of ``CHUNK`` px a chunk.

    Args:
        labels: of NumPy, or of dask, which is computed block by block.
        **how: further keywords of ``zarr.Group.create_array``.
    """
    shape = tuple(map(int, labels.shape))
    chunks = (*[1] * (len(shape) - 2), *(min(size, CHUNK) for size in shape[-2:]))
    array = group.create_array(name, shape=shape, dtype=labels.dtype, chunks=chunks, **how)
    if isinstance(labels, np.ndarray):
        array[...] = labels
    else:
        import dask.array as da

        da.store(labels, array, lock=True)  # two blocks may have parts of one chunk


def _write(group: Any, labels: Any, axes: list, scale: list[float], source: str = "") -> None:
    # Version 0.5 asks for the names of the axes in the array, too; 0.4's arrays have no place.
    names = {"dimension_names": [axis["name"] for axis in axes]}
    write_array(group, "0", labels, **names if group.metadata.zarr_format == 3 else {})
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    version = {"version": VERSIONS[2]} if group.metadata.zarr_format == 2 else {}
    image: dict[str, Any] = {"axes": axes, "datasets": [level], **version}
    label: dict[str, Any] = {"source": {"image": source}} if source else {}
    _tell(group, {"multiscales": [image], "image-label": {**label, **version}})


def _tell(group: Any, told: dict[str, Any]) -> None:
    """Adds to what OME says of a group, where its version has that."""
    if group.metadata.zarr_format == 2:
        group.attrs.update(told)
    else:
        group.attrs["ome"] = {**attributes_of(group), "version": VERSIONS[3], **told}
