#!/bin/sh
# TIFFs with ImageJ's inverting look-up table: OpenCV and Pillow turn the grey round at 8 bits alone.
#
# Guess: PhotometricInterpretation 0, "WhiteIsZero", is either applied by a reader or not.
# Seen, OpenCV 4.14.0 (wheel 4.14.0.94), Pillow 13.0.0 and tifffile 2026.3.3: of the same image stored as
#     WhiteIsZero, OpenCV and Pillow give 255 - v at 8 bits, and v at 16 bits and in floating point;
#     tifffile gives v always. ImageJ shows all three inverted.
# So: what is dark in one micrograph is bright in the next of another depth, and a network sees holes
#     where it learnt particles. Read the stored numbers and turn all depths round, or none.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet opencv-python-headless==4.14.0.94 tifffile==2026.3.3 \
    pillow==13.0.0 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

path, ramp = f"{sys.argv[1]}/inverted.tif", np.arange(0, 250, 10).reshape(5, 5)
for dtype in ("u1", "u2", "f4"):
    stored = ramp.astype(dtype)
    tifffile.imwrite(path, stored, photometric="miniswhite", metadata=None)
    shown = 255 - stored if dtype == "u1" else stored
    readers = {
        "OpenCV": (cv2.imread(path, cv2.IMREAD_UNCHANGED), shown),
        "Pillow": (np.array(Image.open(path)), shown),
        "tifffile": (tifffile.imread(path), stored),
    }
    print(f"{dtype}: stored {stored[0, :3]},", end=" ")
    print(", ".join(f"{name} {read[0, :3]}" for name, (read, _) in readers.items()))
    for read, expected in readers.values():
        assert read.dtype == stored.dtype
        assert np.array_equal(read, expected)
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
