#!/bin/sh
# Nion Swift's "TIFF Files (Baseline)": counts of 100 and 120 become 0 and 43690; with a hot pixel 0 and 689.
#
# Guess: an image of 8 or 16 bits is exported with the numbers that it has, which TIFF can hold.
# Seen, nionswift-io 15.5.0: whatever its type, each image is stretched from its own least and largest
#     number to 0 and 65535, without a note of both in the file, and without the calibration. The same
#     counts come out as other numbers in the next image of a series.
# So: grey values of such files cannot be compared, nor turned back into counts. Export "TIFF Files
#     (ImageJ)", which keeps 8 and 16 bits and 32-bit fractions, or .ndata1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet nionswift-io==15.5.0 niondata==15.9.1 tifffile==2026.3.3 numpy==2.4.6
cat > "$folder/export.py" <<'PYTHON'
import sys

import numpy as np
import tifffile
from nion.data import DataAndMetadata
from nionswift_plugin.TIFF_IO import TIFFIODelegate_Baseline, TIFFIODelegate_ImageJ

path = f"{sys.argv[1]}/a.tif"
EXPECTED = {130: [0, 43690, 21845, 65535], 2000: [0, 689, 344, 65535]}
for hottest, expected in EXPECTED.items():
    counts = np.array([[100, 120], [110, hottest]], np.uint16)
    image = DataAndMetadata.new_data_and_metadata(counts)
    TIFFIODelegate_Baseline(None).write_data_and_metadata_stream(image, path)
    baseline = tifffile.imread(path)
    TIFFIODelegate_ImageJ(None).write_data_and_metadata_stream(image, path)
    imagej = tifffile.imread(path)
    print(f"{counts.ravel()}: baseline {baseline.ravel()}, ImageJ {imagej.ravel()}")
    assert baseline.ravel().tolist() == expected and baseline.dtype == np.uint16
    assert np.array_equal(imagej.reshape(2, 2), counts)
PYTHON
"$folder/env/bin/python" "$folder/export.py" "$folder"
