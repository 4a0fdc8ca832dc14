"""A file of a microscope, or of an image program, becomes a ``Micrograph``.

The calibration comes from what a microscope or ImageJ wrote into the file, or beside it. The dots
per inch of a PNG, JPEG or TIFF are a print size and never taken for one.

``plain_files``, ``tiff_file``, ``mrc_file``, ``ndata_file``, ``hdf5_file``, ``zarr_file`` and
``rosetta`` open a file, each importing its library only then; ``opening`` tells which, by how the
file begins, and ``loading`` checks what they give.
``tiff_scale`` and ``written_beside`` know where programs write the size of a pixel.

``scale_bar``, ``info_bar`` and ``annotations`` find what was drawn into a picture. They are
imported by who needs them, with OpenCV.
"""

from temzoo.micrographs.calibration import NM_PER_UNIT, Scale, checked_scale, nm_of
from temzoo.micrographs.channels import as_channels, to_grey
from temzoo.micrographs.listing import list_images
from temzoo.micrographs.loading import (
    MAX_PIXELS,
    count_frames,
    frame_name,
    image_size,
    iter_frames,
    load_micrograph,
    load_numbers,
)
from temzoo.micrographs.opening import MICROSCOPE_SUFFIXES, SUFFIXES
from temzoo.micrographs.source import MicrographError, MissingReaderError

__all__ = [
    "MAX_PIXELS",
    "MICROSCOPE_SUFFIXES",
    "NM_PER_UNIT",
    "SUFFIXES",
    "MicrographError",
    "MissingReaderError",
    "Scale",
    "as_channels",
    "checked_scale",
    "count_frames",
    "frame_name",
    "image_size",
    "iter_frames",
    "list_images",
    "load_micrograph",
    "load_numbers",
    "nm_of",
    "to_grey",
]
