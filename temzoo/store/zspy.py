"""Label images as HyperSpy's zspy, which ``hyperspy.api.load`` opens as a signal.

The format: a folder of Zarr 2 with "Experiments/TITLE", and in it the array "data", a group for
each of its axes ("axis-0" and so on), and metadata.
Source: https://hyperspy.org/rosettasciio/user_guide/supported_formats/zspy.html. Version 3.3, as
RosettaSciIO 0.15 writes it; read back by HyperSpy 2.4 with Zarr 2.18.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temzoo.core.files import new_folder
from temzoo.micrographs.calibration import Scale
from temzoo.micrographs.zarr_file import SIGNALS, ZSPY
from temzoo.store.ome_zarr import require_labels, write_array

VERSION = "3.3"


def save_zspy(
    labels: Any,
    path: str | Path,
    *,
    name: str = "instances",
    nm_per_pixel: Scale | None = None,
) -> Path:
    """Writes labels as a signal of HyperSpy, a ``Signal2D``.

    Args:
        labels: as ``save_ome_zarr`` takes them.
        path: a folder that is not there, whose name ends in .zspy.
        name: of the signal, its title.
        nm_per_pixel: (row, col); None: its axes are in px.

    Returns:
        The folder.

    Raises:
        ValueError: other labels, or another name.
        FileExistsError: the folder is there, and not empty.

    Example:
        >>> found = temzoo.predict(model, "scan.tif")
        >>> save_zspy(found.instances, "labels.zspy", nm_per_pixel=found.nm_per_pixel)
    """
    import zarr

    require_labels(labels, name)
    path = Path(path)
    if path.suffix.lower() != ZSPY:
        raise ValueError(
            f"HyperSpy knows a signal by the name's end {ZSPY}. Received: {path}. Write to"
            f" {path.with_suffix(ZSPY)}."
        )
    with new_folder(path) as folder:
        root = zarr.open_group(folder, mode="w", zarr_format=2)
        root.attrs.update({"file_format": "ZSpy", "file_format_version": VERSION})
        signal = root.create_group(f"{SIGNALS}/{name}")
        signal.attrs.update({"package": "temzoo", "package_version": ""})
        for axis, told in enumerate(_axes(labels.shape, nm_per_pixel)):
            signal.create_group(f"axis-{axis}").attrs.update(told)
        metadata = signal.create_group("metadata")
        metadata.create_group("General").attrs.update({"title": name})
        metadata.create_group("Signal").attrs.update({"signal_type": ""})
        signal.create_group("attributes").attrs.update({"_lazy": False, "ragged": False})
        for empty in ("original_metadata", "learning_results"):
            signal.create_group(empty)
        separated = {"name": "v2", "separator": "/"}
        write_array(signal, "data", labels, chunk_key_encoding=separated)
    return path


def _axes(shape: tuple[int, ...], nm: Scale | None) -> list[dict[str, Any]]:
    sides = [("y", "px", 1.0), ("x", "px", 1.0)]
    if nm is not None:
        sides = [(side, "nm", float(size)) for side, size in zip("yx", nm, strict=True)]
    named = [("frame", "", 1.0)] * (len(shape) - 2) + sides
    return [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "units": unit,
            "scale": scale,
            "offset": 0.0,
            "size": int(size),
            "navigate": name == "frame",
            "is_binned": False,
        }
        for (name, unit, scale), size in zip(named, shape, strict=True)
    ]
