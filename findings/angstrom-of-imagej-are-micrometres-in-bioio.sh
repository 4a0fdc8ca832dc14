#!/bin/sh
# A TIFF that ImageJ calibrated as 5 Å a pixel: bioio says 5 µm, RosettaSciIO 5 of nothing.
#
# Guess: readers know the units that electron microscopists type into ImageJ's "Properties".
# Seen, bioio 3.6.0 with bioio-tifffile 1.3.1, and RosettaSciIO 0.15.0: bioio's sizes, which are in µm,
#     are right for nm and micron; a unit that its list does not have, such as Å, angstrom, inch or
#     pixel, counts as µm without a word: ten thousand times too large. RosettaSciIO knows "micron"
#     alone: of nm, Å and all others it keeps the number and gives no unit, so 5 nm, 5 Å and an image
#     without a calibration of 5 look alike.
# So: take ImageJ's unit from the description (tifffile's imagej_metadata) and refuse what is unknown.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet bioio==3.6.0 bioio-tifffile==1.3.1 rosettasciio==0.15.0 \
    tifffile==2026.3.3 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import sys

import numpy as np
import tifffile
from bioio import BioImage
from rsciio.tiff import file_reader

path = f"{sys.argv[1]}/calibrated.tif"
# As ImageJ writes what is typed; \u00C5 is how it writes Å.
IN_UM = {"nm": 0.005, "micron": 5, "angstrom": 0.0005, "\\u00C5": 0.0005, "inch": 127_000, "pixel": None}
for unit, right in IN_UM.items():
    pixels = np.zeros((6, 8), np.uint16)
    tifffile.imwrite(path, pixels, imagej=True, resolution=(0.2, 0.2), metadata={"unit": unit})
    by_bioio = BioImage(path).physical_pixel_sizes.X
    (signal,) = file_reader(path)
    by_rosetta = signal["axes"][-1]["scale"], signal["axes"][-1]["units"]
    print(f"5 {unit}: right {right} µm, bioio {by_bioio:g} µm, RosettaSciIO {by_rosetta}")
    assert np.isclose(by_bioio, right if unit in ("nm", "micron") else 5)
    assert by_rosetta == (5.0, "µm" if unit == "micron" else None)
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
