#!/bin/sh
# Nion Swift's "TIFF Files (ImageJ)" of an image in µm or Å: its pixels are 0.25 inch instead of 0.25 µm.
#
# Guess: the export keeps the calibration, with the unit as it stands in Nion Swift.
# Seen, nionswift-io 15.5.0 with tifffile 2026.3.3: it does for nm and um. ImageJ's description is ASCII,
#     so that µm and Å cannot be written; the export then writes a TIFF that is not ImageJ's, says
#     "Could not save metadata" in the log, and leaves the resolution, 4 pixels a unit, with tifffile's
#     default unit: the inch. What was meant stands as JSON in the description. RosettaSciIO 0.15.0 reads
#     a size of 1 without a unit.
# So: set the units to nm or um before the export, or export .ndata1. Who reads such a TIFF finds "unit" in
#     the JSON of its description.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet nionswift-io==15.5.0 niondata==15.9.1 tifffile==2026.3.3 \
    rosettasciio==0.15.0 numpy==2.4.6
cat > "$folder/export.py" <<'PYTHON'
import logging
import sys

import numpy as np
import tifffile
from nion.data import Calibration, DataAndMetadata
from nionswift_plugin.TIFF_IO import TIFFIODelegate_ImageJ
from rsciio.tiff import file_reader

logging.disable(logging.CRITICAL)
path, inch = f"{sys.argv[1]}/a.tif", 2
for unit in ("nm", "um", "µm", "Å"):
    size = Calibration.Calibration(offset=0.0, scale=0.25, units=unit)
    pixels = np.arange(80, dtype=np.float32).reshape(8, 10)
    image = DataAndMetadata.new_data_and_metadata(pixels, dimensional_calibrations=[size, size])
    TIFFIODelegate_ImageJ(None).write_data_and_metadata_stream(image, path)
    with tifffile.TiffFile(path) as tiff:
        tags, imagej = tiff.pages.first.tags, tiff.imagej_metadata or {}
        told = tags[282].value, int(tags[296].value), imagej.get("unit")
    (signal,) = file_reader(path)
    read = signal["axes"][-1]["scale"], signal["axes"][-1]["units"]
    print(f"0.25 {unit}: resolution, its unit, ImageJ's unit {told}; RosettaSciIO {read}")
    if unit in ("nm", "um"):
        assert told == ((4, 1), 1, unit)
    else:
        assert told == ((4, 1), inch, None) and read == (1.0, None)
PYTHON
"$folder/env/bin/python" "$folder/export.py" "$folder"
