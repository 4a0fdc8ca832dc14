#!/bin/sh
# One MRC file of bytes, two readers, two images: 200 is -56 in mrcfile and 200 in RosettaSciIO.
#
# Guess: mode 0 is one type, and readers agree on it.
# Seen, mrcfile 1.5.4 and RosettaSciIO 0.15.0: IMOD marks its files by the number 1146047817 at byte 152,
#     and tells at byte 156, bit 0, whether the bytes of mode 0 are signed
#     (https://bio3d.colorado.edu/imod/doc/mrc_format.txt). Of a file with the mark and without the bit,
#     whose header says 0 to 255, mrcfile gives int8 without a warning, as MRC2014 defines mode 0;
#     RosettaSciIO gives uint8, and so it does with the bit, where IMOD means signed bytes. Neither looks
#     at the mark.
# So: read mark and bit; without the mark, the header's minimum and maximum tell.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet mrcfile==1.5.4 rosettasciio==0.15.0 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import struct
import sys
import warnings

import mrcfile
import numpy as np
from rsciio.mrc import file_reader

stored = np.array([[0, 1, 127], [128, 200, 255]], np.uint8)


def written(signed):
    head = bytearray(1024)
    struct.pack_into("<4i", head, 0, 3, 2, 1, 0)  # columns, rows, sections, mode
    struct.pack_into("<3i3f3f3i", head, 28, 3, 2, 1, 3, 2, 1, 90, 90, 90, 1, 2, 3)
    low, high = (-128, 127) if signed else (0, 255)
    struct.pack_into("<3f", head, 76, low, high, (low + high) / 2)
    struct.pack_into("<2i", head, 152, 1146047817, int(signed))
    head[208:216] = b"MAP DD\0\0"
    path = f"{sys.argv[1]}/{'signed' if signed else 'unsigned'}.mrc"
    with open(path, "wb") as file:
        file.write(bytes(head) + stored.tobytes())
    return path


for signed in (False, True):
    path = written(signed)
    with warnings.catch_warnings(action="error"), mrcfile.open(path) as file:
        one = np.array(file.data)
    (signal,) = file_reader(path)
    other = np.asarray(signal["data"])
    print("IMOD says", "signed:" if signed else "unsigned:")
    print("  mrcfile", one.dtype, one.tolist())
    print("  RosettaSciIO", other.dtype, other.tolist())
    assert np.array_equal(one, stored.view(np.int8)) and one.dtype == np.int8
    assert np.array_equal(other, stored) and other.dtype == np.uint8
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
