"""Label files that are not read: whose they are, and what to save or type instead."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

from temzoo.core.files import read_json

MOST_FILES = 100  # of a folder are looked at
IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


class Program(NamedTuple):
    """Whose files are not read.

    Attributes:
        what: the format, and whose it is.
        instead: what to do.
        begins: how such a file begins.
        keys: of its JSON; of a list, of the first entry.
        suffixes: how its name ends.
    """

    what: str
    instead: str
    begins: tuple[bytes, ...] = ()
    keys: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


COCO = "Export COCO JSON there."
SLICE = (
    "Save each labelled slice as a TIFF, in Python: import SimpleITK as sitk; "
    "sitk.WriteImage(sitk.ReadImage('labels.nrrd')[:, :, 0], 'masks/a.tif'), with its own name."
)
ARRAY = "Save it as a TIFF, in Python: tifffile.imwrite('masks/a.tif', {})."
PROGRAMS = (
    Program("Supervisely's JSON", COCO, keys=("size", "objects")),
    Program("Supervisely's meta.json", COCO, keys=("classes", "tags")),
    Program("ISAT's JSON", "Convert it to COCO or LabelMe in ISAT.", keys=("info", "objects")),
    Program(
        "V7 Darwin's JSON",
        "Type: pip install darwin-py; darwin convert coco FOLDER coco",
        keys=("item", "annotations"),
    ),
    Program("SuperAnnotate's JSON", COCO, keys=("metadata", "instances")),
    Program("Hasty's JSON", COCO, keys=("label_classes", "images")),
    Program(
        "Label Studio's JSON-MIN", "Export JSON there.", keys=("annotation_id", "annotator", "id")
    ),
    Program(
        "a list of COCO's results",
        "Write a COCO file that has 'images' and 'categories' too.",
        keys=("image_id", "category_id", "score"),
    ),
    Program(
        "Labkit's labeling",
        "In Labkit choose Labeling > Show Labeling in ImageJ, then File > Save As > Tiff.",
        keys=("interval", "labels"),
    ),
    Program(
        "Pascal VOC's XML, a box for each object",
        "Save YOLO files there, such as in labelImg.",
        begins=(b"<annotation>",),
    ),
    Program(
        "webKnossos' NML",
        "Download the volume annotation as TIFF there; skeletons are no areas.",
        begins=(b"<things",),
    ),
    Program(
        "OME-XML",
        "Save the regions as GeoJSON in QuPath, or as ImageJ's RoiSet.",
        begins=(b"<OME",),
    ),
    Program("NRRD, of 3D Slicer or MITK", SLICE, begins=(b"NRRD",)),
    Program("NIfTI", SLICE.replace("nrrd", "nii"), suffixes=(".nii", ".nii.gz")),
    Program("MetaImage", SLICE.replace("nrrd", "mha"), begins=(b"ObjectType = Image",)),
    Program("a project of MITK", "Save its segmentation as .nrrd there.", suffixes=(".mitk",)),
    Program(
        "Amira's or Avizo's", "Save the labels as 2D TIFF there.", begins=(b"# Amira", b"# Avizo")
    ),
    Program(
        "Dragonfly's",
        "Export the (multi-)ROI as TIFF there.",
        suffixes=(".orsobject", ".orssession"),
    ),
    Program(
        "a project of ilastik",
        "Export 'Simple Segmentation' or 'Object Identities' as TIFF there.",
        suffixes=(".ilp",),
    ),
    Program("MATLAB's", "Type in MATLAB: imwrite(uint16(labels), 'a.tif')", begins=(b"MATLAB",)),
    Program("HDF5", ARRAY.format("h5py.File('a.h5')['NAME'][...]"), begins=(b"\x89HDF",)),
    Program("a NumPy array", ARRAY.format("numpy.load('a.npy')"), begins=(b"\x93NUMPY",)),
    Program(
        "Zarr",
        ARRAY.format("zarr.open('a.zarr/labels/NAME/0')[...]"),
        suffixes=(".zattrs", ".zarray", "zarr.json"),
    ),
)


def refusal(path: Path, start: bytes, document: Any = None) -> ValueError | None:
    """Why a file is not read, where it is one of these; by its name, beginning or JSON."""
    entry = document[0] if isinstance(document, list) and document else document
    keys = entry.keys() if isinstance(entry, dict) else ()
    text = start.partition(b"?>")[2].lstrip() if start.startswith(b"<?xml") else start
    for one in PROGRAMS:
        told = text.startswith(one.begins) or path.name.lower().endswith(one.suffixes)
        if told if not one.keys else set(one.keys) <= set(keys):
            return ValueError(
                f"{path}: labels must be in a format that is read. Received: {one.what}. "
                f"{one.instead}"
            )
    return None


def refusal_in(folder: Path) -> ValueError | None:
    """Why the labels in a folder are not read, where one of its files is one of these."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() not in IMAGES)
    for path in itertools.islice(filter(Path.is_file, files), MOST_FILES):
        with path.open("rb") as file:
            start = file.read(4096).lstrip()
        document = None
        if start[:1] in (b"{", b"["):
            try:
                document = read_json(path)
            except ValueError:
                continue
        if (error := refusal(path, start, document)) is not None:
            return error
    return None
