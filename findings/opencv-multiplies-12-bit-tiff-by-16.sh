#!/bin/sh
# A camera's TIFF of 12 bits, three readers: 100 counts are 1600 in OpenCV and 100 in the others.
#
# Guess: IMREAD_UNCHANGED gives the numbers that the file holds.
# Seen, OpenCV 4.14.0 (wheel 4.14.0.94), tifffile 2026.3.3 with imagecodecs 2026.3.6, and Pillow 13.0.0:
#     pixels of 10, 12 and 14 bits, packed as cameras write them, come out of OpenCV as 16 bits with the
#     counts shifted up to the top, times 64, 16 and 4, without a word, also with IMREAD_UNCHANGED.
#     tifffile gives the counts, and so does Pillow at 12 bits, of these depths the one that it reads.
# So: counts, gains and doses that are taken through OpenCV are off by a power of two that depends on the
#     camera. Shift such pixels back where the lower bits of all of them are 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet opencv-python-headless==4.14.0.94 tifffile==2026.3.3 \
    imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import struct
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

counts = np.array([[0, 1, 2, 3], [100, 200, 1022, 1023]])
path = f"{sys.argv[1]}/camera.tif"


def write(bits):
    """A TIFF of one strip, its rows packed and filled up to whole bytes (TIFF 6.0, section 3)."""
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in counts.tolist()]
    rows = [row + "0" * (-len(row) % 8) for row in rows]
    raw = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    height, width = counts.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 122), (277, 1)]
    tags += [(278, height), (279, len(raw))]
    with open(path, "wb") as file:
        file.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
        file.write(b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags))
        file.write(bytes(4) + raw)


for bits in (10, 12, 14):
    write(bits)
    by_opencv = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    by_tifffile = tifffile.imread(path)
    try:
        by_pillow = np.array(Image.open(path)).tolist()
    except UnidentifiedImageError:
        by_pillow = None
    print(bits, "bits: OpenCV", by_opencv.tolist(), by_opencv.dtype)
    print("         tifffile", by_tifffile.tolist(), "Pillow", by_pillow)
    assert by_opencv.dtype == np.uint16
    assert np.array_equal(by_opencv, counts << (16 - bits))
    assert np.array_equal(by_tifffile, counts)
    assert by_pillow == (counts.tolist() if bits == 12 else None)
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
